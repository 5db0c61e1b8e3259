"""Google's Calendar API over HTTP: one call in, one answer out, repeated for seconds where that is safe.

Every call may be repeated because its effect is fixed beforehand: ids are chosen by us, updates name the etag they
replace, and a deleted event can only be deleted again.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import quote

from tenacity import RetryCallState, Retrying, retry_if_result, sleep_using_event, wait_exponential, wait_random

from outbox.google.calls import Call, Delete, Insert, Probe, Read, Update
from outbox.google.deadline import NoReplyError, NotSentError, Transport
from outbox.google.meaning import Answer, Body, Meaning, read_answer
from outbox.google.metering import payer

MAX_TRIES = 3
"""HTTP requests for one call; what needs more goes back to the table."""

MAX_WAIT = 4.0
"""Seconds between two tries. A longer Retry-After ends the call at once: the caller has a table to wait in."""

_BACKOFF = wait_exponential(multiplier=0.5, max=MAX_WAIT) + wait_random(0, 0.5)
"""Waits of 0.5 to 1 s, then 1 to 1.5 s."""

LEAST_TRY = 1.0
"""Seconds without which a repeat is not begun: a try cut off by the deadline only leaves its outcome unknown."""

_WORTH_REPEATING = frozenset(
    {Meaning.UNAVAILABLE, Meaning.NO_ANSWER, Meaning.NOT_SENT, Meaning.CONFLICT, Meaning.RATE_LIMITED}
)

_METHODS = {Insert: "POST", Read: "GET", Update: "PUT", Delete: "DELETE", Probe: "GET"}

_EXPECTED = {Delete: Body.NOTHING, Probe: Body.CALENDAR}

T = TypeVar("T")


def repeat(
    once: Callable[[], T],
    *,
    worth: Callable[[T], bool],
    stop: threading.Event,
    sleep: Callable[[float], None],
    asked: Callable[[T], float | None] = lambda _: None,
    fits: Callable[[float], bool] = lambda _: True,
) -> list[T]:
    """Do something up to MAX_TRIES times while its result is `worth` another try; all results, at least one.

    `asked`: the least wait, in seconds, that a result asks for. `fits`: whether there is time for such a wait and
    another try. `stop` ends it at once, also amid a wait.
    """
    results: list[T] = []

    def attempt() -> T:
        if not (results and stop.is_set()):  # else the wait was cut short
            results.append(once())
        return results[-1]

    def wait(state: RetryCallState) -> float:
        return max(_BACKOFF(state), asked(results[-1]) or 0.0)

    def over(state: RetryCallState) -> bool:
        pause = state.upcoming_sleep
        return len(results) == MAX_TRIES or stop.is_set() or pause > MAX_WAIT or not fits(pause)

    Retrying(
        sleep=sleep, wait=wait, stop=over, retry=retry_if_result(worth), retry_error_callback=lambda _: results[-1]
    )(attempt)
    return results


class GoogleCalendar:
    """The events of Google calendars. Threads may share it; each has connections of its own."""

    def __init__(
        self,
        base_url: str,
        *,
        stop: threading.Event,
        user_agent: str,
        request_timeout: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        """`base_url`: the API base, `https://www.googleapis.com/calendar/v3`. `request_timeout`: seconds in all for
        one HTTP request. `stop` ends the waits between tries. `clock` and `sleep` are for tests.
        """
        self._base_url = base_url.rstrip("/")
        self._stop = stop
        self._request_timeout = request_timeout
        self._clock = clock
        self._sleep = sleep or sleep_using_event(stop)
        # Google compresses only for agents that say so here too.
        self._transport = Transport(user_agent=f"{user_agent} (gzip)")

    def call(self, call: Call, *, calendar_id: str, access_token: str, deadline: float) -> Answer:
        """Make one call and say how it ended; never raises for anything that Google or the network does.

        `deadline` is a `time.monotonic` value: nothing is sent or awaited after it, and a repeat starts only if a try
        as long as the last one still fits before it.
        """
        took = 0.0

        def once() -> Answer:
            nonlocal took
            began = self._clock()
            answer = self._try(call, calendar_id, access_token, deadline)
            took = self._clock() - began
            return answer

        tries = repeat(
            once,
            worth=lambda answer: answer.meaning in _WORTH_REPEATING,
            asked=lambda answer: answer.retry_after,
            fits=lambda pause: self._clock() + pause + max(took, LEAST_TRY) <= deadline,
            stop=self._stop,
            sleep=self._sleep,
        )
        if len(tries) > 1 and tries[-1].meaning is Meaning.OUT_OF_BUDGET:
            tries.pop()  # there was nothing left for a repeat, so the answer before stands
        return replace(
            tries[-1],
            earlier_unknown=not isinstance(call, Read) and any(earlier.outcome_unknown for earlier in tries[:-1]),
            requests=sum(one.requests for one in tries),
        )

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def _try(self, call: Call, calendar_id: str, access_token: str, deadline: float) -> Answer:
        """Make one HTTP request."""
        if self._clock() >= deadline:
            return Answer(Meaning.NOT_SENT, message="the deadline had passed")
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
        body = _body(call)
        if body is not None:
            headers["Content-Type"] = "application/json"
        if isinstance(call, Update | Delete):
            headers["If-Match"] = call.etag
        meter, answered = payer(), False
        if not meter.take():
            return Answer(Meaning.OUT_OF_BUDGET, message="out of quota")
        began = self._clock()  # what was waited for the quota is no part of the request
        try:
            reply = self._transport.send(
                _METHODS[type(call)],
                self._url(call, calendar_id),
                headers=headers,
                body=body,
                deadline=min(deadline, began + self._request_timeout),
            )
            answered = True
        except NotSentError as failure:
            answered = True  # as good as
            return Answer(Meaning.NOT_SENT, message=str(failure))
        except NoReplyError as failure:
            return Answer(Meaning.NO_ANSWER, message=str(failure), requests=1)
        finally:
            meter.over(answered=answered)
        # Nothing of a refusal may repeat the token to a log, whoever wrote the refusal.
        text = reply.body if reply.status < 300 else reply.body.replace(access_token.encode(), b"[token]")
        answer = read_answer(
            reply.status,
            reply.headers,
            text,
            expects=_EXPECTED.get(type(call), Body.EVENT),
            now=datetime.now(UTC),
        )
        return replace(answer, requests=1)

    def _url(self, call: Call, calendar_id: str) -> str:
        events = f"{self._base_url}/calendars/{quote(calendar_id, safe='')}/events"
        match call:
            case Insert():
                return f"{events}?sendUpdates=none&prettyPrint=false"
            case Read():
                return f"{events}/{quote(call.event_id, safe='')}?prettyPrint=false"
            case Update():
                # Without these Google takes what the body says of attachments and labels for nothing, and clears them.
                attachments = "&supportsAttachments=true" if "attachments" in call.body else ""
                label = "&eventLabelVersion=1" if "eventLabelId" in call.body else ""
                event = quote(call.event_id, safe="")
                return f"{events}/{event}?sendUpdates=none&prettyPrint=false{attachments}{label}"
            case Probe():
                return f"{events}?maxResults=1&fields=accessRole&prettyPrint=false"
            case Delete():
                return f"{events}/{quote(call.event_id, safe='')}?sendUpdates=none&prettyPrint=false"


def _body(call: Call) -> bytes | None:
    match call:
        case Insert():
            # Whatever the body says: an event under an id of Google's choosing could not be found again.
            return json.dumps({**call.body, "id": call.event_id}).encode()
        case Update():
            return json.dumps(dict(call.body)).encode()
        case Read() | Delete() | Probe():
            return None
