"""The settings page of the real app, by forms alone as without JavaScript; and in a browser, state by state."""

import html
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from socketserver import ThreadingMixIn
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import falcon
import pytest
import requests
from falcon.testing import Result
from playwright.sync_api import Browser, Page, Route, sync_playwright

from outbox.testpush import TestPush
from tests.accessibility import violations
from tests.integration.conftest import World, job
from tests.integration.page_states import ACTIVE, NEW_FEED, STATES, facts, rehearsal
from tests.integration.web_client import ORIGIN, Site, open_site, token_of
from web.api.bodies import TestPushReport
from web.api.paths import API, PAGE
from web.middleware import CONTENT_SECURITY_POLICY
from web.page.rendering import render
from web.page.static_files import CONTENT_TYPES, Static, address
from web.page.view import Facts, view_page
from web.sandbox.specs import AccountSpec, CalendarSpec

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    """The real app over the test's world."""
    with open_site(world) as opened:
        yield opened


class Visitor:
    """A signed-in user with a browser that knows cookies and forms and nothing else."""

    def __init__(self, site: Site, name: str = "ana") -> None:
        self.site = site
        self.user = site.user(name)
        self.cookies = {"session": token_of(self.user)}

    def get(self, target: str = PAGE) -> Result:
        """Load an address of the app."""
        return self._call("GET", target)

    def read(self, target: str = PAGE) -> str:
        """The page's text, tags and white space reduced."""
        answer = self.get(target)
        assert answer.status_code == 200, answer.text
        return text_of(answer.text)

    def post(self, form: str, fields: Mapping[str, str] | None = None, **headers: str) -> Result:
        """Send a form of the page."""
        return self.post_bytes(form, urlencode(fields or {}).encode(), **headers)

    def post_bytes(self, form: str, body: bytes, **headers: str) -> Result:
        """Send a form of the page, already encoded."""
        sent = {"Content-Type": "application/x-www-form-urlencoded", "Origin": ORIGIN, **headers}
        return self._call("POST", f"{PAGE}/{form}", body, sent)

    def submit(self, form: str, fields: Mapping[str, str] | None = None) -> str:
        """Send a form and follow it back; returns the page's text."""
        answer = self.post(form, fields)
        assert answer.status_code == 303, answer.text
        return self.read(answer.headers["Location"].partition("#")[0])

    def connect(self, email: str) -> str:
        """Press Connect, allow everything at Google, come back; returns the page's text."""
        answer = self.post("connect")
        assert answer.status_code == 200, answer.text
        back = urlsplit(allow(authorize_url_in(answer.text), email))
        answer = self.get(f"{back.path}?{back.query}")
        assert answer.status_code == 302, answer.text
        return self.read(answer.headers["Location"])

    def _call(
        self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Result:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = self.site.call(method, target, body=body, headers={"Cookie": cookie, **(headers or {})})
        self.cookies |= {name: set_.value for name, set_ in answer.cookies.items()}
        return answer


def text_of(markup: str) -> str:
    """What a reader sees of a page, on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup.partition("<body>")[2])).split())


def authorize_url_in(markup: str) -> str:
    """Where the page on the way to Google leads; its link and its refresh must agree."""
    [link] = re.findall(r'<a class="button primary" href="([^"]+)"', markup)
    [refresh] = re.findall(r'http-equiv="refresh" content="0; url=([^"]+)"', markup)
    assert link == refresh
    return html.unescape(link)


def allow(authorize_url: str, email: str, decision: str = "allow") -> str:
    """What the user does on Google's page; returns where Google sends the browser."""
    asked = urlsplit(authorize_url)
    fields = {"request": asked.query, "account": email, "decision": decision}
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(
            asked._replace(path=f"{asked.path}/consent", query="").geturl(),
            data={**fields, "scope": parse_qs(asked.query)["scope"][0].split()},
            allow_redirects=False,
            timeout=30,
        )
    assert answer.status_code == 302, answer.text
    return str(answer.headers["Location"])


def account_of(world: World, *names: str) -> tuple[str, list[str]]:
    """A new Google account with calendars of these names; its e-mail address and their ids."""
    email = f"ana-{uuid4().hex[:8]}@example.com"
    specs = tuple(CalendarSpec(id=f"{uuid4().hex}@group.calendar.google.com", summary=name) for name in names)
    world.google.add_account(AccountSpec(email=email, calendars=specs))
    return email, [str(spec.id) for spec in specs]


def test_the_whole_way_works_by_forms_alone(site: Site) -> None:
    world, ana = site.world, Visitor(site)
    email, [first, second] = account_of(world, "Jobs", "More jobs")
    world.commit("job_1", job())
    assert "Not connected Your jobs, in your own calendar" in ana.read()

    page = ana.connect(email)
    assert "Google account connected One step is left: choose the calendar for your jobs." in page
    assert f"{email} Your main calendar Jobs More jobs" in page
    assert "Calendar saved" in ana.submit("calendar", {"calendar_id": first})
    world.sync()
    page = ana.read()
    assert "Up to date Connection Your calendar is up to date Nothing is waiting." in page
    assert f"Google account {email} Calendar Jobs Change the calendar Open Google Calendar Last worked" in page
    assert world.titles(first, email) == ["J-1 · Dallas → Memphis"]

    assert "The test is running" in ana.submit("test-push")
    world.sync()
    assert "Everything works A test event was written, read back and removed again." in ana.read()

    assert "Preferences saved" in ana.submit("preferences", {"job_filter": "assigned"})
    world.sync()
    assert world.titles(first, email) == []
    ana.submit("preferences", {"job_filter": "all"})

    assert "Syncing is paused" in ana.submit("preferences", {"paused": "yes"})
    world.sync()
    assert "1 change is waiting. Changes are kept and delivered when you resume." in ana.read()
    assert "Syncing goes on" in ana.submit("preferences", {"paused": "no"})
    world.sync()
    assert world.titles(first, email) == ["J-1 · Dallas → Memphis"]

    assert "Change the calendar" in ana.read(f"{PAGE}?change=calendar")
    assert "Calendar saved" in ana.submit("calendar", {"calendar_id": second})
    page = ana.read()
    assert "0 of 1 job is up to date in “More jobs”." in page
    assert "“Jobs” with 1 event is emptied when the new calendar is filled." in page
    world.sync()
    assert (world.titles(first, email), world.titles(second, email)) == ([], ["J-1 · Dallas → Memphis"])

    assert "Everything is being pushed again" in ana.submit("resync")
    world.sync()
    page = ana.submit("disconnect", {"remove_events": "yes"})
    assert "Your events are being removed" in page
    assert "0 of 1 event removed from “More jobs”." in page
    world.sync()
    assert "Disconnected Our access to your Google account has been given up." in ana.read()
    assert world.titles(second, email) == []


def test_a_revoked_grant_asks_to_reconnect_and_loses_nothing(site: Site) -> None:
    world, ana = site.world, Visitor(site)
    email, [calendar] = account_of(world, "Jobs")
    ana.connect(email)
    ana.submit("calendar", {"calendar_id": calendar})
    world.sync()
    world.google.control("POST", "revoke", {"account": email})
    world.commit("job_1", job())
    world.sync()
    page = ana.read()
    assert "Needs you Google no longer lets us in" in page
    assert f"login_hint={email.replace('@', '%40')}" in authorize_url_in(ana.post("connect").text)
    other = authorize_url_in(ana.post("connect", {"other_account": "yes"}).text)
    assert "login_hint" not in other
    assert "prompt=select_account" in other
    assert "That could not be read" in ana.submit("connect", {"other_account": "perhaps"})
    assert "Nothing is lost: 1 change is waiting and will be delivered then." in page
    assert "No matter" not in page
    assert "Google account connected Your jobs are on their way to your calendar." in ana.connect(email)
    world.sync()
    assert world.titles(calendar, email) == ["J-1 · Dallas → Memphis"]


def test_a_cancelled_consent_comes_back_with_its_reason(site: Site) -> None:
    ana = Visitor(site)
    email, _ = account_of(site.world)
    back = urlsplit(allow(authorize_url_in(ana.post("connect").text), email, "cancel"))
    page = ana.read(ana.get(f"{back.path}?{back.query}").headers["Location"])
    assert "Google Calendar was not connected You chose Cancel on Google's page" in page


def test_a_browser_that_did_not_come_back_is_told_what_google_may_have_said(site: Site) -> None:
    ana = Visitor(site)
    assert "Did Google stop you?" not in ana.read()
    ana.post("connect")
    page = ana.read()
    assert "Did Google stop you?" in page
    assert f"Client ID for your administrator: {site.app.services.settings.google_oauth_client_id}" in page


def test_the_page_shows_all_else_while_google_does_not_answer(site: Site) -> None:
    ana = Visitor(site)
    email, [calendar] = account_of(site.world, "Jobs")
    ana.connect(email)
    ana.submit("calendar", {"calendar_id": calendar})
    site.world.fault(kind="refuse", account=email, path="calendarList", status=503)
    page = ana.read(f"{PAGE}?change=calendar")
    assert "Your calendars cannot be listed right now. Google does not answer right now." in page
    assert "Preferences Which jobs should appear?" in page
    assert "Google did not answer" in ana.submit("calendar", {"calendar_id": calendar})


def test_a_problem_is_shown_with_its_reason_and_can_be_retried(site: Site) -> None:
    world, ana = site.world, Visitor(site)
    email, [calendar] = account_of(world, "Jobs")
    ana.connect(email)
    ana.submit("calendar", {"calendar_id": calendar})
    world.commit("job_1", job("J-77"))
    world.sync()
    world.execute(
        "INSERT INTO calendar_sync.pending_push"
        " (tenant_id, calendar_id, job_id, first_marked_at, last_tried_at, problem)"
        " VALUES (%s, %s, 'job_1', calendar_sync.now(), calendar_sync.now(), 'The location is too long.')",
        world.tenant,
        calendar,
    )
    page = ana.read()
    assert "1 job could not be pushed All other jobs go on as usual. Job J-77 The location is too long." in page
    assert re.search(r"Since .+, tried last ", page)
    [retry] = re.findall(rf'action="{PAGE}/(problems/[0-9]+/retry)"', ana.get().text)
    assert "Trying again" in ana.submit(retry)
    assert "That problem is gone" in ana.submit(retry)
    assert "That problem is gone" in ana.submit("problems/x/retry")


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        ("calendar", {}),
        ("calendar", {"calendar_id": ""}),
        ("preferences", {}),
        ("preferences", {"job_filter": "some"}),
        ("preferences", {"paused": "maybe"}),
        ("disconnect", {}),
        ("disconnect", {"remove_events": "perhaps"}),
    ],
)
def test_a_form_that_says_nothing_known_changes_nothing(site: Site, form: str, fields: dict[str, str]) -> None:
    assert "That could not be read" in Visitor(site).submit(form, fields)


@pytest.mark.parametrize(
    ("form", "fields", "notice"),
    [
        ("calendar", {"calendar_id": "x@example.com"}, "No Google account is connected"),
        ("preferences", {"paused": "yes"}, "No Google account is connected"),
        ("test-push", {}, "Syncing is not running"),
        ("resync", {}, "Syncing is not running"),
        ("problems/1/retry", {}, "That problem is gone"),
    ],
)
def test_what_needs_a_connection_says_so_without_one(
    site: Site, form: str, fields: dict[str, str], notice: str
) -> None:
    assert notice in Visitor(site).submit(form, fields)


@pytest.mark.parametrize(
    "calendar_id", ["someone@example.com", "a\0b", "\ud800", "..", "x" * 5000, "primary/../x", "a/b", "a\\b"]
)
def test_a_calendar_that_is_not_the_users_is_refused(site: Site, calendar_id: str) -> None:
    ana = Visitor(site)
    email, _ = account_of(site.world)
    ana.connect(email)
    sent = urlencode({"calendar_id": calendar_id}, errors="surrogatepass")
    answer = ana.post_bytes("calendar", sent.encode())
    assert answer.headers["Location"] == f"{PAGE}?notice=unknown_calendar"
    assert "One step left" in ana.read()


@pytest.mark.parametrize("remove_events", ["no", "yes"])
def test_what_a_colleague_wants_stays_in_a_shared_calendar_and_the_rest_goes(site: Site, remove_events: str) -> None:
    world, shared = site.world, CalendarSpec(id=f"{uuid4().hex}@group.calendar.google.com", summary="Team")
    ana, bob = Visitor(site), Visitor(site, "bob")
    for visitor in (ana, bob):
        email = f"{visitor.user.user_id}-{uuid4().hex[:8]}@example.com"
        world.google.add_account(AccountSpec(email=email, calendars=(shared,)))
        visitor.connect(email)
        visitor.submit("calendar", {"calendar_id": shared.id})
    bob.submit("preferences", {"job_filter": "assigned"})
    world.commit("job_1", job("J-1", assigned_user_ids=["bob"]))
    world.commit("job_2", job("J-2"))
    world.sync()
    assert len(world.titles(shared.id, email)) == 2
    assert "A colleague syncs to “Team” too." in ana.read()
    page = ana.submit("disconnect", {"remove_events": remove_events})
    assert (
        "A colleague still syncs to that calendar What your colleague wants stays there and is kept up to date." in page
    )
    world.sync()
    assert world.titles(shared.id, email) == ["J-1 · Dallas → Memphis"]
    assert "no longer kept up to date" not in ana.read()
    assert "A colleague syncs to" not in bob.read()


def test_a_removal_under_way_can_be_ended_at_once(site: Site) -> None:
    world, ana = site.world, Visitor(site)
    email, [calendar] = account_of(world, "Jobs")
    ana.connect(email)
    ana.submit("calendar", {"calendar_id": calendar})
    world.commit("job_1", job())
    world.sync()
    assert "Stop removing and disconnect now" in ana.submit("disconnect", {"remove_events": "yes"})
    page = ana.submit("disconnect", {"remove_events": "no"})
    assert "Disconnected Our access to your Google account has been given up." in page
    assert "1 event that we added is still in your calendar and no longer kept up to date." in page


def test_the_way_to_google_says_what_is_asked_for(site: Site) -> None:
    page = text_of(Visitor(site).post("connect").text)
    assert "Its boxes are empty at first: tick every box ." in page
    assert "See and download any calendar you can access It would let us read every event." in page


def test_disconnecting_twice_is_harmless(site: Site) -> None:
    ana = Visitor(site)
    email, _ = account_of(site.world)
    ana.connect(email)
    assert "Disconnected" in ana.submit("disconnect", {"remove_events": "no"})
    assert "Disconnected" in ana.submit("disconnect", {"remove_events": "no"})


def test_too_many_attempts_are_answered_on_the_page(site: Site) -> None:
    ana = Visitor(site)
    answers = [ana.post("connect").status_code for _ in range(11)]
    assert answers == [200] * 10 + [303]
    assert "That was too often in a short time" in ana.read(f"{PAGE}?notice=too_many_requests")


FORMS = ("connect", "calendar", "preferences", "disconnect", "test-push", "resync", "problems/1/retry")


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_other_sites_are_refused_with_a_page(site: Site, form: str) -> None:
    answer = Visitor(site).post(form, {"remove_events": "no"}, Origin="https://evil.example")
    assert answer.status_code == 403
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("form", FORMS)
def test_a_forms_address_leads_back_to_the_page(site: Site, form: str) -> None:
    answer = Visitor(site).get(f"{PAGE}/{form}")
    assert (answer.status_code, answer.headers["Location"]) == (303, PAGE)


def test_nobody_signed_in_gets_a_page_that_says_so(site: Site) -> None:
    for method, target in [("GET", PAGE), *(("POST", f"{PAGE}/{form}") for form in FORMS)]:
        answer = site.call(method, target, headers={"Origin": ORIGIN})
        assert answer.status_code == 401, target
        assert answer.headers["Content-Type"].startswith("text/html"), target


def test_the_page_is_kept_by_nobody_and_may_run_only_our_own_files(site: Site) -> None:
    answer = Visitor(site).get()
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY


@pytest.mark.parametrize("name", CONTENT_TYPES)
def test_files_may_be_kept_for_good_under_the_address_of_their_content(site: Site, name: str) -> None:
    answer = site.call("GET", address(name))
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, CONTENT_TYPES[name])
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    path = address(name).partition("?")[0]
    assert site.call("GET", f"{path}?v=older").headers["Cache-Control"] == "no-cache"
    again = site.call("GET", path, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["page.html", "..%2Fview.py", "%2e%2e", "page.css%00", ""])
def test_no_other_file_is_served(site: Site, name: str) -> None:
    assert site.call("GET", f"{PAGE}/static/{name}").status_code == 404


class Showcase:
    """The page in chosen states on a port of this machine, under the app's own policy, for a real browser."""

    def __init__(self) -> None:
        self.facts: dict[str, Facts] = dict(STATES)
        self.test_push: list[TestPush] = [rehearsal(2)]
        """What the API answers about the test push, one after the other; the last one for good."""
        app = falcon.App()
        app.add_route("/states/{name}", self)
        app.add_route(PAGE + "/static/{name}", Static())
        app.add_route(API + "/test-push/{name}", self, suffix="test_push")
        self._server = make_server("127.0.0.1", 0, app, ThreadingServer, SilentHandler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/states"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def on_get(self, _req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """The page in that state."""
        resp.content_type = falcon.MEDIA_HTML
        resp.set_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        resp.text = render("page.html", page=view_page(self.facts[name]))

    def on_get_test_push(self, _req: falcon.Request, resp: falcon.Response, **_parameters: str) -> None:
        """The test push as the API shows it."""
        shown = self.test_push.pop(0) if len(self.test_push) > 1 else self.test_push[0]
        resp.text = TestPushReport.of(shown).model_dump_json()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class ThreadingServer(ThreadingMixIn, WSGIServer):
    """A browser opens connections ahead and keeps them idle: none of them may hold up the others, or the end."""

    daemon_threads = True
    block_on_close = False


class SilentHandler(WSGIRequestHandler):
    """Keeps requests out of the tests' output."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def showcase() -> Iterator[Showcase]:
    """A showcase of the test's own."""
    opened = Showcase()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("needs Chromium or Chrome")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=list(OPTIONS))
        yield launched
        launched.close()


@contextmanager
def tab(browser: Browser, width: int = 1100, scheme: str = "light", *, script: bool = True) -> Iterator[Page]:
    """A tab in which nothing may go wrong unseen: errors of the script or against the policy fail the test."""
    said: list[str] = []
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=script,
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
    yield page
    context.close()
    assert said == []


def test_nothing_stands_in_the_way_of_anybody(browser: Browser, showcase: Showcase) -> None:
    everything = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
    with tab(browser, 320) as page:
        for name in STATES:
            page.goto(f"{showcase.url}/{name}")
            page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
            # Of all the rules only the contrast depends on the scheme.
            for scheme, rules in (("light", everything), ("dark", ["color-contrast"])):
                page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                assert violations(page, rules) == [], (name, scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, f"{name} scrolls sideways"


def test_the_steps_of_a_test_push_are_ticked_off_as_they_happen(browser: Browser, showcase: Showcase) -> None:
    showcase.facts["live"] = facts(ACTIVE, test_push=rehearsal(1))
    showcase.test_push = [rehearsal(2), rehearsal(4), rehearsal(6)]
    with tab(browser) as page:
        page.goto(f"{showcase.url}/live")
        assert page.locator(".steps .done").count() == 1
        page.get_by_text("Everything works").wait_for()
        assert page.locator(".steps .done").count() == 6
        assert page.locator("[data-step=removed] [data-step-state]").text_content() == "done"


def test_a_test_push_that_fails_shows_its_reason_without_a_reload(browser: Browser, showcase: Showcase) -> None:
    showcase.facts["live"] = facts(ACTIVE, test_push=rehearsal(1))
    showcase.test_push = [rehearsal(3, "failed", "You may only read it.")]
    with tab(browser) as page:
        page.goto(f"{showcase.url}/live")
        page.get_by_text("You may only read it.").wait_for()
        assert page.get_by_text("The test did not get through").is_visible()


def test_figures_that_change_are_shown_without_a_reload(browser: Browser, showcase: Showcase) -> None:
    showcase.facts["live"] = facts(replace(ACTIVE, pending=3))
    with tab(browser) as page:
        page.clock.install()
        page.goto(f"{showcase.url}/live")
        page.get_by_text("3 changes are waiting").wait_for()
        showcase.facts["live"] = facts(ACTIVE)
        page.clock.run_for(6000)
        page.get_by_text("Your calendar is up to date").wait_for()
        assert page.locator("#badge").text_content() == "Up to date"


def test_the_end_of_a_disconnect_brings_the_page_that_follows(browser: Browser, showcase: Showcase) -> None:
    showcase.facts["live"] = STATES["disconnecting"]
    with tab(browser) as page:
        page.clock.install()
        page.goto(f"{showcase.url}/live")
        page.get_by_text("Your events are being removed").wait_for()
        showcase.facts["live"] = STATES["disconnected-revoked"]
        page.clock.run_for(6000)
        page.get_by_role("button", name="Connect Google Calendar").wait_for()


def test_times_are_told_in_the_readers_own_zone(browser: Browser, showcase: Showcase) -> None:
    with tab(browser) as page:
        page.goto(f"{showcase.url}/active")
        page.get_by_text("minutes ago").wait_for()
    with tab(browser, script=False) as page:
        page.goto(f"{showcase.url}/active")
        assert page.get_by_text(re.compile(r"\d\d:\d\d UTC")).first.is_visible()


FOCUS = """() => {
    const focused = document.activeElement.closest("label") ?? document.activeElement;
    return [focused.textContent.trim(), getComputedStyle(focused).outlineStyle];
}"""


def test_everything_can_be_reached_with_the_keyboard(browser: Browser, showcase: Showcase) -> None:
    with tab(browser) as page:
        page.goto(f"{showcase.url}/active")
        stops = ("Change", "Open", "All jobs", "Save", "Pause", "Send test", "Push again", "Make a feed", "Disconnect")
        for stop in stops:
            page.keyboard.press("Tab")
            reached, outline = page.evaluate(FOCUS)
            assert reached.startswith(stop)
            assert outline == "solid", f"{stop} does not show that it has the focus"
        page.get_by_text("Disconnect", exact=True).press("Enter")
        page.get_by_label("Remove them").press("Space")
        assert page.get_by_role("button", name="Disconnect Google Calendar").is_visible()


def test_the_address_of_a_feed_is_copied(browser: Browser, showcase: Showcase) -> None:
    with tab(browser) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.goto(f"{showcase.url}/not_connected-feed-new")
        assert page.get_by_label("Address of your calendar feed").evaluate("field => field === document.activeElement")
        page.get_by_role("button", name="Copy").click()
        page.get_by_role("status").get_by_text("Copied", exact=True).wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == NEW_FEED.url
        assert page.get_by_role("link", name="Subscribe").get_attribute("href") == NEW_FEED.webcal_url


def test_an_address_that_the_browser_does_not_copy_is_selected(browser: Browser, showcase: Showcase) -> None:
    with tab(browser) as page:
        page.goto(f"{showcase.url}/not_connected-feed-new")
        for clipboard in ("{ writeText: () => Promise.reject(new Error('not allowed')) }", "undefined"):
            page.evaluate(
                f"Object.defineProperty(navigator, 'clipboard', {{ value: {clipboard}, configurable: true }})"
            )
            page.get_by_role("button", name="Copy").click()
            page.get_by_role("status").get_by_text("copy it with Ctrl+C").wait_for()
            selected = "field => field.value.slice(field.selectionStart, field.selectionEnd)"
            assert page.locator("#feed-url:focus").evaluate(selected) == NEW_FEED.url


def test_a_message_is_not_repeated_by_a_reload(browser: Browser, showcase: Showcase) -> None:
    with tab(browser) as page:
        page.goto(f"{showcase.url}/active-pending?notice=calendar_chosen&change=calendar#calendar")
        page.wait_for_url("**/active-pending?change=calendar#calendar")


def test_a_form_pressed_twice_is_sent_once(browser: Browser, showcase: Showcase) -> None:
    with tab(browser) as page:
        sent: list[str] = []

        def answer(route: Route) -> None:
            sent.append(route.request.method)
            route.fulfill(status=204)

        page.route(f"**{PAGE}/resync", answer)
        page.goto(f"{showcase.url}/active")
        page.evaluate(
            """() => {
                const button = [...document.querySelectorAll("button")].find((one) => one.textContent === "Push again");
                button.click();
                button.click();
            }"""
        )
        page.locator("button[aria-disabled=true]").wait_for()
        page.evaluate("() => 0")  # what the browser sent before has been reported by now
        assert sent == ["POST"]
