"""The demo: job traffic goes in at one end, and what stands in every calendar is held against the file."""

import json
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from outbox.connections import User
from outbox.database import open_pool
from outbox.status import read_status
from web.demo.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from web.demo.expectation import expected_states, final_shapes
from web.demo.mishaps import DaemonKiller, Reader, read_calendar
from web.demo.stage import Person, Stage
from web.demo.tether import TetheredProcess
from web.demo.traffic import Commit, Traffic, TrafficError, read_traffic, replay
from web.demo.verdict import ExpectedCalendar, Fault, Latencies, Verdict, compare, latencies
from web.sandbox.server import SandboxServer
from web.sandbox.specs import AccountSpec, CalendarSpec, FaultKind, FaultSpec

SAMPLE = Path(__file__).with_name("data") / "sample.jsonl"

GIVE_UP_SECONDS = 180.0
"""Without any progress for this long the rest is compared as it is."""

POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Script:
    """What to play.

    Attributes:
        data: the traffic, by default the packaged sample.
        speed: times real time; None for as fast as the database takes it.
        daemons: how many at once.
        kills: how many times to SIGKILL one at a random moment.
        cut_one_in: Google does the work and then cuts the connection, for one request in so many; 0 for none.
        seed: of the random moments.
    """

    data: Path | None = None
    speed: float | None = None
    daemons: int = field(default=1, kw_only=True)
    kills: int = field(default=0, kw_only=True)
    cut_one_in: int = field(default=0, kw_only=True)
    seed: int = field(default=1, kw_only=True)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that a performance showed."""

    verdict: Verdict
    latencies: Latencies
    rows: int
    rolled_back: int
    rejections: list[tuple[str, str]]
    google_requests: int
    seconds: float
    kills: int
    duplicates_seen: int
    readings: int

    @property
    def right(self) -> bool:
        """Whether nothing is missing, extra, stale or in a wrong calendar, and no reader ever saw a job twice."""
        return self.verdict.right and self.duplicates_seen == 0

    def figures(self) -> dict[str, Any]:
        """The figures as `--json` prints them."""
        return {
            "rows": self.rows,
            "rolled_back": self.rolled_back,
            "rejected": len(self.rejections),
            "expected": self.verdict.expected,
            "found": self.verdict.found,
            **{fault.value: self.verdict.count(fault) for fault in Fault},
            "google_requests": self.google_requests,
            "latency_ms": {
                "p50": _rounded(self.latencies.percentile(50)),
                "p99": _rounded(self.latencies.percentile(99)),
            },
            "daemons_killed": self.kills,
            "duplicates_seen": self.duplicates_seen,
            "rejections": [{"job_id": job_id, "reason": reason} for job_id, reason in self.rejections],
        }


def show(script: Script, *, stay: bool, as_json: bool) -> int:
    """Play the script; returns the exit code, 0 only if every calendar is right.

    Args:
        stay: keep everything running afterwards, until Ctrl-C.
        as_json: print the figures alone.
    """
    console = Console(stderr=as_json)
    try:
        traffic = read_traffic(script.data or SAMPLE)
    except TrafficError as error:
        console.print(f"calendar-sync: {error}", markup=False, highlight=False)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log, ExitStack() as stack:
        try:
            performance = stack.enter_context(_perform(script, traffic, console, log))
        except KeyboardInterrupt:
            return 1
        except EmbeddedPostgresError as error:
            console.print(f"calendar-sync: {error}", markup=False, highlight=False)
            return 1
        outcome = performance.outcome
        if as_json:
            print(json.dumps(outcome.figures(), ensure_ascii=False), flush=True)
        else:
            _report(console, outcome)
        if not outcome.right:
            log.seek(0)
            console.print("".join(log.readlines()[-40:]), markup=False, highlight=False)
        if stay:
            _stay(console, performance)
    return 0 if outcome.right else 1


@dataclass(frozen=True, slots=True)
class _Performance:
    outcome: Outcome
    stage: Stage
    psql: Path


@contextmanager
def _perform(script: Script, traffic: Traffic, console: Console, log: Any) -> Iterator[_Performance]:
    people = _people(traffic)
    with ExitStack() as stack:
        with console.status("Starting Postgres and the stand-in for Google"):
            postgres = stack.enter_context(EmbeddedPostgres())
            sandbox = stack.enter_context(SandboxServer())
            for person in people:
                sandbox.add_account(person.account)
            stage = Stage(postgres.url, sandbox)
        with console.status("Connecting the office users"):
            calendars = stage.connect(people)
        if script.cut_one_in:
            cut = FaultSpec(kind=FaultKind.CUT_AFTER, path="/calendar/v3/", every=script.cut_one_in)
            sandbox.control("POST", "faults", cut.model_dump(mode="json"))
        daemons: list[TetheredProcess] = []
        stack.callback(lambda: [daemon.stop() for daemon in daemons])
        daemons += [stage.start_daemon(log) for _ in range(script.daemons)]
        owners = _all_calendars(people)
        tokens = {person.account.email: sandbox.user_token(person.account.email) for person in people}

        def read(calendar: str) -> list[dict[str, Any]]:
            return read_calendar(sandbox.calendar_url, tokens[owners[calendar]], calendar)

        reader = Reader(read, sorted(set(calendars.values())))
        killer = DaemonKiller(
            daemons,
            lambda: stage.start_daemon(log),
            kills=script.kills,
            chance=random.Random(script.seed),  # noqa: S311
        )
        began = time.monotonic()
        reader.start()
        killer.start()
        try:
            commits = _play(script, traffic, stage, console, killer)
        finally:
            killer.stop()
            reader.stop()
        took = time.monotonic() - began
        found = {calendar: read(calendar) for calendar in owners}
        yield _Performance(
            _judge(traffic, stage, calendars, found, commits, reader=reader, kills=killer.killed, seconds=took),
            stage,
            postgres.programs / "psql",
        )


def _people(traffic: Traffic) -> list[Person]:
    """The file's office users; of each tenant the first picks the primary calendar, the last two share one."""
    people = []
    for tenant_id, tenant in traffic.header.tenants.items():
        board = CalendarSpec(id=f"board@{tenant_id}.example.com", summary="Dispatch board", time_zone=tenant.timezone)
        for place, user_id in enumerate(tenant.office_users):
            own = CalendarSpec(id=f"jobs-{user_id}@{tenant_id}.example.com", summary="Jobs", time_zone=tenant.timezone)
            shares = len(tenant.office_users) > 3 and place >= len(tenant.office_users) - 2
            account = AccountSpec(
                email=f"{user_id}@{tenant_id}.example.com",
                name=user_id,
                time_zone=tenant.timezone,
                calendars=(own, board) if shares else (own,),
            )
            chosen = board.id if shares else (None if place == 0 else own.id)
            people.append(Person(User(tenant_id, user_id), account, chosen))
    return people


def _play(script: Script, traffic: Traffic, stage: Stage, console: Console, killer: DaemonKiller) -> list[Commit]:
    """Commit the traffic as a producer would, and wait until nothing is left to do."""
    commits: list[Commit] = []
    to_commit = sum(not row.rollback for row in traffic.rows)
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        committing = progress.add_task("Committing", total=to_commit, note="")
        pushing = progress.add_task("Pushing", total=None, note="")
        failure: list[BaseException] = []

        def produce() -> None:
            try:
                replay(traffic, stage.database_url, speed=script.speed, on_commit=commits.append)
            except BaseException as error:  # noqa: BLE001 - shown by the thread that waits
                failure.append(error)

        producer = threading.Thread(target=produce, name="producer", daemon=True)
        producer.start()
        with open_pool(stage.database_url, size=1) as pool:
            last, since = None, time.monotonic()
            while True:
                figures = read_status(pool)
                requests = stage.sandbox.control("GET", "stats")["calendar_requests"]
                waiting = figures["outbox_rows"] + figures["pending_pushes"] - figures["problems"]
                progress.update(committing, completed=len(commits), note=f"{len(commits)} of {to_commit} rows")
                progress.update(pushing, note=f"{requests} requests to Google, {waiting} waiting")
                if failure:
                    raise failure[0]
                if not producer.is_alive() and killer.done and waiting == 0 and figures["lanes_leased"] == 0:
                    return commits
                if (now := (len(commits), requests, waiting, killer.killed)) != last:
                    last, since = now, time.monotonic()
                if time.monotonic() - since > GIVE_UP_SECONDS:
                    console.print(f"Nothing moved for {GIVE_UP_SECONDS:.0f} seconds; comparing what is there.")
                    return commits
                producer.join(POLL_SECONDS) if producer.is_alive() else time.sleep(POLL_SECONDS)


def _all_calendars(people: Sequence[Person]) -> dict[str, str]:
    """Every calendar there is, chosen or not, with somebody who can read it."""
    readable = {}
    for person in people:
        for calendar_id in (person.account.email, *(calendar.id for calendar in person.account.calendars)):
            readable[calendar_id] = person.account.email
    return readable


def _judge(
    traffic: Traffic,
    stage: Stage,
    calendars: dict[User, str],
    found: dict[str, list[dict[str, Any]]],
    commits: list[Commit],
    *,
    reader: Reader,
    kills: int,
    seconds: float,
) -> Outcome:
    states = expected_states(traffic, job_url_template=stage.settings.job_url_template)
    shapes = final_shapes(states)
    tenants: dict[str, frozenset[str]] = {}
    for user, calendar in calendars.items():
        tenants[calendar] = tenants.get(calendar, frozenset()) | {user.tenant_id}
    expected = {
        calendar: ExpectedCalendar(
            names, {key: shape for key, shape in shapes.items() if key[0] in names and shape is not None}
        )
        for calendar, names in tenants.items()
    }
    with psycopg.connect(stage.database_url) as connection:
        rejections = connection.execute(
            "SELECT job_id, reason FROM calendar_sync.rejected_event ORDER BY outbox_id"
        ).fetchall()
    journal = stage.sandbox.control("GET", "journal")["entries"]
    return Outcome(
        compare(expected, found),
        latencies(commits, journal, states, tenants),
        rows=len(commits),
        rolled_back=sum(row.rollback for row in traffic.rows),
        rejections=rejections,
        google_requests=stage.sandbox.control("GET", "stats")["calendar_requests"],
        seconds=seconds,
        kills=kills,
        duplicates_seen=reader.duplicates,
        readings=reader.readings,
    )


def _report(console: Console, outcome: Outcome) -> None:
    table = Table(title="What should be there, and what is there", title_justify="left")
    table.add_column("Calendar", overflow="fold")
    for heading in ("should be", "is", "missing", "extra", "stale", "wrong"):
        table.add_column(heading, justify="right")
    unused = [row for row in outcome.verdict.calendars if not row.expected and not row.found]
    for row in outcome.verdict.calendars:
        if row in unused:
            continue
        wrong = any(row.faults.values())
        table.add_row(
            row.calendar,
            str(row.expected),
            str(row.found),
            *(str(row.faults.get(fault, 0)) for fault in Fault),
            style="red" if wrong else "",
        )
    console.print(table)
    console.print(f"{len(unused)} calendars that nobody chose are empty, as they should be.")
    for finding in outcome.verdict.findings[:20]:
        console.print(f"{finding.fault.value}: {finding.job_id} in {finding.calendar}: {finding.detail}", style="red")
    figures = outcome.figures()
    console.print(
        f"{outcome.rows} rows committed, {outcome.rolled_back} rolled back, {len(outcome.rejections)} rejected; "
        f"{outcome.google_requests} requests to Google in {outcome.seconds:.1f} s.",
        soft_wrap=True,
    )
    for job_id, reason in outcome.rejections:
        console.print(f"  rejected {job_id}: {reason}", markup=False, highlight=False, soft_wrap=True)
    latency = figures["latency_ms"]
    console.print(
        f"Commit to calendar: p50 {latency['p50']} ms, p99 {latency['p99']} ms (2 s of it wait for more edits).",
        soft_wrap=True,
    )
    console.print(f"A reader looked {outcome.readings} times and saw {outcome.duplicates_seen} jobs twice.")
    if outcome.kills:
        console.print(f"{outcome.kills} daemons were killed on the way.")
    verdict = "Every calendar is right." if outcome.right else "Not every calendar is right."
    console.print(verdict, style="bold green" if outcome.right else "bold red")


def _stay(console: Console, performance: _Performance) -> None:
    console.print(f"\nThe calendars: {performance.stage.sandbox.url}/")
    console.print("Change a job yourself and watch it arrive:")
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    console.print(
        f"  {performance.psql} '{performance.stage.database_url}' -c \"INSERT INTO calendar_sync.outbox "
        "(tenant_id, job_id, event_type, payload) VALUES ('acme-freight', 'job_mine', 'job.created', "
        '\'{\\"schema_version\\": 1, \\"job_number\\": \\"MINE-1\\", \\"legs\\": [{\\"summary\\": \\"Here → There\\", '
        f'\\"dispatch_window\\": {{\\"start\\": \\"{tomorrow}\\"}}}}]}}\')"',
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    console.print("Ctrl-C ends everything.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        console.print("Stopping.")


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 1)
