"""What every request passes on its way in and out: it is read and recorded, and struck by faults."""

import json
import socket
import time
from collections.abc import Callable, Iterator

import falcon

from web.sandbox.arrival import Arrival, arrival_of, receive
from web.sandbox.errors import ApiError, OAuthError
from web.sandbox.faults import Carriage
from web.sandbox.grants import Bearer
from web.sandbox.journal import Request
from web.sandbox.quotas import units
from web.sandbox.specs import FaultKind, FaultSpec
from web.sandbox.state import Sandbox

_BAD_GATEWAY = (
    "<!DOCTYPE html><html><head><title>Error 502 (Server Error)!!1</title></head><body>"
    "<p><b>502.</b> That’s an error.</p><p>The server encountered a temporary error and could not complete your "
    "request. Please try again in 30 seconds.</p></body></html>"
)


class Recorder:
    """Reads each request once and records those meant for Google, with what was answered."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:  # noqa: ARG002 - Falcon's form
        """Read the request."""
        receive(req, self._sandbox)

    def process_response(self, req: falcon.Request, resp: falcon.Response, resource: object, ok: bool) -> None:  # noqa: ARG002
        """Record it. Runs last, so the status is the one that is sent."""
        arrival = arrival_of(req)
        if not arrival.for_google:
            return
        status: int | str = "cut" if arrival.cut else "lost" if arrival.lost else resp.status_code
        record = Request(
            time=arrival.time,
            actor=arrival.actor.value,
            account=arrival.target.account,
            method=req.method,
            path=arrival.recorded_path(),
            headers=arrival.recorded_headers(req),
            body=arrival.recorded_body(),
            status=status,
            batch=arrival.batch,
            part=arrival.part,
        )
        with self._sandbox.lock:
            self._sandbox.requests.append(record)
            if arrival.actor is Bearer.PROJECT:
                self._sandbox.stats.count(req.method, status, arrival.target.carriage)
                if arrival.for_calendar:
                    self._sandbox.stats.count_calendar(units(req.method), arrival.target.carriage)


class FaultInjector:
    """Strikes the project's requests as the rules say; what users do with their own tokens is spared."""

    def __init__(self, sandbox: Sandbox, wait: Callable[[float], None] = time.sleep) -> None:
        self._sandbox = sandbox
        self._wait = wait

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Strike before the work."""
        arrival = arrival_of(req)
        if not arrival.for_google or arrival.actor is Bearer.USER:
            return
        with self._sandbox.lock:
            arrival.fault = self._sandbox.faults.strike(arrival.target)
        match arrival.fault:
            case FaultSpec(kind=FaultKind.REFUSE) as fault:
                raise _refusal(arrival, fault)
            case FaultSpec(kind=FaultKind.CUT):
                _cut(req, resp, arrival)
            case FaultSpec(kind=FaultKind.DELAY) as fault:
                self._wait(fault.seconds)
            case FaultSpec(kind=FaultKind.HTML):
                resp.status, resp.content_type, resp.text = 502, "text/html; charset=UTF-8", _BAD_GATEWAY
                resp.complete = True

    def process_response(self, req: falcon.Request, resp: falcon.Response, resource: object, ok: bool) -> None:  # noqa: ARG002
        """Strike after the work."""
        arrival = arrival_of(req)
        match arrival.fault:
            case FaultSpec(kind=FaultKind.REFUSE_AFTER) as fault:
                answer_refusal(resp, _refusal(arrival, fault))
            case FaultSpec(kind=FaultKind.CUT_AFTER):
                _cut(req, resp, arrival)
            case FaultSpec(kind=FaultKind.DELAY_AFTER) as fault:
                self._wait(fault.seconds)
            case FaultSpec(kind=FaultKind.TRICKLE) as fault:
                self._trickle(resp, fault.seconds)
            case FaultSpec(kind=FaultKind.GARBAGE):
                _break_off(resp, arrival)
            case FaultSpec(kind=FaultKind.LOST):
                arrival.lost = True

    def _trickle(self, resp: falcon.Response, seconds: float) -> None:
        body = resp.render_body() or b""

        def drops() -> Iterator[bytes]:
            for place in range(len(body)):
                yield body[place : place + 1]
                self._wait(seconds)

        resp.data, resp.text = None, None
        resp.set_stream(drops(), len(body))


def answer_refusal(resp: falcon.Response, error: ApiError | OAuthError) -> None:
    """Put a refusal into the response, in Google's form."""
    resp.status = error.code
    resp.content_type = "application/json; charset=UTF-8"
    resp.data = json.dumps(error.envelope()).encode()
    if isinstance(error, ApiError):
        resp.set_headers(dict(error.headers))


def _break_off(resp: falcon.Response, arrival: Arrival) -> None:
    if arrival.target.carriage is Carriage.BATCH:
        whole = resp.render_body() or b""
        resp.data, resp.text = whole[: len(whole) // 2], None
        return
    resp.status, resp.content_type = 200, "application/json; charset=UTF-8"
    resp.data = b'{"kind": "calendar#event", "etag": "'


def _refusal(arrival: Arrival, fault: FaultSpec) -> ApiError | OAuthError:
    if not arrival.for_calendar:
        return OAuthError(fault.status, fault.reason, "Injected by the sandbox.")
    wait = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return ApiError(fault.status, fault.reason, headers=wait)


def _cut(req: falcon.Request, resp: falcon.Response, arrival: Arrival) -> None:
    """Close the connection under the server's feet: what it then writes goes nowhere."""
    connection: socket.socket = req.env["gunicorn.socket"]
    connection.shutdown(socket.SHUT_RDWR)
    arrival.cut = True
    resp.complete = True
