"""Many requests in one: Google's batch format, parts of application/http in multipart/mixed. Pure.

https://developers.google.com/workspace/calendar/api/guides/batch
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from outbox.google.request import HttpRequest

MOST_PARTS = 50
"""Parts of one batch. Google's limit is 1,000, and was 50 for long; more would only let live edits wait."""


@dataclass(frozen=True, slots=True)
class PartReply:
    """What Google answered to one part; the names of its headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def encode(parts: Sequence[HttpRequest], boundary: str) -> bytes:
    """The body of a batch request. The parts are numbered, because nothing else promises which answer is whose."""
    lines: list[bytes] = []
    for number, part in enumerate(parts):
        head = [
            f"--{boundary}",
            "Content-Type: application/http",
            f"Content-ID: <{number}>",
            "",
            f"{part.method} {part.target} HTTP/1.1",
            *(f"{name}: {value}" for name, value in part.headers.items()),
        ]
        if part.body is not None:
            head.append(f"Content-Length: {len(part.body)}")
        lines += ["\r\n".join(head).encode("latin-1"), b"", part.body or b""]
    return b"\r\n".join([*lines, f"--{boundary}--".encode("latin-1"), b""])


def decode(content_type: str, body: bytes) -> dict[int, PartReply]:
    """The answers by the parts' numbers; a part that cannot be read, or was left out, is not among them."""
    boundary = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/mixed") or boundary is None:
        return {}
    delimiter = b"--" + (boundary["quoted"] or boundary["bare"]).encode("latin-1")
    # Whatever stands before the first part or after the last one is no part, and is not read as one.
    pieces = (b"\n" + body).split(b"\n" + delimiter)
    return dict(read for piece in pieces if (read := _read_piece(piece)) is not None)


_BOUNDARY = re.compile(r'boundary=(?:"(?P<quoted>[^"]+)"|(?P<bare>[^\s;"]+))', re.IGNORECASE)
_NUMBER = re.compile(rb"^<?response-(?P<number>[0-9]{1,4})>?$")
_STATUS = re.compile(rb"^HTTP/1\.[01] (?P<status>[1-5][0-9]{2})(?: |$)")
_BLANK = re.compile(rb"\n\r?\n")
"""Begins with a fixed byte, because that is found several times faster; a CR before it goes too."""


def _read_piece(piece: bytes) -> tuple[int, PartReply] | None:
    outer, blank, inner = _cut(piece.lstrip(b" \t\r\n"))
    number = _NUMBER.match(_headers(outer.splitlines()).get("content-id", "").encode("latin-1", "replace"))
    if not blank or number is None:
        return None
    head, _, body = _cut(inner)
    status_line, *lines = head.splitlines() or [b""]
    status = _STATUS.match(status_line)
    if status is None:
        return None
    headers = _headers(lines)
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit():
        body = body[: int(length)]
    return int(number["number"]), PartReply(int(status["status"]), headers, body.strip(b"\r\n"))


def _cut(text: bytes) -> tuple[bytes, bytes, bytes]:
    """What is before the first blank line, that line, and what is after it."""
    match = _BLANK.search(text)
    if match is None:
        return text, b"", b""
    return text[: match.start()].removesuffix(b"\r"), match[0], text[match.end() :]


def _headers(lines: Sequence[bytes]) -> dict[str, str]:
    pairs = (line.decode("latin-1").partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
