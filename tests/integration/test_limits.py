"""Rate limits: bursts are let through, floods are not, time refills, and everybody is counted alone."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from psycopg_pool import ConnectionPool

from outbox.database import Connection
from tests.integration.conftest import World
from web.limits import LIMITS, LimitName, RateLimits
from web.problem import Problem
from web.services import open_web_pool


@pytest.fixture
def pool(world: World) -> Iterator[ConnectionPool[Connection]]:
    """Connections of the web app's role."""
    with closing(open_web_pool(world.stage.web_settings.database_url)) as pool:
        yield pool


@pytest.fixture
def limits(pool: ConnectionPool[Connection]) -> RateLimits:
    """The limits as the web app uses them."""
    return RateLimits(pool)


def taken(limits: RateLimits, name: LimitName, key: str, tries: int) -> int:
    """How many of so many tries are let through."""
    return sum(is_taken(limits, name, key) for _ in range(tries))


def is_taken(limits: RateLimits, name: LimitName, key: str) -> bool:
    try:
        limits.take(name, key)
    except Problem:
        return False
    return True


@pytest.mark.parametrize("name", list(LIMITS))
def test_a_burst_is_let_through_and_not_one_more(limits: RateLimits, name: LimitName) -> None:
    assert taken(limits, name, "ana", LIMITS[name].burst + 5) == LIMITS[name].burst


def test_whoever_is_refused_is_told_how_long_to_wait_and_then_let_through(limits: RateLimits, world: World) -> None:
    taken(limits, "resync", "ana", 3)
    with pytest.raises(Problem) as caught:
        limits.take("resync", "ana")
    assert (caught.value.status_code, caught.value.code) == (429, "too_many_requests")
    seconds = int(dict(caught.value.headers or {})["Retry-After"])
    assert seconds == 200
    assert "4 minutes" in str(caught.value.detail)
    world.advance(seconds)
    assert taken(limits, "resync", "ana", 3) == 1


def test_a_refusal_costs_nothing(limits: RateLimits, world: World) -> None:
    assert taken(limits, "resync", "ana", 100) == 3
    world.advance(200)
    assert taken(limits, "resync", "ana", 100) == 1


def test_a_long_rest_fills_the_bucket_and_no_more(limits: RateLimits, world: World) -> None:
    taken(limits, "resync", "ana", 3)
    world.advance(7 * 24 * 3600)
    assert taken(limits, "resync", "ana", 10) == 3


def test_a_clock_that_goes_back_takes_nothing_away_and_gives_nothing(limits: RateLimits, world: World) -> None:
    taken(limits, "resync", "ana", 2)
    world.advance(-3600)
    assert taken(limits, "resync", "ana", 5) == 1
    world.advance(3600)
    assert taken(limits, "resync", "ana", 5) == 0


def test_everybody_and_everything_is_counted_alone(limits: RateLimits) -> None:
    assert taken(limits, "resync", "ana", 5) == 3
    assert taken(limits, "resync", "bob", 5) == 3
    assert taken(limits, "connect", "ana", 1) == 1


@pytest.mark.parametrize("key", ["", "\x00", "\ud800", "x" * 100_000, '["a", "b"]'])
def test_any_text_may_be_a_key(limits: RateLimits, key: str) -> None:
    assert taken(limits, "resync", key, 5) == 3


def test_many_at_once_get_no_more_than_one_after_another(limits: RateLimits) -> None:
    take: Callable[[int], bool] = lambda _: is_taken(limits, "connect", "ana")  # noqa: E731
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(take, range(60))) == LIMITS["connect"].burst


def test_what_is_kept_names_nobody(limits: RateLimits, world: World) -> None:
    limits.take("connect", "acme/u_ana")
    [(bucket,)] = world.execute("SELECT bucket FROM calendar_sync.rate_limit")
    assert len(bucket) == 32
    assert b"ana" not in bucket
