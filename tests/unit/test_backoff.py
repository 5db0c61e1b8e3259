"""Waits grow, spread, and never pass an hour by more than their spread."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.backoff import LONGEST_SECONDS, SPREAD, backoff_seconds

MIDDLE = 0.5
"""The chance that spreads a wait neither way."""

ATTEMPTS = st.integers(min_value=1, max_value=10**9)
CHANCES = st.floats(min_value=0, max_value=1, exclude_max=True)


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(1, 5), (2, 15), (3, 45), (4, 135), (5, 405), (6, 1215), (7, 3600), (31, 3600), (32, 3600)],
)
def test_each_wait_is_three_times_the_one_before_up_to_an_hour(attempts: int, seconds: float) -> None:
    assert backoff_seconds(attempts, MIDDLE) == seconds


@given(ATTEMPTS, CHANCES)
def test_a_wait_is_within_a_quarter_of_its_middle_and_never_nothing(attempts: int, chance: float) -> None:
    middle = backoff_seconds(attempts, MIDDLE)
    assert 0 < middle <= LONGEST_SECONDS
    assert middle * (1 - SPREAD) <= backoff_seconds(attempts, chance) <= middle * (1 + SPREAD)


@given(ATTEMPTS, CHANCES)
def test_another_attempt_never_shortens_the_wait(attempts: int, chance: float) -> None:
    assert backoff_seconds(attempts, chance) <= backoff_seconds(attempts + 1, chance)


@given(ATTEMPTS, CHANCES, CHANCES)
def test_what_failed_together_comes_back_in_the_order_of_chance(attempts: int, one: float, other: float) -> None:
    sooner, later = sorted([one, other])
    assert backoff_seconds(attempts, sooner) <= backoff_seconds(attempts, later)
