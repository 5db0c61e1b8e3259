"""What the jobs service commits and rolls back, entered into the model's books."""

import itertools
import json
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from tests.integration.conftest import START, job
from tests.model.daemons import Backstage
from tests.model.expected import Expected, JobState, Key

Row = tuple[str, tuple[str, ...]]
"""What the job becomes, and who is assigned."""


class Producers:
    """Writes rows in transactions of its own, of which some stay open for a while.

    Args:
        tenants: the tenants' keys by their names.
    """

    def __init__(self, backstage: Backstage, expected: Expected, tenants: dict[str, str]) -> None:
        self._database_url = backstage.world.database_url
        self._expected = expected
        self._tenants = tenants
        self._versions = itertools.count(1)
        self.open: dict[Key, tuple[psycopg.Connection[Any], list[JobState | None]]] = {}

    def begin(self, key: Key, rows: list[Row]) -> None:
        """Write rows and leave their transaction open."""
        connection = psycopg.connect(self._database_url)
        self.open[key] = connection, [self._insert(connection, key, *row) for row in rows]

    def end(self, key: Key, *, commit: bool) -> None:
        """End the job's open transaction."""
        connection, states = self.open.pop(key)
        (connection.commit if commit else connection.rollback)()
        connection.close()
        for state in states if commit else ():
            self._committed(key, state)

    def write(self, key: Key, rows: list[Row], *, commit: bool = True) -> None:
        """Write rows in one transaction."""
        with psycopg.connect(self._database_url) as connection:
            states = [self._insert(connection, key, *row) for row in rows]
            if not commit:
                connection.rollback()
        for state in states if commit else ():
            self._committed(key, state)

    def close(self) -> None:
        """Nothing stays open after a story that broke off."""
        for connection, _ in self.open.values():
            connection.close()

    def _insert(
        self, connection: psycopg.Connection[Any], key: Key, kind: str, assigned: tuple[str, ...]
    ) -> JobState | None:
        """Insert a row; what the job is then, None if the row breaks the contract."""
        version = next(self._versions)
        payload = job(f"{key[0]}/{key[1]}.v{version}", assigned_user_ids=list(assigned))
        if kind == "unscheduled":
            payload["legs"] = []
        if kind == "past":
            payload = json.loads(json.dumps(payload).replace(START[:7], "2026-12"))
        if kind == "invalid":
            payload["legs"] = "none"
        event_type = "job.cancelled" if kind == "cancel" else "job.updated"
        connection.execute(
            "INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload) VALUES (%s, %s, %s, %s)",
            [self._tenants[key[0]], key[1], event_type, Jsonb({} if kind == "cancel" else payload)],
        )
        if kind == "invalid":
            return None
        return JobState(version, kind in ("update", "past"), frozenset(assigned), past=kind == "past")

    def _committed(self, key: Key, state: JobState | None) -> None:
        if state is None:
            self._expected.rejected += 1
        else:
            self._expected.commit(key, state)
