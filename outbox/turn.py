"""A lane's turn: one push, from what was due as it began to what came of it; and how it begins in the transaction of
somebody else, who has just made the lane due or is making room for it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import structlog

from outbox.budget import Ration
from outbox.database import Connection
from outbox.findings import Findings
from outbox.lane import DueJob, LaneConnection, Lease
from outbox.lane_store import Begun
from outbox.rendering import Rendering
from outbox.speakers import Speakers
from outbox.todo import Todo

log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(slots=True)
class Turn:
    """One push of one lane as it began, and when; `todo` once it is decided, `drawn` if it is begun at once."""

    lease: Lease
    due: list[DueJob]
    connections: list[LaneConnection]
    rendered: Mapping[int, Rendering]
    found: Findings
    speakers: Speakers
    ration: Ration
    read_at: float
    todo: list[Todo] | None = None
    drawn: Begun | None = None


@dataclass(frozen=True, slots=True)
class Pushed:
    """What came of a turn: how many jobs had which outcome, and the turn begun in the transaction that settled it."""

    outcomes: Mapping[str, int]
    next_turn: Turn | None


Begin = Callable[[Connection], Turn | None]
"""Begins a turn in the transaction that is open on this connection, if there is one to begin; it stands once that is
committed, and then has to be carried out."""


def no_turn(_: Connection) -> Turn | None:
    """Nothing is begun."""
    return None


def with_turn(work: Callable[[Callable[[Connection], None]], T], begin: Begin) -> tuple[T, Turn | None]:
    """Do something in a transaction in which a turn begins too; if that fails, without it.

    Args:
        work: one transaction, which calls what it is given before it commits.
    """
    turn, tried = None, False

    def then(connection: Connection) -> None:
        nonlocal turn, tried
        tried = True
        turn = begin(connection)

    try:
        return work(then), turn
    except Exception as error:
        # What failed may be the work itself, because a pipeline tells late: then it fails again.
        if not tried:
            raise
        log.info("goes_on_without_a_turn", error=type(error).__name__)
        return work(lambda _: None), None
