"""How much of Google's quotas do two daemons use while a backlog waits, and are they ever refused?

Real parts: Postgres, two daemon processes, the stand-in for Google over HTTP, which enforces sliding minutes as Google
does. Users connect while thousands of jobs are upcoming, so each calendar has a long backfill. First a few accounts, so
that what limits them is the quota of each; then many, with a smaller quota of the project, told to both sides.

    python -m tests.bench.quota [--minutes 10] [--project-minutes 3] [--json]

Exits with 0 if at least 95 % was used in every full minute, and not one request was refused.
"""

import argparse
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psycopg
import structlog
from psycopg.types.json import Jsonb
from rich.console import Console
from rich.table import Table

from outbox.user import User
from tests.integration.conftest import InProcess, job
from web.demo.embedded_postgres import EmbeddedPostgres
from web.demo.people import Person
from web.demo.stage import Stage
from web.sandbox.server import SandboxServer
from web.sandbox.specs import AccountSpec, QuotaSpec

DAEMONS = 2

TENANT = "tenant-1"

TARGET = 0.95
"""Of the quota, in every full minute."""

LOOK_SECONDS = 5.0
"""Between two looks at what the stand-in was asked."""

SPARE = 1.15
"""How much more waits than can be sent."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One part of the benchmark.

    Attributes:
        limited_by: whose quota is the smaller one, "account" or "project".
    """

    limited_by: str
    accounts: int
    minutes: int
    per_user: int
    per_project: int

    @property
    def jobs(self) -> int:
        """Upcoming jobs, each to be put into every calendar."""
        a_minute = self.per_user if self.limited_by == "account" else self.per_project / self.accounts
        return round(a_minute * (self.minutes + 1) * SPARE)

    @property
    def people(self) -> list[Person]:
        """Everybody, each with a primary calendar of their own."""
        return [
            Person(User(TENANT, f"u_{number}"), AccountSpec(email=f"u_{number}@example.com"))
            for number in range(self.accounts)
        ]


@dataclass(frozen=True, slots=True)
class Result:
    """What one part showed.

    Attributes:
        shares: of each full minute: what the account that used least used of its quota, or the project of its own.
        sent: requests in each full minute, of everybody.
        refused: requests that the stand-in refused for want of quota.
    """

    plan: Plan
    shares: Sequence[float]
    sent: Sequence[int]
    refused: int

    @property
    def met(self) -> bool:
        """Whether it is as it should be."""
        return self.refused == 0 and len(self.shares) == self.plan.minutes and min(self.shares) >= TARGET

    def figures(self) -> dict[str, Any]:
        """As `--json` prints them."""
        return {
            "limited by": self.plan.limited_by,
            "accounts": self.plan.accounts,
            "per user": self.plan.per_user,
            "per project": self.plan.per_project,
            "sent": list(self.sent),
            "shares": [round(share, 4) for share in self.shares],
            "refused": self.refused,
            "met": self.met,
        }


def run(plan: Plan, tell: Callable[[str], None], log: IO[str]) -> Result:
    """From an empty database on: jobs first, then users, then daemons."""
    settings = {
        "GOOGLE_USER_QUOTA_PER_MINUTE": str(plan.per_user),
        "GOOGLE_PROJECT_QUOTA_PER_MINUTE": str(plan.per_project),
    }
    with ExitStack() as stack:
        postgres = stack.enter_context(EmbeddedPostgres())
        sandbox = stack.enter_context(SandboxServer())
        stage = Stage(postgres.url, sandbox, settings)
        tell(f"{plan.jobs} jobs")
        _commit_jobs(stage, plan.jobs)
        with stage.start_daemon(log):
            _wait_until(lambda: _count(stage, "outbox") == 0)
        for person in plan.people:
            sandbox.add_account(person.account)
        quota = QuotaSpec(per_user=plan.per_user, per_project=plan.per_project)
        sandbox.control("PUT", "quotas", quota.model_dump(mode="json"))
        with closing(InProcess(stage)) as http:
            stage.connect(http, plan.people)
        seen = int(sandbox.control("GET", "requests")["last"])
        for _ in range(DAEMONS):
            stack.enter_context(stage.start_daemon(log))
        return _watch(plan, sandbox, seen, tell)


def _watch(plan: Plan, sandbox: SandboxServer, seen: int, tell: Callable[[str], None]) -> Result:
    began: float | None = None
    accepted: Counter[tuple[int, str]] = Counter()
    refused = 0
    while True:
        time.sleep(LOOK_SECONDS)
        found = sandbox.control("GET", f"requests?since={seen}")
        seen, now = int(found["last"]), time.time()
        for entry in found["entries"]:
            if entry["actor"] != "project" or not entry["path"].startswith("/calendar/"):
                continue
            began = entry["time"] if began is None else began
            if entry["status"] in (403, 429):
                refused += 1
            else:
                accepted[int((entry["time"] - began) // 60), entry["account"]] += 1
        if began is None:
            continue
        tell(f"limited by {plan.limited_by}: {now - began:.0f} s, {accepted.total()} sent, {refused} refused")
        if now >= began + plan.minutes * 60 + LOOK_SECONDS:
            break
    accounts = [person.account.email for person in plan.people]
    sent = [sum(accepted[minute, account] for account in accounts) for minute in range(plan.minutes)]
    least = [min(accepted[minute, account] for account in accounts) for minute in range(plan.minutes)]
    if plan.limited_by == "account":
        shares = [units / plan.per_user for units in least]
    else:
        shares = [units / plan.per_project for units in sent]
    return Result(plan, shares, sent, refused)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code says whether the target was met."""
    parser = argparse.ArgumentParser(prog="quota", description="How much of Google's quotas is used?")
    parser.add_argument("--minutes", type=int, default=10, help="limited by the accounts' quotas; 0 leaves it out")
    parser.add_argument("--project-minutes", type=int, default=3, help="limited by the project's; 0 leaves it out")
    parser.add_argument("--accounts", type=int, default=4, help="in the first part")
    parser.add_argument("--per-user", type=int, default=600)
    parser.add_argument("--per-project", type=int, default=1_800, help="in the second part")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--log", default=os.devnull, help="a file for the daemons' logs")
    asked = parser.parse_args(arguments)
    console = Console(stderr=asked.json)
    # The web app in this process says little here that anybody wants to read.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    plans = [
        Plan("account", asked.accounts, asked.minutes, asked.per_user, 10_000),
        Plan("project", 12, asked.project_minutes, asked.per_user, asked.per_project),
    ]
    with ExitStack() as stack:
        log = stack.enter_context(Path(asked.log).open("w", encoding="utf-8"))
        status = stack.enter_context(console.status("starting"))
        results = [run(plan, status.update, log) for plan in plans if plan.minutes]
    if asked.json:
        print(json.dumps([result.figures() for result in results]))
    else:
        for result in results:
            _print(console, result)
    return 0 if all(result.met for result in results) else 1


def _print(console: Console, result: Result) -> None:
    plan = result.plan
    heading = (
        f"{plan.accounts} accounts of {plan.per_user} a minute, a project of {plan.per_project}, {DAEMONS} daemons"
    )
    table = Table(title=heading, title_justify="left")
    table.add_column("minute", justify="right")
    table.add_column("sent", justify="right")
    table.add_column(
        "used of the project" if plan.limited_by == "project" else "used by who used least", justify="right"
    )
    for minute, (sent, share) in enumerate(zip(result.sent, result.shares, strict=True), 1):
        table.add_row(str(minute), str(sent), f"{share:.1%}")
    console.print(table)
    console.print(
        f"refused: {result.refused}; at least {TARGET:.0%} in every minute: {'met' if result.met else 'MISSED'}"
    )


def _commit_jobs(stage: Stage, number: int) -> None:
    with psycopg.connect(stage.database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload) VALUES (%s, %s, %s, %s)",
            [(TENANT, f"job_{place}", "job.created", Jsonb(job(f"J-{place}"))) for place in range(number)],
        )


def _count(stage: Stage, table: str) -> int:
    with psycopg.connect(stage.database_url) as connection:
        row = connection.execute(f"SELECT count(*) FROM calendar_sync.{table}".encode()).fetchone()
    return 0 if row is None else int(row[0])


def _wait_until(done: Callable[[], bool]) -> None:
    while not done():
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
