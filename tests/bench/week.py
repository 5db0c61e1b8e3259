"""A week of job traffic in twenty minutes: does anything grow, or get slower, from the first hour to the last?

Real parts: Postgres with its default settings, one daemon process, and the benchmarks' stand-in for Google, which knows
no limits. The clock of the database goes on by itself while an hour's changes are committed and pushed, and jumps to
the next full hour when nothing is left to do: so jobs end, tokens run out, and what is old is forgotten, as in a week.
docs/week.md says what that leaves out.

    python -m tests.bench.week [--days 7] [--rows 300] [--write] [--json FILE] [--log FILE]

Exits with 0 if every calendar shows exactly what it should in the end.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from rich.console import Console

from outbox.crypto import generate_key
from outbox.migrations import migrate
from tests.bench.race.google import StandIn, build
from tests.bench.race.load import Load, calendar_of
from tests.bench.race.ours import LIFTED, SETTLED, Daemon
from tests.bench.weeks.figures import HOURS, Hour, Week, verdicts, write
from tests.bench.weeks.traffic import endless, on_day
from tests.faults.run import SHARED
from web.demo.embedded_postgres import EmbeddedPostgres
from web.demo.expectation import Shape, shape_of
from web.demo.stage import ROOT, create_roles
from web.demo.traffic import SAMPLE, TrafficRow, read_traffic

WARM_UP_DAYS = 4
"""Before the week: until then the first jobs are old enough to be forgotten, and the tables have their size."""

RETENTION_DAYS = 1
"""How long a job that is over is kept: the shortest, so that as much is forgotten as comes in."""

USERS = 3
"""Of each tenant, each with a calendar."""

SLICE_SECONDS = 4.5
"""In which an hour's rows are committed."""

SETTLE_SECONDS = 120.0
"""In which nothing may be left to do."""

TEMPLATE = "https://app.example.com/jobs/{job_id}"

CLOCK = """
CREATE TABLE public.week_clock AS SELECT interval '0' AS ahead;
GRANT SELECT ON public.week_clock TO PUBLIC;
CREATE OR REPLACE FUNCTION calendar_sync.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT statement_timestamp() + (SELECT ahead FROM public.week_clock)'
"""

JUMP = """
UPDATE public.week_clock SET ahead = ahead + (%s::timestamptz - calendar_sync.now())
"""

LEFT = """
SELECT (SELECT count(*) FROM calendar_sync.outbox),
       (SELECT jsonb_agg(pending) FROM (SELECT * FROM calendar_sync.pending_push LIMIT 3) AS pending),
       (SELECT jsonb_agg(lane) FROM calendar_sync.lane)
"""

LOOK = """
SELECT relname, pg_table_size(relid), pg_indexes_size(relid), n_live_tup, n_dead_tup
FROM pg_stat_user_tables WHERE schemaname = 'calendar_sync'
"""


class Replay:
    """The stage, and the week on it."""

    def __init__(self, stack: ExitStack, folder: Path, log: Path, rows: int) -> None:
        naptime = {"autovacuum_naptime": "1s"}  # the shortest there is; docs/week.md says what it stands for
        self._postgres = stack.enter_context(EmbeddedPostgres(settings=naptime))
        self._google = stack.enter_context(StandIn(build(folder)))
        self._google.begin()
        url = self._postgres.url
        migrate(url)
        keys = f"week:{generate_key()}"
        self._traffic = read_traffic(SHARED if SHARED.exists() else SAMPLE)
        self._load = Load(len(self._traffic.header.tenants), USERS, 0)
        self._load.connect(url, keys)
        self._admin = stack.enter_context(psycopg.connect(url, autocommit=True))
        self._admin.execute(CLOCK.encode())
        [(self._begin,)] = self._admin.execute("SELECT date_trunc('hour', calendar_sync.now())").fetchall()
        environment = {
            "DATABASE_URL": create_roles(url),
            "GOOGLE_OAUTH_CLIENT_ID": "week-client",
            "GOOGLE_OAUTH_CLIENT_SECRET": "week-secret",
            "GOOGLE_OAUTH_REDIRECT_URI": "http://127.0.0.1/callback",
            "GOOGLE_TOKEN_URL": f"{self._google.url}/token",
            "GOOGLE_REVOKE_URL": f"{self._google.url}/revoke",
            "GOOGLE_CALENDAR_URL": f"{self._google.url}/calendar/v3",
            "TOKEN_ENCRYPTION_KEYS": keys,
            "JOB_URL_TEMPLATE": TEMPLATE,
            "JOB_RETENTION_DAYS": str(RETENTION_DAYS),
            "PUSH_DEBOUNCE_SECONDS": "0",
            "LOG_LEVEL": "warning",
            "METRICS_PORT": "0",
            **LIFTED,
        }
        self._daemon = stack.enter_context(Daemon(environment, folder, None))
        stack.callback(lambda: log.write_bytes((folder / "daemon.log").read_bytes()))
        names = {tenant: f"tenant-{place:03}" for place, tenant in enumerate(self._traffic.header.tenants)}
        self._coming = endless(self._traffic.rows, names)
        self._rows = rows
        self._shapes: dict[tuple[str, str], Shape | None] = {}
        self._committed: dict[tuple[str, str], tuple[int, float]] = {}

    def play(self, days: int, say: Callable[[str], object]) -> Week:
        """The warm-up and the week."""
        week = Week()
        began = time.monotonic()
        committed = 0
        for number in range(-WARM_UP_DAYS * HOURS, days * HOURS):
            wal = self._wal()
            took = self._hour(number)
            committed += self._rows
            if number >= 0:
                week.hours.append(self._look(number, wal, took))
            jump_to = self._begin + timedelta(hours=number + 1 + WARM_UP_DAYS * HOURS)
            self._admin.execute(JUMP.encode(), [jump_to])
            if number % 6 == 0 and week.hours:
                hour = week.hours[-1]
                size = sum(map(sum, hour.sizes.values())) / 2**20
                say(
                    f"{time.monotonic() - began:5.0f} s  hour {number:3}  {took:4.1f} s  {size:6.1f} MB  "
                    f"memory {hour.rss / 2**20:5.1f} MB  load {hour.load:.1f}"
                )
        pushed = self._google.counts()["Written"]
        seconds = time.monotonic() - began
        week.delays = self._delays()
        loads = [hour.load for hour in week.hours]
        compressed = (days + WARM_UP_DAYS) * 86_400 / seconds
        week.facts = {
            "rows committed": f"{committed:,}",
            "writes at Google": f"{pushed:,}",
            "real minutes": f"{seconds / 60:.0f}",
            "times real time": f"{compressed:.0f}",
            "load of the machine": f"{min(loads):.0f} to {max(loads):.0f} on {os.cpu_count()} cores",
            "PostgreSQL": str(self._admin.info.parameter_status("server_version")),
        }
        return week

    def mistakes(self) -> list[str]:
        """What does not stand as it should: each job's newest state once in each calendar of its tenant."""
        wrong = []
        state = self._google.state()
        for tenant in {tenant for tenant, _ in self._shapes}:
            wanted = {job: shape.summary for (whose, job), shape in self._shapes.items() if whose == tenant and shape}
            for user in range(USERS):
                events = state.get(calendar_of(tenant, user), {}).values()
                shown = [(event["job"], event["summary"]) for event in events if event["status"] == "confirmed"]
                if len(shown) != len(wanted) or dict(shown) != wanted:
                    odd = sorted({*shown} ^ {*wanted.items()})
                    wrong.append(f"{calendar_of(tenant, user)}: {len(shown)} events, {len(wanted)} wanted: {odd[:4]}")
        return wrong

    def _hour(self, number: int) -> float:
        """Commit an hour's rows and wait until nothing is left to do; how long that took."""
        [(now,)] = self._admin.execute("SELECT calendar_sync.now()").fetchall()
        began = time.monotonic()
        for place, row in enumerate(self._of_today(now)):
            time.sleep(max(0.0, began + place * SLICE_SECONDS / self._rows - time.monotonic()))
            self._commit(row, number)
        while not self._admin.execute(SETTLED.encode()).fetchall()[0][0]:
            if time.monotonic() > began + SETTLE_SECONDS:
                left = self._admin.execute(LEFT.encode()).fetchall()
                raise RuntimeError(f"hour {number} did not come to rest; outbox, marks, leases: {left}")
            time.sleep(0.05)
        return time.monotonic() - began

    def _of_today(self, now: datetime) -> Iterator[TrafficRow]:
        return (on_day(row, now.date()) for row in islice(self._coming, self._rows))

    def _commit(self, row: TrafficRow, number: int) -> None:
        key = (row.tenant_id, row.job_id)
        if row.broken is None:
            self._shapes[key] = shape_of(row, TEMPLATE)
            if self._shapes[key] is not None:
                self._committed.setdefault(key, (number, time.time()))
        self._admin.execute(
            "INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload) VALUES (%s, %s, %s, %s)",
            [*key, row.event_type, Jsonb(row.payload)],
        )

    def _look(self, number: int, wal: int, took: float) -> Hour:
        found = self._admin.execute(LOOK.encode()).fetchall()
        return Hour(
            number,
            {name: (table, indexes) for name, table, indexes, _, _ in found},
            {name: live for name, _, _, live, _ in found},
            {name: dead for name, _, _, _, dead in found},
            self._daemon.memory["VmRSS"],
            self._wal() - wal,
            os.getloadavg()[0],
            took,
        )

    def _wal(self) -> int:
        [(written,)] = self._admin.execute("SELECT pg_current_wal_lsn() - '0/0'").fetchall()
        return int(written)

    def _delays(self) -> dict[int, list[float]]:
        """From the first commit of a job that is shown to the first request for each calendar."""
        found: dict[int, list[float]] = {}
        tenants = {calendar_of(tenant, user): tenant for tenant, _ in self._shapes for user in range(USERS)}
        for (calendar, job), first in self._google.first_requests().items():
            number, committed = self._committed[tenants[calendar], job]
            found.setdefault(number, []).append(first / 1e6 - committed * 1000)
        return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="week", description="A week of job traffic: does anything grow?")
    parser.add_argument("--days", type=int, default=7, help="after a warm-up of four (default 7)")
    parser.add_argument("--rows", type=int, default=300, help="of the outbox in each hour (default 300)")
    parser.add_argument("--write", action="store_true", help="put figures and plots into docs/")
    parser.add_argument("--json", type=Path, help="keep every figure here")
    parser.add_argument("--log", type=Path, default=Path(os.devnull), help="keep the daemon's log here")
    asked = parser.parse_args(arguments)
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="week-") as name, ExitStack() as stack:
        folder = Path(name)
        replay = Replay(stack, folder, asked.log, asked.rows)
        week = replay.play(asked.days, console.print)
        wrong = replay.mistakes()
    _tell(console, week, wrong)
    if asked.json:
        asked.json.write_text(json.dumps(_plain(week)))
    if asked.write:
        write(ROOT / "docs", week)
    return 1 if wrong else 0


def _plain(week: Week) -> dict[str, Any]:
    return {"facts": week.facts, "hours": [asdict(hour) for hour in week.hours], "delays": week.delays}


def _tell(console: Console, week: Week, wrong: Sequence[str]) -> None:
    console.print(", ".join(f"{name} {value}" for name, value in week.facts.items()))
    for name, first, last, quotient in verdicts(week):
        if quotient is not None:
            console.print(f"{name:<44}{first:>12,.1f}{last:>12,.1f}{quotient:>8.2f}")
    for line in wrong[:20]:
        console.print(line, style="red", markup=False)
    console.print(f"{len(wrong)} CALENDARS ARE WRONG" if wrong else "every calendar shows what it should")


if __name__ == "__main__":
    sys.exit(main())
