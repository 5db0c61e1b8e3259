"""What goes wrong in a fault run, and when: every kind of fault, and a plan drawn from a seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum


class Whom(Enum):
    """Whom a fault can delay at all."""

    ONE_USER = "one user"
    ONE_DAEMON = "one daemon of several"
    EVERYBODY = "everybody"


class Kind(Enum):
    """A kind of fault: its name in the table, whom it strikes, how often among its likes, and how it is done."""

    GOOGLE_SLOW = ("Google slow", Whom.ONE_USER, 8, "works, or answers, 0.3 to 3 s late")
    GOOGLE_HUNG = ("Google hung", Whom.ONE_USER, 3, "works, or answers, 11 to 14 s late, when we have given up")
    GOOGLE_TRICKLES = ("Google trickles", Whom.ONE_USER, 2, "its answer comes byte by byte")
    GOOGLE_CUTS_BEFORE = ("Google cuts before the work", Whom.ONE_USER, 8, "the connection ends, nothing was done")
    GOOGLE_CUTS_AFTER = ("Google cuts after the work", Whom.ONE_USER, 12, "the connection ends, the work was done")
    GOOGLE_GARBAGE = ("Google sends garbage", Whom.ONE_USER, 6, "200 and half a JSON object; the work was done")
    GOOGLE_HTML = ("Google sends HTML", Whom.ONE_USER, 6, "a 502 page instead of JSON")
    GOOGLE_FAILS = ("Google fails (5xx)", Whom.ONE_USER, 8, "500, 502, 503 or 504, before or after the work")
    GOOGLE_RATE_LIMITS = ("Google limits the rate", Whom.ONE_USER, 5, "429 or 403, with and without Retry-After")
    TOKENS_END = ("access tokens end", Whom.ONE_USER, 4, "before their time; at times the token server fails too")
    GRANT_REVOKED = ("grant revoked", Whom.ONE_USER, 5, "at Google; the user reconnects some seconds later")
    CALENDAR_SWITCHED = ("calendar switched", Whom.ONE_USER, 6, "to another one of the account")
    PAUSED = ("paused", Whom.ONE_USER, 3, "and resumed some seconds later")
    FILTERED = ("filter changed", Whom.ONE_USER, 4, "from all jobs to those assigned, or back")
    RESYNCED = ("resync", Whom.ONE_USER, 2, "push everything again")
    TEST_PUSHED = ("test push", Whom.ONE_USER, 2, "and nobody waits for its end")
    DISCONNECTED = ("disconnected", Whom.ONE_USER, 2, "with removal of the events; connected again soon after")

    KILLED = ("daemon killed at any moment", Whom.ONE_DAEMON, 5, "SIGKILL, and another one started in its place")
    KILLED_AT_STEP = ("daemon killed at a step", Whom.ONE_DAEMON, 9, "SIGKILL as a proxy holds a statement of it")
    STOPPED_AT_STEP = ("daemon stopped at a step", Whom.ONE_DAEMON, 5, "SIGTERM likewise; then the statement goes on")
    CONNECTION_CUT = ("database connection cut", Whom.ONE_DAEMON, 12, "by a proxy, amid a statement")
    CONNECTION_STALLS = ("database connection stalls", Whom.ONE_DAEMON, 6, "a statement, or its answer, takes 1 to 4 s")
    BACKEND_TERMINATED = ("backend terminated", Whom.ONE_DAEMON, 12, "pg_terminate_backend on a session of a daemon")
    LISTEN_DEAF = ("LISTEN connection deaf", Whom.ONE_DAEMON, 4, "a proxy keeps it open and swallows everything")
    CLOCK_JUMPS = ("clock jumps", Whom.ONE_DAEMON, 5, "one daemon's, up to 40 days either way, by libfaketime")

    POSTGRES_RESTARTED = ("Postgres restarted, fast", Whom.EVERYBODY, 4, "as by pg_ctl restart -m fast")
    POSTGRES_KILLED = ("Postgres restarted, immediate", Whom.EVERYBODY, 3, "as by pg_ctl restart -m immediate")
    POSTGRES_CRASHED = ("Postgres crashed", Whom.EVERYBODY, 3, "SIGKILL to a backend: all sessions end, it recovers")
    BACKENDS_TERMINATED = (
        "all backends terminated",
        Whom.EVERYBODY,
        5,
        "pg_terminate_backend on all daemons' sessions",
    )
    READ_ONLY = ("database read-only", Whom.EVERYBODY, 4, "default_transaction_read_only, for 1 to 4 s")
    DISK_FULL = ("disk full", Whom.EVERYBODY, 3, "a file fills the data folder's own file system, for 1 to 4 s")
    LONG_TRANSACTION = (
        "transaction held open",
        Whom.EVERYBODY,
        5,
        "idle, REPEATABLE READ, rolled back after 5 to 60 s",
    )
    ALL_KILLED = ("all daemons killed", Whom.EVERYBODY, 2, "SIGKILL at one moment, as when the power goes")
    GOOGLE_DOWN = ("Google fails for everybody", Whom.EVERYBODY, 12, "in any of these ways, for up to 12 requests")

    def __init__(self, title: str, whom: Whom, weight: int, how: str) -> None:
        self.title = title
        self.whom = whom
        self.weight = weight
        self.how = how


class Moment(Enum):
    """When to strike at a step."""

    BEFORE = "before"
    """The server has not got the statement."""
    AFTER = "after"
    """The server has got it; its answer does not come."""
    PAST = "past"
    """It is done; what follows is under way."""


STEPS = (
    "relay/claim_outbox",
    "relay/apply_rows",
    "relay/delete_outbox",
    "COMMIT after lane/schedule_lanes",
    "push/lease_lanes",
    "push/read_due_jobs",
    "push/store_intents",
    "COMMIT after push/store_intents",
    "push/settle_events",
    "push/settle_done",
    "push/release_lane",
    "COMMIT after push/release_lane",
)
"""Where a daemon can be caught, by the statement under `sql/` that it sends."""

CATCHES = (
    *((step, moment) for step in STEPS for moment in (Moment.BEFORE, Moment.AFTER)),
    # The intents are stored: now Google is called.
    *[("COMMIT after push/store_intents", Moment.PAST)] * 4,
)
"""Steps with moments, to draw from; the call to Google is as likely as all of two statements."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault, `at` so many seconds after the chapter's beginning; `seed` for whatever else is left to chance."""

    number: int
    at: float
    kind: Kind
    seed: int

    def chance(self) -> random.Random:
        """The same dice each time."""
        return random.Random(self.seed)  # noqa: S311 - can be repeated, guards nothing


@dataclass(frozen=True, slots=True)
class Chapter:
    """A stretch of the run with faults that strike certain people, so that what they cost others can be told apart."""

    name: str
    whom: frozenset[Whom]
    seconds: float
    faults: int


LONG_RUN = (
    ("nobody has trouble", frozenset[Whom](), 0.0, 0.0),
    ("other users have trouble", frozenset({Whom.ONE_USER}), 0.45, 0.42),
    ("one daemon at a time has trouble", frozenset({Whom.ONE_DAEMON}), 1.0, 0.18),
    ("everybody has trouble", frozenset({Whom.EVERYBODY}), 1.0, 0.12),
    ("everything together", frozenset(Whom), 0.8, 0.28),
)
"""Name, whom its faults strike, seconds for each fault, share of all faults."""

QUIET_SECONDS = 45.0


def long_run(faults: int) -> list[Chapter]:
    """The chapters of a run with so many faults: first the quiet one, then each sort by itself, then all together."""
    chapters = [
        Chapter(name, whom, max(QUIET_SECONDS, pace * round(faults * share)), round(faults * share))
        for name, whom, pace, share in LONG_RUN
    ]
    lacking = faults - sum(chapter.faults for chapter in chapters)
    last = chapters[-1]
    return [*chapters[:-1], Chapter(last.name, last.whom, last.seconds, last.faults + lacking)]


def plan(chapter: Chapter, seed: int, possible: Iterable[Kind], *, first: int = 1) -> list[Planned]:
    """The chapter's faults, evenly spread with some chance; each kind at least once if there are enough.

    Args:
        possible: the kinds that this machine allows.
        first: the number of the first one.
    """
    kinds = [kind for kind in Kind if kind.whom in chapter.whom and kind in set(possible)]
    dice = random.Random(f"{seed} {chapter.name}")  # noqa: S311 - a plan that can be drawn again
    dice.shuffle(kinds)
    drawn = list(_shares(kinds, chapter.faults))
    dice.shuffle(drawn)
    pace = chapter.seconds / max(1, len(drawn))
    return [
        Planned(first + place, (place + dice.random()) * pace, kind, dice.getrandbits(32))
        for place, kind in enumerate(drawn)
    ]


def _shares(kinds: Sequence[Kind], number: int) -> Iterator[Kind]:
    """So many kinds: one of each, then always the one that is furthest behind its weight."""
    counts = dict.fromkeys(kinds, 0)
    for _ in range(number if kinds else 0):
        kind = min(kinds, key=lambda kind: (counts[kind] > 0, counts[kind] / kind.weight))
        counts[kind] += 1
        yield kind
