"""Bringing the database up to date: plain SQL files, applied once each, in order.

Safe to run twice and from two places at once: everything happens under one advisory lock.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files

import psycopg
from psycopg.sql import SQL
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from outbox.database import Connection, connect
from outbox.statements import statement

_MIGRATION_LOCK = 7_164_779_125
"""The advisory lock's key; any constant will do, as long as it never changes."""

LOCK_SECONDS = 2.0
"""For which a migration waits for a table at a time, and for which others wait behind it."""

LOCK_PATIENCE_SECONDS = 300.0
"""For which it is tried again."""


class MigrationError(Exception):
    """The database and the migrations of this release do not fit together; the message says how to mend it."""


class Rights(Enum):
    """What became of the rights of the services' roles."""

    RENEWED = "renewed"
    NO_ROLES = "no roles"
    """There are none: whoever connects does so as the owner, or the roles are still to be made."""
    REFUSED = "refused"
    """Whoever migrates may not do it; an administrator has to run the script."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of `sql/migrations`, for example version 1, name "initial"."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Tells an applied file from one that was edited afterwards."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """All migrations of this release, oldest first."""
    found = []
    for file in files("sql").joinpath("migrations").iterdir():
        version, _, name = file.name.removesuffix(".sql").partition("_")
        found.append(Migration(int(version), name, file.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.version)


def migrate(url: str) -> list[Migration]:
    """Apply what is missing and return it; each migration in a transaction of its own.

    Raises:
        MigrationError: a migration was edited after it was applied, or somebody does not let go of its tables.
        psycopg.Error: the database is unreachable, or refused a statement.
    """
    with _alone(url) as connection:
        connection.execute(statement("migration/create_ledger"))
        missing = missing_migrations(connection)
        for migration in missing:
            _apply(connection, migration)
        return missing


def _apply(connection: Connection, migration: Migration) -> None:
    """In a transaction of its own, tried again for as long as others' transactions are in its way: whoever waits for a
    table keeps everybody out who comes after him, so nothing is waited for at length.
    """
    attempts = Retrying(
        retry=retry_if_exception_type(psycopg.errors.LockNotAvailable),
        stop=stop_after_delay(LOCK_PATIENCE_SECONDS),
        wait=wait_random(0.5 * LOCK_SECONDS, 1.5 * LOCK_SECONDS),
        reraise=True,
    )
    try:
        for attempt in attempts:
            with attempt, connection.transaction():
                connection.execute(statement("migration/be_brief"), {"lock_timeout": f"{LOCK_SECONDS}s"})
                connection.execute(SQL(migration.sql))
                connection.execute(
                    statement("migration/record"),
                    {"version": migration.version, "name": migration.name, "checksum": migration.checksum},
                )
    except psycopg.errors.LockNotAvailable:
        raise MigrationError(
            f"migration {migration.version} ({migration.name}) was not applied, because a transaction has held its "
            f"tables for over {LOCK_PATIENCE_SECONDS / 60:.0f} minutes; end it (calendar-sync check says how to find "
            "it), and repeat: calendar-sync migrate"
        ) from None


def renew_rights(url: str) -> Rights:
    """Run `sql/roles.sql` again where it was run before: a service would lack the rights to what a migration brought.

    Raises:
        MigrationError: somebody else does not let go of the tables.
        psycopg.Error: the database is unreachable, or refused a statement.
    """
    with _alone(url) as connection:
        if connection.execute(statement("migration/read_roles")).fetchone() is None:
            return Rights.NO_ROLES
        try:
            with connection.transaction():
                connection.execute(SQL(files("sql").joinpath("roles.sql").read_text(encoding="utf-8")))
        except psycopg.errors.InsufficientPrivilege:
            return Rights.REFUSED
        except psycopg.errors.LockNotAvailable:
            raise MigrationError(
                "the rights of the services' roles were not renewed, because a transaction has held the tables for "
                "over a minute; end it (calendar-sync check says how to find it), and repeat: calendar-sync migrate"
            ) from None
        return Rights.RENEWED


@contextmanager
def _alone(url: str) -> Iterator[Connection]:
    """A session that waits for whoever else migrates, and for as long as it takes."""
    with connect(url, application_name="calendar-sync migrate") as connection:
        # A migration may rewrite a large table, and another migrate may be doing so: neither is a reason to give up.
        connection.execute("SET statement_timeout = 0")
        connection.execute("SET lock_timeout = 0")
        connection.execute("SELECT pg_advisory_lock(%s)", [_MIGRATION_LOCK])
        yield connection


def missing_migrations(connection: psycopg.Connection[tuple[object, ...]]) -> list[Migration]:
    """What this release has and the database lacks; raises MigrationError if the two cannot go together.

    A database that a newer release has brought further suits this one too: each release's migrations leave the one
    before it working, because both run during an upgrade, and because one can go back.
    """
    try:
        applied = {row[0]: row[1] for row in connection.execute(statement("migration/read"))}
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return migrations()
    known = migrations()
    for migration in known:
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise MigrationError(
                f"migration {migration.version} ({migration.name}) was edited after it was applied; "
                "restore the file and put the change into a new migration"
            )
    return [migration for migration in known if migration.version not in applied]
