"""Our daemon in a run: its database made ready, its process started, timed and accounted for."""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from outbox.crypto import generate_key
from outbox.migrations import migrate
from outbox.settings import Settings
from tests.bench.race.google import StandIn
from tests.bench.race.load import Load
from tests.bench.race.profiles import Profile
from tests.bench.race.server import Server, process_cpu_seconds, process_memory
from web.demo.stage import ROOT, create_roles
from web.demo.tether import TetheredProcess

READY_SECONDS = 60.0

LOOK_SECONDS = 0.02
"""Between two looks whether everything is settled, as the peers do it."""

LIFTED = {"GOOGLE_USER_QUOTA_PER_MINUTE": "1000000", "GOOGLE_PROJECT_QUOTA_PER_MINUTE": "1000000"}

SETTLED = """
SELECT NOT EXISTS (SELECT FROM calendar_sync.outbox)
   AND NOT EXISTS (SELECT FROM calendar_sync.pending_push)
   AND NOT EXISTS (SELECT FROM calendar_sync.lane WHERE lease_token IS NOT NULL)
"""


class NotDeliveredError(RuntimeError):
    """A run did not end as it has to: its figures would be worth nothing."""


@dataclass(frozen=True, slots=True)
class Place:
    """What every run of ours needs.

    Attributes:
        settings: of the daemon, where they differ from its defaults and from the lifted quotas.
    """

    server: Server
    google: StandIn
    folder: Path
    settings: Mapping[str, str]
    profile: Profile | None = None
    seconds: float = 1_800.0


class Daemon:
    """A running daemon, as `daemon.py run` starts it; a context manager.

    Attributes:
        began, ready: `time.perf_counter` of its process' start, and of its READY to systemd.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path, profile: Profile | None) -> None:
        inherited = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
        program = [sys.executable, str(ROOT / "daemon.py"), "run"]
        self._systemd = _Systemd(folder / "notify")
        with (folder / "daemon.log").open("w") as log:
            self.began = time.perf_counter()
            self._process = TetheredProcess(
                profile.command(program) if profile else program,
                grace=40.0,
                cwd=ROOT,
                env={**inherited, **environment, "NOTIFY_SOCKET": str(folder / "notify")},
                stdout=log,
                stderr=log,
            )
        self.pid = self._process.pid
        if profile:
            profile.attach(self.pid)
        self._profile = profile
        while not self._systemd.ready.wait(0.1):
            if self._process.poll() is None and time.perf_counter() < self.began + READY_SECONDS:
                continue
            self.stop()
            said = (folder / "daemon.log").read_text().splitlines()[-1:]
            raise NotDeliveredError(f"the daemon did not get ready: {said}")
        self.ready = time.perf_counter()
        self.ready_cpu = process_cpu_seconds(self.pid)

    @property
    def cpu_seconds(self) -> float:
        """Up to now, start-up included."""
        return process_cpu_seconds(self.pid)

    @property
    def memory(self) -> dict[str, int]:
        """Resident bytes, now and at most."""
        return process_memory(self.pid)

    def stop(self) -> None:
        """As systemd does; what is under way ends first."""
        self._process.stop()
        self._systemd.close()
        if self._profile:
            self._profile.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Systemd:
    """What the daemon tells whoever started it; read all the time, so that it never waits for a reader."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.ready = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while message := self._socket.recv(4096):
            if b"READY=1" in message:
                self.ready.set()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RD)
        self._socket.close()


class Run:
    """A fresh database with everybody connected, for one run."""

    def __init__(self, place: Place, load: Load, settings: Mapping[str, str] | None = None) -> None:
        self.place, self.load = place, load
        self.url = place.server.fresh()
        migrate(self.url)
        google = place.google.url
        self.keys = f"bench:{generate_key()}"
        self.environment = {
            "DATABASE_URL": create_roles(self.url),
            "GOOGLE_OAUTH_CLIENT_ID": "bench-client",
            "GOOGLE_OAUTH_CLIENT_SECRET": "bench-secret",
            "GOOGLE_OAUTH_REDIRECT_URI": "http://127.0.0.1/callback",
            "GOOGLE_TOKEN_URL": f"{google}/token",
            "GOOGLE_REVOKE_URL": f"{google}/revoke",
            "GOOGLE_CALENDAR_URL": f"{google}/calendar/v3",
            "TOKEN_ENCRYPTION_KEYS": self.keys,
            "JOB_URL_TEMPLATE": "https://app.example.com/jobs/{job_id}",
            "LOG_FORMAT": "json",
            **LIFTED,
            **(settings or {}),
            **place.settings,
        }

    def connect(self) -> None:
        """Everybody has chosen a calendar."""
        self.load.connect(self.url, self.keys)

    def daemon(self, *, watched: bool = True) -> Daemon:
        """Start one, under the profiler if one is wanted."""
        return Daemon(self.environment, self.place.folder, self.place.profile if watched else None)

    def deliver(self, *, writes: int) -> None:
        """Have what waits delivered, unmeasured."""
        with psycopg.connect(self.url, autocommit=True) as connection, self.daemon(watched=False):
            self.place.google.wait(writes, seconds=self.place.seconds)
            self.until(connection, SETTLED)

    def drain(self, *, writes: int) -> dict[str, Any]:
        """Start a daemon on what waits, stop it once everything is delivered and settled; what that took."""
        server, google = self.place.server, self.place.google
        server.settle()
        before = server.account()
        with psycopg.connect(self.url, autocommit=True) as connection, self.daemon() as daemon:
            counts = google.wait(writes, seconds=self.place.seconds)
            answered = time.perf_counter()
            looks = self.until(connection, SETTLED)
            settled = time.perf_counter()
            cpu = daemon.cpu_seconds
        after = server.account() - before
        counts = google.counts()
        units = counts["Parts"]
        return {
            "n": writes,
            "per_s": writes / (settled - daemon.ready),
            "per_s_from_start": writes / (settled - daemon.began),
            "seconds": settled - daemon.ready,
            "seconds_answered": answered - daemon.ready,
            "start_seconds": daemon.ready - daemon.began,
            "cpu_ms": 1000 * (cpu - daemon.ready_cpu) / writes,
            "cpu_ms_with_start": 1000 * cpu / writes,
            "pg_cpu_ms": 1000 * after.cpu_seconds / writes,
            "wal_bytes": after.wal_bytes / writes,
            "transactions": (after.transactions - looks) / writes,
            "tuples": after.tuples / writes,
            "requests": counts["Requests"] / writes,
            "units": units / writes,
            "refused": counts["Refused"],
            "most_in_flight": counts["MostInFlight"],
        }

    def until(self, connection: psycopg.Connection[Any], condition: str) -> int:
        """Look until the condition holds; how often it was looked at."""
        looks, deadline = 0, time.monotonic() + self.place.seconds
        while True:
            looks += 1
            row = connection.execute(condition.encode()).fetchone()
            if row is not None and row[0]:
                return looks
            if time.monotonic() > deadline:
                raise NotDeliveredError(f"not settled within {self.place.seconds:.0f} s: {self.place.google.counts()}")
            time.sleep(LOOK_SECONDS)

    def check(self, version: int = 1) -> None:
        """Every job has to stand once in every calendar, in its newest state.

        Raises:
            NotDeliveredError: it does not.
        """
        if wrong := self.load.mistakes(self.place.google.state(), version):
            raise NotDeliveredError(f"{len(wrong)} calendars are wrong, for example {wrong[0]}")


Work = Callable[[Place, int | None], dict[str, Any]]
"""One run of one work by our daemon, with another size than its own if one is given; its figures by name."""
