"""Does one user's trouble delay anybody else? The same traffic twice, once with three of every five users in trouble.

Real parts: Postgres, one daemon process with default settings, the stand-in for Google over HTTP. Of every five users
of a tenant one has revoked our access, one is rate-limited, one is on a connection that hangs longer than any deadline;
all three begin as the first measured change is committed. Two are well, and their changes are timed from the commit to
the moment at which the calendar holds them.

    python -m tests.bench.neighbours [--seconds 180] [--users 200] [--together] [--json]

Exits with 0 if the healthy users' 99th percentile is at most twice that of the quiet run, and nothing of theirs is
missing.
"""

import argparse
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import psycopg
import structlog
from rich.console import Console
from rich.table import Table

from tests.bench.crowd import FAULTS, LOTS, Lot, Plan
from tests.integration.conftest import InProcess
from web.demo.embedded_postgres import EmbeddedPostgres
from web.demo.expectation import expected_states
from web.demo.mishaps import read_calendar
from web.demo.stage import Stage
from web.demo.traffic import Commit, Traffic, replay
from web.demo.verdict import Latencies, latencies
from web.sandbox.server import SandboxServer

PROBE_SECONDS = 0.5
"""Between two readings of a bystander, whose time shows whether the stand-in itself is the bottleneck."""

FILL_SECONDS, ARRIVE_SECONDS = 300.0, 90.0
"""The longest wait for the calendars to be filled, and after the last change for everything to arrive."""

TARGET_RATIO = 2.0
"""What the healthy users' 99th percentile may become."""


class Bystander:
    """Reads a calendar now and then, past our daemon, and notes how long that takes."""

    def __init__(self, read: Callable[[], object]) -> None:
        self._read = read
        self._took: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bystander")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def readings(self) -> Latencies:
        """Of each reading."""
        return Latencies(tuple(sorted(self._took)), 0)

    def _run(self) -> None:
        while not self._stop.wait(PROBE_SECONDS):
            began = time.monotonic()
            self._read()
            self._took.append((time.monotonic() - began) * 1000)


@dataclass(frozen=True, slots=True)
class Result:
    """What one run showed.

    Attributes:
        healthy: of the users who are well, change by change.
        late_by: seconds by which the producer fell behind at worst.
        struck: how many requests each kind of fault hit.
        broken: connections that need their users.
    """

    healthy: Latencies
    bystander: Latencies
    late_by: float
    struck: Mapping[str, int]
    broken: int

    def figures(self) -> dict[str, Any]:
        """By name, as `--json` prints them and the table shows them."""
        return {
            "changes timed": len(self.healthy.milliseconds),
            "never arrived": self.healthy.undelivered,
            "p50 ms": _rounded(self.healthy, 50),
            "p90 ms": _rounded(self.healthy, 90),
            "p99 ms": _rounded(self.healthy, 99),
            "worst ms": _rounded(self.healthy, 100),
            "stand-in's own p99 ms": _rounded(self.bystander, 99),
            "producer late by ms": round(self.late_by * 1000),
            "connections broken": self.broken,
            "requests delayed": self.struck.get("delay", 0),
            "requests refused": self.struck.get("refuse", 0),
        }


class Run:
    """One run from an empty database on."""

    def __init__(self, plan: Plan, stage: Stage, tell: Callable[[str], None]) -> None:
        self._plan = plan
        self._stage = stage
        self._tell = tell
        self._people = plan.people()

    def perform(self, log: IO[str], *, troubled: bool) -> Result:
        """Connect everybody, fill the calendars, let the trouble begin, play the traffic."""
        self._tell("connecting")
        for person, _ in self._people:
            self._stage.sandbox.add_account(person.account)
        with closing(InProcess(self._stage)) as http:
            self._stage.connect(http, [person for person, _ in self._people])
        with self._stage.start_daemon(log):
            self._tell("filling the calendars")
            replay(self._plan.first_traffic(), self._stage.database_url)
            _wait_until(lambda: self._count("outbox") + self._count("pending_push") == 0, FILL_SECONDS)
            if troubled:
                self._strike()
            self._tell("measuring")
            return self._measure()

    def _measure(self) -> Result:
        sandbox, traffic = self._stage.sandbox, self._plan.measured_traffic()
        reader = next(person.account.email for person, lot in self._people if lot is Lot.WELL)
        token = sandbox.user_token(reader)
        with Bystander(lambda: read_calendar(sandbox.calendar_url, token, reader)) as bystander:
            began = time.time()
            commits = replay(traffic, self._stage.database_url, speed=1.0)
            _wait_until(lambda: self._latencies(traffic, commits).undelivered == 0, ARRIVE_SECONDS)
        struck: dict[str, int] = {}
        for rule in sandbox.control("GET", "faults")["faults"]:
            struck[rule["kind"]] = struck.get(rule["kind"], 0) + rule["hits"]
        return Result(
            self._latencies(traffic, commits),
            bystander.readings,
            max(commit.sent - began - traffic.rows[commit.row].at for commit in commits),
            struck,
            self._count("calendar_connection WHERE state <> 'active'"),
        )

    def _strike(self) -> None:
        sandbox = self._stage.sandbox
        for person, lot in self._people:
            account = person.account.email
            if lot is Lot.REVOKED:
                sandbox.control("POST", "revoke", {"account": account})
            elif lot in FAULTS:
                fault = FAULTS[lot].model_copy(update={"account": account})
                sandbox.control("POST", "faults", fault.model_dump(mode="json"))

    def _latencies(self, traffic: Traffic, commits: Sequence[Commit]) -> Latencies:
        states = expected_states(traffic, job_url_template=self._stage.settings.job_url_template)
        calendars = {
            person.account.email: frozenset({person.user.tenant_id}) for person, lot in self._people if lot is Lot.WELL
        }
        return latencies(commits, self._stage.sandbox.control("GET", "journal")["entries"], states, calendars)

    def _count(self, rows: str) -> int:
        with psycopg.connect(self._stage.database_url) as connection:
            row = connection.execute(f"SELECT count(*) FROM calendar_sync.{rows}".encode()).fetchone()
        return 0 if row is None else int(row[0])


def compare_runs(plan: Plan, tell: Callable[[str], None], log: IO[str]) -> dict[str, Result]:
    """The quiet run and the troubled one, each with a server, a stand-in and a daemon of its own."""
    results = {}
    for name, troubled in (("quiet", False), ("troubled", True)):
        with ExitStack() as stack:
            postgres = stack.enter_context(EmbeddedPostgres())
            sandbox = stack.enter_context(SandboxServer())
            run = Run(plan, Stage(postgres.url, sandbox), lambda what, name=name: tell(f"{name} run: {what}"))  # type: ignore[misc]
            results[name] = run.perform(log, troubled=troubled)
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code says whether the target was met."""
    parser = argparse.ArgumentParser(prog="neighbours", description="Does one user's trouble delay anybody else?")
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=180.0, help="of measured traffic in each run")
    parser.add_argument("--cadence", type=float, default=15.0, help="seconds between two changes of one calendar")
    parser.add_argument("--together", action="store_true", help="all tenants change at one moment, not evenly spread")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--log", default=os.devnull, help="a file for the daemons' log")
    asked = parser.parse_args(arguments)
    console = Console(stderr=asked.json)
    # The web app in this process says little here that anybody wants to read.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    plan = Plan(asked.users, asked.seconds, asked.cadence, asked.seed, asked.together)
    with ExitStack() as stack:
        log = stack.enter_context(Path(asked.log).open("w", encoding="utf-8"))
        status = stack.enter_context(console.status("starting"))
        results = compare_runs(plan, status.update, log)
    quiet, troubled = results["quiet"], results["troubled"]
    before, after = quiet.healthy.percentile(99), troubled.healthy.percentile(99)
    ratio = after / before if before and after else float("inf")
    met = ratio <= TARGET_RATIO and quiet.healthy.undelivered == troubled.healthy.undelivered == 0
    if asked.json:
        print(json.dumps({name: result.figures() for name, result in results.items()} | {"ratio": round(ratio, 2)}))
    else:
        _print(console, plan, quiet.figures(), troubled.figures())
        console.print(f"p99 ratio {ratio:.2f}, target {TARGET_RATIO:.0f}: {'met' if met else 'MISSED'}")
    return 0 if met else 1


def _print(console: Console, plan: Plan, quiet: Mapping[str, Any], troubled: Mapping[str, Any]) -> None:
    well = LOTS.count(Lot.WELL) * len(plan.tenants)
    table = Table(title=f"{well} healthy users of {plan.users}, one daemon, seed {plan.seed}", title_justify="left")
    table.add_column("")
    for heading in ("quiet", "troubled"):
        table.add_column(heading, justify="right")
    for name in quiet:
        table.add_row(name, str(quiet[name]), str(troubled[name]))
    console.print(table)


def _wait_until(done: Callable[[], bool], seconds: float) -> None:
    """Until then, or until the time is over: what is not done by then shows in the figures."""
    ends = time.monotonic() + seconds
    while not done() and time.monotonic() < ends:
        time.sleep(1.0)


def _rounded(measured: Latencies, percent: float) -> int | None:
    value = measured.percentile(percent)
    return None if value is None else round(value)


if __name__ == "__main__":
    sys.exit(main())
