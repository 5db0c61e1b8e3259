"""The calendar list: what is asked of Google, and what becomes of whatever it answers."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st

from outbox.google.calendar_list import (
    LONGEST_ID,
    LONGEST_NAME,
    MOST_PAGES,
    CalendarList,
    ListedCalendar,
    is_calendar_id,
)
from outbox.google.meaning import Answer, Meaning

BASE = "https://calendar.example.com/calendar/v3"
LIST = f"{BASE}/users/me/calendarList"
TOKEN = "ya29.SECRET"


@pytest.fixture
def google() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def calendars(waits: list[float]) -> Iterator[CalendarList]:
    listed = CalendarList(BASE, stop=threading.Event(), user_agent="test", sleep=waits.append)
    yield listed
    listed.close()


def entry(calendar_id: str = "team@example.com", **more: Any) -> dict[str, Any]:
    return {"id": calendar_id, "summary": "Team", "accessRole": "owner", **more}


def refusal(code: int, reason: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": f"no {TOKEN}", "errors": [{"reason": reason, "domain": "global"}]}}


def queries(google: responses.RequestsMock) -> list[dict[str, list[str]]]:
    return [parse_qs(urlsplit(call.request.url or "").query) for call in google.calls]


def test_only_calendars_to_write_to_are_asked_for(calendars: CalendarList, google: responses.RequestsMock) -> None:
    google.get(LIST, json={"items": [entry()]})
    assert calendars.writable(TOKEN) == [ListedCalendar("team@example.com", "Team", False, True, True, None)]
    assert queries(google) == [{"minAccessRole": ["writer"], "maxResults": ["250"], "prettyPrint": ["false"]}]
    assert google.calls[0].request.headers["Authorization"] == f"Bearer {TOKEN}"


def test_every_page_is_read(calendars: CalendarList, google: responses.RequestsMock) -> None:
    google.get(LIST, json={"items": [entry("a@x")], "nextPageToken": "p/2="})
    google.get(LIST, json={"items": [entry("b@x")], "nextPageToken": "p3"})
    google.get(LIST, json={})
    listed = calendars.writable(TOKEN)
    assert isinstance(listed, list)
    assert [calendar.id for calendar in listed] == ["a@x", "b@x"]
    assert [query.get("pageToken") for query in queries(google)] == [None, ["p/2="], ["p3"]]


def test_a_page_token_that_comes_again_ends_the_list(calendars: CalendarList, google: responses.RequestsMock) -> None:
    google.get(LIST, json={"items": [entry()], "nextPageToken": "again"})
    assert calendars.writable(TOKEN) == [ListedCalendar("team@example.com", "Team", False, True, True, None)]
    assert len(google.calls) == 2


def test_a_list_without_an_end_is_cut_off(calendars: CalendarList, google: responses.RequestsMock) -> None:
    def page(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        number = len(google.calls)
        return 200, {}, json.dumps({"items": [entry(f"c{number}@x")], "nextPageToken": f"p{number}"})

    google.add_callback(responses.GET, LIST, page)
    listed = calendars.writable(TOKEN)
    assert isinstance(listed, list)
    assert len(listed) == len(google.calls) == MOST_PAGES


def test_a_refused_page_refuses_the_list(calendars: CalendarList, google: responses.RequestsMock) -> None:
    google.get(LIST, json={"items": [entry()], "nextPageToken": "p2"})
    google.get(LIST, json=refusal(403, "insufficientPermissions"), status=403)
    answer = calendars.writable(TOKEN)
    assert isinstance(answer, Answer)
    assert answer.meaning is Meaning.SCOPE_MISSING


def test_the_primary_calendar_comes_first_and_the_others_by_name(
    calendars: CalendarList, google: responses.RequestsMock
) -> None:
    items = [entry("1@x", summary="beta"), entry("2@x", summary="Alpha"), entry("3@x", summary="zz", primary=True)]
    google.get(LIST, json={"items": items})
    listed = calendars.writable(TOKEN)
    assert isinstance(listed, list)
    assert [calendar.name for calendar in listed] == ["zz", "Alpha", "beta"]


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ({"summary": "Jobs", "summaryOverride": "My jobs"}, "My jobs"),
        ({"summary": "Jobs", "summaryOverride": "  "}, "Jobs"),
        ({"summary": "Jobs", "summaryOverride": 5}, "Jobs"),
        ({"summary": None}, "team@example.com"),
        ({"summary": "\u200b\u202e"}, "team@example.com"),
        ({"summary": "two\nlines\x00\u202e"}, "two lines"),
        ({"summary": "half \ud800 pair"}, "half ? pair"),
        ({"summary": "x" * 1000}, "x" * (LONGEST_NAME - 1) + "…"),
    ],
)
def test_a_calendar_is_called_what_its_user_calls_it(
    calendars: CalendarList, google: responses.RequestsMock, names: dict[str, Any], shown: str
) -> None:
    google.get(LIST, json={"items": [entry(**names)]})
    listed = calendars.writable(TOKEN)
    assert isinstance(listed, list)
    assert [calendar.name for calendar in listed] == [shown]


@pytest.mark.parametrize(
    ("role", "writable"),
    [
        ("owner", True),
        ("writer", True),
        ("writerWithoutPrivateAccess", True),
        ("reader", False),
        ("freeBusyReader", False),
        (None, False),
        (["owner"], False),
    ],
)
def test_the_role_says_whether_it_can_be_written_to(
    calendars: CalendarList, google: responses.RequestsMock, role: object, writable: bool
) -> None:
    google.get(f"{LIST}/team%40example.com", json=entry(accessRole=role, timeZone="Europe/Berlin"))
    calendar = calendars.get(TOKEN, "team@example.com")
    assert calendar == ListedCalendar("team@example.com", "Team", False, writable, role == "owner", "Europe/Berlin")


def test_what_may_only_be_read_is_not_offered(calendars: CalendarList, google: responses.RequestsMock) -> None:
    google.get(LIST, json={"items": [entry("a@x", accessRole="reader"), entry("b@x", deleted=True)]})
    assert calendars.writable(TOKEN) == []


@pytest.mark.parametrize(
    "item", [None, "text", {}, entry(""), entry("a b"), entry("\x00"), entry(".."), entry("primary"), {"id": 7}]
)
def test_an_entry_without_a_usable_id_is_left_out(
    calendars: CalendarList, google: responses.RequestsMock, item: object
) -> None:
    google.get(LIST, json={"items": [item, entry()]})
    listed = calendars.writable(TOKEN)
    assert isinstance(listed, list)
    assert [calendar.id for calendar in listed] == ["team@example.com"]


def test_a_zone_that_is_none_is_not_kept(calendars: CalendarList, google: responses.RequestsMock) -> None:
    google.get(f"{LIST}/primary", json=entry(timeZone="Mars/Olympus\x00", primary=True))
    assert calendars.get(TOKEN, "primary") == ListedCalendar("team@example.com", "Team", True, True, True, None)


def test_an_id_cannot_lead_elsewhere(calendars: CalendarList, google: responses.RequestsMock) -> None:
    google.get(f"{LIST}/a..%3Fx%3D%25%23%C3%A9", json=refusal(404, "notFound"), status=404)
    answer = calendars.get(TOKEN, "a..?x=%#é")
    assert isinstance(answer, Answer)
    assert answer.meaning is Meaning.NOT_FOUND


def test_a_success_without_the_calendar_is_none(calendars: CalendarList, google: responses.RequestsMock) -> None:
    google.get(f"{LIST}/primary", json={"kind": "calendar#calendarListEntry"})
    answer = calendars.get(TOKEN, "primary")
    assert isinstance(answer, Answer)
    assert answer.meaning is Meaning.UNAVAILABLE


@pytest.mark.parametrize(
    "first",
    [
        lambda google: google.get(LIST, body="<html>502</html>", status=502),
        lambda google: google.get(LIST, body="<html>ok</html>"),
        lambda google: google.get(LIST, json=refusal(403, "rateLimitExceeded"), status=403),
        lambda google: google.get(
            LIST, json=refusal(429, "rateLimitExceeded"), status=429, headers={"Retry-After": "2"}
        ),
        lambda google: google.get(LIST, body=requests.ConnectionError("reset")),
    ],
)
def test_what_passes_is_asked_again(
    calendars: CalendarList,
    google: responses.RequestsMock,
    waits: list[float],
    first: Callable[[responses.RequestsMock], object],
) -> None:
    first(google)
    google.get(LIST, json={"items": []})
    assert calendars.writable(TOKEN) == []
    assert len(waits) == 1


def test_a_refusal_is_not_asked_again_and_does_not_repeat_the_token(
    calendars: CalendarList, google: responses.RequestsMock, waits: list[float]
) -> None:
    google.get(LIST, json=refusal(401, "authError"), status=401)
    answer = calendars.writable(TOKEN)
    assert isinstance(answer, Answer)
    assert answer.meaning is Meaning.UNAUTHORIZED
    assert TOKEN not in repr(answer)
    assert waits == []


def test_a_wait_that_is_too_long_is_left_to_the_caller(
    calendars: CalendarList, google: responses.RequestsMock, waits: list[float]
) -> None:
    google.get(LIST, json=refusal(429, "rateLimitExceeded"), status=429, headers={"Retry-After": "90"})
    answer = calendars.writable(TOKEN)
    assert isinstance(answer, Answer)
    assert (answer.meaning, answer.retry_after, waits) == (Meaning.RATE_LIMITED, 90.0, [])


def test_after_the_total_time_nothing_is_sent(google: responses.RequestsMock) -> None:
    late = CalendarList(BASE, stop=threading.Event(), user_agent="test", total_seconds=0)
    answer = late.get(TOKEN, "primary")
    late.close()
    assert isinstance(answer, Answer)
    assert answer.meaning is Meaning.NOT_SENT
    assert len(google.calls) == 0


@pytest.mark.parametrize(
    ("value", "legal"),
    [
        ("ana@example.com", True),
        ("primary", True),
        ("c_1234#holiday@group.v.calendar.google.com", True),
        ("x" * LONGEST_ID, True),
        ("x" * (LONGEST_ID + 1), False),
        ("", False),
        (".", False),
        ("..", False),
        ("a b", False),
        ("a/b", False),
        ("../events", False),
        ("a\\b", False),
        ("a\x00", False),
        ("a\ud800", False),
        (None, False),
        (7, False),
    ],
)
def test_an_id_is_printable_and_bounded(value: object, legal: bool) -> None:
    assert is_calendar_id(value) is legal


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "summary", "accessRole", "items", "nextPageToken", "error"]), inner)
    ),
    max_leaves=12,
)


@given(answer=JSON, status=st.sampled_from([200, 200, 200, 401, 403, 404, 500]))
def test_no_answer_of_google_makes_it_raise(answer: object, status: int) -> None:
    calendars = CalendarList(BASE, stop=threading.Event(), user_agent="test", sleep=lambda _: None)
    with responses.RequestsMock() as google:
        google.get(LIST, body=json.dumps(answer), status=status)
        listed = calendars.writable(TOKEN)
    calendars.close()
    for calendar in listed if isinstance(listed, list) else ():
        assert is_calendar_id(calendar.id)
        calendar.name.encode()
