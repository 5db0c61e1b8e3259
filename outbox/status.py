"""What waits, how long, and what could not be done."""

from typing import Any

from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from outbox.database import Connection
from outbox.statements import statement


def read_status(pool: ConnectionPool[Connection]) -> dict[str, Any]:
    """Counts in rows, ages in seconds; see `sql/status.sql` for each."""
    with pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        figures = cursor.execute(statement("status")).fetchone()
    return figures or {}
