"""One push of one lane: compare what is due with what stands there, send the difference, settle the answers."""

import json
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from outbox.access import Access
from outbox.backoff import backoff_seconds
from outbox.google.calls import Call
from outbox.google.client import GoogleCalendar
from outbox.google.meaning import Answer, Meaning
from outbox.google.resource import content_hash, event_id
from outbox.lane import DueJob, Intent, LaneConnection, LaneStore, Lease, LeaseLostError, Settlement, Standing, Undone
from outbox.payload import InvalidPayload
from outbox.plan import (
    AskAgain,
    Conversation,
    Gone,
    Impossible,
    Known,
    MakeCall,
    NotOfThisJob,
    Outcome,
    Stands,
    TakeNextId,
    TryLater,
    Unchanged,
    Wish,
    first_step,
    insert_again,
    needs_call,
    next_step,
)
from outbox.trouble import Resting, Trouble, trouble_in_answer
from outbox.wish import wish_for

log = structlog.get_logger(__name__)

MOST_JOBS = 50
"""Jobs in one push, so that a long backlog gives way to other lanes in between."""

MOST_SECONDS = 15.0
"""No call of a push starts later than this after its first, for the same reason."""

CALL_SECONDS = 10.0
"""The longest that one call with its repeats may take."""

LEAST_CALL_SECONDS = 3.0
"""A call is not started with less time than this."""

FAILURES_IN_A_ROW = 2
"""When so many jobs one after another get no answer it is Google or the network, not the jobs: the lane rests."""


@dataclass(slots=True)
class _Speaker:
    connection: LaneConnection
    access_token: str = field(repr=False)
    renewed: bool = False


@dataclass(slots=True)
class _Push:
    """The state of one push under way."""

    lease: Lease
    settlement: Settlement
    resting: list[LaneConnection]
    able: list[LaneConnection]
    starts_until: float
    rest_seconds: float = 0.0
    failures_in_a_row: int = 0
    requests: int = 0
    over: bool = False
    speaker: _Speaker | None = None
    outcomes: dict[str, int] = field(default_factory=dict)


class LanePusher:
    """Pushes leased lanes; one instance serves all threads."""

    def __init__(
        self,
        store: LaneStore,
        access: Access,
        calendar: GoogleCalendar,
        *,
        job_url_template: str,
        stop: threading.Event,
    ) -> None:
        self._store = store
        self._access = access
        self._calendar = calendar
        self._job_url_template = job_url_template
        self._stop = stop

    def push(self, lease: Lease) -> dict[str, int]:
        """Push what is due on the lane, settle, release; returns how many jobs had which outcome.

        Raises:
            LeaseLostError: the lease ended on the way; nothing more was written, and the next holder looks again.
            psycopg.Error: the database failed; the lease runs out by itself, and what was called is in doubt.
        """
        due, connections = self._store.read(lease, limit=MOST_JOBS)
        able = [connection for connection in connections if connection.may_push]
        push = _Push(
            lease,
            Settlement(),
            resting=[connection for connection in able if connection.rest_left > 0],
            able=[connection for connection in able if connection.rest_left == 0],
            starts_until=min(time.monotonic() + MOST_SECONDS, lease.last_call_ends_by - LEAST_CALL_SECONDS),
        )
        push.rest_seconds = min((connection.rest_left for connection in push.resting), default=0.0)
        todo = self._sort(push, due, connections)
        if todo and self._speaker(push):
            self._store.begin(lease, [_intent(lease, job, wish, known) for job, wish, known in todo])
            for job, wish, known in todo:
                if push.over or self._out_of_time(push):
                    push.settlement.unasked.append(job)
                    self._undo(push, job, wait_seconds=0.0, charged=False)
                else:
                    self._push_guarded(push, job, wish, known, lone=len(due) == 1)
        if not push.able or push.over:
            push.settlement.rest_seconds = push.rest_seconds
        self._store.settle(lease, push.settlement)
        return push.outcomes

    def _sort(
        self, push: _Push, due: list[DueJob], connections: list[LaneConnection]
    ) -> list[tuple[DueJob, Wish, Known | None]]:
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
            if job.job_exists and (needs_call(wish, known) or job.retired_event_ids):
                todo.append((job, wish, known))
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

    def _push_guarded(self, push: _Push, due: DueJob, wish: Wish, known: Known | None, *, lone: bool) -> None:
        """A job that finds a fault of ours must not hold up the others: it waits, in doubt, and the fault is logged."""
        try:
            self._push_job(push, due, wish, known, lone=lone)
        except (LeaseLostError, psycopg.Error, PoolTimeout):
            raise
        except Exception:
            log.exception("push_of_job_failed")
            self._note(push, due, TryLater("a fault of calendar-sync"))

    def _push_job(self, push: _Push, due: DueJob, wish: Wish, known: Known | None, *, lone: bool) -> None:
        """Talk to Google about one job, through one connection after another, until there is an outcome."""
        known = known or _first_known(push.lease, due)
        while speaker := self._speaker(push):
            outcome, conversation = self._remove_retired(push, due, speaker), None
            if outcome is None:
                conversation = Conversation(wish, known)
                outcome, conversation = self._converse(push, due, conversation, speaker, lone=lone)
            if not isinstance(outcome, NotOfThisJob):
                self._note(push, due, outcome, conversation, speaker)
                return
            if conversation is not None:
                known = conversation.known
                wish = conversation.wish
            self._give_up_speaker(push, trouble_in_answer(outcome.answer, push.lease.failures))
        self._undo(push, due, wait_seconds=0.0, charged=False)

    def _remove_retired(self, push: _Push, due: DueJob, speaker: _Speaker) -> Outcome | None:
        """Events under ids that were given up go first, so that a job never stands twice; None once all are gone."""
        for retired_id in due.retired_event_ids:
            if retired_id in push.settlement.gone_retired_ids:
                continue
            conversation = Conversation(Wish(None), Known(retired_id, 0, in_doubt=True))
            outcome, _ = self._converse(push, due, conversation, speaker, lone=False)
            if not isinstance(outcome, Gone):
                return outcome
            push.settlement.gone_retired_ids.append(retired_id)
        return None

    def _converse(
        self, push: _Push, due: DueJob, conversation: Conversation, speaker: _Speaker, *, lone: bool
    ) -> tuple[Outcome, Conversation]:
        if not needs_call(conversation.wish, conversation.known):
            return Unchanged(), conversation
        step: MakeCall | TakeNextId = first_step(
            conversation, connection_id=speaker.connection.connection_id, read_first=lone
        )
        while True:
            match step:
                case MakeCall():
                    if self._out_of_time(push):
                        return AskAgain(0.0), conversation
                    answer = self._call(push, step.call, speaker)
                    conversation, following = next_step(conversation, step.call, answer)
                case TakeNextId():
                    conversation, following = self._take_next_id(push, due, conversation, speaker, step)
            if not isinstance(following, MakeCall | TakeNextId):
                return following, conversation
            step = following

    def _take_next_id(
        self, push: _Push, due: DueJob, conversation: Conversation, speaker: _Speaker, step: TakeNextId
    ) -> tuple[Conversation, MakeCall | Outcome]:
        lease, known = push.lease, conversation.known
        generation = known.id_generation + 1
        next_id = event_id(lease.tenant_id, lease.calendar_id, due.job_id, generation)
        self._store.take_next_id(
            lease,
            due.job_id,
            retired=known.event_id,
            seen_cancelled=step.old_seen_cancelled,
            event_id=next_id,
            id_generation=generation,
        )
        body = {**(conversation.wish.body or {}), "id": next_id}
        conversation, following = insert_again(conversation, next_id, body)
        if not step.old_seen_cancelled:
            # On the list, so that it goes first through whichever connection comes next, should this one fail here.
            due.retired_event_ids.append(known.event_id)
            outcome = self._remove_retired(push, due, speaker)
            if outcome is not None:
                return conversation, outcome
        return conversation, following

    def _call(self, push: _Push, call: Call, speaker: _Speaker) -> Answer:
        answer = self._send(push, call, speaker)
        if answer.meaning is Meaning.UNAUTHORIZED and not speaker.renewed:
            renewed = self._access.access_token(push.lease, speaker.connection, refused=True)
            speaker.renewed = True
            if isinstance(renewed, str):
                speaker.access_token = renewed
                answer = self._send(push, call, speaker)
            else:
                push.speaker = None
                self._lose(push, speaker.connection, renewed)
        return answer

    def _send(self, push: _Push, call: Call, speaker: _Speaker) -> Answer:
        deadline = min(time.monotonic() + CALL_SECONDS, push.lease.last_call_ends_by)
        answer = self._calendar.call(
            call, calendar_id=push.lease.calendar_id, access_token=speaker.access_token, deadline=deadline
        )
        push.requests += answer.requests
        return answer

    def _speaker(self, push: _Push) -> _Speaker | None:
        """The connection that speaks for this lane now: the first one that is able and has a token."""
        while push.speaker is None and push.able:
            connection = push.able[0]
            token = self._access.access_token(push.lease, connection)
            if isinstance(token, str):
                push.speaker = _Speaker(connection, token)
            else:
                self._lose(push, connection, token)
        push.over = push.over or push.speaker is None
        return push.speaker

    def _give_up_speaker(self, push: _Push, trouble: Trouble) -> None:
        if push.speaker is not None:
            connection, push.speaker = push.speaker.connection, None
            self._lose(push, connection, trouble)

    def _lose(self, push: _Push, connection: LaneConnection, trouble: Trouble) -> None:
        self._access.record_trouble(push.lease, connection, trouble)
        push.able.remove(connection)
        if isinstance(trouble, Resting):
            push.rest_seconds = min(push.rest_seconds or trouble.seconds, trouble.seconds)

    def _note(
        self,
        push: _Push,
        due: DueJob,
        outcome: Outcome,
        conversation: Conversation | None = None,
        speaker: _Speaker | None = None,
    ) -> None:
        """Write one job's outcome into the settlement."""
        name = type(outcome).__name__
        push.outcomes[name] = push.outcomes.get(name, 0) + 1
        push.failures_in_a_row = push.failures_in_a_row + 1 if isinstance(outcome, TryLater) else 0
        match outcome:
            case Unchanged():
                push.settlement.done.append(due)
                if speaker is not None:
                    push.settlement.unasked.append(due)
            case Stands(resource) if conversation is not None and speaker is not None:
                self._standing(push, due, speaker, resource, conversation.wish.body)
            case Gone() if speaker is not None:
                self._standing(push, due, speaker, None, None)
            case AskAgain(after_seconds):
                self._undo(push, due, wait_seconds=after_seconds, charged=False)
            case TryLater() if self._stop.is_set():
                self._undo(push, due, wait_seconds=0.0, charged=False)
            case TryLater(reason):
                wait = backoff_seconds(due.attempts + 1, random.random())  # noqa: S311 - spreads load, guards nothing
                log.info("push_tried_in_vain", reason=reason, wait_seconds=round(wait, 1))
                self._undo(push, due, wait_seconds=wait, charged=True)
                if push.failures_in_a_row >= FAILURES_IN_A_ROW:
                    push.over = True
                    push.rest_seconds = 2.0 ** min(push.lease.failures, 6) + random.random()  # noqa: S311
            case Impossible(reason):
                log.warning("push_impossible", reason=reason)
                push.settlement.undone.append(Undone(due, None, reason, charged=True))
            case _:
                raise AssertionError(f"{name} is not an outcome of a job")

    def _standing(
        self, push: _Push, due: DueJob, speaker: _Speaker, resource: Any, body: Mapping[str, Any] | None
    ) -> None:
        push.settlement.standing.append(
            Standing(
                due.job_id, None if body is None else content_hash(body), resource, speaker.connection.connection_id
            )
        )
        push.settlement.done.append(due)

    def _undo(self, push: _Push, due: DueJob, *, wait_seconds: float, charged: bool) -> None:
        push.settlement.undone.append(Undone(due, wait_seconds, None, charged=charged))

    def _out_of_time(self, push: _Push) -> bool:
        return self._stop.is_set() or time.monotonic() >= push.starts_until


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


def _intent(lease: Lease, due: DueJob, wish: Wish, known: Known | None) -> Intent:
    known = known or _first_known(lease, due)
    return Intent(due, known.event_id, known.id_generation, present=wish.body is not None)
