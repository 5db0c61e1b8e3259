"""Connecting, renewing and disconnecting against every answer that Google's documentation and its users tell of.

The whole app runs in this process over a real database; Google is mocked, so that each request can be read exactly.
"""

import base64
import hashlib
import json
import logging
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import jwt
import psycopg
import pytest
import requests
import responses
from falcon.testing import Result, TestClient
from pydantic import SecretStr
from structlog.testing import capture_logs

from outbox.crypto import generate_key
from web.app import App, create_app
from web.return_to import PAGE
from web.settings import WebSettings

API = "/api/v1/integrations/google-calendar"
JWT_KEY = "a key that the host app and these tests share"
COOKIE = "__Host-calendar_sync_connect"
REDIRECT_URI = f"https://app.example.com{API}/callback"

AUTHORIZE_URL = "https://accounts.example.com/o/oauth2/v2/auth"
TOKEN_URL = "https://oauth2.example.com/token"
REVOKE_URL = "https://oauth2.example.com/revoke"
CALENDAR_URL = "https://calendar.example.com/calendar/v3"
LIST = f"{CALENDAR_URL}/users/me/calendarList"

EVENTS = "https://www.googleapis.com/auth/calendar.events"
READ = "https://www.googleapis.com/auth/calendar.readonly"
CODE, ACCESS, REFRESH = "4/0SECRETcode", "ya29.SECRETaccess", "1//SECRETrefresh"
CLIENT_SECRET = "SECRET&client"
TOKENS: dict[str, Any] = {
    "access_token": ACCESS,
    "refresh_token": REFRESH,
    "expires_in": 3599,
    "token_type": "Bearer",
    "scope": f"{READ} {EVENTS}",
}
ANA = "ana@example.com"
PRIMARY = {"id": ANA, "summary": ANA, "primary": True, "accessRole": "owner"}


def api_error(code: int, reason: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": "no", "errors": [{"reason": reason, "domain": "global"}]}}


class Office:
    """One user at one browser, and what the database holds of the user."""

    def __init__(self, app: App, database_url: str) -> None:
        self.app = app
        self._database_url = database_url
        self._client = TestClient(app)
        claims = {"sub": "u_ana", "tenant_id": "acme", "exp": int(time.time()) + 3600}
        self._session = {"Authorization": f"Bearer {jwt.encode(claims, JWT_KEY, algorithm='HS256')}"}

    def ask(self, method: str, path: str = "", body: object = None) -> Result:
        return self._client.simulate_request(method, f"{API}{path}", headers=self._session, json=body)

    def start(self, **body: object) -> tuple[dict[str, str], str]:
        """Set out; the parameters that Google is given, and the cookie."""
        answer = self.ask("POST", "/connect", body)
        assert answer.status_code == 200, answer.text
        address = answer.json["authorize_url"]
        assert address.startswith(f"{AUTHORIZE_URL}?")
        return dict(parse_qsl(urlsplit(address).query, strict_parsing=True)), answer.cookies[COOKIE].value

    def come_back(self, cookie: str, **parameters: str) -> str:
        """Google's redirect; where the browser is sent."""
        answer = self._client.simulate_get(
            f"{API}/callback", params=parameters, headers={"Cookie": f"{COOKIE}={cookie}", **self._session}
        )
        assert answer.status_code == 302
        assert answer.text == ""
        return str(answer.headers["Location"])

    def connect(self) -> str:
        """Set out and come back with a code."""
        asked, cookie = self.start()
        return self.come_back(cookie, state=asked["state"], code=CODE)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._database_url) as connection:
            return connection.execute(query.encode()).fetchall()

    def connections(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT * FROM calendar_sync.calendar_connection")

    def outcomes(self) -> list[Any]:
        return [row[0] for row in self.rows("SELECT outcome FROM calendar_sync.consent_attempt ORDER BY created_at")]

    def expire_access_token(self) -> None:
        with psycopg.connect(self._database_url) as connection:
            connection.execute("UPDATE calendar_sync.calendar_connection SET access_token_expires_at = now()")


@pytest.fixture
def google() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def office(database_url: str, google: responses.RequestsMock) -> Iterator[Office]:
    settings = WebSettings(
        database_url=database_url,
        google_oauth_client_id="client-1",
        google_oauth_client_secret=SecretStr(CLIENT_SECRET),
        google_oauth_redirect_uri=REDIRECT_URI,
        google_authorize_url=AUTHORIZE_URL,
        google_token_url=TOKEN_URL,
        google_revoke_url=REVOKE_URL,
        google_calendar_url=CALENDAR_URL,
        token_encryption_keys=SecretStr(f"test:{generate_key()}"),
        auth_jwt_key=SecretStr(JWT_KEY),
        public_base_url="https://app.example.com",
    )
    app = create_app(settings)
    app.services.stop.set()  # nobody waits to try again
    yield Office(app, database_url)
    app.close()


@pytest.fixture
def connected(office: Office, google: responses.RequestsMock) -> Office:
    """Ana is connected and has chosen her primary calendar; Google is left without a word to say."""
    google.post(TOKEN_URL, json=TOKENS)
    google.get(f"{LIST}/primary", json=PRIMARY)
    google.get(f"{LIST}/{ANA.replace('@', '%40')}", json=PRIMARY)
    assert office.connect() == f"{PAGE}?connected=1"
    assert office.ask("PATCH", "", {"calendar_id": ANA}).json["state"] == "active"
    google.reset()
    return office


def forms(google: responses.RequestsMock, url: str) -> list[dict[str, str]]:
    """The forms that were posted there."""
    bodies = [call.request.body for call in google.calls if call.request.url == url]
    return [
        dict(parse_qsl(body.decode() if isinstance(body, bytes) else str(body), strict_parsing=True)) for body in bodies
    ]


def test_google_is_asked_for_offline_access_to_an_account_of_the_users_choice(office: Office) -> None:
    asked, cookie = office.start()
    assert {name: value for name, value in asked.items() if name not in ("state", "code_challenge")} == {
        "response_type": "code",
        "client_id": "client-1",
        "redirect_uri": REDIRECT_URI,
        "scope": f"{EVENTS} {READ}",
        "access_type": "offline",
        "prompt": "select_account consent",
        "code_challenge_method": "S256",
    }
    assert len(asked["state"]) == len(asked["code_challenge"]) == len(cookie) == 43


def test_nothing_of_an_attempt_is_stored_in_the_clear(office: Office) -> None:
    asked, cookie = office.start()
    [row] = office.rows("SELECT * FROM calendar_sync.consent_attempt")
    stored = b"|".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
    assert asked["state"].encode() not in stored
    assert cookie.encode() not in stored
    assert hashlib.sha256(asked["state"].encode()).digest() in stored
    assert hashlib.sha256(cookie.encode()).digest() in stored


def test_the_code_is_exchanged_with_the_verifier_of_the_challenge(
    office: Office, google: responses.RequestsMock
) -> None:
    google.post(TOKEN_URL, json=TOKENS)
    google.get(f"{LIST}/primary", json=PRIMARY)
    asked, cookie = office.start(return_to="/jobs?tab=2")
    assert office.come_back(cookie, state=asked["state"], code=CODE) == "/jobs?tab=2&connected=1"
    [form] = forms(google, TOKEN_URL)
    verifier = form.pop("code_verifier")
    assert form == {
        "grant_type": "authorization_code",
        "code": CODE,
        "redirect_uri": REDIRECT_URI,
        "client_id": "client-1",
        "client_secret": CLIENT_SECRET,
    }
    digest = hashlib.sha256(verifier.encode()).digest()
    assert asked["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    connection = office.ask("GET").json
    assert (connection["state"], connection["account_email"]) == ("choose_calendar", ANA)
    assert set(connection["scopes"]) == {EVENTS, READ}
    assert office.outcomes() == ["connected"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("access_denied", "access_denied"),
        ("admin_policy_enforced", "blocked_by_admin"),
        ("access_not_configured", "blocked_by_admin"),
        ("disallowed_useragent", "google_refused"),
        ("org_internal", "org_internal"),
        ("invalid_client", "not_configured"),
        ("deleted_client", "not_configured"),
        ("redirect_uri_mismatch", "not_configured"),
        ("invalid_grant", "google_refused"),
        ("invalid_request", "not_configured"),
        ("<b>", "google_refused"),
    ],
)
def test_every_refusal_of_the_consent_page_uses_the_attempt_up(
    office: Office, google: responses.RequestsMock, error: str, code: str
) -> None:
    asked, cookie = office.start()
    assert office.come_back(cookie, state=asked["state"], error=error, code=CODE) == f"{PAGE}?error={code}"
    assert office.come_back(cookie, state=asked["state"], code=CODE) == f"{PAGE}?error={code}"
    assert len(google.calls) == 0
    assert office.connections() == []
    assert office.outcomes() == [code]


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"error": "invalid_grant", "error_description": "Bad Request"}, "code_refused"),
        (400, {"error": "invalid_grant", "error_description": "Code was already redeemed."}, "code_refused"),
        (400, {"error": "invalid_grant", "error_description": "Invalid code verifier."}, "code_refused"),
        (400, {"error": "invalid_grant", "error_description": "Account has been deleted"}, "code_refused"),
        (400, {"error": "invalid_grant", "error_subtype": "invalid_rapt"}, "code_refused"),
        (400, {"error": "admin_policy_enforced"}, "blocked_by_admin"),
        (400, {"error": "invalid_request", "error_description": f"Bad code {CODE}"}, "not_configured"),
        (400, {"error": "redirect_uri_mismatch"}, "not_configured"),
        (400, {"error": "unsupported_grant_type"}, "not_configured"),
        (400, {"error": "invalid_scope"}, "not_configured"),
        (401, {"error": "invalid_client", "error_description": "The OAuth client was not found."}, "not_configured"),
        (401, {"error": "deleted_client"}, "not_configured"),
        (401, {"error": "unauthorized_client"}, "not_configured"),
        (429, {"error": "rate_limited"}, "google_unavailable"),
        (500, {"error": "internal_failure"}, "google_unavailable"),
        (502, "<html>Bad Gateway</html>", "google_unavailable"),
        (503, "", "google_unavailable"),
        (400, "<html>", "google_unavailable"),
        (200, "<html>", "google_unavailable"),
        (200, {"access_token": ACCESS}, "google_unavailable"),
        (200, TOKENS | {"scope": EVENTS}, "missing_scope"),
        (200, TOKENS | {"scope": READ}, "missing_scope"),
        (200, TOKENS | {"scope": "openid"}, "missing_scope"),
        (200, {name: value for name, value in TOKENS.items() if name != "refresh_token"}, "no_refresh_token"),
        (200, TOKENS | {"refresh_token": ""}, "no_refresh_token"),
    ],
)
def test_every_refusal_of_the_exchange_is_explained_and_nothing_is_kept(
    office: Office, google: responses.RequestsMock, status: int, body: Any, code: str
) -> None:
    google.post(TOKEN_URL, body=body if isinstance(body, str) else json.dumps(body), status=status)
    with capture_logs() as logs:
        assert office.connect() == f"{PAGE}?error={code}"
    assert len(google.calls) == 1  # neither repeated nor revoked
    assert office.connections() == []
    assert office.outcomes() == [code]
    assert "SECRET" not in json.dumps(logs, default=str)


@pytest.mark.parametrize("failure", [requests.ReadTimeout(CODE), requests.ConnectionError(CODE), OSError(CODE)])
def test_a_token_server_that_cannot_be_reached_is_said_to_be_silent(
    office: Office, google: responses.RequestsMock, failure: Exception
) -> None:
    google.post(TOKEN_URL, body=failure)
    with capture_logs() as logs:
        assert office.connect() == f"{PAGE}?error=google_unavailable"
    assert office.connections() == []
    assert "SECRET" not in json.dumps(logs, default=str)


@pytest.mark.parametrize(
    "granted",
    [
        "https://www.googleapis.com/auth/calendar",
        f"{EVENTS}.owned {READ}",
        f"{EVENTS} https://www.googleapis.com/auth/calendar.calendarlist",
        f"{EVENTS} https://www.googleapis.com/auth/calendar.calendarlist.readonly",
        f"openid {READ} {EVENTS}",
    ],
)
def test_every_set_of_scopes_that_is_enough_will_do(
    office: Office, google: responses.RequestsMock, granted: str
) -> None:
    google.post(TOKEN_URL, json=TOKENS | {"scope": granted})
    google.get(f"{LIST}/primary", json=PRIMARY)
    assert office.connect() == f"{PAGE}?connected=1"
    assert set(office.ask("GET").json["scopes"]) == set(granted.split())


def test_an_answer_without_scopes_grants_what_was_asked_for(office: Office, google: responses.RequestsMock) -> None:
    google.post(TOKEN_URL, json={name: value for name, value in TOKENS.items() if name != "scope"})
    google.get(f"{LIST}/primary", json=PRIMARY)
    assert office.connect() == f"{PAGE}?connected=1"
    assert set(office.ask("GET").json["scopes"]) == {EVENTS, READ}


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, api_error(401, "authError"), "grant_ended"),
        (403, api_error(403, "insufficientPermissions"), "missing_scope"),
        (403, api_error(403, "accessNotConfigured"), "not_configured"),
        (403, api_error(403, "notACalendarUser"), "no_calendar"),
        (403, api_error(403, "forbidden"), "google_refused"),
        (403, api_error(403, "rateLimitExceeded"), "google_unavailable"),
        (404, api_error(404, "notFound"), "no_calendar"),
        (500, api_error(500, "backendError"), "google_unavailable"),
        (502, "<html>", "google_unavailable"),
        (200, "<html>", "google_unavailable"),
        (200, {"id": "\x00"}, "google_unavailable"),
    ],
)
def test_an_account_that_cannot_be_read_is_not_connected(
    office: Office, google: responses.RequestsMock, status: int, body: Any, code: str
) -> None:
    google.post(TOKEN_URL, json=TOKENS)
    google.get(f"{LIST}/primary", body=body if isinstance(body, str) else json.dumps(body), status=status)
    assert office.connect() == f"{PAGE}?error={code}"
    assert office.connections() == []


def test_a_grant_that_ended_before_it_was_kept_is_not_kept(office: Office, google: responses.RequestsMock) -> None:
    google.post(TOKEN_URL, json=TOKENS)
    google.get(f"{LIST}/primary", json=PRIMARY)
    google.get(f"{LIST}/primary", json=api_error(401, "authError"), status=401)
    assert office.connect() == f"{PAGE}?error=grant_ended"
    assert office.connections() == []


def test_a_silence_at_the_last_look_does_not_cost_the_grant(office: Office, google: responses.RequestsMock) -> None:
    google.post(TOKEN_URL, json=TOKENS)
    google.get(f"{LIST}/primary", json=PRIMARY)
    google.get(f"{LIST}/primary", status=503)
    assert office.connect() == f"{PAGE}?connected=1"


@pytest.mark.parametrize("scope", [EVENTS, READ])
def test_an_unticked_box_leaves_a_working_connection_as_it_is(
    connected: Office, google: responses.RequestsMock, scope: str
) -> None:
    before = connected.connections()
    google.post(TOKEN_URL, json=TOKENS | {"scope": scope})
    assert connected.connect() == f"{PAGE}?error=missing_scope"
    assert connected.connections() == before
    assert [call.request.url for call in google.calls] == [TOKEN_URL]  # above all: nothing was revoked


def test_whatever_breaks_after_the_exchange_a_person_gets_a_page(
    office: Office, google: responses.RequestsMock
) -> None:
    google.post(TOKEN_URL, json=TOKENS)
    google.get(f"{LIST}/primary", body=RuntimeError(f"{ACCESS} {CODE}"))
    with capture_logs() as logs:
        assert office.connect() == f"{PAGE}?error=internal_error"
    assert office.outcomes() == ["internal_error"]
    [entry] = [entry for entry in logs if entry["event"] == "consent_failed"]
    assert "RuntimeError" in entry["traceback"]
    assert "SECRET" not in json.dumps(logs, default=str)


def test_no_secret_reaches_a_log_on_the_way(
    office: Office, google: responses.RequestsMock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    google.post(TOKEN_URL, json=TOKENS)
    google.get(f"{LIST}/primary", json=PRIMARY)
    with capture_logs() as logs:
        asked, cookie = office.start()
        office.come_back(cookie, state=asked["state"], code=CODE)
    told = json.dumps(logs, default=str) + caplog.text
    for secret in ("SECRET", asked["state"], asked["code_challenge"], cookie):
        assert secret not in told


def test_an_expired_token_is_renewed_once_and_kept(connected: Office, google: responses.RequestsMock) -> None:
    connected.expire_access_token()
    google.post(TOKEN_URL, json={"access_token": "ya29.SECRETnew", "expires_in": 3599, "token_type": "Bearer"})
    google.get(LIST, json={"items": [PRIMARY]})
    for _ in range(2):
        assert connected.ask("GET", "/calendars").status_code == 200
    assert forms(google, TOKEN_URL) == [
        {
            "grant_type": "refresh_token",
            "refresh_token": REFRESH,
            "client_id": "client-1",
            "client_secret": CLIENT_SECRET,
        }
    ]
    asked = [call.request.headers["Authorization"] for call in google.calls if call.request.method == "GET"]
    assert asked == ["Bearer ya29.SECRETnew"] * 2


def test_a_token_that_google_does_not_take_is_renewed_once(connected: Office, google: responses.RequestsMock) -> None:
    google.get(LIST, json=api_error(401, "authError"), status=401)
    google.post(TOKEN_URL, json={"access_token": "ya29.SECRETnew", "expires_in": 3599})
    google.get(LIST, json={"items": [PRIMARY]})
    assert connected.ask("GET", "/calendars").status_code == 200
    assert [call.request.method for call in google.calls] == ["GET", "POST", "GET"]


def test_a_fresh_token_that_is_not_taken_either_needs_a_reconnect(
    connected: Office, google: responses.RequestsMock
) -> None:
    google.get(LIST, json=api_error(401, "authError"), status=401)
    google.post(TOKEN_URL, json={"access_token": "ya29.SECRETnew", "expires_in": 3599})
    assert problem(connected.ask("GET", "/calendars")) == (409, "reconnect_needed")
    assert broken(connected) == ("needs_reconnect", "revoked")


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"error": "invalid_grant", "error_description": "Token has been expired or revoked."}, 400, "revoked"),
        ({"error": "invalid_grant", "error_description": "Bad Request"}, 400, "revoked"),
        ({"error": "invalid_grant", "error_subtype": "invalid_rapt", "error_uri": "x"}, 400, "revoked"),
        ({"error": "invalid_grant", "error_description": "Account has been deleted"}, 400, "revoked"),
        ({"error": "unauthorized_client"}, 401, "revoked"),
        ({"error": "admin_policy_enforced"}, 400, "blocked_by_admin"),
        ({"error": "internal_failure"}, 500, None),
        ("<html>Bad Gateway</html>", 502, None),
        ("", 429, None),
        (requests.ReadTimeout(), 0, None),
    ],
)
def test_every_refusal_of_the_renewal_is_told_from_a_dead_grant(
    connected: Office, google: responses.RequestsMock, body: Any, status: int, reason: str | None
) -> None:
    connected.expire_access_token()
    google.post(TOKEN_URL, body=json.dumps(body) if isinstance(body, dict) else body, status=status)
    answer = connected.ask("GET", "/calendars")
    assert problem(answer) == ((503, "google_unavailable") if reason is None else (409, "reconnect_needed"))
    assert broken(connected) == (("active", None) if reason is None else ("needs_reconnect", reason))
    assert ("Retry-After" in answer.headers) is (reason is None)


@pytest.mark.parametrize(
    ("body", "status"),
    [({"error": "invalid_client"}, 401), ({"error": "deleted_client"}, 401), ({"error": "invalid_request"}, 400)],
)
def test_an_operators_fault_is_told_as_one_and_costs_nobody_a_connection(
    connected: Office, google: responses.RequestsMock, body: Any, status: int
) -> None:
    connected.expire_access_token()
    google.post(TOKEN_URL, json=body, status=status)
    with capture_logs() as logs:
        answer = connected.ask("GET", "/calendars")
    assert problem(answer) == (503, "not_configured")
    assert "administrator" in answer.json["detail"]
    assert broken(connected) == ("active", None)
    told = [entry["reason"] for entry in logs if entry["event"] == "operator_needed"]
    assert told == [f"Google's token server refuses our client: {body['error']}"]


def test_an_api_that_is_not_enabled_is_the_operators_fault(connected: Office, google: responses.RequestsMock) -> None:
    google.get(LIST, json=api_error(403, "accessNotConfigured"), status=403)
    assert problem(connected.ask("GET", "/calendars")) == (503, "not_configured")


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [
        (404, "notFound", (404, "unknown_calendar")),
        (410, "deleted", (404, "unknown_calendar")),
        (400, "invalid", (404, "unknown_calendar")),
        (403, "forbidden", (422, "calendar_refused")),
        (403, "requiredAccessLevel", (422, "calendar_refused")),
        (451, "somethingElse", (422, "calendar_refused")),
        (403, "accessNotConfigured", (503, "not_configured")),
        (403, "notACalendarUser", (422, "no_calendar")),
        (403, "rateLimitExceeded", (503, "google_unavailable")),
        (500, "backendError", (503, "google_unavailable")),
    ],
)
def test_every_refusal_of_a_chosen_calendar_is_told_as_what_it_is(
    connected: Office, google: responses.RequestsMock, status: int, reason: str, code: tuple[int, str]
) -> None:
    google.get(f"{LIST}/other%40example.com", json=api_error(status, reason), status=status)
    assert problem(connected.ask("PATCH", "", {"calendar_id": "other@example.com"})) == code


def test_a_reconnect_is_for_the_account_that_was_connected(connected: Office, google: responses.RequestsMock) -> None:
    connected.expire_access_token()
    google.post(TOKEN_URL, json={"error": "invalid_grant"}, status=400)
    connected.ask("GET", "/calendars")
    asked, _ = connected.start()
    assert (asked["login_hint"], asked["prompt"]) == (ANA, "consent")
    other, _ = connected.start(other_account=True)
    assert "login_hint" not in other
    assert other["prompt"] == "select_account consent"


@pytest.mark.parametrize(
    ("status", "body", "revocation"),
    [
        (200, "{}", "revoked"),
        (400, json.dumps({"error": "invalid_token", "error_description": "Token expired or revoked"}), "dead"),
        (400, json.dumps({"error": "invalid_request"}), "refused"),
        (500, "", "unanswered"),
        (502, "<html>", "unanswered"),
        (0, requests.ReadTimeout(), "unanswered"),
        (0, requests.ConnectionError(), "unanswered"),
    ],
)
def test_a_disconnect_clears_the_tokens_whatever_google_says(
    connected: Office, google: responses.RequestsMock, status: int, body: Any, revocation: str
) -> None:
    google.post(REVOKE_URL, body=body, status=status)
    answer = connected.ask("POST", "/disconnect", {"remove_events": False})
    assert answer.status_code == 200
    assert (answer.json["state"], answer.json["revocation"]) == ("not_connected", revocation)
    assert forms(google, REVOKE_URL)[:1] == [{"token": REFRESH}]
    tokens = "SELECT refresh_token, access_token FROM calendar_sync.calendar_connection"
    assert connected.rows(tokens) == [(None, None)]


def problem(answer: Result) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json["type"].rpartition(":")[2]


def broken(office: Office) -> tuple[str, str | None]:
    connection = office.ask("GET").json
    return connection["state"], connection["reconnect_reason"]


def test_the_address_of_the_consent_page_is_all_that_a_start_tells(office: Office) -> None:
    answer = office.ask("POST", "/connect", {})
    assert list(answer.json) == ["authorize_url"]
    cookie = answer.cookies[COOKIE]
    assert (cookie.http_only, cookie.secure, cookie.path, cookie.same_site) == (True, True, "/", "Lax")
    assert cookie.domain is None
    assert cookie.max_age == 600
    assert cookie.value not in parse_qs(urlsplit(answer.json["authorize_url"]).query)["state"]
