"""How far the filling and the emptying of a calendar have come: exact at every moment, whatever comes in between."""

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

import outbox.push
from outbox.google.client import GoogleCalendar
from outbox.lane_store import LaneStore
from outbox.pusher import LEASE_MARGIN_SECONDS, LEASE_SECONDS
from tests.integration.conftest import Engine, World, job
from tests.integration.steps import choose, connection, grant, lane_pusher, pending, reconnect, shared_calendar
from web.api.paths import API
from web.sandbox.specs import AccountSpec, CalendarSpec

JOBS_A_PUSH = 2


@pytest.fixture
def engine(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A daemon's parts, which fill and empty a calendar two jobs at a time."""
    monkeypatch.setattr(outbox.push, "MOST_BACKLOG_JOBS", JOBS_A_PUSH)
    with world.engine() as parts:
        yield parts


def push_once(world: World, engine: Engine) -> None:
    """One push of the one lane that is due first."""
    calendar = GoogleCalendar(world.stage.settings.google_calendar_url, stop=world.stop, user_agent="test")
    with lane_pusher(world, engine, calendar, together=JOBS_A_PUSH) as pusher:
        [lease] = LaneStore(engine.pool).lease(
            limit=1,
            troubled_limit=1,
            lease_seconds=LEASE_SECONDS,
            last_call_ends_by=time.monotonic() + LEASE_SECONDS - LEASE_MARGIN_SECONDS,
        )
        pusher.push(lease)


def look_after_leaving(engine: Engine) -> None:
    """What the daemon does every two seconds: begin to empty what can be emptied, end what is empty."""
    engine.daemon._leaving.work()


def commit_jobs(world: World, engine: Engine, count: int) -> None:
    """So many jobs, with whatever they mark."""
    for number in range(1, count + 1):
        world.commit(f"job_{number}", job(f"J-{number}"))
    engine.relay.relay_batch()


def seen(world: World, name: str = "u_ana") -> dict[str, Any]:
    """What the user sees of the connection."""
    return world.caller(name).ask("GET", API)


def filling(world: World, name: str = "u_ana") -> tuple[int, int] | None:
    """How many jobs are done of how many; None: it is over."""
    progress = seen(world, name)["filling"]
    return None if progress is None else (progress["done"], progress["total"])


def leaving(world: World, name: str = "u_ana") -> list[tuple[int, tuple[int, int] | None]]:
    """Of each calendar being left how many events are still there, and how many are gone of how many."""
    return [
        (left["events"], left["progress"] and (left["progress"]["done"], left["progress"]["total"]))
        for left in seen(world, name)["leaving"]
    ]


def disconnect(world: World, name: str, *, remove_events: bool) -> None:
    """Have the user disconnect."""
    world.caller(name).ask("POST", f"{API}/disconnect", {"remove_events": remove_events})


def with_two_calendars(world: World, name: str) -> tuple[str, str]:
    """A connected user whose account has a second calendar: both ids, the chosen one first."""
    email, second = f"{name}-{world.tenant}@example.com", f"second-{name}-{world.tenant}@example.com"
    world.google.add_account(AccountSpec(email=email, calendars=(CalendarSpec(id=second, summary="Second"),)))
    assert grant(world, name, email) == "choose_calendar"
    choose(world, name, email)
    return email, second


def test_a_new_calendar_is_filled_job_by_job_and_live_edits_count_in_neither_figure(
    world: World, engine: Engine
) -> None:
    commit_jobs(world, engine, 5)
    calendar = world.connect("u_ana")
    assert filling(world) == (0, 5)
    push_once(world, engine)
    assert filling(world) == (2, 5)
    [[done]] = world.execute("SELECT min(job_id) FROM calendar_sync.pushed_event WHERE content_hash IS NOT NULL")
    world.commit(done, job("J-done"))
    world.commit(pending(world)[0], job("J-waiting"))
    world.commit("job_new", job("J-new"))
    engine.relay.relay_batch()
    assert (filling(world), seen(world)["pending"]) == ((2, 5), 5)
    push_once(world, engine)
    assert (filling(world), seen(world)["pending"]) == ((3, 5), 2)
    push_once(world, engine)
    assert (filling(world), pending(world)) == (None, [])
    assert len(world.titles(calendar)) == 6


def test_everybody_on_a_shared_calendar_sees_it_being_filled(world: World, engine: Engine) -> None:
    calendar, reader = shared_calendar(world)
    commit_jobs(world, engine, 3)
    world.connect("u_ana", calendar=calendar)
    push_once(world, engine)
    assert filling(world) == (2, 3)
    world.connect("u_bo", calendar=calendar)
    assert [filling(world, name) for name in ("u_ana", "u_bo")] == [(0, 3)] * 2
    disconnect(world, "u_ana", remove_events=True)
    assert (filling(world), leaving(world)) == (None, [(3, (0, 3))])
    assert seen(world)["leaving"][0]["shared"] is True
    push_once(world, engine)
    assert (filling(world, "u_bo"), leaving(world)) == ((2, 3), [(1, (2, 3))])
    engine.sync()
    assert (filling(world, "u_bo"), seen(world)["state"]) == (None, "not_connected")
    assert len(world.titles(calendar, reader)) == 3


def test_another_calendar_is_filled_and_then_the_former_one_emptied_with_figures_for_both(
    world: World, engine: Engine
) -> None:
    first, second = with_two_calendars(world, "u_ana")
    commit_jobs(world, engine, 3)
    engine.sync()
    choose(world, "u_ana", second)
    assert (filling(world), leaving(world)) == ((0, 3), [(3, None)])
    push_once(world, engine)
    look_after_leaving(engine)
    assert (filling(world), leaving(world)) == ((2, 3), [(3, None)])
    # An edit in the middle: the former calendar is still kept up to date.
    world.commit("job_1", job("J-1b"))
    engine.relay.relay_batch()
    engine.pusher.drain()
    assert (filling(world), leaving(world)) == (None, [(3, None)])
    assert "J-1b · Dallas → Memphis" in world.titles(first)
    look_after_leaving(engine)
    assert leaving(world) == [(3, (0, 3))]
    push_once(world, engine)
    assert leaving(world) == [(1, (2, 3))]
    # And now it is not.
    world.commit("job_2", job("J-2b"))
    world.commit("job_4", job("J-4"))
    engine.relay.relay_batch()
    assert leaving(world) == [(1, (2, 3))]
    engine.sync()
    assert (filling(world), leaving(world), world.titles(first)) == (None, [], [])
    assert world.titles(second, first) == [f"J-{number} · Dallas → Memphis" for number in ("1b", "2b", "3", "4")]


def test_a_removal_that_is_called_off_becomes_a_filling(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    commit_jobs(world, engine, 3)
    engine.sync()
    disconnect(world, "u_ana", remove_events=True)
    assert leaving(world) == [(3, (0, 3))]
    push_once(world, engine)
    assert (leaving(world), len(world.titles(calendar))) == ([(1, (2, 3))], 1)
    assert reconnect(world, "u_ana") == "active"
    assert (filling(world), leaving(world)) == ((0, 3), [])
    engine.sync()
    assert (filling(world), len(world.titles(calendar))) == (None, 3)


def test_a_move_that_was_under_way_goes_on_in_its_order_when_a_removal_is_called_off(
    world: World, engine: Engine
) -> None:
    first, second = with_two_calendars(world, "u_ana")
    commit_jobs(world, engine, 3)
    engine.sync()
    choose(world, "u_ana", second)
    disconnect(world, "u_ana", remove_events=True)
    for _ in (first, second):
        push_once(world, engine)
    assert (len(world.titles(first)), world.titles(second, first)) == (1, [])
    assert reconnect(world, "u_ana") == "active"
    look_after_leaving(engine)
    assert (filling(world), leaving(world)) == ((0, 3), [(1, None)])
    engine.pusher.drain()
    assert (len(world.titles(first)), len(world.titles(second, first))) == (3, 3)
    engine.sync()
    assert (world.titles(first), len(world.titles(second, first)), leaving(world)) == ([], 3, [])


def test_a_job_that_cannot_be_pushed_is_not_done_and_keeps_the_filling_from_nothing_else(
    world: World, engine: Engine
) -> None:
    commit_jobs(world, engine, 3)
    calendar = world.connect("u_ana")
    world.fault(kind="refuse", method="POST", path=f"/calendars/{calendar}/", status=400, count=1)
    push_once(world, engine)
    assert (filling(world), seen(world)["problems"]) == ((1, 3), 1)
    push_once(world, engine)
    assert (filling(world), seen(world)["problems"]) == (None, 1)


def test_what_is_pushed_again_is_counted_and_a_test_event_is_no_job(world: World, engine: Engine) -> None:
    world.connect("u_ana")
    commit_jobs(world, engine, 3)
    engine.sync()
    world.caller("u_ana").ask("POST", f"{API}/test-push")
    engine.relay.relay_batch()
    world.caller("u_ana").ask("POST", f"{API}/resync")
    assert filling(world) == (0, 3)
    world.caller("u_ana").ask("PATCH", API, {"paused": True})
    assert (seen(world)["state"], filling(world)) == ("paused", (0, 3))
    world.caller("u_ana").ask("PATCH", API, {"paused": False})
    engine.sync()
    assert filling(world) is None


@pytest.mark.parametrize("seed", [1, 2])
def test_a_filling_never_goes_back_and_never_beyond_its_end(world: World, engine: Engine, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    commit_jobs(world, engine, 9)
    calendar = world.connect("u_ana")
    figures = []
    jobs = 9
    while (now := filling(world)) is not None:
        figures.append(now)
        for _ in range(chance.randrange(3)):
            jobs += (new := chance.random() < 0.3)
            number = jobs if new else chance.randint(1, jobs)
            world.commit(f"job_{number}", job(f"J-{number}-{len(figures)}"))
        engine.relay.relay_batch()
        assert filling(world) == now
        push_once(world, engine)
    assert figures == sorted(figures)
    assert {total for _, total in figures} == {9}
    assert figures[0] == (0, 9)
    engine.sync()
    assert len(world.titles(calendar)) == jobs


def test_events_that_were_left_behind_can_be_removed_by_coming_back(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    commit_jobs(world, engine, 3)
    engine.sync()
    disconnect(world, "u_ana", remove_events=False)
    assert len(world.titles(calendar)) == 3
    assert grant(world, "u_ana", calendar) == "choose_calendar"
    choose(world, "u_ana", calendar)
    disconnect(world, "u_ana", remove_events=True)
    engine.sync()
    assert (world.titles(calendar), connection(world, "u_ana", "state", "events_left")) == ([], ("not_connected", 0))


def test_the_list_of_calendars_names_a_colleague_who_stays_and_none_who_is_leaving(
    world: World, engine: Engine
) -> None:
    calendar, _ = shared_calendar(world)
    for name in ("u_ana", "u_bo"):
        world.connect(name, calendar=calendar)
    commit_jobs(world, engine, 1)
    engine.sync()

    def shared() -> list[str]:
        listed = world.caller("u_bo").ask("GET", f"{API}/calendars")["calendars"]
        return [entry["id"] for entry in listed if entry["colleagues"]]

    assert shared() == [calendar]
    disconnect(world, "u_ana", remove_events=True)
    assert shared() == []
