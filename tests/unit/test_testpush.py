"""A stored test push as the steps that its user sees."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from outbox.testpush import QUIET_SECONDS, STEPS, progress

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


def stored(done: int, *, failure: str | None = None, age_seconds: float = 1.0) -> dict[str, Any]:
    """A row that has come through so many steps after the first."""
    at = {f"{name}_at": NOON + timedelta(seconds=place) for place, name in enumerate(STEPS[1:], 1) if place <= done}
    missing = {f"{name}_at": None for name in STEPS[1:]}
    return {"id": "x", "requested_at": NOON, "failure": failure, "age_seconds": age_seconds, **missing, **at}


def test_a_new_one_waits_for_the_sync_service() -> None:
    steps = progress(stored(0)).steps
    assert [step.state for step in steps] == ["done", "running", "waiting", "waiting", "waiting", "waiting"]


def test_one_that_nobody_takes_up_says_what_that_may_mean() -> None:
    quiet = progress(stored(0, age_seconds=QUIET_SECONDS + 1)).steps[1]
    assert (quiet.state, "not running" in (quiet.detail or "")) == ("running", True)


def test_one_that_fails_shows_the_reason_at_the_step_it_did_not_reach() -> None:
    failed = progress(stored(2, failure="Google refused."))
    assert failed.state == "failed"
    assert [(step.name, step.detail) for step in failed.steps if step.state == "failed"] == [
        ("written", "Google refused.")
    ]


@given(st.integers(0, 5), st.none() | st.just("No."), st.floats(0, 1000))
def test_steps_are_done_in_order_and_at_most_one_is_under_way(done: int, failure: str | None, age: float) -> None:
    shown = progress(stored(done, failure=failure, age_seconds=age))
    states = [step.state for step in shown.steps]
    assert states == sorted(states, key=["done", "running", "failed", "waiting"].index)
    assert states.count("running") + states.count("failed") == (done < 5)
    assert shown.state == ("failed" if failure else "running" if done < 5 else "succeeded")
