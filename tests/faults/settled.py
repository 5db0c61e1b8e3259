"""When everything has been healed: wait until nothing is left to do, and what should stand then."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import psycopg

from tests.faults.database import Database
from tests.faults.troupe import Troupe
from tests.faults.users import Member
from web.demo.expectation import JobKey, Shape, State
from web.demo.traffic import TrafficRow
from web.demo.verdict import ExpectedCalendar

LEFT = """
SELECT (SELECT count(*) FROM calendar_sync.outbox),
       (SELECT count(*) FROM calendar_sync.pending_push WHERE problem IS NULL),
       (SELECT count(*) FROM calendar_sync.lane WHERE lease_token IS NOT NULL),
       (SELECT count(*) FROM calendar_sync.departure)
       + (SELECT count(*) FROM calendar_sync.calendar_connection WHERE state = 'disconnecting')
"""

GIVE_UP_SECONDS = 420.0
"""Longer than any rest that a fault of this run leads to; if nothing moved for so long, compare what is there."""

HURRY_SECONDS = 1.5
"""If nothing moved for so long, who is in a hurry has rests and leases pass at once."""

LATE_SECONDS = 3.0
"""The longest delay of a request in a hurried run: whatever was sent has arrived by then."""

STABLE_LOOKS = 3
"""Quiet must have been seen so often in a row."""


def wait_until_quiet(database: Database, troupe: Troupe, *, hurry: bool, say: Callable[[str], object]) -> None:
    """Wait until nothing waits and nobody is at work.

    In a hurry, the daemons are stopped now and then, and then time passes for the database: with nobody left to use a
    lease, and nothing under way any more, its end may come at once.
    """
    last, since, quiet = None, time.monotonic(), 0
    while quiet < STABLE_LOOKS:
        troupe.keep()
        try:
            left = database.execute(LEFT)[0]
        except psycopg.Error:
            left = ("unknown",)
        quiet = quiet + 1 if not any(left) else 0
        if left != last:
            last, since = left, time.monotonic()
        waited = time.monotonic() - since
        if waited > GIVE_UP_SECONDS:
            say(f"  nothing moved for {GIVE_UP_SECONDS:.0f} s: outbox, marks, leases, departures are {left}")
            return
        if hurry and any(left) and waited > HURRY_SECONDS:
            troupe.stop_all()
            time.sleep(LATE_SECONDS)
            database.insist("UPDATE public.faults_clock SET ahead = ahead + interval '10 minutes'")
            troupe.start_all()
            troupe.wait_until_ready()
            since = time.monotonic()
        time.sleep(0.3)


def expected_calendars(
    rows: Sequence[TrafficRow], states: Mapping[JobKey, Sequence[State]], members: Iterable[Member]
) -> dict[str, ExpectedCalendar]:
    """What should stand on each chosen calendar: whatever anybody who chose it wants."""
    standing: dict[JobKey, tuple[Shape, Any]] = {
        key: (last.shape, rows[last.row].payload) for key, steps in states.items() if (last := steps[-1]).shape
    }
    shapes: dict[str, dict[JobKey, Shape]] = defaultdict(dict)
    tenants: dict[str, set[str]] = defaultdict(set)
    for member in members:
        user, calendar = member.person.user, member.wish.calendar_id
        tenants[calendar].add(user.tenant_id)
        shapes[calendar] |= {
            key: shape
            for key, (shape, payload) in standing.items()
            if key[0] == user.tenant_id and member.wish.wants(payload, user.user_id)
        }
    return {calendar: ExpectedCalendar(frozenset(names), shapes[calendar]) for calendar, names in tenants.items()}
