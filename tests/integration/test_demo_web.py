"""The demo's web app: its sign-in page, and a newcomer who connects by forms and links alone."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit
from uuid import uuid4

import pytest
import requests
from falcon.testing import Result, TestClient

from outbox.user import User
from tests.integration.conftest import World, eventually, job
from web.api.paths import API, PAGE
from web.demo.app import create_app
from web.demo.consent import ConsentError, NetworkHttp
from web.demo.mishaps import read_calendar
from web.demo.people import NEWCOMER, Person, newcomers, office_users
from web.demo.roster import Roster, roster_of
from web.demo.stage import Stage
from web.demo.traffic import SAMPLE, Header, Tenant, Traffic, TrafficRow, read_traffic, replay
from web.sandbox.server import SandboxServer

ACME, KIWI = (f"{name}-{uuid4().hex[:8]}" for name in ("acme", "kiwi"))
"""Tenants of this run alone, because all tests share one Google."""

HEADER = Header("2026-11-23", {ACME: Tenant("UTC", ("u_ana",)), KIWI: Tenant("UTC", ("u_ben",))})

LIMIT = 30.0
"""Seconds within which anything here must have happened."""


@dataclass(slots=True)
class Form:
    """A form of a page: where it goes, what it sends untouched, and every value that its controls offer."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    offers: list[tuple[str, str]] = field(default_factory=list)


class PageReader(HTMLParser):
    """The forms and the links of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.append(named.get("href", ""))
        elif tag == "form":
            self.forms.append(Form(named.get("action", ""), named.get("method", "get")))
            self._inside = True
        elif self._inside and tag in ("input", "button") and "name" in named:
            pair = (named["name"], named.get("value", ""))
            self.forms[-1].offers.append(pair)
            if named.get("type") == "hidden" or "checked" in named:
                self.forms[-1].fields.append(pair)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


class Browser:
    """A browser without scripts: it follows links and redirects, keeps cookies, and sends forms with their origin."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self.url = ""
        self.html = ""

    def open(self, url: str) -> None:
        """Go there."""
        self._show(self._session.get(urljoin(self.url, url), timeout=LIMIT))

    def submit(self, action: str, **values: str) -> None:
        """Send the form that goes there; every value must be one that it offers."""
        forms = [form for form in PageReader(self.html).forms if form.action == action and form.method == "post"]
        [form] = [form for form in forms if set(values.items()) <= set(form.offers)]
        fields = [pair for pair in form.fields if pair[0] not in values] + list(values.items())
        self._send(form, fields)

    def tick_all(self, action: str, name: str, **values: str) -> None:
        """Send the form that goes there with all its boxes of that name ticked."""
        [form] = [form for form in PageReader(self.html).forms if form.action == action]
        self._send(form, [*form.fields, *(pair for pair in form.offers if pair[0] == name), *values.items()])

    def close(self) -> None:
        self._session.close()

    def _send(self, form: Form, fields: list[tuple[str, str]]) -> None:
        here = urlsplit(self.url)
        headers = {"Origin": f"{here.scheme}://{here.netloc}"}
        self._show(self._session.post(urljoin(self.url, form.action), data=fields, headers=headers, timeout=LIMIT))

    def _show(self, answer: requests.Response) -> None:
        assert answer.status_code == 200, f"{answer.url.partition('?')[0]}: {answer.status_code} {answer.text[:500]}"
        self.url, self.html = answer.url, answer.text


@pytest.fixture
def browser() -> Iterator[Browser]:
    opened = Browser()
    yield opened
    opened.close()


@pytest.fixture
def running(database_url: str, google: SandboxServer) -> Iterator[Stage]:
    """A stage whose web app runs as in the demo; its newcomers have accounts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        stage = Stage(
            database_url,
            google,
            {"PUSH_DEBOUNCE_SECONDS": "0", "PUSH_MAX_WAIT_SECONDS": "0"},
            public_base_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
        )
        roster = roster_of(google.url, office_users(HEADER), newcomers(HEADER))
        with stage.start_web(listener, roster):
            yield stage


def test_a_newcomer_connects_without_scripts_and_the_jobs_arrive(running: Stage, browser: Browser) -> None:
    [person] = [person for person in newcomers(HEADER) if person.user.tenant_id == KIWI]
    running.sandbox.add_account(person.account)
    sandbox = urlsplit(running.sandbox.authorize_url).path
    second = person.account.calendars[0].id
    commit(running, KIWI, "job_1")

    browser.open(f"{running.web_settings.public_base_url}/")
    assert "connect me yourself" in browser.html
    browser.submit("/sign-in", user=f"{KIWI}/{NEWCOMER}")
    assert urlsplit(browser.url).path == PAGE
    browser.submit(f"{PAGE}/connect")
    [to_google] = [link for link in PageReader(browser.html).links if link.startswith(running.sandbox.authorize_url)]
    browser.open(to_google)
    browser.submit(f"{sandbox}/account", account=person.account.email)
    browser.tick_all(f"{sandbox}/consent", "scope", decision="allow")
    assert urlsplit(browser.url).path == PAGE
    browser.submit(f"{PAGE}/calendar", calendar_id=second)
    assert urlsplit(browser.url).path == PAGE
    assert person.account.email in browser.html

    with NetworkHttp(running.web_settings.public_base_url) as http:
        assert running.caller(http, person.user).ask("GET", API)["calendar_id"] == second
    with running.start_daemon():
        eventually(lambda: events(running, person, second) == ["J-1 · Dallas → Memphis"], LIMIT)
        commit(running, KIWI, "job_1", "J-2")
        eventually(lambda: events(running, person, second) == ["J-2 · Dallas → Memphis"], LIMIT)


def test_the_demos_users_connect_over_the_network(running: Stage) -> None:
    people = office_users(HEADER)
    for person in people:
        running.sandbox.add_account(person.account)
    with NetworkHttp(running.web_settings.public_base_url) as http:
        chosen = running.connect(http, people)
    assert chosen == {
        User(ACME, "u_ana"): f"u_ana@{ACME}.example.com",
        User(KIWI, "u_ben"): f"u_ben@{KIWI}.example.com",
    }


def test_a_walk_that_does_not_end_in_a_connection_says_so(world: World) -> None:
    with pytest.raises(ConsentError, match="consent page answered 400"):
        world.stage.connect(world.web, office_users(Header("2026-11-23", {"nowhere": Tenant("UTC", ("u_ana",))})))


@dataclass(frozen=True, slots=True)
class Host:
    """The sign-in page in this process, with what it is made of."""

    client: TestClient
    stage: Stage
    roster: Roster

    @property
    def origin(self) -> str:
        return self.stage.web_settings.public_base_url

    def post(self, path: str, body: str = "", **headers: str) -> Result:
        """Send a form."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.client.simulate_post(path, body=body, headers=form | headers)


@pytest.fixture
def host(world: World, google: SandboxServer) -> Iterator[Host]:
    roster = roster_of(google.url, office_users(HEADER), newcomers(HEADER))
    app = create_app(world.stage.web_settings, roster)
    yield Host(TestClient(app), world.stage, roster)
    app.close()


def test_every_tenant_has_a_newcomer_with_two_calendars() -> None:
    header = read_traffic(SAMPLE).header
    people = newcomers(header)
    assert [person.user.tenant_id for person in people] == list(header.tenants)
    assert all(len(person.calendars) == 2 for person in people)


def test_the_page_offers_every_user_newcomers_first_under_the_policy_of_the_settings_page(host: Host) -> None:
    answer = host.client.simulate_get("/")
    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    assert "style=" not in answer.text
    offered = [value for form in PageReader(answer.text).forms for _, value in form.offers]
    assert offered == [f"{ACME}/{NEWCOMER}", f"{ACME}/u_ana", f"{KIWI}/{NEWCOMER}", f"{KIWI}/u_ben"]
    stylesheets = [line.split('"')[3] for line in answer.text.splitlines() if 'rel="stylesheet"' in line]
    assert [host.client.simulate_get(path).status_code for path in stylesheets] == [200, 200]


def test_signing_in_and_out(host: Host) -> None:
    came_in = host.post("/sign-in", f"user={ACME}%2Fu_ana", Origin=host.origin)
    assert (came_in.status_code, came_in.headers["location"]) == (303, PAGE)
    cookie = came_in.cookies["session"]
    assert (cookie.http_only, cookie.same_site, cookie.path, cookie.max_age) == (True, "Lax", "/", 8 * 3600)
    session = {"Cookie": f"session={cookie.value}"}
    assert host.client.simulate_get(API, headers=session).json["state"] == "not_connected"
    assert f"You are signed in as Ana of {ACME}" in host.client.simulate_get("/", headers=session).text
    went_out = host.post("/sign-out", Origin=host.origin, **session)
    assert (went_out.status_code, went_out.headers["location"]) == (303, "/")
    gone = went_out.cookies["session"]
    assert gone.value == ""
    assert gone.expires is not None
    assert gone.expires < datetime.now(gone.expires.tzinfo)


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out"])
@pytest.mark.parametrize("origin", [{}, {"Origin": "http://evil.example"}, {"Origin": "null"}])
def test_another_sites_form_signs_nobody_in_or_out(host: Host, path: str, origin: dict[str, str]) -> None:
    answer = host.post(path, f"user={ACME}%2Fu_ana", **origin)
    assert answer.status_code == 403
    assert "session" not in answer.cookies


@pytest.mark.parametrize("body", ["", "user=", "user=ACME%2Fnobody", "user=KIWI%2Fu_ana", "user=ACME%2Fu_ana&user=x"])
def test_nobody_else_can_be_signed_in_as(host: Host, body: str) -> None:
    answer = host.post("/sign-in", body.replace("ACME", ACME).replace("KIWI", KIWI), Origin=host.origin)
    assert answer.status_code == 400
    assert "session" not in answer.cookies


def commit(stage: Stage, tenant_id: str, job_id: str, number: str = "J-1") -> None:
    """Commit one job as a producer would."""
    row = TrafficRow(0.0, tenant_id, job_id, "job.updated", job(number))
    replay(Traffic(HEADER, (row,)), stage.database_url)


def events(stage: Stage, person: Person, calendar: str) -> list[str]:
    """The titles in a calendar of this person's."""
    token = stage.sandbox.user_token(person.account.email)
    return [event["summary"] for event in read_calendar(stage.sandbox.calendar_url, token, calendar)]
