"""A daemon killed outright at every step of its work: whoever comes after finds everything and does nothing twice."""

import os
import random
import signal
from typing import IO

from outbox.pusher import LEASE_SECONDS
from tests.faults.conftest import Producer, watching
from tests.faults.plan import STEPS, Moment
from tests.faults.proxy import PostgresProxy, running_loop, statement_names
from tests.integration.conftest import World, eventually
from web.demo.mishaps import DaemonKiller
from web.demo.tether import TetheredProcess
from web.sandbox.specs import FaultKind

JOBS = 6

KILLS = (
    ("relay/apply_rows", Moment.AFTER),
    ("COMMIT after lane/schedule_lanes", Moment.BEFORE),
    ("COMMIT after lane/schedule_lanes", Moment.AFTER),
    ("push/lease_lanes", Moment.AFTER),
    ("COMMIT after push/store_intents", Moment.AFTER),
    ("COMMIT after push/store_intents", Moment.PAST),  # Google is being called
    ("push/settle_events", Moment.AFTER),
    ("COMMIT after push/release_lane", Moment.BEFORE),
    ("COMMIT after push/release_lane", Moment.AFTER),
)
"""Those of the steps between which it makes a difference."""


def test_every_step_is_a_statement() -> None:
    assert {step.removeprefix("COMMIT after ") for step in STEPS} <= set(statement_names().values())


def test_a_daemon_killed_at_every_step(world: World, producer: Producer, daemon_log: IO[str]) -> None:
    # Google's work is done a moment before its answer comes: a kill during the call falls in between.
    world.fault(kind=FaultKind.DELAY_AFTER, path="/calendar/v3/", seconds=0.05)
    address = world.stage.environment["DATABASE_URL"]
    with watching(world, producer.calendars) as reader:
        for turn, (step, moment) in enumerate(KILLS):
            for place in range(JOBS):
                if (turn + place) % 3:
                    producer.update(f"job_{place}", f"J-{place}-{turn}")
                else:
                    producer.cancel(f"job_{place}")
            with running_loop() as loop, PostgresProxy(address, loop) as proxy:
                trap = proxy.set_trap(step, moment)
                with world.stage.start_daemon(daemon_log, {"DATABASE_URL": proxy.url}) as daemon:
                    assert trap.met.wait(30), f"no daemon came to {step}"
                    os.kill(daemon.pid, signal.SIGKILL)
                    assert daemon.wait(10) == 128 + signal.SIGKILL
                    trap.release(cut=True)
            # Nobody is left to use a lease, so that the time it had yet to run may pass at once.
            world.advance(LEASE_SECONDS + 1)
        # Nor can anything that the dead sent still arrive: what is in doubt need not wait for it.
        world.advance(60)
        with world.stage.start_daemon(daemon_log):
            producer.settle()
    assert producer.verdict().findings == ()
    assert reader.duplicates == 0
    assert world.execute("SELECT job_id FROM calendar_sync.pushed_event WHERE in_doubt") == []


def test_what_the_demo_kills_is_replaced() -> None:
    first, second = (TetheredProcess(["sleep", "60"]) for _ in range(2))
    daemons = [first]
    with first, second:
        killer = DaemonKiller(daemons, lambda: second, kills=1, chance=random.Random(1))  # noqa: S311
        killer.start()
        eventually(lambda: killer.done)
        killer.stop()
        assert killer.killed == 1
        assert first.wait(10) == 128 + signal.SIGKILL
        assert daemons == [second]
        assert second.poll() is None
