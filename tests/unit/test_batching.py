"""How many calls go together, by how the last ones fared."""

import pytest

from outbox.batching import ALONE_SECONDS, SLOW_SECONDS, BatchSizes
from outbox.google.client import Together
from outbox.google.meaning import Answer, Meaning

LANE = ("acme", "cal-1")
WELL = Together([Answer(Meaning.DONE)])
CROWDED = Together([Answer(Meaning.DONE)], crowded=True)
SILENCE = Together([Answer(Meaning.NO_ANSWER)])
REFUSED = Together([Answer(Meaning.NOT_SENT)], refused=True)


@pytest.mark.parametrize(("together", "seconds"), [(CROWDED, 0.1), (SILENCE, 0.1), (WELL, SLOW_SECONDS + 0.1)])
def test_too_many_at_once_are_halved_each_time_down_to_one(together: Together, seconds: float) -> None:
    sizes = BatchSizes(50)
    seen = []
    for _ in range(7):
        sizes.learn(LANE, together, calls=50, seconds=seconds)
        seen.append(sizes.of(LANE))
    assert seen == [25, 12, 6, 3, 1, 1, 1]
    assert sizes.of(("acme", "cal-2")) == 50


def test_they_recover_by_one_with_each_full_batch_that_goes_well() -> None:
    sizes = BatchSizes(50)
    for _ in range(5):
        sizes.learn(LANE, CROWDED, calls=50, seconds=0.1)
    sizes.went_well(LANE)
    assert sizes.of(LANE) == 2
    sizes.learn(LANE, WELL, calls=1, seconds=0.1)
    assert sizes.of(LANE) == 2
    for _ in range(100):
        sizes.learn(LANE, WELL, calls=50, seconds=0.1)
    assert sizes.of(LANE) == 50


def test_where_no_batch_is_taken_calls_go_one_by_one_for_a_while() -> None:
    now = [100.0]
    sizes = BatchSizes(50, clock=lambda: now[0])
    sizes.learn(LANE, REFUSED, calls=50, seconds=0.1)
    sizes.cannot_go_together(("acme", "cal-2"))
    for _ in range(3):
        sizes.went_well(LANE)
        assert (sizes.of(LANE), sizes.of(("acme", "cal-2"))) == (1, 1)
    now[0] += ALONE_SECONDS
    assert (sizes.of(LANE), sizes.of(("acme", "cal-2"))) == (2, 50)
