"""The Calendar client: what it sends for each call, and when it sends it again."""

import gzip
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from outbox.google.calls import Call, Delete, Insert, Read, Update
from outbox.google.client import MAX_TRIES, MAX_WAIT, GoogleCalendar, Together
from outbox.google.meaning import Answer, Meaning
from outbox.google.metering import metered
from outbox.google.request import request_for

TOKEN = "ya29.SECRET-token"
BODY = {"summary": "J-1 · Dallas → Memphis", "start": {"date": "2026-12-01"}, "end": {"date": "2026-12-02"}}
EVENT = {"id": "j0b1c", "etag": '"3"', "status": "confirmed", "summary": "J-1"}
CUT = 0


@dataclass(frozen=True, slots=True)
class Told:
    """What the stand-in shall answer; status CUT closes the connection without a word."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Google:
    """A stand-in that answers what it is told, in order, and remembers what it was asked."""

    url: str = ""
    answers: list[Told] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)


def event(**changes: Any) -> Told:
    return Told(200, json.dumps(EVENT | changes).encode())


def refusal(status: int, reason: str, domain: str = "global", **headers: str) -> Told:
    error = {"code": status, "message": reason, "errors": [{"domain": domain, "reason": reason, "message": reason}]}
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Told(status, json.dumps({"error": error}).encode(), named)


@pytest.fixture
def google() -> Iterator[Google]:
    state = Google()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.seen.append(Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            told = state.answers.pop(0)
            if told.status == CUT:
                self.close_connection = True
                return
            self.send_response(told.status)
            for name, value in told.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(told.body)))
            self.end_headers()
            self.wfile.write(told.body)

        def log_message(self, *_: object) -> None:
            """Nothing: the test's output is not the stand-in's."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/calendar/v3"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join(10)


class Clock:
    """Time that passes only in sleeps; it starts at the real one, which the connection's deadline follows."""

    def __init__(self) -> None:
        self.now = time.monotonic()
        self.waits: list[float] = []
        self.on_sleep: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        self.on_sleep()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


class Purse:
    """So many units; remembers which requests were answered."""

    def __init__(self, units: int) -> None:
        self._units = units
        self.over_answered: list[bool] = []

    def take(self) -> bool:
        self._units -= 1
        return self._units >= 0

    def over(self, *, answered: bool) -> None:
        self.over_answered.append(answered)


@pytest.fixture
def client(google: Google, clock: Clock, stop: threading.Event) -> Iterator[GoogleCalendar]:
    client = GoogleCalendar(google.url + "/", stop=stop, user_agent="sync-test/1", clock=clock, sleep=clock.sleep)
    yield client
    client.close()


@pytest.fixture
def call(client: GoogleCalendar, clock: Clock) -> Callable[..., Answer]:
    def make(call: Call, *, seconds: float = 60.0, calendar_id: str = "ana@example.com") -> Answer:
        return client.call(call, calendar_id=calendar_id, access_token=TOKEN, deadline=clock.now + seconds)

    return make


Make = Callable[..., Answer]


@pytest.mark.parametrize(
    ("given", "method", "target", "if_match", "body"),
    [
        (Insert("j0b1c", {"id": "j0b1c", **BODY}), "POST", "?sendUpdates=none&", None, {"id": "j0b1c", **BODY}),
        (Insert("j0b1c", BODY), "POST", "?sendUpdates=none&", None, {"id": "j0b1c", **BODY}),
        (Read("j0b1c"), "GET", "/j0b1c?", None, None),
        (Update("j0b1c", BODY, '"3"'), "PUT", "/j0b1c?sendUpdates=none&", '"3"', BODY),
        (Delete("j0b1c", '"3"'), "DELETE", "/j0b1c?sendUpdates=none&", '"3"', None),
    ],
)
def test_each_call_is_sent_as_google_wants_it(  # noqa: PLR0917 - the columns of the table
    google: Google,
    call: Make,
    given: Call,
    method: str,
    target: str,
    if_match: str | None,
    body: dict[str, Any] | None,
) -> None:
    google.answers.append(Told(204) if isinstance(given, Delete) else event())
    answer = call(given)
    assert answer.meaning is Meaning.DONE
    assert answer.resource == (None if isinstance(given, Delete) else EVENT)
    [seen] = google.seen
    assert (seen.method, seen.headers.get("if-match")) == (method, if_match)
    assert seen.path == f"/calendar/v3/calendars/ana%40example.com/events{target}prettyPrint=false"
    assert (json.loads(seen.body) if seen.body else None) == body
    assert seen.headers.get("content-type") == (None if body is None else "application/json")
    assert seen.headers["authorization"] == f"Bearer {TOKEN}"
    assert seen.headers["accept-encoding"] == "gzip"
    assert seen.headers["user-agent"] == "sync-test/1 (gzip)"


def test_any_calendar_id_is_one_segment_of_the_path(google: Google, call: Make) -> None:
    google.answers.append(event())
    call(Read("j0b1c"), calendar_id="en.usa#holiday/ü %2F@group.v.calendar.google.com?x=1")
    expected = "en.usa%23holiday%2F%C3%BC%20%252F%40group.v.calendar.google.com%3Fx%3D1"
    assert google.seen[0].path == f"/calendar/v3/calendars/{expected}/events/j0b1c?prettyPrint=false"


def test_a_compressed_answer_is_read(google: Google, call: Make) -> None:
    google.answers.append(Told(200, gzip.compress(json.dumps(EVENT).encode()), (("Content-Encoding", "gzip"),)))
    assert call(Read("j0b1c")).resource == EVENT


@pytest.mark.parametrize(
    ("first", "earlier_unknown"),
    [
        (Told(503), True),
        (Told(500, b"<html>"), True),
        (Told(CUT), True),
        (Told(200, b"<html>"), True),
        (refusal(409, "conflict"), False),
        (refusal(429, "rateLimitExceeded", "usageLimits"), False),
        (refusal(403, "userRateLimitExceeded", "usageLimits"), False),
    ],
    ids=["503", "500", "cut", "success without event", "conflict", "429", "403 rate"],
)
def test_a_passing_trouble_is_tried_again(
    google: Google, clock: Clock, call: Make, first: Told, earlier_unknown: bool
) -> None:
    google.answers += [first, event()]
    answer = call(Insert("j0b1c", BODY))
    assert (answer.meaning, answer.earlier_unknown, answer.requests) == (Meaning.DONE, earlier_unknown, 2)
    assert len(clock.waits) == 1
    assert 0.5 <= clock.waits[0] <= 1.0
    assert google.seen[0].body == google.seen[1].body


def test_a_refusal_after_an_unknown_try_is_not_the_whole_truth(google: Google, call: Make) -> None:
    google.answers += [Told(CUT), refusal(404, "notFound")]
    answer = call(Update("j0b1c", BODY, '"3"'))
    assert (answer.meaning, answer.earlier_unknown) == (Meaning.NOT_FOUND, True)


def test_a_read_leaves_nothing_unknown_behind(google: Google, call: Make) -> None:
    google.answers += [Told(CUT), refusal(404, "notFound")]
    assert not call(Read("j0b1c")).earlier_unknown


@pytest.mark.parametrize(
    "told",
    [
        refusal(400, "invalid"),
        refusal(401, "authError"),
        refusal(403, "forbidden"),
        refusal(403, "quotaExceeded", "usageLimits"),
        refusal(404, "notFound"),
        refusal(409, "duplicate"),
        refusal(410, "deleted"),
        refusal(412, "conditionNotMet"),
    ],
)
def test_what_a_repeat_cannot_change_is_not_repeated(google: Google, call: Make, told: Told) -> None:
    google.answers.append(told)
    answer = call(Update("j0b1c", BODY, '"3"'))
    assert (answer.status, answer.requests, answer.outcome_unknown) == (told.status, 1, False)


def test_tries_are_few_and_their_waits_grow(google: Google, clock: Clock, call: Make) -> None:
    google.answers += [Told(503)] * MAX_TRIES
    answer = call(Delete("j0b1c", '"3"'))
    assert (answer.meaning, answer.requests, answer.outcome_unknown) == (Meaning.UNAVAILABLE, MAX_TRIES, True)
    assert len(google.seen) == MAX_TRIES
    assert 0.5 <= clock.waits[0] <= 1.0 <= clock.waits[1] <= 1.5


def test_a_short_retry_after_is_waited_for(google: Google, clock: Clock, call: Make) -> None:
    google.answers += [refusal(429, "rateLimitExceeded", "usageLimits", Retry_After="3"), event()]
    assert call(Read("j0b1c")).meaning is Meaning.DONE
    assert clock.waits == [3.0]


def test_a_long_retry_after_goes_back_to_the_caller_at_once(google: Google, clock: Clock, call: Make) -> None:
    seconds = MAX_WAIT + 1
    google.answers.append(refusal(429, "rateLimitExceeded", "usageLimits", Retry_After=str(int(seconds))))
    answer = call(Read("j0b1c"))
    assert (answer.meaning, answer.retry_after) == (Meaning.RATE_LIMITED, seconds)
    assert clock.waits == []


def test_no_repeat_starts_that_the_deadline_would_cut_off(google: Google, clock: Clock, call: Make) -> None:
    google.answers.append(Told(503))
    assert call(Read("j0b1c"), seconds=1.4).requests == 1
    assert clock.waits == []


def test_repeats_fit_into_a_deadline_of_one_request_timeout(google: Google, call: Make) -> None:
    google.answers += [Told(503), Told(503), event()]
    assert call(Read("j0b1c"), seconds=10.0).meaning is Meaning.DONE


def test_a_call_after_its_deadline_sends_nothing(google: Google, call: Make) -> None:
    answer = call(Insert("j0b1c", BODY), seconds=0.0)
    assert (answer.meaning, answer.requests, answer.outcome_unknown) == (Meaning.NOT_SENT, 0, False)
    assert google.seen == []


def test_a_server_that_never_answers_is_left_in_time(google: Google, stop: threading.Event) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = GoogleCalendar(
            f"http://127.0.0.1:{listener.getsockname()[1]}", stop=stop, user_agent="test", request_timeout=0.2
        )
        answer = client.call(Read("j0b1c"), calendar_id="c", access_token=TOKEN, deadline=time.monotonic() + 0.4)
        client.close()
    assert (answer.meaning, answer.requests) == (Meaning.NO_ANSWER, 1)


def test_a_refused_connection_is_tried_again_and_leaves_nothing_unknown(clock: Clock, stop: threading.Event) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = GoogleCalendar(f"http://127.0.0.1:{port}", stop=stop, user_agent="test", clock=clock, sleep=clock.sleep)
    answer = client.call(Insert("j0b1c", BODY), calendar_id="c", access_token=TOKEN, deadline=clock.now + 60)
    client.close()
    assert (answer.meaning, answer.outcome_unknown, answer.requests) == (Meaning.NOT_SENT, False, 0)
    assert answer.message == "ConnectionRefusedError"
    assert len(clock.waits) == MAX_TRIES - 1


def test_a_stop_during_a_wait_ends_the_call_with_what_is_known(
    google: Google, clock: Clock, call: Make, stop: threading.Event
) -> None:
    google.answers.append(Told(503))
    clock.on_sleep = stop.set
    answer = call(Insert("j0b1c", BODY))
    assert (answer.meaning, answer.status, answer.requests) == (Meaning.UNAVAILABLE, 503, 1)
    assert not answer.earlier_unknown


def test_a_stop_during_a_try_lets_no_wait_begin(
    google: Google, clock: Clock, call: Make, stop: threading.Event
) -> None:
    google.answers.append(Told(503))
    stop.set()
    assert call(Insert("j0b1c", BODY)).requests == 1
    assert clock.waits == []


def test_the_wait_between_tries_really_ends_at_a_stop(google: Google, stop: threading.Event) -> None:
    google.answers.append(refusal(429, "rateLimitExceeded", "usageLimits", Retry_After=str(int(MAX_WAIT))))
    client = GoogleCalendar(google.url, stop=stop, user_agent="test")
    threading.Timer(0.05, stop.set).start()
    began = time.monotonic()
    answer = client.call(Read("j0b1c"), calendar_id="c", access_token=TOKEN, deadline=began + 60)
    client.close()
    assert answer.meaning is Meaning.RATE_LIMITED
    assert time.monotonic() - began < MAX_WAIT


def test_threads_share_a_client_but_not_their_connections(google: Google, client: GoogleCalendar, call: Make) -> None:
    google.answers += [event()] * 8
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(call(Read("j0b1c")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [answer.meaning for answer in answers] == [Meaning.DONE] * 8


def test_the_token_is_in_no_answer_and_no_log(google: Google, call: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    google.answers += [refusal(400, f"bad header: Bearer {TOKEN}"), Told(CUT), Told(CUT), Told(CUT)]
    answers = [call(Read("j0b1c")), call(Read("j0b1c"))]
    assert answers[0].message == "bad header: Bearer [token]"
    assert TOKEN not in repr(answers)
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    ("field", "parameter"), [("attachments", "supportsAttachments=true"), ("eventLabelId", "eventLabelVersion=1")]
)
def test_an_update_says_that_it_understands_the_users_fields_it_carries(field: str, parameter: str) -> None:
    body = {"summary": "J-1", field: ["as it was"]}
    assert parameter in request_for(Update("e1", body, '"1"'), "cal", base_path="/calendar/v3").target
    assert parameter not in request_for(Update("e1", {"summary": "J-1"}, '"1"'), "cal", base_path="/calendar/v3").target


def batch(*parts: tuple[int, bytes]) -> Told:
    """A batch's answer: its parts' numbers and what was answered to each."""
    pieces = [
        f"--b\r\nContent-Type: application/http\r\nContent-ID: <response-{number}>\r\n\r\n".encode() + text + b"\r\n"
        for number, text in parts
    ]
    return Told(200, b"".join(pieces) + b"--b--", (("Content-Type", "multipart/mixed; boundary=b"),))


def told(part: Told) -> bytes:
    return f"HTTP/1.1 {part.status} Whatever\r\nContent-Type: application/json\r\n\r\n".encode() + part.body


INSERT, UPDATE, DELETE = Insert("e1", BODY), Update("e2", BODY, '"2"'), Delete("e3", '"3"')
DELETED = b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.fixture
def together(client: GoogleCalendar, clock: Clock) -> Callable[..., Together]:
    def make(*calls: Call, seconds: float = 60.0) -> Together:
        return client.call_together(
            calls, calendar_id="ana@example.com", access_token=TOKEN, deadline=clock.now + seconds
        )

    return make


def test_calls_made_together_are_one_request_with_one_token(google: Google, together: Callable[..., Together]) -> None:
    google.answers = [batch((2, DELETED), (0, told(event(id="e1"))), (1, told(event(id="e2", etag='"4"'))))]
    made = together(INSERT, UPDATE, DELETE)
    assert [answer.meaning for answer in made.answers] == [Meaning.DONE] * 3
    assert [answer.resource and answer.resource["id"] for answer in made.answers] == ["e1", "e2", None]
    assert [answer.requests for answer in made.answers] == [1, 1, 1]
    assert not made.crowded
    assert not made.refused
    [seen] = google.seen
    assert (seen.method, seen.path) == ("POST", "/batch/calendar/v3")
    assert seen.headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN.encode() not in seen.body
    assert b"PUT /calendar/v3/calendars/ana%40example.com/events/e2?sendUpdates=none" in seen.body


def test_of_calls_made_together_only_those_are_repeated_that_are_worth_it(
    google: Google, together: Callable[..., Together]
) -> None:
    google.answers = [
        batch((0, told(event(id="e1"))), (1, told(refusal(403, "rateLimitExceeded", "usageLimits"))), (2, DELETED)),
        batch((0, told(event(id="e2")))),
    ]
    made = together(INSERT, UPDATE, DELETE)
    assert [answer.meaning for answer in made.answers] == [Meaning.DONE] * 3
    assert [answer.requests for answer in made.answers] == [1, 2, 1]
    assert made.crowded
    assert (b"/events/e2" in google.seen[1].body, b"/events/e3" in google.seen[1].body) == (True, False)


def test_a_part_without_an_answer_is_in_doubt_and_said_so_after_its_repeat(
    google: Google, together: Callable[..., Together]
) -> None:
    google.answers = [batch((0, told(event(id="e1")))), batch((0, told(refusal(412, "conditionNotMet"))))]
    first, second = together(INSERT, UPDATE).answers
    assert (first.meaning, first.earlier_unknown) == (Meaning.DONE, False)
    assert (second.meaning, second.earlier_unknown) == (Meaning.CHANGED, True)


@pytest.mark.parametrize(
    ("answer", "meaning", "refused"),
    [
        (refusal(400, "badRequest"), Meaning.NOT_SENT, True),
        (refusal(404, "notFound"), Meaning.NOT_SENT, True),
        (Told(404, b"<html>"), Meaning.UNAVAILABLE, True),
        (Told(200, b"<html>"), Meaning.NO_ANSWER, False),
        (Told(503, b""), Meaning.UNAVAILABLE, False),
        (Told(302, b""), Meaning.UNAVAILABLE, False),
        (Told(CUT), Meaning.NO_ANSWER, False),
    ],
)
def test_no_job_is_judged_by_what_becomes_of_the_whole_batch(
    google: Google, together: Callable[..., Together], answer: Told, meaning: Meaning, refused: bool
) -> None:
    google.answers = [answer] * MAX_TRIES
    made = together(INSERT, UPDATE)
    assert [one.meaning for one in made.answers] == [meaning] * 2
    assert made.refused is refused
    assert len(google.seen) == MAX_TRIES


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (refusal(401, "authError"), Meaning.UNAUTHORIZED),
        (refusal(403, "insufficientPermissions"), Meaning.SCOPE_MISSING),
        (refusal(403, "quotaExceeded", "usageLimits"), Meaning.USAGE_LIMITED),
    ],
)
def test_what_is_wrong_with_whoever_asks_is_wrong_for_each_call(
    google: Google, together: Callable[..., Together], answer: Told, meaning: Meaning
) -> None:
    google.answers = [answer]
    made = together(INSERT, UPDATE)
    assert [one.meaning for one in made.answers] == [meaning] * 2
    assert not made.refused


def test_calls_for_which_there_is_no_quota_are_not_sent_with_the_others(
    google: Google, together: Callable[..., Together]
) -> None:
    paid = Purse(2)
    google.answers = [batch((0, told(event(id="e1"))), (1, told(event(id="e2"))))]
    with metered(paid):
        made = together(INSERT, UPDATE, DELETE)
    assert [answer.meaning for answer in made.answers] == [Meaning.DONE, Meaning.DONE, Meaning.OUT_OF_BUDGET]
    assert b"/events/e3" not in google.seen[0].body
    assert paid.over_answered == [True, True]


def test_nothing_is_sent_together_without_quota_or_time(google: Google, together: Callable[..., Together]) -> None:
    with metered(Purse(0)):
        assert [answer.meaning for answer in together(INSERT, UPDATE).answers] == [Meaning.OUT_OF_BUDGET] * 2
    assert [answer.meaning for answer in together(INSERT, UPDATE, seconds=0.0).answers] == [Meaning.NOT_SENT] * 2
    assert google.seen == []
