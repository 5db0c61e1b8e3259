"""From a fresh Debian to an event in a calendar, an upgrade and the way back, by following the documents: `make vm`.

Every block of shell in docs/getting-started.md and docs/upgrading.md is run as it stands, by root, on a machine that
was made from Debian's packages a moment before and booted with its own systemd. What a document asks a person to do by
hand is done between the blocks, with the project's stand-in as Google. Needs root, mmdebstrap, Debian's packages and
those of requirements.lock; takes the ports 5432, 8080, 9464 and 9465 of this machine.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import requests

from outbox.user import User
from tests.systemd.machine import Machine, what_is_missing
from web.api.paths import API
from web.demo.consent import Caller, NetworkHttp, connect_person
from web.demo.mishaps import read_calendar
from web.demo.people import Person
from web.demo.session import session_token
from web.sandbox.server import SandboxServer
from web.sandbox.specs import AccountSpec

PROJECT = Path(__file__).resolve().parents[2]

SUITE = "bookworm"

SOURCES = "/usr/local/src/calendar-sync"

PORTS = (5432, 8080, 9464, 9465)

WEB = "http://127.0.0.1:8080"

ANA = Person(User("acme", "u_ana"), AccountSpec(email="ana@example.com"))

BLOCK_SECONDS = 600.0

EVENT_SECONDS = 60.0

SECTION = re.compile(r"^## ([^\n]+)$|^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: str) -> Iterator[tuple[str, str]]:
    """The title of each section, with an empty string, and then each block of shell in it."""
    title = ""
    for found in SECTION.finditer((PROJECT / "docs" / document).read_text()):
        if found[1]:
            title = found[1]
            yield title, ""
        else:
            yield title, found[2]


class Walk:
    """Somebody who sets the machine up."""

    def __init__(self, machine: Machine, google: SandboxServer) -> None:
        self.machine = machine
        self.google = google
        google.add_account(ANA.account)

    def follow(self, document: str, by_hand: dict[str, Callable[[], None]]) -> None:
        """Run every block; after the last one of a section do what it asks for by hand."""
        waiting: Callable[[], None] | None = None
        for title, block in blocks(document):
            if not block:
                if waiting is not None:
                    waiting()
                waiting = by_hand.pop(title, None)
                continue
            if title.startswith("8."):
                # There a person comes first.
                self._do(waiting)
                waiting = None
            began = time.monotonic()
            print(f"{document}, {title}", *(f"    # {line}" for line in block.splitlines()), sep="\n")
            self.machine.shell(block, seconds=BLOCK_SECONDS)
            print(f"    {time.monotonic() - began:.1f} s", flush=True)
        self._do(waiting)
        if by_hand:
            raise AssertionError(f"{document} has no sections {sorted(by_hand)}")

    def put_secret(self) -> None:
        """Step 4."""
        self.machine.write("/etc/calendar-sync/credentials/GOOGLE_OAUTH_CLIENT_SECRET", "sandbox-secret\n", "0600")

    def put_settings(self) -> None:
        """Step 5, with the stand-in's addresses for Google's."""
        environment = self.machine.run("cat", "/etc/calendar-sync/environment")
        for name, value in {
            "GOOGLE_OAUTH_CLIENT_ID": "sandbox-client",
            "GOOGLE_OAUTH_REDIRECT_URI": f"{WEB}{API}/callback",
            "PUBLIC_BASE_URL": WEB,
            "GOOGLE_AUTHORIZE_URL": self.google.authorize_url,
            "GOOGLE_TOKEN_URL": self.google.token_url,
            "GOOGLE_REVOKE_URL": self.google.revoke_url,
            "GOOGLE_CALENDAR_URL": self.google.calendar_url,
        }.items():
            environment = re.sub(rf"^{name}=.*\n", "", environment, flags=re.MULTILINE) + f"{name}={value}\n"
        self.machine.write("/etc/calendar-sync/environment", environment)

    def connect(self) -> None:
        """Step 8: a user at a browser."""
        key = self.machine.run("cat", "/etc/calendar-sync/credentials/AUTH_JWT_KEY").strip()
        with NetworkHttp(WEB) as http:
            connect_person(Caller(http, session_token(key, ANA.user)), ANA)

    def commit(self, number: str) -> None:
        """What the jobs service does, as in the document."""
        block = next(block for title, block in blocks("getting-started.md") if title.startswith("8.") and block)
        self.machine.shell(block.replace("job_1", f"job_{number}").replace("J-1", number))

    def wait_for(self, *numbers: str) -> None:
        """Until these jobs, and no others, stand in the calendar."""
        wanted = [f"{number} · Dallas → Memphis" for number in numbers]
        ends = time.monotonic() + EVENT_SECONDS
        while (stands := self._titles()) != wanted:
            if time.monotonic() > ends:
                raise AssertionError(f"in the calendar stands {stands} instead of {wanted}")
            time.sleep(0.2)
        print(f"in the calendar: {', '.join(wanted)}", flush=True)

    def _titles(self) -> list[str]:
        email = ANA.account.email
        events = read_calendar(self.google.calendar_url, self.google.user_token(email), email)
        return sorted(event["summary"] for event in events)

    @staticmethod
    def _do(action: Callable[[], None] | None) -> None:
        if action is not None:
            action()


@contextmanager
def asking() -> Iterator[list[str]]:
    """Ask the web app all the time; in the list are the answers that were none."""
    stop, failures, answered = threading.Event(), list[str](), 0

    def ask() -> None:
        nonlocal answered
        while not stop.is_set():
            try:
                requests.get(f"{WEB}/healthz", timeout=60, headers={"Connection": "close"}).raise_for_status()
                answered += 1
            except requests.RequestException as error:
                failures.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield failures
    finally:
        stop.set()
        thread.join()
        print(f"requests meanwhile: {answered} answered, {len(failures)} failed", flush=True)


def fresh_root(folder: Path) -> Path:
    """Debian as an image has it: its base, systemd, and this machine's way to packages."""
    root = folder / "root"
    include = "systemd-sysv,dbus,ca-certificates,util-linux,procps"
    subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={include}", SUITE, str(root)], check=True)
    reach_packages(root)
    return root


def reach_packages(root: Path) -> None:
    """Let what runs in there find packages as this machine does."""
    for file in ("/etc/resolv.conf", "/etc/hosts"):
        (root / file[1:]).unlink(missing_ok=True)
        shutil.copy(file, root / file[1:])
    if authority := os.environ.get("PIP_CERT"):
        shutil.copy(authority, root / "etc/pip-authorities.pem")
        (root / "etc/pip.conf").write_text("[global]\ncert = /etc/pip-authorities.pem\n")


def unpack(root: Path) -> None:
    """Put the sources where the document has them."""
    ignored = shutil.ignore_patterns(".venv", ".git", "__pycache__", ".*_cache", ".hypothesis", ".work", ".artefacts")
    shutil.copytree(PROJECT, root / SOURCES[1:], ignore=ignored, symlinks=True)
    subprocess.run(["chmod", "--recursive", "go=", str(root / SOURCES[1:])], check=True)


def refuse_if_it_cannot_be() -> None:
    """End with a line that says what is missing."""
    missing = what_is_missing()
    if missing is None and shutil.which("mmdebstrap") is None:
        missing = "mmdebstrap: apt-get install mmdebstrap"
    if missing:
        sys.exit(f"make vm needs {missing}")
    for port in PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                sys.exit(f"make vm needs port {port} of this machine, where somebody listens")


def main() -> None:
    """Walk, and say how long each step took."""
    refuse_if_it_cannot_be()
    began = time.monotonic()

    def told(what: str) -> None:
        print(f"{what}: {time.monotonic() - began:.0f} s from the beginning", flush=True)

    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(dir="/var/tmp")))
        root = fresh_root(folder)
        unpack(root)
        told("a fresh Debian")
        google: Any = parts.enter_context(SandboxServer())
        machine = parts.enter_context(Machine(folder / "machine", root))
        walk = Walk(machine, google)
        walk.follow(
            "getting-started.md",
            {"4. Secrets": walk.put_secret, "5. Settings": walk.put_settings, "8. The first event": walk.connect},
        )
        walk.wait_for("J-1")
        told("the first event")
        if closed := machine.run("find", "/opt/calendar-sync/current/", "!", "-perm", "-a+r"):
            raise AssertionError(f"not readable by everybody: {closed}")
        print(machine.run("calendar-sync", "status"))
        first = machine.run("readlink", "/opt/calendar-sync/current")
        # The next release.
        machine.shell(f"sed -i 's/^version = .*/version = \"99.0\"/' {SOURCES}/pyproject.toml")
        with asking() as failures:
            walk.commit("J-2")
            walk.follow("upgrading.md", {})
            walk.commit("J-3")
        walk.wait_for("J-1", "J-2", "J-3")
        if failures or machine.run("readlink", "/opt/calendar-sync/current") != first:
            raise AssertionError(f"the way there and back: {failures or 'another release runs than at first'}")
        told("an upgrade, and the way back")
        # As after an upgrade of Debian: what was installed for the Python that was there finds its packages no more.
        machine.shell("for lib in /opt/calendar-sync/releases/*/venv/lib; do mv $lib/python3.* $lib/python3.0; done")
        machine.shell(f"cd {SOURCES} && systemd/install", seconds=BLOCK_SECONDS)
        walk.commit("J-4")
        walk.wait_for("J-1", "J-2", "J-3", "J-4")
        told("the same for another Python")
        print(machine.run("systemctl", "--no-pager", "list-units", "calendar-sync*"))


if __name__ == "__main__":
    main()
