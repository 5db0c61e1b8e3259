"""Leaving a calendar or an account: when the removal of what was put there begins, and when it is done.

The removal itself is the pusher's, as of any job that nobody wants.
"""

import random
import time
from collections.abc import Callable
from typing import Any

import psycopg
import structlog
from psycopg.rows import class_row
from psycopg_pool import ConnectionPool, PoolTimeout

from outbox.connections import TENANT_BUSY, tenants_wishes
from outbox.database import Connection
from outbox.grants import AbandonedGrant, AccountBusyError, Grants
from outbox.statements import statement
from outbox.user import User

log = structlog.get_logger(__name__)

LEAVING_EVERY_SECONDS = 2.0
"""How late it is noticed that a calendar is filled or emptied."""

REVOKING_SECONDS = 10.0
"""No revocation is begun later than this in a round: Google may let each wait for long, and the calendars go on."""


class Leaving:
    """One round begins what can begin and ends what is done. What one user's trouble stops is tried again, later."""

    def __init__(self, pool: ConnectionPool[Connection], grants: Grants) -> None:
        self._pool = pool
        self._grants = grants
        self._busy: set[str] = set()

    def work(self) -> int:
        """Returns how many calendars have begun to be emptied."""
        self._busy.clear()
        for tenant_id, calendar_id, connection_id in self._read("leaving/emptied"):
            self._attempt(tenant_id, self._end_departure, tenant_id, calendar_id, connection_id)
        filled = self._read("leaving/filled")
        for tenant_id, calendar_id, connection_id in filled:
            self._attempt(tenant_id, self._begin_emptying, tenant_id, calendar_id, connection_id)
        self._revoke()
        return len(filled)

    def _revoke(self) -> None:
        """End the grants of those whose calendars are empty, and those given up for another account."""
        until = time.monotonic() + REVOKING_SECONDS
        nobody = {"tenant_id": None, "user_id": None}
        users = [User(*row) for row in self._read("leaving/done_disconnecting", nobody)]
        with self._pool.connection() as connection, connection.cursor(row_factory=class_row(AbandonedGrant)) as cursor:
            abandoned = cursor.execute(statement("leaving/read_abandoned")).fetchall()
        todo: list[tuple[str, Callable[..., object], Any]] = [
            *((user.tenant_id, self._end, user) for user in users),
            *((grant.tenant_id, self._grants.revoke_abandoned, grant) for grant in abandoned),
        ]
        random.shuffle(todo)  # so that one who makes everybody wait is not always the first
        for tenant_id, work, whose in todo:
            if time.monotonic() < until:
                self._attempt(tenant_id, work, whose)

    def _end(self, user: User) -> None:
        self._grants.end(user, only_if_emptied=True)

    def _read(self, name: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        with self._pool.connection() as connection:
            return connection.execute(statement(name), parameters).fetchall()

    def _begin_emptying(self, tenant_id: str, calendar_id: str, connection_id: int) -> None:
        lane = {"tenant_id": tenant_id, "calendar_id": calendar_id}
        with tenants_wishes(self._pool, tenant_id) as connection:
            connection.execute(statement("connection/mark_pushed"), lane)
            connection.execute(statement("leaving/begin_emptying"), {**lane, "connection_id": connection_id})

    def _end_departure(self, tenant_id: str, calendar_id: str, connection_id: int) -> None:
        lane = {"tenant_id": tenant_id, "calendar_id": calendar_id}
        with tenants_wishes(self._pool, tenant_id) as connection:
            ended = connection.execute(
                statement("leaving/end_departure"), {**lane, "connection_id": connection_id}
            ).fetchone()
            if ended == (True,):
                # Lost before it was emptied: what only this connection wanted, colleagues there take away.
                connection.execute(statement("connection/mark_pushed"), lane)
            if ended is not None:
                connection.execute(statement("connection/drop_marks"), lane)

    def _attempt(self, tenant_id: str, work: Callable[..., object], *arguments: object) -> None:
        """Do one user's part; whatever is wrong with it must not hold up the others."""
        if tenant_id in self._busy:
            return
        try:
            work(*arguments)
        except TENANT_BUSY:
            # One that is being erased, for example. Nothing of it is waited for once more in this round.
            self._busy.add(tenant_id)
            log.info("tenant_busy")
        except (psycopg.OperationalError, PoolTimeout):
            raise
        except AccountBusyError:
            log.info("account_busy")
        except Exception:
            log.exception("leaving_failed")
