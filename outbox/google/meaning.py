"""What an answer of the Calendar API means: the one place where an HTTP answer becomes an outcome.

Pure: status, headers and body in, an `Answer` out; nothing that a server can send makes it raise.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

from outbox.google.calls import EventResource

MAX_RETRY_AFTER = 3600.0
"""Seconds; a longer Retry-After is cut to this, so that no answer can silence a calendar for good."""

MAX_TEXT = 300
"""Characters kept of Google's message (100 of its reason)."""


class Meaning(Enum):
    """What to make of one call; the values are metric labels."""

    DONE = "done"
    DUPLICATE = "duplicate"
    """409: the id is taken, by a live or a deleted event."""
    NOT_FOUND = "not_found"
    """404: no such event, or no such calendar for this user; Google says the same of both."""
    GONE = "gone"
    """410: deleted already."""
    CHANGED = "changed"
    """412: the etag is no longer the one we know."""
    UNAUTHORIZED = "unauthorized"
    SCOPE_MISSING = "scope_missing"
    CALENDAR_READ_ONLY = "calendar_read_only"
    NO_CALENDAR = "no_calendar"
    """Google Calendar is switched off for this account, or the account is suspended."""
    EVENT_REFUSED = "event_refused"
    RATE_LIMITED = "rate_limited"
    """Slow down for seconds to minutes."""
    USAGE_LIMITED = "usage_limited"
    """This user may not write for hours."""
    PROJECT_LIMITED = "project_limited"
    """Nobody may call until the project's day is over."""
    MISCONFIGURED = "misconfigured"
    """The project may not use the API at all: the operator's matter."""
    INVALID = "invalid"
    """The request itself can never succeed."""
    CONFLICT = "conflict"
    """409 without a taken id: the same request may pass a moment later."""
    UNAVAILABLE = "unavailable"
    """5xx, or an answer that is not the Calendar API's: outcome unknown."""
    NO_ANSWER = "no_answer"
    """Sent, at least in part, and no whole answer came back: outcome unknown."""
    NOT_SENT = "not_sent"
    """No byte of the request left: certainly nothing happened."""
    OUT_OF_BUDGET = "out_of_budget"
    """Not sent, because we have no unit of quota for it."""


OF_WHOEVER_CALLS = frozenset(
    {
        Meaning.UNAUTHORIZED,
        Meaning.SCOPE_MISSING,
        Meaning.NO_CALENDAR,
        Meaning.RATE_LIMITED,
        Meaning.USAGE_LIMITED,
        Meaning.PROJECT_LIMITED,
        Meaning.MISCONFIGURED,
    }
)
"""Refusals of the connection, its account or our client: of every call that it makes, and of no job."""


class Body(Enum):
    """What a success carries."""

    NOTHING = "nothing"
    EVENT = "the event"
    CALENDAR = "the calendar"


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one call, after its repeats."""

    meaning: Meaning
    status: int | None = None
    reason: str = ""
    """Google's own reason word, or ""."""
    message: str = ""
    """One clipped line that is safe to show."""
    resource: EventResource | None = field(default=None, repr=False)
    retry_after: float | None = None
    """Seconds that Google asked us to wait."""
    earlier_unknown: bool = False
    """An earlier try of this call may have had its effect, so that a refusal is not the whole truth."""
    requests: int = 0
    """HTTP requests made for it; each cost a quota unit."""

    @property
    def outcome_unknown(self) -> bool:
        """Whether the last try may or may not have had its effect."""
        return self.meaning in (Meaning.UNAVAILABLE, Meaning.NO_ANSWER)


_BY_REASON = {
    "rateLimitExceeded": Meaning.RATE_LIMITED,
    "userRateLimitExceeded": Meaning.RATE_LIMITED,
    "RATE_LIMIT_EXCEEDED": Meaning.RATE_LIMITED,
    "RESOURCE_EXHAUSTED": Meaning.RATE_LIMITED,
    "quotaExceeded": Meaning.USAGE_LIMITED,
    "dailyLimitExceeded": Meaning.PROJECT_LIMITED,
    "accessNotConfigured": Meaning.MISCONFIGURED,
    "SERVICE_DISABLED": Meaning.MISCONFIGURED,
    "insufficientPermissions": Meaning.SCOPE_MISSING,
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": Meaning.SCOPE_MISSING,
    "requiredAccessLevel": Meaning.CALENDAR_READ_ONLY,
    "notACalendarUser": Meaning.NO_CALENDAR,
    "forbiddenForNonOrganizer": Meaning.EVENT_REFUSED,
}
"""Meanings of a 403. "forbidden" and PERMISSION_DENIED are missing because a detail may say more."""

_TAKEN = frozenset({"duplicate", "ALREADY_EXISTS"})

_BY_STATUS = {404: Meaning.NOT_FOUND, 410: Meaning.GONE, 412: Meaning.CHANGED}

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class _Error:
    """What Google's error envelope says: its reasons, the most trusted one first."""

    reasons: tuple[str, ...]
    usage_limit: bool
    message: str


def read_answer(
    status: int, headers: Mapping[str, str], body: bytes, *, expects: Body, now: datetime | None = None
) -> Answer:
    """Say what the answer to one request means.

    `expects`: what a success carries. `now` (aware) dates a Retry-After where the answer itself
    has no Date.
    """
    succeeded = 200 <= status < 300
    if succeeded and expects is Body.NOTHING and not body:
        return Answer(Meaning.DONE, status, requests=1)
    payload = _parse(body)
    if succeeded and _is_expected(payload, expects):
        return Answer(Meaning.DONE, status, resource=payload, requests=1)
    retry_after = _retry_after(headers, now)
    if succeeded:
        # A 204 with something in it is somebody else's page, and the work may not have been done.
        wrong = "a success with a body" if expects is Body.NOTHING else f"a success without {expects.value}"
        return Answer(Meaning.UNAVAILABLE, status, message=wrong, retry_after=retry_after, requests=1)
    error = _read_error(payload)
    reason = _clean(_telling(error.reasons) if error else "", 100)
    message = _clean(error.message if error else "", MAX_TEXT) or f"HTTP {status}"
    return Answer(_judge(status, error), status, reason, message, retry_after=retry_after, requests=1)


def _judge(status: int, error: _Error | None) -> Meaning:
    """The meaning of a refusal."""
    if status == 429:
        return Meaning.RATE_LIMITED
    if status == 408 or not 400 <= status < 500 or error is None:
        # A bare page comes from a proxy or a wrong address. No job or connection may be given up on its word.
        return Meaning.UNAVAILABLE
    if status == 401:
        return Meaning.UNAUTHORIZED
    if status == 403:
        unknown = Meaning.RATE_LIMITED if error.usage_limit else Meaning.EVENT_REFUSED
        return next((_BY_REASON[reason] for reason in error.reasons if reason in _BY_REASON), unknown)
    if status == 409:
        return Meaning.CONFLICT if _TAKEN.isdisjoint(error.reasons) else Meaning.DUPLICATE
    return _BY_STATUS.get(status, Meaning.INVALID)


def _telling(reasons: tuple[str, ...]) -> str:
    """The reason to show: the first that we know, else the first."""
    return next((reason for reason in reasons if reason in _BY_REASON), reasons[0] if reasons else "")


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _is_expected(payload: Any, expects: Body) -> bool:
    match expects:
        case Body.NOTHING:
            return False
        case Body.EVENT:
            return _is_event(payload)
        case Body.CALENDAR:
            return isinstance(payload, dict)


def _is_event(payload: Any) -> bool:
    """Whether it can be worked with as an event: what has no etag could not be changed without risk."""
    return isinstance(payload, dict) and _is_word(payload.get("id")) and _is_word(payload.get("etag"))


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and value != "" and value.isascii() and value.isprintable()


def _read_error(payload: Any) -> _Error | None:
    """Google's error envelope: `errors[0]`, then ErrorInfo, then `status`; None where there is no envelope."""
    error = payload.get("error") if isinstance(payload, dict) else None
    if not isinstance(error, dict):
        return None
    first = next(_dicts(error.get("errors")), {})
    infos = [d for d in _dicts(error.get("details")) if str(d.get("@type", "")).endswith("google.rpc.ErrorInfo")]
    reasons = [first.get("reason"), *(info.get("reason") for info in infos), error.get("status")]
    messages = [error.get("message"), first.get("message")]
    return _Error(
        reasons=tuple(reason for reason in reasons if isinstance(reason, str) and reason),
        usage_limit=first.get("domain") == "usageLimits",
        message=next((text for text in messages if isinstance(text, str) and text), ""),
    )


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())


def _clean(text: str, limit: int) -> str:
    """One line that every log, database and page can hold: no control characters, no lone surrogates."""
    line = _CONTROL.sub(" ", text).strip().encode("utf-8", "replace").decode()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _retry_after(headers: Mapping[str, str], now: datetime | None) -> float | None:
    """Seconds to wait, from a number or from a date; None if not asked for, or not to be understood."""
    found = {name.lower(): value for name, value in headers.items() if name.lower() in ("retry-after", "date")}
    asked = found.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,12}", asked):
        seconds = float(asked)
    else:
        then, since = _http_date(asked), _http_date(found.get("date", "")) or now
        if then is None or since is None:
            return None
        seconds = (then - since).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
