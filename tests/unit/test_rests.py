"""How long a connection rests that Google asked to slow down: longer each time, and never for long."""

import pytest

from outbox.google.meaning import Answer, Meaning
from outbox.trouble import LONGEST_RATE_LIMIT_REST_SECONDS, Resting, trouble_in_answer


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 15), (1, 30), (2, 60), (3, 120), (4, 240), (5, 240), (10**6, 240)]
)
def test_each_rest_is_twice_the_one_before_up_to_four_minutes(failures: int, seconds: float) -> None:
    assert trouble_in_answer(Answer(Meaning.RATE_LIMITED), failures) == Resting(seconds, "")


def test_what_google_asks_for_is_kept_to_however_long() -> None:
    asked = LONGEST_RATE_LIMIT_REST_SECONDS + 100
    assert trouble_in_answer(Answer(Meaning.RATE_LIMITED, retry_after=asked), 0) == Resting(asked, "")
