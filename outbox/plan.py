"""What call to make next for one job on one calendar, and what an answer to it means for us. Pure.

A push is a short conversation with Google: `first_step` opens it from what should stand there and what we know, and
`next_step` reads each answer. Every step is a value: a call to make, an id to give up, or the outcome that is settled.

Four rules hold it together:

* A write names the etag it was decided on, so a request that arrives late, after a newer one, is refused by Google.
* A pair in doubt is never taken for what we last recorded: it is written again, or looked at.
* A new id is taken only after a definite refusal of the old one, never because an answer is missing.
* Only an event that carries our mark is removed: under the etag of what we wrote ourselves, or seen to carry it. One
  that somebody has taken the mark off is his. (That it is this job's, its id says, which is made of the job.) Where
  Google does not show whether it carries the mark, because it is private, Google is left to refuse.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from outbox.google.calls import Call, Delete, Insert, Probe, Read, Update
from outbox.google.meaning import OF_WHOEVER_CALLS, Answer, Meaning
from outbox.google.refusal import refusal_sentence
from outbox.google.resource import MARK, content_hash, for_insert, for_update, users_fields

LATE_ARRIVAL_SECONDS = 60.0
"""How long a request whose answer we never saw may still reach Google: a "not found" within it is asked again."""

MOST_CALLS = 8
"""Calls in one conversation; somebody editing the event at the same pace is not raced for ever."""


@dataclass(frozen=True, slots=True)
class Known:
    """What we have on record for one (tenant, calendar, job).

    Attributes:
        event_id: the id in use, deterministic in the pair and `id_generation`.
        in_doubt: a call was begun and its definite answer never settled.
        etag: of the live event; None if we know of none.
        content_hash: of our fields as last confirmed; None if nothing is known to stand there.
        users_fields: what the user owns on the event, as last seen by connection `seen_by`.
        ever_confirmed: Google has given a definite answer about this id before.
        seconds_since_write: since a write of ours with unknown outcome may have been sent; None if there is none.
    """

    event_id: str
    id_generation: int
    in_doubt: bool = False
    etag: str | None = None
    content_hash: bytes | None = None
    users_fields: Mapping[str, Any] | None = None
    seen_by: int | None = None
    ever_confirmed: bool = False
    seconds_since_write: float | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What should stand in the calendar for the job: `body` are our fields, None for no event."""

    body: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Conversation:
    """A push under way: its wish, what is known by now, and how it came here."""

    wish: Wish
    known: Known
    calls_made: int = 0
    saw_duplicate: bool = False
    reviving: bool = False
    write_outcome_unknown: bool = False
    refusal: Answer | None = None
    """What the calendar is being asked about, or what made us insert once more."""


@dataclass(frozen=True, slots=True)
class MakeCall:
    """Send this and come back with the answer."""

    call: Call


@dataclass(frozen=True, slots=True)
class TakeNextId:
    """Google will definitely not have the event under its id: store a new one, then go on with `insert_again`.

    Unless the old event was seen cancelled it has to go first, or the job would stand in the calendar twice.
    """

    old_seen_cancelled: bool


@dataclass(frozen=True, slots=True)
class Stands:
    """Settled: the event is there with our fields; `resource` is Google's answer."""

    resource: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Gone:
    """Settled: no event of ours is there."""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Settled without a call: what stands there is what should."""


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Nothing is wrong, but the truth is not out yet: look again after so many seconds; charges no attempt."""

    after_seconds: float


@dataclass(frozen=True, slots=True)
class TryLater:
    """The outcome is unknown or the call was not taken: again after a growing pause; the pair stays in doubt."""

    reason: str


@dataclass(frozen=True, slots=True)
class Impossible:
    """This can never succeed as it is; `reason` is for the user."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotOfThisJob:
    """The answer is about the connection, its calendar or our client: the job is not to blame."""

    answer: Answer


Outcome = Stands | Gone | Unchanged | AskAgain | TryLater | Impossible | NotOfThisJob
Step = MakeCall | TakeNextId | Outcome


_NOT_OF_THIS_JOB = OF_WHOEVER_CALLS | {Meaning.OUT_OF_BUDGET}
_WRITING_ROLES = ("owner", "writer", "writerWithoutPrivateAccess")
_TRY_LATER = frozenset({Meaning.UNAVAILABLE, Meaning.NO_ANSWER, Meaning.NOT_SENT, Meaning.CONFLICT})


def needs_call(wish: Wish, known: Known | None) -> bool:
    """Whether anything has to be asked of Google; decided before the intent is stored."""
    if wish.body is None:
        return known is not None and (known.in_doubt or known.content_hash is not None)
    return known is None or known.in_doubt or known.content_hash != content_hash(wish.body)


def first_step(conversation: Conversation, *, connection_id: int, read_first: bool) -> MakeCall:
    """Open the conversation that `needs_call` asked for.

    Args:
        connection_id: who will speak; reminders seen through another connection are not this user's.
        read_first: look before an update although the etag is known, because changed reminders change no etag.
    """
    known, body = conversation.known, conversation.wish.body
    if body is None:
        if known.etag is None or known.in_doubt:
            return MakeCall(Read(known.event_id))
        return MakeCall(Delete(known.event_id, known.etag))
    if known.etag is not None:
        # Doubt that no write of ours made is a resync's: all that we know may be out of date, reminders too.
        doubted = known.in_doubt and known.seconds_since_write is None
        if read_first or doubted or known.seen_by != connection_id:
            return MakeCall(Read(known.event_id))
        return MakeCall(Update(known.event_id, _update_body(body, known.users_fields), known.etag))
    if known.ever_confirmed:
        return MakeCall(Read(known.event_id))
    return MakeCall(Insert(known.event_id, for_insert(body)))


def insert_again(conversation: Conversation, event_id: str, body: Mapping[str, Any]) -> tuple[Conversation, MakeCall]:
    """Go on after `TakeNextId`, now that the next id is stored; `body` carries it."""
    known = Known(event_id, conversation.known.id_generation + 1, in_doubt=True)
    fresh = Conversation(Wish(body), known, conversation.calls_made)
    return fresh, MakeCall(Insert(event_id, for_insert(body)))


def next_step(conversation: Conversation, call: Call, answer: Answer) -> tuple[Conversation, Step]:
    """Read the answer to a call: what is known now, and what follows."""
    now = replace(
        conversation,
        calls_made=conversation.calls_made + 1,
        write_outcome_unknown=conversation.write_outcome_unknown
        or (isinstance(call, Insert | Update) and answer.earlier_unknown),
    )
    if answer.meaning in _NOT_OF_THIS_JOB:
        return now, NotOfThisJob(answer)
    if answer.meaning in _TRY_LATER:
        return now, TryLater(answer.message)
    if answer.meaning is Meaning.INVALID:
        return now, Impossible(refusal_sentence(answer, "Google refused this event."))
    if answer.meaning is Meaning.CALENDAR_READ_ONLY:
        return _when_read_only(now, call, answer)
    match call:
        case Probe():
            now, step = _after_probe(now, answer)
        case Insert():
            now, step = _after_insert(now, answer)
        case Read():
            now, step = _after_read(now, answer)
        case Update():
            now, step = _after_update(now, answer)
        case Delete():
            now, step = _after_delete(now, answer)
    if isinstance(step, TakeNextId) and _may_arrive_late(now):
        # A write that was never answered could bring the old event back beside the new one.
        return now, AskAgain(LATE_ARRIVAL_SECONDS)
    if isinstance(step, MakeCall | TakeNextId) and now.calls_made >= MOST_CALLS:
        return now, TryLater("The event kept changing while it was being written.")
    return now, step


def _when_read_only(now: Conversation, call: Call, answer: Answer) -> tuple[Conversation, Step]:
    if isinstance(call, Probe) or (isinstance(call, Insert) and now.refusal is not None):
        return now, NotOfThisJob(answer)
    # A calendar made a moment ago may refuse an insert once. Else it may be the one event, made private, or the whole
    # calendar.
    return replace(now, refusal=answer), MakeCall(call if isinstance(call, Insert) else Probe())


def _after_insert(now: Conversation, answer: Answer) -> tuple[Conversation, Step]:
    match answer.meaning:
        case Meaning.DONE if answer.resource is not None:
            return now, Stands(answer.resource)
        case Meaning.DUPLICATE:
            return replace(now, saw_duplicate=True), MakeCall(Read(now.known.event_id))
        case Meaning.GONE:
            return now, TakeNextId(old_seen_cancelled=True)
        case Meaning.NOT_FOUND:
            # Inserting asks for no event, so it is the calendar that was not found.
            return now, NotOfThisJob(answer)
        case _:
            return now, Impossible(refusal_sentence(answer, "Google refused this event."))


def _after_read(now: Conversation, answer: Answer) -> tuple[Conversation, Step]:
    known, body = now.known, now.wish.body
    if answer.meaning is Meaning.DONE and answer.resource is not None:
        etag = str(answer.resource.get("etag", ""))
        cancelled = answer.resource.get("status") == "cancelled"
        if body is None:
            # Not ours any more is as good as gone, but a write of ours that may still arrive would put the mark back.
            gone = cancelled or not (_is_ours(answer.resource) or _is_redacted(answer.resource))
            return now, (_late_or(now, Gone()) if gone else MakeCall(Delete(known.event_id, etag)))
        update = Update(known.event_id, _update_body(body, users_fields(answer.resource)), etag)
        return replace(now, reviving=cancelled), MakeCall(update)
    if answer.meaning in (Meaning.NOT_FOUND, Meaning.GONE):
        if body is None:
            return _missing(now, answer)
        if now.saw_duplicate:
            if answer.meaning is Meaning.GONE:
                return now, TakeNextId(old_seen_cancelled=True)
            # Google's copies disagree for a while; for longer than that, the event was purged and its id kept.
            return now, _next_id_after_a_minute(now)
        return now, MakeCall(Insert(known.event_id, for_insert(body)))
    return now, Impossible(refusal_sentence(answer, "Google does not show us this event."))


def _after_update(now: Conversation, answer: Answer) -> tuple[Conversation, Step]:
    known, body = now.known, now.wish.body
    if body is None:
        raise AssertionError("an update is never made for an event that should not be there")
    match answer.meaning:
        case Meaning.DONE if answer.resource is not None:
            return now, Stands(answer.resource)
        case Meaning.CHANGED:
            return now, MakeCall(Read(known.event_id))
        case Meaning.NOT_FOUND | Meaning.GONE | Meaning.EVENT_REFUSED if now.reviving:
            return now, TakeNextId(old_seen_cancelled=True)
        case Meaning.NOT_FOUND if now.saw_duplicate:
            return now, _next_id_after_a_minute(now)
        case Meaning.NOT_FOUND:
            return now, MakeCall(Insert(known.event_id, for_insert(body)))
        case Meaning.GONE:
            return now, MakeCall(Read(known.event_id))
        case _:
            return now, TakeNextId(old_seen_cancelled=False)


def _after_delete(now: Conversation, answer: Answer) -> tuple[Conversation, Step]:
    match answer.meaning:
        case Meaning.DONE:
            return now, Gone()
        case Meaning.GONE:
            return now, _late_or(now, Gone())
        case Meaning.NOT_FOUND:
            return _missing(now, answer)
        case Meaning.CHANGED:
            return now, MakeCall(Read(now.known.event_id))
        case _:
            return now, Impossible(refusal_sentence(answer, "Google does not let us remove this event."))


def _after_probe(now: Conversation, answer: Answer) -> tuple[Conversation, Step]:
    refusal = now.refusal or answer
    if answer.meaning is not Meaning.DONE or answer.resource is None:
        return now, NotOfThisJob(answer if answer.meaning is Meaning.NOT_FOUND else refusal)
    if answer.resource.get("accessRole") not in _WRITING_ROLES:
        return now, NotOfThisJob(refusal)
    if refusal.meaning is Meaning.NOT_FOUND:
        return now, Gone()
    return now, Impossible("The event was made private by somebody else, so it can no longer be changed from here.")


def _missing(now: Conversation, answer: Answer) -> tuple[Conversation, Step]:
    """A "not found" is the truth only if the calendar itself is there."""
    return replace(now, refusal=answer), _late_or(now, MakeCall(Probe()))


def _late_or(now: Conversation, step: Step) -> Step:
    """The step, unless a write of ours may still be on its way that would make the event or bring it back."""
    since = now.known.seconds_since_write
    if since is not None and since < LATE_ARRIVAL_SECONDS:
        return AskAgain(LATE_ARRIVAL_SECONDS - since)
    return step


def _next_id_after_a_minute(now: Conversation) -> TakeNextId | AskAgain:
    """Google says both that the id is taken and that nothing is there; after a minute that is a refusal."""
    since = now.known.seconds_since_write
    if since is not None and since >= LATE_ARRIVAL_SECONDS:
        return TakeNextId(old_seen_cancelled=False)
    return AskAgain(LATE_ARRIVAL_SECONDS)


def _may_arrive_late(now: Conversation) -> bool:
    """Whether a write of ours, of this conversation or an earlier one, went unanswered within the last minute."""
    since = now.known.seconds_since_write
    return now.write_outcome_unknown or (since is not None and since < LATE_ARRIVAL_SECONDS)


def _is_ours(resource: Mapping[str, Any]) -> bool:
    properties = resource.get("extendedProperties")
    private = properties.get("private") if isinstance(properties, Mapping) else None
    return isinstance(private, Mapping) and private.get(MARK) == "1"


def _is_redacted(resource: Mapping[str, Any]) -> bool:
    """Whether Google shows no more of a private event than its times: then that the mark is missing says nothing."""
    private = resource.get("visibility") in ("private", "confidential")
    return private and not any(name in resource for name in ("summary", "description", "extendedProperties"))


def _update_body(body: Mapping[str, Any], users: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return for_update(body, users or {})
