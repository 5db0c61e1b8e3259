"""A committed row ends up in the calendar; what stands there is what should."""

from collections.abc import Callable
from typing import Any

from outbox.google.resource import JOB_MARK, MARK, TENANT_MARK, tenant_mark
from tests.integration.conftest import World, job
from tests.integration.steps import (
    InterruptedGoogle,
    delete,
    edit,
    freeze,
    lane_pusher,
    lease_one,
    pair,
    pending,
    problems,
    requests_for,
)

TITLE = "J-1 · Dallas → Memphis"


def place(world: World, payload: dict[str, Any] | None = None) -> tuple[str, str]:
    """A connected calendar with the event of `job_1` on it; returns the ids of both."""
    calendar = world.connect("u_ana")
    world.commit("job_1", payload or job())
    world.sync()
    return calendar, pair(world, calendar).event_id


def test_a_committed_job_appears_in_the_calendar_of_everybody_of_its_tenant(world: World) -> None:
    ana, bo = world.connect("u_ana"), world.connect("u_bo")
    stranger = world.connect("u_zoe", tenant="another-tenant")
    world.commit("job_1", job("J-1"))
    world.sync()
    assert world.titles(ana) == world.titles(bo) == [TITLE]
    assert world.titles(stranger) == []


def test_an_update_of_a_job_never_seen_counts_as_its_creation(world: World) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job("J-1"), "job.updated")
    world.commit("job_2", job("J-2"), "job.created")
    world.sync()
    assert world.titles(calendar) == [TITLE, "J-2 · Dallas → Memphis"]


def test_several_changed_jobs_cost_one_conditional_put_each(world: World) -> None:
    calendar = world.connect("u_ana")
    jobs = ["job_1", "job_2", "job_3"]
    for job_id in jobs:
        world.commit(job_id, job(job_id))
    world.sync()
    etags = {event["etag"] for event in world.events(calendar)}
    before = len(world.calls(calendar))
    for job_id in jobs:
        world.commit(job_id, job(f"{job_id} again"))
    world.sync()
    assert world.calls(calendar)[before:] == [("PUT", 200)] * 3
    puts = [entry for entry in requests_for(world, calendar) if entry["method"] == "PUT"]
    assert {entry["headers"]["if-match"] for entry in puts} == etags
    assert world.titles(calendar) == [f"{job_id} again · Dallas → Memphis" for job_id in jobs]


def test_a_lone_edit_reads_the_event_before_it_is_written(world: World) -> None:
    calendar, _ = place(world)
    world.commit("job_1", job("J-1b"))
    world.sync()
    assert world.calls(calendar) == [("POST", 200), ("GET", 200), ("PUT", 200)]
    assert world.titles(calendar) == ["J-1b · Dallas → Memphis"]


def test_a_change_that_no_calendar_shows_costs_no_request(world: World) -> None:
    calendar, _ = place(world)
    world.commit("job_1", job(crew=[{"name": "Sam Ortiz", "email": "sam@example.com", "role": "driver"}]))
    world.sync()
    assert world.calls(calendar) == [("POST", 200)]
    assert pending(world) == []


def test_a_cancelled_job_leaves_the_calendar(world: World) -> None:
    calendar, _ = place(world)
    world.commit("job_1", {}, "job.cancelled")
    world.sync()
    assert world.events(calendar) == []
    assert world.calls(calendar) == [("POST", 200), ("DELETE", 204)]


def test_cancelling_a_job_never_seen_makes_no_request(world: World) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", {}, "job.cancelled")
    world.sync()
    assert world.calls(calendar) == []
    assert pending(world) == []


def test_an_uncancelled_job_comes_back_as_the_same_event(world: World) -> None:
    calendar, event_id = place(world)
    world.commit("job_1", {}, "job.cancelled")
    world.sync()
    world.commit("job_1", job("J-1 again"))
    world.sync()
    [event] = world.events(calendar)
    assert (event["id"], event["summary"]) == (event_id, "J-1 again · Dallas → Memphis")


def test_a_job_is_in_the_calendar_while_it_is_scheduled(world: World) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job(legs=[]))
    world.sync()
    assert world.calls(calendar) == []
    for payload, titles in ((job(), [TITLE]), (job(legs=[]), []), (job(), [TITLE])):
        world.commit("job_1", payload)
        world.sync()
        assert world.titles(calendar) == titles


def test_a_job_with_days_instead_of_times_becomes_an_all_day_event_and_back(world: World) -> None:
    days = {
        "summary": "Dallas → Memphis",
        "dispatch_window": {"start": "2027-03-01", "end": None},
        "delivery_window": {"start": None, "end": "2027-03-02"},
    }
    calendar, _ = place(world, job(legs=[days]))
    [event] = world.events(calendar)
    assert (event["start"], event["end"]) == ({"date": "2027-03-01"}, {"date": "2027-03-03"})
    world.commit("job_1", job())
    world.sync()
    [event] = world.events(calendar)
    assert event["start"] == {"dateTime": "2027-03-01T14:00:00Z", "timeZone": "America/Chicago"}


def test_a_burst_of_edits_is_written_once_after_the_quiet_time(make_world: Callable[..., World]) -> None:
    world = make_world(PUSH_DEBOUNCE_SECONDS="2", PUSH_MAX_WAIT_SECONDS="15")
    freeze(world)
    calendar = world.connect("u_ana")
    with world.engine() as engine:
        for edit_number in range(20):
            world.commit("job_1", job(f"J-{edit_number}"))
            engine.sync()
            world.advance(0.1)
        world.advance(1.8)
        engine.sync()
        assert world.calls(calendar) == []
        world.advance(0.1)
        engine.sync()
    assert world.calls(calendar) == [("POST", 200)]
    assert world.titles(calendar) == ["J-19 · Dallas → Memphis"]


def test_edits_without_a_pause_are_written_when_the_longest_wait_is_over(make_world: Callable[..., World]) -> None:
    world = make_world(PUSH_DEBOUNCE_SECONDS="2", PUSH_MAX_WAIT_SECONDS="15")
    freeze(world)
    calendar = world.connect("u_ana")
    with world.engine() as engine:
        for second in range(15):
            world.commit("job_1", job(f"J-{second}"))
            engine.sync()
            assert world.calls(calendar) == []
            world.advance(1)
        engine.sync()
    assert world.titles(calendar) == ["J-14 · Dallas → Memphis"]


def test_what_the_user_chose_for_an_event_survives_our_update(world: World) -> None:
    calendar, event_id = place(world)
    chosen = {
        "colorId": "7",
        "attendees": [{"email": "guest@example.com"}],
        "transparency": "opaque",
        "visibility": "private",
        "reminders": {"useDefault": False, "overrides": [{"method": "popup", "minutes": 15}]},
        "extendedProperties": {"private": {"theirs": "kept"}},
    }
    edit(world, calendar, event_id, **chosen)
    world.commit("job_1", job("J-1b"))
    world.sync()
    [event] = world.events(calendar)
    assert event["summary"] == "J-1b · Dallas → Memphis"
    assert event["colorId"] == "7"
    assert event["attendees"] == chosen["attendees"]
    assert event.get("transparency", "opaque") == "opaque"
    assert event["visibility"] == "private"
    assert event["reminders"] == chosen["reminders"]
    assert event["extendedProperties"]["private"]["theirs"] == "kept"


def test_an_event_that_the_user_changed_since_our_last_write_is_read_and_merged(world: World) -> None:
    calendar, event_id = place(world)
    edit(world, calendar, event_id, colorId="7")
    world.commit("job_1", job("J-1b"))
    world.commit("job_2", job("J-2"))
    world.sync()
    calls = world.calls(calendar)
    assert sorted(calls[1:]) == sorted([("POST", 200), ("PUT", 412), ("GET", 200), ("PUT", 200)])
    event = next(event for event in world.events(calendar) if event["id"] == event_id)
    assert (event["summary"], event["colorId"]) == ("J-1b · Dallas → Memphis", "7")


def test_an_edit_by_the_user_between_our_read_and_our_write_is_not_lost(world: World) -> None:
    calendar, event_id = place(world)
    world.commit("job_1", job("J-1b"))
    google = InterruptedGoogle(world, after=lambda: edit(world, calendar, event_id, colorId="7"))
    with world.engine() as engine, lane_pusher(world, engine, google) as pusher:
        engine.relay.relay_batch()
        assert pusher.push(lease_one(engine)) == {"Stands": 1}
    assert world.calls(calendar)[1:] == [("GET", 200), ("PUT", 412), ("GET", 200), ("PUT", 200)]
    [event] = world.events(calendar)
    assert (event["summary"], event["colorId"]) == ("J-1b · Dallas → Memphis", "7")


def test_a_title_that_the_user_changed_is_put_right_by_the_next_change_of_the_job(world: World) -> None:
    calendar, event_id = place(world)
    edit(world, calendar, event_id, summary="Mine", location="Here")
    world.commit("job_1", job(manifest={"items": [], "notes": "Liftgate"}))
    world.sync()
    [event] = world.events(calendar)
    assert (event["summary"], event["location"]) == (TITLE, "1201 Main St, Dallas")


def test_an_event_that_the_user_deleted_is_put_back_by_the_next_change_of_the_job(world: World) -> None:
    calendar, event_id = place(world)
    delete(world, calendar, event_id)
    world.sync()
    assert world.events(calendar) == []
    world.commit("job_1", job("J-1b"))
    world.sync()
    [event] = world.events(calendar)
    assert (event["id"], event["summary"]) == (event_id, "J-1b · Dallas → Memphis")


def test_cancelling_a_job_whose_event_the_user_deleted_is_settled(world: World) -> None:
    calendar, event_id = place(world)
    delete(world, calendar, event_id)
    world.commit("job_1", {}, "job.cancelled")
    world.sync()
    assert pending(world) == []
    assert not pair(world, calendar).in_doubt


def test_a_job_that_google_refuses_is_parked_and_holds_up_no_other(world: World) -> None:
    calendar = world.connect("u_ana")
    world.fault(kind="refuse", method="POST", calendar=calendar, status=400, reason="invalid", count=1)
    jobs = {f"job_{number}": f"J-{number}" for number in range(3)}
    with world.engine() as engine:
        for job_id, number in jobs.items():
            world.commit(job_id, job(number))
        engine.sync()
    # The three go together, and Google makes such calls in an order of its own.
    [(poison, reason)] = problems(world).items()
    assert world.titles(calendar) == [
        f"{number} · Dallas → Memphis" for job_id, number in jobs.items() if job_id != poison
    ]
    assert reason == (
        "Google does not accept a value in this event. Check the job's times, addresses and texts. (Google: invalid)"
    )
    world.advance(7200)
    world.sync()
    assert list(problems(world)) == [poison]
    assert world.status()["problems"] == 1


def test_a_new_change_of_a_parked_job_tries_again(world: World) -> None:
    calendar = world.connect("u_ana")
    world.fault(kind="refuse", method="POST", calendar=calendar, status=400, reason="invalid", count=1)
    world.commit("job_1", job("J-0"))
    world.sync()
    assert problems(world).keys() == {"job_1"}
    world.commit("job_1", job("J-1"))
    with world.engine() as engine:
        engine.relay.relay_batch()
        assert problems(world) == {}
        engine.sync()
    assert world.titles(calendar) == [TITLE]
    assert pending(world) == []


def test_every_event_carries_our_marks(world: World) -> None:
    calendar, _ = place(world)
    world.commit("job_1", job("J-1b"))
    world.sync()
    [event] = world.events(calendar)
    assert event["extendedProperties"]["private"] == {
        MARK: "1",
        TENANT_MARK: tenant_mark(world.tenant),
        JOB_MARK: "job_1",
    }
    assert event["source"] == {"title": "Job J-1b", "url": "https://app.example.com/jobs/job_1"}


def test_no_write_has_google_mail_anybody(world: World) -> None:
    calendar, event_id = place(world)
    edit(world, calendar, event_id, attendees=[{"email": "guest@example.com"}])
    for payload, event_type in ((job("J-1b"), "job.updated"), ({}, "job.cancelled"), (job(), "job.updated")):
        world.commit("job_1", payload, event_type)
        world.sync()
    writes = [entry for entry in requests_for(world, calendar) if entry["method"] in ("POST", "PUT", "DELETE")]
    to_events = [entry for entry in writes if "/events" in entry["path"]]
    assert {entry["method"] for entry in to_events} == {"POST", "PUT", "DELETE"}
    assert all("sendUpdates=none" in entry["path"] for entry in to_events)
