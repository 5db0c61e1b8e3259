"""An event in Google's JSON: what is ours, what is the user's, and what becomes of both in an update."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.event import CalendarEvent
from outbox.google.resource import (
    content_hash,
    differing_fields,
    event_body,
    event_id,
    for_insert,
    for_update,
    users_fields,
)
from outbox.schedule import AllDay, Timed

START = Timed(datetime(2026, 12, 1, 7, tzinfo=timezone(timedelta(hours=-6))), "America/Chicago")
END = Timed(datetime(2026, 12, 1, 18, tzinfo=UTC), None)


def event(**fields: Any) -> CalendarEvent:
    usual: dict[str, Any] = {
        "job_number": "J-1",
        "summary": "J-1 · Dallas → Memphis",
        "description": "• 12 pallet Paint",
        "location": "1201 Main St",
        "start": START,
        "end": END,
        "url": "https://app.example.com/jobs/job_1",
    }
    return CalendarEvent(**(usual | fields))


def body(event_id: str = "abcde", **fields: Any) -> dict[str, Any]:
    return event_body(event(**fields), event_id=event_id, tenant_id="acme", job_id="job_1")


def test_the_body_holds_the_fields_that_are_ours() -> None:
    assert body() == {
        "id": "abcde",
        "status": "confirmed",
        "summary": "J-1 · Dallas → Memphis",
        "description": "• 12 pallet Paint",
        "location": "1201 Main St",
        "start": {"dateTime": "2026-12-01T07:00:00-06:00", "timeZone": "America/Chicago"},
        "end": {"dateTime": "2026-12-01T18:00:00+00:00"},
        "source": {"title": "Job J-1", "url": "https://app.example.com/jobs/job_1"},
        "extendedProperties": {
            "private": {
                "calendarSync": "1",
                "calendarSyncTenant": "822b33ad87c148a0",
                "calendarSyncJob": "job_1",
            }
        },
    }


def test_an_event_without_a_location_clears_the_one_that_was() -> None:
    assert body(location=None)["location"] == ""


@pytest.mark.parametrize(
    ("last", "exclusive"),
    [(date(2026, 12, 1), "2026-12-02"), (date(2026, 12, 31), "2027-01-01"), (date(2028, 2, 28), "2028-02-29")],
    ids=["the next day", "the next year", "a leap day"],
)
def test_an_all_day_event_ends_for_google_on_the_day_after_its_last(last: date, exclusive: str) -> None:
    made = body(start=AllDay(date(2026, 12, 1)), end=AllDay(last))
    assert made["start"] == {"date": "2026-12-01"}
    assert made["end"] == {"date": exclusive}


@pytest.mark.parametrize("url", ["javascript:alert(1)", "file:///jobs/1", "/jobs/1", ""])
def test_a_link_that_google_would_refuse_is_not_sent_as_the_source(url: str) -> None:
    assert "source" not in body(url=url)


def test_the_title_of_the_source_is_clipped() -> None:
    assert body(job_number="J" * 200)["source"]["title"] == "Job " + "J" * 95 + "…"


def test_an_insert_shows_the_time_as_free_and_reminds_nobody() -> None:
    assert for_insert(body()) == body() | {"transparency": "transparent", "reminders": {"useDefault": False}}


USERS: dict[str, Any] = {
    "colorId": "7",
    "eventLabelId": "5d1c0f2e",
    "attendees": [{"email": "sam@example.com", "responseStatus": "accepted"}],
    "attendeesOmitted": True,
    "anyoneCanAddSelf": True,
    "guestsCanInviteOthers": False,
    "guestsCanModify": True,
    "guestsCanSeeOtherGuests": False,
    "transparency": "transparent",
    "visibility": "private",
    "reminders": {"useDefault": False, "overrides": [{"method": "popup", "minutes": 30}]},
    "attachments": [{"fileUrl": "https://files.example.com/1", "title": "Permit"}],
}


def test_what_the_user_owns_is_taken_from_an_answer_and_nothing_else() -> None:
    answer = {
        **body(),
        **USERS,
        "kind": "calendar#event",
        "etag": '"3456"',
        "sequence": 3,
        "htmlLink": "https://calendar.example.com/e",
        "updated": "2026-12-01T07:00:00Z",
        "extendedProperties": {
            "private": {**body()["extendedProperties"]["private"], "otherApp": "x"},
            "shared": {"team": "blue"},
        },
    }
    properties = {"private": {"otherApp": "x"}, "shared": {"team": "blue"}}
    assert users_fields(answer) == USERS | {"extendedProperties": properties}


def test_an_event_that_nobody_touched_has_nothing_of_the_user() -> None:
    assert users_fields(body() | {"etag": '"1"'}) == {}


def test_an_update_is_the_users_fields_under_ours() -> None:
    users = USERS | {"extendedProperties": {"private": {"otherApp": "x"}, "shared": {"team": "blue"}}}
    sent = for_update(body(), users)
    assert sent == {
        **USERS,
        **body(),
        "extendedProperties": {
            "private": {"otherApp": "x", **body()["extendedProperties"]["private"]},
            "shared": {"team": "blue"},
        },
    }


def test_ours_wins_where_both_have_a_field() -> None:
    stale = {"summary": "old", "extendedProperties": {"private": {"calendarSyncJob": "job_0"}}}
    assert for_update(body(), stale) == body()


def test_an_update_leaves_what_it_is_given_as_it_was() -> None:
    ours, users = body(), {"extendedProperties": {"private": {"otherApp": "x"}}}
    for_update(ours, users)
    assert ours == body()
    assert users == {"extendedProperties": {"private": {"otherApp": "x"}}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PAIRS = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3)
RESOURCES = st.builds(
    lambda users, others, private, shared: {
        **others,
        **body(),
        **users,
        "extendedProperties": {"private": {**private, **body()["extendedProperties"]["private"]}, "shared": shared},
    },
    st.dictionaries(st.sampled_from(sorted(USERS)), JSON, max_size=6),
    st.dictionaries(st.text(max_size=8), JSON, max_size=3),
    PAIRS,
    PAIRS,
)


@given(RESOURCES)
def test_an_update_keeps_every_field_of_the_user_and_sets_every_field_of_ours(resource: dict[str, Any]) -> None:
    ours = body(summary="J-1 · changed", location=None)
    sent = for_update(ours, users_fields(resource))
    assert {name: sent.get(name) for name in USERS} == {name: resource.get(name) for name in USERS}
    assert {name: sent[name] for name in ours if name != "extendedProperties"} == {
        name: ours[name] for name in ours if name != "extendedProperties"
    }
    assert sent["extendedProperties"].get("shared", {}) == resource["extendedProperties"]["shared"]
    assert sent["extendedProperties"]["private"] == {
        **resource["extendedProperties"]["private"],
        **ours["extendedProperties"]["private"],
    }
    assert users_fields(sent) == users_fields(resource)


def test_the_hash_is_the_same_for_the_same_content_in_any_order() -> None:
    made = body()
    assert content_hash(made) == content_hash(dict(reversed(made.items())))
    assert content_hash(made) == content_hash(body(event_id="zzzzz"))
    assert len(content_hash(made)) == 32


def test_the_hash_does_not_change_with_the_release() -> None:
    assert content_hash(body()).hex() == "e33b50e4a5baa43eb1f98239fe845cc210f39fdcddb294c8ea70c22338972912"


@pytest.mark.parametrize(
    "fields",
    [
        {"summary": "J-2"},
        {"description": ""},
        {"location": None},
        {"start": Timed(START.at - timedelta(seconds=1), START.zone)},
        {"start": Timed(START.at, None)},
        {"end": Timed(END.at, "UTC")},
        {"url": "https://app.example.com/jobs/job_2"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_the_hash_changes_with_each_field_of_ours(fields: dict[str, Any]) -> None:
    assert content_hash(body(**fields)) != content_hash(body())


def test_an_event_id_does_not_change_with_the_release() -> None:
    assert event_id("acme", "ana@example.com", "job_8f3a", 0) == "firvuif4ofe1v6nr9ltbq8knv6dgi84p"


@given(st.text(), st.text(), st.text(), st.integers(0, 2**31))
def test_an_event_id_is_legal_and_always_the_same(tenant: str, calendar: str, job: str, generation: int) -> None:
    made = event_id(tenant, calendar, job, generation)
    assert re.fullmatch("[a-v0-9]{32}", made)
    assert made == event_id(tenant, calendar, job, generation)


KEYS = st.tuples(
    st.text('a",[]1', max_size=3), st.text('a",[]1', max_size=3), st.text('a",[]1', max_size=3), st.integers(0, 11)
)


@given(KEYS, KEYS)
def test_different_jobs_calendars_tenants_and_generations_have_different_ids(
    one: tuple[str, str, str, int], other: tuple[str, str, str, int]
) -> None:
    assert (event_id(*one) == event_id(*other)) == (one == other)


def test_parts_of_a_key_cannot_change_places() -> None:
    assert len({event_id("ab", "c", "d", 1), event_id("a", "bc", "d", 1), event_id("a", "b", "cd", 1)}) == 3


MOMENTS = st.integers(315532800, 7258118399).map(lambda second: Timed(datetime.fromtimestamp(second, UTC), "UTC"))


@given(MOMENTS)
def test_a_time_is_written_so_that_it_can_be_read_back(moment: Timed) -> None:
    made = body(start=moment)["start"]
    assert datetime.fromisoformat(made["dateTime"]) == moment.at
    assert made["timeZone"] == moment.zone


@pytest.mark.parametrize(
    ("shown", "different"),
    [
        ({}, []),
        ({"colorId": "5", "etag": '"1"', "reminders": {"useDefault": True}}, []),
        ({"start": {"dateTime": "2026-12-01T13:00:00Z", "timeZone": "UTC"}}, []),
        ({"start": {"dateTime": "2026-12-01T13:00:01Z"}}, ["start"]),
        ({"start": {"date": "2026-12-01"}, "end": None}, ["start", "end"]),
        ({"end": {"dateTime": "no time"}}, ["end"]),
        ({"summary": "Mine", "status": "cancelled"}, ["status", "summary"]),
        ({"description": "Mine", "location": "Here"}, ["description", "location"]),
    ],
)
def test_an_event_as_google_shows_it_is_held_against_what_we_wrote(shown: dict[str, Any], different: list[str]) -> None:
    assert differing_fields(body(), {**body(), **shown}) == different


def test_google_leaves_out_texts_that_are_empty() -> None:
    written = body(location=None)
    assert differing_fields(written, {name: value for name, value in written.items() if name != "location"}) == []
