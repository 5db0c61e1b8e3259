"""What the settings page says, decided from what is on record. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from outbox.connection_view import ConnectionView, JobProblem
from outbox.event import job_url
from outbox.testpush import TestPush
from web.feed.feeds import FeedView, NewFeed
from web.operations import PickerCalendar
from web.page.asks import Ask, asks_of
from web.page.feed import FeedSection, view_feed
from web.page.goodbye import Goodbye, goodbye_of
from web.page.notices import Notice
from web.page.progress import Course, TestPushView, courses_of, view_test_push
from web.page.state import Badge, Banner, Status, badge_of, banner_of, status_of


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the page is made of, as read for one user at one moment.

    `calendars` is the list for the picker, or the sentence why there is none, or None where no picker is shown.
    `unfinished` is when the user last set out for Google without coming back.
    `job_url_template` is where the host app shows a job, if that is configured.
    `scopes` is what Google is asked for.
    `colleague`: one syncs to the same calendar, and stays there if the user disconnects.
    `feed` is the iCalendar feed; `new_feed` the same with the address that was just made for it.
    """

    connection: ConnectionView
    now: datetime
    client_id: str
    calendars: Sequence[PickerCalendar] | str | None = None
    problems: Sequence[JobProblem] = ()
    test_push: TestPush | None = None
    unfinished: datetime | None = None
    notice: Notice | None = None
    job_url_template: str | None = None
    scopes: Collection[str] = ()
    colleague: bool = False
    feed: FeedView | None = None
    new_feed: NewFeed | None = None


@dataclass(frozen=True, slots=True)
class Picker:
    """The choice of a calendar: the list, or the sentence why there is none."""

    calendars: Sequence[PickerCalendar]
    unavailable: str | None
    first_choice: bool
    """There is no calendar at the moment, so there is nothing to go back to."""


@dataclass(frozen=True, slots=True)
class ProblemView:
    """A job that could not be pushed; `url` is where the host app shows it."""

    id: str
    job: str
    url: str | None
    reason: str
    since: datetime
    last_tried_at: datetime | None


@dataclass(frozen=True, slots=True)
class Leave:
    """What the disconnect form offers; `may_remove` is false where Google lets us remove nothing any more. `colleague`:
    one syncs to the same calendar, so that what becomes of the events is not the user's choice alone.
    """

    calendar: str | None
    may_remove: bool
    colleague: bool


@dataclass(frozen=True, slots=True)
class PageView:
    """The page, section by section; None: the section is not shown."""

    connection: ConnectionView
    client_id: str
    asks: Sequence[Ask]
    """What Google will ask the user to allow."""
    badge: Badge
    live: bool
    """Figures will change by themselves soon: the script looks again every few seconds."""
    notice: Notice | None
    banner: Banner | None
    status: Status | None
    courses: Sequence[Course]
    """What is being done to the user's calendars."""
    picker: Picker | None
    problems: Sequence[ProblemView]
    more_problems: int
    """How many there are beyond those listed."""
    other_jobs: str
    """How the jobs do that have no problem."""
    preferences: bool
    checks: bool
    test_push: TestPushView | None
    leave: Leave | None
    goodbye: Goodbye | None
    unfinished: datetime | None
    feed: FeedSection


WAITS_FOR_CALENDAR = frozenset({"choose_calendar", "calendar_lost"})
"""The states in which the picker is the page's main matter."""

MAY_CHANGE_CALENDAR = frozenset({"active", "paused"})
"""The states in which the picker is shown when it is asked for."""

_OTHER_JOBS = {
    "active": "All other jobs go on as usual.",
    "paused": "Syncing is paused: what you retry now is tried when you resume.",
    "needs_reconnect": "Nothing is pushed before you reconnect; what you retry now is tried then.",
    "choose_calendar": "Nothing is pushed before you choose a calendar; what you retry now is tried then.",
    "calendar_lost": "Nothing is pushed before you choose another calendar; what you retry now is tried then.",
}

_PREFERENCES_IN = frozenset({"active", "paused", "needs_reconnect", "calendar_lost"})


def view_page(facts: Facts) -> PageView:
    """The page for these facts."""
    connection = facts.connection
    state = connection.state
    resting = _resting(connection, facts.now)
    return PageView(
        connection=connection,
        client_id=facts.client_id,
        asks=asks_of(facts.scopes),
        badge=badge_of(connection, resting),
        live=_is_live(connection),
        notice=facts.notice,
        banner=banner_of(connection, facts.client_id),
        status=status_of(connection, resting, colleague=facts.colleague),
        courses=courses_of(connection),
        picker=_picker(facts),
        problems=[_problem(problem, facts.job_url_template) for problem in facts.problems],
        more_problems=max(0, connection.problems - len(facts.problems)) if facts.problems else 0,
        other_jobs=_OTHER_JOBS.get(state, ""),
        preferences=state in _PREFERENCES_IN,
        checks=state == "active",
        test_push=view_test_push(facts.test_push) if state == "active" and facts.test_push is not None else None,
        leave=_leave(connection, facts.colleague),
        goodbye=goodbye_of(connection.last_disconnect) if state == "not_connected" else None,
        unfinished=facts.unfinished if state in {"not_connected", "needs_reconnect"} else None,
        feed=view_feed(facts.feed, facts.new_feed, preferences=state in _PREFERENCES_IN),
    )


def wants_calendars(state: str, *, asked: bool) -> bool:
    """Whether the page needs the list of calendars, for which Google has to be asked.

    Args:
        asked: the user wants to change the calendar.
    """
    return state in WAITS_FOR_CALENDAR or (asked and state in MAY_CHANGE_CALENDAR)


def _picker(facts: Facts) -> Picker | None:
    if facts.calendars is None:
        return None
    first_choice = facts.connection.state in WAITS_FOR_CALENDAR
    if isinstance(facts.calendars, str):
        return Picker((), facts.calendars, first_choice)
    return Picker(facts.calendars, None, first_choice)


def _problem(problem: JobProblem, job_url_template: str | None) -> ProblemView:
    url = None if job_url_template is None else job_url(job_url_template, problem.job_id)
    return ProblemView(
        problem.id,
        problem.job_number or problem.job_id,
        url,
        problem.reason,
        problem.since,
        problem.last_tried_at,
    )


def _leave(connection: ConnectionView, colleague: bool) -> Leave | None:
    state = connection.state
    if state in {"not_connected", "disconnecting"}:
        return None
    may_remove = state in MAY_CHANGE_CALENDAR or (state == "choose_calendar" and bool(connection.leaving))
    return Leave(connection.calendar_name, may_remove, colleague)


def _resting(connection: ConnectionView, now: datetime) -> datetime | None:
    until = connection.resting_until
    return until if until is not None and until > now else None


def _is_live(connection: ConnectionView) -> bool:
    if connection.state in {"active", "disconnecting"}:
        return connection.pending > 0 or bool(connection.leaving) or connection.state == "disconnecting"
    return False
