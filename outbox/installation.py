"""Which installation a database pushes for. A restored or copied one must not write to the calendars of the original.

What tells them apart, and what cannot, is in docs/operations.md.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Self

import structlog
from prometheus_client.core import GaugeMetricFamily
from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from outbox.crypto import TokenCipher
from outbox.database import Connection, connect
from outbox.lane import Lease
from outbox.lane_store import LaneStore
from outbox.rotation import mistaken_key
from outbox.settings import CommonSettings, InstallationSettings
from outbox.statements import statement

log = structlog.get_logger(__name__)

FRESH_SECONDS = 2.0
"""How late it may be noticed that somebody else took the database over, or that it was restored in place."""

ADOPT = "calendar-sync migrate --adopt"


@dataclass(frozen=True, slots=True)
class InstallationKey:
    """The settings that make an installation: whose grants it uses, and where its users are sent.

    Attributes:
        cipher: what it reads the grants with; None where that is not known.
    """

    client_id: str
    redirect_uri: str
    cipher: TokenCipher | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, settings: CommonSettings | InstallationSettings) -> Self:
        """Of the installation that has these settings."""
        keys = settings.token_encryption_keys if isinstance(settings, CommonSettings) else None
        cipher = None if keys is None else TokenCipher.from_keys(keys.get_secret_value())
        return cls(settings.google_oauth_client_id, settings.google_oauth_redirect_uri, cipher)


@dataclass(frozen=True, slots=True)
class Record:
    """What a database says of itself.

    Attributes:
        here: where it really is, in the form of `place`.
        client_id: None until the first daemon has said it, as is `redirect_uri`.
        refilled: there are grants that are older than the tables they are in.
    """

    place: str
    here: str
    database_name: str
    database_here: str
    client_id: str | None
    redirect_uri: str | None
    since: datetime
    refilled: bool

    def told(self) -> str:
        """For whom it pushes."""
        return f"database {self.database_here} pushes for OAuth client {self.client_id}, redirect {self.redirect_uri}"

    def differs_from(self, key: InstallationKey | None) -> str | None:
        """Why nothing may be pushed from this database with these settings; None if it may. Pure.

        Args:
            key: None where they are not known, and only the place is compared.
        """
        if self.place != self.here:
            return (
                f"this database ({self.database_here}) was restored or copied from {self.database_name}, recorded on "
                f"{self.since:%Y-%m-%d}; if it is to push from now on, and the original no longer: {ADOPT}"
            )
        if self.refilled:
            return (
                f"the grants in this database ({self.database_here}) are older than its tables: they were restored "
                f"into it; if it is to push from now on, and the original no longer: {ADOPT}"
            )
        if key is None:
            return None
        for name, recorded, configured in (
            ("GOOGLE_OAUTH_CLIENT_ID", self.client_id, key.client_id),
            ("GOOGLE_OAUTH_REDIRECT_URI", self.redirect_uri, key.redirect_uri),
        ):
            if recorded is not None and recorded != configured:
                return (
                    f"{name} is {configured}, and this database belongs to the installation with {recorded}; put that "
                    f"back, or, if the change is meant: {ADOPT}"
                )
        return None


NOT_RECORDED = f"this database does not say which installation it belongs to; if it is to push: {ADOPT}"


def refusal_of(connection: Connection, key: InstallationKey | None) -> str | None:
    """Why nothing is pushed from this database, as it is at this moment; None if it is."""
    return _refusal(connection, read_record(connection), key)


def _refusal(connection: Connection, record: Record | None, key: InstallationKey | None) -> str | None:
    refusal = NOT_RECORDED if record is None else record.differs_from(key)
    if refusal is not None or key is None or key.cipher is None:
        return refusal
    kid = mistaken_key(connection, key.cipher)
    return None if kid is None else _another_key(kid)


def _another_key(kid: str) -> str:
    return (
        f"most grants do not open with the {kid} of TOKEN_ENCRYPTION_KEYS: they are under another key of the same "
        "name; put the keys here that the other daemons and the web apps have"
    )


def read_record(connection: Connection) -> Record | None:
    """What the database says of itself; None if nothing."""
    with connection.cursor(row_factory=class_row(Record)) as cursor:
        return cursor.execute(statement("installation/read")).fetchone()


def adopt(url: str, key: InstallationKey) -> str:
    """Have the database push for this installation from now on; returns a sentence that says what was taken over.

    Raises:
        psycopg.Error: the database is unreachable, or refused it.
    """
    with connect(url, application_name="calendar-sync migrate") as connection, connection.transaction():
        before = read_record(connection)
        if before is not None and before.client_id is not None and before.differs_from(key) is None:
            return f"nothing to adopt: {before.told()}, as before"
        connection.execute(
            statement("installation/adopt"), {"client_id": key.client_id, "redirect_uri": key.redirect_uri}
        )
        after = read_record(connection)
    if after is None:
        raise AssertionError("an upsert leaves its row")
    return _told(before, after)


def _told(before: Record | None, after: Record) -> str:
    now = f"adopted: {after.told()}"
    if before is None:
        return now
    was = f"it was recorded on {before.since:%Y-%m-%d} as {before.database_name}"
    if before.client_id is not None:
        was += f" of client {before.client_id}, redirect {before.redirect_uri}"
    reconnect = before.client_id not in (None, after.client_id)
    return f"{now}; {was}" + ("; grants belong to the former client, so every user reconnects" * reconnect)


class _Look(NamedTuple):
    """When it was looked, of how many sessions opened until then, and what was found."""

    at: float
    sessions: int
    refusal: str | None


class Installation:
    """Whether this process may use what is in its database towards Google. Threads may share it.

    Asked of the database every few seconds by a daemon, and again as soon as the pool has opened a session since:
    without a new session no other database can have come into the place of this one. The web app asks each time.
    """

    def __init__(
        self,
        pool: ConnectionPool[Connection],
        key: InstallationKey,
        *,
        completes: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`completes`: says with which settings it is used, where nobody has said it yet: a daemon's part."""
        self._pool = pool
        self._key = key
        self._completes = completes
        self._clock = clock
        self._lock = threading.Lock()  # held while it is looked
        self._last = _Look(-FRESH_SECONDS, -1, None)

    @property
    def last_refusal(self) -> str | None:
        """What `refusal` said the last time; asks nobody."""
        return self._last.refusal

    @property
    def surely_ours(self) -> bool:
        """Whether it was found a moment ago that anything may, and no session was opened since; asks nobody."""
        return self._is_fresh(self._last) and self._last.refusal is None

    def refusal(self) -> str | None:
        """Why nothing may be pushed, renewed or revoked; None if it may.

        Raises:
            psycopg.Error, PoolTimeout: the database does not tell, and then nothing may be either.
        """
        with self._lock:
            # Counted before the look: a session opened during it is one that was not looked at.
            sessions = self._opened_sessions()
            if not self._is_fresh(self._last):
                refusal = self._look()
                if refusal != self._last.refusal:
                    self._tell(refusal)
                # The web app is shown the grant of whoever asks alone: what it finds says nothing of others.
                looked_at = self._clock() if self._completes else -FRESH_SECONDS
                self._last = _Look(looked_at, sessions, refusal)
            return self._last.refusal

    def _is_fresh(self, look: "_Look") -> bool:
        return look.sessions == self._opened_sessions() and self._clock() - look.at < FRESH_SECONDS

    def _look(self) -> str | None:
        with self._pool.connection() as connection, connection.transaction():
            record = read_record(connection)
            if record is not None and record.client_id is None and not record.refilled and self._completes:
                parameters = {"client_id": self._key.client_id, "redirect_uri": self._key.redirect_uri}
                connection.execute(statement("installation/complete"), parameters)
                record = read_record(connection)
            return _refusal(connection, record, self._key)

    def _opened_sessions(self) -> int:
        return self._pool.get_stats().get("connections_num", 0)

    def _tell(self, refusal: str | None) -> None:
        if refusal is not None:
            log.error("pushes_nothing", reason=refusal)
        else:
            log.info("pushes_again")


class OwnLanes(LaneStore):
    """Leases nothing, and so has nothing pushed, from a database that belongs to another installation."""

    def __init__(self, pool: ConnectionPool[Connection], installation: Installation) -> None:
        super().__init__(pool)
        self._installation = installation

    def lease(self, *args: Any, **kwargs: Any) -> list[Lease]:
        """As of any lanes; looked at before and after, because another database may have come in between."""
        if self._installation.refusal() is not None:
            return []
        leases = super().lease(*args, **kwargs)
        return leases if leases and self._installation.refusal() is None else []

    def lease_next(self, *args: Any, **kwargs: Any) -> Lease | None:
        """As of any lanes; nobody can be asked meanwhile, because a transaction is open."""
        return super().lease_next(*args, **kwargs) if self._installation.surely_ours else None

    def seconds_until_due(self, *args: Any, **kwargs: Any) -> float | None:
        """As of any lanes."""
        return None if self._installation.last_refusal is not None else super().seconds_until_due(*args, **kwargs)


class InstallationGauge:
    """A Prometheus collector of whether this process is held back."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The metric."""
        yield GaugeMetricFamily(
            "calendar_sync_installation_differs",
            "1 while the database belongs to another installation, or most grants do not open with our keys, so that "
            "nothing is pushed; calendar-sync check says why.",
            value=0 if self._installation.last_refusal is None else 1,
        )
