"""Nobody chooses a calendar that is not his."""

from urllib.parse import urlencode
from uuid import uuid4

from falcon.testing import Result

from outbox.user import User
from tests.integration.attacks.attacker import FORM, on_record
from tests.integration.steps import connection, requests_for
from tests.integration.web_client import Site
from web.api.paths import API, PAGE
from web.sandbox.model import Role
from web.sandbox.specs import CalendarSpec


def choose_both_ways(site: Site, user: User, calendar_id: str) -> tuple[Result, Result]:
    """By the API and by the page's form."""
    form = {"Content-Type": FORM}
    return (
        site.call("PATCH", API, user, {"calendar_id": calendar_id}),
        site.call("POST", f"{PAGE}/calendar", user, urlencode({"calendar_id": calendar_id}).encode(), headers=form),
    )


def test_a_calendar_that_is_not_the_users_cannot_be_chosen(site: Site) -> None:
    world, ana, bo = site.world, site.user("u_ana"), site.user("u_bo")
    others = CalendarSpec(id=f"team-{uuid4().hex}@group.calendar.google.com", summary="Bo's")
    readable = CalendarSpec(id=f"read-{uuid4().hex}@group.calendar.google.com", summary="To look at", role=Role.READER)
    bos = site.connect(bo, calendars=(others,))
    email = f"ana-{uuid4().hex[:8]}@example.com"
    own = CalendarSpec(id=f"own-{uuid4().hex}@group.calendar.google.com", summary="Own")
    site.connect(ana, email=email, calendars=(own, readable))
    before = on_record(world)
    [bos_email] = connection(world, "u_bo", "account_email")
    for calendar_id in (
        bos,
        str(bos_email),
        "u_bo",
        f"../{own.id}",
        f"..%2f{own.id}",
        "%2e%2e",
        "%2e%2e%2f",
        f"x/../{own.id}",
        "a/../b",
        f"{own.id}/../{bos}",
        f"{own.id}%2f..%2f{bos}",
        f"{own.id}?key=1",
        f"{own.id}#",
        f"{own.id}\n",
        f" {own.id}",
        f"{own.id}\x00",
        f"\x00{own.id}",
        ".",
        "..",
        "...",
        "",
        "/",
        "\\",
        "x" * 1024,
        "x" * 1025,
        "x" * 50_000,
        "%00",
        "*",
        "' OR '1'='1",
        "\u202e",
        "primary/",
        "primary%20",
        "calendarList",
        "{calendar_id}",
    ):
        api, form = choose_both_ways(site, ana, calendar_id)
        assert api.status_code in (404, 422), calendar_id
        assert form.status_code == 303, calendar_id
        assert form.headers["location"] in (f"{PAGE}?notice=unknown_calendar", f"{PAGE}?notice=invalid_form"), (
            calendar_id
        )
        assert on_record(world) == before, calendar_id
    api, form = choose_both_ways(site, ana, readable.id)
    assert (api.status_code, form.headers["location"]) == (422, f"{PAGE}?notice=calendar_not_writable")
    for raw in (
        b'{"calendar_id": "\\ud800"}',
        b'{"calendar_id": null}',
        b'{"calendar_id": ["x"]}',
        b'{"calendar_id": 7}',
    ):
        assert site.call("PATCH", API, ana, raw).status_code in (400, 422)
    assert on_record(world) == before
    requested = {entry["path"].partition("?")[0] for entry in requests_for(world, email)}
    assert {path for path in requested if "/calendarList" not in path} == {"/token"}


def test_primary_is_stored_as_the_calendar_that_it_is_for_this_user(site: Site) -> None:
    ana = site.user("u_ana")
    email = f"ana-{uuid4().hex[:8]}@example.com"
    site.connect(
        ana, email=email, calendars=(CalendarSpec(id=f"{uuid4().hex}@group.calendar.google.com", summary="x"),)
    )
    for answer in choose_both_ways(site, ana, "primary"):
        assert answer.status_code in (200, 303)
        assert connection(site.world, "u_ana", "calendar_id") == (email,)
