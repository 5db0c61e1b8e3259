"""A test push goes the way of a job, through queue and daemon to the calendar, and tells its user how far it came."""

from collections.abc import Iterator
from typing import Any

import pytest

from outbox.testpush import JOB_PREFIX
from tests.integration.conftest import Engine, World, job
from tests.integration.steps import InterruptedGoogle, lane_pusher, lease_one, pending, revoke, shared_calendar
from web.api.paths import API


@pytest.fixture
def engine(world: World) -> Iterator[Engine]:
    """A daemon's parts, driven by the test."""
    with world.engine() as parts:
        yield parts


def start(world: World, name: str) -> str:
    """The user asks for a test push; its id."""
    return str(world.caller(name).ask("POST", f"{API}/test-push")["id"])


def follow(world: World, name: str, test_push: str) -> tuple[str, dict[str, str]]:
    """Its state, and the state of each step."""
    answer = world.caller(name).ask("GET", f"{API}/test-push/{test_push}")
    return answer["state"], {step["name"]: step["state"] for step in answer["steps"]}


def failure(world: World, name: str, test_push: str) -> str:
    """The sentence at the step where it failed."""
    steps = world.caller(name).ask("GET", f"{API}/test-push/{test_push}")["steps"]
    [detail] = [step["detail"] for step in steps if step["state"] == "failed"]
    return str(detail)


def test_a_test_push_writes_reads_back_and_removes_one_event(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    test_push = start(world, "u_ana")
    assert follow(world, "u_ana", test_push)[1]["picked_up"] == "running"
    engine.relay.relay_batch()
    assert follow(world, "u_ana", test_push)[1] == {
        "queued": "done",
        "picked_up": "done",
        "access": "running",
        "written": "waiting",
        "read_back": "waiting",
        "removed": "waiting",
    }
    engine.sync()
    state, steps = follow(world, "u_ana", test_push)
    assert (state, set(steps.values())) == ("succeeded", {"done"})
    assert world.calls(calendar) == [("POST", 200), ("GET", 200), ("DELETE", 204)]
    assert (world.titles(calendar), pending(world)) == ([], [])


def test_a_test_push_is_no_job_and_touches_no_other_calendar(world: World, engine: Engine) -> None:
    world.connect("u_ana")
    bo = world.connect("u_bo")
    start(world, "u_ana")
    engine.sync()
    assert world.calls(bo) == []
    assert world.execute("SELECT count(*) FROM calendar_sync.job") == [(0,)]
    assert world.execute("SELECT count(*) FROM calendar_sync.rejected_event") == [(0,)]


def test_on_a_shared_calendar_the_users_own_grant_is_tested(world: World, engine: Engine) -> None:
    calendar, _ = shared_calendar(world)
    for name in ("u_ana", "u_bo"):
        world.connect(name, calendar=calendar)
    test_push = start(world, "u_ana")
    revoke(world, "u_ana")
    engine.sync()
    assert follow(world, "u_ana", test_push)[0] == "failed"
    assert failure(world, "u_ana", test_push) == "Google no longer accepts our access. Reconnect your account."
    world.advance(120)
    engine.sync()
    assert pending(world) == []


def test_jobs_of_the_same_push_are_pushed_all_the_same(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    test_push = start(world, "u_ana")
    world.commit("job_1", job())
    engine.sync()
    assert follow(world, "u_ana", test_push)[0] == "succeeded"
    assert world.titles(calendar) == ["J-1 · Dallas → Memphis"]


def test_a_producers_job_with_a_name_like_a_test_push_is_a_job(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    world.commit(f"{JOB_PREFIX}mine", job())
    engine.sync()
    assert world.titles(calendar) == ["J-1 · Dallas → Memphis"]


@pytest.mark.parametrize(
    ("fault", "step", "says"),
    [
        ({"kind": "refuse", "method": "POST", "status": 400, "reason": "invalid"}, "written", "not accept a value"),
        ({"kind": "refuse", "method": "POST", "status": 503}, "written", "did not give a clear answer"),
        ({"kind": "refuse", "method": "POST", "status": 403, "reason": "quotaExceeded"}, "written", "asked us to wait"),
        ({"kind": "refuse", "method": "POST", "status": 403, "reason": "notACalendarUser"}, "written", "switched off"),
        ({"kind": "refuse", "method": "GET", "status": 404, "reason": "notFound"}, "read_back", "did not show it"),
        ({"kind": "refuse", "method": "DELETE", "status": 500}, "removed", "did not give a clear answer"),
    ],
)
def test_a_test_push_that_fails_says_where_and_why_and_leaves_nothing_behind(
    world: World, engine: Engine, fault: dict[str, Any], step: str, says: str
) -> None:
    calendar = world.connect("u_ana")
    test_push = start(world, "u_ana")
    world.fault(path="/events", **fault)
    engine.sync()
    state, steps = follow(world, "u_ana", test_push)
    assert (state, steps[step]) == ("failed", "failed")
    assert says in failure(world, "u_ana", test_push)
    world.heal()
    world.advance(4000)
    engine.sync()
    assert (world.titles(calendar), pending(world)) == ([], [])


def test_a_test_push_whose_answer_was_lost_is_cleared_away_afterwards(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    start(world, "u_ana")
    world.fault(kind="cut_after", method="POST", path="/events")
    engine.sync()
    world.heal()
    assert len(world.titles(calendar)) == 1
    world.advance(120)
    engine.sync()
    assert (world.titles(calendar), pending(world)) == ([], [])


def test_a_daemon_killed_in_the_middle_leaves_the_rest_to_the_next_one(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    test_push = start(world, "u_ana")
    engine.relay.relay_batch()

    def killed() -> None:
        raise KeyboardInterrupt

    google = InterruptedGoogle(world, after=killed)
    with lane_pusher(world, engine, google) as pusher, pytest.raises(KeyboardInterrupt):
        pusher.push(lease_one(engine))
    assert len(world.titles(calendar)) == 1
    world.advance(60)
    engine.janitor.expire_leases()
    engine.sync()
    assert follow(world, "u_ana", test_push)[0] == "succeeded"
    assert (world.titles(calendar), pending(world)) == ([], [])


def test_a_test_push_that_is_taken_up_far_too_late_writes_nothing(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    test_push = start(world, "u_ana")
    world.advance(3600)
    assert "tell your administrator" in str(world.caller("u_ana").ask("GET", f"{API}/test-push/{test_push}"))
    engine.sync()
    assert "Nobody took it up in time" in failure(world, "u_ana", test_push)
    assert (world.calls(calendar), pending(world)) == ([], [])


def test_a_test_push_for_a_calendar_that_was_left_meanwhile_writes_nothing(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    test_push = start(world, "u_ana")
    engine.relay.relay_batch()
    world.caller("u_ana").ask("POST", f"{API}/disconnect", {"remove_events": False})
    engine.sync()
    assert (world.calls(calendar), pending(world)) == ([], [])
    assert follow(world, "u_ana", test_push)[0] == "failed"


def test_a_test_push_that_is_relayed_after_its_calendar_was_left_says_so(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    test_push = start(world, "u_ana")
    world.caller("u_ana").ask("POST", f"{API}/disconnect", {"remove_events": False})
    engine.sync()
    assert (world.calls(calendar), pending(world)) == ([], [])
    assert "was left meanwhile" in failure(world, "u_ana", test_push)


def test_an_outbox_row_that_is_relayed_twice_is_one_test(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    test_push = start(world, "u_ana")
    engine.sync()
    world.execute("SELECT calendar_sync.enqueue_test_push(%s)", test_push)
    engine.sync()
    assert len(world.calls(calendar)) == 3
    assert (follow(world, "u_ana", test_push)[0], pending(world)) == ("succeeded", [])


def test_old_test_pushes_are_forgotten_with_their_events(world: World, engine: Engine) -> None:
    world.connect("u_ana")
    start(world, "u_ana")
    engine.sync()
    world.advance(8 * 86400)
    assert engine.janitor.delete_old_traces() >= 1
    assert world.execute("SELECT count(*) FROM calendar_sync.test_push") == [(0,)]
    assert world.execute("SELECT count(*) FROM calendar_sync.pushed_event") == [(0,)]


def test_a_test_push_that_finds_a_fault_of_ours_holds_up_no_job(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    calendar = world.connect("u_ana")
    test_push = start(world, "u_ana")
    world.commit("job_1", job())

    def fail(*_: object) -> list[str]:
        raise KeyError("etag")

    monkeypatch.setattr("outbox.rehearsal.differing_fields", fail)
    engine.sync()
    assert "J-1 · Dallas → Memphis" in world.titles(calendar)
    assert "fault of calendar-sync" in failure(world, "u_ana", test_push)
    world.advance(120)
    engine.sync()
    assert (world.titles(calendar), pending(world)) == (["J-1 · Dallas → Memphis"], [])
