"""Users of the web app while it is replaced: all their requests are counted, and how each was answered."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import requests

from tests.faults.users import Member
from web.api.paths import API, FEED, PAGE
from web.demo.consent import Caller, NetworkHttp, Reply

PAUSE_SECONDS = 0.2
"""Between two looks of a user."""


@dataclass(slots=True)
class Answers:
    """What was answered, as everybody counts it together."""

    requests: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    slowest: dict[str, float] = field(default_factory=dict)
    chapter: str = "before"
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str, status: int | None, seconds: float) -> None:
        """One request; `status` is None if no answer came."""
        with self.lock:
            self.requests += 1
            self.slowest[self.chapter] = max(seconds, self.slowest.get(self.chapter, 0.0))
            if status is None or status >= 500:
                self.failed.append(f"{self.chapter}: {what}: {status or 'no answer'}")
            elif status >= 400:
                self.refused[status] += 1


class CountedHttp:
    """The app over HTTP, each request over a connection of its own, as a proxy without keep-alive asks it."""

    def __init__(self, http: NetworkHttp, answers: Answers) -> None:
        self._http = http
        self._answers = answers

    def __call__(self, method: str, target: str, *, headers: Mapping[str, str], body: bytes = b"") -> Reply:
        """Ask, and count."""
        began, status = time.monotonic(), None
        try:
            reply = self._http(method, target, headers={**headers, "Connection": "close"}, body=body)
            status = reply.status
        finally:
            self._answers.count(f"{method} {urlsplit(target).path}", status, time.monotonic() - began)
        return reply


class Visitor:
    """A user who looks at everything over and over, and now and then changes something."""

    def __init__(self, member: Member, caller: Caller, answers: Answers, chance: random.Random) -> None:
        self._member = member
        self._caller = caller
        self._chance = chance
        self._answers = answers
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"visitor-{member.person.user.user_id}")
        self.deeds: Counter[str] = Counter()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is under way."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        feed = urlsplit(str(self._caller.ask("POST", FEED, {})["url"])).path
        deeds = (Member.change_filter, Member.switch_calendar, Member.resync, Member.send_test_push, Member.disconnect)
        while not self._stop.wait(PAUSE_SECONDS):
            try:
                for target in (PAGE, API, f"{API}/calendars", f"{API}/problems", FEED, feed):
                    self._caller.call("GET", target)
                if self._chance.random() < 0.3:
                    deed = self._chance.choice(deeds)
                    self.deeds[deed.__name__] += deed(self._member, self._chance)
            except requests.RequestException:
                continue  # it is counted
            except Exception as error:
                with self._answers.lock:
                    self._answers.failed.append(f"{self._member.key}: {error!r}")
                raise
