"""What `check` looks at in the database: schema, rights, clocks, storage, what holds the horizon, belonging, keys."""

import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from outbox.crypto import TokenCipher
from outbox.database import Connection, describe
from outbox.installation import NOT_RECORDED, InstallationKey, read_record, refusal_of
from outbox.migrations import MigrationError, missing_migrations
from outbox.rotation import Census, Keyring, Progress
from outbox.runtime import RELAY_POLL_SECONDS
from outbox.statements import statement
from outbox.verbs.check import Finding, failed, ok, unchecked, warning
from outbox.verbs.check_google import judge_clock
from outbox.verbs.rights import Right, rights_of

OLDEST_VERSION = 140000

HELD_SECONDS = 600.0
"""A transaction that is open for longer lets dead rows pile up by the hundred thousand."""

HELD_TRANSACTIONS = 1_000_000
"""So many transactions behind, a slot or a standby does the same; they have no age in seconds."""

NAMED = 5
"""So many of what is missing are named, the rest is counted."""


def check_database(connection: Connection, key: InstallationKey | None) -> Iterator[Finding]:
    """All but the keys; where the schema is not there, no more than that.

    Args:
        key: the settings to compare with what the database belongs to, where they are known.
    """
    asked_at = time.time()
    server = _row(connection, "check/server")
    # Half of the way there and back belongs to each direction.
    yield judge_clock((asked_at + time.time()) / 2 - server["clock"], "the database's")
    yield judge_server(server)
    schema = _schema(connection)
    yield schema
    if schema.way_out is not None:
        yield unchecked("database", "rights, belonging, storage and keys, because the schema is not this release's")
        return
    looks: dict[str, Callable[[], Iterator[Finding]]] = {
        "rights": lambda: _rights(connection, server["role"]),
        "row-level security": lambda: _fences(connection),
        "installation": lambda: _installation(connection, key),
        "storage options": lambda: _storage(connection),
        "wake-up": lambda: _wakeup(connection),
        "open transactions": lambda: _horizon(connection),
    }
    for topic, look in looks.items():
        try:
            yield from list(look())
        except psycopg.errors.InsufficientPrivilege as error:
            yield unchecked(topic, f"this login may not look: {describe(error)}")


def check_keys(pool: ConnectionPool[Connection], cipher: TokenCipher, progress: Progress) -> Iterator[Finding]:
    """Whether everything that is stored encrypted can be read, and which keys are needed for it."""
    try:
        yield from judge_keys(Keyring(pool, cipher).survey(progress), cipher.key_ids)
    except psycopg.errors.InsufficientPrivilege as error:
        yield unchecked("encryption keys", f"the tokens may not be read: {describe(error)}")


def judge_server(server: dict[str, Any]) -> Finding:
    """Whether we can live with the server. Pure."""
    text = f"PostgreSQL {server['version']}, database {server['database']}, as {server['role']}"
    if server["version_number"] < OLDEST_VERSION:
        return failed("database", f"{text}: too old", "upgrade it to PostgreSQL 14 or newer")
    if server["read_only"]:
        return failed("database", f"{text}: a standby, which cannot be written", "let DATABASE_URL name the primary")
    if not server["autovacuum"]:
        return failed(
            "database", f"{text}: autovacuum is off, and tables will only grow", "set autovacuum and track_counts to on"
        )
    return ok("database", text)


def judge_keys(census: Census, key_ids: tuple[str, ...]) -> Iterator[Finding]:
    """What can be read, and with what. Pure."""
    topic = "encryption keys"
    for kid, count in sorted(census.missing.items()):
        yield failed(
            topic,
            f"{count} tokens are under key {kid}, which is not in TOKEN_ENCRYPTION_KEYS",
            "put it back, behind the first; if it is lost for good, have its users asked to reconnect: "
            f"calendar-sync rotate-keys --lost {kid}",
        )
    for kid, count in sorted(census.mistaken.items()):
        yield failed(
            topic,
            f"nothing of the {count} tokens under key {kid} opens with the {kid} of TOKEN_ENCRYPTION_KEYS: it is "
            "another key of the same name, or they were altered",
            "put the keys here that the other daemons and the web apps have; a new key gets a name of its own",
        )
    if damaged := (census.damaged - census.mistaken).total():
        yield failed(
            topic,
            f"{damaged} tokens do not decrypt, with their keys at hand: altered, or moved to another row",
            "find out who wrote to the table; at the next use of one its user is asked to reconnect",
        )
    counts = ", ".join(f"{kid} ({census.readable[kid]} tokens)" for kid in key_ids)
    former = [kid for kid in key_ids[1:] if census.readable[kid]]
    if former:
        yield warning(topic, counts, "put everything under the first one: calendar-sync rotate-keys")
    elif len(key_ids) > 1:
        yield warning(topic, f"{counts}: only the first is needed", "take the others out of TOKEN_ENCRYPTION_KEYS")
    elif not census.missing and not census.damaged:
        yield ok(topic, f"{counts}; every token decrypts")


def judge_horizon(seen: dict[str, Any]) -> Iterator[Finding]:
    """What keeps dead rows from being cleaned up. Pure."""
    topic, before = "open transactions", "dead rows pile up meanwhile, and every look at a queue gets slower"
    oldest = seen["oldest_seconds"]
    if oldest is not None and oldest > HELD_SECONDS:
        find = (
            "SELECT pid, usename, application_name, state, xact_start FROM pg_stat_activity ORDER BY xact_start LIMIT 3"
        )
        yield warning(
            topic, f"one has been open for {oldest / 60:.0f} minutes; {before}", f"end it; who it is says: {find}"
        )
    for gid in seen["prepared"] or ():
        yield warning(
            topic, f"prepared transaction {gid} waits for its end", f"COMMIT PREPARED or ROLLBACK PREPARED '{gid}'"
        )
    for slot in seen["idle_slots"] or ():
        yield warning(
            topic,
            f"nobody reads replication slot {slot}",
            f"let its reader go on, or SELECT pg_drop_replication_slot('{slot}')",
        )
    for slot in seen["slots_behind"] or ():
        yield warning(topic, f"replication slot {slot} is far behind; {before}", "look at its reader")
    if seen["standbys_behind"]:
        yield warning(topic, f"a standby with hot_standby_feedback is far behind; {before}", "look at its long queries")
    if oldest is None:
        yield unchecked(
            topic,
            "the schema's owner may not look at others'",
            "let an administrator GRANT pg_read_all_stats TO the owner",
        )
    elif oldest <= HELD_SECONDS:
        yield ok(topic, f"the oldest has been open for {oldest:.0f} s")
    if not seen["sees_all"]:
        yield unchecked(
            topic, "what standbys hold back is not shown to this role; look at pg_stat_replication as an administrator"
        )


def _schema(connection: Connection) -> Finding:
    try:
        missing = missing_migrations(connection)
    except MigrationError as error:
        return failed("schema", "a migration was changed after it was applied", str(error))
    except psycopg.errors.InsufficientPrivilege:
        return failed("schema", "this login may not look into schema calendar_sync", "grant it calendar_sync_daemon")
    if missing:
        return failed("schema", f"migration {missing[0].version} and what follows are missing", "calendar-sync migrate")
    return ok("schema", "every migration of this release is applied")


def _rights(connection: Connection, role: str) -> Iterator[Finding]:
    script = files("sql").joinpath("roles.sql").read_text(encoding="utf-8")
    needed = rights_of("calendar_sync_daemon", script)
    columns: dict[str, list[str]] = {
        "kinds": [right.kind for right in needed],
        "privileges": [right.privilege for right in needed],
        "objects": [right.object for right in needed],
        "attributes": [right.attribute for right in needed],
    }
    lacking = [str(Right("table", *row)) for row in connection.execute(statement("check/missing_rights"), columns)]
    if lacking:
        more = f" and {len(lacking) - NAMED} more" if len(lacking) > NAMED else ""
        yield failed(
            "rights",
            f"{role} lacks {', '.join(lacking[:NAMED])}{more}",
            f"as an administrator: psql -f sql/roles.sql, and GRANT calendar_sync_daemon TO {role}",
        )
    elif connection.execute(statement("check/owner")).fetchone() == (True,):
        yield warning(
            "rights",
            f"{role} owns the schema or is a superuser, and may do more than a daemon needs",
            "let the daemon log in as a role that has calendar_sync_daemon and nothing else (sql/roles.sql)",
        )
    else:
        yield ok("rights", f"{role} has all {len(needed)} that a daemon needs")


def _fences(connection: Connection) -> Iterator[Finding]:
    seen, topic = _row(connection, "check/unfenced"), "row-level security"
    if not seen["has_role"]:
        yield unchecked(
            topic, "there is no role calendar_sync_web: whatever the web app logs in as may see every user's rows"
        )
    elif seen["tables"]:
        yield failed(
            topic,
            f"the web app is shown everybody's rows of {', '.join(seen['tables'])}",
            "as an administrator: psql --single-transaction --set=ON_ERROR_STOP=1 -f sql/roles.sql",
        )
    else:
        yield ok(topic, "the web app is shown the rows of whom it acts for, if calendar_sync_web is all that it is")


def _installation(connection: Connection, key: InstallationKey | None) -> Iterator[Finding]:
    record, refusal = read_record(connection), refusal_of(connection, key)
    if record is None or refusal is not None:
        yield failed("installation", "nothing is pushed from this database", refusal or NOT_RECORDED)
    elif record.client_id is None:
        yield ok("installation", "the database is where it was made; the first daemon says for which OAuth client")
    else:
        yield ok("installation", f"the database belongs to client {record.client_id}, since {record.since:%Y-%m-%d}")


def _storage(connection: Connection) -> Iterator[Finding]:
    odd = connection.execute(statement("check/storage")).fetchall()
    for relation, option, found in odd:
        yield warning(
            "storage options",
            f"calendar_sync.{relation} has {found or 'nothing'} in place of {option}",
            f"ALTER TABLE calendar_sync.{relation} SET ({option})",
        )
    if not odd:
        yield ok("storage options", "as the migrations set them")


def _wakeup(connection: Connection) -> Iterator[Finding]:
    if connection.execute(statement("check/notifies")).fetchone() == (True,):
        yield ok("wake-up", "commits into the outbox notify the daemons, one commit after another")
    else:
        found = f"daemons look every {RELAY_POLL_SECONDS:g} s for what is new"
        yield ok("wake-up", f"commits into the outbox notify nobody (trigger notify_outbox is off); {found}")


def _horizon(connection: Connection) -> Iterator[Finding]:
    yield from judge_horizon(
        _row(connection, "check/horizon", {"seconds": HELD_SECONDS, "transactions": HELD_TRANSACTIONS})
    )


def _row(connection: Connection, name: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(statement(name), parameters).fetchone()
    if row is None:
        raise AssertionError(f"{name} returns one row")
    return row
