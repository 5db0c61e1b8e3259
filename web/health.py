"""For load balancers and monitors: whether this process lives, and whether it can serve."""

import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import falcon
import psycopg
import structlog
from psycopg_pool import ConnectionPool

from outbox.database import Connection, describe
from outbox.migrations import MigrationError, missing_migrations
from outbox.statements import statement
from web.problem import Problem, database_unavailable

log = structlog.get_logger(__name__)

CACHED_SECONDS = 1.0
"""How long an answer about the database is repeated, so that nobody can load it by asking."""

PATIENCE_SECONDS = 2.0
"""For a connection from the pool."""


class Alive:
    """`GET /healthz`: the process answers; nothing else is looked at."""

    access: ClassVar[Literal["open"]] = "open"

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:  # noqa: ARG002 - Falcon's form
        """Answer."""
        resp.media = {"status": "ok"}

    on_head = on_get


class Ready:
    """`GET /readyz`: the database answers and has the schema of this release; otherwise 503."""

    access: ClassVar[Literal["open"]] = "open"

    def __init__(self, pool: ConnectionPool[Connection], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._clock = clock
        self._lock = threading.Lock()  # guards what follows, and lets one thread look at a time
        self._looked_at: float | None = None
        self._problem: Problem | None = None
        self._fence_looked_at = False

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:  # noqa: ARG002 - Falcon's form
        """Answer what was found a moment ago, or look."""
        with self._lock:
            if self._looked_at is None or self._clock() - self._looked_at >= CACHED_SECONDS:
                self._problem = self._look()
                self._looked_at = self._clock()
            problem = self._problem
        if problem is not None:
            raise problem
        resp.media = {"status": "ready"}

    on_head = on_get

    def _look(self) -> Problem | None:
        try:
            with self._pool.connection(timeout=PATIENCE_SECONDS) as connection:
                missing = missing_migrations(connection)
                if not missing:
                    self._look_at_fence(connection)
        except psycopg.OperationalError as error:
            log.warning("not ready", reason=describe(error))
            return database_unavailable()
        except (MigrationError, psycopg.Error) as error:
            log.warning("not ready", reason=describe(error))
            return _outdated("The database does not fit this release.")
        return _outdated("The database has to be brought up to date: calendar-sync migrate.") if missing else None

    def _look_at_fence(self, connection: Connection) -> None:
        """Say once if nothing stands between the users but our own care: it works, and nobody would notice."""
        if not self._fence_looked_at and connection.execute(statement("web/sees_every_tenant")).fetchone() == (True,):
            log.warning(
                "row_level_security_off",
                reason="the web app's login is shown every tenant's rows; let it be a role that has calendar_sync_web "
                "and nothing else (sql/roles.sql)",
            )
        self._fence_looked_at = True


def _outdated(detail: str) -> Problem:
    return Problem(503, "schema_outdated", "The database is not ready", detail, headers={"Retry-After": "30"})


def add_health(app: falcon.App[Any, Any], pool: ConnectionPool[Connection]) -> None:
    """Add both routes."""
    app.add_route("/healthz", Alive())
    app.add_route("/readyz", Ready(pool))
