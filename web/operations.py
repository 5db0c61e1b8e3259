"""What a user can do with the connection: the one place for the JSON API and for the page's forms."""

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from psycopg_pool import ConnectionPool

from outbox import connection_view, connections, testpush
from outbox.access import Access, UserGrant
from outbox.connection_view import ConnectionView, JobProblem
from outbox.connections import ChosenCalendar
from outbox.database import Connection
from outbox.google.calendar_list import CalendarList, is_calendar_id
from outbox.google.meaning import Answer, Meaning
from outbox.grants import Grants, Revocation
from outbox.installation import Installation
from outbox.statements import statement
from outbox.tally import Tally
from outbox.testpush import TestPush
from outbox.trouble import Broken, Trouble, trouble_in_answer
from outbox.user import User
from web import refusals
from web.capacity import GooglePlaces
from web.feed.feeds import Feeds, FeedView, NewFeed
from web.limits import LimitName, RateLimits
from web.problem import Problem
from web.redemption import writes_owned_only

_PROBLEM_ID = re.compile(r"[0-9]{1,20}")
_LARGEST_PROBLEM_ID = 2**63 - 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PickerCalendar:
    """A calendar to choose from.

    Attributes:
        primary: the account's main calendar.
        chosen: the one that the user has now.
        colleagues: somebody else of the tenant has chosen it.
    """

    id: str
    name: str
    primary: bool
    chosen: bool
    colleagues: bool


class Operations:
    """Everything that a signed-in user can do. Threads may share it; every refusal is a `web.problem.Problem`."""

    def __init__(
        self,
        pool: ConnectionPool[Connection],
        *,
        access: Access,
        grants: Grants,
        calendars: CalendarList,
        feeds: Feeds,
        limits: RateLimits,
        places: GooglePlaces,
        tally: Tally,
        installation: Installation,
    ) -> None:
        """`places`: of this process, among those who wait for Google. `tally`: of the requests made of it.
        `installation`: whether grants may be used that are stored here.
        """
        self._pool = pool
        self._access = access
        self._grants = grants
        self._calendars = calendars
        self._feeds = feeds
        self._limits = limits
        self._places = places
        self._tally = tally
        self._installation = installation

    def connection(self, user: User) -> ConnectionView:
        """The user's connection as it is now."""
        return connection_view.read_connection(self._pool, user)

    def calendars(self, user: User) -> list[PickerCalendar]:
        """The calendars that the user can choose from, asked of Google at this moment."""
        grant = self._grant(user)
        listed = self._ask(grant, self._calendars.writable)
        if isinstance(listed, Answer):
            raise refusals.of_calendar_list(listed)
        chosen = self.connection(user).calendar_id
        colleagues = connection_view.colleagues_calendars(self._pool, user)
        return [
            PickerCalendar(
                id=calendar.id,
                name=calendar.name,
                primary=calendar.primary,
                chosen=calendar.id == chosen,
                colleagues=calendar.id in colleagues,
            )
            for calendar in listed
            if calendar.owned or not writes_owned_only(grant.scopes)
        ]

    def colleague_on_calendar(self, user: User) -> bool:
        """Whether somebody else of the tenant syncs to the user's calendar, and stays there if the user disconnects."""
        with self._pool.connection() as connection:
            row = connection.execute(statement("web/colleague_on_calendar"), user.key).fetchone()
        return row == (True,)

    def change(
        self,
        user: User,
        *,
        calendar_id: str | None = None,
        job_filter: Literal["all", "assigned"] | None = None,
        paused: bool | None = None,
    ) -> ConnectionView:
        """Change what is given and leave the rest; all of it or nothing. "primary" is understood as a calendar.

        What it has much work done for, another calendar or filter, is rationed; what is as it was costs nothing.
        """
        grant = self._access.read_grant(user) if calendar_id is None else self._grant(user)
        calendar, grant_version = None, None
        if grant is not None and calendar_id is not None:
            calendar, grant_version = self._choosable(grant, calendar_id), grant.grant_version
        if grant is not None and _is_much_work(grant, calendar, job_filter):
            self._take("change", user)
        with refusals.of_engine():
            connections.change_preferences(
                self._pool, user, calendar=calendar, grant_version=grant_version, job_filter=job_filter, paused=paused
            )
        return self.connection(user)

    def disconnect(self, user: User, *, remove_events: bool) -> Revocation:
        """Forget the user's grant, whatever Google says to it; with `remove_events` once our events are gone."""
        self._take("disconnect", user)
        self._need_own_grants()
        with self._places.place(), refusals.of_engine():
            return self._grants.disconnect(user, remove_events=remove_events)

    def start_test_push(self, user: User) -> TestPush:
        """Send a test event along the whole way."""
        self._take("test_push", user)
        with refusals.of_engine():
            return testpush.request_test_push(self._pool, user)

    def test_push(self, user: User, test_push_id: str) -> TestPush:
        """How far a test push of this user has come."""
        known = testpush.read_test_push(self._pool, user, test_push_id) if _is_uuid(test_push_id) else None
        if known is None:
            raise Problem(404, "unknown_test_push", "There is no such test", "Start a new one.")
        return known

    def latest_test_push(self, user: User) -> TestPush | None:
        """The user's last one; None if there was none lately."""
        return testpush.latest_test_push(self._pool, user)

    def resync(self, user: User) -> int:
        """Push everything again; returns how many jobs will be looked at."""
        self._take("resync", user)
        with refusals.of_engine():
            return connections.resync(self._pool, user)

    def problems(self, user: User) -> list[JobProblem]:
        """What could not be pushed to the user's calendar."""
        return connection_view.read_problems(self._pool, user)

    def retry_problem(self, user: User, problem_id: str) -> None:
        """Try a job again that could not be pushed."""
        known = _PROBLEM_ID.fullmatch(problem_id) is not None and int(problem_id) <= _LARGEST_PROBLEM_ID
        if not known or not connections.retry_problem(self._pool, user, problem_id):
            raise Problem(
                404, "unknown_problem", "There is no such problem any more", "It may have been solved already."
            )

    def feed(self, user: User) -> FeedView | None:
        """The user's iCalendar feed; None if there is none. Nobody is told its address any more."""
        return self._feeds.read(user)

    def renew_feed(
        self, user: User, *, job_filter: Literal["all", "assigned"] | None = None, instead_of: str | None = None
    ) -> NewFeed:
        """Make the user's feed, or another address for it; a filter that is not given stays as it is.

        Raises:
            FeedChangedError: there is another address by now than the one that `instead_of` names.
        """
        self._take("feed", user)
        return self._feeds.renew(user, job_filter, instead_of=instead_of)

    def set_feed_filter(self, user: User, job_filter: Literal["all", "assigned"]) -> None:
        """Which jobs the user's feed shows; raises FeedChangedError if there is none."""
        self._feeds.set_filter(user, job_filter)

    def revoke_feed(self, user: User) -> None:
        """End the user's feed."""
        self._feeds.revoke(user)

    def _choosable(self, grant: UserGrant, calendar_id: str) -> ChosenCalendar:
        """The calendar in the user's own list, by its real id and name."""
        if not is_calendar_id(calendar_id):
            raise refusals.unknown_calendar()
        answer = self._ask(grant, lambda token: self._calendars.get(token, calendar_id))
        if isinstance(answer, Answer):
            raise refusals.of_chosen_calendar(answer)
        if not answer.writable:
            raise refusals.calendar_not_writable()
        if not answer.owned and writes_owned_only(grant.scopes):
            raise refusals.calendar_not_owned()
        return ChosenCalendar(answer.id, answer.name)

    def _grant(self, user: User) -> UserGrant:
        """The user's grant, if it can be used."""
        grant = self._access.read_grant(user)
        if grant is None or grant.state in ("not_connected", "disconnecting"):
            raise refusals.not_connected()
        if grant.state == "needs_reconnect":
            raise refusals.reconnect_needed()
        return grant

    def _take(self, name: LimitName, user: User) -> None:
        self._limits.take(name, json.dumps(user.key))

    def _ask(self, grant: UserGrant, question: Callable[[str], T | Answer]) -> T | Answer:
        """Ask Google with the user's token, and once more with a new one if it is not taken."""
        self._take("calendars", User(grant.tenant_id, grant.user_id))
        self._need_own_grants()
        with self._places.place(), self._tally.on_behalf_of(grant.account_id, grant.connection_id):
            answer = question(self._token(grant))
            if isinstance(answer, Answer) and answer.meaning is Meaning.UNAUTHORIZED:
                answer = question(self._token(grant, refused=True))
        if isinstance(answer, Answer) and answer.meaning in (Meaning.UNAUTHORIZED, Meaning.SCOPE_MISSING):
            self._access.record_trouble(grant, trouble_in_answer(answer, 0))
            raise refusals.reconnect_needed()
        return answer

    def _need_own_grants(self) -> None:
        """In a copied database nobody's grant is used or revoked: it is the original's users who would lose theirs."""
        if (refusal := self._installation.refusal()) is not None:
            raise refusals.not_configured(refusal)

    def _token(self, grant: UserGrant, *, refused: bool = False) -> str:
        token = self._access.access_token(grant, refused=refused)
        if isinstance(token, str):
            return token
        raise self._without_token(grant, token)

    def _without_token(self, grant: UserGrant, trouble: Trouble) -> Problem:
        if isinstance(trouble, Broken):
            self._access.record_trouble(grant, trouble)
            return refusals.reconnect_needed()
        if trouble.operators_matter:
            return refusals.not_configured(trouble.reason)
        return refusals.google_unavailable(trouble.seconds)


def _is_much_work(grant: UserGrant, calendar: ChosenCalendar | None, job_filter: str | None) -> bool:
    """Whether every job has to be looked at again: a calendar that is only named anew, or the same filter, is none."""
    if calendar is not None and (calendar.id != grant.calendar_id or grant.state != "active"):
        return True
    return job_filter not in (None, grant.job_filter)


def _is_uuid(text: str) -> bool:
    """Whether it is one as we spell them."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
