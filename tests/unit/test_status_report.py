"""What `calendar-sync status` tells a person."""

import io
from typing import Any

import pytest
from rich.console import Console

from outbox.metrics_figures import STATES
from outbox.quota import DAY_ALARM
from outbox.verbs.status_report import LATE_SECONDS, OLD_TRANSACTION_SECONDS, duration, needed, print_status

WELL: dict[str, Any] = {
    "outbox_rows": 1234567,
    "outbox_oldest_seconds": 2.4,
    "pending_pushes": 12,
    "oldest_due_seconds": 0.0,
    "problems": 0,
    "rejected_events": 0,
    "connections": dict.fromkeys(STATES, 0) | {"active": 40},
    "connections_active": 40,
    "connections_broken": 0,
    "oldest_transaction_seconds": 0.2,
    "lanes_leased": 3,
    "google_requests_24_hours": 5000,
    "google_quota_units_in_use": 17,
    "held_back": None,
}


@pytest.mark.parametrize(
    ("changes", "beginning", "way_out"),
    [
        ({"held_back": "this database was copied"}, "Nothing is pushed: this database was copied", ""),
        ({"outbox_oldest_seconds": LATE_SECONDS + 60}, "Outbox rows have been waiting for 6 min", "backlog-grows.md"),
        ({"oldest_due_seconds": 7500.0}, "A calendar could have been pushed for 2 h 5 min", "backlog-grows.md"),
        ({"rejected_events": 2}, "2 outbox rows break the contract", "calendar-sync replay"),
        ({"problems": 10001}, "10,001 jobs cannot be pushed", "calendar_sync.job_problem"),
        ({"connections_broken": 3}, "3 users have to reconnect", "revoked-grants.md"),
        ({"oldest_transaction_seconds": OLD_TRANSACTION_SECONDS + 1}, "A transaction has been open", "database-tr"),
        ({"oldest_transaction_seconds": None}, "The age of the oldest transaction cannot be", "pg_read_all_stats"),
        ({"google_requests_24_hours": DAY_ALARM + 1}, "800,001 requests to Google", "google-refuses.md"),
    ],
)
def test_what_needs_somebody_is_a_sentence_with_the_way_out(
    changes: dict[str, Any], beginning: str, way_out: str
) -> None:
    [sentence] = needed(WELL | changes)
    assert sentence.startswith(beginning)
    assert way_out in sentence


def test_where_nobody_is_needed_it_says_so_and_shows_every_figure() -> None:
    lines = printed(WELL)
    assert lines[0] == "All is well."
    shown = {line.rsplit(maxsplit=1)[0].strip(): line.split()[-1] for line in lines if len(line.split()) > 1}
    assert shown["outbox rows"] == "1,234,567"
    assert shown["active"] == "40"
    assert ["installation", "this", "one"] in [line.split() for line in lines]
    assert {state.replace("_", " ") for state in STATES} <= set(shown)
    assert "oldest outbox row" in " ".join(lines)


def test_sentences_come_before_the_figures_and_are_not_wrapped() -> None:
    lines = printed(WELL | {"rejected_events": 2, "problems": 1})
    assert lines[0] == "Somebody is needed:"
    assert [line[:2] for line in lines[1:3]] == ["* ", "* "]
    assert lines[3].strip() == ""


@pytest.mark.parametrize(
    ("seconds", "worded"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (11100, "3 h 5 min"),
        (86400, "1 d"),
        (187200, "2 d 4 h"),
    ],
)
def test_a_duration_has_no_more_than_two_units(seconds: float, worded: str) -> None:
    assert duration(seconds) == worded


def printed(figures: dict[str, Any]) -> list[str]:
    text = io.StringIO()
    print_status(Console(file=text, width=80), figures)
    return text.getvalue().splitlines()
