"""A machine with a real systemd, as far as one can be had: namespaces of its own over an overlay of some root."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL
from types import TracebackType
from typing import Self

from web.demo.tether import TetheredProcess

BOOT = Path(__file__).with_name("boot")

PROGRAM = Path("/lib/systemd/systemd")

BOOT_SECONDS = 60.0

CALL_SECONDS = 60.0
"""For any one command in the machine."""

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "TERM": "dumb",
    "LANG": "C.UTF-8",
}


def what_is_missing(root: Path = Path("/")) -> str | None:
    """Why no machine can be booted here, None if it can."""
    if os.geteuid() != 0:
        return "root"
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return "unshare and nsenter (Debian's util-linux)"
    if not (root / PROGRAM.relative_to("/")).exists():
        return f"{PROGRAM} (Debian's systemd)"
    mounted = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"],
        capture_output=True,
        text=True,
        check=False,
    )
    return None if mounted.returncode == 0 else f"the right to mount ({mounted.stderr.strip()})"


class Machine:
    """Boots at once; its network is this machine's. A context manager, which ends with this process at the latest.

    Args:
        folder: for its state, outside of what `root` has for temporary files.
        root: the file system that it begins with, which is not written to.
    """

    def __init__(self, folder: Path, root: Path = Path("/")) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._console = (folder / "console").open("w+")
        (folder / "overlay").mkdir()
        # The kernel ends the whole machine with the process that unshared it, which heeds no gentler signal.
        self._process = TetheredProcess(
            [str(BOOT), str(folder / "overlay"), str(root)],
            stop_signal=SIGKILL,
            stdout=self._console,
            stderr=self._console,
        )
        try:
            self._wait(lambda: self._init() is not None and self.status("is-system-running") in ("running", "degraded"))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Switch it off."""
        self._process.stop()
        self._console.close()

    def call(self, *command: str, given: str = "", seconds: float = CALL_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run a command in it as root, whatever comes of it."""
        inside = [
            "nsenter",
            f"--target={self._init()}",
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--root",
            "--wd",
        ]
        return subprocess.run(
            [*inside, "--", *command],
            env=ENVIRONMENT,
            input=given,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def run(self, *command: str, given: str = "", seconds: float = CALL_SECONDS) -> str:
        """Run a command in it as root, which has to succeed; returns its output."""
        done = self.call(*command, given=given, seconds=seconds)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def shell(self, script: str, seconds: float = CALL_SECONDS) -> str:
        """Run a script of /bin/sh in it as root, which has to succeed; returns its output."""
        return self.run("sh", "-eu", given=script, seconds=seconds)

    def write(self, path: str, content: str, mode: str = "0644") -> None:
        """Write a file in it, and the folders above it."""
        self.run("install", "-D", "--mode", mode, "/dev/stdin", path, given=content)

    def status(self, *question: str) -> str:
        """What `systemctl` answers, whatever its exit status says."""
        return self.call("systemctl", *question).stdout.strip()

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.status("show", "--value", "--property", name, unit)

    def journal(self, unit: str | None = None) -> str:
        """What a unit has logged, and what systemd has of it; the last lines of all of them if none is named."""
        which = f"--unit={unit}" if unit else "--lines=100"
        return self.run("journalctl", "--no-pager", "--output=cat", which)

    def _init(self) -> int | None:
        """The process that is the first one in there, by its number out here."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def _wait(self, is_up: Callable[[], bool]) -> None:
        ends = time.monotonic() + BOOT_SECONDS
        while not is_up():
            if self._process.poll() is not None or time.monotonic() > ends:
                self._console.seek(0)
                raise AssertionError(f"the machine does not start: {self._console.read()[-2000:]}")
            time.sleep(0.05)


def install_running_release(machine: Machine, project: Path, prefix: Path) -> None:
    """Install the sources as a release, with this process's interpreter and packages instead of a venv of its own."""
    release, packages = "/opt/calendar-sync/releases/test", prefix / "lib"
    python = Path(sys.executable).resolve().relative_to(Path(sys.base_prefix).resolve())
    machine.shell(f"""
        mkdir -p /opt/python /opt/packages {release}/venv/bin {release}/source
        mount --bind {Path(sys.base_prefix).resolve()} /opt/python
        mount --bind {packages} /opt/packages
        cp -r {project}/daemon.py {project}/outbox {project}/web {project}/sql {release}/source
        cp -r {project}/systemd {release}
        chmod -R a+rX {release}
    """)
    site = f"/opt/packages/{next(packages.glob('python*')).name}/site-packages"
    for name, module in {"calendar-sync": "daemon", "gunicorn": "gunicorn.app.wsgiapp"}.items():
        called = "main" if name == "calendar-sync" else "run"
        program = (
            f"import sys; sys.path[:0] = ['{release}/source', '{site}']; sys.argv[0] = '{name}'; "
            f"from {module} import {called}; sys.exit({called}())"
        )
        # The interpreter's own library is looked for where it was built.
        start = f'LD_LIBRARY_PATH=/opt/python/lib exec /opt/python/{python} -BPSs -c "{program}" "$@"'
        machine.write(f"{release}/venv/bin/{name}", f"#!/bin/sh\n{start}\n", mode="0755")
    machine.run(f"{release}/systemd/activate")
