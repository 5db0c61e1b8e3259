"""What a performance of the demo showed, for people and as figures, and where to go on from there."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from web.demo.stage import Stage
from web.demo.verdict import Fault, Latencies, Verdict


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


def print_report(console: Console, outcome: Outcome) -> None:
    """Print the table of the calendars, the figures, and the verdict."""
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


def print_addresses(console: Console, stage: Stage, psql: Path, tenant: str) -> None:
    """Print where to go and what to try while the demo keeps running; `tenant` is whose job the `psql` line changes."""
    console.print(f"\nConnect Google Calendar yourself: {stage.web_settings.public_base_url}/")
    console.print("  Sign in as somebody who is not connected yet, connect, choose a calendar.")
    console.print(f"Watch the jobs arrive in the calendars: {stage.sandbox.url}/")
    console.print("Change a job yourself:")
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    console.print(
        f"  {psql} '{stage.database_url}' -c \"INSERT INTO calendar_sync.outbox "
        f"(tenant_id, job_id, event_type, payload) VALUES ('{tenant}', 'job_mine', 'job.created', "
        '\'{\\"schema_version\\": 1, \\"job_number\\": \\"MINE-1\\", \\"legs\\": [{\\"summary\\": \\"Here → There\\", '
        f'\\"dispatch_window\\": {{\\"start\\": \\"{tomorrow}\\"}}}}]}}\')"',
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    console.print("Ctrl-C ends everything.")


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 1)
