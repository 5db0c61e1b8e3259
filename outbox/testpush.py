"""Test pushes as their users ask for and follow them; `outbox/rehearsal.py` is what the daemon does with one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import uuid4

from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from outbox.connections import active_grant, tenants_wishes
from outbox.database import Connection
from outbox.statements import statement
from outbox.user import User

StepName = Literal["queued", "picked_up", "access", "written", "read_back", "removed"]
STEPS: tuple[StepName, ...] = ("queued", "picked_up", "access", "written", "read_back", "removed")
"""In the order in which they happen."""

JOB_PREFIX = "calendar-sync-test:"
"""Of the job ids under which test pushes go through the queue. A producer's job of such a name is a job like any."""

QUIET_SECONDS = 30.0
"""Without any step for this long, the user is told what that may mean."""

TOO_LATE_SECONDS = 600.0
"""A test push that nobody took up for so long is not carried out any more: its user has left the page."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `detail` is a sentence for the user where there is something to say."""

    name: StepName
    state: Literal["waiting", "running", "done", "failed"]
    at: datetime | None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class TestPush:
    """A test push as far as it has come; `id` is a UUID."""

    __test__ = False  # pytest would take it for a class of tests

    id: str
    state: Literal["running", "succeeded", "failed"]
    requested_at: datetime
    steps: tuple[Step, ...]


def request_test_push(pool: ConnectionPool[Connection], user: User) -> TestPush:
    """Put a test event into the queue, for this user's calendar alone.

    Raises:
        NotActiveError: nothing can be pushed now.
    """
    test_push_id = str(uuid4())
    with tenants_wishes(pool, user.tenant_id) as connection:
        active_grant(connection, user)
        connection.execute(
            statement("test_push/request"),
            {**user.key, "test_push_id": test_push_id, "job_id": f"{JOB_PREFIX}{test_push_id}"},
        )
        connection.execute(statement("test_push/enqueue"), {"test_push_id": test_push_id})
    requested = read_test_push(pool, user, test_push_id)
    if requested is None:
        raise AssertionError("what was just written can be read")
    return requested


def read_test_push(pool: ConnectionPool[Connection], user: User, test_push_id: str) -> TestPush | None:
    """One of the user's test pushes by its UUID; None if there is no such one."""
    return _read(pool, user, test_push_id)


def latest_test_push(pool: ConnectionPool[Connection], user: User) -> TestPush | None:
    """The one that the user asked for last; None if there was none lately."""
    return _read(pool, user, None)


def progress(row: dict[str, Any]) -> TestPush:
    """A stored test push as its steps. Pure."""
    failure: str | None = row["failure"]
    at = {name: row["requested_at" if name == "queued" else f"{name}_at"] for name in STEPS}
    open_steps = [name for name in STEPS if at[name] is None]
    under_way = open_steps[0] if open_steps else None

    def step(name: StepName) -> Step:
        if at[name] is not None:
            return Step(name, "done", at[name])
        if name != under_way:
            return Step(name, "waiting", None)
        if failure is not None:
            return Step(name, "failed", None, failure)
        return Step(name, "running", None, _patience(name) if row["age_seconds"] > QUIET_SECONDS else None)

    state: Literal["running", "succeeded", "failed"] = "failed" if failure else "running" if open_steps else "succeeded"
    return TestPush(row["id"], state, row["requested_at"], tuple(step(name) for name in STEPS))


def _patience(step: StepName) -> str:
    if step == "picked_up":
        return "The sync service has not taken it up yet. If this stays so, it is not running: tell your administrator."
    return "This takes longer than usual. It goes on by itself."


def _read(pool: ConnectionPool[Connection], user: User, test_push_id: str | None) -> TestPush | None:
    with pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(statement("test_push/read"), {**user.key, "test_push_id": test_push_id}).fetchone()
    return None if row is None else progress(row)
