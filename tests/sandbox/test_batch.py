"""A batch answers each of its calls as if it had come alone, and Google's own client understands every answer."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from typing import Any, cast
from urllib.parse import quote

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from tests.sandbox.conftest import ANA, BEN, TEAM, Client, bearer, event
from tests.sandbox.discovery import check_request
from tests.sandbox.test_google_client import Google
from web.sandbox.arrival import BATCH_PATH
from web.sandbox.multipart import MAX_CALLS, Reply, read_batch, read_call, write_batch
from web.sandbox.server import SandboxServer

# Google's packages and what they import warn about their own deprecations; none of that is ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

EVENTS = "/calendar/v3/calendars/primary/events"
MIXED = "multipart/mixed; boundary=b"
HTTP_PART = b"Content-Type: application/http\r\nContent-ID: <%d>\r\n\r\n%s"


def call(method: str, target: str, body: object = None, **headers: str) -> bytes:
    """The HTTP request of a part."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {target} HTTP/1.1", "Content-Type: application/json", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


def insert(event_id: str, **headers: str) -> bytes:
    return call("POST", f"{EVENTS}?sendUpdates=none", event(id=event_id), **headers)


def joined(contents: list[bytes]) -> bytes:
    """The body of a batch with those calls, their ids counted from 0."""
    parts = [HTTP_PART % numbered for numbered in enumerate(contents)]
    return b"".join(b"--b\r\n%s\r\n" % part for part in parts) + b"--b--\r\n"


@dataclass(frozen=True, slots=True)
class Answered:
    """One part of an answer, as the standard library's own parser reads it."""

    content_id: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def reason(self) -> str:
        return str(json.loads(self.body)["error"]["errors"][0]["reason"])


def parts_of(content_type: str, content: bytes) -> list[Answered]:
    message = BytesParser().parsebytes(b"Content-Type: %s\r\n\r\n%s" % (content_type.encode(), content))
    assert not message.defects
    found = []
    for part in cast("list[Any]", message.get_payload()):
        assert part.get_content_type() == "application/http"
        status, _, rest = part.get_payload(decode=True).partition(b"\r\n")
        inner = BytesParser().parsebytes(rest)
        protocol, code, _ = status.split(b" ", 2)
        assert protocol == b"HTTP/1.1"
        found.append(Answered(part["Content-ID"], int(code), dict(inner.items()), rest.partition(b"\r\n\r\n")[2]))
    return found


def send(client: Client, calls: list[bytes], headers: Mapping[str, str] | None = None) -> list[Answered]:
    """Send a batch, by default with Ana's token, and answer its parts."""
    sent = {"Content-Type": MIXED, **(bearer(client.token()) if headers is None else headers)}
    answer = client.http.simulate_post(BATCH_PATH, body=joined(calls), headers=sent)
    assert answer.status_code == 200, answer.text
    return parts_of(answer.headers["Content-Type"], answer.content)


# The wire


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"--b", b"x\n--bb", b"\r\n--b--x", b"\n"]), min_size=1))
def test_whatever_is_no_delimiter_line_comes_through_a_batch_unchanged(bodies: list[bytes]) -> None:
    delimiters = (b"--b", b"--b--")
    kept = [body for body in bodies if not any(line.strip() in delimiters for line in body.split(b"\n"))] or [b""]
    calls = [b"PUT /x HTTP/1.1\r\n\r\n%s" % body for body in kept]
    assert [read_call(part.content).body for part in read_batch(MIXED, joined(calls))] == kept


@given(st.lists(st.tuples(st.integers(0), st.binary(max_size=30).map(bytes.hex)), min_size=1))
def test_an_answer_reads_as_it_was_written(answers: list[tuple[int, str]]) -> None:
    replies = [Reply(f"<{number}>", "200 OK", [("ETag", '"1"')], body.encode()) for number, body in answers]
    found = parts_of(MIXED, write_batch(replies, "b"))
    assert [(part.content_id, part.body.decode()) for part in found] == [
        (f"<response-{number}>", body) for number, body in answers
    ]


def test_bare_line_feeds_folded_ids_text_around_and_a_quoted_boundary_are_read() -> None:
    body = (
        b"Read by nobody\n--a b\nContent-ID: <one +\n 1>\ncontent-type: application/http; msgtype=request\n\n"
        b'GET /x?y=1\nIf-Match: "1"\n\n\n--a b  \n'
        b"Content-Type: application/http\n\nGET /z HTTP/1.1\n\n--a b--\nNor this"
    )
    first, second = read_batch('multipart/mixed; boundary="a b"', body)
    assert (first.content_id, second.content_id) == ("<one + 1>", "")
    assert (read_call(first.content).target, read_call(first.content).headers) == ("/x?y=1", {"if-match": '"1"'})
    assert read_call(second.content).target == "/z"


ENTIRE = joined([call("GET", EVENTS)])


@pytest.mark.parametrize(
    ("content_type", "body", "why"),
    [
        ("application/json", b"{}", "not multipart/mixed"),
        ("multipart/mixed", ENTIRE, "not multipart/mixed with a boundary"),
        ("multipart/form-data; boundary=b", ENTIRE, "not multipart/mixed"),
        (MIXED, b"", "closing boundary"),
        (MIXED, ENTIRE.replace(b"--b--", b""), "closing boundary"),
        (MIXED, ENTIRE[: len(ENTIRE) // 2], "closing boundary"),
        ("multipart/mixed; boundary=c", ENTIRE, "closing boundary"),
        (MIXED, b"--b--", "0 items"),
        (MIXED, b"--b\r\n--b--", "Content-Type of a part is ''"),
        (MIXED, b"--b\r\n\r\nGET /x HTTP/1.1\r\n--b--", "no headers"),
        (MIXED, ENTIRE.replace(b"application/http", b"text/plain"), "Content-Type of a part is 'text/plain'"),
        (MIXED, ENTIRE.replace(b"Content-ID:", b"Content-ID"), "without a colon"),
        (MIXED, joined([call("GET", EVENTS)] * (MAX_CALLS + 1)), "at most 1000"),
    ],
)
def test_a_batch_that_makes_no_sense_is_refused_whole(client: Client, content_type: str, body: bytes, why: str) -> None:
    headers = {"Content-Type": content_type, **bearer(client.token())}
    answer = client.http.simulate_post(BATCH_PATH, body=body, headers=headers)
    assert (answer.status_code, answer.json["error"]["errors"][0]["reason"]) == (400, "badRequest")
    assert why in answer.json["error"]["message"]
    stats = client.control("GET", "stats")
    assert (stats["requests"], stats["parts"], stats["quota_units"]) == ({"POST": {"400": 1}}, {}, 0)


def test_a_batch_is_posted_and_nothing_else(client: Client) -> None:
    assert client.http.simulate_get(BATCH_PATH, headers=bearer(client.token())).status_code == 405


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (b"", (400, "badRequest")),
        (b"GET HTTP/1.1 and more words\r\n\r\n", (400, "badRequest")),
        (call("GET", f"https://www.googleapis.com{EVENTS}"), (400, "badRequest")),
        (call("POST", EVENTS, event()) + b"\r\n", (200, "")),
        (call("POST", EVENTS, event())[:-1], (400, "badRequest")),
        (b"POST %s HTTP/1.1\r\n\r\n{" % EVENTS.encode(), (400, "parseError")),
        (call("POST", BATCH_PATH, {}), (400, "badRequest")),
        (call("POST", "/upload/calendar/v3/x?uploadType=media", {}), (400, "badRequest")),
        (call("GET", f"{EVENTS}?alt=media"), (400, "badRequest")),
        (call("POST", "/token", {}), (404, "notFound")),
        (call("POST", "/sandbox/revoke", {"account": ANA}), (404, "notFound")),
        (call("GET", EVENTS, Authorization="Bearer nonsense"), (401, "authError")),
        (call("GET", EVENTS, Authorization=""), (401, "required")),
    ],
)
def test_a_call_that_makes_no_sense_is_refused_alone(client: Client, content: bytes, refusal: tuple[int, str]) -> None:
    refused, made = send(client, [content, insert("abcde")])
    assert (refused.status, refused.reason if refused.status >= 400 else "") == refusal
    assert made.status == 200


# A call in a batch is a call


def test_the_answer_keeps_the_order_of_the_batch_and_the_work_does_not(client: Client) -> None:
    names = [f"event{number}" for number in range(20)]
    parts = send(client, [insert(name) for name in names])
    assert [json.loads(part.body)["id"] for part in parts] == names
    assert [part.content_id for part in parts] == [f"<response-{number}>" for number in range(20)]
    worked = [write["event"] for write in client.control("GET", "journal")["entries"]]
    assert sorted(worked) == sorted(names)
    assert worked != names


def test_a_part_is_answered_with_its_headers_as_a_plain_request_is(client: Client) -> None:
    (made,) = send(client, [insert("abcde")])
    plain = client.http.simulate_get(f"{EVENTS}/abcde", headers=bearer(client.token()))
    assert json.loads(made.body) == plain.json
    assert made.headers == {
        "ETag": plain.headers["ETag"],
        "Content-Type": plain.headers["Content-Type"],
        "Vary": "Referer",
        "Content-Length": str(len(made.body)),
    }
    (gone,) = send(client, [call("DELETE", f"{EVENTS}/abcde", If_Match=plain.headers["ETag"])])
    assert (gone.status, gone.body, set(gone.headers)) == (204, b"", {"Vary"})


def test_the_headers_of_the_batch_hold_for_calls_that_have_none_of_their_own(client: Client) -> None:
    bens = f"Bearer {client.token(BEN)}"
    mine, his = send(client, [call("GET", EVENTS), call("GET", EVENTS, Authorization=bens)])
    assert [json.loads(part.body)["summary"] for part in (mine, his)] == [ANA, BEN]
    stale = {**bearer(client.token()), "If-Match": '"1"'}
    send(client, [insert("abcde")])
    edits = [call("PUT", f"{EVENTS}/abcde", event()), call("PUT", f"{EVENTS}/abcde", event(), If_Match="*")]
    assert [part.status for part in send(client, edits, stale)] == [412, 200]
    assert [part.status for part in send(client, [call("GET", EVENTS)], {})] == [401]


def test_requests_and_units_are_counted_apart(client: Client) -> None:
    edit = call("PATCH", f"/calendar/v3/calendars/{quote(TEAM, safe='')}/events/none0", {})
    send(client, [insert("abcde"), edit, call("GET", EVENTS)])
    client.http.simulate_get(EVENTS, headers=bearer(client.token()))
    assert client.control("GET", "stats") == {
        "requests": {"GET": {"200": 1}, "POST": {"200": 1}},
        "parts": {"GET": {"200": 1}, "PATCH": {"404": 1}, "POST": {"200": 1}},
        "calendar_requests": 2,
        "quota_units": 6,
    }
    entries = client.control("GET", "requests")["entries"]
    assert [(entry["path"], entry["batch"]) for entry in entries if entry["part"] is None] == [
        (BATCH_PATH, 1),
        (EVENTS, None),
    ]
    parts = sorted((entry for entry in entries if entry["part"] is not None), key=lambda entry: entry["part"])
    assert [(entry["batch"], entry["method"], entry["account"]) for entry in parts] == [
        (1, "POST", ANA),
        (1, "PATCH", ANA),
        (1, "GET", ANA),
    ]
    assert parts[0]["body"] == event(id="abcde")
    assert [check_request(part["method"], part["path"], part["body"]) for part in parts] == [[]] * 3


def test_the_quota_refuses_the_calls_beyond_it_inside_the_batch(client: Client) -> None:
    client.control("PUT", "quotas", {"per_user": 3, "status": 429})
    parts = send(client, [insert(f"event{number}") for number in range(5)])
    assert sorted(part.status for part in parts) == [200, 200, 200, 429, 429]
    assert {part.reason for part in parts if part.status == 429} == {"rateLimitExceeded"}
    assert [part.status for part in send(client, [call("GET", EVENTS)], bearer(client.token(own=True)))] == [200]


# Faults


@pytest.mark.parametrize(
    ("reach", "plain", "batch", "part"),
    [("call", 1, 0, 1), ("http", 1, 1, 0), ("batch", 0, 1, 0), ("part", 0, 0, 1)],
)
def test_a_delay_holds_up_what_it_reaches(client: Client, reach: str, plain: int, batch: int, part: int) -> None:
    client.control("POST", "faults", {"kind": "delay", "reach": reach, "seconds": 10})
    headers, began = bearer(client.token()), client.clock.now
    client.http.simulate_get(EVENTS, headers=headers)
    alone, began = (client.clock.now - began).total_seconds(), client.clock.now
    send(client, [call("GET", EVENTS)] * 3, headers)
    assert (alone, (client.clock.now - began).total_seconds()) == (10 * plain, 10 * batch + 30 * part)


@pytest.mark.parametrize(
    ("fault", "refusal"),
    [
        ({"kind": "refuse", "status": 403, "reason": "rateLimitExceeded"}, (403, "rateLimitExceeded")),
        ({"kind": "refuse", "status": 429, "reason": "rateLimitExceeded"}, (429, "rateLimitExceeded")),
        ({"kind": "refuse", "status": 409, "reason": "conflict"}, (409, "conflict")),
        ({"kind": "refuse_after", "status": 500}, (500, "backendError")),
    ],
)
def test_a_fault_strikes_single_parts(client: Client, fault: dict[str, Any], refusal: tuple[int, str]) -> None:
    rule = {"reach": "part", "path": "/event1$", "retry_after": 7, **fault}
    client.control("POST", "faults", rule)
    send(client, [insert("event0"), insert("event1")])
    parts = send(client, [call("PUT", f"{EVENTS}/event{number}", event()) for number in range(2)])
    assert [part.status for part in parts] == [200, refusal[0]]
    assert (parts[1].reason, parts[1].headers["Retry-After"]) == (refusal[1], "7")
    plain = client.http.simulate_put(f"{EVENTS}/event1", json=event(), headers=bearer(client.token()))
    assert plain.status_code == 200


def test_the_answer_of_a_part_can_be_missing_though_its_work_was_done(client: Client) -> None:
    client.control("POST", "faults", {"kind": "lost", "reach": "part", "every": 2})
    parts = send(client, [insert(f"event{number}") for number in range(4)])
    assert len(parts) == 2
    assert len(client.control("GET", "journal")["entries"]) == 4
    assert client.control("GET", "stats")["parts"] == {"POST": {"200": 2, "lost": 2}}


def test_the_answers_can_come_in_another_order(client: Client) -> None:
    client.control("POST", "faults", {"kind": "reorder", "reach": "batch"})
    parts = send(client, [insert(f"event{number}") for number in range(3)])
    assert [part.content_id for part in parts] == ["<response-2>", "<response-1>", "<response-0>"]
    assert [json.loads(part.body)["id"] for part in parts] == ["event2", "event1", "event0"]


def test_a_fault_that_needs_a_batch_says_so(client: Client) -> None:
    answer = client.http.simulate_post("/sandbox/faults", json={"kind": "lost"})
    assert (answer.status_code, "lost needs reach part" in answer.json["error"]["message"]) == (400, True)


@pytest.mark.parametrize(
    ("fault", "status", "made"),
    [
        ({"kind": "refuse", "status": 503}, 503, 0),
        ({"kind": "refuse", "status": 429, "reason": "rateLimitExceeded"}, 429, 0),
        ({"kind": "html"}, 502, 0),
        ({"kind": "refuse_after", "status": 503}, 503, 3),
        ({"kind": "garbage"}, 200, 3),
    ],
)
def test_a_fault_strikes_the_batch_as_a_whole(client: Client, fault: dict[str, Any], status: int, made: int) -> None:
    client.control("POST", "faults", {"reach": "batch", **fault})
    headers = {"Content-Type": MIXED, **bearer(client.token())}
    answer = client.http.simulate_post(
        BATCH_PATH, body=joined([insert(f"event{number}") for number in range(3)]), headers=headers
    )
    assert answer.status_code == status
    assert len(client.control("GET", "journal")["entries"]) == made
    boundary = answer.headers["Content-Type"].partition("boundary=")[2]
    assert not boundary or f"--{boundary}--" not in answer.text


@pytest.mark.parametrize(
    ("fault", "made"),
    [
        ({"kind": "cut", "reach": "batch"}, 0),
        ({"kind": "cut_after", "reach": "batch"}, 4),
        ({"kind": "cut", "reach": "part", "every": 3}, 2),
        ({"kind": "cut_after", "reach": "part", "every": 3}, 3),
    ],
)
def test_a_cut_ends_the_connection_before_after_or_amid_the_work(
    server: SandboxServer, account: str, fault: dict[str, Any], made: int
) -> None:
    server.control("POST", "faults", {"account": account, "count": 1, **fault})
    headers = bearer(server.control("POST", "token", {"account": account, "own": False})["access_token"])
    body = joined([insert(f"event{number}") for number in range(4)])
    with pytest.raises(requests.ConnectionError):
        requests.post(server.url + BATCH_PATH, data=body, headers={"Content-Type": MIXED, **headers}, timeout=20)
    held = requests.get(server.url + EVENTS, headers=bearer(server.user_token(account)), timeout=20).json()["items"]
    assert len(held) == made
    seen = [entry for entry in server.control("GET", "requests")["entries"] if entry["account"] == account]
    assert [entry["status"] for entry in seen if entry["path"] == BATCH_PATH] == ["cut"]


# Google's own client


@dataclass(slots=True)
class Outcome:
    """What the callbacks of Google's client were told, by request id."""

    answers: dict[str, Any] = field(default_factory=dict)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)

    def __call__(self, request_id: str, response: Any, exception: Any) -> None:
        if exception is None:
            self.answers[request_id] = response
        else:
            self.refusals[request_id] = exception.status_code, exception.error_details[0]["reason"]


Run = Callable[..., Outcome]


@pytest.fixture
def google(server: SandboxServer, account: str) -> Iterator[Google]:
    client = Google(server, account)
    yield client
    client.api.close()


@pytest.fixture
def run(google: Google) -> Run:
    """Runs requests of Google's client, named by keyword, as one batch."""

    def execute(**named: Any) -> Outcome:
        outcome = Outcome()
        batch = google.api.new_batch_http_request(callback=outcome)
        for name, request in named.items():
            batch.add(request, request_id=name)
        batch.execute()
        return outcome

    return execute


def test_googles_client_makes_reads_changes_and_deletes_in_batches(google: Google, run: Run, account: str) -> None:
    events = google.api.events()
    texts = {"first": "Frühling – ü", "second": "--b\n--b--", "third": "x"}
    made = run(
        **{
            name: events.insert(calendarId=account, body=event(id=f"{name}0", summary=text))
            for name, text in texts.items()
        }
    )
    assert {name: answer["summary"] for name, answer in made.answers.items()} == texts
    stale = events.update(calendarId="primary", eventId="second0", body=event(summary="Y"))
    stale.headers["If-Match"] = '"1"'
    done = run(
        update=events.update(calendarId="primary", eventId="first0", body=event(summary="B"), sendUpdates="none"),
        stale=stale,
        delete=events.delete(calendarId="primary", eventId="third0"),
        get=events.get(calendarId="primary", eventId="second0"),
        again=events.insert(calendarId="primary", body=event(id="second0")),
        nothing=events.get(calendarId="primary", eventId="zzzzz"),
        scope=google.api.calendars().get(calendarId="primary"),
        list=google.api.calendarList().list(),
    )
    assert done.answers["update"]["summary"] == "B"
    assert done.answers["delete"] == ""
    assert done.answers["get"] == made.answers["second"]
    assert done.answers["list"]["items"][0]["id"] == account
    assert done.refusals == {
        "stale": (412, "conditionNotMet"),
        "again": (409, "duplicate"),
        "nothing": (404, "notFound"),
        "scope": (403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
    }


def test_googles_client_tells_the_parts_that_were_refused(
    google: Google, run: Run, server: SandboxServer, account: str
) -> None:
    events = google.api.events()
    run(**{f"n{n}": events.insert(calendarId="primary", body=event(id=f"event{n}")) for n in range(4)})
    refusals = {0: (403, "userRateLimitExceeded"), 1: (429, "rateLimitExceeded"), 2: (409, "conflict")}
    for number, (status, reason) in refusals.items():
        rule = {"kind": "refuse", "reach": "part", "path": f"/event{number}$", "status": status, "reason": reason}
        server.control("POST", "faults", {"account": account, "count": 1, **rule})
    server.control("POST", "faults", {"account": account, "kind": "reorder", "reach": "batch", "count": 1})
    done = run(**{f"n{n}": events.get(calendarId="primary", eventId=f"event{n}") for n in range(4)})
    assert done.refusals == {f"n{number}": refusal for number, refusal in refusals.items()}
    assert done.answers["n3"]["id"] == "event3"


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # Google's client forgets to close it
def test_googles_client_refreshes_an_expired_token_between_two_batches(
    google: Google, run: Run, server: SandboxServer, account: str
) -> None:
    server.control("POST", "tokens/expire", {"account": account})
    events = google.api.events()
    done = run(**{f"n{n}": events.insert(calendarId="primary", body=event(id=f"event{n}")) for n in range(3)})
    assert sorted(answer["id"] for answer in done.answers.values()) == ["event0", "event1", "event2"]
    assert google.credentials.token != google.tokens["access_token"]


def test_googles_client_takes_a_batch_that_is_refused_whole_for_an_error(
    google: Google, run: Run, server: SandboxServer, account: str
) -> None:
    from googleapiclient.errors import HttpError  # noqa: PLC0415 - its import warns

    fault = {"account": account, "kind": "refuse", "reach": "batch", "status": 503, "count": 1}
    server.control("POST", "faults", fault)
    with pytest.raises(HttpError) as caught:
        run(list=google.api.events().list(calendarId="primary"))
    assert caught.value.status_code == 503
