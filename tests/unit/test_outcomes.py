"""What can come back from Google's consent page: a bounded set of codes, each with a way out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.outcomes import OUTCOMES, Outcome, code_of_refusal


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=list(OUTCOMES))
def test_every_outcome_is_said_in_sentences(outcome: Outcome) -> None:
    assert outcome.title.endswith(".")
    assert outcome.detail.endswith(".")
    assert "!" not in outcome.title + outcome.detail
    assert outcome.code.isidentifier()


def test_the_contract_with_the_host_app_names_them_all() -> None:
    assert set(OUTCOMES) == {
        "access_denied",
        "missing_scope",
        "blocked_by_admin",
        "org_internal",
        "attempt_unknown",
        "attempt_expired",
        "wrong_browser",
        "wrong_user",
        "code_refused",
        "no_refresh_token",
        "no_calendar",
        "google_unavailable",
        "not_configured",
        "google_refused",
        "grant_ended",
        "account_busy",
        "still_connecting",
        "too_many_requests",
        "internal_error",
    }


def test_an_unticked_box_is_explained_by_what_each_is_for() -> None:
    detail = OUTCOMES["missing_scope"].detail
    assert "tick every box" in detail
    assert "put your jobs into your calendar" in detail
    assert "calendars to choose from" in detail


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("access_denied", "access_denied"),
        ("admin_policy_enforced", "blocked_by_admin"),
        ("access_not_configured", "blocked_by_admin"),
        ("org_internal", "org_internal"),
        ("server_error", "google_unavailable"),
        ("temporarily_unavailable", "google_unavailable"),
        ("invalid_client", "not_configured"),
        ("deleted_client", "not_configured"),
        ("redirect_uri_mismatch", "not_configured"),
        ("invalid_request", "not_configured"),
        ("invalid_scope", "not_configured"),
        ("invalid_grant", "google_refused"),
        ("disallowed_useragent", "google_refused"),
        ("<script>", "google_refused"),
        ("", "google_refused"),
    ],
)
def test_what_google_sends_back_becomes_a_code_of_ours(error: str, code: str) -> None:
    assert code_of_refusal(error) == code


@given(st.text())
def test_no_word_of_googles_comes_through(error: str) -> None:
    assert code_of_refusal(error) in OUTCOMES
