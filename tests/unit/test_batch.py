"""Google's batch format: what is sent, and what is made of whatever comes back."""

import json
from email import message_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.google.batch import PartReply, decode, encode
from outbox.google.request import HttpRequest

MIXED = "multipart/mixed; boundary=batch_x"
POST = HttpRequest("POST", "/calendar/v3/calendars/c/events", {"Content-Type": "application/json"}, b'{"a": 1}')
DELETE = HttpRequest("DELETE", "/calendar/v3/calendars/c/events/e", {"If-Match": '"7"'})


def reply(*parts: bytes) -> bytes:
    return b"".join(b"--batch_x\r\n" + part + b"\r\n" for part in parts) + b"--batch_x--"


def part(number: int, text: bytes) -> bytes:
    return f"Content-Type: application/http\r\nContent-ID: <response-{number}>\r\n\r\n".encode() + text


def test_a_batch_is_what_a_mail_library_reads_as_numbered_requests() -> None:
    read = message_from_bytes(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + encode([POST, DELETE], "b"))
    _, first, second = read.walk()
    assert [piece["Content-ID"] for piece in (first, second)] == ["<0>", "<1>"]
    assert [piece.get_content_type() for piece in (first, second)] == ["application/http"] * 2
    assert first.get_payload(decode=True) == (
        b"POST /calendar/v3/calendars/c/events HTTP/1.1\r\nContent-Type: application/json\r\n"
        b'Content-Length: 8\r\n\r\n{"a": 1}'
    )
    assert second.get_payload(decode=True) == (
        b'DELETE /calendar/v3/calendars/c/events/e HTTP/1.1\r\nIf-Match: "7"\r\n\r\n'
    )


def test_answers_are_found_by_their_numbers_whatever_their_order() -> None:
    body = reply(
        part(1, b"HTTP/1.1 204 No Content\r\nVary: Origin\r\n\r\n"),
        part(0, b'HTTP/1.1 200 OK\r\nETag: "2"\r\nContent-Length: 8\r\n\r\n{"a": 1}'),
    )
    assert decode(MIXED, body) == {
        0: PartReply(200, {"etag": '"2"', "content-length": "8"}, b'{"a": 1}'),
        1: PartReply(204, {"vary": "Origin"}, b""),
    }


@pytest.mark.parametrize(
    "content_type", ['multipart/mixed; boundary="batch_x"', "Multipart/Mixed; charset=utf-8; boundary=batch_x"]
)
def test_the_boundary_may_be_quoted_and_stand_anywhere(content_type: str) -> None:
    assert 0 in decode(content_type, reply(part(0, b"HTTP/1.1 200 OK\r\n\r\n{}")))


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", reply(part(0, b"HTTP/1.1 200 OK\r\n\r\n{}"))),
        ("multipart/mixed", reply(part(0, b"HTTP/1.1 200 OK\r\n\r\n{}"))),
        (MIXED, b""),
        (MIXED, b"<html>--batch_x</html>"),
        (MIXED, reply(b"Content-Type: application/http\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{}")),
        (MIXED, reply(part(0, b"200 OK\r\n\r\n{}"))),
        (MIXED, reply(part(0, b"HTTP/1.1 2000 OK\r\n\r\n{}"))),
        (MIXED, reply(part(0, b""))),
        (MIXED, reply(b"Content-ID: <0>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{}")),
    ],
)
def test_what_is_no_answer_to_a_part_is_none(content_type: str, body: bytes) -> None:
    assert decode(content_type, body) == {}


def test_a_part_that_cannot_be_read_takes_no_other_with_it() -> None:
    body = reply(part(0, b"nonsense"), part(1, b"HTTP/1.1 404 Not Found\r\n\r\n{}"))
    assert decode(MIXED, body) == {1: PartReply(404, {}, b"{}")}


@given(st.binary())
def test_nothing_that_a_server_sends_makes_it_fail(body: bytes) -> None:
    decode(MIXED, body)
    decode(MIXED, reply(body, part(0, body)))


@given(st.lists(st.dictionaries(st.text(), st.text(), max_size=3), min_size=1, max_size=5))
def test_whatever_an_event_says_its_answer_is_read_as_it_was_sent(events: list[dict[str, str]]) -> None:
    bodies = [json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass") for event in events]
    answers = decode(MIXED, reply(*(part(n, b"HTTP/1.1 200 OK\r\n\r\n" + body) for n, body in enumerate(bodies))))
    assert [answers[number].body for number in range(len(bodies))] == bodies
