"""A PostgreSQL server of its own for a benchmark, with default settings, and an account of what it does."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql

from web.demo.tether import TetheredProcess

START_SECONDS = 60.0

STATISTICS_SECONDS = 1.3
"""Until sessions have handed in what they counted."""

DATABASE = "bench"
"""Made anew for every run."""

Row = tuple[Any, ...]


class NoServerError(RuntimeError):
    """There are no programs of a PostgreSQL server here; the message says what to do."""


def server_programs(named: Path | None) -> Path:
    """The folder of initdb and postgres: the one that was named, else the one that `pg_config` names."""
    if named is None and shutil.which("pg_config"):
        named = Path(
            subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
        )
    if named is None or not (named / "initdb").is_file():
        raise NoServerError("no PostgreSQL server found: install PostgreSQL 15 or 16, or name its programs: --pg-bin")
    return named


@dataclass(frozen=True, slots=True)
class Account:
    """What the server has done since its beginning, or between two looks at it."""

    wal_bytes: float
    transactions: float
    tuples: float
    cpu_seconds: float

    def __sub__(self, earlier: "Account") -> "Account":
        return Account(
            self.wal_bytes - earlier.wal_bytes,
            self.transactions - earlier.transactions,
            self.tuples - earlier.tuples,
            self.cpu_seconds - earlier.cpu_seconds,
        )


class Server:
    """A running server below `folder`, on a port of the loopback; a context manager that removes it at its end."""

    def __init__(self, folder: Path, programs: Path, *, statements: bool = False) -> None:
        """`statements`: count them with pg_stat_statements, which costs a little."""
        self._folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        account = _account() if os.geteuid() == 0 else None
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
        user, group = (None, None) if account is None else (account.pw_uid, account.pw_gid)
        data, self.log = folder / "data", folder / "postgres.log"
        self._data = data
        self.port = free_port()
        subprocess.run(
            [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"],
            check=True,
            capture_output=True,
            cwd=folder,
            user=user,
            group=group,
            extra_groups=None if account is None else [],
        )
        settings = {"port": str(self.port), "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        if statements:
            settings |= {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "all"}
        self.statements = statements
        command = [str(programs / "postgres"), "-D", str(data)]
        command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with self.log.open("w") as log:
            self._process = TetheredProcess(
                command, stop_signal=signal.SIGINT, cwd=folder, stdout=log, stderr=log, user=user, group=group
            )
        self.admin = self._connect()
        self.version = str(self.admin.info.parameter_status("server_version"))

    def _connect(self) -> psycopg.Connection[Row]:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return psycopg.connect(self.url("postgres"), autocommit=True)
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.05)

    def url(self, database: str = DATABASE) -> str:
        """Of that database, as the superuser."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def fresh(self) -> str:
        """An empty database in the place of the one before; returns its URL."""
        name = sql.Identifier(DATABASE)
        self.admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        self.admin.execute(sql.SQL("CREATE DATABASE {}").format(name))
        if self.statements:
            with psycopg.connect(self.url(), autocommit=True) as connection:
                connection.execute("CREATE EXTENSION pg_stat_statements")
        return self.url()

    def settle(self) -> None:
        """Vacuum what was filled, and write everything out, so that no run pays for what was before."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        self.admin.execute("CHECKPOINT")
        if self.statements:
            with psycopg.connect(self.url(), autocommit=True) as connection:
                connection.execute("SELECT pg_stat_statements_reset()")

    def account(self) -> Account:
        """What it has done up to now."""
        time.sleep(STATISTICS_SECONDS)
        row = self.admin.execute(
            "SELECT pg_current_wal_lsn() - '0/0', xact_commit + xact_rollback, tup_inserted + tup_updated + tup_deleted"
            " FROM pg_stat_database WHERE datname = %s",
            [DATABASE],
        ).fetchone()
        assert row is not None
        return Account(float(row[0]), float(row[1]), float(row[2]), self._cpu_seconds())

    def top_statements(self, most: int = 25) -> list[Row]:
        """Calls, total milliseconds, mean milliseconds, WAL bytes and the head of the costliest statements."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            return connection.execute(
                "SELECT calls, round(total_exec_time::numeric, 1), round(mean_exec_time::numeric, 3), wal_bytes, rows,"
                " left(regexp_replace(query, '\\s+', ' ', 'g'), 110)"
                " FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT %s",
                [most],
            ).fetchall()

    def _cpu_seconds(self) -> float:
        """Of the postmaster, of the children it has seen end, and of those alive."""
        postmaster = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        ticks = sum(_ticks(postmaster)[:4])
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and _parent(int(entry.name)) == postmaster:
                ticks += sum(_ticks(int(entry.name))[:2])
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Shut it down and remove it."""
        self.admin.close()
        self._process.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def process_cpu_seconds(pid: int) -> float:
    """User and system time of a running process."""
    return sum(_ticks(pid)[:2]) / os.sysconf("SC_CLK_TCK")


def process_memory(pid: int) -> dict[str, int]:
    """Resident bytes of a process: now ("VmRSS") and at most ("VmHWM")."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = dict(line.split(":", 1) for line in lines if line.startswith(("VmRSS", "VmHWM")))
    return {name: int(text.split()[0]) * 1024 for name, text in found.items()}


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:  # it has just ended
        return []


def _ticks(pid: int) -> list[int]:
    """User and system time, and the same of the children that were waited for."""
    return [int(word) for word in _stat(pid)[11:15]]


def _parent(pid: int) -> int:
    stat = _stat(pid)
    return int(stat[1]) if stat else -1


def _account() -> pwd.struct_passwd:
    """Whom to run the server as when we are root, which Postgres refuses."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NoServerError("PostgreSQL refuses to run as root, and there is no account postgres or nobody")
