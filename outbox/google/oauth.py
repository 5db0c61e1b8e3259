"""Google's OAuth: the address of the consent page, tokens for a code, fresh tokens, the end of a grant.

The token endpoint is called by plain HTTP: oauthlib would lose `error_subtype`, take a 502 page for a dead grant, and
raise when a user ticks fewer boxes than we offered.
"""

import json
import logging
import re
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from time import monotonic
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from requests_oauthlib import OAuth2Session
from tenacity import sleep_using_event

from outbox.google.client import repeat
from outbox.google.deadline import NoReplyError, NotSentError, Transport

# At DEBUG these print tokens, codes and the client's secret.
for _name in ("requests_oauthlib", "oauthlib"):
    logging.getLogger(_name).setLevel(logging.INFO)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a grant gives; the repr shows no token."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    """None: Google gave no new one, the stored one stays good."""
    expires_in: float
    """Seconds."""
    scopes: frozenset[str]
    """What was really granted; empty if the answer did not say (then nothing has changed, RFC 6749 section 5.1)."""


@dataclass(frozen=True, slots=True)
class GrantRefused:
    """The user's grant, or this code, is dead: only a new consent helps."""

    reason: Literal["revoked", "blocked_by_admin"]
    error: str
    error_subtype: str = ""


@dataclass(frozen=True, slots=True)
class ClientMisconfigured:
    """Google does not accept us: the operator's matter. No user's grant is in question."""

    error: str


@dataclass(frozen=True, slots=True)
class TokenServerUnavailable:
    """Nothing is known of the grant; ask again later."""

    detail: str
    sent: bool = True
    """Whether the request may have arrived: a code can be redeemed only once."""
    unknown_error: str = ""
    """An error of Google's that we do not know: of this one grant, as far as anybody can tell."""


TokenAnswer = Tokens | GrantRefused | ClientMisconfigured | TokenServerUnavailable


class RevokeAnswer(Enum):
    """How a revocation ended."""

    REVOKED = "revoked"
    ENDED = "ended"
    """It was gone before."""
    REFUSED = "refused"
    """Google will not, however often it is asked."""
    UNAVAILABLE = "unavailable"


_REFUSED: Mapping[str, Literal["revoked", "blocked_by_admin"]] = {
    "invalid_grant": "revoked",
    "unauthorized_client": "revoked",  # the token belongs to another client id, as after a move
    "admin_policy_enforced": "blocked_by_admin",
}

_ERROR_CODE = re.compile(r"[a-z_]{1,64}")

_OURS = frozenset(
    {
        "invalid_client",
        "deleted_client",
        "disabled_client",
        "restricted_client",
        "org_internal",
        "redirect_uri_mismatch",
        "unsupported_grant_type",
        "invalid_request",
        "invalid_scope",
    }
)


def read_token_answer(status: int, body: bytes) -> TokenAnswer:
    """Say what an answer of the token endpoint means. Decided by `error`, never by its description.

    What is not understood is TokenServerUnavailable: an answer nobody knows must cost no user his connection.
    """
    payload = _object(body)
    if status == 200:
        return _read_tokens(payload)
    error = _error_code(payload.get("error"))
    if status == 429 or not 400 <= status < 500:
        return TokenServerUnavailable(f"HTTP {status}")
    if error in _REFUSED:
        return GrantRefused(_REFUSED[error], error, _error_code(payload.get("error_subtype")))
    if error in _OURS:
        return ClientMisconfigured(error)
    return TokenServerUnavailable(f"HTTP {status} {error}".rstrip(), unknown_error=error)


def read_revoke_answer(status: int, body: bytes) -> RevokeAnswer:
    """Say what an answer of the revoke endpoint means."""
    if status == 200:
        return RevokeAnswer.REVOKED
    if status == 400 and _object(body).get("error") == "invalid_token":
        return RevokeAnswer.ENDED
    return RevokeAnswer.REFUSED if 400 <= status < 500 and status not in (408, 429) else RevokeAnswer.UNAVAILABLE


class GoogleOAuth:
    """Our client at Google's OAuth. Threads may share it."""

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        redirect_uri: str,
        *,
        authorize_url: str,
        token_url: str,
        revoke_url: str,
        stop: threading.Event,
        request_timeout: float = 10.0,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        """`request_timeout`: seconds in all for one HTTP request. `stop` ends the waits between tries; `sleep` is for
        tests.
        """
        self._client_id = client_id
        self._client_secret = client_secret
        self._redirect_uri = redirect_uri
        self._authorize_url = authorize_url
        self._token_url = token_url
        self._revoke_url = revoke_url
        self._stop = stop
        self._request_timeout = request_timeout
        self._sleep = sleep or sleep_using_event(stop)
        self._transport = Transport(user_agent="google-calendar-sync")

    def authorize_url(
        self, state: str, code_challenge: str, scopes: Collection[str], login_hint: str | None = None
    ) -> str:
        """The consent page's address. `code_challenge`: PKCE, S256 of the verifier.

        Consent is always asked for, because only then does Google give a refresh token. Without a hint the user chooses
        among his accounts, also where he is signed in to one alone. Grants of other clients are not mixed in.
        """
        endpoint = urlsplit(self._authorize_url)
        with OAuth2Session(self._client_id, redirect_uri=self._redirect_uri, scope=list(scopes)) as session:
            # oauthlib builds https addresses only; the local stand-in for Google has none.
            address, _ = session.authorization_url(
                endpoint._replace(scheme="https").geturl(),
                state=state,
                access_type="offline",
                prompt="consent" if login_hint else "select_account consent",
                code_challenge=code_challenge,
                code_challenge_method="S256",
                login_hint=login_hint,
            )
        return urlsplit(address)._replace(scheme=endpoint.scheme).geturl()

    def exchange(self, code: str, code_verifier: str) -> TokenAnswer:
        """Redeem a code. It is sent once only, because a second use is refused as if the user had withdrawn."""
        return self._token(
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": self._redirect_uri,
                "code_verifier": code_verifier,
            },
            worth=lambda answer: isinstance(answer, TokenServerUnavailable) and not answer.sent,
        )

    def refresh(self, refresh_token: str) -> TokenAnswer:
        """Get a fresh access token; Google keeps the refresh token as it is, so that repeats are harmless."""
        return self._token(
            {"grant_type": "refresh_token", "refresh_token": refresh_token},
            worth=lambda answer: isinstance(answer, TokenServerUnavailable),
        )

    def revoke(self, token: str) -> RevokeAnswer:
        """End the whole grant behind an access or refresh token: every token of this Google account, for all our
        clients, dies with it.
        """

        def once() -> RevokeAnswer:
            try:
                return read_revoke_answer(*self._post(self._revoke_url, {"token": token}))
            except (NotSentError, NoReplyError):
                return RevokeAnswer.UNAVAILABLE

        return repeat(
            once, worth=lambda answer: answer is RevokeAnswer.UNAVAILABLE, stop=self._stop, sleep=self._sleep
        )[-1]

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def _token(self, form: dict[str, str], *, worth: Callable[[TokenAnswer], bool]) -> TokenAnswer:
        client = {"client_id": self._client_id, "client_secret": self._client_secret}

        def once() -> TokenAnswer:
            try:
                return read_token_answer(*self._post(self._token_url, form | client))
            except NotSentError as failure:
                return TokenServerUnavailable(str(failure), sent=False)
            except NoReplyError as failure:
                return TokenServerUnavailable(str(failure))

        return repeat(once, worth=worth, stop=self._stop, sleep=self._sleep)[-1]

    def _post(self, url: str, form: dict[str, str]) -> tuple[int, bytes]:
        reply = self._transport.send(
            "POST",
            url,
            headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            body=urlencode(form).encode(),
            deadline=monotonic() + self._request_timeout,
        )
        # Nothing of a refusal may repeat to a log what we sent, whoever wrote the refusal.
        body = reply.body
        if reply.status >= 300:
            for value in form.values():
                body = body.replace(value.encode(), b"[secret]")
        return reply.status, body


def _read_tokens(payload: Mapping[str, Any]) -> TokenAnswer:
    access_token, refresh_token = _word(payload.get("access_token")), _word(payload.get("refresh_token"))
    expires_in, scope = payload.get("expires_in"), payload.get("scope", "")
    if not access_token:
        return TokenServerUnavailable("a success without an access token")
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float) or not 0 < expires_in < 1e9:
        return TokenServerUnavailable("a success without expires_in")
    scopes = frozenset(scope.split()) if isinstance(scope, str) else frozenset()
    return Tokens(access_token, refresh_token or None, float(expires_in), scopes)


def _error_code(value: Any) -> str:
    """An error code as OAuth spells them, or ""; nothing else of an answer is repeated to anybody."""
    return value if isinstance(value, str) and _ERROR_CODE.fullmatch(value) else ""


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def _word(value: Any) -> str:
    """A printable ASCII word of bearable length, or ""; nothing else can be a token or an error code."""
    fits = isinstance(value, str) and len(value) <= 4096 and value.isascii() and value.isprintable()
    return value if fits else ""
