"""Rate limits: token buckets in Postgres, so that all workers on all machines count together."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from psycopg_pool import ConnectionPool

from outbox.acting import presenting
from outbox.database import Connection
from outbox.statements import statement
from web.problem import Problem

LimitName = Literal[
    "connect", "callback", "test_push", "resync", "change", "disconnect", "calendars", "feed", "feed_miss", "feed_text"
]


@dataclass(frozen=True, slots=True)
class Limit:
    """So many at once, and as many again within the period (seconds), evenly."""

    burst: int
    period: float

    @property
    def per_second(self) -> float:
        """Tokens that come back in a second."""
        return self.burst / self.period

    @property
    def retry_after(self) -> int:
        """Whole seconds after which there is a token again, whenever one asks."""
        return math.ceil(self.period / self.burst)


LIMITS: Mapping[LimitName, Limit] = {
    "connect": Limit(burst=10, period=600),
    "callback": Limit(burst=30, period=600),
    "test_push": Limit(burst=6, period=600),
    "resync": Limit(burst=3, period=600),
    "change": Limit(burst=20, period=600),
    "disconnect": Limit(burst=10, period=600),
    "calendars": Limit(burst=60, period=600),
    "feed": Limit(burst=10, period=600),
    "feed_miss": Limit(burst=60, period=600),
    "feed_text": Limit(burst=30, period=600),
}
"""What a person needs on a bad day, several times over. `callback` and `feed_miss` are counted by address, and only
where the callback is none of ours or there is no such feed; `feed_text` by feed, where its text is made and not only
found unchanged; the others are counted by user. `change` is for a calendar or a filter that becomes another,
`calendars` for each question to Google about calendars, `feed` for a new address.
"""


class RateLimits:
    """The buckets of everybody; the daemon's janitor clears away those that are full again."""

    def __init__(self, pool: ConnectionPool[Connection]) -> None:
        self._pool = pool

    def take(self, name: LimitName, key: str) -> None:
        """Take one token from the bucket of that key (a user, an address).

        Raises:
            Problem: 429 "too_many_requests", with Retry-After.
        """
        limit, bucket = LIMITS[name], _bucket(name, key)
        with presenting(bucket.hex()), self._pool.connection() as connection:
            taken = connection.execute(
                statement("web/take_token"),
                {"bucket": bucket, "burst": limit.burst, "per_second": limit.per_second},
            ).fetchone()
        if taken is None:
            raise Problem(
                429,
                "too_many_requests",
                "That was too often in a short time",
                f"Wait {_in_words(limit.retry_after)}, then try again.",
                headers={"Retry-After": str(limit.retry_after)},
            )


def _bucket(name: str, key: str) -> bytes:
    """A digest, so that the table names no user and no address."""
    return hashlib.sha256(json.dumps([name, key]).encode()).digest()


def _in_words(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} seconds"
    minutes = math.ceil(seconds / 60)
    return "a minute" if minutes == 1 else f"{minutes} minutes"
