"""Consent attempts as they are stored: users on their way to Google's consent page and back."""

from dataclasses import dataclass, field
from datetime import datetime

from psycopg_pool import ConnectionPool

from outbox.acting import presenting
from outbox.database import Connection
from outbox.statements import statement
from outbox.user import User

ATTEMPT_SECONDS = 600
"""How long a user may take on Google's pages."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A stored attempt.

    Attributes:
        browser_hash: SHA-256 of the cookie of the browser that set out.
        code_verifier: encrypted, bound to the user.
        taken: a callback has used it up.
        outcome: "connected" or a code of `web.outcomes`; None until it has ended.
    """

    user: User
    browser_hash: bytes = field(repr=False)
    code_verifier: bytes = field(repr=False)
    return_to: str
    expired: bool
    taken: bool
    outcome: str | None


class Attempts:
    """The table of consent attempts. An attempt's key is the SHA-256 of its state."""

    def __init__(self, pool: ConnectionPool[Connection]) -> None:
        self._pool = pool

    def add(self, state_hash: bytes, user: User, *, browser_hash: bytes, code_verifier: bytes, return_to: str) -> None:
        """Begin an attempt; `code_verifier` is encrypted."""
        with self._pool.connection() as connection:
            connection.execute(
                statement("consent/add_attempt"),
                {
                    "state_hash": state_hash,
                    **user.key,
                    "browser_hash": browser_hash,
                    "code_verifier": code_verifier,
                    "return_to": return_to,
                    "seconds": ATTEMPT_SECONDS,
                },
            )

    def find(self, state_hash: bytes) -> Attempt | None:
        """The attempt with this state."""
        with presenting(state_hash.hex()), self._pool.connection() as connection:
            row = connection.execute(statement("consent/read_attempt"), {"state_hash": state_hash}).fetchone()
        return None if row is None else Attempt(User(row[0], row[1]), *row[2:])

    def take(self, state_hash: bytes) -> bool:
        """Use the attempt up; False if that has happened before, or its time is over."""
        with presenting(state_hash.hex()), self._pool.connection() as connection:
            taken = connection.execute(statement("consent/take_attempt"), {"state_hash": state_hash})
            return taken.fetchone() is not None

    def record(self, state_hash: bytes, outcome: str) -> None:
        """Write down how a taken attempt ended."""
        with presenting(state_hash.hex()), self._pool.connection() as connection:
            connection.execute(statement("consent/record_outcome"), {"state_hash": state_hash, "outcome": outcome})

    def unfinished(self, user: User) -> datetime | None:
        """When the user last set out, if he has not come back from that and still may."""
        with self._pool.connection() as connection:
            row = connection.execute(statement("consent/read_unfinished"), user.key).fetchone()
        return None if row is None else row[0]
