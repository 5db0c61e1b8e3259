"""Users' feeds: their secret addresses, and what is served there."""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

import psycopg
import structlog
from psycopg import ServerCursor
from psycopg.rows import class_row, dict_row
from psycopg_pool import ConnectionPool

from outbox.acting import presenting
from outbox.connections import JobFilter
from outbox.database import Connection, describe
from outbox.payload import InvalidPayload
from outbox.statements import statement
from outbox.user import User
from web.api.paths import FEEDS
from web.capacity import FeedPlaces
from web.feed import ical
from web.feed.format import FORMAT
from web.feed.ical import FeedJob
from web.limits import RateLimits

log = structlog.get_logger(__name__)

TOKEN_BYTES = 32
"""Of randomness in an address: nobody guesses it, and its hash needs no salt."""

MAX_READ_BYTES = 8_000_000
"""Payloads read for one feed: several times what fills it, however little of each payload an event shows."""

PORTION_JOBS = 100
"""Jobs that are in memory twice."""


@dataclass(frozen=True, slots=True)
class FeedView:
    """A feed as its user sees it; `created_at` is that of its present address, which `address_id` tells from others."""

    job_filter: JobFilter
    created_at: datetime
    last_fetched_at: datetime | None
    address_id: str


class FeedChangedError(Exception):
    """The feed has another address by now than the one that was to be replaced, or it is gone."""


@dataclass(frozen=True, slots=True)
class NewFeed:
    """A feed whose address was just made, with the address, which nobody can tell afterwards."""

    feed: FeedView
    url: str

    @property
    def webcal_url(self) -> str | None:
        """The same address as calendar apps open it by themselves; None where it names a port.

        Which protocol they then speak there is up to them, and a port speaks only one.
        """
        return None if urlsplit(self.url).port is not None else f"webcal:{self.url.partition(':')[2]}"


@dataclass(frozen=True, slots=True)
class Visit:
    """What is at an address: the text's tag, and the text where it was wanted.

    Without a tag the text is not to be kept: it lacks a job that might be there the next time.
    """

    tag: str | None
    text: bytes | None


class Feeds:
    """All feeds. Threads may share it.

    Args:
        limits: how often a feed's text is made.
        places: how many texts are made at once.
        public_base_url: what addresses begin with.
        job_url_template: where the host app shows a job; without it events have no link.
    """

    def __init__(
        self,
        pool: ConnectionPool[Connection],
        *,
        limits: RateLimits,
        places: FeedPlaces,
        public_base_url: str,
        job_url_template: str | None,
    ) -> None:
        self._pool = pool
        self._limits = limits
        self._places = places
        self._public_base_url = public_base_url
        self._job_url_template = job_url_template

    def read(self, user: User) -> FeedView | None:
        """The user's feed; None if there is none."""
        with self._pool.connection() as connection, connection.cursor(row_factory=class_row(FeedView)) as cursor:
            return cursor.execute(statement("feed/read"), user.key).fetchone()

    def renew(self, user: User, job_filter: JobFilter | None, *, instead_of: str | None = None) -> NewFeed:
        """Give the user's feed a new address, and make the feed if there is none; the former address stops working.

        Args:
            job_filter: which jobs it shows; None: as before, at first as the user's connection does.
            instead_of: the id of the address that is replaced, "" where there was none; None: whichever there is.

        Raises:
            FeedChangedError: there is another one than that by now; nothing is done.
        """
        token = secrets.token_urlsafe(TOKEN_BYTES)
        with self._pool.connection() as connection, connection.cursor(row_factory=class_row(FeedView)) as cursor:
            feed = cursor.execute(
                statement("feed/renew"),
                {**user.key, "token_hash": _hash(token), "job_filter": job_filter, "instead_of": instead_of},
            ).fetchone()
        if feed is None:
            raise FeedChangedError
        return NewFeed(feed, f"{self._public_base_url}{FEEDS}/{token}.ics")

    def set_filter(self, user: User, job_filter: JobFilter) -> None:
        """Which jobs the user's feed shows from now on, at the same address.

        Raises:
            FeedChangedError: there is no feed.
        """
        with self._pool.connection() as connection:
            changed = connection.execute(statement("feed/set_filter"), {**user.key, "job_filter": job_filter})
            if changed.fetchone() is None:
                raise FeedChangedError

    def revoke(self, user: User) -> None:
        """End the user's feed, if there is one."""
        with self._pool.connection() as connection:
            connection.execute(statement("feed/revoke"), user.key)

    def visit(self, token: str, *, wants: Callable[[str], bool]) -> Visit | None:
        """What is at the address of that token; None if there is no such address.

        Args:
            wants: whether the text is needed, by its tag. Without need no job is read, and nothing is counted.

        Raises:
            Problem: 429 "too_many_requests", this feed's text was made too often; 503 "feed_busy", too many at once.
        """
        token_hash = _hash(token)
        with ExitStack() as building:
            with self._pool.connection() as connection, connection.transaction():
                connection.execute(statement("feed/hold_snapshot"))
                with connection.cursor(row_factory=dict_row) as cursor:
                    seen = cursor.execute(statement("feed/visit"), {"token_hash": token_hash}).fetchone()
                if seen is None:
                    return None
                tag = tag_of(seen["feed_id"], seen["job_filter"], self._job_url_template, seen["fingerprint"])
                jobs = None
                if wants(tag):
                    building.enter_context(self._places.place())
                    self._count(seen["feed_id"])
                    jobs = _read_jobs(connection, token_hash, seen["moment"])
            visit = Visit(tag, None) if jobs is None else self._build(tag, jobs, seen["feed_id"], seen["tenant_id"])
        if not seen["fetched_lately"]:
            self._note_fetch(token_hash, seen["feed_id"])
        return visit

    def _count(self, feed_id: int) -> None:
        try:
            self._limits.take("feed_text", str(feed_id))
        except psycopg.errors.ReadOnlySqlTransaction as error:
            # A replica, or a database that is being moved: then the places alone are the limit.
            log.warning("a feed's visit is not counted", feed_id=feed_id, error=describe(error))

    def _build(self, tag: str, jobs: Sequence[FeedJob], feed_id: int, tenant_id: str) -> Visit:
        """The jobs' text; a job that can no longer be read is left out, and must not keep the others from anybody."""
        whole = True

        def events() -> Iterator[bytes]:
            nonlocal whole
            for job in jobs:
                try:
                    yield ical.event(job, tenant_id=tenant_id, job_url_template=self._job_url_template)
                except InvalidPayload:
                    log.warning("a feed leaves out a job whose payload is not legal", feed_id=feed_id)
                except Exception as error:  # noqa: BLE001 - a job that finds a fault in our reading
                    # It may pass, unlike a payload that is not legal: what lacks a job by it must not be kept.
                    whole = False
                    log.error(
                        "a feed leaves out a job that could not be shown", feed_id=feed_id, error=type(error).__name__
                    )

        text = ical.calendar(events())
        return Visit(tag if whole else None, text)

    def _note_fetch(self, token_hash: bytes, feed_id: int) -> None:
        """Write down that the feed was fetched. Whether that can be done matters less than the feed."""
        try:
            with presenting(token_hash.hex()), self._pool.connection() as connection:
                connection.execute(statement("feed/note_fetch"), {"token_hash": token_hash})
        except psycopg.Error as error:
            log.warning("a feed's visit is not written down", feed_id=feed_id, error=describe(error))


def tag_of(feed_id: int, job_filter: str, job_url_template: str | None, fingerprint: bytes) -> str:
    """Another one whenever the text would be another one. Pure."""
    made_of = [FORMAT, feed_id, job_filter, job_url_template, fingerprint.hex()]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:40]


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _read_jobs(connection: Connection, token_hash: bytes, moment: datetime) -> list[FeedJob]:
    """The first jobs of a feed, no more than is sure to fill it."""
    jobs: list[FeedJob] = []
    size = 0
    with ServerCursor(connection, "feed_jobs", row_factory=class_row(FeedJob)) as cursor:
        cursor.itersize = PORTION_JOBS
        cursor.execute(statement("feed/read_jobs"), {"token_hash": token_hash, "moment": moment})
        for job in cursor:
            jobs.append(job)
            size += len(job.payload)
            if size > MAX_READ_BYTES:
                break
    return jobs
