"""Releases of this project that can be run beside each other: the working tree, and one from its history."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from outbox.settings import Settings
from web.demo.stage import FOREIGN_TO_THE_WEB_APP, ROOT, STOP_GRACE_SECONDS, Stage
from web.demo.tether import TetheredProcess
from web.settings import WebSettings

PREVIOUS = "d8927cb"
"""The commit of the release before this one."""

SCHEMA = 9
"""The last migration that it knows."""

WEB_GRACE_SECONDS = 30.0
"""Above the web app's own, for requests in flight."""


class NoHistoryError(RuntimeError):
    """The release before this one cannot be had; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Release:
    """One that lies in the folder `root`, run with the packages that are installed here."""

    name: str
    root: Path

    def migrate(self, database_url: str) -> str:
        """Run its `migrate`; what it said."""
        done = subprocess.run(
            [sys.executable, str(self.root / "daemon.py"), "migrate"],
            cwd=self.root,
            env={**_inherited(), "DATABASE_URL": database_url},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"migrate of the {self.name} release ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def start_daemon(self, stage: Stage, log: IO[str]) -> TetheredProcess:
        """A daemon of this release."""
        return TetheredProcess(
            [sys.executable, str(self.root / "daemon.py"), "run"],
            grace=STOP_GRACE_SECONDS,
            env={**_inherited(), **stage.environment},
            cwd=self.root,
            stdout=log,
            stderr=log,
        )

    def start_web(self, stage: Stage, listener: socket.socket, log: IO[str]) -> TetheredProcess:
        """The web app of this release; it accepts from `listener` beside whoever else does, as with a socket unit."""
        return TetheredProcess(
            [
                *(sys.executable, "-m", "gunicorn", "--config", "python:web.gunicorn_conf"),
                *("--bind", f"fd://{listener.fileno()}", "--workers", "2", "web.app:application"),
            ],
            stop_signal=signal.SIGTERM,
            grace=WEB_GRACE_SECONDS,
            env={**_inherited(), **stage.web_environment},
            cwd=self.root,
            stdout=log,
            stderr=log,
            command_fds=[listener.fileno()],
        )


def this_release() -> Release:
    """The working tree."""
    return Release("new", ROOT)


def previous_release(folder: Path) -> Release:
    """The release before this one, unpacked into the empty `folder`.

    Raises:
        NoHistoryError: it is not in the project's history here.
    """
    try:
        done = subprocess.run(["git", "archive", PREVIOUS], cwd=ROOT, capture_output=True, check=False)
    except FileNotFoundError:
        raise NoHistoryError("git is not installed, and the release before this one comes out of its history") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise NoHistoryError(
            f"commit {PREVIOUS}, the release before this one, is not here ({said}); "
            "use a full clone: git fetch --unshallow"
        )
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    # It refuses a schema that is newer than itself, which no later release does: else there were no way back.
    read = folder / "sql" / "migration" / "read.sql"
    read.write_text(read.read_text().replace("ORDER BY", f"WHERE version <= {SCHEMA} ORDER BY"))
    return Release("previous", folder)


def _inherited() -> Mapping[str, str]:
    ours = {*Settings.model_fields, *WebSettings.model_fields}
    kept = {name: value for name, value in os.environ.items() if name.lower() not in ours}
    return {name: value for name, value in kept.items() if name not in {*FOREIGN_TO_THE_WEB_APP, "PYTHONPATH"}}
