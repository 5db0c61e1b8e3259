"""What waits, how long, and what could not be done."""

from typing import Any

from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from outbox.database import Connection
from outbox.metrics_figures import STATES
from outbox.statements import statement


def read_status(pool: ConnectionPool[Connection]) -> dict[str, Any]:
    """Counts in rows, ages in seconds; `calendar_sync.figures` and `sql/status.sql` say what each is."""
    with pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        figures = cursor.execute(statement("status")).fetchone()
    if figures is None:
        raise AssertionError("the figures are one row")
    connections = {state: figures["connections"].get(state, 0) for state in STATES}
    return {
        **figures,
        "connections": connections,
        "connections_active": connections["active"],
        "connections_broken": connections["needs_reconnect"] + connections["calendar_lost"],
    }
