"""The figures of `status` for a person: first what needs somebody, with the way out, and then all of them. Pure but for
the printing."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from outbox.quota import DAY_ALARM, DAY_BILLING_THRESHOLD

LATE_SECONDS = 300.0
"""Nothing that can be pushed waits so long while all is well."""

OLD_TRANSACTION_SECONDS = 3600.0

LABELS = {
    "What waits": {
        "outbox_rows": "outbox rows",
        "outbox_oldest_seconds": "oldest outbox row",
        "pending_pushes": "jobs to look at",
        "oldest_due_seconds": "longest overdue",
        "lanes_leased": "calendars being pushed",
    },
    "What cannot be done": {
        "problems": "problems",
        "rejected_events": "rejected events",
    },
    "Google": {
        "google_quota_units_in_use": "quota units in use",
        "google_requests_24_hours": "requests of 24 hours",
    },
    "Database": {
        "oldest_transaction_seconds": "oldest transaction",
    },
}
"""What is shown, section by section; the connections, by their states, have one of their own."""


def print_status(console: Console, figures: Mapping[str, Any]) -> None:
    """Print them."""
    needs = list(needed(figures))
    console.print("All is well." if not needs else "Somebody is needed:", style="bold green" if not needs else "bold")
    for sentence in needs:
        console.print(f"* {sentence}", style="yellow", highlight=False, soft_wrap=True, markup=False)
    table = Table.grid("", "", padding=(0, 2), pad_edge=False)
    table.columns[1].justify = "right"
    for section, rows in sections(figures).items():
        table.add_row("", "")
        table.add_row(f"[bold]{section}", "")
        for label, value in rows.items():
            table.add_row(label, value)
    console.print(table)


def sections(figures: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """All figures, worded, by section and label."""
    worded = {
        section: {label: _worded(name, figures[name]) for name, label in labels.items()}
        for section, labels in LABELS.items()
    }
    if "held_back" in figures:
        worded["Database"]["installation"] = "this one" if figures["held_back"] is None else "another one"
    states = {state.replace("_", " "): f"{count:,}" for state, count in figures["connections"].items()}
    return {**worded, "Connections": states}


def needed(figures: Mapping[str, Any]) -> Iterator[str]:
    """What needs somebody, one sentence each, with the way out."""
    if reason := figures.get("held_back"):
        yield f"Nothing is pushed: {reason}"
    if figures["outbox_oldest_seconds"] > LATE_SECONDS:
        yield (
            f"Outbox rows have been waiting for {duration(figures['outbox_oldest_seconds'])}: is a daemon running? "
            "docs/runbooks/backlog-grows.md"
        )
    if figures["oldest_due_seconds"] > LATE_SECONDS:
        yield (
            f"A calendar could have been pushed for {duration(figures['oldest_due_seconds'])}: "
            "docs/runbooks/backlog-grows.md"
        )
    if count := figures["rejected_events"]:
        yield (
            f"{count:,} outbox rows break the contract and are set aside. SELECT outbox_id, reason FROM "
            "calendar_sync.rejected_event says why; after a fix: calendar-sync replay"
        )
    if count := figures["problems"]:
        yield (
            f"{count:,} jobs cannot be pushed until somebody acts. SELECT tenant_id, job_id, problem FROM "
            "calendar_sync.job_problem says why; so does the user's settings page"
        )
    if count := figures["connections_broken"]:
        yield f"{count:,} users have to reconnect, or to choose another calendar: docs/runbooks/revoked-grants.md"
    if (seconds := figures["oldest_transaction_seconds"]) is None:
        yield (
            "The age of the oldest transaction cannot be seen; an administrator can allow it: GRANT pg_read_all_stats "
            "TO the owner of the schema calendar_sync"
        )
    elif seconds > OLD_TRANSACTION_SECONDS:
        yield (
            f"A transaction has been open for {duration(seconds)}, and nothing can be cleaned up after it: "
            "docs/runbooks/database-trouble.md"
        )
    if (count := figures["google_requests_24_hours"]) > DAY_ALARM:
        yield (
            f"{count:,} requests to Google in 24 hours; beyond {DAY_BILLING_THRESHOLD:,} Google means to bill: "
            "docs/runbooks/google-refuses.md"
        )


def duration(seconds: float) -> str:
    """For example "0 s", "45 s", "12 min", "3 h 5 min", "2 d 4 h"."""
    whole = int(seconds)
    for size, unit, smaller_size, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole // 60} min" if whole >= 60 else f"{whole} s"


def _worded(name: str, value: float | None) -> str:
    if value is None:
        return "not known"
    return duration(value) if name.endswith("_seconds") else f"{value:,}"
