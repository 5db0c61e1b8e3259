"""The JSON API as the host app's pages use it, over a real database and the sandbox's Google."""

import json
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from tests.integration.conftest import World, job
from tests.integration.web_client import Site, open_site
from web.api.paths import API, PAGE
from web.limits import LIMITS
from web.sandbox.specs import AccountSpec, CalendarSpec

NOBODY_YET = {
    "connected": False,
    "state": "not_connected",
    "account_email": None,
    "calendar_id": None,
    "calendar_name": None,
    "scopes": [],
    "connected_at": None,
    "last_pushed_at": None,
    "pending": 0,
    "problems": 0,
    "filling": None,
    "reconnect_reason": None,
    "job_filter": "all",
    "paused": False,
    "resting_until": None,
    "resting_reason": None,
    "leaving": [],
    "last_disconnect": None,
}


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    with open_site(world) as site:
        yield site


def test_who_never_connected_is_told_so(site: Site) -> None:
    answer = site.call("GET", API, site.user("u_ana"))
    assert (answer.status_code, answer.json) == (200, NOBODY_YET)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


def test_a_user_connects_and_chooses_a_calendar(site: Site) -> None:
    ana, email = site.user("u_ana"), f"ana-{uuid4().hex[:8]}@example.com"
    site.world.google.add_account(
        AccountSpec(email=email, calendars=(CalendarSpec(id=f"jobs-{email}", summary="Jobs"),))
    )

    start = site.call("POST", f"{API}/connect", ana)
    asked = parse_qs(urlsplit(start.json["authorize_url"]).query)
    assert start.status_code == 200
    assert list(start.json) == ["authorize_url"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["access_type"] == ["offline"]

    assert site.consent(ana, email) == f"{PAGE}?connected=1"
    waiting = site.call("GET", API, ana).json
    assert (waiting["connected"], waiting["state"], waiting["account_email"]) == (True, "choose_calendar", email)

    offered = site.call("GET", f"{API}/calendars", ana)
    assert offered.status_code == 200
    assert [(calendar["id"], calendar["primary"], calendar["chosen"]) for calendar in offered.json["calendars"]] == [
        (email, True, False),
        (f"jobs-{email}", False, False),
    ]

    changed = site.call("PATCH", API, ana, {"calendar_id": f"jobs-{email}", "job_filter": "assigned"})
    assert changed.status_code == 200
    assert changed.json == site.call("GET", API, ana).json
    assert set(changed.json) == set(NOBODY_YET)
    assert changed.json["state"] == "active"
    assert (changed.json["calendar_id"], changed.json["calendar_name"]) == (f"jobs-{email}", "Jobs")
    assert changed.json["job_filter"] == "assigned"
    assert changed.json["connected_at"].endswith("Z")

    assert site.call("PATCH", API, ana, {"paused": True}).json["state"] == "paused"
    assert site.call("PATCH", API, ana, {}).json["paused"] is True
    assert site.call("PATCH", API, ana, {"paused": False}).json["state"] == "active"


def test_the_cookie_of_an_attempt_is_for_this_host_and_no_script(site: Site) -> None:
    cookie = site.call("POST", f"{API}/connect", site.user("u_ana")).cookies["__Host-calendar_sync_connect"]
    assert (cookie.secure, cookie.http_only, cookie.same_site, cookie.path) == (True, True, "Lax", "/")
    assert cookie.domain is None
    assert cookie.max_age == 600


def test_who_came_from_a_page_goes_back_to_it(site: Site) -> None:
    ana = site.user("u_ana")
    start = site.call("POST", f"{API}/connect", ana, {"return_to": "/jobs?view=week"})
    [state] = parse_qs(urlsplit(start.json["authorize_url"]).query)["state"]
    cookie = start.cookies["__Host-calendar_sync_connect"].value
    answer = site.call(
        "GET",
        f"{API}/callback?state={state}&error=access_denied",
        headers={"Cookie": f"__Host-calendar_sync_connect={cookie}"},
    )
    assert (answer.status_code, answer.headers["location"]) == (302, "/jobs?view=week&error=access_denied")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.text == ""


MADE_UP = (
    "",
    "state=",
    "state=%00&code=%00",
    "state=a&state=b&code=c",
    "state=%ED%A0%80&code=x",
    f"state={'s' * 5000}&code={'c' * 5000}",
    f"state={'A' * 43}&code=4/abc",
    "error=%3Cscript%3E",
    "code=4/abc",
)


def test_a_browser_with_a_callback_that_nobody_sent_is_shown_the_page(site: Site) -> None:
    for address, cookie in enumerate((None, "x", "A" * 43, "\x01")):
        sent_by = {"X-Forwarded-For": f"198.51.100.{address}"}
        headers = {} if cookie is None else {"Cookie": f"__Host-calendar_sync_connect={cookie}"}
        for query in MADE_UP:
            answer = site.call("GET", f"{API}/callback?{query}", headers=headers | sent_by)
            back = urlsplit(answer.headers["location"])
            assert (answer.status_code, back.path) == (302, PAGE)
            assert parse_qs(back.query)["error"][0] in {"wrong_browser", "attempt_unknown"}


def test_browsers_that_come_back_too_often_are_told_so_and_others_are_not(site: Site) -> None:
    def come_back(address: str) -> str:
        answer = site.call("GET", f"{API}/callback?state=x", headers={"X-Forwarded-For": f"6.6.6.6, {address}"})
        assert answer.status_code == 302
        return str(answer.headers["location"])

    for _ in range(LIMITS["callback"].burst):
        assert come_back("198.51.100.1") == f"{PAGE}?error=wrong_browser"
    assert come_back("198.51.100.1") == f"{PAGE}?error=too_many_requests"
    assert come_back("198.51.100.2") == f"{PAGE}?error=wrong_browser"


def test_nobody_can_take_the_way_back_from_others_at_the_same_address(site: Site) -> None:
    ana, office = site.user("u_ana"), {"X-Forwarded-For": "198.51.100.7"}
    start = site.call("POST", f"{API}/connect", ana, {})
    [state] = parse_qs(urlsplit(start.json["authorize_url"]).query)["state"]
    cookie = f"__Host-calendar_sync_connect={start.cookies['__Host-calendar_sync_connect'].value}"

    def come_back(query: str, cookie: str) -> str:
        return str(
            site.call("GET", f"{API}/callback?{query}", headers={**office, "Cookie": cookie}).headers["location"]
        )

    # Neither an unknown state nor another browser's cookie gets through for long.
    strangers = [("state=x", "x=y"), (f"state={'A' * 43}", cookie), (f"state={state}", f"{cookie[:-43]}{'A' * 43}")]
    for number in range(LIMITS["callback"].burst + 3):
        come_back(*strangers[number % 3])
    assert {come_back(*stranger) for stranger in strangers} == {f"{PAGE}?error=too_many_requests"}
    for _ in range(LIMITS["callback"].burst + 1):
        assert come_back(f"state={state}&error=access_denied", cookie) == f"{PAGE}?error=access_denied"


SECRET = "do-not-repeat-this"


MISFITS: tuple[tuple[str, str, object, list[str]], ...] = (
    ("PATCH", "", {"paused": SECRET}, ["paused"]),
    ("PATCH", "", {"paused": 1}, ["paused"]),
    ("PATCH", "", {"paused": None}, ["paused"]),
    ("PATCH", "", {"job_filter": SECRET}, ["job_filter"]),
    ("PATCH", "", {"calendar_id": ""}, ["calendar_id"]),
    ("PATCH", "", {"calendar_id": f"{SECRET}\x00"}, ["calendar_id"]),
    ("PATCH", "", {"calendar_id": SECRET * 100}, ["calendar_id"]),
    ("PATCH", "", {"calendar_id": [SECRET]}, ["calendar_id"]),
    ("PATCH", "", {"calendar_id": "../../users/me"}, ["calendar_id"]),
    ("PATCH", "", {"calendar_id": "a\\b"}, ["calendar_id"]),
    ("POST", "/connect", {"other_account": "yes"}, ["other_account"]),
    ("PATCH", "", {"tenant_id": SECRET}, ["tenant_id"]),
    ("PATCH", "", {f"<{SECRET}>": 1}, [""]),
    ("PATCH", "", [SECRET], [""]),
    ("PATCH", "", SECRET, [""]),
    ("PATCH", "", {"calendar_id": 7, "job_filter": 7, "paused": 7}, ["calendar_id", "job_filter", "paused"]),
    ("POST", "/connect", {"return_to": 7}, ["return_to"]),
    ("POST", "/connect", {"return_to": "/" + SECRET * 1000}, ["return_to"]),
    ("POST", "/connect", {"user_id": SECRET}, ["user_id"]),
    ("POST", "/disconnect", {}, ["remove_events"]),
    ("POST", "/disconnect", None, ["remove_events"]),
    ("POST", "/disconnect", {"remove_events": "true"}, ["remove_events"]),
    ("POST", "/disconnect", {"remove_events": True, "all": True}, ["all"]),
)


def test_a_body_that_does_not_fit_is_refused_by_field_and_not_repeated(site: Site) -> None:
    for method, path, body, fields in MISFITS:
        answer = site.call(method, API + path, site.user("u_ana"), body)
        assert answer.status_code == 422, body
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json["type"] == "urn:calendar-sync:problem:invalid_body"
        assert [error["field"] for error in answer.json["errors"]] == fields
        assert all(error["message"] for error in answer.json["errors"])
        assert SECRET not in answer.text


NO_JSON = (
    b"{",
    b"\xff",
    b'{"calendar_id": "\xed\xa0\x80"}',
    b'{"calendar_id": "\\ud800"}',
    b"{" * 2000,
    b"[" * 60_000,
    b'{"paused": NaN',
)


def test_what_is_no_json_is_refused(site: Site) -> None:
    for body in NO_JSON:
        answer = site.call("PATCH", API, site.user("u_ana"), body)
        assert (answer.status_code, answer.json["type"]) == (400, "urn:calendar-sync:problem:invalid_json"), body


def test_a_long_list_of_mistakes_is_told_in_part(site: Site) -> None:
    answer = site.call("PATCH", API, site.user("u_ana"), {f"field_{number}": 1 for number in range(2000)})
    assert (answer.status_code, len(answer.json["errors"])) == (422, 10)


def test_bodies_of_another_type_or_too_long_are_refused(site: Site) -> None:
    ana = site.user("u_ana")
    form = site.call("PATCH", API, ana, b"paused=true", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert (form.status_code, form.json["type"]) == (415, "urn:calendar-sync:problem:unsupported_media_type")
    long = site.call("PATCH", API, ana, {"calendar_id": "x" * 70_000})
    assert (long.status_code, long.json["type"]) == (413, "urn:calendar-sync:problem:body_too_large")


def test_a_way_back_to_another_site_is_refused(site: Site) -> None:
    for return_to in ("", "//evil.example", "https://evil.example", "/\\evil.example", "jobs", "/a b"):
        answer = site.call("POST", f"{API}/connect", site.user("u_ana"), {"return_to": return_to})
        assert (answer.status_code, answer.json["type"]) == (400, "urn:calendar-sync:problem:invalid_return_to")


def test_without_a_connection_there_is_nothing_to_work_with(site: Site) -> None:
    ana = site.user("u_ana")
    for method, path, body in (
        ("GET", "/calendars", None),
        ("PATCH", "", {"paused": True}),
    ):
        answer = site.call(method, API + path, ana, body)
        assert (answer.status_code, answer.json["type"]) == (409, "urn:calendar-sync:problem:not_connected"), path
    for path in ("/test-push", "/resync"):
        assert site.call("POST", API + path, ana).status_code == 409, path
    nothing = site.call("POST", f"{API}/disconnect", ana, {"remove_events": True})
    assert (nothing.status_code, nothing.json) == (200, {"state": "not_connected", "revocation": "nothing"})


def test_only_calendars_of_the_account_that_can_be_written_can_be_chosen(site: Site) -> None:
    ana = site.user("u_ana")
    calendar = site.connect(ana)
    holidays = f"holidays-{uuid4().hex}@group.v.calendar.google.com"
    site.world.google.add_account(
        AccountSpec(email=f"{uuid4().hex}@example.com", calendars=(CalendarSpec(id=holidays, summary="Holidays"),))
    )
    role = {"account": calendar, "role": "reader"}
    site.world.google.control("POST", f"calendars/{holidays}/role", role)

    read_only = site.call("PATCH", API, ana, {"calendar_id": holidays})
    assert (read_only.status_code, read_only.json["type"]) == (422, "urn:calendar-sync:problem:calendar_not_writable")
    for unknown in ("nobody@example.com", ".", "..", "b?c#d%2f"):
        answer = site.call("PATCH", API, ana, {"calendar_id": unknown})
        assert (answer.status_code, answer.json["type"]) == (404, "urn:calendar-sync:problem:unknown_calendar")
    assert site.call("GET", API, ana).json["calendar_id"] == calendar


def test_a_test_push_is_followed_to_its_end(site: Site) -> None:
    ana = site.user("u_ana")
    calendar = site.connect(ana)
    started = site.call("POST", f"{API}/test-push", ana)
    assert started.status_code == 202
    assert list(started.json) == ["id", "state", "requested_at", "steps"]
    assert started.headers["location"] == f"{API}/test-push/{started.json['id']}"
    assert [step["name"] for step in started.json["steps"]] == [
        "queued", "picked_up", "access", "written", "read_back", "removed",
    ]  # fmt: skip
    site.world.sync()
    ended = site.call("GET", started.headers["location"], ana)
    assert (ended.status_code, ended.json["state"]) == (200, "succeeded")
    assert all(step["state"] == "done" and step["at"] for step in ended.json["steps"])
    assert site.world.titles(calendar) == []


def test_what_is_not_there_is_not_found(site: Site) -> None:
    ana = site.user("u_ana")
    site.connect(ana)
    for test_push in ("x", "%00", "%ED%A0%80", "1" * 3000, "{}", str(uuid4()), "a%2Fb"):
        assert site.call("GET", f"{API}/test-push/{test_push}", ana).status_code == 404, test_push
    for problem in ("x", "%00", "-1", "0", "9" * 20, "9" * 21, "%D9%A1", "1.0"):
        assert site.call("POST", f"{API}/problems/{problem}/retry", ana).status_code == 404, problem


def test_everything_is_pushed_again_when_a_user_asks(site: Site) -> None:
    ana = site.user("u_ana")
    site.connect(ana)
    site.world.commit("job_1", job("J-1"))
    site.world.sync()
    answer = site.call("POST", f"{API}/resync", ana)
    assert (answer.status_code, answer.json) == (202, {"marked": 1})


def test_whoever_asks_too_often_is_told_when_to_ask_again(site: Site) -> None:
    ana = site.user("u_ana")
    site.connect(ana)
    answers = [site.call("POST", f"{API}/resync", ana) for _ in range(LIMITS["resync"].burst + 1)]
    assert [answer.status_code for answer in answers] == [202] * LIMITS["resync"].burst + [429]
    assert int(answers[-1].headers["retry-after"]) > 0
    site.connect(site.user("u_bo"))
    assert site.call("POST", f"{API}/resync", site.user("u_bo")).status_code == 202


def test_a_problem_is_shown_and_tried_again(site: Site) -> None:
    ana, world = site.user("u_ana"), site.world
    calendar = site.connect(ana)
    assert site.call("GET", f"{API}/problems", ana).json == {"problems": []}
    world.fault(kind="refuse", method="POST", status=400, reason="invalid")
    world.commit("job_1", job("J-1"))
    world.sync()
    [problem] = site.call("GET", f"{API}/problems", ana).json["problems"]
    assert (problem["job_id"], problem["job_number"]) == ("job_1", "J-1")
    assert problem["reason"].endswith("(Google: invalid)")
    assert problem["last_tried_at"] >= problem["since"]
    assert site.call("GET", API, ana).json["problems"] == 1

    world.heal()
    retried = site.call("POST", f"{API}/problems/{problem['id']}/retry", ana)
    assert (retried.status_code, retried.text) == (204, "")
    world.sync()
    assert world.titles(calendar) == ["J-1 · Dallas → Memphis"]
    assert site.call("GET", f"{API}/problems", ana).json == {"problems": []}
    assert site.call("POST", f"{API}/problems/{problem['id']}/retry", ana).status_code == 404


def test_a_disconnect_says_what_became_of_the_grant(site: Site) -> None:
    ana = site.user("u_ana")
    site.connect(ana)
    answer = site.call("POST", f"{API}/disconnect", ana, {"remove_events": False})
    assert (answer.status_code, answer.json) == (200, {"state": "not_connected", "revocation": "revoked"})
    after = site.call("GET", API, ana).json
    assert (after["connected"], after["account_email"]) == (False, None)
    assert after["last_disconnect"] == {"revocation": "revoked", "events_left": 0}


def test_a_disconnect_that_removes_the_events_does_so_before_it_revokes(site: Site) -> None:
    ana, world = site.user("u_ana"), site.world
    calendar = site.connect(ana)
    world.commit("job_1", job("J-1"))
    world.sync()
    answer = site.call("POST", f"{API}/disconnect", ana, {"remove_events": True})
    assert (answer.status_code, answer.json) == (200, {"state": "disconnecting", "revocation": "pending"})
    assert site.call("GET", API, ana).json["connected"] is True
    world.sync()
    assert world.titles(calendar) == []


def test_google_out_of_order_is_no_fault_of_the_users(site: Site) -> None:
    ana = site.user("u_ana")
    site.connect(ana)
    site.world.fault(kind="refuse", method="GET", status=503, reason="backendError")
    answer = site.call("GET", f"{API}/calendars", ana)
    assert (answer.status_code, answer.json["type"]) == (503, "urn:calendar-sync:problem:google_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert site.call("GET", API, ana).json["state"] == "active"


def test_a_grant_that_ended_asks_for_a_new_one(site: Site) -> None:
    ana = site.user("u_ana")
    email = site.connect(ana)
    site.world.google.control("POST", "revoke", {"account": email})
    answer = site.call("GET", f"{API}/calendars", ana)
    assert (answer.status_code, answer.json["type"]) == (409, "urn:calendar-sync:problem:reconnect_needed")
    after = site.call("GET", API, ana).json
    assert (after["state"], after["reconnect_reason"], after["connected"]) == ("needs_reconnect", "revoked", True)


def test_without_the_database_everybody_is_told_in_their_own_form(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.services.POOL_SECONDS", 0.2)
    with open_site(world, DATABASE_URL="postgresql://nobody:hidden@127.0.0.1:1/nothing") as site:
        answer = site.call("GET", API, site.user("u_ana"))
        assert (answer.status_code, answer.json["type"]) == (503, "urn:calendar-sync:problem:database_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        page = site.call("GET", f"{API}/callback?state=x&code=y")
        assert page.status_code == 503
        assert page.headers["content-type"].startswith("text/html")
        assert "hidden" not in answer.text + page.text


def test_a_database_that_takes_no_writes_for_a_while_is_said_to_be_away(site: Site) -> None:
    ana = site.user("u_ana")
    site.connect(ana)
    [(name,)] = site.world.execute("SELECT quote_ident(current_database())")
    site.world.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with open_site(site.world) as later:
        answer = later.call("PATCH", API, ana, {"paused": True})
    assert (answer.status_code, answer.json["type"]) == (503, "urn:calendar-sync:problem:database_unavailable")


def test_no_other_site_is_let_in(site: Site) -> None:
    ana = site.user("u_ana")
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "PATCH"}
    for method in ("OPTIONS", "GET", "HEAD"):
        answer = site.call(method, API, ana, headers=headers)
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


def test_head_says_what_get_would(site: Site) -> None:
    answer = site.call("HEAD", API, site.user("u_ana"))
    assert (answer.status_code, answer.text) == (200, "")
    ana = site.user("u_ana")
    for path in ("/healthz", "/readyz", PAGE, "/api/v1/openapi.json", f"{API}/problems"):
        got, head = site.call("GET", path, ana), site.call("HEAD", path, ana)
        assert (head.status_code, head.text) == (200, ""), path
        assert head.headers["content-type"] == got.headers["content-type"], path
    callback = site.call("HEAD", f"{API}/callback?state=x")
    assert (callback.status_code, callback.headers["allow"]) == (405, "GET, OPTIONS")


def test_addresses_have_one_form(site: Site) -> None:
    ana = site.user("u_ana")
    assert site.call("GET", f"{API}/", ana).status_code == 404
    assert site.call("GET", f"{API}/calendars/", ana).status_code == 404
    assert site.call("GET", f"{API}?made=up&tenant_id=other", ana).json == NOBODY_YET
    assert site.call("PUT", API, ana, {}).status_code == 405


def test_the_description_is_there_for_anybody(site: Site) -> None:
    answer = site.call("GET", "/api/v1/openapi.json")
    assert answer.status_code == 200
    assert json.loads(answer.text)["openapi"] == "3.1.0"
