"""Every index costs something with every write: so each is there for a statement of ours."""

from outbox.database import connect
from outbox.statements import statement
from tests.integration.test_plans import FEED, Session
from tests.unit.test_statements import NAMES

NOT_PLANNED = {"feed/hold_snapshot", "migration/create_ledger"}
"""No queries."""

INDEXES = """
SELECT index.relname
FROM pg_index
JOIN pg_class AS index ON index.oid = pg_index.indexrelid
WHERE index.relnamespace = 'calendar_sync'::regnamespace AND NOT pg_index.indisunique
"""
"""All but those that keep a key unique, which are there for that."""

USED = """
SELECT relname FROM pg_class
WHERE relnamespace = 'calendar_sync'::regnamespace AND relkind = 'i' AND pg_stat_get_xact_numscans(oid) > 0
"""
"""In this transaction: what a function does shows in no plan."""


def test_every_index_is_used_by_a_statement(database_url: str) -> None:
    with connect(database_url) as connection:
        indexes = {name for (name,) in connection.execute(INDEXES)}
        session = Session(connection)
        used = {index for name in set(NAMES) - NOT_PLANNED for index in session.indexes(name)}
        connection.execute(
            "INSERT INTO calendar_sync.calendar_feed (tenant_id, user_id, token_hash, job_filter)"
            " VALUES ('tenant-0', 'user-0', %(token_hash)s, 'all')",
            FEED,
        )
        with connection.transaction():
            connection.execute(statement("feed/visit"), FEED)
            used |= {name for (name,) in connection.execute(USED)}
    assert {"pending_push_due", "job_cancelled"} <= indexes
    assert indexes - used == set()
