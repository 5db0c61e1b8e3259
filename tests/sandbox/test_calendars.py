"""Calendar v3 in memory behaves as Google describes it."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sandbox.conftest import ANA, BEN, TEAM, FakeClock, event
from web.sandbox.calendars import Calendars
from web.sandbox.errors import ApiError
from web.sandbox.model import Role


def refused(call: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        call()
    return caught.value.code, caught.value.reason


def test_an_insert_is_held_under_the_chosen_id(calendars: Calendars) -> None:
    made = calendars.insert(ANA, "primary", event(id="abcde12345", summary="Dallas → Memphis"))
    assert made["id"] == "abcde12345"
    assert calendars.get(ANA, ANA, "abcde12345") == made
    assert made["iCalUID"] == "abcde12345@google.com"
    assert made["status"] == "confirmed"


def test_an_insert_without_an_id_is_given_a_legal_one(calendars: Calendars) -> None:
    made = calendars.insert(ANA, "primary", event())
    assert calendars.insert(ANA, "primary", event(id=made["id"] + "0"))["id"] == made["id"] + "0"


@pytest.mark.parametrize("chosen", ["abcd", "ABCDE", "abc-de", "wxyz0", "a" * 1025, "abc_de", 12345])
def test_an_illegal_id_is_refused(calendars: Calendars, chosen: object) -> None:
    assert refused(lambda: calendars.insert(ANA, "primary", event(id=chosen))) == (400, "invalid")


def test_an_id_beside_an_ical_uid_is_refused(calendars: Calendars) -> None:
    body = event(id="abcde", iCalUID="a@b")
    assert refused(lambda: calendars.insert(ANA, "primary", body)) == (400, "invalid")


def test_a_used_id_is_a_duplicate_live_or_deleted(calendars: Calendars) -> None:
    calendars.insert(ANA, "primary", event(id="abcde"))
    assert refused(lambda: calendars.insert(ANA, "primary", event(id="abcde"))) == (409, "duplicate")
    calendars.delete(ANA, "primary", "abcde")
    assert refused(lambda: calendars.insert(ANA, "primary", event(id="abcde"))) == (409, "duplicate")


def test_an_id_is_unique_only_within_its_calendar(calendars: Calendars) -> None:
    calendars.insert(ANA, "primary", event(id="abcde"))
    assert calendars.insert(ANA, TEAM, event(id="abcde"))["organizer"]["email"] == TEAM


def test_a_repeat_delete_is_answered_410(calendars: Calendars) -> None:
    calendars.insert(ANA, "primary", event(id="abcde"))
    calendars.delete(ANA, "primary", "abcde")
    assert refused(lambda: calendars.delete(ANA, "primary", "abcde")) == (410, "deleted")


def test_what_never_existed_is_not_found(calendars: Calendars) -> None:
    for call in (
        lambda: calendars.get(ANA, "primary", "abcde"),
        lambda: calendars.delete(ANA, "primary", "abcde"),
        lambda: calendars.update(ANA, "primary", "abcde", event()),
        lambda: calendars.patch(ANA, "primary", "abcde", {}),
        lambda: calendars.list(ANA, "nowhere@example.com", {}),
        lambda: calendars.get_list_entry(BEN, ANA),
    ):
        assert refused(call) == (404, "notFound")


def test_a_deleted_event_is_still_read_and_is_revived_by_a_put(calendars: Calendars) -> None:
    calendars.insert(ANA, "primary", event(id="abcde", summary="A"))
    calendars.delete(ANA, "primary", "abcde")
    tombstone = calendars.get(ANA, "primary", "abcde")
    assert (tombstone["status"], tombstone["summary"]) == ("cancelled", "A")
    assert calendars.list(ANA, "primary", {})["items"] == []
    assert calendars.update(ANA, "primary", "abcde", event(summary="B"))["status"] == "confirmed"
    assert [item["summary"] for item in calendars.list(ANA, "primary", {})["items"]] == ["B"]


def test_a_patch_revives_only_if_it_says_so(calendars: Calendars) -> None:
    calendars.insert(ANA, "primary", event(id="abcde"))
    calendars.delete(ANA, "primary", "abcde")
    assert calendars.patch(ANA, "primary", "abcde", {"summary": "x"})["status"] == "cancelled"
    assert calendars.patch(ANA, "primary", "abcde", {"status": "confirmed"})["status"] == "confirmed"


def test_every_write_changes_the_etag_and_updated(calendars: Calendars, clock: FakeClock) -> None:
    seen = [calendars.insert(ANA, "primary", event(id="abcde"))]
    writes: list[Callable[[], dict[str, Any]]] = [
        lambda: calendars.update(ANA, "primary", "abcde", event(summary="x")),
        lambda: calendars.update(ANA, "primary", "abcde", event(summary="x")),
        lambda: calendars.patch(ANA, "primary", "abcde", {"location": "y"}),
        lambda: calendars.delete(ANA, "primary", "abcde"),
    ]
    for write in writes:
        clock.advance(seconds=1)
        seen.append(write())
    assert len({item["etag"] for item in seen}) == len(seen)
    assert len({item["updated"] for item in seen}) == len(seen)


def test_a_change_of_reminders_alone_changes_neither_etag_nor_updated(calendars: Calendars, clock: FakeClock) -> None:
    before = calendars.insert(ANA, "primary", event(id="abcde"))
    clock.advance(seconds=1)
    after = calendars.patch(ANA, "primary", "abcde", {"reminders": {"useDefault": False}})
    assert after["reminders"] == {"useDefault": False}
    assert (after["etag"], after["updated"]) == (before["etag"], before["updated"])


def test_reminders_belong_to_the_user_who_set_them(calendars: Calendars) -> None:
    mine = {"useDefault": False, "overrides": [{"method": "popup", "minutes": 5}]}
    calendars.insert(ANA, TEAM, event(id="abcde", reminders=mine))
    assert calendars.get(BEN, TEAM, "abcde")["reminders"] == {"useDefault": True}
    calendars.update(BEN, TEAM, "abcde", event(summary="Ben's"))
    assert calendars.get(ANA, TEAM, "abcde")["reminders"] == mine


def test_a_put_clears_what_it_omits(calendars: Calendars) -> None:
    private = {"private": {"app": "x"}}
    full = event(
        id="abcde", location="Dallas", colorId="5", extendedProperties=private, reminders={"useDefault": False}
    )
    calendars.insert(ANA, "primary", full)
    left = calendars.update(ANA, "primary", "abcde", event(summary="only this"))
    assert not {"location", "colorId", "extendedProperties"} & left.keys()
    assert left["reminders"] == {"useDefault": True}


def test_a_patch_changes_only_what_it_names(calendars: Calendars) -> None:
    calendars.insert(
        ANA, "primary", event(id="abcde", location="Dallas", extendedProperties={"private": {"a": "1", "b": "2"}})
    )
    patch = {"summary": "x", "location": None, "extendedProperties": {"private": {"b": None, "c": "3"}}}
    left = calendars.patch(ANA, "primary", "abcde", patch)
    assert left["extendedProperties"] == {"private": {"a": "1", "c": "3"}}
    assert left["summary"] == "x"
    assert "location" not in left


def test_a_stale_if_match_is_refused_and_changes_nothing(calendars: Calendars) -> None:
    old = calendars.insert(ANA, "primary", event(id="abcde"))["etag"]
    held = calendars.patch(ANA, "primary", "abcde", {"summary": "x"})
    for call in (
        lambda: calendars.update(ANA, "primary", "abcde", event(), old),
        lambda: calendars.patch(ANA, "primary", "abcde", {"summary": "y"}, old),
        lambda: calendars.delete(ANA, "primary", "abcde", old),
    ):
        assert refused(call) == (412, "conditionNotMet")
    assert calendars.get(ANA, "primary", "abcde") == held
    assert calendars.update(ANA, "primary", "abcde", event(summary="z"), held["etag"])["summary"] == "z"


DAY, NEXT = {"date": "2026-12-01"}, {"date": "2026-12-02"}
NINE, TEN = event()["start"], event()["end"]


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ({"start": NINE}, "required"),
        ({"end": TEN}, "required"),
        ({"start": NINE, "end": {}}, "required"),
        ({"start": DAY, "end": TEN}, "invalid"),
        ({"start": {**NINE, **DAY}, "end": TEN}, "invalid"),
        ({"start": {"dateTime": "2026-12-01T09:00:00"}, "end": TEN}, "required"),
        ({"start": {**NINE, "timeZone": "Mars/Olympus"}, "end": TEN}, "invalid"),
        ({"start": {**NINE, "timeZone": "America"}, "end": TEN}, "invalid"),
        ({"start": {"dateTime": "2026-13-01T09:00:00Z"}, "end": TEN}, "invalid"),
        ({"start": {"dateTime": "tomorrow"}, "end": TEN}, "invalid"),
        ({"start": {"date": "2026-02-30"}, "end": NEXT}, "invalid"),
        ({"start": TEN, "end": NINE}, "timeRangeEmpty"),
        ({"start": NINE, "end": NINE}, "timeRangeEmpty"),
        ({"start": DAY, "end": DAY}, "timeRangeEmpty"),
    ],
)
def test_bad_times_are_refused(calendars: Calendars, times: dict[str, Any], reason: str) -> None:
    assert refused(lambda: calendars.insert(ANA, "primary", times)) == (400, reason)


def test_times_come_back_with_the_offset_of_the_calendar(calendars: Calendars) -> None:
    start = {"dateTime": "2026-12-01T09:00:00", "timeZone": "Europe/Berlin"}
    made = calendars.insert(ANA, "primary", {"start": start, "end": {"dateTime": "2026-12-01T08:30:00Z"}})
    assert made["start"] == {"dateTime": "2026-12-01T02:00:00-06:00", "timeZone": "Europe/Berlin"}
    assert made["end"] == {"dateTime": "2026-12-01T02:30:00-06:00", "timeZone": "America/Chicago"}
    assert calendars.get(ANA, "primary", made["id"], "UTC")["start"]["dateTime"] == "2026-12-01T08:00:00Z"


def test_a_patch_that_changes_to_all_day_must_clear_the_clock_time(calendars: Calendars) -> None:
    calendars.insert(ANA, "primary", event(id="abcde"))
    assert refused(lambda: calendars.patch(ANA, "primary", "abcde", {"start": DAY, "end": NEXT})) == (400, "invalid")
    clear = {"dateTime": None, "timeZone": None}
    whole = calendars.patch(ANA, "primary", "abcde", {"start": {**DAY, **clear}, "end": {**NEXT, **clear}})
    assert (whole["start"], whole["end"]) == (DAY, NEXT)


def test_long_property_keys_are_dropped_and_long_values_cut(calendars: Calendars) -> None:
    private = {"k" * 44: "v" * 1025, "k" * 45: "lost"}
    made = calendars.insert(ANA, "primary", event(extendedProperties={"private": private}))
    assert made["extendedProperties"] == {"private": {"k" * 44: "v" * 1024}}


@pytest.mark.parametrize(
    "fields",
    [
        {"extendedProperties": {"private": {"n": 1}}},
        {"extendedProperties": {"private": {str(n): "" for n in range(301)}}},
        {"colorId": "12"},
        {"visibility": "secret"},
        {"transparency": "free"},
        {"status": "done"},
        {"summary": 5},
        {"sequence": -1},
        {"source": {"url": "ftp://example.com"}},
        {"attendees": [{"displayName": "no address"}]},
        {"reminders": {"useDefault": False, "overrides": [{"method": "sms", "minutes": 5}]}},
        {"reminders": {"useDefault": False, "overrides": [{"method": "popup", "minutes": 40321}]}},
        {"reminders": {"useDefault": False, "overrides": [{"method": "popup", "minutes": 1}] * 6}},
        {"reminders": {"useDefault": True, "overrides": [{"method": "popup", "minutes": 1}]}},
    ],
)
def test_bad_fields_are_refused(calendars: Calendars, fields: dict[str, Any]) -> None:
    assert refused(lambda: calendars.insert(ANA, "primary", event(**fields)))[0] == 400


def test_read_only_fields_are_ignored(calendars: Calendars) -> None:
    forged = {"creator": {"email": "x@example.com"}, "htmlLink": "x", "etag": "x", "updated": "x", "kind": "x"}
    made = calendars.insert(ANA, "primary", event(**forged))
    assert made["creator"] == {"email": ANA, "self": True}
    assert made["kind"] == "calendar#event"


def test_the_sequence_rises_when_the_time_changes_and_must_not_fall(calendars: Calendars) -> None:
    assert calendars.insert(ANA, "primary", event(id="abcde"))["sequence"] == 0
    assert calendars.patch(ANA, "primary", "abcde", {"summary": "x"})["sequence"] == 0
    assert calendars.patch(ANA, "primary", "abcde", {"end": {"dateTime": "2026-12-01T11:00:00"}})["sequence"] == 1
    assert calendars.update(ANA, "primary", "abcde", event(sequence=7))["sequence"] == 7
    assert refused(lambda: calendars.update(ANA, "primary", "abcde", event(sequence=6))) == (400, "invalid")


def test_the_source_belongs_to_the_creator(calendars: Calendars) -> None:
    source = {"url": "https://app.example.com/jobs/1", "title": "Job 1"}
    calendars.insert(ANA, TEAM, event(id="abcde", source=source))
    assert "source" not in calendars.get(BEN, TEAM, "abcde")
    calendars.update(BEN, TEAM, "abcde", event(source={"url": "https://example.com", "title": "Ben's"}))
    assert calendars.get(ANA, TEAM, "abcde")["source"] == source


@pytest.mark.parametrize("role", [Role.READER, Role.FREE_BUSY_READER])
def test_a_reader_cannot_write(calendars: Calendars, role: Role) -> None:
    calendars.insert(ANA, TEAM, event(id="abcde"))
    calendars.share(TEAM, BEN, role)
    for call in (
        lambda: calendars.insert(BEN, TEAM, event()),
        lambda: calendars.update(BEN, TEAM, "abcde", event()),
        lambda: calendars.patch(BEN, TEAM, "abcde", {}),
        lambda: calendars.delete(BEN, TEAM, "abcde"),
    ):
        assert refused(call) == (403, "requiredAccessLevel")
    assert calendars.get(BEN, TEAM, "abcde")["status"] == "confirmed"


def test_private_events_are_closed_to_those_without_private_access(calendars: Calendars) -> None:
    calendars.insert(ANA, TEAM, event(id="abcde", summary="Secret", visibility="private"))
    calendars.share(TEAM, BEN, Role.WRITER_WITHOUT_PRIVATE_ACCESS)
    assert "summary" not in calendars.get(BEN, TEAM, "abcde")
    assert refused(lambda: calendars.delete(BEN, TEAM, "abcde")) == (403, "requiredAccessLevel")
    assert refused(lambda: calendars.insert(BEN, TEAM, event(visibility="private"))) == (403, "requiredAccessLevel")
    assert calendars.insert(BEN, TEAM, event())["creator"]["email"] == BEN


def test_a_lost_calendar_is_not_found(calendars: Calendars) -> None:
    calendars.unshare(TEAM, BEN)
    assert refused(lambda: calendars.get_list_entry(BEN, TEAM)) == (404, "notFound")
    calendars.delete_calendar(TEAM)
    assert refused(lambda: calendars.insert(ANA, TEAM, event())) == (404, "notFound")


def test_the_calendar_list_shows_roles_and_hides_what_is_hidden(calendars: Calendars) -> None:
    calendars.add_calendar("holidays#1@example.com", "Holidays", owner=ANA)
    calendars.share("holidays#1@example.com", BEN, Role.READER, hidden=True)

    def ids(**params: str) -> list[str]:
        listed = calendars.list_calendars(BEN, {name: [value] for name, value in params.items()})
        return [item["id"] for item in listed["items"]]

    assert ids() == [BEN, TEAM]
    assert ids(showHidden="true") == [BEN, TEAM, "holidays#1@example.com"]
    assert ids(showHidden="true", minAccessRole="writer") == [BEN, TEAM]
    assert ids(minAccessRole="owner") == [BEN]
    assert calendars.get_list_entry(BEN, "primary")["primary"] is True
    assert refused(lambda: ids(minAccessRole="king")) == (400, "invalidParameter")


def test_the_calendar_list_is_paged(calendars: Calendars) -> None:
    for number in range(5):
        calendars.add_calendar(f"c{number}@example.com", str(number), owner=ANA)
    found: list[str] = []
    params = {"maxResults": ["3"]}
    while True:
        page = calendars.list_calendars(ANA, params)
        found += [item["id"] for item in page["items"]]
        if "nextPageToken" not in page:
            break
        params["pageToken"] = [page["nextPageToken"]]
    assert found == [ANA, TEAM, *(f"c{number}@example.com" for number in range(5))]


def listed(calendars: Calendars, **params: str | list[str]) -> list[str]:
    query = {name: value if isinstance(value, list) else [value] for name, value in params.items()}
    return [item["id"] for item in calendars.list(ANA, "primary", query)["items"]]


def test_a_list_is_narrowed_by_every_filter(calendars: Calendars, clock: FakeClock) -> None:
    calendars.insert(ANA, "primary", event(id="first", summary="Dallas"))
    clock.advance(hours=1)
    later = {"start": {"dateTime": "2026-12-03T09:00:00Z"}, "end": {"dateTime": "2026-12-03T10:00:00Z"}}
    tagged = {"extendedProperties": {"private": {"app": "x", "job": "1"}, "shared": {"team": "y"}}}
    calendars.insert(ANA, "primary", {**later, **tagged, "id": "late0", "location": "Memphis, TN"})
    calendars.delete(ANA, "primary", calendars.insert(ANA, "primary", event(id="gone0"))["id"])

    assert listed(calendars) == ["first", "late0"]
    assert listed(calendars, showDeleted="true") == ["first", "late0", "gone0"]
    assert listed(calendars, privateExtendedProperty="app=x") == ["late0"]
    assert listed(calendars, privateExtendedProperty=["app=x", "job=2"]) == []
    assert listed(calendars, sharedExtendedProperty="team=y") == ["late0"]
    assert listed(calendars, timeMin="2026-12-01T16:00:00Z") == ["late0"]
    assert listed(calendars, timeMax="2026-12-03T09:00:00Z") == ["first"]
    assert listed(calendars, updatedMin="2026-12-01T08:30:00Z") == ["late0", "gone0"]
    assert listed(calendars, q="memphis tn") == ["late0"]
    assert listed(calendars, iCalUID="first@google.com") == ["first"]
    assert listed(calendars, orderBy="startTime", singleEvents="true") == ["first", "late0"]


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"timeMin": "2026-12-01T00:00:00"}, "invalidParameter"),
        ({"timeMin": "2026-12-02T00:00:00Z", "timeMax": "2026-12-01T00:00:00Z"}, "timeRangeEmpty"),
        ({"orderBy": "startTime"}, "badRequest"),
        ({"orderBy": "title"}, "invalidParameter"),
        ({"maxResults": "0"}, "invalidParameter"),
        ({"maxResults": "many"}, "invalidParameter"),
        ({"pageToken": "nonsense"}, "invalidParameter"),
        ({"showDeleted": "yes"}, "invalidParameter"),
        ({"privateExtendedProperty": "app"}, "invalidParameter"),
        ({"timeZone": "Nowhere"}, "invalid"),
    ],
)
def test_bad_list_parameters_are_refused(calendars: Calendars, params: dict[str, str], reason: str) -> None:
    assert refused(lambda: listed(calendars, **params)) == (400, reason)


def test_a_sync_token_brings_what_changed_since_and_nothing_else(calendars: Calendars) -> None:
    for number in range(4):
        calendars.insert(ANA, "primary", event(id=f"event{number}"))
    first = calendars.list(ANA, "primary", {"maxResults": ["3"]})
    calendars.delete(ANA, "primary", "event0")  # already handed out by the first page
    token = calendars.list(ANA, "primary", {"maxResults": ["3"], "pageToken": [first["nextPageToken"]]})[
        "nextSyncToken"
    ]
    assert listed(calendars, syncToken=token) == ["event0"]
    assert refused(lambda: listed(calendars, syncToken="stale")) == (410, "fullSyncRequired")
    assert refused(lambda: listed(calendars, syncToken=token, q="x")) == (400, "invalidParameter")


@settings(deadline=None)  # a busy machine is no failure
@given(
    starts=st.lists(st.integers(0, 20), max_size=12),
    deleted=st.sets(st.integers(0, 11)),
    size=st.integers(1, 5),
    order=st.sampled_from(["", "startTime", "updated"]),
)
def test_walking_the_pages_meets_every_event_once_and_in_order(
    starts: list[int], deleted: set[int], size: int, order: str
) -> None:
    calendars = Calendars(FakeClock())
    calendars.add_account(ANA)
    for number, hour in enumerate(starts):
        times = {"start": {"dateTime": f"2026-12-01T{hour:02}:00:00Z"}, "end": {"dateTime": "2026-12-02T00:00:00Z"}}
        calendars.insert(ANA, "primary", {**times, "id": f"event{number}"})
    for number in deleted & set(range(len(starts))):
        calendars.delete(ANA, "primary", f"event{number}")

    params = {"singleEvents": ["true"], **({"orderBy": [order]} if order else {})}
    whole = calendars.list(ANA, "primary", params)["items"]
    params["maxResults"] = [str(size)]
    walked: list[dict[str, Any]] = []
    while True:
        page = calendars.list(ANA, "primary", params)
        assert len(page["items"]) <= size
        walked += page["items"]
        if "nextPageToken" not in page:
            break
        params["pageToken"] = [page["nextPageToken"]]
    assert walked == whole
    assert len(walked) == len(starts) - len(deleted & set(range(len(starts))))
    if order == "startTime":
        assert [e["start"]["dateTime"] for e in walked] == sorted(e["start"]["dateTime"] for e in walked)


@settings(deadline=None)  # a busy machine is no failure
@given(text=st.text(), key=st.text(max_size=60), value=st.text(max_size=1100))
def test_text_comes_back_as_it_was_sent(text: str, key: str, value: str) -> None:
    calendars = Calendars(FakeClock())
    calendars.add_account(ANA)
    body = event(summary=text, extendedProperties={"private": {key: value}})
    made = calendars.insert(ANA, "primary", body)
    assert made.get("summary", "") == text
    held = made.get("extendedProperties", {}).get("private", {})
    assert held == ({key: value[:1024]} if len(key) <= 44 else {})


def test_a_refused_write_changes_nothing(calendars: Calendars) -> None:
    calendars.insert(ANA, "primary", event(id="abcde"))
    before, version = calendars.get(ANA, "primary", "abcde"), calendars.version
    refused(lambda: calendars.update(ANA, "primary", "abcde", event(colorId="99")))
    refused(lambda: calendars.insert(ANA, "primary", event(id="abcde")))
    assert calendars.get(ANA, "primary", "abcde") == before
    assert calendars.version == version
