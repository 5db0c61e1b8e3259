"""The way to Google and back belongs to one user in one browser, and is gone once."""

import base64
import hashlib

import pytest

from outbox.user import User
from tests.integration.attacks.attacker import (
    ALTERED,
    CONNECTED,
    COOKIE,
    come_back,
    consent,
    exchanges,
    failed,
    new_account,
    on_record,
    set_out,
)
from tests.integration.web_client import Site


def test_a_state_is_good_once(site: Site) -> None:
    ana, email = site.user("u_ana"), new_account(site)
    departure = set_out(site, ana)
    back = consent(departure.authorize_url, email)
    again = consent(departure.authorize_url, email)
    assert come_back(site, back, browser=departure.browser, signed_in=ana) == CONNECTED
    before, asked = on_record(site.world), exchanges(site.world)
    for replayed in (back, again, {**back, "code": "4/another"}, {"state": back["state"], "error": "access_denied"}):
        assert come_back(site, replayed, browser=departure.browser, signed_in=ana) == CONNECTED
        assert come_back(site, replayed, browser=set_out(site, ana).browser) == failed("wrong_browser")
    assert (on_record(site.world), exchanges(site.world)) == (before, asked)


def test_a_state_that_failed_cannot_be_used_for_another_try(site: Site) -> None:
    ana, email = site.user("u_ana"), new_account(site)
    departure = set_out(site, ana)
    back = consent(departure.authorize_url, email)
    refused = {"state": back["state"], "error": "access_denied"}
    assert come_back(site, refused, browser=departure.browser, signed_in=ana) == failed("access_denied")
    asked = exchanges(site.world)
    assert come_back(site, back, browser=departure.browser, signed_in=ana) == failed("access_denied")
    assert (on_record(site.world), exchanges(site.world)) == ([], asked)


def test_an_expired_state_is_refused(site: Site) -> None:
    ana = site.user("u_ana")
    departure = set_out(site, ana)
    back = consent(departure.authorize_url, new_account(site))
    asked = exchanges(site.world)
    site.world.advance(601)
    assert come_back(site, back, browser=departure.browser, signed_in=ana) == failed("attempt_expired")
    assert (on_record(site.world), exchanges(site.world)) == ([], asked)


def test_a_state_that_is_missing_made_up_or_given_twice_is_refused(site: Site) -> None:
    ana = site.user("u_ana")
    departure = set_out(site, ana)
    back = consent(departure.authorize_url, new_account(site))
    asked = exchanges(site.world)
    state_hash = hashlib.sha256(departure.state.encode()).digest()
    for state in (
        (),
        "",
        "x" * 43,
        departure.state[:-1],
        departure.state + "=",
        departure.state.swapcase(),
        state_hash.hex(),
        base64.urlsafe_b64encode(state_hash).rstrip(b"=").decode(),
        (departure.state, departure.state),
        ("x" * 43, departure.state),
        "\x00" + departure.state,
        "\ud7ff" * 43,
        "' OR '1'='1",
        "x" * 100_000,
    ):
        assert come_back(site, {**back, "state": state}, browser=departure.browser, signed_in=ana) == failed(
            "attempt_unknown"
        ), state
    assert (on_record(site.world), exchanges(site.world)) == ([], asked)
    assert come_back(site, back, browser=departure.browser, signed_in=ana) == CONNECTED


def test_a_state_belongs_to_its_user_and_to_its_browser(site: Site) -> None:
    ana, bo = site.user("u_ana"), site.user("u_bo")
    departure, bos = set_out(site, ana), set_out(site, bo)
    back = consent(departure.authorize_url, new_account(site))
    asked = exchanges(site.world)
    for signed_in in (None, ana, bo):
        for browser in (None, bos.browser, departure.browser[:-1], "", "x" * 43, departure.state):
            assert come_back(site, back, browser=browser, signed_in=signed_in) == failed("wrong_browser")
    for another in (bo, User("another-tenant", "u_ana"), User(ana.tenant_id, "U_ANA"), User(ana.tenant_id, "u_ana ")):
        assert come_back(site, back, browser=departure.browser, signed_in=another) == failed("wrong_user")
    # Two cookies of that name, of which one was planted.
    planted = f"{departure.browser}; {COOKIE}={bos.browser}"
    assert come_back(site, back, browser=planted, signed_in=ana) == failed("wrong_browser")
    assert (on_record(site.world), exchanges(site.world)) == ([], asked)
    assert come_back(site, back, browser=departure.browser, signed_in=ana) == CONNECTED


def test_a_victim_who_is_lured_to_the_attackers_way_back_connects_nothing(site: Site) -> None:
    """The attacker's Google account would get the victim's jobs, or the attacker the victim's calendar."""
    ana, mallory = site.user("u_ana"), site.user("u_mallory")
    mallorys, anas = set_out(site, mallory), set_out(site, ana)
    attackers_answer = consent(mallorys.authorize_url, new_account(site))
    victims_answer = consent(mallorys.authorize_url, new_account(site))
    asked = exchanges(site.world)
    for lure in (attackers_answer, victims_answer):
        for browser in (None, anas.browser):
            for signed_in in (None, ana):
                assert come_back(site, lure, browser=browser, signed_in=signed_in) == failed("wrong_browser")
    assert (on_record(site.world), exchanges(site.world)) == ([], asked)


def test_a_code_is_of_no_use_in_another_attempt(site: Site) -> None:
    ana, mallory = site.user("u_ana"), site.user("u_mallory")
    for thief, owner in ((mallory, ana), (ana, mallory)):
        stolen = consent(set_out(site, owner).authorize_url, new_account(site))["code"]
        own = set_out(site, thief)
        asked = exchanges(site.world)
        back = {"state": own.state, "code": stolen}
        assert come_back(site, back, browser=own.browser, signed_in=thief) == failed("code_refused")
        assert exchanges(site.world) == asked + 1, "it was Google that refused, for the verifier"
    # Nor in another attempt of the same user.
    first, second = set_out(site, ana), set_out(site, ana)
    back = {**consent(first.authorize_url, new_account(site)), "state": second.state}
    assert come_back(site, back, browser=second.browser, signed_in=ana) == failed("code_refused")
    assert on_record(site.world) == []


@pytest.mark.parametrize(
    ("swap", "outcome"),
    [
        ("(SELECT code_verifier FROM calendar_sync.consent_attempt WHERE user_id = 'u_mallory')", "internal_error"),
        ("(SELECT code_verifier FROM calendar_sync.consent_attempt WHERE return_to = '/other')", "code_refused"),
        ("(SELECT refresh_token FROM calendar_sync.calendar_connection WHERE user_id = 'u_ana')", "internal_error"),
        (ALTERED.format(column="code_verifier"), "internal_error"),
        ("''", "internal_error"),
    ],
)
def test_a_verifier_that_was_swapped_redeems_nothing(site: Site, swap: str, outcome: str) -> None:
    ana = site.user("u_ana")
    site.connect(ana)
    set_out(site, site.user("u_mallory"))
    set_out(site, ana, return_to="/other")
    departure = set_out(site, ana, return_to="/mine")
    site.world.execute(f"UPDATE calendar_sync.consent_attempt SET code_verifier = {swap} WHERE return_to = '/mine'")
    before = on_record(site.world)
    back = consent(departure.authorize_url, new_account(site))
    assert come_back(site, back, browser=departure.browser, signed_in=ana) == f"/mine?error={outcome}"
    assert on_record(site.world) == before
