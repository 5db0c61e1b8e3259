"""The test push, step by step, in plain words. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from outbox.testpush import StepName, TestPush
from web.page.notices import Tone

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
