"""Who takes part in a run of ours, and the changes that are committed: everything put into the tables as producers and
the consent leave it."""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from outbox.crypto import TokenCipher
from outbox.statements import statement

HOURS_VALID = 12
"""Of the access tokens, so that nothing is refreshed in a run."""

SCOPE = "https://www.googleapis.com/auth/calendar.events"


@dataclass(frozen=True, slots=True)
class Change:
    """One committed row of the outbox: the whole state of a job."""

    tenant: str
    job: str
    version: int

    @property
    def summary(self) -> str:
        """What the event's title has to be."""
        return f"{_number(self.job)} · {_leg(self.version)}"

    @property
    def event(self) -> str:
        """The type of the event."""
        return "job.created" if self.version == 1 else "job.updated"

    @property
    def payload(self) -> dict[str, Any]:
        """About 600 bytes, as JSON."""
        return {
            "schema_version": 1,
            "job_number": _number(self.job),
            "status": "scheduled",
            "timezone": "America/Chicago",
            "legs": [
                {
                    "summary": _leg(self.version),
                    "dispatch_window": {"start": "2097-03-01T08:00:00-06:00", "end": "2097-03-01T10:00:00-06:00"},
                    "delivery_window": {"start": "2097-03-01T16:00:00-06:00", "end": "2097-03-01T18:00:00-06:00"},
                    "stops": [
                        {"kind": "pickup", "name": "Warehouse 4", "address": "1201 Main St, Dallas", "window": None},
                        {"kind": "delivery", "name": "Dock 9", "address": "55 River Rd, Memphis", "window": None},
                    ],
                }
            ],
            "manifest": {
                "items": [{"description": "Apples", "quantity": 38, "unit": "carton", "weight_kg": 6461}],
                "notes": "",
            },
            "assigned_user_ids": [],
        }


def _number(job: str) -> str:
    return f"J-{job.removeprefix('job_')}"


def _leg(version: int) -> str:
    return f"Dallas → Memphis v{version}"


@dataclass(frozen=True, slots=True)
class Load:
    """Tenants, each with so many users, each user with a calendar, and so many jobs."""

    tenants: int
    users: int
    jobs: int

    @property
    def changes(self) -> int:
        """Of one version of every job."""
        return self.tenants * self.jobs

    @property
    def deliveries(self) -> int:
        """Events that stand in the end."""
        return self.changes * self.users

    def every_job(self, version: int = 1) -> list[Change]:
        """Every job once in that version, in an order that is the same each time."""
        changes = [
            Change(tenant, f"job_{place}_{number}", version)
            for place, tenant in enumerate(self._tenants())
            for number in range(self.jobs)
        ]
        random.Random(version).shuffle(changes)  # noqa: S311 - repeatable, not a secret
        return changes

    def connect(self, database_url: str, keys: str) -> None:
        """Everybody has chosen a calendar, with a token that is good for hours."""
        cipher = TokenCipher.from_keys(keys)
        with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO calendar_sync.calendar_connection (tenant_id, user_id, state, account_id, account_email,"
                " calendar_id, calendar_name, scopes, grant_version, refresh_token, access_token,"
                " access_token_expires_at, connected_at) VALUES (%s, %s, 'active', %s, %s, %s, 'Jobs', %s, 1, %s, %s,"
                " now() + make_interval(hours => %s), now())",
                [self._person(cipher, tenant, user) for tenant in self._tenants() for user in range(self.users)],
            )
            cursor.execute(
                "INSERT INTO calendar_sync.lane (tenant_id, calendar_id)"
                " SELECT tenant_id, calendar_id FROM calendar_sync.calendar_connection ON CONFLICT DO NOTHING"
            )

    def fill(self, database_url: str) -> None:
        """Every calendar is to be filled with all upcoming jobs, as when its user has just chosen it."""
        with psycopg.connect(database_url) as connection:
            for tenant in self._tenants():
                for user in range(self.users):
                    key = {"tenant_id": tenant, "calendar_id": calendar_of(tenant, user)}
                    connection.execute(statement("connection/mark_upcoming"), key)
            connection.execute(statement("lane/schedule_lanes"), {"tenant_ids": list(self._tenants())})

    def mistakes(self, state: Mapping[str, Mapping[str, Mapping[str, Any]]], version: int) -> list[str]:
        """What does not stand as it should: every job once in every calendar of its tenant, in its newest state."""
        wrong: list[str] = []
        for place, tenant in enumerate(self._tenants()):
            wanted = {
                change.job: change.summary
                for change in (Change(tenant, f"job_{place}_{number}", version) for number in range(self.jobs))
            }
            for user in range(self.users):
                events = state.get(calendar_of(tenant, user), {}).values()
                shown = {event["job"]: event["summary"] for event in events if event["status"] == "confirmed"}
                if len(events) != len(wanted) or shown != wanted:
                    wrong.append(f"{calendar_of(tenant, user)}: {len(events)} events, {len(wanted)} wanted")
        return wrong

    def _tenants(self) -> Iterator[str]:
        return (f"tenant-{number:03}" for number in range(self.tenants))

    def _person(self, cipher: TokenCipher, tenant: str, user: int) -> tuple[object, ...]:
        user_id, calendar = f"u_{user}", calendar_of(tenant, user)

        def token(column: str) -> bytes:
            return cipher.encrypt(f"{column}-{calendar}", tenant_id=tenant, user_id=user_id, column=column)

        return (
            *(tenant, user_id, calendar, calendar, calendar, [SCOPE]),
            *(token("refresh_token"), token("access_token"), HOURS_VALID),
        )


def calendar_of(tenant: str, user: int) -> str:
    """The id of the calendar that this user has chosen."""
    return f"u_{user}@{tenant}.example.com"


def commit(database_url: str, changes: Iterable[Change]) -> None:
    """Put rows into the outbox, in one transaction."""
    with (
        psycopg.connect(database_url) as connection,
        connection.cursor() as cursor,
        cursor.copy("COPY calendar_sync.outbox (tenant_id, job_id, event_type, payload) FROM STDIN") as copy,
    ):
        for change in changes:
            copy.write_row((change.tenant, change.job, change.event, Jsonb(change.payload)))
