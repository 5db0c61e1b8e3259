"""How far something has come, in plain words: filling and emptying calendars, and the test push step by step. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from outbox.connection_view import ConnectionView, LeavingCalendar, Progress
from outbox.testpush import StepName, TestPush
from web.page import wording
from web.page.notices import Tone


@dataclass(frozen=True, slots=True)
class Course:
    """Something that takes a while: a sentence, and the figures for a bar; None: it waits for its turn."""

    sentence: str
    progress: Progress | None


def courses_of(connection: ConnectionView) -> list[Course]:
    """What is being done to the user's calendars: the one that is filled, then those from which events are to go."""
    courses = [_emptying(left) for left in connection.leaving if left.events]
    if connection.filling is not None:
        done, total = connection.filling.done, connection.filling.total
        sentence = wording.jobs_done(done, total, connection.calendar_name or "your calendar")
        courses.insert(0, Course(sentence, connection.filling))
    return courses


def _emptying(left: LeavingCalendar) -> Course:
    if left.progress is None:
        return Course(wording.events_to_go(left.events, left.name, shared=left.shared), None)
    done, total = left.progress.done, left.progress.total
    return Course(wording.events_gone(done, total, left.name, shared=left.shared), left.progress)


STEP_LABELS: Mapping[StepName, str] = {
    "queued": "Put into the queue",
    "picked_up": "Taken up by the sync service",
    "access": "Google let us in",
    "written": "Event written",
    "read_back": "Read back and compared",
    "removed": "Removed again",
}
"""What each step is called, in the order in which they happen."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A test push in a few words, and a sentence more."""

    tone: Tone
    headline: str
    detail: str


_SUMMARIES: Mapping[str, Summary] = {
    "running": Summary("info", "The test is running", "Each step is ticked off as it happens."),
    "succeeded": Summary("good", "Everything works", "A test event was written, read back and removed again."),
    "failed": Summary("bad", "The test did not get through", "The step that failed says why."),
}
_SLOW = Summary("warning", "This takes longer than usual", "The test goes on without this page. Reload it to see more.")
_LOST = Summary("warning", "The test cannot be followed any more", "Reload this page.")

_STATES = {"waiting": "waiting", "running": "under way", "done": "done", "failed": "failed"}


@dataclass(frozen=True, slots=True)
class StepView:
    """A step as a line: its state also in words, for those who do not see the mark."""

    name: StepName
    label: str
    state: Literal["waiting", "running", "done", "failed"]
    state_text: str
    at: datetime | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class TestPushView:
    """The last test push."""

    id: str
    state: Literal["running", "succeeded", "failed"]
    summary: Summary
    requested_at: datetime
    steps: Sequence[StepView]

    __test__ = False


def view_test_push(test_push: TestPush) -> TestPushView:
    """The test push as the page shows it."""
    return TestPushView(
        id=test_push.id,
        state=test_push.state,
        summary=_SUMMARIES[test_push.state],
        requested_at=test_push.requested_at,
        steps=[
            StepView(step.name, STEP_LABELS[step.name], step.state, _STATES[step.state], step.at, step.detail)
            for step in test_push.steps
        ],
    )


SCRIPT_WORDS: Mapping[str, Mapping[str, str] | Mapping[str, Mapping[str, str]]] = {
    "steps": _STATES,
    "summaries": {name: asdict(summary) for name, summary in (*_SUMMARIES.items(), ("slow", _SLOW), ("lost", _LOST))},
}
"""What the script says while it follows a test push, so that it has no words of its own."""
