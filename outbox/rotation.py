"""Putting all stored tokens under the first key, beside running daemons and web workers; and what is under which key.

Every row is written by itself and only if it is as it was read, so that a token renewed meanwhile stays. It can be
stopped and repeated at any time: what is done is not done again.
"""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from outbox.crypto import MissingKey, TokenCipher, UnreadableToken, key_id
from outbox.database import Connection
from outbox.statements import statement

PAGE = 100
"""Rows read at once, and written in one transaction, which lasts for milliseconds."""

PASSES = 5
"""Over all rows, until none is left under another key: what was renewed or moved during one is found by the next."""

KEYS_EXPIRE_MINUTES = 10
"""For so long a sign-in that has begun needs the key under which it began; nothing of it is kept longer."""

Column = Literal["refresh_token", "access_token"]
COLUMNS: tuple[Column, ...] = ("refresh_token", "access_token")

SAMPLE = 20
"""Connections that are looked at at a time to see whether a key is the one that others use by that name; all of them
only where the first are shut."""

Change = dict[Column, bytes | None] | Literal["lost"]
"""What a row's tokens become; or its grant is under a key that nobody has."""


class KeyInUseError(ValueError):
    """A key that is called lost is configured."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A row with tokens. `given_up`: its user has been asked to reconnect, or its grant is only to be cleared."""

    id: int
    tenant_id: str
    user_id: str
    refresh_token: bytes | None = field(repr=False)
    access_token: bytes | None = field(repr=False)
    grant_version: int
    given_up: bool

    def blob(self, column: Column) -> bytes | None:
        """The stored token."""
        return self.refresh_token if column == "refresh_token" else self.access_token

    @property
    def filled(self) -> list[Column]:
        """The columns that hold a token."""
        return [column for column in COLUMNS if self.blob(column) is not None]


@dataclass(frozen=True, slots=True)
class _Table:
    read: str
    store: str
    hold: str


CONNECTIONS = _Table("keys/read_connections", "keys/store_connection", "keys/hold_connection")
ABANDONED = _Table("keys/read_abandoned", "keys/store_abandoned", "keys/hold_abandoned")
TABLES = (CONNECTIONS, ABANDONED)
"""A grant moves from the first to the second when it is given up, so they are gone through in this order."""


@dataclass(frozen=True, slots=True)
class Census:
    """How many stored tokens there are.

    Attributes:
        readable: by the key that they are under.
        missing: by the key that is not configured; those alone that anybody still needs.
        damaged: by the key, those that do not decrypt although a key of that name is there.
    """

    readable: Counter[str]
    missing: Counter[str]
    damaged: Counter[str]

    @property
    def mistaken(self) -> Counter[str]:
        """Of the damaged, those under keys that open nothing at all: another key is configured under that name."""
        return Counter({kid: count for kid, count in self.damaged.items() if kid and not self.readable[kid]})


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did. `given_up`: connections and abandoned grants whose key was said to be lost."""

    rewritten: int
    given_up: int
    census: Census

    def told(self, key_ids: Sequence[str]) -> list[str]:
        """Lines for the operator. `key_ids`: those that are configured, the first one first."""
        first, readable = key_ids[0], self.census.readable
        lines = [f"{self.rewritten} tokens put under {first}, which {readable[first]} are under now"]
        if self.given_up:
            lines.append(f"{self.given_up} grants given up; their users are asked to reconnect")
        lines += [f"{readable[kid]} tokens are under {kid} still; repeat it" for kid in key_ids[1:] if readable[kid]]
        if former := [kid for kid in key_ids[1:] if not readable[kid]]:
            lines.append(
                f"no longer needed: {', '.join(former)}; take it out of TOKEN_ENCRYPTION_KEYS everywhere, not before "
                f"{KEYS_EXPIRE_MINUTES} minutes from now, because of those who are just connecting"
            )
        return lines

    def unfinished(self, key_ids: Sequence[str]) -> str | None:
        """What is left to be done, and how; None if everything is under the first key."""
        if self.census.missing:
            kid, count = self.census.missing.most_common(1)[0]
            return (
                f"{count} tokens are under key {kid}, which is not in TOKEN_ENCRYPTION_KEYS: put it back, as the "
                f"last one, or, if it is lost for good, calendar-sync rotate-keys --lost {kid}"
            )
        for kid, count in self.census.mistaken.most_common(1):
            return (
                f"nothing of the {count} tokens under key {kid} opens with the {kid} of TOKEN_ENCRYPTION_KEYS: it is "
                "another key of the same name; put the right one back"
            )
        if self.census.damaged:
            damaged = self.census.damaged.total()
            return f"{damaged} tokens do not decrypt; their users are asked to reconnect at the next use"
        if any(self.census.readable[kid] for kid in key_ids[1:]):
            return "not all tokens are under the first key: is somebody still running with another one first? Repeat it"
        return None


Progress = Callable[[int], object]
"""Told how many more rows were gone through."""


def _silent(_rows: int) -> None:
    pass


class Keyring:
    """The keys of TOKEN_ENCRYPTION_KEYS, and all tokens that are stored."""

    def __init__(self, pool: ConnectionPool[Connection], cipher: TokenCipher) -> None:
        self._pool = pool
        self._cipher = cipher

    def count_rows(self) -> int:
        """How many rows there are to go through."""
        with self._pool.connection() as connection:
            row = connection.execute(statement("keys/count")).fetchone()
        return 0 if row is None else int(row[0])

    def survey(self, progress: Progress = _silent) -> Census:
        """Decrypt everything once, and count."""
        readable, missing, damaged = Counter[str](), Counter[str](), Counter[str]()
        for table in TABLES:
            for page in self._pages(table):
                for row in page:
                    for column in row.filled:
                        try:
                            _open(self._cipher, row, column)
                            readable[_key_id(row, column)] += 1
                        except MissingKey:
                            missing[_key_id(row, column)] += not row.given_up
                        except UnreadableToken:
                            damaged[_key_id(row, column)] += not row.given_up
                progress(len(page))
        return Census(readable, +missing, +damaged)

    def rotate(self, *, stop: threading.Event, lost: Collection[str] = (), progress: Progress = _silent) -> Rotation:
        """Put every token under the first key, and count what is under which afterwards.

        Args:
            stop: ends it early, between two pages.
            lost: keys that nobody has any more: users whose grant is under one are asked to reconnect.

        Raises:
            KeyInUseError: a key that is called lost is configured.
        """
        if here := sorted(set(lost) & set(self._cipher.key_ids)):
            raise KeyInUseError(f"key {here[0]} is not lost: it is in TOKEN_ENCRYPTION_KEYS")
        rewritten = given_up = 0
        for _ in range(PASSES):
            wanted = 0
            for table in TABLES:
                for page in self._pages(table):
                    if stop.is_set():
                        return Rotation(rewritten, given_up, self.survey())
                    changes = [(row, change) for row in page if (change := self._change(row, lost)) is not None]
                    tokens, rows = self._write(table, changes)
                    rewritten, given_up, wanted = rewritten + tokens, given_up + rows, wanted + len(changes)
                    progress(len(page))
            if not wanted:
                break
        return Rotation(rewritten, given_up, self.survey())

    def _write(self, table: _Table, changes: Sequence[tuple[Sealed, Change]]) -> tuple[int, int]:
        """How many tokens were written anew, and how many rows given up: those that are still as they were read."""
        rewritten = given_up = 0
        if not changes:
            return rewritten, given_up
        with self._pool.connection() as connection, connection.transaction():
            for row, change in changes:
                if change == "lost":
                    given_up += _give_up(connection, table, row)
                    continue
                before = {f"old_{column}": row.blob(column) for column in COLUMNS}
                parameters = {"id": row.id, **before, **{str(column): blob for column, blob in change.items()}}
                written = connection.execute(statement(table.store), parameters).rowcount
                rewritten += written * sum(change[column] != row.blob(column) for column in COLUMNS)
        return rewritten, given_up

    def _change(self, row: Sealed, lost: Collection[str]) -> Change | None:
        """None if the row stays as it is."""
        after: dict[Column, bytes | None] = {column: row.blob(column) for column in COLUMNS}
        for column in row.filled:
            under = _key_id(row, column)
            try:
                if under != self._cipher.current_key_id:
                    after[column] = self._cipher.encrypt(
                        _open(self._cipher, row, column), tenant_id=row.tenant_id, user_id=row.user_id, column=column
                    )
            except MissingKey:
                if under not in lost or row.given_up:
                    continue
                if column == "refresh_token":
                    return "lost"
                after[column] = None  # a new one is asked for when it is needed
            except UnreadableToken:
                continue  # whoever is about to use it breaks the connection, if it is still so then
        return None if all(after[column] == row.blob(column) for column in COLUMNS) else after

    def _pages(self, table: _Table) -> Iterator[list[Sealed]]:
        after = 0
        while True:
            with self._pool.connection() as connection:
                page = _page(connection, table, after=after, limit=PAGE)
            if not page:
                return
            yield page
            after = page[-1].id


def mistaken_key(connection: Connection, cipher: TokenCipher) -> str | None:
    """The id of a key of ours that several users' grants are under, where our keys open fewer grants than stay shut.

    Then it is another key than others use by that name, whoever has connected with ours since. What is shut among what
    opens was altered or moved: that is found where it is used, and is its user's alone.
    """
    shut, opened, after = Counter[str](), 0, 0
    while page := _page(connection, CONNECTIONS, after=after, limit=SAMPLE):
        for row in page:
            if row.refresh_token is None or row.given_up:
                continue
            try:
                _open(cipher, row, "refresh_token")
            except MissingKey:
                continue
            except UnreadableToken:
                shut[_key_id(row, "refresh_token")] += 1
            else:
                opened += 1
            if opened >= shut.total():
                return None
        if not shut:
            return None
        after = page[-1].id
    return next((kid for kid, users in shut.most_common() if kid and users > 1), None)


def _page(connection: Connection, table: _Table, *, after: int, limit: int) -> list[Sealed]:
    with connection.cursor(row_factory=class_row(Sealed)) as cursor:
        return cursor.execute(statement(table.read), {"after": after, "limit": limit}).fetchall()


def _open(cipher: TokenCipher, row: Sealed, column: Column) -> str:
    return cipher.decrypt(row.blob(column) or b"", tenant_id=row.tenant_id, user_id=row.user_id, column=column)


def _give_up(connection: Connection, table: _Table, row: Sealed) -> int:
    # Somebody who has the key after all may have saved it since it was read.
    as_read = {"id": row.id, "refresh_token": row.refresh_token}
    if connection.execute(statement(table.hold), as_read).rowcount == 0:
        return 0
    if table is ABANDONED:  # nobody can revoke it any more, and its user uses another account
        return connection.execute(statement("leaving/delete_abandoned"), {"grant_id": row.id}).rowcount
    broken = {"connection_id": row.id, "grant_version": row.grant_version, "calendar_id": None}
    return connection.execute(
        statement("connection/break_connection"), {**broken, "state": "needs_reconnect", "reconnect_reason": "key_lost"}
    ).rowcount


def _key_id(row: Sealed, column: Column) -> str:
    """Of the key that a token is under; "" if it is in no form of ours."""
    try:
        return key_id(row.blob(column) or b"")
    except UnreadableToken:
        return ""
