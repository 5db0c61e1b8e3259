"""Consent attempts over the real app, a real Postgres and the sandbox: one user's, one browser's, used once."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import requests
from structlog.testing import capture_logs

from outbox.google.oauth import TokenAnswer
from outbox.statements import statement
from outbox.user import User
from tests.integration.conftest import World
from tests.integration.web_client import Site, acting, open_site
from web.attempts import Attempt
from web.capacity import ASKING_GOOGLE
from web.consent import CallbackAnswer, Consent, Finished
from web.problem import Problem
from web.return_to import PAGE
from web.sandbox.specs import AccountSpec


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    with open_site(world) as opened:
        yield opened


@pytest.fixture
def consent(site: Site) -> Consent:
    return acting(site.app.services.consent)


@pytest.fixture
def ana(site: Site) -> User:
    return site.user("ana")


@pytest.fixture
def email(world: World) -> str:
    return new_account(world)


def new_account(world: World) -> str:
    email = f"ana-{uuid4().hex[:8]}@example.com"
    world.google.add_account(AccountSpec(email=email))
    return email


def allow(
    authorize_url: str, email: str, *, scopes: list[str] | None = None, decision: str = "allow"
) -> CallbackAnswer:
    """What the browser does on Google's pages; what it brings back."""
    asked = urlsplit(authorize_url)
    ticked = parse_qs(asked.query)["scope"][0].split() if scopes is None else scopes
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(
            asked._replace(path=f"{asked.path}/consent", query="").geturl(),
            data={"request": asked.query, "account": email, "scope": ticked, "decision": decision},
            allow_redirects=False,
            timeout=30,
        )
    back = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}
    return CallbackAnswer(back.get("state"), back.get("code"), back.get("error"))


def failed(code: str, return_to: str = PAGE) -> Finished:
    known = code not in ("wrong_browser", "attempt_unknown")
    return Finished(f"{return_to}?error={code}", code, "error", of_this_browser=known)


CONNECTED = Finished(f"{PAGE}?connected=1", None, "connected")


def state_of(site: Site, user: User) -> str:
    return acting(site.app.services.operations).connection(user).state


def attempts(world: World) -> list[tuple[Any, ...]]:
    return world.execute("SELECT taken_at IS NOT NULL, outcome FROM calendar_sync.consent_attempt ORDER BY created_at")


def exchanges(world: World) -> int:
    entries = world.google.control("GET", "requests")["entries"]
    return sum(1 for entry in entries if entry["path"] == "/token")


def test_a_user_comes_back_connected(site: Site, consent: Consent, ana: User, email: str) -> None:
    started = consent.start(ana, return_to=None, browser=None)
    answer = allow(started.authorize_url, email)
    assert consent.finish(answer, browser=started.browser, session_user=ana) == CONNECTED
    connection = acting(site.app.services.operations).connection(ana)
    assert (connection.state, connection.account_email) == ("choose_calendar", email)


def test_a_session_is_not_needed_to_come_back(site: Site, consent: Consent, ana: User, email: str) -> None:
    started = consent.start(ana, return_to="/jobs?x=1", browser=None)
    finished = consent.finish(allow(started.authorize_url, email), browser=started.browser, session_user=None)
    assert finished == Finished("/jobs?x=1&connected=1", None, "connected")
    assert state_of(site, ana) == "choose_calendar"


def test_a_callback_that_comes_twice_says_the_same_and_does_nothing(
    world: World, consent: Consent, ana: User, email: str
) -> None:
    started = consent.start(ana, return_to=None, browser=None)
    answer = allow(started.authorize_url, email)
    before = exchanges(world)
    assert consent.finish(answer, browser=started.browser, session_user=ana) == CONNECTED
    rows = world.execute("SELECT * FROM calendar_sync.calendar_connection")
    assert consent.finish(answer, browser=started.browser, session_user=ana) == CONNECTED
    world.advance(3600)
    assert consent.finish(answer, browser=started.browser, session_user=ana) == CONNECTED
    assert world.execute("SELECT * FROM calendar_sync.calendar_connection") == rows
    assert exchanges(world) == before + 1


def test_a_second_callback_during_the_first_waits_for_its_outcome(
    site: Site, consent: Consent, ana: User, email: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = consent.start(ana, return_to=None, browser=None)
    answer = allow(started.authorize_url, email)
    oauth, attempts = site.app.services.oauth, consent._attempts
    exchange, find = oauth.exchange, attempts.find
    begun, waited, second = threading.Event(), threading.Event(), []

    def exchange_late(code: str, code_verifier: str) -> TokenAnswer:
        begun.set()
        assert waited.wait(30)
        return exchange(code, code_verifier)

    def find_again(state_hash: bytes) -> Attempt | None:
        found = find(state_hash)
        if found is not None and found.taken and found.outcome is None:
            waited.set()
        return found

    def come_back_again() -> None:
        assert begun.wait(30)
        second.append(consent.finish(answer, browser=started.browser, session_user=ana))

    monkeypatch.setattr(oauth, "exchange", exchange_late)
    monkeypatch.setattr(attempts, "find", find_again)
    again = threading.Thread(target=come_back_again)
    again.start()
    assert consent.finish(answer, browser=started.browser, session_user=ana) == CONNECTED
    again.join()
    assert second == [CONNECTED]


def test_a_second_callback_is_told_in_the_end_that_the_first_goes_on(
    site: Site, consent: Consent, ana: User, email: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.consent.AWAIT_SECONDS", 0.3)
    started = consent.start(ana, return_to=None, browser=None)
    answer = allow(started.authorize_url, email)
    oauth, during = site.app.services.oauth, []
    exchange: Callable[[str, str], TokenAnswer] = oauth.exchange

    def exchange_amid_another(code: str, code_verifier: str) -> TokenAnswer:
        during.append(consent.finish(answer, browser=started.browser, session_user=ana))
        return exchange(code, code_verifier)

    monkeypatch.setattr(oauth, "exchange", exchange_amid_another)
    assert consent.finish(answer, browser=started.browser, session_user=ana) == CONNECTED
    assert during == [failed("still_connecting")]


def test_of_many_callbacks_at_once_one_exchanges_the_code(
    world: World, consent: Consent, ana: User, email: str
) -> None:
    started = consent.start(ana, return_to=None, browser=None)
    answer = allow(started.authorize_url, email)
    before, gate, finished = exchanges(world), threading.Barrier(4), []

    def come_back() -> None:
        gate.wait(30)
        finished.append(consent.finish(answer, browser=started.browser, session_user=ana))

    threads = [threading.Thread(target=come_back) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert CONNECTED in finished
    # No more than two of them wait for the first, the others are asked to look again.
    assert len(finished) == 4
    assert {one.error for one in finished} <= {None, "still_connecting"}
    assert exchanges(world) == before + 1


def test_another_browser_learns_nothing_and_uses_nothing_up(
    world: World, site: Site, consent: Consent, ana: User, email: str
) -> None:
    started = consent.start(ana, return_to="/jobs", browser=None)
    foreign = consent.start(site.user("mallory"), return_to=None, browser=None).browser
    answer = allow(started.authorize_url, email)
    for browser in (foreign, started.browser[:-1], started.browser + "A", "", None, "\x00" * 43):
        assert consent.finish(answer, browser=browser, session_user=None) == failed("wrong_browser")
    assert consent.finish(answer, browser=foreign, session_user=ana) == failed("wrong_browser")
    assert attempts(world)[0] == (False, None)
    assert consent.finish(answer, browser=started.browser, session_user=ana).outcome == "connected"
    assert consent.finish(answer, browser=foreign, session_user=ana) == failed("wrong_browser")


def test_without_a_cookie_the_database_is_not_asked(site: Site, consent: Consent, ana: User) -> None:
    state = parse_qs(urlsplit(consent.start(ana, return_to=None, browser=None).authorize_url).query)["state"][0]
    site.app.services.pool.close()
    answer = CallbackAnswer(state, "code", None)
    assert consent.finish(answer, browser=None, session_user=None) == failed("wrong_browser")
    # With one it would have been: even then a person gets an answer.
    assert consent.finish(answer, browser="a" * 43, session_user=None) == failed("internal_error")


def test_somebody_elses_session_does_not_finish_an_attempt(
    world: World, site: Site, consent: Consent, ana: User, email: str
) -> None:
    started = consent.start(ana, return_to="/jobs", browser=None)
    answer = allow(started.authorize_url, email)
    for user in (site.user("bob"), site.user("ana", tenant="another")):
        assert consent.finish(answer, browser=started.browser, session_user=user) == failed("wrong_user")
    assert attempts(world) == [(False, None)]
    assert state_of(site, ana) == "not_connected"


@pytest.mark.parametrize("state", [None, "", "x" * 42, "x" * 43, "x" * 5000, "\ud800" * 43, "\x00" * 43])
def test_a_state_that_is_not_ours_is_unknown(consent: Consent, ana: User, state: str | None) -> None:
    started = consent.start(ana, return_to=None, browser=None)
    answer = CallbackAnswer(state, "code", None)
    assert consent.finish(answer, browser=started.browser, session_user=ana) == failed("attempt_unknown")


def test_an_attempt_ends_after_ten_minutes(world: World, site: Site, consent: Consent, ana: User, email: str) -> None:
    started = consent.start(ana, return_to="/jobs", browser=None)
    answer = allow(started.authorize_url, email)
    before = exchanges(world)
    world.advance(601)
    assert consent.finish(answer, browser=started.browser, session_user=ana) == failed("attempt_expired", "/jobs")
    assert (state_of(site, ana), exchanges(world)) == ("not_connected", before)


def test_an_attempt_whose_worker_died_ends_as_expired(
    world: World, consent: Consent, ana: User, email: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.consent.AWAIT_SECONDS", 0.3)
    started = consent.start(ana, return_to=None, browser=None)
    answer = allow(started.authorize_url, email)
    world.execute("UPDATE calendar_sync.consent_attempt SET taken_at = calendar_sync.now()")
    assert consent.finish(answer, browser=started.browser, session_user=ana) == failed("still_connecting")
    world.advance(601)
    assert consent.finish(answer, browser=started.browser, session_user=ana) == failed("attempt_expired")


def test_two_tabs_of_one_browser_both_work(consent: Consent, ana: User, email: str) -> None:
    first = consent.start(ana, return_to=None, browser=None)
    second = consent.start(ana, return_to=None, browser=first.browser)
    assert second.browser == first.browser
    for started in (first, second):
        answer = allow(started.authorize_url, email)
        assert consent.finish(answer, browser=first.browser, session_user=ana) == CONNECTED


@pytest.mark.parametrize("browser", ["", "short", "x" * 44, "ä" * 43, "x" * 42 + "\n"])
def test_a_cookie_that_is_not_ours_is_replaced(consent: Consent, ana: User, browser: str) -> None:
    started = consent.start(ana, return_to=None, browser=browser)
    assert started.browser != browser
    assert len(started.browser) == 43


def test_a_verifier_from_another_attempt_does_not_decrypt(
    world: World, site: Site, consent: Consent, ana: User, email: str
) -> None:
    started = consent.start(ana, return_to=None, browser=None)
    consent.start(site.user("mallory"), return_to=None, browser=None)
    world.execute(
        "UPDATE calendar_sync.consent_attempt SET code_verifier ="
        " (SELECT code_verifier FROM calendar_sync.consent_attempt WHERE user_id = 'mallory') WHERE user_id = 'ana'"
    )
    answer = allow(started.authorize_url, email)
    assert consent.finish(answer, browser=started.browser, session_user=ana) == failed("internal_error")
    assert state_of(site, ana) == "not_connected"


def test_a_stored_path_that_would_lead_away_is_not_followed(
    world: World, consent: Consent, ana: User, email: str
) -> None:
    started = consent.start(ana, return_to="/jobs", browser=None)
    world.execute("UPDATE calendar_sync.consent_attempt SET return_to = '//evil.example'")
    answer = allow(started.authorize_url, email)
    assert consent.finish(answer, browser=started.browser, session_user=ana) == CONNECTED


def test_a_key_that_is_missing_is_not_googles_doing(world: World, consent: Consent, ana: User, email: str) -> None:
    started = consent.start(ana, return_to=None, browser=None)
    world.execute("UPDATE calendar_sync.consent_attempt SET code_verifier = set_byte(code_verifier, 2, ascii('x'))")
    with capture_logs() as logs:
        answer = allow(started.authorize_url, email)
        assert consent.finish(answer, browser=started.browser, session_user=ana) == failed("not_configured")
    assert "key" in next(entry["reason"] for entry in logs if entry["event"] == "operator_needed")


def test_an_account_that_somebody_else_holds_is_said_to_be_busy(
    site: Site, consent: Consent, ana: User, email: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.grants.TURN_SECONDS", 0.1)
    started = consent.start(ana, return_to=None, browser=None)
    answer = allow(started.authorize_url, email)
    with site.app.services.pool.connection() as other:
        assert other.execute(statement("connection/lock_account"), {"account_id": email}).fetchone() == (True,)
        assert consent.finish(answer, browser=started.browser, session_user=ana) == failed("account_busy")
        other.execute(statement("connection/unlock_account"), {"account_id": email})


def test_a_callback_that_finds_everybody_waiting_for_google_uses_nothing_up(
    world: World, site: Site, consent: Consent, ana: User, email: str
) -> None:
    started = consent.start(ana, return_to=None, browser=None)
    answer = allow(started.authorize_url, email)
    with ExitStack() as places:
        for _ in range(ASKING_GOOGLE):
            places.enter_context(consent._places.place())
        assert consent.finish(answer, browser=started.browser, session_user=ana) == failed("google_unavailable")
        assert attempts(world) == [(False, None)]
    assert consent.finish(answer, browser=started.browser, session_user=ana) == CONNECTED


def test_an_address_elsewhere_is_refused_before_anything_is_stored(world: World, consent: Consent, ana: User) -> None:
    with pytest.raises(Problem) as refusal:
        consent.start(ana, return_to="https://evil.example/", browser=None)
    assert (refusal.value.status_code, refusal.value.code) == (400, "invalid_return_to")
    assert "evil" not in str(refusal.value.body(None))
    assert attempts(world) == []


def test_a_cancelled_consent_says_so(site: Site, consent: Consent, ana: User, email: str) -> None:
    started = consent.start(ana, return_to=None, browser=None)
    answer = allow(started.authorize_url, email, decision="cancel")
    assert consent.finish(answer, browser=started.browser, session_user=ana) == failed("access_denied")


def test_a_partial_consent_beside_a_working_connection_changes_nothing(
    world: World, site: Site, consent: Consent, ana: User
) -> None:
    calendar = site.connect(ana)
    before = world.execute("SELECT * FROM calendar_sync.calendar_connection")
    started = consent.start(ana, return_to=None, browser=None)
    answer = allow(started.authorize_url, calendar, scopes=["https://www.googleapis.com/auth/calendar.events"])
    assert consent.finish(answer, browser=started.browser, session_user=ana) == failed("missing_scope")
    assert world.execute("SELECT * FROM calendar_sync.calendar_connection") == before
    assert acting(site.app.services.operations).calendars(ana)[0].id == calendar


def test_the_same_account_keeps_its_calendar_and_another_one_chooses_again(
    world: World, site: Site, consent: Consent, ana: User
) -> None:
    calendar = site.connect(ana)
    for email, state in ((calendar, "active"), (new_account(world), "choose_calendar")):
        started = consent.start(ana, return_to=None, browser=None)
        answer = allow(started.authorize_url, email)
        assert consent.finish(answer, browser=started.browser, session_user=ana) == CONNECTED
        assert state_of(site, ana) == state


def test_who_has_not_come_back_yet_is_known_for_ten_minutes(
    world: World, consent: Consent, ana: User, email: str
) -> None:
    assert consent.unfinished(ana) is None
    consent.start(ana, return_to=None, browser=None)
    left = consent.unfinished(ana)
    assert left is not None
    assert left.tzinfo is not None
    world.advance(1)
    again = consent.start(ana, return_to=None, browser=None)
    later = consent.unfinished(ana)
    assert later is not None
    assert later > left
    consent.finish(allow(again.authorize_url, email), browser=again.browser, session_user=ana)
    assert consent.unfinished(ana) is None
    consent.start(ana, return_to=None, browser=None)
    world.advance(601)
    assert consent.unfinished(ana) is None


def test_nobody_sets_out_too_often(site: Site, consent: Consent, ana: User) -> None:
    for _ in range(10):
        consent.start(ana, return_to=None, browser=None)
    with pytest.raises(Problem) as refusal:
        consent.start(ana, return_to=None, browser=None)
    assert (refusal.value.status_code, refusal.value.code) == (429, "too_many_requests")
    consent.start(site.user("bob"), return_to=None, browser=None)
