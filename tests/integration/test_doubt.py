"""Whatever becomes of a request or its answer, exactly one right event stands there afterwards."""

from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
import requests

from outbox.google.calls import Call
from outbox.google.client import GoogleCalendar, Together
from outbox.plan import LATE_ARRIVAL_SECONDS
from tests.integration.conftest import World, job
from tests.integration.interleaving import background
from tests.integration.steps import delete, freeze, pair, pending, requests_for, retired_ids

FAULTS: dict[str, dict[str, Any]] = {
    "cut before the work": {"kind": "cut"},
    "cut after the work": {"kind": "cut_after"},
    "5xx before the work": {"kind": "refuse", "status": 503},
    "5xx after the work": {"kind": "refuse_after", "status": 500},
    "a proxy's page instead of the work": {"kind": "html"},
    "garbage after the work": {"kind": "garbage"},
}
METHODS = {"insert": "POST", "update": "PUT", "delete": "DELETE"}
FIRST, SECOND = "J-A · Dallas → Memphis", "J-B · Dallas → Memphis"

one_try = pytest.mark.usefixtures("one_try_a_call")


@pytest.fixture
def one_try_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call is not repeated, so that every doubt goes through the table."""
    monkeypatch.setattr("outbox.google.client.MAX_TRIES", 1)


def commit(world: World, write: str) -> list[str]:
    """Commit what leads to such a write for `job_1`; returns the titles that should stand there in the end."""
    match write:
        case "insert":
            world.commit("job_1", job("J-A"))
            return [FIRST]
        case "update":
            world.commit("job_1", job("J-B"))
            return [SECOND]
        case _:
            world.commit("job_1", {}, "job.cancelled")
            return []


def place(world: World) -> str:
    """A connected calendar on which `job_1` stands; returns the calendar's id."""
    calendar = world.connect("u_ana")
    world.commit("job_1", job("J-A"))
    world.sync()
    return calendar


def resend(world: World, calendar: str, request: dict[str, Any]) -> int:
    """A request of ours that was lost reaches Google only now; returns how Google answers it."""
    token = world.google.control("POST", "token", {"account": calendar, "own": False})["access_token"]
    headers = {"Authorization": f"Bearer {token}", "If-Match": request["headers"].get("if-match", "*")}
    url = f"{world.google.url}{request['path']}"
    return requests.request(request["method"], url, json=request["body"], headers=headers, timeout=10).status_code


@one_try
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("write", METHODS)
def test_a_write_with_an_unknown_outcome_ends_with_one_right_event(world: World, write: str, fault: str) -> None:
    calendar = world.connect("u_ana") if write == "insert" else place(world)
    world.fault(**FAULTS[fault], method=METHODS[write], calendar=calendar, count=1)
    titles = commit(world, write)
    world.sync()
    if (write, fault) != ("delete", "garbage after the work"):  # its success has no body to be garbled
        assert pair(world, calendar).in_doubt
        assert pending(world) == ["job_1"]
    world.advance(10)
    world.sync()
    assert world.titles(calendar) == titles
    assert pending(world) == []
    known = pair(world, calendar)
    assert (known.id_generation, known.in_doubt, known.stands) == (1, False, bool(titles))


def test_an_insert_whose_answer_is_cut_is_cleared_up_within_the_call(world: World) -> None:
    calendar = world.connect("u_ana")
    world.fault(kind="cut_after", method="POST", calendar=calendar, count=1)
    world.commit("job_1", job("J-A"))
    world.sync()
    assert world.calls(calendar) == [("POST", "cut"), ("POST", 409), ("GET", 200), ("PUT", 200)]
    assert world.titles(calendar) == [FIRST]
    assert pending(world) == []


@one_try
@pytest.mark.parametrize("kind", ["cut", "cut_after"])
def test_a_change_back_after_a_cut_is_written_although_it_equals_what_was_confirmed(world: World, kind: str) -> None:
    calendar = place(world)
    world.fault(kind=kind, method="PUT", calendar=calendar, count=1)
    world.commit("job_1", job("J-B"))
    world.sync()
    assert world.titles(calendar) == [SECOND if kind == "cut_after" else FIRST]
    world.commit("job_1", job("J-A"))
    world.sync()
    assert world.titles(calendar) == [FIRST]
    assert pending(world) == []
    assert not pair(world, calendar).in_doubt


@one_try
def test_cancelling_after_a_cut_that_did_the_work_removes_the_event(world: World) -> None:
    calendar = world.connect("u_ana")
    world.fault(kind="cut_after", method="POST", calendar=calendar, count=1)
    world.commit("job_1", job("J-A"))
    world.sync()
    world.commit("job_1", {}, "job.cancelled")
    world.sync()
    assert world.events(calendar) == []
    assert pending(world) == []


@one_try
def test_a_cancelled_insert_that_may_be_on_its_way_is_looked_for_again_after_a_minute(world: World) -> None:
    calendar = world.connect("u_ana")
    freeze(world)
    world.fault(kind="cut", method="POST", calendar=calendar, count=1)
    world.commit("job_1", job("J-A"))
    world.sync()
    world.commit("job_1", {}, "job.cancelled")
    world.sync()
    asked = [("POST", "cut"), ("GET", 404)]
    assert world.calls(calendar) == asked
    assert pending(world) == ["job_1"]
    world.advance(LATE_ARRIVAL_SECONDS - 1)
    world.sync()
    assert world.calls(calendar) == asked
    world.advance(1)
    world.sync()
    assert world.calls(calendar)[len(asked)] == ("GET", 404)
    assert pending(world) == []
    assert not pair(world, calendar).in_doubt


@one_try
def test_a_cancelled_insert_that_arrives_within_the_minute_is_removed(world: World) -> None:
    calendar = world.connect("u_ana")
    world.fault(kind="cut", method="POST", calendar=calendar, count=1)
    world.commit("job_1", job("J-A"))
    world.sync()
    assert pending(world) == ["job_1"]
    assert resend(world, calendar, requests_for(world, calendar)[-1]) == 200
    world.commit("job_1", {}, "job.cancelled")
    world.sync()
    assert world.events(calendar) == []
    assert pending(world) == []


@one_try
def test_a_cancelled_insert_that_arrives_after_the_first_look_is_removed_at_the_second(world: World) -> None:
    calendar = world.connect("u_ana")
    world.fault(kind="cut", method="POST", calendar=calendar, count=1)
    world.commit("job_1", job("J-A"))
    world.sync()
    lost = requests_for(world, calendar)[-1]
    world.commit("job_1", {}, "job.cancelled")
    world.sync()
    assert world.calls(calendar)[-1] == ("GET", 404)
    assert resend(world, calendar, lost) == 200
    world.advance(LATE_ARRIVAL_SECONDS)
    world.sync()
    assert world.events(calendar) == []
    assert pending(world) == []


@one_try
def test_uncancelling_while_the_insert_is_in_doubt_makes_one_event(world: World) -> None:
    calendar = world.connect("u_ana")
    world.fault(kind="cut_after", method="POST", calendar=calendar, count=1)
    for payload, event_type in ((job("J-A"), "job.created"), ({}, "job.cancelled"), (job("J-B"), "job.updated")):
        world.commit("job_1", payload, event_type)
        world.sync()
    assert world.titles(calendar) == [SECOND]
    assert pair(world, calendar).id_generation == 1


@one_try
@pytest.mark.parametrize("fault", FAULTS)
def test_an_event_id_is_never_given_up_for_want_of_an_answer(world: World, fault: str) -> None:
    calendar = place(world)
    world.commit("job_1", {}, "job.cancelled")
    world.sync()
    first = pair(world, calendar).event_id
    world.fault(**FAULTS[fault], method="PUT", calendar=calendar, count=3)
    world.commit("job_1", job("J-B"))
    for _ in range(4):
        world.sync()
        assert (pair(world, calendar).event_id, pair(world, calendar).id_generation) == (first, 1)
        world.advance(100)
    assert [event["id"] for event in world.events(calendar)] == [first]
    assert world.titles(calendar) == [SECOND]


def test_a_refusal_after_an_unknown_outcome_in_the_same_call_gives_up_no_event_id(world: World) -> None:
    calendar = place(world)
    world.commit("job_1", {}, "job.cancelled")
    world.sync()
    world.fault(kind="refuse", status=503, method="PUT", calendar=calendar, count=1)
    world.fault(kind="refuse", status=403, reason="forbidden", method="PUT", calendar=calendar, count=1)
    world.commit("job_1", job("J-B"))
    world.sync()
    assert world.calls(calendar)[-2:] == [("PUT", 503), ("PUT", 403)]
    assert pair(world, calendar).id_generation == 1
    world.advance(LATE_ARRIVAL_SECONDS)
    world.sync()
    assert world.titles(calendar) == [SECOND]
    assert pair(world, calendar).id_generation == 1


@one_try
def test_an_event_id_is_given_up_only_when_no_unanswered_write_can_bring_its_event_back(world: World) -> None:
    calendar = place(world)
    freeze(world)
    world.commit("job_1", {}, "job.cancelled")
    world.sync()
    world.fault(kind="cut", method="PUT", calendar=calendar, count=1)
    world.fault(kind="refuse", status=403, reason="forbidden", method="PUT", calendar=calendar)
    world.commit("job_1", job("J-B"))
    for passed, generation in ((0, 1), (10, 1), (LATE_ARRIVAL_SECONDS - 1, 1), (1, 2)):
        world.advance(passed)
        world.sync()
        assert pair(world, calendar).id_generation == generation
    assert world.titles(calendar) == [SECOND]


def test_an_id_that_google_refuses_to_revive_is_replaced(world: World) -> None:
    calendar = place(world)
    first = pair(world, calendar).event_id
    world.commit("job_1", {}, "job.cancelled")
    world.sync()
    world.fault(kind="refuse", status=403, reason="forbidden", method="PUT", calendar=calendar, count=1)
    world.commit("job_1", job("J-B"))
    world.sync()
    known = pair(world, calendar)
    assert known.id_generation == 2
    assert known.event_id != first
    assert [(event["id"], event["summary"]) for event in world.events(calendar)] == [(known.event_id, SECOND)]
    assert retired_ids(world) == []
    assert pending(world) == []


def test_an_id_that_google_refuses_to_update_goes_before_the_new_one_comes(world: World) -> None:
    calendar = place(world)
    first = pair(world, calendar).event_id
    world.fault(kind="refuse", status=403, reason="forbidden", method="PUT", calendar=calendar, count=1)
    world.commit("job_1", job("J-B"))
    world.sync()
    assert world.calls(calendar)[1:] == [
        ("GET", 200),
        ("PUT", 403),
        ("GET", 200),
        ("DELETE", 204),
        ("POST", 200),
    ]
    assert world.titles(calendar) == [SECOND]
    assert pair(world, calendar).event_id != first
    assert retired_ids(world) == []


@one_try
def test_an_id_given_up_is_remembered_until_its_event_is_gone(world: World) -> None:
    calendar = place(world)
    first = pair(world, calendar).event_id
    world.fault(kind="refuse", status=403, reason="forbidden", method="PUT", calendar=calendar, count=1)
    world.fault(kind="cut", method="DELETE", calendar=calendar, count=1)
    world.commit("job_1", job("J-B"))
    world.sync()
    assert retired_ids(world) == [first]
    assert [event["id"] for event in world.events(calendar)] == [first]
    world.advance(10)
    world.sync()
    assert retired_ids(world) == []
    assert world.titles(calendar) == [SECOND]
    assert pair(world, calendar).id_generation == 2


@one_try
def test_cancelling_a_job_whose_old_id_still_stands_removes_it(world: World) -> None:
    calendar = place(world)
    world.fault(kind="refuse", status=403, reason="forbidden", method="PUT", calendar=calendar, count=1)
    world.fault(kind="cut", method="DELETE", calendar=calendar, count=1)
    world.commit("job_1", job("J-B"))
    world.sync()
    world.commit("job_1", {}, "job.cancelled")
    world.sync()
    assert world.events(calendar) == []
    assert retired_ids(world) == []


def test_a_later_id_stays_in_use(world: World) -> None:
    calendar = place(world)
    world.fault(kind="refuse", status=403, reason="forbidden", method="PUT", calendar=calendar, count=1)
    world.commit("job_1", job("J-B"))
    world.sync()
    second = pair(world, calendar).event_id
    world.commit("job_1", {}, "job.cancelled")
    world.sync()
    world.commit("job_1", job("J-A"))
    world.sync()
    assert [(event["id"], event["summary"]) for event in world.events(calendar)] == [(second, FIRST)]


@pytest.mark.parametrize("state", ["live", "deleted"])
def test_an_id_that_turns_out_to_be_taken_is_brought_up_to_date(world: World, state: str) -> None:
    calendar = place(world)
    event_id = pair(world, calendar).event_id
    if state == "deleted":
        delete(world, calendar, event_id)
    world.execute("DELETE FROM calendar_sync.pushed_event")
    world.commit("job_1", job("J-B"))
    world.sync()
    assert world.calls(calendar)[1:] == [("POST", 409), ("GET", 200), ("PUT", 200)]
    assert [(event["id"], event["summary"]) for event in world.events(calendar)] == [(event_id, SECOND)]


def test_an_event_that_google_no_longer_knows_is_inserted_again(world: World) -> None:
    calendar = place(world)
    world.execute("UPDATE calendar_sync.pushed_event SET event_id = 'neverused'")
    world.commit("job_1", job("J-B"))
    world.sync()
    assert world.calls(calendar)[1:] == [("GET", 404), ("POST", 200)]
    assert "neverused" in {event["id"] for event in world.events(calendar)}


def test_the_daemons_death_between_a_call_and_its_settling_leaves_one_right_event(world: World) -> None:
    calendar = place(world)
    world.commit("job_1", job("J-B"))
    world.sync()
    # What a crash leaves behind: the intent on record, its answer not, the mark still there.
    world.execute("UPDATE calendar_sync.pushed_event SET in_doubt = true, etag = %s", '"outdated"')
    world.commit("job_1", job("J-B"))
    world.sync()
    assert world.titles(calendar) == [SECOND]
    assert not pair(world, calendar).in_doubt


def test_what_a_deadlock_undid_is_begun_again_before_anything_is_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    calendar = world.connect("u_ana")
    in_doubt: list[bool] = []
    talk_together = GoogleCalendar.call_together

    def watched(google: GoogleCalendar, calls: Sequence[Call], **where: Any) -> Together:
        in_doubt.extend(pair(world, calendar, job_id).in_doubt for job_id in ("job_1", "job_2"))
        return talk_together(google, calls, **where)

    with world.engine() as engine:
        for number in ("J-A", "J-B"):  # of these the second is begun in the transaction that reads what is due
            for job_id in ("job_1", "job_2"):
                world.commit(job_id, job(number))
            engine.relay.relay_batch()
            if number == "J-A":
                engine.pusher.drain()
        monkeypatch.setattr(GoogleCalendar, "call_together", watched)
        with psycopg.connect(world.database_url) as retention:
            retention.execute("SET deadlock_timeout = '20s'")  # the other side is the one that gives in
            held = "SELECT FROM calendar_sync.pushed_event WHERE job_id = %s FOR UPDATE"
            retention.execute(held, ["job_2"])
            with background(world, engine.pusher.drain):
                retention.execute(held, ["job_1"])
                retention.rollback()
    assert in_doubt == [True, True]
    assert world.titles(calendar) == ["J-B · Dallas → Memphis"] * 2
