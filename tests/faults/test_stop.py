"""A daemon told to stop ends soon and well, leaves nothing held, charges nothing, and loses nothing."""

import os
import signal
import time
from typing import IO

import pytest

from outbox.dialogue import CALL_SECONDS
from outbox.runtime import STOP_SECONDS
from tests.faults.conftest import Producer, watching
from tests.integration.conftest import World, eventually
from web.demo.tether import TetheredProcess
from web.sandbox.specs import FaultKind


def requests(world: World) -> int:
    """How many writes of this test's calendars Google has seen."""
    return sum(len(world.calls(calendar)) for calendar in world_calendars(world))


def world_calendars(world: World) -> list[str]:
    rows = world.execute("SELECT calendar_id FROM calendar_sync.lane WHERE tenant_id = %s", world.tenant)
    return [calendar for (calendar,) in rows]


def stop(daemon: TetheredProcess, number: signal.Signals) -> float:
    """Send the signal; returns the seconds that a good end took."""
    began = time.monotonic()
    os.kill(daemon.pid, number)
    assert daemon.wait(40) == 0
    return time.monotonic() - began


def assert_nothing_is_held_or_charged(world: World) -> None:
    assert world.execute("SELECT calendar_id FROM calendar_sync.lane WHERE lease_token IS NOT NULL") == []
    assert world.execute("SELECT job_id, attempts FROM calendar_sync.pending_push WHERE attempts > 0") == []


def test_amid_traffic(world: World, producer: Producer, daemon_log: IO[str]) -> None:
    # Slow enough that the signal finds work under way in every calendar.
    world.fault(kind=FaultKind.DELAY_AFTER, path="/calendar/v3/", seconds=0.05)
    with watching(world, producer.calendars) as reader:
        with world.stage.start_daemon(daemon_log) as daemon:
            for place in range(60):
                producer.update(f"job_{place}", f"J-{place}")
            eventually(lambda: requests(world) > 20)
            assert stop(daemon, signal.SIGTERM) < STOP_SECONDS
        assert_nothing_is_held_or_charged(world)
        assert not producer.quiet(), "the signal came after the work"
        for place in range(0, 60, 3):
            producer.cancel(f"job_{place}")
        for place in range(1, 60, 3):
            producer.update(f"job_{place}", f"K-{place}")
        with world.stage.start_daemon(daemon_log):
            producer.settle()
    assert producer.verdict().findings == ()
    assert reader.duplicates == 0


def test_again_and_again(world: World, producer: Producer, daemon_log: IO[str]) -> None:
    world.fault(kind=FaultKind.DELAY_AFTER, path="/calendar/v3/", seconds=0.02)
    with watching(world, producer.calendars) as reader:
        for turn in range(2):
            with world.stage.start_daemon(daemon_log) as daemon:
                seen = requests(world)
                for place in range(20):
                    producer.update(f"job_{place}", f"J-{place}-{turn}")
                eventually(lambda seen=seen: requests(world) > seen + 5)  # type: ignore[misc]
                assert stop(daemon, signal.SIGTERM) < STOP_SECONDS
            assert_nothing_is_held_or_charged(world)
        with world.stage.start_daemon(daemon_log):
            producer.settle()
    assert producer.verdict().findings == ()
    assert reader.duplicates == 0


def test_while_google_does_not_answer(world: World, producer: Producer, daemon_log: IO[str]) -> None:
    hanging = CALL_SECONDS + 2
    for calendar in producer.calendars:
        world.fault(kind=FaultKind.DELAY, method="POST", account=calendar, seconds=hanging, count=1)
    with watching(world, producer.calendars) as reader:
        with world.stage.start_daemon(daemon_log) as daemon:
            for place in range(3):
                producer.update(f"job_{place}", f"J-{place}")
            eventually(lambda: all(count["hits"] for count in world.google.control("GET", "faults")["faults"]))
            assert stop(daemon, signal.SIGTERM) < STOP_SECONDS
        assert_nothing_is_held_or_charged(world)
        with world.stage.start_daemon(daemon_log):
            producer.settle()
            # What hung has its effect at last, when the event stands there already: it must not make a second one.
            eventually(lambda: all(409 in [status for _, status in world.calls(one)] for one in producer.calendars))
    assert producer.verdict().findings == ()
    assert reader.duplicates == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_while_idle(world: World, producer: Producer, daemon_log: IO[str], number: signal.Signals) -> None:
    with world.stage.start_daemon(daemon_log) as daemon:
        producer.update("job_1", "J-1")
        eventually(lambda: producer.verdict().findings == ())
        producer.settle()
        assert stop(daemon, number) < 5
    assert_nothing_is_held_or_charged(world)


def test_a_second_signal_is_no_reason_to_hurry(world: World, producer: Producer, daemon_log: IO[str]) -> None:
    world.fault(kind=FaultKind.DELAY_AFTER, method="POST", seconds=1)
    with world.stage.start_daemon(daemon_log) as daemon:
        producer.update("job_1", "J-1")
        eventually(lambda: world.google.control("GET", "faults")["faults"][0]["hits"] > 0)
        os.kill(daemon.pid, signal.SIGTERM)
        assert stop(daemon, signal.SIGTERM) < STOP_SECONDS
    assert_nothing_is_held_or_charged(world)
