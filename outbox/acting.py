"""For whom the web app's database sessions act. Postgres shows them nothing of anybody else, whatever a statement asks
for: sql/roles.sql has the policies.

It is told with each connection that the pool hands out, in the very question by which the pool finds out whether that
connection is alive; so it can be neither forgotten nor left over from another request, and costs nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from outbox.database import Connection
from outbox.statements import statement
from outbox.user import User

_NOBODY = User("", "")
_user: ContextVar[User] = ContextVar("user", default=_NOBODY)
_presented: ContextVar[str] = ContextVar("presented", default="")


def act_for(user: User | None) -> None:
    """From here on in this thread; for None nothing of any user can be read or written."""
    _user.set(user or _NOBODY)


@contextmanager
def acting_for(user: User) -> Iterator[None]:
    """Act for this user in here, then for whom it was before."""
    before = _user.set(user)
    try:
        yield
    finally:
        _user.reset(before)


@contextmanager
def presenting(key: str) -> Iterator[None]:
    """In here the one row may be used that is known by this key to whoever has it: the hash of a secret in hex, or the
    name of a quota.
    """
    before = _presented.set(key)
    try:
        yield
    finally:
        _presented.reset(before)


def introduce(connection: Connection) -> None:
    """Tell a session for whom it acts, from now until it is told again; what a pool calls its `check`.

    Raises:
        psycopg.Error: the connection is lost.
    """
    user = _user.get()
    connection.execute(statement("web/act_for"), {**user.key, "presented": _presented.get()})
