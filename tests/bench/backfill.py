"""How long from consent to a complete calendar, what does it cost at Google, and how late are live edits meanwhile?

Real parts: Postgres, one daemon process with default settings, the stand-in for Google over HTTP with Google's limits,
the real clock, and the real walk through the web app to consent and the choice of a calendar. The tenant's jobs have
the shapes of the packaged sample. Every so often a job changes while the calendar fills: in turn one that waits in the
backlog, one that is in the calendar already, and a new one.

    python -m tests.bench.backfill [--jobs 2000] [--every 20] [--json]

Exits with 0 if the calendar shows exactly what it should, not one request was refused, and no edit took too long.
"""

import argparse
import itertools
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import psycopg
import structlog
from rich.console import Console
from rich.status import Status

from outbox.user import User
from tests.integration.conftest import InProcess
from web.demo.consent import connect_person
from web.demo.embedded_postgres import EmbeddedPostgres
from web.demo.expectation import expected_states, final_shapes, shape_of
from web.demo.mishaps import read_calendar
from web.demo.people import Person
from web.demo.stage import Stage
from web.demo.traffic import SAMPLE, Commit, Header, Tenant, Traffic, TrafficRow, read_traffic, replay
from web.demo.verdict import ExpectedCalendar, Latencies, Verdict, compare, latencies
from web.sandbox.quotas import units
from web.sandbox.server import SandboxServer
from web.sandbox.specs import AccountSpec, QuotaSpec

TENANT = "acme-freight"
PERSON = Person(User(TENANT, "u_ana"), AccountSpec(email=f"u_ana@{TENANT}.example.com"))
CALENDAR = PERSON.account.email

PER_USER, PER_PROJECT = 600, 10_000
"""Google's limits, and the daemon's by default."""

SLOWEST_EDIT_SECONDS = 10.0
"""From commit to calendar; two of them wait for more edits."""

LOOK_SECONDS = 0.5
"""Between two looks at what is left to do."""

Payload = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured.

    Attributes:
        seconds: from before the walk to consent until the last upcoming job stood in the calendar.
        requests: of the Calendar API by kind, with their quota units.
        busiest: the most units in any sixty seconds.
        edits: the edits while it filled.
    """

    jobs: int
    seconds: float
    requests: dict[str, tuple[int, int]]
    busiest: int
    refused: int
    edits: Latencies
    verdict: Verdict

    @property
    def floor(self) -> float:
        """What an insert for each job takes at an even pace of the account's limit."""
        return self.jobs / PER_USER * 60

    @property
    def slowest_edit(self) -> float:
        """In seconds; infinite if one never arrived or there was none."""
        slowest = self.edits.percentile(100)
        return float("inf") if slowest is None or self.edits.undelivered else slowest / 1000

    @property
    def met(self) -> bool:
        """Whether it is as it should be."""
        return self.verdict.right and self.refused == 0 and self.slowest_edit <= SLOWEST_EDIT_SECONDS

    def figures(self) -> dict[str, Any]:
        """As `--json` prints them."""
        median = self.edits.percentile(50)
        return {
            "jobs": self.jobs,
            "seconds": round(self.seconds, 1),
            "floor_seconds": round(self.floor, 1),
            "requests": {kind: count for kind, (count, _) in self.requests.items()},
            "quota_units": {kind: cost for kind, (_, cost) in self.requests.items()},
            "busiest_minute": self.busiest,
            "refused": self.refused,
            "edits": len(self.edits.milliseconds),
            "edit_p50_seconds": None if median is None else round(median / 1000, 1),
            "edit_max_seconds": round(self.slowest_edit, 1),
            "expected": self.verdict.expected,
            "found": self.verdict.found,
            "wrong": len(self.verdict.findings),
            "met": self.met,
        }


def payloads() -> Iterator[Payload]:
    """Upcoming jobs without end, of the sample's shapes, spread over the year to come."""
    shown = [
        row.payload
        for row in read_traffic(SAMPLE).rows
        if isinstance(row.payload, dict) and row.broken is None and row.event_type != "job.cancelled"
        if shape_of(row, "") is not None
    ]
    begin = datetime.now(UTC).date() + timedelta(days=2)
    for number, payload in enumerate(itertools.cycle(shown)):
        days = begin - _first_day(payload) + timedelta(days=number * 7 % 360)
        yield {**_moved(payload, days), "job_number": f"J-{number:05}"}


def edits(first: Sequence[TrafficRow], more: Iterator[Payload]) -> Iterator[TrafficRow]:
    """What changes while the calendar fills: what waits, what is there, what is new, and again."""
    for number, payload in enumerate(more):
        yield _changed(first[-1 - number], number)
        yield _changed(first[number], number)
        yield TrafficRow(0.0, TENANT, f"job_new_{number:04}", "job.created", payload)


def run(jobs: int, every: float, status: Status, log: IO[str]) -> Result:
    """From an empty database on: jobs, the daemon, then consent."""
    source = payloads()
    first = [
        TrafficRow(0.0, TENANT, f"job_{number:05}", "job.created", payload)
        for number, payload in enumerate(itertools.islice(source, jobs))
    ]
    header = Header(date.today().isoformat(), {TENANT: Tenant("America/Chicago", (PERSON.user.user_id,))})  # noqa: DTZ011
    with ExitStack() as stack:
        postgres = stack.enter_context(EmbeddedPostgres())
        sandbox = stack.enter_context(SandboxServer())
        stage = Stage(postgres.url, sandbox)
        sandbox.control("PUT", "quotas", QuotaSpec(per_user=PER_USER, per_project=PER_PROJECT).model_dump(mode="json"))
        sandbox.add_account(PERSON.account)
        status.update(f"committing {jobs} jobs")
        replay(Traffic(header, tuple(first)), stage.database_url)
        stack.enter_context(stage.start_daemon(log))
        while _left(stage):
            time.sleep(LOOK_SECONDS)
        http = stack.enter_context(closing(InProcess(stage)))
        began = time.time()
        connect_person(stage.caller(http, PERSON.user), PERSON)
        rows, commits = [*first], list[Commit]()
        coming = edits(first, source)
        give_up = began + 3 * jobs / PER_USER * 60 + 120
        while (left := _left(stage)) and time.time() < give_up:
            status.update(f"{time.time() - began:.0f} s, {left} left, {len(commits)} edits")
            if time.time() >= began + (len(commits) + 0.5) * every:
                row = next(coming)
                commits += [
                    replace(commit, row=len(rows)) for commit in replay(Traffic(header, (row,)), stage.database_url)
                ]
                rows.append(row)
            time.sleep(LOOK_SECONDS)
        return _judge(stage, Traffic(header, tuple(rows)), commits, jobs=jobs, began=began)


def _judge(stage: Stage, traffic: Traffic, commits: list[Commit], *, jobs: int, began: float) -> Result:
    sandbox = stage.sandbox
    states = expected_states(traffic, job_url_template=stage.settings.job_url_template)
    expected = {CALENDAR: ExpectedCalendar(frozenset({TENANT}), final_shapes(states))}
    found = {CALENDAR: read_calendar(sandbox.calendar_url, sandbox.user_token(CALENDAR), CALENDAR)}
    journal = sandbox.control("GET", "journal")["entries"]
    upcoming = {row.job_id for row in traffic.rows[:jobs]}
    appeared: dict[str, float] = {}
    for entry in journal:
        job_id = entry["resource"].get("extendedProperties", {}).get("private", {}).get("calendarSyncJob")
        if job_id in upcoming:
            appeared.setdefault(job_id, entry["time"])
    asked = [
        entry
        for entry in sandbox.control("GET", "requests")["entries"]
        if entry["actor"] == "project" and entry["path"].startswith("/calendar/")
    ]
    counts = Counter(_kind(entry) for entry in asked)
    costs = Counter[str]()
    for entry in asked:
        costs[_kind(entry)] += units(entry["method"])
    return Result(
        jobs=jobs,
        seconds=max(appeared.values(), default=began) - began,
        requests={kind: (count, costs[kind]) for kind, count in counts.most_common()},
        busiest=_busiest([(entry["time"], units(entry["method"])) for entry in asked]),
        refused=sum(entry["status"] in (403, 429) for entry in asked),
        edits=latencies(commits, journal, states, {CALENDAR: frozenset({TENANT})}),
        verdict=compare(expected, found),
    )


def _kind(entry: dict[str, Any]) -> str:
    if "/events" not in entry["path"]:
        return "calendar list"
    method = str(entry["method"])
    return {"POST": "insert", "PUT": "update", "GET": "read", "DELETE": "delete"}.get(method, method)


def _busiest(charges: Sequence[tuple[float, int]]) -> int:
    """The most units within any minute."""
    most, used, oldest = 0, 0, 0
    for moment, cost in charges:
        used += cost
        while charges[oldest][0] <= moment - 60:
            used -= charges[oldest][1]
            oldest += 1
        most = max(most, used)
    return most


def _left(stage: Stage) -> int:
    """Rows that are not relayed and jobs that are not pushed."""
    with psycopg.connect(stage.database_url) as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM calendar_sync.outbox) + (SELECT count(*) FROM calendar_sync.pending_push)"
        ).fetchone()
    return 0 if row is None else int(row[0])


def _changed(row: TrafficRow, number: int) -> TrafficRow:
    """The job after an edit that its event shows."""
    assert isinstance(row.payload, dict)
    payload = {**row.payload, "job_number": f"{row.payload['job_number']} edit {number}"}
    return replace(row, event_type="job.updated", payload=payload)


def _windows(payload: Payload) -> Iterator[Payload]:
    for leg in payload["legs"]:
        for window in (leg.get("dispatch_window"), leg.get("delivery_window")):
            if window:
                yield window


def _first_day(payload: Payload) -> date:
    bounds = (window.get(side) for window in _windows(payload) for side in ("start", "end"))
    return min(date.fromisoformat(bound[:10]) for bound in bounds if bound)


def _moved(payload: Payload, days: timedelta) -> Payload:
    """The same job, some days later."""
    moved: Payload = json.loads(json.dumps(payload))
    for window in _windows(moved):
        for side in ("start", "end"):
            if window.get(side):
                day = date.fromisoformat(window[side][:10]) + days
                window[side] = day.isoformat() + window[side][10:]
    return moved


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code says whether all was as it should be."""
    parser = argparse.ArgumentParser(prog="backfill", description="How long from consent to a complete calendar?")
    parser.add_argument("--jobs", type=int, default=2_000, help="upcoming when the user connects")
    parser.add_argument("--every", type=float, default=20.0, help="seconds between two live edits")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--log", default=os.devnull, help="a file for the daemon's log")
    asked = parser.parse_args(arguments)
    console = Console(stderr=asked.json)
    # The web app in this process says little here that anybody wants to read.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with Path(asked.log).open("w", encoding="utf-8") as log, console.status("starting") as status:
        result = run(asked.jobs, asked.every, status, log)
    if asked.json:
        print(json.dumps(result.figures()))
    else:
        _print(console, result)
    return 0 if result.met else 1


def _print(console: Console, result: Result) -> None:
    figures = result.figures()
    console.print(
        f"{result.jobs} jobs in the calendar {figures['seconds']} s after consent was asked for; "
        f"the quota of {PER_USER} a minute allows {figures['floor_seconds']} s at an even pace."
    )
    for kind, (count, cost) in result.requests.items():
        console.print(f"  {kind}: {count} requests, {cost} quota units")
    console.print(f"At most {result.busiest} units in any minute; {result.refused} refused.")
    console.print(
        f"{figures['edits']} live edits meanwhile, from commit to calendar: p50 {figures['edit_p50_seconds']} s, "
        f"max {figures['edit_max_seconds']} s."
    )
    for finding in result.verdict.findings[:20]:
        console.print(f"{finding.fault.value}: {finding.job_id}: {finding.detail}", style="red")
    console.print(
        f"{result.verdict.expected} events expected, {result.verdict.found} found, "
        f"{len(result.verdict.findings)} wrong: {'as it should be' if result.met else 'NOT AS IT SHOULD BE'}"
    )


if __name__ == "__main__":
    sys.exit(main())
