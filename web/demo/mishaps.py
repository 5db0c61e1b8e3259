"""What the demo can do to itself: kill daemons, have Google cut connections, and watch what a reader would see."""

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

import requests

from web.demo.tether import TetheredProcess


class DaemonKiller:
    """Kills a random daemon (SIGKILL) at random moments and starts another in its place."""

    def __init__(
        self, daemons: list[TetheredProcess], start: Callable[[], TetheredProcess], *, kills: int, chance: random.Random
    ) -> None:
        self._daemons = daemons
        self._start = start
        self._left = kills
        self._chance = chance
        self.killed = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="daemon-killer")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """No more kills."""
        self._stop.set()
        self._thread.join()

    @property
    def done(self) -> bool:
        """Whether every kill has been made."""
        return self._left == 0

    def _run(self) -> None:
        while self._left and not self._stop.wait(self._chance.uniform(0.5, 3.0)):
            place = self._chance.randrange(len(self._daemons))
            victim = self._daemons[place]
            os.kill(victim.pid, signal.SIGKILL)
            victim.wait(30)
            victim.stop()
            self._daemons[place] = self._start()
            self.killed += 1
            self._left -= 1


class Reader:
    """Reads calendars over and over, as a person with the page open would, and counts jobs seen twice in one."""

    def __init__(
        self, read: Callable[[str], Iterable[dict[str, Any]]], calendars: Iterable[str], *, pause: float = 0.2
    ) -> None:
        """`pause`: seconds between one look at all of them and the next."""
        self._read = read
        self._calendars = list(calendars)
        self._pause = pause
        self.duplicates = 0
        self.readings = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the reading under way."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            for calendar in self._calendars:
                self.duplicates += count_duplicates(self._read(calendar))
                self.readings += 1


def count_duplicates(events: Iterable[dict[str, Any]]) -> int:
    """How many live events stand beside another one of the same job."""
    jobs = Counter(
        mark
        for event in events
        if event.get("status") != "cancelled"
        and (mark := event.get("extendedProperties", {}).get("private", {}).get("calendarSyncJob"))
    )
    return sum(count - 1 for count in jobs.values())


def read_calendar(calendar_url: str, token: str, calendar: str) -> list[dict[str, Any]]:
    """Every event that a reader of the calendar is shown, over the API, page by page."""
    events: list[dict[str, Any]] = []
    page_token: str | None = None
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        while True:
            page = session.get(
                f"{calendar_url}/calendars/{quote(calendar, safe='')}/events",
                params={"maxResults": "2500", "pageToken": page_token},
                timeout=60,
            )
            page.raise_for_status()
            content = page.json()
            events += content["items"]
            page_token = content.get("nextPageToken")
            if page_token is None:
                return events
