"""What can happen to the database: restarts, crashes, sessions ended, read-only, a full disk, a long transaction."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from web.demo.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from web.demo.stage import DAEMON_LOGIN

DISK_BYTES = 400 * 1024**2
"""The size of the data folder's file system; a run takes about a third of it."""

SERVER_SETTINGS = {
    "max_connections": "200",
    "max_wal_size": "96MB",
    "min_wal_size": "32MB",
    # What a killed server leaves behind then goes with its folder.
    "dynamic_shared_memory_type": "mmap",
}
"""Otherwise the server is as it is by default, and as durable."""

ADMIN_OPTIONS = "-c default_transaction_read_only=off -c statement_timeout=20s"

UP_SECONDS = 60.0
"""How long the server may take to answer again."""


@contextmanager
def small_disk() -> Iterator[Path | None]:
    """A small file system of its own in memory; None where mounting one is not permitted."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    folder.chmod(0o755)
    mount = shutil.which("mount")
    mounted = False
    try:
        if os.geteuid() == 0 and mount is not None:
            options = f"size={DISK_BYTES},mode=755"
            command = [mount, "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
            mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)
        with suppress(OSError):
            folder.rmdir()


class Database:
    """The embedded server, in trouble. What excludes each other waits for its turn.

    Args:
        disk: the data folder's own file system, None if it has none.
    """

    def __init__(self, postgres: EmbeddedPostgres, disk: Path | None) -> None:
        self._postgres = postgres
        self._disk = disk
        self._turn = threading.Lock()

    def execute(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a statement as the owner; raises psycopg.Error."""
        with psycopg.connect(
            self._postgres.url, autocommit=True, options=ADMIN_OPTIONS, connect_timeout=5
        ) as connection:
            cursor = connection.execute(query.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def insist(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a statement that may be repeated, until the server takes it."""
        ends = time.monotonic() + UP_SECONDS
        while True:
            try:
                return self.execute(query, parameters)
            except psycopg.Error:
                if time.monotonic() > ends:
                    raise
            time.sleep(0.2)

    def restart(self, _chance: random.Random) -> bool:
        """Restart it, sessions ended."""
        with self._turn:
            self._postgres.restart("fast")
        return True

    def restart_immediately(self, _chance: random.Random) -> bool:
        """Restart it without a shutdown; it recovers from its log."""
        with self._turn:
            self._postgres.restart("immediate")
        return True

    def crash(self, chance: random.Random) -> bool:
        """SIGKILL a daemon's backend, upon which the server ends all sessions and recovers."""
        with self._turn:
            pids = self._sessions()
            if not pids:
                return False
            with suppress(ProcessLookupError):
                os.kill(chance.choice(pids), signal.SIGKILL)
            time.sleep(0.2)
            self.insist("SELECT 1")
        return True

    def terminate_backend(self, chance: random.Random) -> bool:
        """End one session of a daemon."""
        with self._turn:
            pids = self._sessions()
            return bool(pids) and self.insist("SELECT pg_terminate_backend(%s)", [chance.choice(pids)]) == [(True,)]

    def terminate_backends(self, _chance: random.Random) -> bool:
        """End every session of all daemons."""
        with self._turn:
            query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = %s"
            return self.insist(query, [DAEMON_LOGIN]) != [(0,)]

    def make_read_only(self, chance: random.Random) -> bool:
        """Refuse writes for a while."""
        with self._turn:
            try:
                self.insist("ALTER SYSTEM SET default_transaction_read_only = on")
                self.insist("SELECT pg_reload_conf()")
                time.sleep(chance.uniform(1, 4))
            finally:
                self._allow_writes()
        return True

    def fill_disk(self, chance: random.Random) -> bool:
        """Leave no byte free for a while; a server that ends of it is started again once there is room."""
        if self._disk is None:
            return False
        ballast = self._disk / "ballast"
        with self._turn:
            try:
                _fill(ballast)
                time.sleep(chance.uniform(1, 4))
            finally:
                ballast.unlink()
                self._revive()
        return True

    def hold_transaction(self, chance: random.Random) -> bool:
        """Hold a transaction open, with an outbox row in it that nobody may ever see the effect of."""
        seconds = chance.choice([5.0, 10.0, 60.0])
        try:
            with psycopg.connect(self._postgres.url, options=ADMIN_OPTIONS) as connection:
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                connection.execute("SELECT count(*) FROM calendar_sync.pending_push, calendar_sync.lane")
                connection.execute(
                    "INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload)"
                    " SELECT tenant_id, 'job_never', 'job.created', payload FROM calendar_sync.job"
                    " WHERE NOT cancelled ORDER BY ends_at DESC NULLS LAST LIMIT 1"
                )
                time.sleep(seconds)
                connection.rollback()
        except psycopg.Error:
            return False  # it met another fault of the database on its way
        return True

    def heal(self) -> None:
        """Have it up and writable."""
        with self._turn:
            self._revive()
            self._allow_writes()

    def _sessions(self) -> list[int]:
        query = "SELECT pid FROM pg_stat_activity WHERE usename = %s ORDER BY pid"
        return [pid for (pid,) in self.insist(query, [DAEMON_LOGIN])]

    def _allow_writes(self) -> None:
        self.insist("ALTER SYSTEM RESET default_transaction_read_only")
        self.insist("SELECT pg_reload_conf()")

    def _revive(self) -> None:
        """Start the server if it is down, or going down."""
        ends = time.monotonic() + UP_SECONDS
        while True:
            try:
                if not self._postgres.running:
                    self._postgres.restart()
                self.execute("SELECT 1")
            except (psycopg.Error, EmbeddedPostgresError):
                if time.monotonic() > ends:
                    raise
            else:
                return
            time.sleep(0.2)


def _fill(ballast: Path) -> None:
    """Write a file until no byte is left."""
    with ballast.open("wb", buffering=0) as file:
        size = 1024**2
        while size:
            try:
                file.write(b"\0" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size //= 2
