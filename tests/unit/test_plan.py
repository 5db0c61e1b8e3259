"""What call follows what, against tables of answers and against a model of Google that loses and delays requests."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.google.calls import Call, Delete, Insert, Probe, Read, Update
from outbox.google.meaning import Answer, Meaning
from outbox.google.request import request_for
from outbox.google.resource import content_hash, event_id, for_insert
from outbox.plan import (
    LATE_ARRIVAL_SECONDS,
    MOST_CALLS,
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
    Wish,
    first_step,
    insert_again,
    needs_call,
    next_step,
)

PROJECT = Path(__file__).resolve().parents[2]

ME = 7
BODY = {
    "summary": "J-1",
    "status": "confirmed",
    "start": {"date": "2026-12-01"},
    "end": {"date": "2026-12-02"},
    "extendedProperties": {"private": {"calendarSync": "1"}},
}
WANTED, UNWANTED = Wish(BODY), Wish(None)
NEW = Known("e1", 1, in_doubt=True)
STANDING = Known("e1", 1, etag='"1"', content_hash=content_hash(BODY), users_fields={}, seen_by=ME, ever_confirmed=True)
OUTDATED = replace(STANDING, content_hash=b"of something else")
REMOVED = Known("e1", 1, ever_confirmed=True)

LIVE = {
    "id": "e1",
    "etag": '"2"',
    "status": "confirmed",
    "colorId": "5",
    "extendedProperties": {"private": {"calendarSync": "1", "somebodyElses": "2"}},
}
UNMARKED = {key: LIVE[key] for key in LIVE if key != "extendedProperties"}
CANCELLED = {"id": "e1", "etag": '"3"', "status": "cancelled"}


@pytest.mark.parametrize(
    ("wish", "known", "expected"),
    [
        pytest.param(WANTED, None, True, id="a new job needs a call"),
        pytest.param(WANTED, STANDING, False, id="an unchanged event needs none"),
        pytest.param(WANTED, replace(STANDING, in_doubt=True), True, id="unchanged but in doubt needs one"),
        pytest.param(WANTED, OUTDATED, True, id="changed content needs one"),
        pytest.param(WANTED, REMOVED, True, id="a removed event that is wanted again needs one"),
        pytest.param(UNWANTED, None, False, id="nothing there and nothing wanted needs none"),
        pytest.param(UNWANTED, REMOVED, False, id="removed and unwanted needs none"),
        pytest.param(UNWANTED, STANDING, True, id="an unwanted event needs one"),
        pytest.param(UNWANTED, NEW, True, id="a pair in doubt that was never confirmed needs one"),
    ],
)
def test_only_a_difference_or_a_doubt_needs_a_call(wish: Wish, known: Known | None, expected: bool) -> None:
    assert needs_call(wish, known) is expected


@pytest.mark.parametrize(
    ("wish", "known", "read_first", "expected"),
    [
        pytest.param(WANTED, NEW, False, Insert, id="a new event is inserted"),
        pytest.param(WANTED, OUTDATED, False, Update, id="a known one is updated under its etag, in one request"),
        pytest.param(WANTED, OUTDATED, True, Read, id="a lone edit looks at the reminders first"),
        pytest.param(WANTED, replace(OUTDATED, seen_by=8), False, Read, id="another user's reminders are not ours"),
        pytest.param(WANTED, replace(STANDING, in_doubt=True), False, Read, id="doubt that no write made: look first"),
        pytest.param(
            WANTED,
            replace(OUTDATED, in_doubt=True, seconds_since_write=20.0),
            False,
            Update,
            id="a write without an answer is written again under the etag from before it",
        ),
        pytest.param(WANTED, REMOVED, False, Read, id="a removed one is looked at, to be revived under its etag"),
        pytest.param(UNWANTED, STANDING, False, Delete, id="an unwanted one is deleted under its etag"),
        pytest.param(UNWANTED, replace(STANDING, in_doubt=True), False, Read, id="in doubt, it is looked at first"),
        pytest.param(UNWANTED, NEW, False, Read, id="never confirmed, it is looked at first"),
        pytest.param(UNWANTED, replace(STANDING, etag=None), False, Read, id="without an etag it is looked at first"),
    ],
)
def test_the_first_call_follows_from_what_is_known(
    wish: Wish, known: Known, read_first: bool, expected: type[Call]
) -> None:
    step = first_step(Conversation(wish, known), connection_id=ME, read_first=read_first)
    assert isinstance(step.call, expected)
    if isinstance(step.call, Update | Delete):
        assert step.call.etag == known.etag


INSERT, READ, UPDATE, DELETE = Insert("e1", BODY), Read("e1"), Update("e1", BODY, '"1"'), Delete("e1", '"1"')


def answered(meaning: Meaning, resource: Mapping[str, Any] | None = None, **more: Any) -> Answer:
    return Answer(meaning, resource=resource, **more)


@pytest.mark.parametrize(
    ("conversation", "call", "answer", "expected"),
    [
        pytest.param(Conversation(WANTED, NEW), INSERT, answered(Meaning.DONE, LIVE), Stands(LIVE), id="inserted"),
        pytest.param(Conversation(WANTED, NEW), INSERT, answered(Meaning.DUPLICATE), Read, id="id taken: look"),
        pytest.param(Conversation(WANTED, NEW), INSERT, answered(Meaning.NOT_FOUND), NotOfThisJob, id="no calendar"),
        pytest.param(Conversation(WANTED, NEW), INSERT, answered(Meaning.GONE), TakeNextId(True), id="id spent"),
        pytest.param(Conversation(WANTED, NEW), INSERT, answered(Meaning.EVENT_REFUSED), Impossible, id="refused"),
        pytest.param(Conversation(WANTED, NEW), INSERT, answered(Meaning.INVALID), Impossible, id="illegal"),
        pytest.param(Conversation(WANTED, NEW), INSERT, answered(Meaning.NO_ANSWER), TryLater, id="no answer"),
        pytest.param(Conversation(WANTED, NEW), INSERT, answered(Meaning.UNAVAILABLE), TryLater, id="5xx"),
        pytest.param(Conversation(WANTED, NEW), INSERT, answered(Meaning.RATE_LIMITED), NotOfThisJob, id="too fast"),
        pytest.param(Conversation(WANTED, OUTDATED), READ, answered(Meaning.DONE, LIVE), Update, id="seen: update"),
        pytest.param(Conversation(WANTED, OUTDATED), READ, answered(Meaning.DONE, CANCELLED), Update, id="revive"),
        pytest.param(Conversation(WANTED, OUTDATED), READ, answered(Meaning.NOT_FOUND), Insert, id="vanished: insert"),
        pytest.param(
            Conversation(WANTED, NEW, saw_duplicate=True),
            READ,
            answered(Meaning.NOT_FOUND),
            AskAgain(LATE_ARRIVAL_SECONDS),
            id="taken yet not to be seen: Google's copies disagree for a while",
        ),
        pytest.param(
            Conversation(WANTED, replace(NEW, seconds_since_write=59.0), saw_duplicate=True),
            READ,
            answered(Meaning.NOT_FOUND),
            AskAgain(LATE_ARRIVAL_SECONDS),
            id="taken yet not to be seen for less than a minute",
        ),
        pytest.param(
            Conversation(WANTED, replace(NEW, seconds_since_write=60.0), saw_duplicate=True),
            READ,
            answered(Meaning.NOT_FOUND),
            TakeNextId(old_seen_cancelled=False),
            id="taken yet not to be seen for a minute: purged, its id kept",
        ),
        pytest.param(
            Conversation(WANTED, NEW, saw_duplicate=True),
            READ,
            answered(Meaning.GONE),
            TakeNextId(old_seen_cancelled=True),
            id="taken by what is deleted",
        ),
        pytest.param(Conversation(WANTED, OUTDATED), READ, answered(Meaning.GONE), Insert, id="seen gone: insert"),
        pytest.param(Conversation(UNWANTED, STANDING), READ, answered(Meaning.GONE), Probe, id="gone, or no calendar"),
        pytest.param(Conversation(WANTED, OUTDATED), READ, answered(Meaning.CHANGED), Impossible, id="not shown"),
        pytest.param(Conversation(UNWANTED, STANDING), READ, answered(Meaning.DONE, LIVE), Delete, id="seen: delete"),
        pytest.param(Conversation(UNWANTED, STANDING), READ, answered(Meaning.DONE, CANCELLED), Gone(), id="is gone"),
        pytest.param(Conversation(UNWANTED, STANDING), READ, answered(Meaning.DONE, UNMARKED), Gone(), id="not ours"),
        pytest.param(Conversation(WANTED, OUTDATED), READ, answered(Meaning.DONE, UNMARKED), Update, id="ours again"),
        pytest.param(
            Conversation(UNWANTED, replace(STANDING, in_doubt=True, seconds_since_write=20.0)),
            READ,
            answered(Meaning.DONE, UNMARKED),
            AskAgain(40.0),
            id="not ours, but a write that makes it ours may still arrive",
        ),
        pytest.param(
            Conversation(UNWANTED, replace(REMOVED, in_doubt=True, seconds_since_write=20.0)),
            READ,
            answered(Meaning.DONE, CANCELLED),
            AskAgain(40.0),
            id="gone, but a revival in doubt may still arrive",
        ),
        pytest.param(Conversation(UNWANTED, STANDING), READ, answered(Meaning.NOT_FOUND), Probe, id="or no calendar"),
        pytest.param(
            Conversation(UNWANTED, replace(NEW, seconds_since_write=20.0)),
            READ,
            answered(Meaning.NOT_FOUND),
            AskAgain(40.0),
            id="not there yet: an insert in doubt may still arrive",
        ),
        pytest.param(
            Conversation(UNWANTED, replace(NEW, seconds_since_write=61.0)),
            READ,
            answered(Meaning.NOT_FOUND),
            Probe,
            id="not there after a minute: it will not come any more, unless the calendar is lost",
        ),
        pytest.param(Conversation(WANTED, OUTDATED), UPDATE, answered(Meaning.DONE, LIVE), Stands(LIVE), id="updated"),
        pytest.param(Conversation(WANTED, OUTDATED), UPDATE, answered(Meaning.CHANGED), Read, id="edited meanwhile"),
        pytest.param(Conversation(WANTED, OUTDATED), UPDATE, answered(Meaning.NOT_FOUND), Insert, id="lost: insert"),
        pytest.param(Conversation(WANTED, OUTDATED), UPDATE, answered(Meaning.GONE), Read, id="deleted: look"),
        pytest.param(
            Conversation(WANTED, OUTDATED),
            UPDATE,
            answered(Meaning.EVENT_REFUSED),
            TakeNextId(old_seen_cancelled=False),
            id="not ours any more: the old one goes, a new id is taken",
        ),
        pytest.param(
            Conversation(WANTED, REMOVED, reviving=True),
            UPDATE,
            answered(Meaning.EVENT_REFUSED),
            TakeNextId(old_seen_cancelled=True),
            id="reviving refused: a new id is taken",
        ),
        pytest.param(
            Conversation(WANTED, REMOVED, reviving=True),
            UPDATE,
            answered(Meaning.NOT_FOUND),
            TakeNextId(old_seen_cancelled=True),
            id="reviving what was purged: a new id is taken",
        ),
        pytest.param(
            Conversation(WANTED, REMOVED, reviving=True),
            UPDATE,
            answered(Meaning.GONE),
            TakeNextId(old_seen_cancelled=True),
            id="reviving what is gone: a new id is taken",
        ),
        pytest.param(
            Conversation(WANTED, OUTDATED, saw_duplicate=True),
            UPDATE,
            answered(Meaning.NOT_FOUND),
            AskAgain(LATE_ARRIVAL_SECONDS),
            id="taken, seen, and lost again: Google's copies disagree",
        ),
        pytest.param(
            Conversation(WANTED, OUTDATED, write_outcome_unknown=True),
            UPDATE,
            answered(Meaning.EVENT_REFUSED),
            AskAgain(LATE_ARRIVAL_SECONDS),
            id="no new id while a write of this conversation may arrive",
        ),
        pytest.param(
            Conversation(WANTED, OUTDATED),
            UPDATE,
            answered(Meaning.EVENT_REFUSED, earlier_unknown=True),
            AskAgain(LATE_ARRIVAL_SECONDS),
            id="nor while an earlier try of this very call may",
        ),
        pytest.param(
            Conversation(WANTED, replace(OUTDATED, seconds_since_write=59.0)),
            UPDATE,
            answered(Meaning.EVENT_REFUSED),
            AskAgain(LATE_ARRIVAL_SECONDS),
            id="nor while a write of an earlier push may",
        ),
        pytest.param(
            Conversation(WANTED, replace(OUTDATED, seconds_since_write=60.0)),
            UPDATE,
            answered(Meaning.EVENT_REFUSED),
            TakeNextId(old_seen_cancelled=False),
            id="after a minute none can",
        ),
        pytest.param(
            Conversation(WANTED, NEW, saw_duplicate=True),
            READ,
            answered(Meaning.GONE, earlier_unknown=True),
            TakeNextId(old_seen_cancelled=True),
            id="a look that was not answered writes nothing",
        ),
        pytest.param(
            Conversation(WANTED, OUTDATED, calls_made=MOST_CALLS - 1),
            UPDATE,
            answered(Meaning.EVENT_REFUSED),
            TryLater,
            id="no new id either after too many calls",
        ),
        pytest.param(
            Conversation(WANTED, REMOVED, reviving=True), UPDATE, answered(Meaning.NO_ANSWER), TryLater, id="no new id"
        ),
        pytest.param(Conversation(UNWANTED, STANDING), DELETE, answered(Meaning.DONE), Gone(), id="deleted"),
        pytest.param(Conversation(UNWANTED, STANDING), DELETE, answered(Meaning.GONE), Gone(), id="deleted before"),
        pytest.param(Conversation(UNWANTED, STANDING), DELETE, answered(Meaning.NOT_FOUND), Probe, id="is it gone?"),
        pytest.param(
            Conversation(UNWANTED, STANDING, refusal=answered(Meaning.NOT_FOUND)),
            Probe(),
            answered(Meaning.DONE, {"accessRole": "owner"}),
            Gone(),
            id="the calendar is there, so the event is gone",
        ),
        pytest.param(
            Conversation(UNWANTED, STANDING, refusal=answered(Meaning.NOT_FOUND)),
            Probe(),
            answered(Meaning.NOT_FOUND),
            NotOfThisJob(answered(Meaning.NOT_FOUND)),
            id="the calendar is lost, and who knows about the event",
        ),
        pytest.param(
            Conversation(WANTED, OUTDATED),
            UPDATE,
            answered(Meaning.CALENDAR_READ_ONLY),
            Probe,
            id="may not write: what?",
        ),
        pytest.param(
            Conversation(WANTED, NEW), INSERT, answered(Meaning.CALENDAR_READ_ONLY), Insert, id="may not insert yet?"
        ),
        pytest.param(
            Conversation(WANTED, NEW, refusal=answered(Meaning.CALENDAR_READ_ONLY)),
            INSERT,
            answered(Meaning.CALENDAR_READ_ONLY),
            NotOfThisJob,
            id="may not insert",
        ),
        pytest.param(
            Conversation(WANTED, NEW), INSERT, answered(Meaning.NO_CALENDAR), NotOfThisJob, id="Calendar is off"
        ),
        pytest.param(
            Conversation(WANTED, OUTDATED, refusal=answered(Meaning.CALENDAR_READ_ONLY)),
            Probe(),
            answered(Meaning.DONE, {"accessRole": "writerWithoutPrivateAccess"}),
            Impossible,
            id="one event was made private",
        ),
        pytest.param(
            Conversation(WANTED, OUTDATED, refusal=answered(Meaning.CALENDAR_READ_ONLY)),
            Probe(),
            answered(Meaning.DONE, {"accessRole": "reader"}),
            NotOfThisJob(answered(Meaning.CALENDAR_READ_ONLY)),
            id="the calendar became read-only",
        ),
        pytest.param(Conversation(UNWANTED, STANDING), DELETE, answered(Meaning.CHANGED), Read, id="look again"),
        pytest.param(
            Conversation(UNWANTED, STANDING), DELETE, answered(Meaning.EVENT_REFUSED), Impossible, id="kept by force"
        ),
    ],
)
def test_each_answer_leads_to_its_step(
    conversation: Conversation, call: Call, answer: Answer, expected: type | Outcome
) -> None:
    _, step = next_step(conversation, call, answer)
    reached = step.call if isinstance(step, MakeCall) else step
    assert isinstance(reached, expected) if isinstance(expected, type) else reached == expected


@pytest.mark.parametrize(
    "marks",
    [
        None,
        "1",
        [],
        {},
        {"private": None},
        {"private": "calendarSync"},
        {"private": {}},
        {"private": {"calendarSync": "0"}},
        {"private": {"calendarSync": True}},
        {"private": {"calendarSyncJob": "j"}},
        {"shared": {"calendarSync": "1"}},
    ],
    ids=repr,
)
def test_what_does_not_carry_our_mark_is_left_alone(marks: object) -> None:
    seen = answered(Meaning.DONE, UNMARKED if marks is None else {**UNMARKED, "extendedProperties": marks})
    for known in (STANDING, NEW, replace(STANDING, etag=None)):
        assert next_step(Conversation(UNWANTED, known), READ, seen)[1] == Gone()


@pytest.mark.parametrize("visibility", ["private", "confidential"])
def test_what_google_shows_only_the_times_of_is_not_taken_for_somebody_elses(visibility: str) -> None:
    seen = {**UNMARKED, "visibility": visibility}
    conversation, step = next_step(Conversation(UNWANTED, STANDING), READ, answered(Meaning.DONE, seen))
    assert step == MakeCall(Delete("e1", '"2"'))
    conversation, step = next_step(conversation, DELETE, answered(Meaning.CALENDAR_READ_ONLY))
    assert step == MakeCall(Probe())
    _, step = next_step(conversation, Probe(), answered(Meaning.DONE, {"accessRole": "writerWithoutPrivateAccess"}))
    assert isinstance(step, Impossible)
    parts: tuple[dict[str, Any], ...] = (
        {"summary": "Mine"},
        {"description": "Mine"},
        {"extendedProperties": {"private": {}}},
    )
    for shown in parts:
        whole = answered(Meaning.DONE, {**seen, **shown})
        assert next_step(Conversation(UNWANTED, STANDING), READ, whole)[1] == Gone()


@pytest.mark.parametrize(
    ("role", "may_write"),
    [
        ("owner", True),
        ("writer", True),
        ("writerWithoutPrivateAccess", True),
        ("reader", False),
        ("freeBusyReader", False),
        (None, False),
    ],
)
def test_only_who_may_not_write_loses_the_calendar_over_a_refused_event(role: str | None, may_write: bool) -> None:
    refusal = answered(Meaning.CALENDAR_READ_ONLY)
    conversation, step = next_step(Conversation(WANTED, OUTDATED), UPDATE, refusal)
    assert step == MakeCall(Probe())
    _, step = next_step(conversation, Probe(), answered(Meaning.DONE, {"accessRole": role}))
    assert isinstance(step, Impossible) if may_write else step == NotOfThisJob(refusal)


def test_a_calendar_that_cannot_be_asked_about_is_judged_by_the_refusal() -> None:
    refusal = answered(Meaning.CALENDAR_READ_ONLY)
    conversation, _ = next_step(Conversation(UNWANTED, STANDING), DELETE, refusal)
    _, step = next_step(conversation, Probe(), answered(Meaning.EVENT_REFUSED))
    assert step == NotOfThisJob(refusal)


def test_what_was_not_found_is_gone_once_the_calendar_is_seen() -> None:
    for call in (READ, DELETE):
        conversation, step = next_step(Conversation(UNWANTED, STANDING), call, answered(Meaning.NOT_FOUND))
        assert step == MakeCall(Probe())
        _, step = next_step(conversation, Probe(), answered(Meaning.DONE, {"accessRole": "writer"}))
        assert step == Gone()


def test_what_is_seen_is_written_and_removed_under_the_etag_that_was_seen() -> None:
    _, step = next_step(Conversation(UNWANTED, OUTDATED), READ, answered(Meaning.DONE, LIVE))
    assert step == MakeCall(Delete("e1", '"2"'))
    conversation, step = next_step(Conversation(WANTED, REMOVED), READ, answered(Meaning.DONE, CANCELLED))
    assert isinstance(step, MakeCall)
    assert isinstance(step.call, Update)
    assert (step.call.etag, conversation.reviving) == ('"3"', True)


def test_an_id_that_is_taken_is_remembered_until_the_event_is_seen() -> None:
    conversation, step = next_step(Conversation(WANTED, NEW), INSERT, answered(Meaning.DUPLICATE))
    assert (conversation.saw_duplicate, step) == (True, MakeCall(READ))


def test_a_user_and_an_operator_read_what_google_said() -> None:
    told = Answer(Meaning.INVALID, message="Bad start")
    unwritten = next_step(Conversation(WANTED, NEW), INSERT, told)[1]
    assert unwritten == Impossible("Google refused this event. (Google: Bad start)")
    kept = Answer(Meaning.EVENT_REFUSED, message="No")
    assert next_step(Conversation(WANTED, NEW), INSERT, kept)[1] == Impossible(
        "Google refused this event. (Google: No)"
    )
    assert next_step(Conversation(UNWANTED, STANDING), DELETE, kept)[1] == Impossible(
        "Google does not let us remove this event. (Google: No)"
    )
    assert next_step(Conversation(WANTED, OUTDATED), READ, kept)[1] == Impossible(
        "Google does not show us this event. (Google: No)"
    )
    late = Answer(Meaning.UNAVAILABLE, message="HTTP 503")
    assert next_step(Conversation(WANTED, NEW), INSERT, late)[1] == TryLater("HTTP 503")


def test_under_the_next_id_a_job_begins_anew_in_doubt_and_its_calls_still_count() -> None:
    known = replace(OUTDATED, id_generation=3, seconds_since_write=70.0)
    begun = Conversation(WANTED, known, calls_made=4, saw_duplicate=True, reviving=True)
    conversation, step = insert_again(begun, "e2", {**BODY, "id": "e2"})
    assert conversation == Conversation(Wish({**BODY, "id": "e2"}), Known("e2", 4, in_doubt=True), calls_made=4)
    assert step == MakeCall(Insert("e2", for_insert({**BODY, "id": "e2"})))


def test_the_first_write_carries_all_that_it_should() -> None:
    step = first_step(Conversation(WANTED, NEW), connection_id=ME, read_first=False)
    assert step == MakeCall(Insert("e1", for_insert(BODY)))
    known = replace(OUTDATED, users_fields={"colorId": "5"})
    step = first_step(Conversation(WANTED, known), connection_id=ME, read_first=False)
    assert isinstance(step.call, Update)
    assert step.call.body["colorId"] == "5"


@pytest.mark.parametrize("call", [INSERT, READ, UPDATE, DELETE, Probe()])
@pytest.mark.parametrize("meaning", list(Meaning))
def test_every_answer_to_every_call_has_a_step(call: Call, meaning: Meaning) -> None:
    wish = UNWANTED if isinstance(call, Delete) else WANTED
    resource = LIVE if meaning is Meaning.DONE else None
    _, step = next_step(Conversation(wish, STANDING), call, answered(meaning, resource))
    assert step is not None


@pytest.mark.parametrize(
    "meaning",
    [
        Meaning.UNAUTHORIZED,
        Meaning.SCOPE_MISSING,
        Meaning.NO_CALENDAR,
        Meaning.RATE_LIMITED,
        Meaning.USAGE_LIMITED,
        Meaning.PROJECT_LIMITED,
        Meaning.MISCONFIGURED,
        Meaning.OUT_OF_BUDGET,
    ],
)
def test_no_job_is_to_blame_for_what_is_said_of_its_connection(meaning: Meaning) -> None:
    for wish, call in ((WANTED, INSERT), (WANTED, READ), (WANTED, UPDATE), (UNWANTED, DELETE), (WANTED, Probe())):
        assert next_step(Conversation(wish, STANDING), call, answered(meaning))[1] == NotOfThisJob(answered(meaning))


def test_a_new_id_is_never_taken_for_want_of_an_answer() -> None:
    for call in (INSERT, READ, UPDATE):
        for meaning in (Meaning.NO_ANSWER, Meaning.UNAVAILABLE, Meaning.NOT_SENT, Meaning.CONFLICT):
            for reviving in (False, True):
                conversation = Conversation(WANTED, OUTDATED, reviving=reviving, saw_duplicate=True)
                _, step = next_step(conversation, call, answered(meaning))
                assert isinstance(step, TryLater)


def test_an_update_carries_what_the_user_owns() -> None:
    _, step = next_step(Conversation(WANTED, OUTDATED), READ, answered(Meaning.DONE, LIVE))
    assert isinstance(step, MakeCall)
    assert isinstance(step.call, Update)
    assert step.call.body["colorId"] == "5"
    assert step.call.body["summary"] == "J-1"
    assert step.call.etag == '"2"'


def test_somebody_who_edits_at_the_same_pace_is_not_raced_for_ever() -> None:
    conversation, step = Conversation(WANTED, OUTDATED), MakeCall(UPDATE)
    for calls in range(1, MOST_CALLS + 1):
        reading = isinstance(step.call, Read)
        answer = answered(Meaning.DONE, LIVE) if reading else answered(Meaning.CHANGED)
        conversation, following = next_step(conversation, step.call, answer)
        if isinstance(following, TryLater):
            assert calls == MOST_CALLS
            return
        assert isinstance(following, MakeCall)
        step = following
    pytest.fail("it went on")


@dataclass
class ModelOfGoogle:
    """One calendar by the rules of events, with requests that arrive up to a minute after they were given up."""

    now: float = 0.0
    version: int = 0
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    on_their_way: list[tuple[float, Call]] = field(default_factory=list)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for arrival in sorted(self.on_their_way, key=lambda late: late[0]):
            if arrival[0] <= self.now:
                self.on_their_way.remove(arrival)
                self.take(arrival[1])

    def take(self, call: Call) -> Answer:
        if isinstance(call, Probe):
            return answered(Meaning.DONE, {"accessRole": "owner"})
        event = self.events.get(call.event_id)
        match call:
            case Insert():
                if event is not None:
                    return answered(Meaning.DUPLICATE)
                return self._put(call.event_id, call.body)
            case _ if event is None:
                return answered(Meaning.NOT_FOUND)
            case Read():
                return answered(Meaning.DONE, event)
            case Update():
                if event["etag"] != call.etag:
                    return answered(Meaning.CHANGED)
                return self._put(call.event_id, call.body)
            case Delete():
                if event["status"] == "cancelled":
                    return answered(Meaning.GONE)
                if event["etag"] != call.etag:
                    return answered(Meaning.CHANGED)
                assert carries_mark(event), "it was not ours"
                self._put(call.event_id, {**event, "status": "cancelled"})
                return answered(Meaning.DONE)

    def _put(self, event_id: str, body: Mapping[str, Any]) -> Answer:
        self.version += 1
        self.events[event_id] = {**body, "id": event_id, "etag": f'"{self.version}"'}
        return answered(Meaning.DONE, self.events[event_id])

    def take_marks_off(self) -> None:
        """Somebody makes what stands here his own."""
        for event in list(self.events.values()):
            if event["status"] != "cancelled":
                self._put(event["id"], {**event, "extendedProperties": {}})

    def live(self) -> list[str]:
        return [event["summary"] for event in self.events.values() if event["status"] != "cancelled"]

    def ours(self) -> list[str]:
        standing = (event for event in self.events.values() if event["status"] != "cancelled")
        return [event["summary"] for event in standing if carries_mark(event)]


def carries_mark(event: Mapping[str, Any]) -> bool:
    return bool(event["extendedProperties"].get("private", {}).get("calendarSync") == "1")


@dataclass
class RecordOfOurs:
    """What the tables hold for one pair, kept by the rules of intent and settlement."""

    known: Known | None = None
    write_sent_at: float | None = None

    def before_calls(self, now: float, wish: Wish) -> Known:
        age = None if self.write_sent_at is None else now - self.write_sent_at
        known = self.known or Known(event_id("t", "c", "j", 1), 1)
        if wish.body is not None:
            self.write_sent_at = now
        self.known = replace(known, in_doubt=True)
        return replace(known, in_doubt=known.in_doubt or self.known is None, seconds_since_write=age)

    def settle(self, outcome: Outcome, wish: Wish) -> None:
        assert self.known is not None
        if isinstance(outcome, Stands):
            assert wish.body is not None
            self.known = replace(
                self.known,
                in_doubt=False,
                etag=outcome.resource["etag"],
                content_hash=content_hash(wish.body),
                users_fields={},
                seen_by=ME,
                ever_confirmed=True,
            )
            self.write_sent_at = None
        elif isinstance(outcome, Gone):
            self.known = replace(self.known, in_doubt=False, etag=None, content_hash=None, ever_confirmed=True)
            self.write_sent_at = None


FATES = st.sampled_from(["answered", "answered", "lost before", "done, then lost", "late"])
WISHES = st.sampled_from([None, "A", "B"])


def push(google: ModelOfGoogle, record: RecordOfOurs, title: str | None, fates: st.DataObject | None) -> Outcome | None:
    """One push as the daemon makes it; with `fates` None nothing goes wrong."""
    body = None if title is None else {**BODY, "summary": title}
    wish = Wish(body)
    if not needs_call(wish, record.known):
        return None
    conversation = Conversation(wish, record.before_calls(google.now, wish))
    step: MakeCall | TakeNextId = first_step(conversation, connection_id=ME, read_first=False)
    while True:
        if isinstance(step, TakeNextId):
            generation = conversation.known.id_generation + 1
            conversation, step = insert_again(conversation, event_id("t", "c", "j", generation), body or {})
            record.known = conversation.known
            continue
        fate = "answered" if fates is None else fates.draw(FATES)
        if fate == "answered":
            answer = google.take(step.call)
        else:
            if fate == "done, then lost":
                google.take(step.call)
            if fate == "late":
                assert fates is not None
                delay = fates.draw(st.floats(0, LATE_ARRIVAL_SECONDS - 1))
                google.on_their_way.append((google.now + delay, step.call))
            answer = answered(Meaning.NO_ANSWER)
        conversation, following = next_step(conversation, step.call, answer)
        if not isinstance(following, MakeCall | TakeNextId):
            record.settle(following, wish)
            return following
        step = following


@settings(max_examples=1500, deadline=None)
@given(st.data(), st.lists(WISHES, min_size=1, max_size=8))
def test_whatever_is_lost_or_late_the_last_wish_stands_once(data: st.DataObject, wishes: list[str | None]) -> None:
    google, record = ModelOfGoogle(), RecordOfOurs()
    for title in wishes:
        push(google, record, title, data)
        google.advance(data.draw(st.floats(0, 100)))
        assert len(google.live()) <= 1
        if data.draw(st.integers(0, 5)) == 5:
            google.take_marks_off()
    for _ in range(10):
        outcome = push(google, record, wishes[-1], None)
        assert len(google.live()) <= 1
        if outcome is None:
            break
        google.advance(outcome.after_seconds + 0.001 if isinstance(outcome, AskAgain) else 0.0)
    assert outcome is None
    google.advance(LATE_ARRIVAL_SECONDS)
    if wishes[-1] is None:
        assert google.ours() == []
    else:
        assert google.live() == [wishes[-1]]


def test_no_call_asks_for_a_list_of_events() -> None:
    answers_a_list = []
    for call in (INSERT, READ, UPDATE, DELETE, Probe()):
        url = urlsplit(request_for(call, "c", base_path="/calendar/v3").target)
        if not isinstance(call, Insert) and not url.path.endswith("/calendars/c/events/e1"):
            answers_a_list.append((type(call), parse_qs(url.query)["fields"]))
    # What comes back of it is our role in the calendar, and no event.
    assert answers_a_list == [(Probe, ["accessRole"])]
    assert {Insert, Read, Update, Delete, Probe} == set(get_args(Call))


def test_nobody_but_the_plan_removes_events_and_it_only_those_on_record() -> None:
    removed = {
        (path.name, ast.unparse(node.args[0]))
        for path in (PROJECT / "outbox").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Delete"
    }
    assert removed == {("plan.py", "known.event_id")}


def test_a_new_event_is_quiet_and_leaves_its_owner_free() -> None:
    assert for_insert(BODY)["transparency"] == "transparent"
    assert for_insert(BODY)["reminders"] == {"useDefault": False}
