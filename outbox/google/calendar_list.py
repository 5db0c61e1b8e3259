"""The calendars in a Google account's list, for a user to choose from."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeGuard
from urllib.parse import quote, urlencode

from tenacity import sleep_using_event

from outbox.bound import is_zone
from outbox.google.client import LEAST_TRY, repeat
from outbox.google.deadline import NoReplyError, NotSentError, Transport
from outbox.google.meaning import Answer, Body, Meaning, read_answer
from outbox.google.metering import FREE, Meter
from outbox.text import clean_line, clip, is_visible

TOTAL_SECONDS = 10.0
"""For one question with all its pages and repeats: a user is waiting."""

REQUEST_SECONDS = 5.0
"""For one HTTP request, so that one that hangs leaves time for another."""

MOST_PAGES = 40
"""Of 250 calendars each; more than anybody can choose from."""

LONGEST_ID = 1024
"""Characters of a calendar's id; Google's own have far fewer."""

LONGEST_NAME = 300
"""Characters of a name that are kept."""

_WRITING_ROLES = ("owner", "writer", "writerWithoutPrivateAccess")
"""The last one may write all that is not private, and our events are not."""

_OF_PATHS = frozenset(" /\\")
"""In no calendar's id. A server in between might decode them and find another path."""

_WORTH_REPEATING = frozenset({Meaning.UNAVAILABLE, Meaning.NO_ANSWER, Meaning.NOT_SENT, Meaning.RATE_LIMITED})


@dataclass(frozen=True, slots=True)
class ListedCalendar:
    """A calendar as it stands in a user's list.

    Attributes:
        id: the real one, never "primary"; that of the primary calendar is the account's address.
        name: the user's own name for it, else its title, else the id; one line, never empty.
        primary: the account's main calendar.
        writable: its owner lets the account put events into it.
        owned: it is the account's own.
        time_zone: IANA; None if Google names none.
    """

    id: str
    name: str
    primary: bool
    writable: bool
    owned: bool
    time_zone: str | None


class CalendarList:
    """Reads calendar lists. Threads may share it; it raises nothing for what Google or the network does."""

    def __init__(
        self,
        base_url: str,
        *,
        stop: threading.Event,
        user_agent: str,
        total_seconds: float = TOTAL_SECONDS,
        meter: Meter = FREE,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        """`base_url`: the API base, `https://www.googleapis.com/calendar/v3`. `total_seconds`: for one method's call.
        `meter` counts the requests. `stop` ends the waits between tries; `sleep` is for tests.
        """
        self._entries_url = f"{base_url.rstrip('/')}/users/me/calendarList"
        self._stop = stop
        self._total_seconds = total_seconds
        self._meter = meter
        self._sleep = sleep or sleep_using_event(stop)
        # Google compresses only for agents that say so here too.
        self._transport = Transport(user_agent=f"{user_agent} (gzip)")

    def writable(self, access_token: str) -> list[ListedCalendar] | Answer:
        """Every calendar that can be written to, the primary one first, then by name; or Google's refusal."""
        deadline = time.monotonic() + self._total_seconds
        found: dict[str, ListedCalendar] = {}
        seen: set[str] = set()
        page_token: str | None = None
        while len(seen) < MOST_PAGES:
            page = {} if page_token is None else {"pageToken": page_token}
            query = urlencode({"minAccessRole": "writer", "maxResults": 250, "prettyPrint": "false", **page})
            answer = self._get(f"{self._entries_url}?{query}", access_token, deadline)
            if answer.resource is None:
                return answer
            for calendar in _entries(answer.resource):
                found.setdefault(calendar.id, calendar)
            page_token = _next_page(answer.resource)
            if page_token is None or page_token in seen:
                break
            seen.add(page_token)
        return sorted(
            (calendar for calendar in found.values() if calendar.writable),
            key=lambda calendar: (not calendar.primary, calendar.name.casefold(), calendar.id),
        )

    def get(self, access_token: str, calendar_id: str) -> ListedCalendar | Answer:
        """One calendar of the user's list ("primary" is understood), or Google's refusal: NOT_FOUND if it is not in it.

        `calendar_id`: neither empty nor "." nor "..".
        """
        url = f"{self._entries_url}/{quote(calendar_id, safe='')}?prettyPrint=false"
        answer = self._get(url, access_token, time.monotonic() + self._total_seconds)
        if answer.resource is None:
            return answer
        calendar = _read_entry(answer.resource)
        if calendar is None:
            return Answer(Meaning.UNAVAILABLE, answer.status, message="a success without the calendar")
        return calendar

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def _get(self, url: str, access_token: str, deadline: float) -> Answer:
        tries = repeat(
            lambda: self._try(url, access_token, deadline),
            worth=lambda answer: answer.meaning in _WORTH_REPEATING,
            asked=lambda answer: answer.retry_after,
            fits=lambda pause: time.monotonic() + pause + LEAST_TRY <= deadline,
            stop=self._stop,
            sleep=self._sleep,
        )
        return replace(tries[-1], requests=sum(one.requests for one in tries))

    def _try(self, url: str, access_token: str, deadline: float) -> Answer:
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
        answered = False
        if not self._meter.take():
            return Answer(Meaning.OUT_OF_BUDGET, message="out of quota")
        try:
            by = min(deadline, time.monotonic() + REQUEST_SECONDS)
            reply = self._transport.send("GET", url, headers=headers, deadline=by)
            answered = True
        except NotSentError as failure:
            answered = True  # as good as
            return Answer(Meaning.NOT_SENT, message=str(failure))
        except NoReplyError as failure:
            return Answer(Meaning.NO_ANSWER, message=str(failure), requests=1)
        finally:
            self._meter.over(answered=answered)
        # Nothing of a refusal may repeat the token, whoever wrote the refusal.
        text = reply.body if reply.status < 300 else reply.body.replace(access_token.encode(), b"[token]")
        answer = read_answer(reply.status, reply.headers, text, expects=Body.CALENDAR, now=datetime.now(UTC))
        return replace(answer, requests=1)


def _entries(page: Mapping[str, Any]) -> Iterator[ListedCalendar]:
    items = page.get("items")
    for item in items if isinstance(items, list) else ():
        calendar = _read_entry(item) if isinstance(item, dict) else None
        if calendar is not None:
            yield calendar


def _read_entry(entry: Mapping[str, Any]) -> ListedCalendar | None:
    """None for what has no id to work with, and for a calendar that is deleted."""
    calendar_id = entry.get("id")
    if not is_calendar_id(calendar_id) or calendar_id == "primary" or entry.get("deleted") is True:
        return None
    names = (_line(entry.get("summaryOverride")), _line(entry.get("summary")), _line(calendar_id))
    zone = entry.get("timeZone")
    return ListedCalendar(
        id=calendar_id,
        name=next(name for name in names if name),
        primary=entry.get("primary") is True,
        writable=entry.get("accessRole") in _WRITING_ROLES,
        owned=entry.get("accessRole") == "owner",
        time_zone=zone if isinstance(zone, str) and is_zone(zone) else None,
    )


def is_calendar_id(value: object) -> TypeGuard[str]:
    """Whether it can be a calendar's id: printable, of bearable length, nothing that leads out of a URL's path."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_ID:
        return False
    return value.isprintable() and _OF_PATHS.isdisjoint(value) and value not in (".", "..")


def _line(value: object) -> str:
    """One line that every database and page can hold; "" if there is nothing to see."""
    if not isinstance(value, str):
        return ""
    line = clean_line(value.encode("utf-8", "replace").decode())
    return clip(line, LONGEST_NAME) if is_visible(line) else ""


def _next_page(page: Mapping[str, Any]) -> str | None:
    token = page.get("nextPageToken")
    return token if isinstance(token, str) and 0 < len(token) <= 4096 and token.isascii() else None
