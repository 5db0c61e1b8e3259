"""The audit finds nothing in a healthy calendar, and puts right what it finds."""

import pytest

from outbox import audit
from tests.integration.conftest import World, job
from web.api.paths import API


def compare_everything(world: World) -> int:
    with world.engine() as engine:
        found = sum(engine.audit.compare_slice() for _ in range(10))
        engine.sync()
    return found


def test_a_healthy_calendar_has_no_differences(world: World) -> None:
    world.connect("u_ana")
    for number in range(3):
        world.commit(f"job_{number}", job(f"J-{number}"))
    world.commit("job_0", {}, "job.cancelled")
    world.commit("job_1", job("J-1", legs=[]))
    world.sync()
    assert compare_everything(world) == 0


def test_an_event_that_our_records_lost_is_put_back(world: World) -> None:
    ana = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    world.sync()
    world.execute("UPDATE calendar_sync.pushed_event SET content_hash = NULL, etag = NULL")
    event = world.events(ana)[0]
    world.google.control("POST", "user-delete", {"account": ana, "calendar": ana, "event": event["id"]})
    assert compare_everything(world) == 1
    assert world.titles(ana) == ["J-1 · Dallas → Memphis"]
    assert compare_everything(world) == 0


def test_an_event_that_should_have_gone_is_removed(world: World) -> None:
    ana = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    world.sync()
    world.execute("UPDATE calendar_sync.job SET cancelled = true")
    assert compare_everything(world) == 1
    assert world.titles(ana) == []


def test_what_is_over_and_was_taken_from_a_calendar_is_not_missed_there(world: World) -> None:
    ana = world.connect("u_ana")
    over = {"dispatch_window": {"start": "2026-01-05T08:00:00Z", "end": "2026-01-05T09:00:00Z"}}
    world.commit("job_1", job("J-1", legs=[{"summary": "Dallas", **over}]))
    world.sync()
    assert world.titles(ana) == ["J-1 · Dallas"]
    for job_filter in ("assigned", "all"):
        world.caller("u_ana").ask("PATCH", API, {"job_filter": job_filter})
        world.sync()
    assert world.titles(ana) == []
    assert compare_everything(world) == 0
    assert world.titles(ana) == []


def test_what_is_wrong_is_found_behind_any_number_of_jobs_with_nothing_to_compare(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "SLICE", 2)
    ana = world.connect("u_ana")
    for number in range(7):
        world.commit(f"job_{number}", job(f"J-{number}"))
    world.sync()
    world.execute("UPDATE calendar_sync.pushed_event SET content_hash = NULL, etag = NULL WHERE job_id < 'job_5'")
    world.execute(
        "UPDATE calendar_sync.job SET ends_at = calendar_sync.now() - interval '1 day' WHERE job_id < 'job_5'"
    )
    world.execute("UPDATE calendar_sync.job SET cancelled = true WHERE job_id = 'job_6'")
    assert compare_everything(world) == 1
    assert "J-6 · Dallas → Memphis" not in world.titles(ana)
