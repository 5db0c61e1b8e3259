"""What an operator has to mend is said once and then slowly, and asked about by one for all."""

import pytest
from structlog.testing import capture_logs

from outbox.alarm import ANSWER_SECONDS, OVER_AFTER_SECONDS, SAY_EVERY_SECONDS, Alarm, Gate
from outbox.metrics import REGISTRY


class Clock:
    """Time in the test's hands."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def said(alarm: Alarm, reason: str = "invalid_client") -> bool:
    """Whether telling the alarm of it now makes an error in the log."""
    with capture_logs() as logs:
        alarm.tell(reason)
    return [(entry["log_level"], entry["reason"]) for entry in logs] == [("error", reason)]


def test_a_matter_is_said_once_however_many_meet_it(clock: Clock) -> None:
    alarm = Alarm(clock)
    assert [said(alarm) for _ in range(100)] == [True] + [False] * 99
    assert said(alarm, "accessNotConfigured")


def test_whoever_watches_the_metrics_sees_each_time_that_it_is_met(clock: Clock) -> None:
    def met() -> float:
        return REGISTRY.get_sample_value("calendar_sync_operators_matters_total") or 0.0

    before, alarm = met(), Alarm(clock)
    for _ in range(3):
        alarm.tell("accessNotConfigured")
    assert met() == before + 3


def test_a_matter_that_lasts_is_said_again_at_a_slow_pace(clock: Clock) -> None:
    alarm = Alarm(clock)
    count = 0
    for _ in range(48):  # every five minutes for four hours
        count += said(alarm)
        clock.now += 300
    assert count == 4 * 3600 / SAY_EVERY_SECONDS


def test_a_matter_that_was_over_is_said_at_once_when_it_comes_back(clock: Clock) -> None:
    alarm = Alarm(clock)
    assert said(alarm)
    clock.now += OVER_AFTER_SECONDS
    assert said(alarm)


def test_an_open_gate_lets_everybody_ask(clock: Clock) -> None:
    gate = Gate(clock)
    assert [gate.closed() for _ in range(3)] == [None] * 3


def test_through_a_closed_gate_one_asks_when_its_time_has_come(clock: Clock) -> None:
    gate = Gate(clock)
    gate.close("invalid_client", 300)
    clock.now += 299
    assert gate.closed() == ("invalid_client", 1.0)
    clock.now += 1
    assert gate.closed() is None
    assert gate.closed() == ("invalid_client", ANSWER_SECONDS)


def test_if_the_one_who_asks_never_comes_back_another_one_asks(clock: Clock) -> None:
    gate = Gate(clock)
    gate.close("invalid_client", 0)
    assert gate.closed() is None
    clock.now += ANSWER_SECONDS
    assert gate.closed() is None


def test_once_google_accepts_us_everybody_may_ask(clock: Clock) -> None:
    gate = Gate(clock)
    gate.close("invalid_client", 300)
    gate.open()
    assert gate.closed() is None
