"""Two daemons' parts over one database, driven step by step on a clock that only the model moves."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import psycopg

from outbox.audit import Audit
from outbox.grants import Grants
from outbox.janitor import Janitor
from outbox.lane import DueJob, LaneConnection, Lease, LeaseLostError
from outbox.lane_store import LaneStore, Look
from outbox.leaving import Leaving
from outbox.push import LanePusher
from outbox.pusher import LEASE_SECONDS
from outbox.runtime import oauth_client
from tests.integration.conftest import Engine, World
from tests.integration.steps import cipher_of, lane_pusher
from tests.model.google import CALLS_SECONDS, LATEST_SECONDS, Crash, Fate, FatefulGoogle

BEGINNING = "2027-01-15 12:00:00+00"
"""Of every story; the jobs' dates lie after it, whatever the machine's clock says."""


MOST_CALENDARS = 3
"""That are chosen at a time: there are so many users."""


@dataclass(frozen=True, slots=True)
class Held:
    """A lease that a daemon has taken and not yet pushed.

    Attributes:
        at: on the model's clock.
        forgotten: how many users had been forgotten by then.
    """

    lease: Lease
    at: float
    forgotten: int


class DaemonUnderTest:
    """What one daemon does, in the model's hands."""

    def __init__(self, backstage: "Backstage", engine: Engine, lanes: LanePusher, google: FatefulGoogle) -> None:
        settings = backstage.world.stage.settings
        self._backstage = backstage
        self._lanes = lanes
        self.google = google
        self.engine = engine
        self.store = LaneStore(engine.pool)
        self.grants = Grants(engine.pool, cipher_of(backstage.world), oauth_client(settings, engine.stop))
        self.leaving = Leaving(engine.pool, self.grants)
        self.held: list[Held] = []

    def begin_anew(self) -> None:
        """Nothing is left of an earlier story."""
        self.held.clear()
        self.google.late.clear()

    def lease(self) -> None:
        """Take the lane that is due first, if there is one."""
        self.held += [
            Held(lease, self._backstage.clock, self._backstage.forgotten)
            for lease in self.store.lease(
                limit=1,
                troubled_limit=1,
                lease_seconds=LEASE_SECONDS,
                last_call_ends_by=time.monotonic() + CALLS_SECONDS,
            )
        ]

    def push(self, held: Held, fates: list[Fate], first: Callable[[], None] = lambda: None) -> None:
        """Push a held lane while its calls meet their fates; `first` happens when what is due has just been read."""
        age = self._backstage.clock - held.at
        lease = replace(held.lease, last_call_ends_by=held.lease.last_call_ends_by - age)
        self._backstage.after_reading.append(first)
        self.google.meet(fates, calls_end=held.at + CALLS_SECONDS)
        happened = self._backstage.happened
        try:
            happened.update(self._lanes.push(lease))
        except Crash:
            happened["killed"] += 1  # the lease runs out by itself
        except LeaseLostError:
            happened["lease lost"] += 1
            in_time = self._backstage.clock - held.at < LEASE_SECONDS
            # Whoever is forgotten takes with him the calendars that nobody else has chosen.
            assert not in_time or self._backstage.forgotten > held.forgotten, "a lease was lost in its time"
        finally:
            self.google.rest_in_peace()

    def relay(self) -> None:
        """Take every committed row."""
        while self.engine.relay.relay_batch().claimed:
            pass

    def drain(self) -> None:
        """Push every lane that is due."""
        while True:
            self.lease()
            if not self.held:
                break
            self.push(self.held.pop(), [])

    def relay_and_drain(self) -> None:
        """Do all that there is."""
        self.relay()
        self.drain()

    def chores(self) -> None:
        """What the janitor does, of which two things should find nothing."""
        self.engine.janitor.expire_leases()
        assert self.engine.janitor.mend_due_times() == 0, "a lane's due time was wrong"

    def leave(self, at: str, meanwhile: Callable[[], object]) -> None:
        """A round of leaving; what it found by that statement changes before it acts on it."""
        read = self.leaving._read

        def read_then(name: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
            rows = read(name, parameters)
            if name == at and rows:
                self._backstage.happened[f"mind changed at {at}"] += 1
                meanwhile()
            return rows

        with patch.object(self.leaving, "_read", read_then):
            self.leaving.work()

    def forget_past(self) -> None:
        """Jobs that ended and were last changed a day ago leave the tables."""
        Janitor(self.engine.pool, self.engine.audit, retention_days=1).delete_old_jobs()

    def audit(self) -> set[tuple[str, str]]:
        """A slice for each calendar that somebody has chosen; tenant's key and id of each job that it marks."""
        before = self._backstage.marks()
        template = self._backstage.world.stage.settings.job_url_template
        audit = Audit(self.engine.pool, job_url_template=template)
        for _ in range(MOST_CALENDARS):
            audit.compare_slice()
        return {(tenant, job_id) for tenant, _, job_id in self._backstage.marks() - before}


class Backstage:
    """The database, the clock and the daemons; each story begins with an empty database."""

    def __init__(self, world: World, database: psycopg.Connection[Any]) -> None:
        self.world = world
        self._database = database
        self.clock = 0.0
        self.forgotten = 0
        self.happened: Counter[str] = Counter()
        self.after_reading: list[Callable[[], None]] = []
        self.daemons: list[DaemonUnderTest] = []
        self.execute(
            "CREATE OR REPLACE FUNCTION calendar_sync.now() RETURNS timestamptz LANGUAGE sql STABLE"
            f" AS $$SELECT timestamptz '{BEGINNING}' + (SELECT ahead FROM public.test_clock)$$"
        )
        tables = self.execute(
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_schema = 'calendar_sync' AND table_type = 'BASE TABLE' ORDER BY table_name"
        )
        # What the migrations filled stays.
        self._tables = [
            f"calendar_sync.{table}"
            for (table,) in tables
            if not self.execute(f"SELECT 1 FROM calendar_sync.{table} LIMIT 1")
        ]

    def reset(self) -> None:
        """Everything of the last story is gone."""
        # Not DELETE: rows would then lie, and be found, in an order that depends on earlier stories.
        self.execute(f"TRUNCATE {', '.join(self._tables)}")
        for daemon in self.daemons:
            daemon.begin_anew()
        self.world.heal()
        self.clock = 0.0
        self.pass_time(0.0)

    def execute(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement as the database's owner."""
        cursor = self._database.execute(query, list(parameters))
        return cursor.fetchall() if cursor.description else []

    def pass_time(self, seconds: float) -> None:
        """Move the clock. Requests under way that would come too late come now."""
        for daemon in self.daemons:
            for late in list(daemon.google.late):
                if late.sent_at + LATEST_SECONDS <= self.clock + seconds:
                    daemon.google.deliver(late, time.monotonic() + CALLS_SECONDS)
        self.clock += seconds
        self.execute("UPDATE public.test_clock SET ahead = make_interval(secs => %s)", self.clock)

    @property
    def is_late(self) -> bool:
        """Whether a request is under way whose sender has given up."""
        return any(daemon.google.late for daemon in self.daemons)

    def deliver_late(self) -> None:
        """Every request under way arrives."""
        for daemon in self.daemons:
            for late in list(daemon.google.late):
                daemon.google.deliver(late, time.monotonic() + CALLS_SECONDS)

    def seconds_until_due(self) -> float | None:
        """Until a lane is due; None if none will be."""
        [[seconds]] = self.execute(
            "SELECT extract(epoch FROM min(due_at) - calendar_sync.now())::float8 FROM calendar_sync.lane"
        )
        return None if seconds is None else float(seconds)

    def marks(self) -> set[tuple[str, str, str]]:
        """What has to be looked at, by tenant, calendar and job."""
        rows = self.execute("SELECT tenant_id, calendar_id, job_id FROM calendar_sync.pending_push")
        return {(tenant, calendar, job_id) for tenant, calendar, job_id in rows}

    def records(self, tenant_id: str, calendars: list[str]) -> set[tuple[str, ...]]:
        """These calendars' lanes, and what we put there."""
        query = (
            "SELECT calendar_id, '' FROM calendar_sync.lane WHERE (tenant_id, calendar_id) IN"
            " (SELECT %(tenant)s, unnest(%(calendars)s::text[])) UNION ALL"
            " SELECT calendar_id, event_id FROM calendar_sync.pushed_event WHERE (tenant_id, calendar_id) IN"
            " (SELECT %(tenant)s, unnest(%(calendars)s::text[]))"
        )
        return set(self._database.execute(query, {"tenant": tenant_id, "calendars": calendars}).fetchall())

    def rows_about(self, tenant_id: str, user_id: str) -> list[str]:
        """The tables that have rows about a user."""
        tables = self.execute(
            "SELECT table_name FROM information_schema.columns"
            " JOIN information_schema.tables USING (table_schema, table_name)"
            " WHERE table_schema = 'calendar_sync' AND table_type = 'BASE TABLE'"
            " AND column_name IN ('tenant_id', 'user_id') GROUP BY table_name HAVING count(*) = 2"
        )
        query = "SELECT EXISTS (SELECT FROM calendar_sync.{} WHERE (tenant_id, user_id) = (%s, %s))"
        return [table for (table,) in tables if self.execute(query.format(table), tenant_id, user_id) == [(True,)]]

    def states(self) -> dict[tuple[str, str], str]:
        """Each connection's state by tenant and user."""
        rows = self.execute("SELECT tenant_id, user_id, state FROM calendar_sync.calendar_connection")
        return {(tenant, user): state for tenant, user, state in rows}

    def waits(self) -> list[str]:
        """Why it is not over yet: what still has to happen without anybody's help."""
        return [reason for reason, query in _WAITS.items() if self.execute(f"SELECT EXISTS ({query})") == [(True,)]]


_OF_THE_ACTIVE = (
    "JOIN calendar_sync.calendar_connection AS connection USING (connection_id)"
    " WHERE connection.state IN ('active', 'disconnecting') AND NOT connection.paused"
)
_WAITS = {
    "rows are not relayed": "SELECT FROM calendar_sync.outbox",
    "lanes are due": "SELECT FROM calendar_sync.lane WHERE due_at IS NOT NULL OR lease_token IS NOT NULL",
    "problems are parked": "SELECT FROM calendar_sync.pending_push WHERE problem IS NOT NULL",
    "calendars are being left": f"SELECT FROM calendar_sync.departure {_OF_THE_ACTIVE}",
    "users are being disconnected": ("SELECT FROM calendar_sync.calendar_connection WHERE state = 'disconnecting'"),
    "grants are to be revoked": "SELECT FROM calendar_sync.abandoned_grant",
}


@contextmanager
def open_backstage(world: World) -> Iterator[Backstage]:
    """Two daemons over the world's database."""
    read = Look.read

    def read_then(look: Look, **what: Any) -> tuple[list[DueJob], list[LaneConnection]]:
        found = read(look, **what)
        if backstage.after_reading:
            backstage.after_reading.pop()()
        return found

    with psycopg.connect(world.database_url, autocommit=True) as database, patch.object(Look, "read", read_then):
        backstage = Backstage(world, database)
        with world.engine() as first, world.engine() as second:
            googles = [FatefulGoogle(backstage) for _ in range(2)]
            with lane_pusher(world, first, googles[0]) as one, lane_pusher(world, second, googles[1]) as two:
                backstage.daemons += [
                    DaemonUnderTest(backstage, first, one, googles[0]),
                    DaemonUnderTest(backstage, second, two, googles[1]),
                ]
                yield backstage
