"""Bulk work over the stand-in's batch endpoint: fewer requests, and each job still ends as it should."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.conftest import World, job
from tests.integration.steps import pair, pending, problems
from web.sandbox.specs import Reach


def commit(world: World, *, jobs: int = 12, suffix: str = "") -> list[str]:
    """Jobs that become due together; returns their titles."""
    for number in range(1, jobs + 1):
        world.commit(f"job_{number}", job(f"J-{number:02}{suffix}"))
    return sorted(f"J-{number:02}{suffix} · Dallas → Memphis" for number in range(1, jobs + 1))


def so_far(world: World) -> int:
    """How many records the stand-in has kept by now."""
    return len(world.google.control("GET", "requests")["entries"])


def requests(world: World, after: int) -> list[tuple[str, int | None]]:
    """The HTTP requests for events since then: the method, and how many calls were in it if it was a batch."""
    entries = world.google.control("GET", "requests")["entries"][after:]
    events = [entry for entry in entries if entry["actor"] == "project" and "/calendar" in entry["path"]]
    plain = [entry for entry in events if entry["part"] is None and "/events" in entry["path"]]
    batches = {entry["batch"]: 0 for entry in events if entry["batch"] is not None}
    for entry in events:
        if entry["part"] is not None:
            batches[entry["batch"]] += 1
    return [*(("BATCH", count) for count in batches.values()), *((entry["method"], None) for entry in plain)]


def test_what_is_due_together_is_one_request_and_every_call_of_it_counts(world: World) -> None:
    calendar = world.connect("u_ana")
    titles = commit(world)
    before = so_far(world)
    world.sync()
    assert world.titles(calendar) == titles
    assert requests(world, before) == [("BATCH", 12)]
    [[used]] = world.execute("SELECT sum(requests) FROM calendar_sync.request_hour")
    assert used >= 12


def test_changes_that_come_together_are_one_conditional_request(world: World) -> None:
    calendar = world.connect("u_ana")
    commit(world)
    world.sync()
    titles = commit(world, suffix="b")
    before = so_far(world)
    world.sync()
    assert world.titles(calendar) == titles
    assert requests(world, before) == [("BATCH", 12)]


def test_a_single_change_is_a_plain_request(world: World) -> None:
    world.connect("u_ana")
    commit(world, jobs=1)
    before = so_far(world)
    world.sync()
    assert requests(world, before) == [("POST", None)]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "refuse", "reach": Reach.PART, "status": 403, "reason": "rateLimitExceeded", "every": 3, "count": 4},
        {"kind": "refuse", "reach": Reach.PART, "status": 409, "reason": "conflict", "every": 3, "count": 4},
        {"kind": "refuse", "reach": Reach.PART, "status": 500, "reason": "backendError", "every": 3, "count": 4},
        {"kind": "refuse_after", "reach": Reach.PART, "every": 3, "count": 4},
        {"kind": "lost", "reach": Reach.PART, "every": 3, "count": 4},
        {"kind": "cut_after", "reach": Reach.PART, "every": 5, "count": 1},
        {"kind": "cut", "reach": Reach.BATCH, "count": 1},
        {"kind": "cut_after", "reach": Reach.BATCH, "count": 1},
        {"kind": "garbage", "reach": Reach.BATCH, "count": 1},
        {"kind": "html", "reach": Reach.BATCH, "count": 1},
        {"kind": "refuse", "reach": Reach.BATCH, "status": 503, "reason": "backendError", "count": 1},
        {"kind": "reorder", "reach": Reach.BATCH},
    ],
    ids=lambda fault: f"{fault['kind']} {fault['reach'].value} {fault.get('reason', '')}".strip(),
)
def test_whatever_becomes_of_a_batch_every_job_stands_once_and_right(world: World, fault: dict[str, Any]) -> None:
    calendar = world.connect("u_ana")
    titles = commit(world)
    world.fault(**fault)
    for _ in range(4):
        world.sync()
        world.advance(61)
    assert world.titles(calendar) == titles
    assert (pending(world), problems(world)) == ([], {})
    assert not any(pair(world, calendar, f"job_{number}").in_doubt for number in range(1, 13))


@pytest.mark.parametrize("status", [400, 404])
def test_where_google_takes_no_batch_the_jobs_go_one_by_one(make_world: Callable[..., World], status: int) -> None:
    world = make_world()
    calendar = world.connect("u_ana")
    titles = commit(world, jobs=3)
    world.fault(kind="refuse", reach=Reach.BATCH, status=status, reason="badRequest")
    with world.engine() as engine:
        engine.sync()
        assert pending(world) == ["job_1", "job_2", "job_3"]
        world.advance(61)
        before = so_far(world)
        engine.sync()
    assert world.titles(calendar) == titles
    assert requests(world, before) == [("POST", None)] * 3


def test_an_event_that_google_refuses_keeps_none_of_its_batch(world: World) -> None:
    calendar = world.connect("u_ana")
    titles = commit(world)
    world.fault(kind="refuse", reach=Reach.PART, status=400, reason="invalid", count=1)
    world.sync()
    [(refused, _)] = problems(world).items()
    number = int(refused.removeprefix("job_"))
    assert world.titles(calendar) == [title for title in titles if not title.startswith(f"J-{number:02} ")]


def test_a_backlog_goes_in_batches_too_and_leaves_the_calendar_as_it_should_be(world: World) -> None:
    titles = commit(world, jobs=60)
    calendar = world.connect("u_ana")
    before = so_far(world)
    for _ in range(4):
        world.sync()
        world.advance(10)
    assert world.titles(calendar) == titles
    assert len(requests(world, before)) <= 5
