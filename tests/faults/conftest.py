"""Real daemon processes over a database and a sandbox, and a producer that knows what must come of its rows."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

from outbox.plan import LATE_ARRIVAL_SECONDS
from tests.integration.conftest import World, eventually, google, google_process, job, make_world, world
from web.demo.expectation import Shape, shape_of
from web.demo.mishaps import Reader
from web.demo.traffic import TrafficRow
from web.demo.verdict import ExpectedCalendar, Verdict, compare

__all__ = ["Producer", "daemon_log", "google", "google_process", "make_world", "producer", "watching", "world"]


@dataclass(slots=True)
class Producer:
    """Commits rows of one tenant and remembers what each job's last one asks for."""

    world: World
    calendars: list[str]
    _shapes: dict[tuple[str, str], Shape | None] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)  # guards _shapes

    def update(self, job_id: str, number: str, **changes: Any) -> None:
        """Commit the job's whole state, with this number as the beginning of its title."""
        self._commit(job_id, job(number, **changes), "job.updated")

    def cancel(self, job_id: str) -> None:
        """Commit the job's cancellation."""
        self._commit(job_id, {}, "job.cancelled")

    def _commit(self, job_id: str, payload: dict[str, Any], event_type: str) -> None:
        row = TrafficRow(0.0, self.world.tenant, job_id, event_type, payload)
        with self._lock:
            self.world.commit(job_id, payload, event_type)
            self._shapes[self.world.tenant, job_id] = shape_of(row, self.world.stage.settings.job_url_template)

    def verdict(self) -> Verdict:
        """What stands in every calendar held against the last committed states."""
        shapes = {key: shape for key, shape in self._shapes.items() if shape is not None}
        expected = ExpectedCalendar(frozenset({self.world.tenant}), shapes)
        return compare(
            dict.fromkeys(self.calendars, expected),
            {calendar: self.world.events(calendar) for calendar in self.calendars},
        )

    def settle(self, seconds: float = LATE_ARRIVAL_SECONDS + 60.0) -> None:
        """Wait until nothing is left to do; a write that was cut may be waited for, and nothing is done before that."""
        eventually(self.quiet, seconds)

    def quiet(self) -> bool:
        """Whether nothing waits and nobody is at work."""
        figures = self.world.status()
        return not any(figures[name] for name in ("outbox_rows", "pending_pushes", "lanes_leased"))


@pytest.fixture
def producer(world: World) -> Producer:
    """For a tenant of three users, each with a calendar of their own."""
    return Producer(world, [world.connect(f"u_{name}") for name in ("ana", "bo", "chen")])


@pytest.fixture
def daemon_log(tmp_path: Path) -> Iterator[IO[str]]:
    """Where daemons log to; shown if the test fails. No daemon may meet an error that it was not made for."""
    with (tmp_path / "daemon.log").open("w+", encoding="utf-8") as log:
        yield log
        log.flush()
        lines = (tmp_path / "daemon.log").read_text(encoding="utf-8").splitlines()
    print("\n".join(lines[-60:]))
    assert [line for line in lines if '"level": "error"' in line or line.startswith("Traceback")] == []


@contextmanager
def watching(world: World, calendars: list[str]) -> Iterator[Reader]:
    """Somebody who looks at the calendars all the while and counts jobs that stand there twice."""
    reader = Reader(world.events, calendars)
    reader.start()
    try:
        yield reader
    finally:
        reader.stop()
