"""Nobody sees, changes or ends what is another's: every endpoint that the app has, tried with every wrong identity.

The endpoints are those of the app's own router, so that a new one is tried the day it is added.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import LiteralString
from urllib.parse import parse_qs, quote, urlencode, urlsplit
from uuid import uuid4

import falcon.inspect
import jwt
import psycopg
import pytest
from falcon.testing import Result
from psycopg import sql

from outbox.user import User
from tests.integration.conftest import World, job
from tests.integration.steps import requests_for
from tests.integration.web_client import ORIGIN, Site, open_site, token_of
from web.api.paths import API, DESCRIPTION, FEED, FEEDS, PAGE
from web.api.table import OPERATIONS
from web.limits import LIMITS, Limit
from web.sandbox.specs import CalendarSpec

OPEN = {
    f"{API}/callback",  # whoever Google sends back; it demands the cookie of the browser that started
    DESCRIPTION,
    f"{FEEDS}/{{token}}.ics",  # the address is the secret
    "/healthz",
    "/readyz",
    "/metrics",  # sums over everybody, to whoever asks on this machine; test_metrics.py says who that is
    f"{PAGE}/static/{{name}}",
}
"""What answers without a session. Another one belongs here only after somebody has thought about what it tells whom."""

NOBODYS = {"schema_migration", "installation", "rate_limit", "request_hour"}
"""Tables without rows that belong to a user, a calendar or a job. (The limits' buckets have a test of their own.)"""

CONNECTIONS: LiteralString = (
    "SELECT connection_id FROM calendar_sync.calendar_connection WHERE tenant_id = %s AND user_id = %s"
)

COOKIE = "__Host-calendar_sync_connect"


@pytest.fixture
def site(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    # An attack that is merely asked too often would prove nothing.
    monkeypatch.setattr("web.limits.LIMITS", dict.fromkeys(LIMITS, Limit(burst=1_000_000, period=1)))
    with open_site(world) as site:
        yield site


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method of a route, as the router has it."""

    method: str
    route: str

    @property
    def is_open(self) -> bool:
        return self.route in OPEN

    @property
    def takes_forms(self) -> bool:
        return self.route.startswith(PAGE)


@dataclass(frozen=True, slots=True)
class Target:
    """Somebody with something to lose, and all by which it is known."""

    user: User
    email: str
    calendars: tuple[str, str]
    state: str
    browser: str
    in_paths: dict[str, str]
    """What an attacker puts into each parameter of a route."""
    fields: dict[str, tuple[object, str]]
    """What an attacker puts into each field of a body, in JSON and in a form."""
    secrets: tuple[str, ...]
    """What nobody else may ever be shown."""


def endpoints(site: Site) -> list[Endpoint]:
    """Every method of every route, the ways to disconnect last because they end the attacker's own connection."""
    found = [
        Endpoint(method.method, route.path)
        for route in falcon.inspect.inspect_routes(site.app)
        for method in route.methods
        if not method.internal or method.method == "OPTIONS"
    ]
    assert len(found) > 30
    return sorted(found, key=lambda endpoint: ("disconnect" in endpoint.route, endpoint.route, endpoint.method))


def make_target(site: Site) -> Target:
    """A user with a connection, a calendar chosen and another left, events, a problem, a test push, a consent begun."""
    world, ana = site.world, site.user("u_ana")
    mark = uuid4().hex
    email = f"target-{mark}@example.com"
    former, current = (
        CalendarSpec(id=f"{name}-{mark}@group.calendar.google.com", summary=f"{name} of {mark}")
        for name in ("former", "current")
    )
    site.connect(ana, email=email, calendars=(former, current))
    for number in (1, 2):
        world.commit(f"job_{number}_{mark}", job(f"J-{number}-{mark}"))
    world.sync()
    assert site.call("PATCH", API, ana, {"calendar_id": current.id}).status_code == 200
    world.execute(
        "UPDATE calendar_sync.pending_push SET problem = %s, due_at = NULL WHERE calendar_id = %s AND job_id = %s",
        f"Reason of {mark}",
        current.id,
        f"job_2_{mark}",
    )
    test_push = site.call("POST", f"{API}/test-push", ana).json["id"]
    start = site.call("POST", f"{API}/connect", ana)
    [state] = parse_qs(urlsplit(start.json["authorize_url"]).query)["state"]
    browser = start.cookies[COOKIE].value
    [problem] = site.call("GET", f"{API}/problems", ana).json["problems"]
    feed = site.call("POST", FEED, ana).json["url"].rpartition("/")[2].removesuffix(".ics")
    known_of_feed = sha256(feed.encode()).hexdigest()  # to whoever reads the database
    return Target(
        user=ana,
        email=email,
        calendars=(former.id, current.id),
        state=state,
        browser=browser,
        in_paths={"test_push_id": test_push, "problem_id": problem["id"], "name": "page.css", "token": known_of_feed},
        fields={
            "calendar_id": (current.id, current.id),
            "job_filter": ("assigned", "assigned"),
            "paused": (False, "no"),
            "other_account": (True, "yes"),
            "return_to": ("/elsewhere", "/elsewhere"),
            "remove_events": (True, "yes"),
        },
        secrets=(mark, test_push, state, browser, feed),
    )


def belongings(world: World, target: Target) -> dict[str, list[str]]:
    """Every row of every table that is the target's, and all that Google has and was asked for the target."""
    found = rows_of(world, target)
    for calendar in target.calendars:
        found[calendar] = [str(event) for event in world.events(calendar, target.email)]
    found["requests to Google"] = [str(entry) for entry in requests_for(world, target.email)]
    return found


def rows_of(world: World, target: Target) -> dict[str, list[str]]:
    """Every row of every table that is the target's."""
    found = {}
    with psycopg.connect(world.database_url) as connection:
        columns: dict[str, set[str]] = {}
        for table, column in connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables"
            " USING (table_schema, table_name) WHERE table_schema = 'calendar_sync' AND table_type = 'BASE TABLE'"
        ):
            columns.setdefault(table, set()).add(column)
        for table, has in columns.items():
            keys: list[object] = [target.user.tenant_id]
            if "user_id" in has:
                condition, keys = "tenant_id = %s AND user_id = %s", [*keys, target.user.user_id]
            elif "calendar_id" in has:
                condition, keys = "tenant_id = %s AND calendar_id = ANY(%s::text[])", [*keys, list(target.calendars)]
            elif "job_id" in has:
                condition, keys = "tenant_id = %s AND strpos(job_id, %s) > 0", [*keys, target.secrets[0]]
            elif "connection_id" in has:
                condition, keys = f"connection_id IN ({CONNECTIONS})", [*keys, target.user.user_id]
            elif "scope" in has:
                condition, keys = "strpos(scope, %s) > 0", [target.email]
            else:
                assert table in NOBODYS, f"whose are the rows of {table}?"
                continue
            rows = connection.execute(
                sql.SQL("SELECT to_jsonb(t)::text FROM calendar_sync.{} AS t WHERE {} ORDER BY 1").format(
                    sql.Identifier(table), sql.SQL(condition)
                ),
                keys,
            )
            found[table] = [row for (row,) in rows]
    return found


def attacks(target: Target, endpoint: Endpoint) -> Iterator[tuple[str, bytes | None, dict[str, str]]]:
    """What to send to that endpoint: addresses that name what is the target's, and bodies in the form it takes."""
    path = endpoint.route
    for name, value in target.in_paths.items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    assert "{" not in path, f"what of the target's would an attacker put into {endpoint.route}?"
    naming = {"tenant_id": target.user.tenant_id, "user_id": target.user.user_id, "sub": target.user.user_id}
    query = urlencode({**naming, "state": target.state, "code": "4/0Ab", "change": "calendar"})
    address = f"{path}?{query}"
    named = {"X-User-Id": target.user.user_id, "X-Tenant-Id": target.user.tenant_id, "X-Forwarded-For": "198.51.100.9"}
    yield address, None, named
    if endpoint.method in {"GET", "HEAD", "OPTIONS"}:
        return
    named_too = {**target.fields, **{name: (text, text) for name, text in naming.items()}}
    for fields in ({}, *({name: value} for name, value in target.fields.items()), target.fields, named_too):
        if endpoint.takes_forms:
            form = urlencode({name: text for name, (_, text) in fields.items()})
            yield address, form.encode(), {**named, "Content-Type": "application/x-www-form-urlencoded"}
        else:
            content = json.dumps({name: value for name, (value, _) in fields.items()})
            yield address, content.encode(), {**named, "Content-Type": "application/json"}


def told(answer: Result, target: Target) -> list[str]:
    """The target's secrets that an answer holds."""
    shown = f"{answer.text} {answer.headers} {answer.cookies}"
    return [secret for secret in target.secrets if secret in shown]


def test_open_endpoints_are_those_that_somebody_has_thought_about(site: Site) -> None:
    routes = {endpoint.route for endpoint in endpoints(site)}
    assert routes >= OPEN
    for endpoint in endpoints(site):
        path = endpoint.route.format(name="page.css", test_push_id=uuid4(), problem_id="1", token="none")
        status = site.call(endpoint.method, path).status_code
        assert (status == 401) == (endpoint.route not in OPEN), endpoint


def test_every_field_of_a_body_is_tried(site: Site) -> None:
    target = make_target(site)
    for operation in OPERATIONS:
        assert set(getattr(operation.body, "model_fields", {})) <= set(target.fields), operation.id


def test_the_target_is_shown_what_others_are_not(site: Site) -> None:
    target = make_target(site)
    shown = [
        site.call("GET", path, target.user).text
        for path in (API, f"{API}/calendars", f"{API}/problems", f"{API}/test-push/{target.secrets[1]}", PAGE)
    ]
    assert all(any(secret in text for secret in target.secrets) for text in shown)
    before = belongings(site.world, target)
    assert all(
        before[name]
        for name in (
            *("calendar_connection", "departure", "pending_push", "test_push", "consent_attempt"),
            "calendar_feed",
        )
    )
    assert before[target.calendars[0]]


def test_without_a_valid_token_there_is_nothing_to_see_or_do(site: Site) -> None:
    target = make_target(site)
    claims = {"sub": target.user.user_id, "tenant_id": target.user.tenant_id, "exp": int(time.time()) + 3600}
    expired = token_of(target.user, exp=int(time.time()) - 3600)
    forged = jwt.encode(claims, "some other key that is long enough to be one", algorithm="HS256")
    unsigned = jwt.encode(claims, "", algorithm="none")
    tampered = token_of(target.user)[:-4] + "AAAA"
    before = belongings(site.world, target)
    for token in (None, "garbage", expired, forged, unsigned, tampered):
        for endpoint in endpoints(site):
            for address, body, headers in attacks(target, endpoint):
                answer = site.call(endpoint.method, address, None, body, token=token, headers=headers)
                assert endpoint.is_open or answer.status_code == 401, (endpoint, token)
                assert answer.status_code < 500, endpoint
                assert not told(answer, target), endpoint
    assert belongings(site.world, target) == before


@pytest.mark.parametrize("who", ["a colleague", "a connected colleague", "a namesake of another tenant"])
def test_another_user_sees_and_changes_nothing(site: Site, who: str) -> None:
    target = make_target(site)
    match who:
        case "a namesake of another tenant":
            attacker = User("another-tenant", target.user.user_id)
        case _:
            attacker = site.user("u_bo")
    if who != "a colleague":
        site.connect(attacker)
    own_browser = site.call("POST", f"{API}/connect", attacker).cookies[COOKIE].value
    before, rows = belongings(site.world, target), rows_of(site.world, target)
    succeeded = set()
    for endpoint in endpoints(site):
        for address, body, headers in attacks(target, endpoint):
            answer = site.call(
                endpoint.method, address, attacker, body, headers={**headers, "Cookie": f"{COOKIE}={own_browser}"}
            )
            assert answer.status_code < 500, (endpoint, body, answer.text)
            assert not told(answer, target), endpoint
            if answer.status_code < 300:
                succeeded.add((endpoint.method, endpoint.route))
            if endpoint.route.startswith(API) and "{" in endpoint.route and endpoint.method != "OPTIONS":
                assert answer.status_code == 404, endpoint
            if endpoint.route == f"{API}/callback" and endpoint.method == "GET":
                assert answer.headers["location"] == f"{PAGE}?error=wrong_browser"
        assert rows_of(site.world, target) == rows, endpoint
    assert belongings(site.world, target) == before
    if who != "a colleague":
        # The attacker was able to do all this with what is the attacker's own.
        own = {(operation.method.upper(), operation.path) for operation in OPERATIONS if "{" not in operation.path}
        assert own - succeeded <= {("GET", f"{API}/callback"), ("GET", "/metrics")}


def test_a_stolen_way_back_is_of_no_use_to_another_user(site: Site) -> None:
    target = make_target(site)
    before = belongings(site.world, target)
    back = f"{API}/callback?{urlencode({'state': target.state, 'code': '4/0Ab'})}"
    for attacker in (site.user("u_bo"), User("another-tenant", target.user.user_id)):
        answer = site.call("GET", back, attacker, headers={"Cookie": f"{COOKIE}={target.browser}"})
        assert answer.headers["location"] == f"{PAGE}?error=wrong_user"
    assert belongings(site.world, target) == before


def test_another_site_can_do_nothing_in_a_users_name(site: Site) -> None:
    target = make_target(site)
    before = belongings(site.world, target)
    session = f"session={token_of(target.user)}"
    for endpoint in endpoints(site):
        if endpoint.method in {"GET", "HEAD", "OPTIONS"}:
            continue
        for origin in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {}):
            for address, body, headers in attacks(target, endpoint):
                answer = site.call(
                    endpoint.method, address, None, body, headers={**headers, **origin, "Cookie": session}
                )
                assert answer.status_code == 403, endpoint
    assert belongings(site.world, target) == before
    ours = site.call("PATCH", API, None, {}, headers={"Origin": ORIGIN, "Cookie": session})
    assert ours.status_code == 200


def test_whoever_uses_up_a_limit_uses_up_no_one_elses(world: World) -> None:
    with open_site(world) as site:
        for greedy in (site.user("u_bo"), User("another-tenant", "u_ana")):
            site.connect(greedy)
            for path in ("/connect", "/resync", "/test-push"):
                while site.call("POST", API + path, greedy).status_code != 429:
                    pass
        site.connect(site.user("u_ana"))
        for path in ("/connect", "/resync", "/test-push"):
            assert site.call("POST", API + path, site.user("u_ana")).status_code < 300
