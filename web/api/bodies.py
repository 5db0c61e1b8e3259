"""What the API takes and gives: request bodies, each with exactly the fields named here, and answers."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from outbox import connection_view
from outbox.connection_view import ConnectionState, ConnectionView, JobProblem, ReconnectReason
from outbox.connections import JobFilter
from outbox.grants import Revocation
from outbox.testpush import StepName, TestPush
from outbox.trouble import RestReason
from web.operations import PickerCalendar

Count = Annotated[int, Field(ge=0)]


class Request(BaseModel):
    """A request body. No type is converted into another, and a field that is not known is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("leave the field out instead of sending null")
        return value


class ConnectRequest(Request):
    """Where the browser goes once Google has answered, and with which account."""

    return_to: str = Field(
        default="",
        max_length=2000,
        description="A path on this site, which may have a query; the settings page unless given.",
        examples=["/settings/integrations/google-calendar"],
        json_schema_extra={"pattern": r"^/([!#-&(-.0-9:;=?@A-Z_a-z~-][!#-&(-.0-9:;=?@A-Z_a-z~/-]*)?$", "minLength": 1},
    )
    other_account: bool = Field(
        default=False,
        description="true: the user chooses the account, also where the one that was connected is to be renewed.",
        examples=[False],
    )


class ChangeRequest(Request):
    """What to change; what is left out stays as it is."""

    calendar_id: str = Field(
        default="",
        min_length=1,
        max_length=1024,
        pattern=r"^[!-.0-\[\]-~]+$",
        description="One of the ids of `GET …/calendars`.",
        examples=["dispatch@group.calendar.google.com"],
    )
    job_filter: JobFilter = Field(default="all", description="Which jobs the calendar shows.", examples=["assigned"])
    paused: bool = Field(default=False, description="While true nothing is sent to the calendar.", examples=[False])


class DisconnectRequest(Request):
    """What becomes of the events."""

    remove_events: bool = Field(
        description="true: the events we added are removed first; false: they stay. Where a colleague syncs to the "
        "same calendar, what the colleague wants stays either way and is kept up to date, and the rest goes. While "
        "disconnecting, false ends the connection at once.",
        examples=[True],
    )


class Answer(BaseModel):
    """An answer's body."""

    model_config = ConfigDict(frozen=True)


class Progress(Answer):
    """How far something long has come. Later changes count in neither figure."""

    done: Count
    total: Count = Field(description="How much there was to do when it began.")

    @classmethod
    def of(cls, view: connection_view.Progress | None) -> "Progress | None":
        """The body for progress as it is."""
        return None if view is None else cls(done=view.done, total=view.total)


class Leaving(Answer):
    """A calendar that is still to be emptied."""

    name: str
    events: Count = Field(description="How many events are left to remove; of a shared calendar, to look at.")
    progress: Progress | None = Field(description="null until it begins: the new calendar is filled first.")
    shared: bool = Field(description="A colleague syncs to the same calendar: what the colleague wants stays.")


class Departed(Answer):
    """How the last disconnect ended."""

    revocation: Revocation
    events_left: Count = Field(description="Events of ours that stayed in the calendar or are still to be removed.")


class Connection(Answer):
    """The user's connection to Google Calendar."""

    connected: bool = Field(description="Whether a grant of Google is stored: in every state but `not_connected`.")
    state: ConnectionState
    account_email: str | None
    calendar_id: str | None
    calendar_name: str | None
    scopes: list[str]
    connected_at: datetime | None
    last_pushed_at: datetime | None
    pending: Count = Field(description="Jobs that wait to be pushed to the calendar.")
    problems: Count = Field(description="Jobs that could not be pushed; `GET …/problems` says why.")
    filling: Progress | None = Field(
        description="While every upcoming job is being brought to the calendar, or compared with it: how many are "
        "done. null when that is over. A job that could not be pushed is not done."
    )
    reconnect_reason: ReconnectReason | None
    job_filter: JobFilter
    paused: bool
    resting_until: datetime | None = Field(description="Nothing is pushed until then; we go on by ourselves.")
    resting_reason: RestReason | None = Field(
        description="Why. limit: Google asked the account to wait. no_calendar: Google Calendar is switched off for "
        "the account. no_answer: Google does not answer. ours: something of this installation is to be mended."
    )
    leaving: list[Leaving] = Field(
        description="Calendars to be emptied: former ones, and while `disconnecting` the chosen one."
    )
    last_disconnect: Departed | None

    @classmethod
    def of(cls, view: ConnectionView) -> "Connection":
        """The body for a connection as it is."""
        last = view.last_disconnect
        return cls(
            connected=view.state != "not_connected",
            state=view.state,
            account_email=view.account_email,
            calendar_id=view.calendar_id,
            calendar_name=view.calendar_name,
            scopes=list(view.scopes),
            connected_at=view.connected_at,
            last_pushed_at=view.last_pushed_at,
            pending=view.pending,
            problems=view.problems,
            filling=Progress.of(view.filling),
            reconnect_reason=view.reconnect_reason,
            job_filter=view.job_filter,
            paused=view.paused,
            resting_until=view.resting_until,
            resting_reason=view.resting_reason,
            leaving=[
                Leaving(
                    name=calendar.name,
                    events=calendar.events,
                    progress=Progress.of(calendar.progress),
                    shared=calendar.shared,
                )
                for calendar in view.leaving
            ],
            last_disconnect=None
            if last is None
            else Departed(revocation=last.revocation, events_left=last.events_left),
        )


class Departure(Answer):
    """The address of Google's consent page, to send the browser to."""

    authorize_url: str


class Calendar(Answer):
    """A calendar that can be chosen."""

    id: str
    name: str
    primary: bool = Field(description="The account's main calendar.")
    chosen: bool = Field(description="The one that this connection uses now.")
    colleagues: bool = Field(description="A colleague has chosen it too: each job appears in it once.")

    @classmethod
    def of(cls, calendar: PickerCalendar) -> "Calendar":
        """The body for a calendar of the picker."""
        return cls(
            id=calendar.id,
            name=calendar.name,
            primary=calendar.primary,
            chosen=calendar.chosen,
            colleagues=calendar.colleagues,
        )


class Calendars(Answer):
    """The account's calendars that events can be written to, in the picker's order."""

    calendars: list[Calendar]


class Disconnected(Answer):
    """How a disconnect went."""

    state: ConnectionState
    revocation: Revocation = Field(
        description="revoked: our access has ended. shared: another connection lives on that Google account, so it was "
        "kept. dead: it had ended before. unanswered, refused: Google did not end it; the user can, at "
        "myaccount.google.com/permissions. nothing: there was none. pending: the events are removed first."
    )


class TestPushStep(Answer):
    """One step of a test push."""

    __test__ = False  # no test case, whatever its name begins with

    name: StepName
    state: Literal["waiting", "running", "done", "failed"]
    at: datetime | None
    detail: str | None = Field(description="Where it failed: why, in a sentence for the user.")


class TestPushReport(Answer):
    """A test push, each step as far as it has come."""

    __test__ = False

    id: str
    state: Literal["running", "succeeded", "failed"]
    requested_at: datetime
    steps: list[TestPushStep]

    @classmethod
    def of(cls, test: TestPush) -> "TestPushReport":
        """The body for a test push as it is."""
        steps = [TestPushStep(name=step.name, state=step.state, at=step.at, detail=step.detail) for step in test.steps]
        return cls(id=test.id, state=test.state, requested_at=test.requested_at, steps=steps)


class Resynced(Answer):
    """What a resync will look at."""

    marked: Count = Field(description="How many jobs were marked to be pushed again.")


class Problem(Answer):
    """A job that could not be pushed."""

    id: str
    job_id: str
    job_number: str | None
    reason: str = Field(description="A sentence for the user, and Google's own words in brackets where it was Google.")
    since: datetime = Field(description="When the change came about that could not be pushed.")
    last_tried_at: datetime | None = Field(description="When it was tried last, as far as that is known.")

    @classmethod
    def of(cls, problem: JobProblem) -> "Problem":
        """The body for a job's problem."""
        return cls(
            id=problem.id,
            job_id=problem.job_id,
            job_number=problem.job_number,
            reason=problem.reason,
            since=problem.since,
            last_tried_at=problem.last_tried_at,
        )


class Problems(Answer):
    """The jobs that could not be pushed, at most the hundred that have waited longest."""

    problems: list[Problem]
