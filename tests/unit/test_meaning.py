"""What each answer of the Calendar API means, and that no answer can break the reader."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.google.meaning import MAX_RETRY_AFTER, MAX_TEXT, Answer, Body, Meaning, read_answer


def envelope(
    code: int, reason: str | None = None, domain: str = "global", status: str | None = None, detail: str | None = None
) -> bytes:
    error: dict[str, Any] = {"code": code, "message": "Told by Google"}
    if reason is not None:
        error["errors"] = [{"domain": domain, "reason": reason, "message": "Told by Google"}]
    if status is not None:
        error["status"] = status
    if detail is not None:
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        error["details"] = [
            {"@type": "type.googleapis.com/google.rpc.Help"},
            {"@type": kind, "reason": detail, "domain": "googleapis.com"},
        ]
    return json.dumps({"error": error}).encode()


HTML = b"<!DOCTYPE html><title>Error</title>"


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (400, envelope(400, "timeRangeEmpty", "calendar"), Meaning.INVALID),
        (400, envelope(400, "invalid"), Meaning.INVALID),
        (400, envelope(400, "required"), Meaning.INVALID),
        (400, envelope(400), Meaning.INVALID),
        (400, HTML, Meaning.UNAVAILABLE),
        (401, envelope(401, "authError"), Meaning.UNAUTHORIZED),
        (401, envelope(401, status="UNAUTHENTICATED"), Meaning.UNAUTHORIZED),
        (401, b"", Meaning.UNAVAILABLE),
        (403, envelope(403, "userRateLimitExceeded", "usageLimits"), Meaning.RATE_LIMITED),
        (403, envelope(403, "rateLimitExceeded", "usageLimits"), Meaning.RATE_LIMITED),
        (403, envelope(403, "userRateLimitExceeded"), Meaning.RATE_LIMITED),
        (403, envelope(403, "rateLimitExceeded"), Meaning.RATE_LIMITED),
        (403, envelope(403, "aLimitOfTomorrow", "usageLimits"), Meaning.RATE_LIMITED),
        (403, envelope(403, detail="RATE_LIMIT_EXCEEDED"), Meaning.RATE_LIMITED),
        (403, envelope(403, status="RESOURCE_EXHAUSTED"), Meaning.RATE_LIMITED),
        (403, envelope(403, "quotaExceeded", "usageLimits"), Meaning.USAGE_LIMITED),
        (403, envelope(403, "dailyLimitExceeded", "usageLimits"), Meaning.PROJECT_LIMITED),
        (403, envelope(403, "accessNotConfigured", "usageLimits"), Meaning.MISCONFIGURED),
        (403, envelope(403, "forbidden", status="PERMISSION_DENIED", detail="SERVICE_DISABLED"), Meaning.MISCONFIGURED),
        (403, envelope(403, "insufficientPermissions"), Meaning.SCOPE_MISSING),
        (403, envelope(403, detail="ACCESS_TOKEN_SCOPE_INSUFFICIENT"), Meaning.SCOPE_MISSING),
        (403, envelope(403, "requiredAccessLevel", "calendar"), Meaning.CALENDAR_READ_ONLY),
        (403, envelope(403, "forbiddenForNonOrganizer", "calendar"), Meaning.EVENT_REFUSED),
        (403, envelope(403, "notACalendarUser", "calendar"), Meaning.NO_CALENDAR),
        (403, envelope(403, "forbidden"), Meaning.EVENT_REFUSED),
        (403, envelope(403, "neverHeardOf", "calendar"), Meaning.EVENT_REFUSED),
        (403, envelope(403), Meaning.EVENT_REFUSED),
        (403, HTML, Meaning.UNAVAILABLE),
        (404, envelope(404, "notFound"), Meaning.NOT_FOUND),
        (404, envelope(404), Meaning.NOT_FOUND),
        (404, HTML, Meaning.UNAVAILABLE),
        (408, b"", Meaning.UNAVAILABLE),
        (409, envelope(409, "duplicate"), Meaning.DUPLICATE),
        (409, envelope(409, status="ALREADY_EXISTS"), Meaning.DUPLICATE),
        (409, envelope(409, "conflict"), Meaning.CONFLICT),
        (409, envelope(409, status="ABORTED"), Meaning.CONFLICT),
        (409, b"{", Meaning.UNAVAILABLE),
        (410, envelope(410, "deleted"), Meaning.GONE),
        (410, HTML, Meaning.UNAVAILABLE),
        (412, envelope(412, "conditionNotMet"), Meaning.CHANGED),
        (412, b"[]", Meaning.UNAVAILABLE),
        (413, HTML, Meaning.UNAVAILABLE),
        (429, envelope(429, "rateLimitExceeded", "usageLimits"), Meaning.RATE_LIMITED),
        (429, envelope(429, "quotaExceeded", "usageLimits"), Meaning.RATE_LIMITED),
        (429, HTML, Meaning.RATE_LIMITED),
        (500, envelope(500, "backendError"), Meaning.UNAVAILABLE),
        (502, HTML, Meaning.UNAVAILABLE),
        (503, b"", Meaning.UNAVAILABLE),
        (302, b"", Meaning.UNAVAILABLE),
        (200, b'{"id":"a1b2c", "etag":"\\"3\\""}', Meaning.DONE),
        (200, b'{"id":"a1b2c", "status":"cancelled"}', Meaning.UNAVAILABLE),
        (200, b'{"id":"a1b2c"}', Meaning.UNAVAILABLE),
        (200, b'{"id":"a1b2c", "etag":"3\\r\\nX: y"}', Meaning.UNAVAILABLE),
        (200, b'{"id":7, "etag":"3"}', Meaning.UNAVAILABLE),
        (200, b'{"id":"a1b2c", "etag":', Meaning.UNAVAILABLE),
        (200, b"[]", Meaning.UNAVAILABLE),
        (200, b"", Meaning.UNAVAILABLE),
        (200, HTML, Meaning.UNAVAILABLE),
        (204, b"", Meaning.UNAVAILABLE),
    ],
)
def test_each_answer_has_its_meaning(status: int, body: bytes, meaning: Meaning) -> None:
    assert read_answer(status, {}, body, expects=Body.EVENT).meaning is meaning


@pytest.mark.parametrize("status", [204, 200])
def test_a_delete_is_done_when_its_success_carries_nothing(status: int) -> None:
    assert read_answer(status, {}, b"", expects=Body.NOTHING) == Answer(Meaning.DONE, status, requests=1)


@pytest.mark.parametrize("body", [HTML, b'{"error": {"code": 40', b"{}"])
def test_a_delete_answered_with_a_page_may_not_have_been_done(body: bytes) -> None:
    assert read_answer(200, {}, body, expects=Body.NOTHING).meaning is Meaning.UNAVAILABLE


def test_a_success_carries_the_event() -> None:
    answer = read_answer(200, {}, b'{"id":"a1b2c","etag":"\\"3\\"","colorId":"5"}', expects=Body.EVENT)
    assert answer.resource == {"id": "a1b2c", "etag": '"3"', "colorId": "5"}
    assert "colorId" not in repr(answer)


@pytest.mark.parametrize(("expects", "what"), [(Body.EVENT, "the event"), (Body.CALENDAR, "the calendar")])
def test_a_success_without_what_it_should_carry_says_so_and_when_to_ask_again(expects: Body, what: str) -> None:
    answer = read_answer(200, {"Retry-After": "7"}, b"", expects=expects)
    assert (answer.meaning, answer.message) == (Meaning.UNAVAILABLE, f"a success without {what}")
    assert answer.retry_after == 7.0


def test_a_refusal_carries_the_reason_that_decided_it() -> None:
    answer = read_answer(403, {}, envelope(403, "forbidden", detail="SERVICE_DISABLED"), expects=Body.EVENT)
    assert (answer.status, answer.reason, answer.message) == (403, "SERVICE_DISABLED", "Told by Google")


def test_a_message_becomes_one_short_line_that_can_be_stored_anywhere() -> None:
    body = json.dumps({"error": {"message": "a\x00b\nc\ud800" + "d" * 5000}}).encode()
    message = read_answer(400, {}, body, expects=Body.EVENT).message
    assert message.startswith("a b c?ddd")
    assert len(message) == MAX_TEXT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"Retry-After": "999999"}, MAX_RETRY_AFTER),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "9" * 400}, None),
        ({"Retry-After": "Tue, 01 Dec 2026 10:00:30 GMT", "Date": "Tue, 01 Dec 2026 10:00:00 GMT"}, 30.0),
        ({"Retry-After": "Tue, 01 Dec 2026 10:00:30 GMT"}, 20.0),
        ({"Retry-After": "Tue, 01 Dec 2026 10:00:30 GMT", "Date": "yesterday"}, 20.0),
        ({"Retry-After": "Tue, 01 Dec 2020 10:00:30 GMT"}, 0.0),
        ({"Retry-After": "Tue, 99999999999999999999 Dec 2026 10:00:30 GMT"}, None),
    ],
)
def test_retry_after_is_understood_as_seconds_or_as_a_date(headers: dict[str, str], seconds: float | None) -> None:
    now = datetime(2026, 12, 1, 10, 0, 10, tzinfo=UTC)
    assert read_answer(503, headers, b"", expects=Body.EVENT, now=now).retry_after == seconds


def test_a_retry_after_date_without_any_clock_is_not_guessed() -> None:
    headers = {"Retry-After": "Tue, 01 Dec 2026 10:00:30 GMT"}
    assert read_answer(503, headers, b"", expects=Body.EVENT).retry_after is None


@pytest.mark.parametrize("meaning", list(Meaning))
def test_only_where_nobody_answered_as_google_does_is_the_outcome_unknown(meaning: Meaning) -> None:
    assert Answer(meaning).outcome_unknown == (meaning in (Meaning.UNAVAILABLE, Meaning.NO_ANSWER))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
error_fields = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("errors", "details", "status", "message", "code"), json_values)
)
listed = st.lists(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("@type", "reason", "domain", "message"), json_values))
)
hostile_errors = error_fields | st.fixed_dictionaries({"errors": listed, "details": listed})
hostile_bodies = st.binary(max_size=200) | (json_values | hostile_errors.map(lambda error: {"error": error})).map(
    lambda value: json.dumps(value).encode()
)


@given(
    status=st.integers(100, 599),
    body=hostile_bodies,
    headers=st.dictionaries(st.sampled_from(["Retry-After", "Date", "X"]), st.text(max_size=40)),
    expects=st.sampled_from(Body),
)
def test_no_answer_makes_the_reader_fail(status: int, body: bytes, headers: dict[str, str], expects: Body) -> None:
    answer = read_answer(status, headers, body, expects=expects)
    answer.message.encode()
    answer.reason.encode()
    assert (answer.meaning is Meaning.DONE) <= (200 <= status < 300)
    assert len(answer.message) <= MAX_TEXT


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"error":' * 100_000, b"9" * 100_000, b"\xff\xfe\x00"])
def test_an_absurd_body_is_only_a_bad_answer(body: bytes) -> None:
    assert read_answer(200, {}, body, expects=Body.EVENT).meaning is Meaning.UNAVAILABLE
    assert read_answer(404, {}, body, expects=Body.EVENT).meaning is Meaning.UNAVAILABLE
