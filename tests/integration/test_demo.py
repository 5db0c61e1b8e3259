"""The demo as a person runs it: right on the packaged traffic, honest about what is wrong, and gone when it is over."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
import requests

from tests.integration.conftest import eventually
from web.demo import show
from web.demo.mishaps import Reader, read_calendar
from web.demo.traffic import SAMPLE, read_traffic
from web.sandbox.server import SandboxServer

PROJECT = Path(__file__).resolve().parents[2]

LIMIT = 120.0
"""Seconds within which anything here must have ended."""

FIELDS = {"type": "payload", "tz": "timezone", "number": "job_number"}
"""The field that each kind of broken row in the packaged traffic breaks."""

PROC = Path("/proc")

needs_proc = pytest.mark.skipif(not (PROC / "self" / "stat").exists(), reason="needs /proc")


@dataclass(frozen=True, slots=True)
class Process:
    """A process as /proc tells it; `started` tells it from a later one of the same id."""

    pid: int
    parent: int
    started: int
    command: str

    @property
    def alive(self) -> bool:
        found = process(self.pid)
        return found is not None and found.started == self.started


def process(pid: int) -> Process | None:
    """The process of that id, None if there is none or only what is left of it."""
    try:
        stat = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        command = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if stat[0] in "ZX" else Process(pid, int(stat[1]), int(stat[19]), command.strip())


def descendants(ancestor: int) -> set[Process]:
    """Every process that comes from this one."""
    everyone = [found for entry in PROC.glob("[0-9]*") if (found := process(int(entry.name)))]
    family, grown = {ancestor}, True
    while grown:
        more = {one.pid for one in everyone if one.parent in family} - family
        family |= more
        grown = bool(more)
    return {one for one in everyone if one.pid in family and one.pid != ancestor}


def marked(mark: str) -> set[Process]:
    """Every process whose environment was handed down with this mark."""
    found = set()
    for entry in PROC.glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if mark.encode() in (entry / "environ").read_bytes() and (one := process(int(entry.name))):
                found.add(one)
    return found


@contextlib.contextmanager
def demo(*options: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The demo as a process, killed at the end if it is still there, and the mark that all its parts inherit."""
    mark = f"demo-{uuid4().hex}"
    # A run that was begun in the background ignores SIGINT, and what it starts would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        [sys.executable, str(PROJECT / "daemon.py"), "demo", *options],
        env={**os.environ, "MARK": mark},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running, mark
        finally:
            running.kill()
            signal.signal(signal.SIGINT, before)


def gather(running: "subprocess.Popen[str]", *, until: str | None = None) -> set[Process]:
    """Every process seen below the demo until one with `until` in its command is there, or to the demo's end."""
    seen: set[Process] = set()

    def enough() -> bool:
        seen.update(descendants(running.pid))
        return running.poll() is not None or (until is not None and any(until in one.command for one in seen))

    eventually(enough, LIMIT)
    return seen


def wait_until_gone(seen: set[Process], mark: str) -> None:
    """Postgres writes over its environment, and what is begun last is not seen: only both looks find everything."""
    eventually(lambda: not any(one.alive for one in seen) and not marked(mark), 60)


def small(path: Path, **office: str) -> str:
    """Writes to `path` what the packaged traffic holds of these tenants, with one office user each: quickly set up."""
    header, *rows = map(json.loads, SAMPLE.read_text(encoding="utf-8").splitlines())
    names = {name.replace("_", "-"): user for name, user in office.items()}
    tenants = {name: {**header["tenants"][name], "office_users": [user]} for name, user in names.items()}
    lines = [{**header, "tenants": tenants}, *(row for row in rows if row["tenant_id"] in names)]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return str(path)


def assert_all_parts_were_there(seen: set[Process]) -> None:
    commands = [one.command for one in seen]
    for part in ("postgres -D", "web.sandbox", "web.demo.app", "daemon.py run"):
        assert any(part in command for command in commands), part


@needs_proc
def test_once_it_ends_right_with_the_figures_and_leaves_nothing_running() -> None:
    traffic = read_traffic(SAMPLE)
    with demo("--once", "--json") as (running, mark):
        seen = gather(running)
        out, err = running.communicate(timeout=LIMIT)
    assert running.returncode == 0, err
    figures = json.loads(out)
    assert list(figures)[:11] == [
        *("rows", "rolled_back", "rejected", "expected", "found", "missing", "extra", "stale", "wrong_calendar"),
        *("google_requests", "latency_ms"),
    ]
    assert figures["rows"] == sum(not row.rollback for row in traffic.rows)
    assert figures["rolled_back"] == sum(row.rollback for row in traffic.rows) > 0
    assert figures["found"] == figures["expected"] > 0
    assert [figures[name] for name in ("missing", "extra", "stale", "wrong_calendar", "duplicates_seen")] == [0] * 5
    assert 0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["p99"]
    assert figures["google_requests"] > 0
    reasons = {rejection["job_id"]: rejection["reason"].partition(":")[0] for rejection in figures["rejections"]}
    broken = {row.job_id: FIELDS[row.broken] for row in traffic.rows if row.broken and not row.rollback}
    assert reasons == broken
    assert figures["rejected"] == len(broken) > 0
    assert_all_parts_were_there(seen)
    wait_until_gone(seen, mark)
    (folder,) = {found[1] for one in seen if (found := re.search(r"/postgres -D (\S+)/data ", one.command))}
    assert not Path(folder).exists()


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_ended_in_the_middle_it_leaves_nothing_running(number: signal.Signals, tmp_path: Path) -> None:
    data = small(tmp_path / "kiwi.jsonl", kiwi_haul="u_ben")
    with demo("--once", "--json", "--speed", "1", "--data", data) as (running, mark):
        seen = gather(running, until="daemon.py run")
        assert running.poll() is None
        os.kill(running.pid, number)
        seen |= gather(running)
        out, _ = running.communicate(timeout=LIMIT)
    assert running.returncode == (-signal.SIGKILL if number is signal.SIGKILL else 1)
    assert out == ""
    assert_all_parts_were_there(seen)
    wait_until_gone(seen, mark)


@needs_proc
def test_it_stays_with_a_sign_in_page_until_it_is_interrupted(tmp_path: Path) -> None:
    with demo("--data", small(tmp_path / "kiwi.jsonl", kiwi_haul="u_ben")) as (running, mark):
        assert running.stdout is not None
        said = ""
        while "Ctrl-C ends everything." not in said:
            line = running.stdout.readline()
            assert line, said
            said += line
        seen = descendants(running.pid)
        addresses = re.findall(r"http://127\.0\.0\.1:\d+/", said)
        pages = [requests.get(address, timeout=30).text for address in addresses]
        os.kill(running.pid, signal.SIGINT)
        running.communicate(timeout=LIMIT)
    assert "Every calendar is right." in said
    assert "Sign in as a sample user" in pages[0]
    assert "Sandbox, a stand-in for Google" in pages[1]
    assert said.index(addresses[0]) < said.index(addresses[1]) < said.index("psql")
    assert running.returncode == 0
    assert_all_parts_were_there(seen)
    wait_until_gone(seen, mark)


class Tamperer(Reader):
    """A reader who, when the show is over, makes one fault of each kind, each in a calendar's own way."""

    sandbox: SandboxServer

    def stop(self) -> None:
        super().stop()
        owner, other = "u_ana@acme-freight.example.com", "u_anke@nordlicht-logistik.example.com"
        events = read_calendar(self.sandbox.calendar_url, self.sandbox.user_token(owner), owner)
        stale, missing, copied, strayed = events[:4]
        who = {"account": owner, "calendar": owner}
        self.sandbox.control(
            "POST", "user-edit", {**who, "event": stale["id"], "patch": {"location": "Somewhere else"}}
        )
        self.sandbox.control("POST", "user-delete", {**who, "event": missing["id"]})
        self._insert(owner, copied)
        self._insert(other, strayed)

    def _insert(self, calendar: str, event: dict[str, Any]) -> None:
        kept = ("summary", "description", "location", "start", "end", "extendedProperties", "source")
        answer = requests.post(
            f"{self.sandbox.calendar_url}/calendars/{quote(calendar, safe='')}/events",
            json={name: event[name] for name in kept if name in event},
            headers={"Authorization": f"Bearer {self.sandbox.user_token(calendar)}"},
            timeout=30,
        )
        answer.raise_for_status()


def test_it_cannot_say_right_when_something_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = small(tmp_path / "two.jsonl", acme_freight="u_ana", nordlicht_logistik="u_anke")

    class Sandbox(SandboxServer):
        def __init__(self) -> None:
            super().__init__()
            Tamperer.sandbox = self

    monkeypatch.setattr(show, "SandboxServer", Sandbox)
    monkeypatch.setattr(show, "Reader", Tamperer)
    before = signal.getsignal(signal.SIGTERM)
    try:
        status = show.show(show.Script(Path(data)), stay=False, as_json=True)
    finally:
        signal.signal(signal.SIGTERM, before)
    figures = json.loads(capsys.readouterr().out)
    assert status == 1
    faults = {name: figures[name] for name in ("missing", "extra", "stale", "wrong_calendar")}
    assert faults == {"missing": 1, "extra": 1, "stale": 1, "wrong_calendar": 1}
