"""Talking to Google about one job after another, or many at once, as the plan decides, through whoever speaks for the
calendar.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from outbox.batching import BatchSizes
from outbox.budget import Ration
from outbox.google.calls import Call, Probe, Read
from outbox.google.client import GoogleCalendar
from outbox.google.meaning import Answer, Meaning
from outbox.google.metering import metered
from outbox.google.resource import event_id
from outbox.lane import DueJob, Lease
from outbox.lane_store import LaneStore
from outbox.plan import (
    AskAgain,
    Conversation,
    Gone,
    Known,
    MakeCall,
    NotOfThisJob,
    Outcome,
    Step,
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

BATCH_SECONDS = 20.0
"""The longest that calls made together, with their repeats, may take."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A job to be talked about, with what is wished and known."""

    due: DueJob
    wish: Wish
    known: Known


@dataclass(frozen=True, slots=True)
class Spoken:
    """How a conversation ended: through whom, and what was wished and known at its end."""

    outcome: Outcome
    conversation: Conversation
    speaker: Speaker


@dataclass(frozen=True, slots=True)
class Unspoken:
    """Nobody could speak to the end; `wrote`: whether a write was sent, as far as it came."""

    wrote: bool


@dataclass(slots=True)
class _Talk:
    """One of several conversations at once: where it stands."""

    topic: Topic
    conversation: Conversation = field(init=False)
    step: MakeCall | TakeNextId | None = None
    wrote: bool = False

    def __post_init__(self) -> None:
        self.conversation = Conversation(self.topic.wish, self.topic.known)

    def hear(self, call: Call, answer: Answer) -> Step:
        """What follows from the answer to a call."""
        self.wrote = self.wrote or (answer.requests > 0 and not isinstance(call, Read | Probe))
        self.conversation, step = next_step(self.conversation, call, answer)
        return step

    def begin_anew(self) -> None:
        """Through somebody else; but a write that nobody answered may still arrive."""
        former = self.conversation
        self.conversation = Conversation(former.wish, former.known, write_outcome_unknown=former.write_outcome_unknown)
        self.step = None


class Dialogue:
    """The conversations of one push of one lane.

    Args:
        ration: what may be sent, through one account or another.
        sizes: how many calls may go together; learns from how they fare.
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
        sizes: BatchSizes,
        out_of_time: Callable[[], bool],
    ) -> None:
        self._lease = lease
        self._store = store
        self._calendar = calendar
        self._speakers = speakers
        self._ration = ration
        self._sizes = sizes
        self._out_of_time = out_of_time
        self.asked = False
        """Whether any request was made."""
        self.gone_retired_ids: list[str] = []
        """Ids given up earlier whose events have been seen gone."""

    def talk(self, topic: Topic, *, lone: bool) -> Spoken | Unspoken:
        """Talk about one job, through one connection after another.

        Args:
            lone: nothing else is due on the calendar, so there is time to look before an update.
        """
        talk = _Talk(topic)
        while speaker := self._speakers.current():
            outcome = self._remove_retired(talk, speaker)
            if outcome is None:
                outcome = self._converse(talk, speaker, lone=lone)
            if not isinstance(outcome, NotOfThisJob):
                return Spoken(outcome, talk.conversation, speaker)
            talk.begin_anew()
            self._end_part(speaker, outcome)
        return Unspoken(talk.wrote)

    def talk_together(self, topics: Sequence[Topic]) -> list[Spoken | Unspoken]:
        """Talk about several jobs at once, each of which has no event left under an id that was given up: in each round
        the next call of every job, in one request.
        """
        talks = [_Talk(topic) for topic in topics]
        said: dict[str, Spoken] = {}
        while (going := [talk for talk in talks if talk.topic.due.job_id not in said]) and (
            speaker := self._speakers.current()
        ):
            refusal = None
            for talk, outcome in self._round(going, speaker):
                if isinstance(outcome, NotOfThisJob):
                    refusal = outcome
                else:
                    said[talk.topic.due.job_id] = Spoken(outcome, talk.conversation, speaker)
            if refusal is not None:
                self._end_part(speaker, refusal)
                for talk in going:
                    talk.begin_anew()  # what this speaker saw of an event is not what the next one sees
        return [said.get(talk.topic.due.job_id) or Unspoken(talk.wrote) for talk in talks]

    def look(self, event_id: str) -> Answer | None:
        """Read an event as it stands, through whoever speaks; None if nobody does, or there is no time or quota."""
        speaker = self._speakers.current()
        if speaker is None or self._out_of_time():
            return None
        [answer] = self._call([Read(event_id)], speaker)
        return None if answer.meaning is Meaning.OUT_OF_BUDGET else answer

    def _end_part(self, speaker: Speaker, refusal: NotOfThisJob) -> None:
        if refusal.answer.meaning is Meaning.OUT_OF_BUDGET:
            self._speakers.pass_over(speaker)
        else:
            self._speakers.give_up(speaker, trouble_in_answer(refusal.answer, self._lease.failures))

    def _remove_retired(self, talk: _Talk, speaker: Speaker) -> Outcome | None:
        """Events under ids that were given up go first, so that a job never stands twice; None once all are gone."""
        due = talk.topic.due
        for retired_id in due.retired_event_ids:
            if retired_id in self.gone_retired_ids:
                continue
            removal = _Talk(Topic(due, Wish(None), Known(retired_id, 0, in_doubt=True)))
            outcome = self._converse(removal, speaker, lone=False)
            talk.wrote = talk.wrote or removal.wrote
            if not isinstance(outcome, Gone):
                return outcome
            self.gone_retired_ids.append(retired_id)
        return None

    def _converse(self, talk: _Talk, speaker: Speaker, *, lone: bool) -> Outcome:
        step: Step = _opened(talk, speaker, lone=lone)
        while isinstance(step, MakeCall | TakeNextId):
            step = self._go_on(talk, speaker, step)
        return step

    def _go_on(self, talk: _Talk, speaker: Speaker, step: MakeCall | TakeNextId) -> Step:
        if isinstance(step, TakeNextId):
            return self._take_next_id(talk, speaker, step)
        if self._out_of_time():
            return AskAgain(0.0)
        [answer] = self._call([step.call], speaker)
        return talk.hear(step.call, answer)

    def _round(self, going: Sequence[_Talk], speaker: Speaker) -> Iterator[tuple[_Talk, Outcome]]:
        """Make the next call of every conversation; those that end now, with their outcomes."""
        calling: list[tuple[_Talk, MakeCall]] = []
        for talk in going:
            step = talk.step or _opened(talk, speaker, lone=False)
            if isinstance(step, TakeNextId):
                step = self._take_next_id(talk, speaker, step)
            if isinstance(step, MakeCall) and self._out_of_time():
                step = AskAgain(0.0)
            if isinstance(step, MakeCall):
                calling.append((talk, step))
            else:
                yield talk, step
        answers = self._call([step.call for _, step in calling], speaker)
        for (talk, step), answer in zip(calling, answers, strict=True):
            following = talk.hear(step.call, answer)
            if isinstance(following, MakeCall | TakeNextId):
                talk.step = following
            else:
                yield talk, following

    def _take_next_id(self, talk: _Talk, speaker: Speaker, step: TakeNextId) -> MakeCall | Outcome:
        lease, due, known = self._lease, talk.topic.due, talk.conversation.known
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
        body = {**(talk.conversation.wish.body or {}), "id": next_id}
        talk.conversation, following = insert_again(talk.conversation, next_id, body)
        if not step.old_seen_cancelled:
            # On the list, so that it goes first through whichever connection comes next, should this one fail here.
            due.retired_event_ids.append(known.event_id)
            outcome = self._remove_retired(talk, speaker)
            if outcome is not None:
                return outcome
        return following

    def _call(self, calls: Sequence[Call], speaker: Speaker) -> list[Answer]:
        """Make the calls, and again with a new token those for which the old one was not taken."""
        answers = self._send(calls, speaker)
        refused = [number for number, answer in enumerate(answers) if answer.meaning is Meaning.UNAUTHORIZED]
        if refused and self._speakers.renew(speaker):
            again = self._send([calls[number] for number in refused], speaker)
            for number, answer in zip(refused, again, strict=True):
                unknown = answer.earlier_unknown or answers[number].earlier_unknown
                answers[number] = replace(answer, earlier_unknown=unknown)
        if all(answer.meaning is not Meaning.UNAUTHORIZED for answer in answers):
            speaker.renewed = False  # a second refusal counts only if it is of the same call
        return answers

    def _send(self, calls: Sequence[Call], speaker: Speaker) -> list[Answer]:
        """Make the calls, together if there are several. A probe is of the calendar: one is made for all who ask."""
        probes = [number for number, call in enumerate(calls) if isinstance(call, Probe)]
        distinct = [number for number in range(len(calls)) if number not in probes[1:]]
        with metered(self._ration.of(speaker.connection)):
            made = self._make([calls[number] for number in distinct], speaker.access_token)
        self.asked = self.asked or any(answer.requests > 0 for answer in made)
        answers = dict(zip(distinct, made, strict=True))
        return [answers[probes[0] if number in probes else number] for number in range(len(calls))]

    def _make(self, calls: Sequence[Call], access_token: str) -> Sequence[Answer]:
        lease, now = self._lease, time.monotonic()
        where = {"calendar_id": lease.calendar_id, "access_token": access_token}
        if len(calls) == 1:
            deadline = min(now + CALL_SECONDS, lease.last_call_ends_by)
            return [self._calendar.call(calls[0], **where, deadline=deadline)]
        if not calls:
            return []
        together = self._calendar.call_together(
            calls, **where, deadline=min(now + BATCH_SECONDS, lease.last_call_ends_by)
        )
        self._sizes.learn(
            (lease.tenant_id, lease.calendar_id), together, calls=len(calls), seconds=time.monotonic() - now
        )
        return together.answers


def _opened(talk: _Talk, speaker: Speaker, *, lone: bool) -> Step:
    """How a conversation begins with this speaker."""
    if not needs_call(talk.conversation.wish, talk.conversation.known):
        return Unchanged()
    return first_step(talk.conversation, connection_id=speaker.connection.connection_id, read_first=lone)
