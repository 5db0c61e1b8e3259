"""Forgetting a user or a tenant: feeds go first, then the events, if that is asked, then the grants, then every row."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event

import psycopg
from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from outbox.connections import TENANT_BUSY, tenants_wishes
from outbox.database import Connection
from outbox.grants import AbandonedGrant, AccountBusyError, Grants
from outbox.ledger import account_scope
from outbox.statements import statement
from outbox.user import User
from outbox.verbs.forgotten import EventsLeft, Forgotten, Whose, WhyLeft, count_ends

MOST_TRIES = 5
"""Somebody may connect between the end of the last grant and the erasure: then that grant has to end too."""

NOTHING_ERASED = "nothing but calendar feeds was erased"
"""As an operator is told it."""


class NotForgottenError(Exception):
    """Nothing but feeds was erased; the text says why, and it can be repeated."""


@dataclass(frozen=True, slots=True)
class _Event:
    """An event of ours, with what is to say of its calendar."""

    calendar_id: str
    event_id: str
    shared: bool
    no_access: bool
    lost: bool

    @property
    def key(self) -> tuple[str, str]:
        return self.calendar_id, self.event_id


@dataclass(frozen=True, slots=True)
class _Calendar:
    """A calendar in use; once for each user."""

    calendar_id: str
    no_access: bool


@dataclass(frozen=True, slots=True)
class _Granted:
    """Somebody whose grant has not ended: whether events are being removed with it, or nothing more can be."""

    user_id: str
    account_id: str | None
    emptying: bool
    cannot_empty: bool


class Removal:
    """The removal of events that goes before. Begun here; carried through by whatever daemon runs.

    Attributes:
        events: those of ours that their calendars may have shown when it began: calendar and event id.
        calendars: those that were in use.
        without_access: those of them with which nothing could be done from the start.
        accounts: by user the last one, of everybody whose grant had not ended.
        all_accounts: those and the ones before them.
        feeds: how many calendar feeds were closed, which is done before anything else.
    """

    def __init__(self, pool: ConnectionPool[Connection], grants: Grants, whose: Whose) -> None:
        """Begin it, for every connection that can still write."""
        self._pool = pool
        self._grants = grants
        self._whose = whose
        self.events: set[tuple[str, str]] = set()
        self.calendars: set[str] = set()
        self.without_access: set[str] = set()
        self.accounts: dict[str, str | None] = {}
        self.all_accounts: set[str | None] = set()
        self.feeds = _close_feeds(pool, whose)
        self._note_events()
        self.go_on()

    def go_on(self) -> int:
        """Begin again for whoever connected meanwhile; how many connections are left."""
        granted = _granted(self._pool, self._whose)
        self.accounts |= {one.user_id: one.account_id for one in granted}
        self.all_accounts.update(self.accounts.values())
        if come := [one.user_id for one in granted if not (one.emptying or one.cannot_empty)]:
            self._note_events()
        for user_id in come:
            try:
                self._grants.disconnect(User(self._whose.tenant_id, user_id), remove_events=True)
            except (AccountBusyError, *TENANT_BUSY):
                continue  # the next time
        return self.left()

    def left(self) -> int:
        """How many connections have not ended but could: one with a dead grant is done with."""
        return len([one for one in _granted(self._pool, self._whose) if not one.cannot_empty])

    def waiting(self) -> int:
        """How many jobs are still to be looked at in their calendars."""
        with self._pool.connection() as connection:
            row = connection.execute(statement("forget/count_waiting"), self._whose.key).fetchone()
        return 0 if row is None else int(row[0])

    def _note_events(self) -> None:
        with self._pool.connection() as connection:
            self.events |= {event.key for event in _events(connection, self._whose)}
        for calendar in _calendars(self._pool, self._whose):
            self.calendars.add(calendar.calendar_id)
            if calendar.no_access:
                self.without_access.add(calendar.calendar_id)


def forget(
    pool: ConnectionPool[Connection],
    grants: Grants,
    tenant_id: str,
    user_id: str | None = None,
    *,
    removal: Removal | None = None,
    stop: Event | None = None,
) -> Forgotten:
    """End every grant of a user, or of a tenant (`user_id` None), and erase every row. Harmless to repeat.

    Args:
        removal: of the events, as far as it has come; None if they are to stay.
        stop: once it is set no further grant is ended, and nothing more erased.

    Raises:
        AccountBusyError: an account's turn did not come; nothing was erased but the feeds.
        NotForgottenError: somebody came between, whose events are to be removed, or came again and again; or `stop`
            was set.
    """
    whose = Whose(tenant_id, user_id)
    # Whoever has the address of a feed reads on until it is gone, whatever keeps the rest from being done.
    feeds = _close_feeds(pool, whose) + (0 if removal is None else removal.feeds)
    in_use = {calendar.calendar_id for calendar in _calendars(pool, whose)}
    accounts: dict[str, str | None] = {}
    all_accounts: set[str | None] = set()
    abandoned: list[tuple[str | None, str]] = []
    if removal is not None:
        in_use |= removal.calendars
        accounts |= removal.accounts
        all_accounts |= removal.all_accounts
    for _ in range(MOST_TRIES):
        try:
            granted = _granted(pool, whose)
            accounts |= {one.user_id: one.account_id for one in granted}
            all_accounts.update(accounts.values())
            if removal is not None and any(not one.cannot_empty for one in granted):
                raise NotForgottenError(f"somebody connected again during the removal; {NOTHING_ERASED}")
            for one in granted:
                _go_on(stop)
                grants.end(User(tenant_id, one.user_id))
            for grant in _abandoned(pool, whose):
                _go_on(stop)
                abandoned.append((grant.account_id, grants.revoke_abandoned(grant, last_try=True).value))
            _go_on(stop)
            with tenants_wishes(pool, tenant_id) as connection:
                connection.execute(statement("forget/take_time"))
                ended = [(accounts[user], end) for user, end in _ends(connection, whose) if user in accounts]
                left = _events(connection, whose)
                rows = _erase(connection, whose, all_accounts | dict(abandoned).keys(), feeds)
        except (psycopg.errors.ObjectInUse, psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable):
            continue  # somebody connected meanwhile; or somebody else held the same rows
        return Forgotten(
            events_removed=0 if removal is None else len(removal.events - {event.key for event in left}),
            events_left=tuple(_why_left(left, in_use, removal)),
            grants=count_ends([*ended, *abandoned]),
            rows=rows,
            job_rows_since=_job_rows(pool, whose),
        )
    raise NotForgottenError(f"somebody connected, or held the same rows, again and again; {NOTHING_ERASED}")


def _go_on(stop: Event | None) -> None:
    if stop is not None and stop.is_set():
        raise NotForgottenError(f"stopped; {NOTHING_ERASED}")


def _abandoned(pool: ConnectionPool[Connection], whose: Whose) -> list[AbandonedGrant]:
    with pool.connection() as connection:
        return [AbandonedGrant(*row) for row in connection.execute(statement("forget/read_abandoned"), whose.key)]


def _granted(pool: ConnectionPool[Connection], whose: Whose) -> list[_Granted]:
    with pool.connection() as connection, connection.cursor(row_factory=class_row(_Granted)) as cursor:
        return cursor.execute(statement("forget/read_granted"), whose.key).fetchall()


def _calendars(pool: ConnectionPool[Connection], whose: Whose) -> list[_Calendar]:
    with pool.connection() as connection, connection.cursor(row_factory=class_row(_Calendar)) as cursor:
        return cursor.execute(statement("forget/read_calendars"), whose.key).fetchall()


def _events(connection: Connection, whose: Whose) -> list[_Event]:
    with connection.cursor(row_factory=class_row(_Event)) as cursor:
        return cursor.execute(statement("forget/read_events"), whose.key).fetchall()


def _ends(connection: Connection, whose: Whose) -> list[tuple[str, str]]:
    """By user, what became of his last grant, whoever ended it."""
    return connection.execute(statement("forget/read_revocations"), whose.key).fetchall()


def _close_feeds(pool: ConnectionPool[Connection], whose: Whose) -> int:
    with pool.connection() as connection:
        return connection.execute(statement("forget/close_feeds"), whose.key).rowcount


def _erase(connection: Connection, whose: Whose, accounts: set[str | None], feeds: int) -> dict[str, int]:
    """Erase all that is left; how many rows of which table went, with the feeds that went before."""
    name = "forget/erase_tenant" if whose.user_id is None else "forget/erase_user"
    rows: Counter[str] = Counter(dict(connection.execute(statement(name), whose.key).fetchall()))
    rows["calendar_feed"] += feeds
    scopes = [account_scope(account, 0) for account in accounts if account]
    rows["quota"] = connection.execute(statement("forget/erase_quotas"), {"scopes": scopes}).rowcount
    return {table: erased for table, erased in sorted(rows.items()) if erased}


def _why_left(left: list[_Event], in_use: set[str], removal: Removal | None) -> Iterator[EventsLeft]:
    events = Counter(event.calendar_id for event in left)
    for calendar_id, one in sorted({event.calendar_id: event for event in left}.items()):
        yield EventsLeft(calendar_id, events[calendar_id], _why(one, in_use, removal))


def _why(event: _Event, in_use: set[str], removal: Removal | None) -> WhyLeft:
    if event.shared:
        return "shared"
    if event.calendar_id not in in_use:
        return "earlier"
    if removal is None:
        return "kept"
    if event.lost:
        return "lost"
    return "no_access" if event.no_access or event.calendar_id in removal.without_access else "not_removed"


def _job_rows(pool: ConnectionPool[Connection], whose: Whose) -> int:
    if whose.user_id is not None:
        return 0
    with pool.connection() as connection:
        row = connection.execute(statement("forget/count_jobs"), whose.key).fetchone()
    return 0 if row is None else int(row[0])
