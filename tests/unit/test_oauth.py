"""Google's OAuth: what the token endpoint's answers mean, and what is asked of it how often."""

import json
import logging
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st

from outbox.google.deadline import NoReplyError, NotSentError, Reply, Transport
from outbox.google.oauth import (
    ClientMisconfigured,
    GoogleOAuth,
    GrantRefused,
    RevokeAnswer,
    TokenAnswer,
    Tokens,
    TokenServerUnavailable,
    read_revoke_answer,
    read_token_answer,
)

EVENTS = "https://www.googleapis.com/auth/calendar.events"
READ = "https://www.googleapis.com/auth/calendar.readonly"
TOKEN_URL = "https://oauth2.example.com/token"
REVOKE_URL = "https://oauth2.example.com/revoke"
GRANTED: dict[str, Any] = {
    "access_token": "ya29.SECRET",
    "expires_in": 3599,
    "token_type": "Bearer",
    "scope": f"{READ} {EVENTS}",
}


def failure(error: str, **more: str) -> bytes:
    return json.dumps({"error": error, "error_description": "Bad Request", **more}).encode()


def unavailable(answer: TokenAnswer) -> bool:
    return isinstance(answer, TokenServerUnavailable)


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (400, failure("invalid_grant"), GrantRefused("revoked", "invalid_grant")),
        (
            400,
            failure("invalid_grant", error_subtype="invalid_rapt"),
            GrantRefused("revoked", "invalid_grant", "invalid_rapt"),
        ),
        (401, failure("unauthorized_client"), GrantRefused("revoked", "unauthorized_client")),
        (400, failure("admin_policy_enforced"), GrantRefused("blocked_by_admin", "admin_policy_enforced")),
        (401, failure("invalid_client"), ClientMisconfigured("invalid_client")),
        (401, failure("deleted_client"), ClientMisconfigured("deleted_client")),
        (400, failure("redirect_uri_mismatch"), ClientMisconfigured("redirect_uri_mismatch")),
        (400, failure("unsupported_grant_type"), ClientMisconfigured("unsupported_grant_type")),
        (400, failure("invalid_request"), ClientMisconfigured("invalid_request")),
        (400, failure("invalid_scope"), ClientMisconfigured("invalid_scope")),
        (401, failure("disabled_client"), ClientMisconfigured("disabled_client")),
        (400, failure("restricted_client"), ClientMisconfigured("restricted_client")),
        (403, failure("org_internal"), ClientMisconfigured("org_internal")),
        (
            400,
            failure("never_heard_of"),
            TokenServerUnavailable("HTTP 400 never_heard_of", unknown_error="never_heard_of"),
        ),
        (400, failure("Not a code,\r\nbut a text"), TokenServerUnavailable("HTTP 400")),
        (400, failure("invalid_grant", error_subtype="Bad thing"), GrantRefused("revoked", "invalid_grant")),
        (400, b"<html>", TokenServerUnavailable("HTTP 400")),
        (400, b'{"error": {"reason": "invalid_grant"}}', TokenServerUnavailable("HTTP 400")),
        (404, b"", TokenServerUnavailable("HTTP 404")),
        (429, failure("invalid_grant"), TokenServerUnavailable("HTTP 429")),
        (500, failure("invalid_grant"), TokenServerUnavailable("HTTP 500")),
        (502, b"<html>Bad Gateway", TokenServerUnavailable("HTTP 502")),
        (503, b"", TokenServerUnavailable("HTTP 503")),
        (302, b"", TokenServerUnavailable("HTTP 302")),
        (200, b"", TokenServerUnavailable("a success without an access token")),
        (200, b"[]", TokenServerUnavailable("a success without an access token")),
        (200, b'{"expires_in": 10}', TokenServerUnavailable("a success without an access token")),
        (
            200,
            json.dumps(GRANTED | {"access_token": "a\r\nb"}).encode(),
            TokenServerUnavailable("a success without an access token"),
        ),
        (200, b'{"access_token": "a"}', TokenServerUnavailable("a success without expires_in")),
        (200, b'{"access_token": "a", "expires_in": true}', TokenServerUnavailable("a success without expires_in")),
        (200, b'{"access_token": "a", "expires_in": NaN}', TokenServerUnavailable("a success without expires_in")),
        (200, b'{"access_token": "a", "expires_in": 0}', TokenServerUnavailable("a success without expires_in")),
        (200, b'{"access_token": "a", "expires_in": 1e9}', TokenServerUnavailable("a success without expires_in")),
        (200, b'{"access_token": "a", "expires_in": 1, "scope": 7}', Tokens("a", None, 1.0, frozenset())),
        (200, json.dumps(GRANTED).encode(), Tokens("ya29.SECRET", None, 3599.0, frozenset({EVENTS, READ}))),
        (
            200,
            json.dumps(GRANTED | {"refresh_token": "1//SECRET"}).encode(),
            Tokens("ya29.SECRET", "1//SECRET", 3599.0, frozenset({EVENTS, READ})),
        ),
        (200, b'{"access_token": "a", "expires_in": 10}', Tokens("a", None, 10.0, frozenset())),
    ],
)
def test_each_answer_of_the_token_endpoint_has_its_meaning(status: int, body: bytes, meaning: TokenAnswer) -> None:
    assert read_token_answer(status, body) == meaning


@pytest.mark.parametrize(
    "description",
    ["Token has been expired or revoked.", "Bad Request", "Account has been deleted", "invalid_client"],
)
def test_the_description_decides_nothing(description: str) -> None:
    answer = read_token_answer(400, failure("invalid_grant", error_description=description))
    assert answer == GrantRefused("revoked", "invalid_grant")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
fields = dict.fromkeys(("access_token", "refresh_token", "expires_in", "scope", "error", "error_subtype"), json_values)


@given(
    status=st.integers(100, 599),
    body=st.binary(max_size=100)
    | (json_values | st.fixed_dictionaries({}, optional=fields)).map(lambda value: json.dumps(value).encode()),
)
def test_no_answer_makes_the_reader_fail_or_costs_a_user_his_grant(status: int, body: bytes) -> None:
    answer = read_token_answer(status, body)
    assert isinstance(answer, Tokens | TokenServerUnavailable)
    assert isinstance(read_revoke_answer(status, body), RevokeAnswer)


@pytest.mark.parametrize(
    ("status", "body", "meaning"),
    [
        (200, b"{}", RevokeAnswer.REVOKED),
        (200, b"", RevokeAnswer.REVOKED),
        (400, failure("invalid_token"), RevokeAnswer.ENDED),
        (400, failure("invalid_request"), RevokeAnswer.REFUSED),
        (403, b"<html>", RevokeAnswer.REFUSED),
        (401, failure("invalid_token"), RevokeAnswer.REFUSED),
        (408, b"", RevokeAnswer.UNAVAILABLE),
        (429, b"", RevokeAnswer.UNAVAILABLE),
        (503, b"", RevokeAnswer.UNAVAILABLE),
    ],
)
def test_each_answer_of_the_revoke_endpoint_has_its_meaning(status: int, body: bytes, meaning: RevokeAnswer) -> None:
    assert read_revoke_answer(status, body) is meaning


def test_tokens_show_no_secret() -> None:
    shown = repr(Tokens("ya29.SECRET", "1//SECRET", 10.0, frozenset({EVENTS})))
    assert "SECRET" not in shown
    assert EVENTS in shown


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def oauth(waits: list[float], stop: threading.Event) -> Iterator[GoogleOAuth]:
    oauth = GoogleOAuth(
        "client-1",
        "SECRET&client",
        "https://app.example.com/callback",
        authorize_url="https://accounts.example.com/o/oauth2/v2/auth",
        token_url=TOKEN_URL,
        revoke_url=REVOKE_URL,
        stop=stop,
        sleep=waits.append,
    )
    yield oauth
    oauth.close()


@pytest.fixture
def google() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def forms(google: responses.RequestsMock) -> list[dict[str, str]]:
    return [dict(read_form(call.request.body)) for call in google.calls]


def read_form(body: Any) -> Iterator[tuple[str, str]]:
    text = body.decode() if isinstance(body, bytes) else body
    return ((name, values[0]) for name, values in parse_qs(text, strict_parsing=True).items())


def test_the_consent_page_is_asked_for_offline_access_with_pkce(oauth: GoogleOAuth) -> None:
    address = urlsplit(oauth.authorize_url("state-1", "challenge-1", [EVENTS, READ], login_hint="ana@example.com"))
    assert address._replace(query="").geturl() == "https://accounts.example.com/o/oauth2/v2/auth"
    assert parse_qs(address.query, strict_parsing=True) == {
        "response_type": ["code"],
        "client_id": ["client-1"],
        "redirect_uri": ["https://app.example.com/callback"],
        "scope": [f"{EVENTS} {READ}"],
        "state": ["state-1"],
        "access_type": ["offline"],
        "prompt": ["consent"],
        "code_challenge": ["challenge-1"],
        "code_challenge_method": ["S256"],
        "login_hint": ["ana@example.com"],
    }


def test_without_a_hint_the_user_chooses_the_account(oauth: GoogleOAuth) -> None:
    asked = parse_qs(urlsplit(oauth.authorize_url("state-1", "challenge-1", [EVENTS])).query)
    assert "login_hint" not in asked
    assert asked["prompt"] == ["select_account consent"]


def test_a_stand_in_for_google_may_be_without_tls(stop: threading.Event) -> None:
    local = GoogleOAuth(
        "c",
        "s",
        "http://localhost/callback",
        authorize_url="http://127.0.0.1:8080/auth",
        token_url=TOKEN_URL,
        revoke_url=REVOKE_URL,
        stop=stop,
    )
    assert local.authorize_url("s", "c", [EVENTS]).startswith("http://127.0.0.1:8080/auth?response_type=code&")


def test_a_code_is_exchanged_with_verifier_and_client(oauth: GoogleOAuth, google: responses.RequestsMock) -> None:
    google.post(TOKEN_URL, json=GRANTED | {"refresh_token": "1//SECRET"})
    assert oauth.exchange("4/code", "verifier-1") == Tokens(
        "ya29.SECRET", "1//SECRET", 3599.0, frozenset({EVENTS, READ})
    )
    assert forms(google) == [
        {
            "grant_type": "authorization_code",
            "code": "4/code",
            "redirect_uri": "https://app.example.com/callback",
            "code_verifier": "verifier-1",
            "client_id": "client-1",
            "client_secret": "SECRET&client",
        }
    ]


def test_a_token_is_refreshed_without_naming_scopes(oauth: GoogleOAuth, google: responses.RequestsMock) -> None:
    google.post(TOKEN_URL, json=GRANTED)
    assert isinstance(oauth.refresh("1//SECRET"), Tokens)
    assert forms(google) == [
        {
            "grant_type": "refresh_token",
            "refresh_token": "1//SECRET",
            "client_id": "client-1",
            "client_secret": "SECRET&client",
        }
    ]


def test_a_refresh_is_tried_again_while_the_server_is_unavailable(
    oauth: GoogleOAuth, google: responses.RequestsMock, waits: list[float]
) -> None:
    google.post(TOKEN_URL, status=502, body="<html>")
    google.post(TOKEN_URL, json=GRANTED)
    assert isinstance(oauth.refresh("1//SECRET"), Tokens)
    assert len(waits) == 1


def test_a_refused_refresh_is_not_tried_again(oauth: GoogleOAuth, google: responses.RequestsMock) -> None:
    google.post(TOKEN_URL, status=400, body=failure("invalid_grant"))
    assert oauth.refresh("1//SECRET") == GrantRefused("revoked", "invalid_grant")
    assert len(google.calls) == 1


def test_a_code_that_may_have_been_redeemed_is_not_sent_twice(
    oauth: GoogleOAuth, google: responses.RequestsMock
) -> None:
    google.post(TOKEN_URL, status=503)
    assert unavailable(oauth.exchange("4/code", "verifier-1"))
    assert len(google.calls) == 1


def test_a_code_that_was_never_sent_is_tried_again(
    oauth: GoogleOAuth, google: responses.RequestsMock, waits: list[float]
) -> None:
    google.post(TOKEN_URL, body=requests.ConnectTimeout("SECRET"))
    google.post(TOKEN_URL, json=GRANTED)
    assert isinstance(oauth.exchange("4/code", "verifier-1"), Tokens)
    assert len(waits) == 1


def test_an_unreachable_token_server_costs_nothing_but_time(
    oauth: GoogleOAuth, google: responses.RequestsMock, waits: list[float]
) -> None:
    google.post(TOKEN_URL, body=requests.ConnectTimeout("SECRET"))
    assert oauth.refresh("1//SECRET") == TokenServerUnavailable("ConnectTimeout", sent=False)
    assert len(waits) == 2


def test_a_stop_lets_no_repeat_begin(
    oauth: GoogleOAuth, google: responses.RequestsMock, waits: list[float], stop: threading.Event
) -> None:
    google.post(TOKEN_URL, status=503)
    stop.set()
    assert unavailable(oauth.refresh("1//SECRET"))
    assert waits == []


def test_a_grant_is_revoked_by_a_form_and_not_in_the_address(
    oauth: GoogleOAuth, google: responses.RequestsMock
) -> None:
    google.post(REVOKE_URL, status=503)
    google.post(REVOKE_URL, status=200)
    assert oauth.revoke("1//SECRET") is RevokeAnswer.REVOKED
    assert forms(google) == [{"token": "1//SECRET"}] * 2
    assert all(call.request.url == REVOKE_URL for call in google.calls)


def test_what_a_refusal_repeats_of_our_request_is_struck_out(
    oauth: GoogleOAuth, google: responses.RequestsMock, stop: threading.Event
) -> None:
    stop.set()
    google.post(TOKEN_URL, status=400, body=failure("code_of_ana"))
    assert oauth.exchange("code_of_ana", "verifier-1") == TokenServerUnavailable("HTTP 400")


@pytest.mark.parametrize("failure", [NotSentError("cut"), NoReplyError("cut")], ids=["not sent", "no reply"])
def test_a_request_without_a_reply_may_have_arrived_and_says_nothing_of_the_grant(
    oauth: GoogleOAuth, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    sent: list[str] = []

    def cut(_transport: Transport, _method: str, url: str, **_request: Any) -> Reply:
        sent.append(url)
        raise failure

    monkeypatch.setattr(Transport, "send", cut)
    arrived = isinstance(failure, NoReplyError)
    assert oauth.exchange("4/code", "verifier-1") == TokenServerUnavailable("cut", sent=arrived)
    assert len(sent) == (1 if arrived else 3)
    assert oauth.refresh("1//SECRET") == TokenServerUnavailable("cut", sent=arrived)
    assert oauth.revoke("1//SECRET") is RevokeAnswer.UNAVAILABLE


def test_no_secret_is_logged_even_at_debug(
    oauth: GoogleOAuth, google: responses.RequestsMock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    google.post(TOKEN_URL, json=GRANTED)
    google.post(REVOKE_URL, status=200)
    oauth.authorize_url("state-SECRET", "challenge", [EVENTS])
    oauth.exchange("4/SECRET", "verifier-SECRET")
    oauth.revoke("1//SECRET")
    assert "SECRET" not in caplog.text
    for name in ("requests_oauthlib", "requests_oauthlib.oauth2_session", "oauthlib"):
        assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)
