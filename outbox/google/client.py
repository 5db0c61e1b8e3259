"""Google's Calendar API over HTTP: calls in, an answer to each out, repeated for seconds where that is safe.

Every call may be repeated because its effect is fixed beforehand: ids are chosen by us, updates name the etag they
replace, and a deleted event can only be deleted again.
"""

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlsplit

from prometheus_client import Histogram
from tenacity import RetryCallState, Retrying, retry_if_result, sleep_using_event, wait_exponential, wait_random

from outbox.google.batch import decode, encode
from outbox.google.calls import Call, Delete, Insert, Probe, Read, Update
from outbox.google.deadline import NoReplyError, NotSentError, Reply, Transport
from outbox.google.meaning import OF_WHOEVER_CALLS, Answer, Body, Meaning, read_answer
from outbox.google.metering import Payment, payment
from outbox.google.request import HttpRequest, request_for
from outbox.metrics import LIMITED, REQUESTS

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

PART_SECONDS = 0.2
"""Seconds more than for one call that a batch may take for each of its calls."""

_CROWDED = frozenset({Meaning.RATE_LIMITED, Meaning.CONFLICT})
"""So many calls at once were too many for Google, or for the calendar."""

_EXPECTED = {Delete: Body.NOTHING, Probe: Body.CALENDAR}

_TIMED = {
    Insert: REQUESTS["insert"],
    Read: REQUESTS["get"],
    Update: REQUESTS["update"],
    Delete: REQUESTS["delete"],
    Probe: REQUESTS["list"],
}

_LIMITED = {
    Meaning.RATE_LIMITED: LIMITED["google_rate"],
    Meaning.USAGE_LIMITED: LIMITED["google_usage"],
    Meaning.PROJECT_LIMITED: LIMITED["google_day"],
}

_OUT_OF_BUDGET = Answer(Meaning.OUT_OF_BUDGET, message="out of quota")
_TOO_LATE = Answer(Meaning.NOT_SENT, message="the deadline had passed")
_LEFT_OUT = Answer(Meaning.NO_ANSWER, message="the answer to the batch lacks this part", requests=1)

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


@dataclass(frozen=True, slots=True)
class Together:
    """The answers to calls made together.

    Attributes:
        crowded: some were refused because they were too many at once.
        refused: the batch as such was not taken, so that nothing of it was done.
    """

    answers: Sequence[Answer]
    crowded: bool = False
    refused: bool = False


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
        url = urlsplit(base_url.rstrip("/"))
        self._origin, self._base_path = f"{url.scheme}://{url.netloc}", url.path
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
        [answer] = self._repeat(
            [call], lambda calls: [self._try(calls[0], calendar_id, access_token, deadline)], deadline
        )
        return answer

    def call_together(self, calls: Sequence[Call], *, calendar_id: str, access_token: str, deadline: float) -> Together:
        """Make calls in one request, in no promised order; the same for each of them as `call`. What is worth another
        try is tried again with the others of which that is true.
        """
        seen: set[Meaning] = set()
        refused = False

        def send(calls: Sequence[Call]) -> list[Answer]:
            nonlocal refused
            tried = self._try_together(calls, calendar_id, access_token, deadline)
            refused = refused or tried.refused
            seen.update(answer.meaning for answer in tried.answers)
            return list(tried.answers)

        answers = self._repeat(calls, send, deadline)
        return Together(answers, crowded=not seen.isdisjoint(_CROWDED), refused=refused)

    def _repeat(
        self, calls: Sequence[Call], send: Callable[[Sequence[Call]], list[Answer]], deadline: float
    ) -> list[Answer]:
        """Send the calls, and again what of them is worth it; the last answer to each."""
        tries: list[list[Answer]] = [[] for _ in calls]
        left, took = list(range(len(calls))), 0.0

        def once() -> list[Answer]:
            nonlocal left, took
            began = self._clock()
            answers = send([calls[number] for number in left])
            took = self._clock() - began
            for number, answer in zip(left, answers, strict=True):
                # Where there was nothing left for a repeat, the answer before stands.
                if not tries[number] or answer.meaning is not Meaning.OUT_OF_BUDGET:
                    tries[number].append(answer)
            worth = [
                (number, answer)
                for number, answer in zip(left, answers, strict=True)
                if answer.meaning in _WORTH_REPEATING
            ]
            left = [number for number, _ in worth]
            return [answer for _, answer in worth]

        repeat(
            once,
            worth=bool,
            asked=lambda answers: max((answer.retry_after or 0.0 for answer in answers), default=None),
            fits=lambda pause: self._clock() + pause + max(took, LEAST_TRY) <= deadline,
            stop=self._stop,
            sleep=self._sleep,
        )
        return [_summed_up(call, answers) for call, answers in zip(calls, tries, strict=True)]

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def _try(self, call: Call, calendar_id: str, access_token: str, deadline: float) -> Answer:
        """Make one HTTP request for one call."""
        if self._clock() >= deadline:
            return _TOO_LATE
        request = request_for(call, calendar_id, base_path=self._base_path)
        with payment(1) as paid:
            if not paid.units:
                return _OUT_OF_BUDGET
            deadline = min(deadline, self._clock() + self._request_timeout)
            reply = self._send(request, access_token, deadline, paid, _TIMED[type(call)])
        return (
            reply if isinstance(reply, Answer) else _read(call, reply.status, reply.headers, reply.body, access_token)
        )

    def _try_together(self, calls: Sequence[Call], calendar_id: str, access_token: str, deadline: float) -> Together:
        """Make one HTTP request for several calls, as many as there is quota for."""
        if self._clock() >= deadline:
            return Together([_TOO_LATE] * len(calls))
        with payment(len(calls)) as paid:
            sent, unpaid = calls[: paid.units], [_OUT_OF_BUDGET] * (len(calls) - paid.units)
            if not sent:
                return Together(unpaid)
            boundary = secrets.token_hex(16)
            batch = HttpRequest(
                "POST",
                f"/batch{self._base_path}",
                {"Content-Type": f"multipart/mixed; boundary={boundary}"},
                encode([request_for(call, calendar_id, base_path=self._base_path) for call in sent], boundary),
            )
            seconds = self._request_timeout + PART_SECONDS * len(sent)
            reply = self._send(batch, access_token, min(deadline, self._clock() + seconds), paid, REQUESTS["batch"])
        if isinstance(reply, Answer):
            return Together([reply] * len(sent) + unpaid)
        if reply.status != 200:
            answer = _of_batch(_read(sent[0], reply.status, reply.headers, reply.body, access_token))
            refused = 400 <= reply.status < 500 and answer.meaning not in OF_WHOEVER_CALLS
            return Together([answer] * len(sent) + unpaid, refused=refused)
        parts = decode(reply.headers.get("Content-Type", ""), reply.body)
        answers = [
            _read(call, part.status, part.headers, part.body, access_token)
            if (part := parts.get(number)) is not None
            else _LEFT_OUT
            for number, call in enumerate(sent)
        ]
        return Together(answers + unpaid)

    def _send(
        self, request: HttpRequest, access_token: str, deadline: float, paid: Payment, timed: Histogram
    ) -> Reply | Answer:
        """Make one HTTP request; the reply, or why there is none."""
        try:
            with timed.time():
                reply = self._transport.send(
                    request.method,
                    self._origin + request.target,
                    headers={
                        "Authorization": f"Bearer {access_token}",
                        "Accept": "application/json",
                        **request.headers,
                    },
                    body=request.body,
                    deadline=deadline,
                )
        except NotSentError as failure:
            paid.answered = True  # as good as
            return Answer(Meaning.NOT_SENT, message=str(failure))
        except NoReplyError as failure:
            return Answer(Meaning.NO_ANSWER, message=str(failure), requests=1)
        paid.answered = True
        return reply


def _read(call: Call, status: int, headers: Mapping[str, str], body: bytes, access_token: str) -> Answer:
    # Nothing of a refusal may repeat the token to a log, whoever wrote the refusal.
    text = body if status < 300 else body.replace(access_token.encode(), b"[token]")
    answer = read_answer(status, headers, text, expects=_EXPECTED.get(type(call), Body.EVENT), now=datetime.now(UTC))
    if (limited := _LIMITED.get(answer.meaning)) is not None:
        limited.inc()
    return answer


def _of_batch(refusal: Answer) -> Answer:
    """What a refusal of the batch as such means for each of its calls: no job is judged by it."""
    if refusal.meaning in OF_WHOEVER_CALLS or refusal.meaning is Meaning.UNAVAILABLE:
        return refusal
    if 400 <= (refusal.status or 0) < 500:
        return replace(refusal, meaning=Meaning.NOT_SENT, message=f"the batch was not taken: {refusal.message}")
    return replace(refusal, meaning=Meaning.UNAVAILABLE, resource=None)


def _summed_up(call: Call, tries: Sequence[Answer]) -> Answer:
    """The last try, and what it leaves open of those before."""
    if len(tries) == 1:
        return tries[0]
    return replace(
        tries[-1],
        earlier_unknown=not isinstance(call, Read) and any(earlier.outcome_unknown for earlier in tries[:-1]),
        requests=sum(one.requests for one in tries),
    )
