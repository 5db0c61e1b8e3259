"""Talking to Google about one job after another, as the plan decides, through whoever speaks for the calendar."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from outbox.budget import Ration
from outbox.google.calls import Call, Probe, Read
from outbox.google.client import GoogleCalendar
from outbox.google.meaning import Answer, Meaning
from outbox.google.metering import metered
from outbox.google.resource import event_id
from outbox.lane import DueJob, LaneStore, Lease
from outbox.plan import (
    AskAgain,
    Conversation,
    Gone,
    Known,
    MakeCall,
    NotOfThisJob,
    Outcome,
    TakeNextId,
    Unchanged,
    Wish,
    first_step,
    insert_again,
    needs_call,
    next_step,
)
from outbox.speakers import Speaker, Speakers
from outbox.trouble import trouble_in_answer

CALL_SECONDS = 10.0
"""The longest that one call with its repeats may take."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """How a conversation ended: through whom, and what was wished and known at its end."""

    outcome: Outcome
    conversation: Conversation
    speaker: Speaker


class Dialogue:
    """The conversations of one push of one lane.

    Args:
        ration: what may be sent, through one account or another.
        out_of_time: whether no further call may start.
    """

    def __init__(
        self,
        lease: Lease,
        store: LaneStore,
        calendar: GoogleCalendar,
        speakers: Speakers,
        *,
        ration: Ration,
        out_of_time: Callable[[], bool],
    ) -> None:
        self._lease = lease
        self._store = store
        self._calendar = calendar
        self._speakers = speakers
        self._ration = ration
        self._out_of_time = out_of_time
        self.wrote = False
        """Whether a write was sent in the last conversation, as far as it came."""
        self.asked = False
        """Whether any request was made."""
        self.gone_retired_ids: list[str] = []
        """Ids given up earlier whose events have been seen gone."""

    def talk(self, due: DueJob, wish: Wish, known: Known, *, lone: bool) -> Spoken | None:
        """Talk about one job, through one connection after another; None if nobody could speak to the end.

        Args:
            lone: nothing else is due on the calendar, so there is time to look before an update.
        """
        conversation = Conversation(wish, known)
        self.wrote = False
        while speaker := self._speakers.current():
            outcome = self._remove_retired(due, speaker)
            if outcome is None:
                outcome, conversation = self._converse(due, conversation, speaker, lone=lone)
            if not isinstance(outcome, NotOfThisJob):
                return Spoken(outcome, conversation, speaker)
            # The next one begins anew, but a write that nobody answered may still arrive.
            conversation = Conversation(
                conversation.wish,
                conversation.known,
                write_outcome_unknown=conversation.write_outcome_unknown,
            )
            if outcome.answer.meaning is Meaning.OUT_OF_BUDGET:
                self._speakers.pass_over(speaker)
            else:
                self._speakers.give_up(speaker, trouble_in_answer(outcome.answer, self._lease.failures))
        return None

    def look(self, event_id: str) -> Answer | None:
        """Read an event as it stands, through whoever speaks; None if nobody does, or there is no time or quota."""
        speaker = self._speakers.current()
        answer = None if speaker is None or self._out_of_time() else self._call(Read(event_id), speaker)
        return None if answer is None or answer.meaning is Meaning.OUT_OF_BUDGET else answer

    def _remove_retired(self, due: DueJob, speaker: Speaker) -> Outcome | None:
        """Events under ids that were given up go first, so that a job never stands twice; None once all are gone."""
        for retired_id in due.retired_event_ids:
            if retired_id in self.gone_retired_ids:
                continue
            conversation = Conversation(Wish(None), Known(retired_id, 0, in_doubt=True))
            outcome, _ = self._converse(due, conversation, speaker, lone=False)
            if not isinstance(outcome, Gone):
                return outcome
            self.gone_retired_ids.append(retired_id)
        return None

    def _converse(
        self, due: DueJob, conversation: Conversation, speaker: Speaker, *, lone: bool
    ) -> tuple[Outcome, Conversation]:
        if not needs_call(conversation.wish, conversation.known):
            return Unchanged(), conversation
        connection_id = speaker.connection.connection_id
        step: MakeCall | TakeNextId = first_step(conversation, connection_id=connection_id, read_first=lone)
        while True:
            match step:
                case MakeCall():
                    if self._out_of_time():
                        return AskAgain(0.0), conversation
                    answer = self._call(step.call, speaker)
                    conversation, following = next_step(conversation, step.call, answer)
                case TakeNextId():
                    conversation, following = self._take_next_id(due, conversation, speaker, step)
            if not isinstance(following, MakeCall | TakeNextId):
                return following, conversation
            step = following

    def _take_next_id(
        self, due: DueJob, conversation: Conversation, speaker: Speaker, step: TakeNextId
    ) -> tuple[Conversation, MakeCall | Outcome]:
        lease, known = self._lease, conversation.known
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
            outcome = self._remove_retired(due, speaker)
            if outcome is not None:
                return conversation, outcome
        return conversation, following

    def _call(self, call: Call, speaker: Speaker) -> Answer:
        answer = self._send(call, speaker)
        if answer.meaning is Meaning.UNAUTHORIZED and self._speakers.renew(speaker):
            again = self._send(call, speaker)
            answer = replace(again, earlier_unknown=again.earlier_unknown or answer.earlier_unknown)
        if answer.meaning is not Meaning.UNAUTHORIZED:
            speaker.renewed = False  # a second refusal counts only if it is of the same call
        return answer

    def _send(self, call: Call, speaker: Speaker) -> Answer:
        with metered(self._ration.of(speaker.connection)):
            answer = self._calendar.call(
                call,
                calendar_id=self._lease.calendar_id,
                access_token=speaker.access_token,
                deadline=min(time.monotonic() + CALL_SECONDS, self._lease.last_call_ends_by),
            )
        self.asked = self.asked or answer.requests > 0
        self.wrote = self.wrote or (answer.requests > 0 and not isinstance(call, Read | Probe))
        return answer
