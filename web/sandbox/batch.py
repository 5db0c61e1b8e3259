"""Google's batch endpoint: many calls in one HTTP request, each answered as if it had come alone.

Every call runs through the same application as a plain request, one after another, in an order that is not the order of
the batch, because Google promises none. The answer keeps the order of the batch.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from functools import lru_cache
from io import BytesIO
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote_to_bytes

import falcon

from web.sandbox.arrival import ARRIVAL_KEY, CALENDAR_PREFIX, PLACE_KEY, arrival_of
from web.sandbox.errors import ApiError, not_found
from web.sandbox.multipart import Call, Part, Reply, read_batch, read_call, write_batch
from web.sandbox.specs import FaultKind

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_VARY = (("Vary", "Origin"), ("Vary", "X-Origin"), ("Vary", "Referer"))
"""Google sends these with each answer. Its Python client cannot read a part that has no headers, as a 204 would be."""

_UPLOAD_PARAMS = frozenset({"uploadType", "upload_protocol"})


class Batch:
    """batch/calendar/v3; `app` is the application that answers the calls."""

    def __init__(self, app: Callable[["WSGIEnvironment", "StartResponse"], Any]) -> None:
        self._app = app
        self._numbers = count(1)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer every call of the batch; a lost connection ends it where it is."""
        arrival = arrival_of(req)
        parts = read_batch(req.content_type or "", arrival.body)
        arrival.batch = next(self._numbers)
        outer = _outer(req.env)
        order = list(range(len(parts)))
        Random(arrival.batch).shuffle(order)  # noqa: S311 - a repeatable order, not a secret
        replies: dict[int, Reply] = {}
        for place in order:
            environ = outer | {PLACE_KEY: (arrival.batch, place)}
            reply = self._answer(parts[place], environ)
            answered = environ.get(ARRIVAL_KEY)
            if answered is not None and answered.cut:
                arrival.cut = True
                return
            if answered is None or not answered.lost:
                replies[place] = reply
        reorder = arrival.fault is not None and arrival.fault.kind is FaultKind.REORDER
        boundary = f"batch_{secrets.token_urlsafe(24)}"
        resp.content_type = f"multipart/mixed; boundary={boundary}"
        resp.data = write_batch((replies[place] for place in sorted(replies, reverse=reorder)), boundary)

    def _answer(self, part: Part, environ: dict[str, Any]) -> Reply:
        try:
            call = read_call(part.content)
            _check(call)
        except ApiError as error:
            return _refused(part, error)
        _enter(call, environ)
        status = ""
        headers: list[tuple[str, str]] = []

        def start_response(line: str, fields: list[tuple[str, str]], _: object = None) -> Callable[[bytes], object]:
            nonlocal status, headers
            status, headers = line, fields
            return lambda _: None

        body = b"".join(self._app(environ, start_response))
        return Reply(part.content_id, status, [*headers, *_VARY], body)


def _refused(part: Part, error: ApiError) -> Reply:
    body = json.dumps(error.envelope()).encode()
    headers = (("Content-Type", "application/json; charset=UTF-8"), ("Content-Length", str(len(body))), *_VARY)
    return Reply(part.content_id, falcon.code_to_http_status(error.code), headers, body)


def _outer(environ: Mapping[str, Any]) -> dict[str, Any]:
    """What the calls inherit: all headers but those that describe the batch's own body."""
    return {
        key: value
        for key, value in environ.items()
        if not key.startswith(("HTTP_CONTENT_", "CONTENT_")) and key != ARRIVAL_KEY
    }


def _enter(call: Call, environ: dict[str, Any]) -> None:
    """Make it the environment of that call, as the server would have made it."""
    path, _, query = call.target.partition("?")
    environ |= {
        "REQUEST_METHOD": call.method,
        "RAW_URI": call.target,
        "PATH_INFO": unquote_to_bytes(path.encode("latin-1")).decode("latin-1"),
        "QUERY_STRING": query,
        "wsgi.input": BytesIO(call.body),
    }
    for name, value in call.headers.items():
        environ[_key(name)] = value
    environ["CONTENT_LENGTH"] = str(len(call.body))


@lru_cache(maxsize=256)
def _key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"


def _check(call: Call) -> None:
    """Refuse what a batch of this API cannot hold."""
    path, _, query = call.target.partition("?")
    if path.startswith("/batch"):
        raise ApiError(400, "badRequest", "A batch cannot hold a batch.")
    params = parse_qs(query)
    if path.startswith("/upload/") or params.get("alt") == ["media"] or not _UPLOAD_PARAMS.isdisjoint(params):
        raise ApiError(400, "badRequest", "A batch cannot hold uploads or downloads of media.")
    if not path.startswith(CALENDAR_PREFIX):
        raise not_found()
