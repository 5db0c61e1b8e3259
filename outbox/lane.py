"""A lane, one calendar of one tenant, in values: who holds it, what is due on it, and what a push of it found out."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to be the only writer to one calendar for a while.

    Attributes:
        failures: how many pushes of this lane in a row ended in a rest.
        last_call_ends_by: time.monotonic() after which no call may be under way; well before the lease ends.
        was_due_at: by the database's clock.
    """

    tenant_id: str
    calendar_id: str
    token: UUID
    failures: int
    last_call_ends_by: float
    was_due_at: datetime | None = None

    @property
    def seconds_left(self) -> float:
        """For calls."""
        return max(0.0, self.last_call_ends_by - time.monotonic())

    @property
    def key(self) -> dict[str, Any]:
        """The lane's key as statement parameters."""
        return {"tenant_id": self.tenant_id, "calendar_id": self.calendar_id}


class LeaseLostError(Exception):
    """The lease ended before its holder settled: whatever it did is in doubt, and nothing of it may be written."""


class DueJob(NamedTuple):
    """One pending push with the job as it is now and what we last put there; None where there is no such row.

    Attributes:
        version: of the job.
        payload: None also where it was not asked for.
        seconds_since_marked: since the first of the changes that it is due for was taken from the outbox.
    """

    job_id: str
    generation: int
    attempts: int
    priority: int
    seconds_since_marked: float
    version: int | None
    cancelled: bool | None
    payload: str | None
    event_id: str | None
    id_generation: int | None
    in_doubt: bool | None
    etag: str | None
    content_hash: bytes | None
    users_fields: str | None
    seen_by: int | None
    ever_confirmed: bool
    seconds_since_write: float | None
    unsettled_starts: int
    retired_event_ids: list[str]

    @property
    def job_exists(self) -> bool:
        """Whether there is such a job; else it was forgotten, or this is a test push."""
        return self.version is not None


@dataclass(frozen=True, slots=True)
class LaneConnection:
    """Somebody who has chosen this calendar, or is leaving it.

    Tokens are encrypted; times are seconds from now, negative once past.

    Attributes:
        emptying: has left, and what it wanted here is being removed.
        may_push: its user wants its grant to be used here now, and it works as far as we know.
    """

    tenant_id: str
    connection_id: int
    user_id: str
    account_id: str | None
    state: str
    job_filter: Literal["all", "assigned"]
    grant_version: int
    refresh_token: bytes | None = field(repr=False)
    access_token: bytes | None = field(repr=False)
    emptying: bool
    may_push: bool
    access_token_seconds_left: float | None
    cooling_seconds_left: float | None

    @property
    def rest_left(self) -> float:
        """Seconds that Google still wants this account to wait; 0 if none."""
        return max(0.0, self.cooling_seconds_left or 0.0)

    def wants(self, assigned_user_ids: tuple[str, ...]) -> bool:
        """Whether this user wants a live job with these assignees; a broken or paused connection still does."""
        if self.emptying or self.state not in ("active", "needs_reconnect", "calendar_lost"):
            return False
        return self.job_filter == "all" or self.user_id in assigned_user_ids


class Intent(NamedTuple):
    """What is about to be tried for one job.

    Attributes:
        present: a write that makes the event may be sent.
        units: of quota that this usually takes.
    """

    due: DueJob
    event_id: str
    id_generation: int
    present: bool
    units: int = 1


class Standing(NamedTuple):
    """A definite answer to be settled; `resource` None: nothing stands there."""

    job_id: str
    content_hash: bytes | None
    resource: Mapping[str, Any] | None
    seen_by: int


class Undone(NamedTuple):
    """A job to be looked at again after `wait_seconds`, or parked with a problem (None)."""

    due: DueJob
    wait_seconds: float | None
    problem: str | None
    charged: bool


@dataclass(slots=True)
class Settlement:
    """Everything that one push of a lane found out.

    Attributes:
        standing: definite answers.
        done: marks that were answered.
        undone: marks that stay.
        unasked: jobs whose intent was stored but for which no request was made.
        gone_retired_ids: event ids given up earlier whose events have been seen gone.
        rest_seconds: how long the lane is to be left alone; 0 if it need not rest.
        backlog_rest_seconds: how long only what is not live has to wait.
        troubled: the push ended without an answer, or with nobody left who could go on; None if it asked for nothing
            of what it leaves behind, so that the lane stays as it was.
    """

    standing: list[Standing] = field(default_factory=list)
    done: list[DueJob] = field(default_factory=list)
    undone: list[Undone] = field(default_factory=list)
    unasked: list[DueJob] = field(default_factory=list)
    gone_retired_ids: list[str] = field(default_factory=list)
    rest_seconds: float = 0.0
    backlog_rest_seconds: float = 0.0
    troubled: bool | None = False
