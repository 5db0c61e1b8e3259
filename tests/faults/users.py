"""Users who do what users do while everything goes wrong, each by the web app, until it has been done."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import requests

from tests.faults.database import Database
from web.api.paths import API
from web.demo.consent import Caller, ConsentError, Http, connect_person, give_consent
from web.demo.people import Person
from web.demo.stage import Stage

DONE_SECONDS = 90.0
"""How long a user goes on trying."""


class NotDoneError(RuntimeError):
    """The web app did not do what a user wanted, however often it was asked."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user has chosen."""

    calendar_id: str
    job_filter: str = "all"
    paused: bool = False

    def wants(self, payload: Any, user_id: str) -> bool:
        """Whether a job of that payload belongs on the user's calendar."""
        return self.job_filter == "all" or user_id in (payload.get("assigned_user_ids") or ())


class Member:
    """A user with a wish, who sees to it that the connection is as wished. One thing at a time."""

    def __init__(self, stage: Stage, http: Http, person: Person, database: Database) -> None:
        self.person = person
        self.wish = Wish(person.calendar_id or person.account.email)
        self._stage = stage
        self._http = http
        self._database = database
        self._turn = threading.Lock()

    @property
    def key(self) -> tuple[str, str]:
        """Tenant and user."""
        return self.person.user.tenant_id, self.person.user.user_id

    @property
    def caller(self) -> Caller:
        """The user, signed in."""
        return self._stage.caller(self._http, self.person.user)

    def connect(self) -> None:
        """Connect for the first time."""
        connect_person(self.caller, self.person)

    def switch_calendar(self, chance: random.Random) -> bool:
        """Choose another calendar of the account."""
        with self._turn:
            others = [calendar for calendar in self.person.calendars if calendar != self.wish.calendar_id]
            self._make(replace(self.wish, calendar_id=chance.choice(others)))
        return True

    def pause(self, chance: random.Random) -> bool:
        """Pause, and resume after some seconds."""
        with self._turn:
            self._make(replace(self.wish, paused=True))
            time.sleep(chance.uniform(1, 5))
            self._make(replace(self.wish, paused=False))
        return True

    def pause_for_good(self) -> None:
        """Pause, until `settle`."""
        with self._turn:
            self._make(replace(self.wish, paused=True))

    def change_filter(self, _chance: random.Random) -> bool:
        """From all jobs to those assigned, or back."""
        with self._turn:
            self._make(replace(self.wish, job_filter="assigned" if self.wish.job_filter == "all" else "all"))
        return True

    def resync(self, _chance: random.Random) -> bool:
        """Push everything again."""
        with self._turn:
            return self._until_done(lambda: self._ask("POST", f"{API}/resync"), refused=409)

    def send_test_push(self, _chance: random.Random) -> bool:
        """Send a test push, and go away."""
        with self._turn:
            return self._until_done(lambda: self._ask("POST", f"{API}/test-push"), refused=409)

    def revoke(self, chance: random.Random) -> bool:
        """Take the grant away at Google; come back some seconds later."""
        with self._turn:
            self._stage.sandbox.control("POST", "revoke", {"account": self.person.account.email})
            time.sleep(chance.uniform(1, 6))
            self._until_done(lambda: give_consent(self.caller, self.person.account.email))
            self._make(self.wish)
        return True

    def disconnect(self, chance: random.Random) -> bool:
        """Disconnect, and connect again some seconds later."""
        with self._turn:
            # What stays behind without removal is the user's own from then on, and nothing can be said about it.
            self._until_done(lambda: self._ask("POST", f"{API}/disconnect", {"remove_events": True}), refused=409)
            time.sleep(chance.uniform(0, 4))
            self._make(self.wish)
        return True

    def end_tokens(self, _chance: random.Random) -> bool:
        """The account's access tokens end."""
        answer = self._stage.sandbox.control("POST", "tokens/expire", {"account": self.person.account.email})
        return bool(answer["expired"])

    def settle(self) -> None:
        """See to it that everything is as wished."""
        with self._turn:
            self._make(replace(self.wish, paused=False))

    def _make(self, wish: Wish) -> None:
        self.wish = wish
        self._until_done(self._fulfil)

    def _fulfil(self) -> None:
        shown = self._ask("GET", API)
        if shown["state"] in ("not_connected", "needs_reconnect", "disconnecting"):
            give_consent(self.caller, self.person.account.email)
        wish = self.wish
        shown = self._ask(
            "PATCH", API, {"calendar_id": wish.calendar_id, "job_filter": wish.job_filter, "paused": wish.paused}
        )
        if shown["state"] != ("paused" if wish.paused else "active"):
            raise ConsentError(f"the connection is {shown['state']}")

    def _until_done(self, do: Callable[[], object], *, refused: int | None = None) -> bool:
        """Try until it is done; False if the app answers `refused`: it does not apply now."""
        ends = time.monotonic() + DONE_SECONDS
        while True:
            # A person would be told to wait; here that would only hide what comes after.
            self._database.insist("DELETE FROM calendar_sync.rate_limit")
            try:
                do()
            except (ConsentError, requests.RequestException) as error:
                if refused is not None and f"answered {refused}" in str(error):
                    return False
                if time.monotonic() > ends:
                    raise NotDoneError(f"{self.person.user.user_id}: {error}") from error
            else:
                return True
            time.sleep(0.5)

    def _ask(self, method: str, target: str, body: object = None) -> dict[str, Any]:
        return self.caller.ask(method, target, {} if body is None and method == "POST" else body)
