"""The demo: job traffic goes in at one end, and what stands in every calendar is held against the file."""

import json
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psycopg
import requests
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from outbox.database import open_pool
from outbox.user import User
from outbox.verbs.status import read_status
from web.demo.consent import ConsentError, NetworkHttp
from web.demo.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from web.demo.expectation import expected_states, final_shapes
from web.demo.mishaps import DaemonKiller, Reader, read_calendar
from web.demo.people import Person, newcomers, office_users
from web.demo.report import Outcome, print_addresses, print_report
from web.demo.roster import roster_of
from web.demo.stage import Stage
from web.demo.tether import TetheredProcess
from web.demo.traffic import Commit, Header, Traffic, TrafficError, read_traffic, replay
from web.demo.verdict import ExpectedCalendar, compare, latencies
from web.sandbox.server import SandboxServer
from web.sandbox.specs import FaultKind, FaultSpec

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
        except (ConsentError, requests.ConnectionError) as error:
            console.print(f"calendar-sync: the web app did not connect a user: {error}", markup=False, highlight=False)
            _show_log(console, log)
            return 1
        except EmbeddedPostgresError as error:
            console.print(f"calendar-sync: {error}", markup=False, highlight=False)
            return 1
        outcome = performance.outcome
        if as_json:
            print(json.dumps(outcome.figures(), ensure_ascii=False), flush=True)
        else:
            print_report(console, outcome)
        if not outcome.right:
            _show_log(console, log)
        if stay:
            _stay(console, performance)
    return 0 if outcome.right else 1


def _show_log(console: Console, log: IO[str]) -> None:
    log.seek(0)
    console.print("".join(log.readlines()[-40:]), markup=False, highlight=False)


@dataclass(frozen=True, slots=True)
class _Performance:
    outcome: Outcome
    stage: Stage
    header: Header
    psql: Path


@contextmanager
def _perform(script: Script, traffic: Traffic, console: Console, log: IO[str]) -> Iterator[_Performance]:
    people, others = office_users(traffic.header), newcomers(traffic.header)
    with ExitStack() as stack:
        with console.status("Starting Postgres, the stand-in for Google and the web app"):
            postgres = stack.enter_context(EmbeddedPostgres())
            sandbox = stack.enter_context(SandboxServer())
            for person in [*others, *people]:  # who is watched stands at the top of the sandbox's page
                sandbox.add_account(person.account)
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
            stage = Stage(postgres.url, sandbox, public_base_url=origin)
            stack.enter_context(stage.start_web(listener, roster_of(sandbox.url, people, others), log))
        with console.status("Connecting the office users"), NetworkHttp(origin) as http:
            calendars = stage.connect(http, people)
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
            chance=random.Random(script.seed),  # noqa: S311 - can be repeated, guards nothing
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
            traffic.header,
            postgres.programs / "psql",
        )


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
                asked = stage.sandbox.control("GET", "stats")["calendar_requests"]
                waiting = figures["outbox_rows"] + figures["pending_pushes"] - figures["problems"]
                progress.update(committing, completed=len(commits), note=f"{len(commits)} of {to_commit} rows")
                progress.update(pushing, note=f"{asked} requests to Google, {waiting} waiting")
                if failure:
                    raise failure[0]
                if not producer.is_alive() and killer.done and waiting == 0 and figures["lanes_leased"] == 0:
                    return commits
                if (now := (len(commits), asked, waiting, killer.killed)) != last:
                    last, since = now, time.monotonic()
                if time.monotonic() - since > GIVE_UP_SECONDS:
                    console.print(f"Nothing moved for {GIVE_UP_SECONDS:.0f} seconds; comparing what is there.")
                    return commits
                producer.join(POLL_SECONDS) if producer.is_alive() else time.sleep(POLL_SECONDS)


def _all_calendars(people: Sequence[Person]) -> dict[str, str]:
    """Every calendar there is, chosen or not, with somebody who can read it."""
    return {calendar_id: person.account.email for person in people for calendar_id in person.calendars}


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


def _stay(console: Console, performance: _Performance) -> None:
    tenant = next(iter(performance.header.tenants), "acme-freight")
    print_addresses(console, performance.stage, performance.psql, tenant)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        console.print("Stopping.")
