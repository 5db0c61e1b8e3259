"""What one push of a lane has found out, as it is going to be settled."""

import random
from collections import Counter
from collections.abc import Callable

import structlog

from outbox.backoff import backoff_seconds
from outbox.dialogue import Spoken
from outbox.google.resource import content_hash
from outbox.lane import DueJob, Settlement, Standing, Undone
from outbox.plan import AskAgain, Gone, Impossible, Outcome, Stands, TryLater, Unchanged

log = structlog.get_logger(__name__)

FAILURES_IN_A_ROW = 2
"""When so many jobs one after another get no answer it is Google or the network, not the jobs: the lane rests."""

LONGEST_REST_DOUBLINGS = 6
"""A lane's rest grows from one second to 64, Google's own ceiling for a growing wait."""


_OUTCOMES = {
    Stands: "done",
    Gone: "done",
    Unchanged: "done",
    AskAgain: "again",
    TryLater: "retry",
    Impossible: "problem",
}


class Findings:
    """Filled job by job.

    Args:
        stopping: whether the daemon is about to end, so that a lack of answers is nobody's fault.
    """

    def __init__(self, stopping: Callable[[], bool]) -> None:
        self._stopping = stopping
        self._failures_in_a_row = 0
        self.settlement = Settlement()
        self.outcomes: Counter[str] = Counter()
        self.counts: Counter[tuple[str, str]] = Counter()
        """Jobs by action and outcome, as metrics name them."""

    @property
    def in_vain(self) -> bool:
        """Whether it is no use to go on."""
        return self._failures_in_a_row >= FAILURES_IN_A_ROW

    def note(self, due: DueJob, outcome: Outcome, spoken: Spoken | None = None) -> None:
        """What became of one job."""
        self.outcomes[type(outcome).__name__] += 1
        self.counts[_action(due, spoken), _OUTCOMES[type(outcome)]] += 1
        self._failures_in_a_row = self._failures_in_a_row + 1 if isinstance(outcome, TryLater) else 0
        match outcome:
            case Unchanged():
                self.settlement.done.append(due)
                if spoken is not None:
                    self.settlement.unasked.append(due)
            case Stands() | Gone() if spoken is not None:
                self.settlement.done.append(due)
                self.settlement.standing.append(_standing(due, outcome, spoken))
            case AskAgain(after_seconds):
                self.put_back(due, wait_seconds=after_seconds)
            case TryLater() if self._stopping():
                self.put_back(due)
            case TryLater(reason):
                wait = backoff_seconds(due.attempts + 1, random.random())  # noqa: S311 - spreads load, guards nothing
                log.info("push_tried_in_vain", reason=reason, wait_seconds=round(wait, 1))
                self.put_back(due, wait_seconds=wait, charged=True)
            case Impossible(reason):
                log.warning("push_impossible", reason=reason)
                self.settlement.undone.append(Undone(due, None, reason, charged=True))
            case _:
                raise AssertionError(f"{outcome} is not an outcome of a job")

    def put_back(self, due: DueJob, *, wait_seconds: float = 0.0, charged: bool = False, unasked: bool = False) -> None:
        """The job has to be looked at again; `unasked`: nothing was written for it, so that it is as sure as before."""
        self.settlement.undone.append(Undone(due, wait_seconds, None, charged=charged))
        if unasked:
            self.settlement.unasked.append(due)

    def conclude(self, *, failures: int, exhausted: bool, asked: bool, left: bool) -> None:
        """What it means for the lane.

        Args:
            failures: how many pushes of the lane in a row ended in a rest before this one.
            exhausted: trouble has left nobody to speak.
            asked: a request was made.
            left: something is left to be done.
        """
        if self.in_vain:
            rest = 2.0 ** min(failures, LONGEST_REST_DOUBLINGS)
            self.settlement.rest_seconds = rest + random.random()  # noqa: S311 - as above
        if self._failures_in_a_row > 0 or exhausted:
            self.settlement.troubled = True
        elif left and not asked:
            self.settlement.troubled = None

    def wait_for_quota(self, seconds: float, *, live: bool) -> None:
        """What is left waits for quota; a backlog alone, so that a live edit goes on meanwhile."""
        if live:
            self.settlement.rest_seconds = max(self.settlement.rest_seconds, seconds)
        else:
            self.settlement.backlog_rest_seconds = seconds


def _action(due: DueJob, spoken: Spoken | None) -> str:
    if spoken is None or isinstance(spoken.outcome, Unchanged):
        return "none"
    if spoken.conversation.wish.body is None:
        return "delete"
    return "insert" if due.etag is None else "update"


def _standing(due: DueJob, outcome: Stands | Gone, spoken: Spoken) -> Standing:
    body = spoken.conversation.wish.body
    return Standing(
        due.job_id,
        None if body is None else content_hash(body),
        outcome.resource if isinstance(outcome, Stands) else None,
        spoken.speaker.connection.connection_id,
    )
