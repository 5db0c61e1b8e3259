"""What `systemctl status` says of a daemon: what waits, and how far behind it is."""

from collections.abc import Callable, Mapping
from typing import Any

from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from outbox.database import Connection
from outbox.statements import statement
from outbox.systemd import notify

TOLD_EVERY_SECONDS = 10.0


class StatusLine:
    """Tells systemd; may fail without harm, and then the line stays as it was.

    Args:
        remark: what else has to be said, in each line.
        held_back: why nothing is pushed at all, if so.
    """

    def __init__(
        self, pool: ConnectionPool[Connection], remark: str, held_back: Callable[[], str | None] = lambda: None
    ) -> None:
        self._pool = pool
        self._remark = remark
        self._held_back = held_back

    def work(self) -> float:
        """One round of a loop."""
        with self._pool.connection() as connection, connection.transaction():
            connection.execute(statement("metrics/be_brief"))
            with connection.cursor(row_factory=dict_row) as cursor:
                figures = cursor.execute(statement("metrics/read_figures")).fetchone()
        if figures is not None:
            refusal = self._held_back()
            notify(STATUS=f"{backlog(figures) if refusal is None else f'Pushes nothing: {refusal}.'}{self._remark}")
        return TOLD_EVERY_SECONDS


def backlog(figures: Mapping[str, Any]) -> str:
    """The sentence about what waits. Pure.

    Args:
        figures: columns of `calendar_sync.figures`.
    """
    rows, pushes = round(figures["outbox_rows"]), round(figures["pending_pushes"])
    if not rows and not pushes:
        return "Serving. Nothing waits."
    behind = max(figures["outbox_oldest_seconds"], figures["oldest_due_seconds"])
    return f"Serving. {rows} rows and {pushes} pushes wait; {behind:.0f} s behind."
