"""Daemons killed outright, at any moment: whoever comes after finds everything and does nothing twice."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from outbox.pusher import LEASE_SECONDS
from tests.faults.conftest import Producer, watching
from tests.integration.conftest import World, eventually
from web.sandbox.specs import FaultKind

PROJECT = Path(__file__).resolve().parents[2]

JOBS = 12
KILLS = 8


@pytest.mark.parametrize("seed", [1, 2])
def test_a_daemon_killed_at_random_moments(world: World, producer: Producer, daemon_log: IO[str], seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - moments that can be chosen again
    # Google's work is done a moment before its answer comes: kills fall in between.
    world.fault(kind=FaultKind.DELAY_AFTER, path="/calendar/v3/", seconds=0.03)

    def writes() -> int:
        return sum(len(world.calls(calendar)) for calendar in producer.calendars)

    with watching(world, producer.calendars) as reader:
        for turn in range(KILLS):
            with world.stage.start_daemon(daemon_log) as daemon:
                for place in chance.sample(range(JOBS), 8):
                    if chance.random() < 0.3:
                        producer.cancel(f"job_{place}")
                    else:
                        producer.update(f"job_{place}", f"J-{place}-{turn}")
                enough = writes() + chance.randint(1, 20)
                eventually(lambda enough=enough: writes() >= enough or producer.quiet())  # type: ignore[misc]
                os.kill(daemon.pid, signal.SIGKILL)
                assert daemon.wait(10) == 128 + signal.SIGKILL
            # Nobody is left to use a lease, so that the time it had yet to run may pass at once.
            world.advance(LEASE_SECONDS + 1)
        with world.stage.start_daemon(daemon_log):
            producer.settle()
    assert producer.verdict().findings == (), f"seed {seed}"
    assert reader.duplicates == 0
    assert world.execute("SELECT job_id FROM calendar_sync.pushed_event WHERE in_doubt") == []


def test_one_of_two_daemons_killed_while_connections_are_cut() -> None:
    options = ["--daemons", "2", "--kill-daemons", "3", "--cut-one-in", "5", "--seed", "7"]
    done = subprocess.run(
        [sys.executable, str(PROJECT / "daemon.py"), "demo", "--once", "--json", *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["daemons_killed"] == 3
    assert figures["found"] == figures["expected"] > 0
    zeros = ("missing", "extra", "stale", "wrong_calendar", "duplicates_seen")
    assert {name: figures[name] for name in zeros} == dict.fromkeys(zeros, 0)
