"""Google works and cuts the line: whatever is done to that very job a moment later, it stands once and as last told."""

import random
import re
import time
from typing import IO, Any

import pytest

from tests.faults.conftest import Producer, watching
from tests.integration.conftest import World, eventually
from web.sandbox.specs import FaultKind

JOBS = 10

CUTS = 12
"""How many are answered with edits; `make faults` and `make model` make many more."""

LIMIT = 90.0
"""Seconds within which they must have come; some ten are usual."""

LINK = re.compile(r"/jobs/(job_\d+)")


class Provoker:
    """Watches for cuts, and right after each one commits changes of the job that it hit."""

    def __init__(self, world: World, producer: Producer, chance: random.Random) -> None:
        self._world = world
        self._producer = producer
        self._chance = chance
        self._since = 0
        self._jobs: dict[str, str] = {}
        self.cuts = 0
        self.turns = 0

    def look(self) -> None:
        """Answer the cuts since the last look."""
        found = self._world.google.control("GET", f"requests?since={self._since}")
        self._since = found["last"]
        for entry in found["entries"]:
            job_id = self._job_of(entry)
            if job_id is not None and entry["status"] == "cut":
                self.cuts += 1
                self._provoke(job_id)

    def _job_of(self, entry: dict[str, Any]) -> str | None:
        """The job that a request of the daemon was about; a body tells it, and later the event's id does."""
        if not any(calendar.replace("@", "%40") in entry["path"] for calendar in self._producer.calendars):
            return None
        body = entry["body"] or {}
        event_id = body.get("id") or entry["path"].partition("/events/")[2].partition("?")[0]
        if link := LINK.search(body.get("description", "")):
            self._jobs[event_id] = link[1]
        return self._jobs.get(event_id)

    def _provoke(self, job_id: str) -> None:
        self.turns += 1
        here, there = f"A-{job_id}", f"B-{self.turns}"
        match self._chance.randrange(4):
            case 0:
                self._producer.update(job_id, here)
                self._producer.update(job_id, there)
                self._producer.update(job_id, here)
            case 1:
                self._producer.cancel(job_id)
            case 2:
                self._producer.cancel(job_id)
                self._producer.update(job_id, here)
            case _:
                self._producer.update(job_id, there)


@pytest.mark.parametrize(
    ("seed", "share"),
    [
        pytest.param(1, {"every": 5}, id="one request in five"),
        # So many that now and then all the repeats of a call are cut, and the doubt outlives the push.
        pytest.param(2, {"probability": 0.35, "seed": 2}, id="one request in three"),
    ],
)
def test_edits_right_after_a_cut(
    world: World, producer: Producer, daemon_log: IO[str], seed: int, share: dict[str, Any]
) -> None:
    world.fault(kind=FaultKind.CUT_AFTER, path="/calendar/v3/", **share)
    provoker = Provoker(world, producer, random.Random(seed))  # noqa: S311 - turns that can be taken again
    with watching(world, producer.calendars) as reader, world.stage.start_daemon(daemon_log):
        ends = time.monotonic() + LIMIT
        turn = 0
        while provoker.cuts < CUTS:
            assert time.monotonic() < ends, f"seed {seed}: only {provoker.cuts} cuts"
            # What was cancelled comes back, so that cuts always find work.
            producer.update(f"job_{turn % JOBS}", f"A-job_{turn % JOBS}")
            turn += 1
            seen = provoker.cuts

            def cut(seen: int = seen) -> bool:
                provoker.look()
                return provoker.cuts > seen or producer.quiet()

            eventually(cut)
        world.heal()
        producer.settle()
    print(f"seed {seed}: {provoker.cuts} cuts, {reader.readings} readings")
    assert producer.verdict().findings == (), f"seed {seed}"
    assert reader.duplicates == 0
    assert reader.readings > 0
