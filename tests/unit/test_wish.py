"""What should stand in a calendar for a job: what somebody on it wants, and nothing else."""

import json
from typing import Any

import pytest

from outbox.google.resource import event_id
from outbox.lane import LaneConnection
from outbox.plan import Known, Wish
from outbox.rendering import rendering_of
from outbox.wish import wish_for

URL = "https://app.example.com/jobs/{job_id}"
LEG = {
    "summary": "Dallas → Memphis",
    "dispatch_window": {"start": "2027-03-01T08:00:00-06:00", "end": None},
    "delivery_window": {"start": None, "end": "2027-03-01T18:00:00-06:00"},
    "stops": [],
}
JOB: dict[str, Any] = {
    "schema_version": 1,
    "job_number": "J-1",
    "timezone": "America/Chicago",
    "legs": [LEG],
    "assigned_user_ids": ["u_ana"],
}


def person(user_id: str = "u_ana", **changes: Any) -> LaneConnection:
    """Somebody who has chosen the calendar."""
    given: dict[str, Any] = {
        "tenant_id": "acme",
        "connection_id": 1,
        "user_id": user_id,
        "account_id": None,
        "state": "active",
        "job_filter": "all",
        "grant_version": 1,
        "refresh_token": None,
        "access_token": None,
        "emptying": False,
        "may_push": False,
        "access_token_seconds_left": None,
        "cooling_seconds_left": None,
    }
    return LaneConnection(**(given | changes))


def wish(*people: LaneConnection, job: dict[str, Any] | None = JOB, **changes: Any) -> Wish:
    """The wish for `job_1` on `cal-1`."""
    given: dict[str, Any] = {
        "tenant_id": "acme",
        "calendar_id": "cal-1",
        "cancelled": False,
        "known": None,
        "wishers": people,
    }
    rendering = None if job is None else rendering_of("job_1", json.dumps(job), job_url_template=URL)
    return wish_for("job_1", rendering, **(given | changes))


@pytest.mark.parametrize(
    ("connection", "wanted"),
    [
        (person(), True),
        (person("u_bob"), True),
        (person(job_filter="assigned"), True),
        (person("u_bob", job_filter="assigned"), False),
        (person(state="needs_reconnect"), True),
        (person(state="calendar_lost"), True),
        (person(state="disconnecting"), False),
        (person(state="choose_calendar"), False),
        (person(state="not_connected"), False),
        (person(emptying=True), False),
    ],
    ids=repr,
)
def test_a_person_wants_all_jobs_or_his_own_for_as_long_as_the_calendar_is_chosen(
    connection: LaneConnection, wanted: bool
) -> None:
    assert connection.wants(("u_ana", "u_zoe")) is wanted
    assert (wish(connection).body is not None) is wanted


@pytest.mark.parametrize(("cooling", "seconds"), [(None, 0.0), (5.0, 5.0), (-5.0, 0.0)])
def test_a_rest_is_over_when_its_time_is(cooling: float | None, seconds: float) -> None:
    assert person(cooling_seconds_left=cooling).rest_left == seconds


def test_one_who_wants_it_is_enough() -> None:
    assert wish(person("u_bob", job_filter="assigned"), person()).body is not None
    assert wish().body is None


def test_no_event_is_wished_for_what_is_gone_cancelled_or_unscheduled() -> None:
    assert wish(person(), job=None) == Wish(None)
    assert wish(person(), cancelled=True) == Wish(None)
    unscheduled = {**JOB, "legs": [{**LEG, "dispatch_window": None, "delivery_window": None}]}
    assert wish(person(), job=unscheduled) == Wish(None)


def test_a_cancelled_job_is_wished_by_nobody() -> None:
    assert wish(person(), cancelled=True) == Wish(None)


def test_the_event_is_under_the_id_in_use_else_under_the_first() -> None:
    body = wish(person()).body
    assert body is not None
    assert body["id"] == event_id("acme", "cal-1", "job_1", 1)
    assert "https://app.example.com/jobs/job_1" in json.dumps(body)
    body = wish(person(), known=Known("e7", 7)).body
    assert body is not None
    assert body["id"] == "e7"
