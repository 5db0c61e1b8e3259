"""What an attacker does to the app, and what of it can be seen afterwards."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import falcon.inspect
import requests

from outbox.user import User
from tests.integration.conftest import World, job
from tests.integration.web_client import Site, token_of
from web.api.paths import API, PAGE
from web.sandbox.specs import AccountSpec

COOKIE = "__Host-calendar_sync_connect"

FORM = "application/x-www-form-urlencoded"

EVIL = "https://evil.example"

ALTERED = "set_byte({column}, length({column}) - 1, get_byte({column}, length({column}) - 1) # 1)"
"""SQL for what a column holds with one bit of it another."""


@dataclass(frozen=True, slots=True)
class Departure:
    """A browser that has set out for Google."""

    authorize_url: str
    browser: str

    @property
    def state(self) -> str:
        return parse_qs(urlsplit(self.authorize_url).query)["state"][0]


def set_out(site: Site, user: User, **body: str) -> Departure:
    start = site.call("POST", f"{API}/connect", user, body)
    assert start.status_code == 200, start.text
    return Departure(start.json["authorize_url"], start.cookies[COOKIE].value)


def consent(authorize_url: str, email: str) -> dict[str, str]:
    """What Google sends the browser of somebody back with who allows everything."""
    asked = urlsplit(authorize_url)
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(
            asked._replace(path=f"{asked.path}/consent", query="").geturl(),
            data={
                "request": asked.query,
                "account": email,
                "scope": parse_qs(asked.query)["scope"][0].split(),
                "decision": "allow",
            },
            allow_redirects=False,
            timeout=30,
        )
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}


def come_back(
    site: Site, back: Mapping[str, object], *, browser: str | None, signed_in: User | None = None, **headers: str
) -> str:
    """Where the app sends a browser that comes back so."""
    cookies = {COOKIE: browser, "session": None if signed_in is None else token_of(signed_in)}
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items() if value is not None)
    answer = site.call(
        "GET",
        f"{API}/callback?{urlencode(back, doseq=True)}",
        headers={"Cookie": cookie, **headers} if cookie else headers,
    )
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def new_account(site: Site) -> str:
    email = f"somebody-{uuid4().hex[:8]}@example.com"
    site.world.google.add_account(AccountSpec(email=email))
    return email


def on_record(world: World) -> list[tuple[Any, ...]]:
    """All that a user could have changed, whoever it belongs to."""
    tables = ("calendar_connection", "pending_push", "departure", "test_push", "lane", "outbox", "calendar_feed")
    return [
        (table, row)
        for table in tables
        for (row,) in world.execute(f"SELECT to_jsonb(t)::text FROM calendar_sync.{table} AS t ORDER BY 1")
    ]


def exchanges(world: World) -> int:
    return sum(1 for entry in world.google.control("GET", "requests")["entries"] if entry["path"] == "/token")


def attempts(world: World) -> int:
    [[count]] = world.execute("SELECT count(*) FROM calendar_sync.consent_attempt")
    return int(count)


def failed(code: str) -> str:
    return f"{PAGE}?error={code}"


CONNECTED = f"{PAGE}?connected=1"


FIELDS: dict[str, object] = {
    "calendar_id": "primary",
    "job_filter": "assigned",
    "paused": True,
    "remove_events": False,
    "return_to": "/jobs",
}


def writes(site: Site, **parameters: str) -> list[tuple[str, str]]:
    """Every method and path that can change something, as the router has them."""
    found = [
        (method.method, route.path.format(name="page.css", test_push_id=uuid4(), **{"problem_id": "1", **parameters}))
        for route in falcon.inspect.inspect_routes(site.app)
        for method in route.methods
        if not method.internal and method.method not in {"GET", "HEAD", "OPTIONS"}
    ]
    assert len(found) >= 13
    assert {path.startswith(PAGE) for _, path in found} == {True, False}
    return found


def bodies(path: str) -> list[tuple[bytes, str]]:
    """What does something at that path: a form for a page's form, otherwise JSON with the fields of each operation."""
    if path.startswith(PAGE):
        form = {"calendar_id": "primary", "job_filter": "assigned", "paused": "yes", "remove_events": "no"}
        return [(urlencode(form).encode(), FORM), (b"", FORM)]
    by_path = {API: ("job_filter", "paused"), f"{API}/disconnect": ("remove_events",)}
    return [(json.dumps({name: FIELDS[name] for name in by_path.get(path, ())}).encode(), "application/json")]


@dataclass(frozen=True, slots=True)
class Victim:
    """A user with a connection that works and a problem to retry."""

    user: User
    cookie: str
    problem_id: str


def make_victim(site: Site, name: str = "u_ana") -> Victim:
    world, ana = site.world, site.user(name)
    calendar = site.connect(ana)
    world.commit("job_1", job())
    world.sync()
    world.execute(
        "INSERT INTO calendar_sync.pending_push (tenant_id, calendar_id, job_id, first_marked_at, problem)"
        " VALUES (%s, %s, 'job_1', calendar_sync.now(), 'It does not fit.')",
        world.tenant,
        calendar,
    )
    [problem] = site.call("GET", f"{API}/problems", ana).json["problems"]
    return Victim(ana, f"session={token_of(ana)}", problem["id"])
