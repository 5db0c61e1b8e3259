"""Production code stopped at a statement of its choosing, so that a race can be run by hand."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import psycopg
from psycopg_pool import ConnectionPool

from outbox.database import Connection
from outbox.relay import Relay
from outbox.rendering_cache import RenderingCache
from outbox.statements import statement
from tests.integration.conftest import World, eventually

T = TypeVar("T")

BOUND = 20.0
"""Seconds within which whatever these tests wait for has come."""

JOB_URL_TEMPLATE = "https://app.example.com/jobs/{job_id}"

Pool = ConnectionPool[Connection]


class Paused(Generic[T]):
    """Work in a thread of its own that stands right before a statement, once, until it may go on."""

    def __init__(self, world: World, at: str, work: Callable[[Pool], T]) -> None:
        self._at = statement(at)
        self._reached, self._may_go_on = threading.Event(), threading.Event()
        self._threads = ThreadPoolExecutor(1)
        self._work: Future[T] = self._threads.submit(self._run, world, work)
        if not self._reached.wait(BOUND):
            self.result()
            raise AssertionError(f"the work ended without {at}")

    def go_on(self) -> None:
        """Let it execute the statement and all that follows."""
        self._may_go_on.set()

    def result(self) -> T:
        """Let it go on to its end; returns or raises what it did."""
        self.go_on()
        self._threads.shutdown(wait=False)
        return self._work.result(BOUND)

    def _run(self, world: World, work: Callable[[Pool], T]) -> T:
        paused = self

        class Pausing(psycopg.Connection[tuple[Any, ...]]):
            def execute(self, query: Any, *arguments: Any, **options: Any) -> psycopg.Cursor[tuple[Any, ...]]:
                if query == paused._at:
                    if self._pipeline is not None:  # what was queued before it is under way
                        self.wait(self._pipeline._communicate_gen())
                    paused._reached.set()
                    assert paused._may_go_on.wait(BOUND), "nobody let it go on"
                return super().execute(query, *arguments, **options)

        with ConnectionPool[Connection](
            world.database_url, min_size=1, max_size=1, connection_class=Pausing, kwargs={"autocommit": True}
        ) as pool:
            return work(pool)


def relay_batch(pool: Pool) -> int:
    """One batch of a relay without debounce; returns how many rows it took."""
    relay = Relay(
        pool, debounce_seconds=0, max_wait_seconds=0, job_url_template=JOB_URL_TEMPLATE, renderings=RenderingCache()
    )
    return relay.relay_batch().claimed


@contextmanager
def background(world: World, work: Callable[[], T]) -> Iterator[Future[T]]:
    """Work in a thread of its own that is seen to wait for a lock; the body has to end that wait."""
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(work)
        eventually(lambda: waiting(world) > 0 or future.done(), BOUND)
        assert not future.done(), "it did not wait"
        yield future
        future.result(BOUND)


def waiting(world: World) -> int:
    """How many sessions of this database wait for a lock."""
    [[count]] = world.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return int(count)
