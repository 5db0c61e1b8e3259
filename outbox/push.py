"""One push of one lane: compare what is due with what stands there, send the difference, settle the answers."""

import json
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import psycopg
import structlog
from psycopg_pool import PoolTimeout
from tenacity import Retrying, retry_if_exception_type, sleep_using_event, wait_exponential, wait_random

from outbox.access import Access
from outbox.backoff import backoff_seconds
from outbox.budget import Budget, Ration
from outbox.dialogue import Dialogue, Spoken
from outbox.google.client import GoogleCalendar
from outbox.google.resource import content_hash, event_id
from outbox.lane import (
    Drawing,
    DueJob,
    Intent,
    LaneConnection,
    LaneStore,
    Lease,
    LeaseLostError,
    Settlement,
    Standing,
    Undone,
)
from outbox.payload import InvalidPayload
from outbox.plan import AskAgain, Gone, Impossible, Known, Outcome, Stands, TryLater, Unchanged, Wish, needs_call
from outbox.quota import Priority
from outbox.rehearsal import Rehearsal, is_test
from outbox.speakers import Speakers
from outbox.wish import wish_for

log = structlog.get_logger(__name__)

MOST_JOBS = 50
"""Jobs in one push, so that a long backlog gives way to other lanes in between."""

MOST_BACKLOG_JOBS = 20
"""The same for jobs that are not live, so that a live edit that comes meanwhile waits for a second or two."""

MOST_SECONDS = 15.0
"""No call of a push starts later than this after its first, for the same reason."""

LEAST_CALL_SECONDS = 3.0
"""A call is not started with less time than this."""

SETTLE_SECONDS = 3.0
"""Settling is tried again until so long after the last moment for a call, which is still before the lease ends."""

FAILURES_IN_A_ROW = 2
"""When so many jobs one after another get no answer it is Google or the network, not the jobs: the lane rests."""

QUOTA_GRACE_SECONDS = 2.0
"""A lane that waited for quota is leased within this after there is some, unless something else holds it up."""

LONGEST_REST_DOUBLINGS = 6
"""A lane's rest grows from one second to 64, Google's own ceiling for a growing wait."""


@dataclass(slots=True)
class _Push:
    """What one push has found out so far."""

    lease: Lease
    settlement: Settlement = field(default_factory=Settlement)
    outcomes: Counter[str] = field(default_factory=Counter)
    failures_in_a_row: int = 0

    @property
    def in_vain(self) -> bool:
        """Whether it is no use to go on."""
        return self.failures_in_a_row >= FAILURES_IN_A_ROW


@dataclass(frozen=True, slots=True)
class _Todo:
    """A job that needs a call; `lone` if nothing else is to be done, so that there is time to look before an update."""

    due: DueJob
    wish: Wish
    known: Known
    lone: bool

    @property
    def intent(self) -> Intent:
        """What goes on record before it is tried."""
        known, present = self.known, self.wish.body is not None
        return Intent(self.due, known.event_id, known.id_generation, present=present, units=self.units)

    @property
    def units(self) -> int:
        """Of quota that it usually takes: one for a write, and two more where it may have to be looked at before."""
        known = self.known
        sure = not self.due.in_doubt and (not known.ever_confirmed or (known.etag is not None and not self.lone))
        return 1 if sure and not self.due.retired_event_ids else 3


class LanePusher:
    """Pushes leased lanes; one instance serves all threads."""

    def __init__(
        self,
        store: LaneStore,
        access: Access,
        calendar: GoogleCalendar,
        budget: Budget,
        *,
        job_url_template: str,
        stop: threading.Event,
    ) -> None:
        self._store = store
        self._access = access
        self._calendar = calendar
        self._budget = budget
        self._job_url_template = job_url_template
        self._stop = stop
        self._quota_at: dict[tuple[str, str], float] = {}

    def push(self, lease: Lease, progress: Callable[[], None] = lambda: None) -> Mapping[str, int]:
        """Push what is due on the lane, settle, release; returns how many jobs had which outcome.

        Args:
            progress: called before each job, to tell a long push from one that waits.

        Raises:
            LeaseLostError: the lease ended on the way; nothing more was written, and the next holder looks again.
            psycopg.Error: the database failed; the lease runs out by itself, and what was called is in doubt.
        """
        starts_until = min(time.monotonic() + MOST_SECONDS, lease.last_call_ends_by - LEAST_CALL_SECONDS)

        def out_of_time() -> bool:
            return self._stop.is_set() or time.monotonic() >= starts_until

        due, connections = self._store.read(lease, limit=MOST_JOBS)
        due = _of_one_priority(due)
        ration = self._budget.ration(lease, Priority(due[0].priority) if due else Priority.LIVE)
        push, speakers = _Push(lease), Speakers(self._access, lease, connections)
        dialogue = Dialogue(lease, self._store, self._calendar, speakers, ration=ration, out_of_time=out_of_time)
        rehearsal = Rehearsal(lease, self._store, self._access, self._calendar, connections, ration, out_of_time)
        try:
            jobs = [job for job in due if not (is_test(job) and self._rehearse(push, rehearsal, job))]
            todo = self._sort(push, jobs, connections)
            begun = self._begin(lease, todo, speakers, ration)
            for job in todo[:begun]:
                if push.in_vain or out_of_time() or not speakers.current():
                    push.settlement.unasked.append(job.due)
                    _undo(push, job.due, wait_seconds=0.0, charged=False)
                else:
                    progress()
                    self._push_job(push, dialogue, job)
        finally:
            ration.close()
        push.settlement.gone_retired_ids = dialogue.gone_retired_ids
        push.settlement.rest_seconds = _rest_after(push)
        left_undone = begun < len(todo) or bool(push.settlement.undone)
        if push.failures_in_a_row > 0 or speakers.exhausted:
            push.settlement.troubled = True
        elif left_undone and not dialogue.asked:
            push.settlement.troubled = None
        quota_at = -math.inf
        if left_undone and speakers.alone:
            quota_at = _wait_for_quota(push, ration)
        self._settle(push)
        self._note_quota(lease, quota_at)
        return push.outcomes

    def seconds_without_budget(self, priority: Priority) -> float:
        """How long it is no use to begin such a push, because the project has nothing left."""
        return self._budget.seconds_without(priority)

    def seconds_until_quota(self) -> float | None:
        """Until the first of the lanes that wait for quota, and for nothing else, has some; None if none waits.

        A lane that was not pushed again soon after it could have been waits for something else by now.
        """
        now = time.monotonic()
        waits = [at - now for at in list(self._quota_at.values()) if at + QUOTA_GRACE_SECONDS > now]
        return max(0.0, min(waits)) if waits else None

    def _note_quota(self, lease: Lease, at: float) -> None:
        key = (lease.tenant_id, lease.calendar_id)
        if at > time.monotonic():
            self._quota_at[key] = at
        else:
            self._quota_at.pop(key, None)

    def _begin(self, lease: Lease, todo: list[_Todo], speakers: Speakers, ration: Ration) -> int:
        """Put on record what is about to be tried through the first speaker whose account has units for it."""
        while todo and (speaker := speakers.current()):
            affordable = ration.affordable([job.units for job in todo])
            if affordable:
                intents = [job.intent for job in todo[:affordable]]
                begun = self._store_intents(lease, intents, ration.of(speaker.connection))
                if begun:
                    return begun
            speakers.pass_over(speaker)
        return 0

    def _store_intents(self, lease: Lease, intents: list[Intent], drawing: Drawing) -> int:
        """A deadlock costs another try: nothing is sent yet."""
        try:
            return self._store.begin(lease, intents, drawing)
        except psycopg.errors.DeadlockDetected:
            return self._store.begin(lease, intents, drawing)

    def _settle(self, push: _Push) -> None:
        """A connection that broke costs another try, not what was found out; the lease fences each."""
        ends = push.lease.last_call_ends_by + SETTLE_SECONDS
        for attempt in Retrying(
            retry=retry_if_exception_type((psycopg.OperationalError, PoolTimeout)),
            stop=lambda _: self._stop.is_set() or time.monotonic() >= ends,
            wait=wait_exponential(multiplier=0.1, max=1.0) + wait_random(0, 0.1),
            sleep=sleep_using_event(self._stop),
            reraise=True,
        ):
            with attempt:
                self._store.settle(push.lease, push.settlement)

    def _sort(self, push: _Push, due: list[DueJob], connections: list[LaneConnection]) -> list[_Todo]:
        """Settle what needs no call; return the rest with what is wished and known."""
        todo = []
        for job in due:
            known = _known(job)
            try:
                wish = self._wish(push.lease, job, known, connections)
            except InvalidPayload as invalid:
                self._note(push, job, Impossible(str(invalid)))
                continue
            except Exception:  # a job that finds a fault in our rendering must not hold up the others
                log.exception("job_not_rendered")
                self._note(push, job, Impossible("The event could not be made, through a fault of calendar-sync."))
                continue
            # What was there before a job was forgotten stays, unless everybody wants all of it gone.
            ours = job.job_exists or is_test(job) or all(connection.emptying for connection in connections)
            if ours and (needs_call(wish, known) or job.retired_event_ids):
                todo.append(_Todo(job, wish, known or _first_known(push.lease, job), lone=len(due) == 1))
            else:
                self._note(push, job, Unchanged())
        return todo

    def _wish(self, lease: Lease, due: DueJob, known: Known | None, connections: list[LaneConnection]) -> Wish:
        return wish_for(
            due.job_id,
            due.payload,
            tenant_id=lease.tenant_id,
            calendar_id=lease.calendar_id,
            cancelled=bool(due.cancelled),
            known=known,
            wishers=connections,
            job_url_template=self._job_url_template,
        )

    def _rehearse(self, push: _Push, rehearsal: Rehearsal, test: DueJob) -> bool:
        """Carry out a test push; False if nothing is left of it but an event that must not be there."""
        try:
            return rehearsal.carry_out(test, _known(test) or _first_known(push.lease, test), push.settlement)
        except (LeaseLostError, psycopg.Error, PoolTimeout):
            raise
        except Exception:  # as below
            log.exception("test_push_failed")
            rehearsal.give_up(test, push.settlement)
            return True

    def _push_job(self, push: _Push, dialogue: Dialogue, job: _Todo) -> None:
        try:
            spoken = dialogue.talk(job.due, job.wish, job.known, lone=job.lone)
        except (LeaseLostError, psycopg.Error, PoolTimeout):
            raise
        except Exception:  # a job that finds a fault of ours must not hold up the others: it waits, in doubt
            log.exception("push_of_job_failed")
            self._note(push, job.due, TryLater("a fault of calendar-sync"))
            return
        if spoken is None:
            if not dialogue.wrote:
                push.settlement.unasked.append(job.due)
            _undo(push, job.due, wait_seconds=0.0, charged=False)
        else:
            self._note(push, job.due, spoken.outcome, spoken)

    def _note(self, push: _Push, due: DueJob, outcome: Outcome, spoken: Spoken | None = None) -> None:
        """Write one job's outcome into the settlement."""
        push.outcomes[type(outcome).__name__] += 1
        push.failures_in_a_row = push.failures_in_a_row + 1 if isinstance(outcome, TryLater) else 0
        match outcome:
            case Unchanged():
                push.settlement.done.append(due)
                if spoken is not None:
                    push.settlement.unasked.append(due)
            case Stands() | Gone() if spoken is not None:
                push.settlement.done.append(due)
                push.settlement.standing.append(_standing(due, outcome, spoken))
            case AskAgain(after_seconds):
                _undo(push, due, wait_seconds=after_seconds, charged=False)
            case TryLater() if self._stop.is_set():
                _undo(push, due, wait_seconds=0.0, charged=False)
            case TryLater(reason):
                wait = backoff_seconds(due.attempts + 1, random.random())  # noqa: S311 - spreads load, guards nothing
                log.info("push_tried_in_vain", reason=reason, wait_seconds=round(wait, 1))
                _undo(push, due, wait_seconds=wait, charged=True)
            case Impossible(reason):
                log.warning("push_impossible", reason=reason)
                push.settlement.undone.append(Undone(due, None, reason, charged=True))
            case _:
                raise AssertionError(f"{outcome} is not an outcome of a job")


def _of_one_priority(due: list[DueJob]) -> list[DueJob]:
    """Those as urgent as the first: what is less so uses less of the quota, and waits for another turn."""
    most = MOST_JOBS if not due or due[0].priority == Priority.LIVE else MOST_BACKLOG_JOBS
    return [job for job in due if job.priority == due[0].priority][:most]


def _wait_for_quota(push: _Push, ration: Ration) -> float:
    """Nobody else could have gone on: the lane comes back when there is something to go on with. Returns when, by
    time.monotonic().
    """
    wait = ration.wait
    if ration.priority is Priority.LIVE:
        push.settlement.rest_seconds = max(push.settlement.rest_seconds, wait)
    else:
        push.settlement.backlog_rest_seconds = wait
    return time.monotonic() + wait if wait > 0 else -math.inf


def _undo(push: _Push, due: DueJob, *, wait_seconds: float, charged: bool) -> None:
    push.settlement.undone.append(Undone(due, wait_seconds, None, charged=charged))


def _rest_after(push: _Push) -> float:
    """Seconds that the lane is left alone after a push in vain, growing with every further one."""
    if not push.in_vain:
        return 0.0
    return 2.0 ** min(push.lease.failures, LONGEST_REST_DOUBLINGS) + random.random()  # noqa: S311 - as above


def _standing(due: DueJob, outcome: Stands | Gone, spoken: Spoken) -> Standing:
    body = spoken.conversation.wish.body
    return Standing(
        due.job_id,
        None if body is None else content_hash(body),
        outcome.resource if isinstance(outcome, Stands) else None,
        spoken.speaker.connection.connection_id,
    )


def _known(due: DueJob) -> Known | None:
    if due.event_id is None or due.id_generation is None:
        return None
    return Known(
        due.event_id,
        due.id_generation,
        in_doubt=bool(due.in_doubt),
        etag=due.etag,
        content_hash=due.content_hash,
        users_fields=None if due.users_fields is None else json.loads(due.users_fields),
        seen_by=due.seen_by,
        ever_confirmed=due.ever_confirmed,
        seconds_since_write=due.seconds_since_write,
    )


def _first_known(lease: Lease, due: DueJob) -> Known:
    return Known(event_id(lease.tenant_id, lease.calendar_id, due.job_id, 1), 1, in_doubt=True)
