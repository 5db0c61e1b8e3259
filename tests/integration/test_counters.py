"""What the engine counts for Prometheus on a row's way: what became of each push, how long it took, what it cost."""

from collections.abc import Callable

import pytest

from outbox.lane import LeaseLostError
from outbox.metrics import REGISTRY
from outbox.push import LanePusher
from tests.integration.conftest import World, job
from tests.integration.steps import revoke


def counted(name: str, **labels: str) -> float:
    """The counter now."""
    value = REGISTRY.get_sample_value(f"calendar_sync_{name}", labels)
    assert value is not None, name
    return value


def change_of(name: str, **labels: str) -> Callable[[], float]:
    """By how much it has grown since."""
    before = counted(name, **labels)
    return lambda: counted(name, **labels) - before


def pushes(action: str, outcome: str) -> Callable[[], float]:
    return change_of("pushes_total", action=action, outcome=outcome)


def requests(method: str) -> Callable[[], float]:
    return change_of("google_request_seconds_count", method=method)


def test_a_job_is_counted_from_its_rows_to_googles_answers(world: World) -> None:
    world.connect("u_ana")
    coalesced, units, answered = change_of("coalesced_total"), change_of("google_quota_units_total"), live_pushes()
    inserted, insertions = pushes("insert", "done"), requests("insert")
    world.commit("job_1", job("J-1"))
    world.commit("job_1", job("J-2"))
    world.sync()
    assert (coalesced(), inserted(), insertions(), units(), answered()) == (1, 1, 1, 1, 1)

    updated, updates = pushes("update", "done"), requests("update")
    world.commit("job_1", job("J-3"))
    with world.engine() as engine:
        engine.relay.relay_batch()
        world.commit("job_1", job("J-4"))  # while the one before waits
        engine.sync()
    assert (coalesced(), updated(), updates(), answered()) == (2, 1, 1, 2)

    unchanged = pushes("none", "done")
    world.commit("job_1", job("J-4"))
    world.sync()
    assert (unchanged(), answered()) == (1, 2)

    deleted, deletions = pushes("delete", "done"), requests("delete")
    world.commit("job_1", {}, "job.cancelled")
    world.sync()
    assert (deleted(), deletions(), answered()) == (1, 1, 3)
    assert units() == insertions() + updates() + deletions() + 1  # a lone edit reads first


def test_what_does_not_end_well_is_counted_by_what_is_to_be_done(world: World) -> None:
    world.connect("u_ana")
    retried, problems, answered = pushes("insert", "retry"), pushes("insert", "problem"), live_pushes()
    limited = change_of("rate_limited_total", scope="google_rate")
    world.fault(kind="refuse", method="POST", path="/events", status=503)
    world.commit("job_1", job("J-1"))
    world.sync()
    assert (retried(), problems()) == (1, 0)
    world.heal()
    world.fault(kind="refuse", method="POST", path="/events", status=400, reason="invalid")
    world.commit("job_2", job("J-2"))
    world.sync()
    assert (retried(), problems()) == (1, 1)
    world.heal()
    world.fault(kind="refuse", method="POST", path="/events", status=429, reason="rateLimitExceeded", retry_after=60)
    world.commit("job_3", job("J-3"))
    world.sync()
    assert limited() == 1
    assert answered() == 0


def test_a_push_that_lost_its_lease_is_counted_and_nothing_that_it_found_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connect("u_ana")
    world.commit("job_1", job())
    lost, inserted = change_of("lease_lost_total"), pushes("insert", "done")

    def lose(*_: object) -> None:
        raise LeaseLostError

    monkeypatch.setattr(LanePusher, "_settle", lose)
    world.sync()
    assert (lost(), inserted()) == (1, 0)


def test_tokens_are_counted_by_what_google_says(world: World) -> None:
    world.connect("u_ana")
    renewed, broken, unanswered = (
        change_of("token_refreshes_total", outcome=outcome) for outcome in ("renewed", "broken", "unanswered")
    )
    expire = "UPDATE calendar_sync.calendar_connection SET access_token = NULL"
    world.execute(expire)
    world.commit("job_1", job("J-1"))
    world.sync()
    assert (renewed(), broken(), unanswered()) == (1, 0, 0)
    world.execute(expire)
    revoke(world, "u_ana")
    world.commit("job_2", job("J-2"))
    world.sync()
    assert (renewed(), broken(), unanswered()) == (1, 1, 0)


def live_pushes() -> Callable[[], float]:
    return change_of("commit_to_push_seconds_count")
