"""Every request that the daemon sends is one that Google's own description of its API knows."""

from collections import Counter
from typing import Any

from tests.integration.conftest import World, job
from tests.sandbox.discovery import check_request
from web.sandbox.specs import FaultKind

RICH = job(
    "J-2 <b>&</b> שלום 🚚",
    manifest={
        "items": [{"description": "Paint", "quantity": 12, "unit": "pallet", "weight_kg": 5400}],
        "notes": "Lift",
    },
)

DAYS: dict[str, Any] = {"start": "2027-03-01", "end": "2027-03-02"}

ALL_DAY = job("J-3", legs=[{"summary": "Somewhere", "dispatch_window": DAYS, "delivery_window": DAYS}])


def sent(world: World, account: str) -> list[dict[str, Any]]:
    """The daemon's requests to the Calendar API for this account."""
    entries = world.google.control("GET", "requests")["entries"]
    return [
        entry
        for entry in entries
        if entry["actor"] == "project" and entry["account"] == account and entry["path"].startswith("/calendar/")
    ]


def violations(requests: list[dict[str, Any]]) -> list[str]:
    return [
        f"{entry['method']} {entry['path']}: {violation}"
        for entry in requests
        for violation in check_request(entry["method"], entry["path"], entry["body"])
    ]


def test_a_jobs_whole_life_is_told_in_requests_that_google_knows(world: World) -> None:
    calendar = world.connect("u_ana")
    for payload in (job(), RICH, ALL_DAY):
        world.commit("job_1", payload)
        world.commit("job 2/ä", payload)
        world.sync()
    (event,) = (event for event in world.events(calendar) if "job_1" in event["description"])
    edit = {"colorId": "5", "reminders": {"useDefault": False, "overrides": [{"method": "popup", "minutes": 5}]}}
    patch = {**edit, "attendees": [{"email": "sam@example.com"}], "summary": "Mine"}
    world.google.control(
        "POST", "user-edit", {"account": calendar, "calendar": calendar, "event": event["id"], "patch": patch}
    )
    world.commit("job_1", job("J-4"))
    world.sync()
    world.commit("job_1", {}, "job.cancelled")
    world.sync()
    world.commit("job_1", job("J-5"))
    world.sync()
    requests = sent(world, calendar)
    assert {entry["method"] for entry in requests} == {"POST", "GET", "PUT", "DELETE"}
    assert violations(requests) == []


def test_requests_after_faults_are_ones_that_google_knows(world: World) -> None:
    calendar = world.connect("u_ana")
    for method in ("POST", "PUT", "DELETE"):
        world.fault(kind=FaultKind.CUT_AFTER, method=method, account=calendar, count=1)
        world.fault(kind=FaultKind.GARBAGE, method=method, account=calendar, count=1)
    for payload, event_type in ((job(), "job.created"), (RICH, "job.updated"), ({}, "job.cancelled")):
        world.commit("job_1", payload, event_type)
        world.sync()
    world.fault(kind=FaultKind.REFUSE, method="PUT", account=calendar, status=403, reason="forbidden", count=1)
    world.commit("job_1", job("J-6"))
    world.sync()
    requests = sent(world, calendar)
    assert Counter(entry["status"] for entry in requests)["cut"] == 3
    assert violations(requests) == []
    assert world.titles(calendar) == ["J-6 · Dallas → Memphis"]


def test_what_google_does_not_know_would_be_noticed(world: World) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job())
    world.sync()
    (insert,) = (entry for entry in sent(world, calendar) if entry["method"] == "POST")
    assert violations([insert]) == []
    assert len(violations([insert | {"path": insert["path"] + "&notify=none"}])) == 1
    assert len(violations([insert | {"body": {**insert["body"], "etag": "x", "hue": "red"}}])) >= 1
