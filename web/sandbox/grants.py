"""OAuth 2.0 in memory: authorization codes, tokens, and the one grant an account gives the project. Not thread-safe."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from web.sandbox.authorization import AuthorizationRequest
from web.sandbox.calendars import Clock
from web.sandbox.errors import OAuthError
from web.sandbox.identity import id_token
from web.sandbox.scopes import granted_names

CODE_LIFE = timedelta(minutes=10)
"""How long an authorization code can be exchanged."""

USER_TOKEN_LIFE = timedelta(days=365)
"""How long a token lives that speaks for the user himself: longer than any run."""

REFRESH_TOKENS_PER_ACCOUNT = 100
"""Live refresh tokens of one account and client; beyond it the oldest silently dies."""

Form = Mapping[str, str]
"""A posted form, one value per name."""


class Bearer(Enum):
    """Whom an access token speaks for: the project that was granted access, or the user working in Google himself."""

    PROJECT = "project"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Client:
    """The registered OAuth client. Without `redirect_uris` any loopback address may be redirected to."""

    id: str = "sandbox-client"
    secret: str = field(default="sandbox-secret", repr=False)
    redirect_uris: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What an access token allows, and until when."""

    account: str
    scopes: tuple[str, ...]
    expires: datetime
    bearer: Bearer = Bearer.PROJECT


@dataclass(slots=True)
class _Code:
    account: str
    request: AuthorizationRequest
    scopes: tuple[str, ...]
    expires: datetime
    gives_refresh_token: bool
    redeemed: bool = False


@dataclass(frozen=True, slots=True)
class _RefreshToken:
    account: str
    scopes: tuple[str, ...]


class Grants:
    """The authorization server's state. Refusals of the token and revoke endpoints are OAuthError."""

    def __init__(self, clock: Clock, client: Client, access_token_life: timedelta = timedelta(seconds=3599)) -> None:
        self.client = client
        self._clock = clock
        self._life = access_token_life
        self._codes: dict[str, _Code] = {}
        self._access: dict[str, AccessToken] = {}
        self._refresh: dict[str, _RefreshToken] = {}
        self._granted: dict[str, set[str]] = {}

    def needs_consent(self, request: AuthorizationRequest, account: str) -> bool:
        """Whether the account must be asked: it was told to, or has not granted all of this to the project."""
        wanted = set(granted_names(request.scopes))
        return "consent" in request.prompts or not wanted <= self._granted.get(account, set())

    def approve(self, request: AuthorizationRequest, account: str, scopes: tuple[str, ...], *, consented: bool) -> str:
        """Grant `scopes` and answer the single-use code; `consented` tells that the account was asked just now."""
        code = f"4/{secrets.token_urlsafe(48)}"
        granted = granted_names(scopes)
        self._granted.setdefault(account, set()).update(granted)
        gives_refresh_token = request.offline and consented
        self._codes[code] = _Code(account, request, granted, self._clock() + CODE_LIFE, gives_refresh_token)
        return code

    def token(self, form: Form, basic: tuple[str, str] | None = None) -> dict[str, object]:
        """The token endpoint: exchange a code or refresh. `basic` holds the client's id and secret where sent so."""
        self._check_client(form, basic)
        match form.get("grant_type"):
            case "authorization_code":
                return self._exchange(form)
            case "refresh_token":
                return self._renew(form)
            case None | "":
                raise OAuthError(400, "invalid_request", "Missing required parameter: grant_type")
            case other:
                raise OAuthError(400, "unsupported_grant_type", f"Invalid grant_type: {other}")

    def revoke(self, token: str) -> str:
        """The revoke endpoint: either kind of token ends everything the account granted; answers the account."""
        held = self._refresh.get(token) or self._access.get(token)
        if held is None:
            raise OAuthError(400, "invalid_token", "Token expired or revoked")
        self.revoke_account(held.account)
        return held.account

    def revoke_account(self, account: str) -> None:
        """End the project's whole grant on the account: consent, codes and every token."""
        self._granted.pop(account, None)
        self._refresh = {key: held for key, held in self._refresh.items() if held.account != account}
        self._codes = {key: held for key, held in self._codes.items() if held.account != account}
        self._access = {
            key: held for key, held in self._access.items() if held.account != account or held.bearer is Bearer.USER
        }

    def expire(self, account: str = "") -> int:
        """End the project's access tokens, of one account or of all, and say how many; refresh tokens live on."""
        ended = [
            key for key, held in self._access.items() if held.bearer is Bearer.PROJECT and account in {"", held.account}
        ]
        for key in ended:
            del self._access[key]
        return len(ended)

    def mint(self, account: str, scopes: tuple[str, ...], bearer: Bearer) -> str:
        """An access token without any flow; that of the user himself outlives expiry, revocation and the project."""
        token = f"ya29.{secrets.token_urlsafe(96)}"
        life = self._life if bearer is Bearer.PROJECT else USER_TOKEN_LIFE
        self._access[token] = AccessToken(account, scopes, self._clock() + life, bearer)
        return token

    def access(self, token: str) -> AccessToken | None:
        """What the token allows; None if it is unknown, expired or revoked."""
        held = self._access.get(token)
        return held if held is not None and held.expires > self._clock() else None

    def account_of(self, form: Form) -> str:
        """The account a token or revoke request is about, empty where it cannot be told."""
        code = self._codes.get(form.get("code", ""))
        token = form.get("refresh_token") or form.get("token") or ""
        held = code or self._refresh.get(token) or self._access.get(token)
        return held.account if held else ""

    def _check_client(self, form: Form, basic: tuple[str, str] | None) -> None:
        client_id, secret = basic or (form.get("client_id", ""), form.get("client_secret", ""))
        if not client_id:
            raise OAuthError(400, "invalid_request", "Could not determine client ID from request.")
        if client_id != self.client.id:
            raise OAuthError(401, "invalid_client", "The OAuth client was not found.")
        if not hmac.compare_digest(secret.encode(), self.client.secret.encode()):
            raise OAuthError(401, "invalid_client", "Unauthorized")

    def _exchange(self, form: Form) -> dict[str, object]:
        if not form.get("code"):
            raise OAuthError(400, "invalid_request", "Missing required parameter: code")
        code = self._codes.get(form["code"])
        if code is None:
            raise OAuthError(400, "invalid_grant", "Malformed auth code.")
        if code.redeemed:
            raise OAuthError(400, "invalid_grant", "Code was already redeemed.")
        if code.expires <= self._clock():
            raise OAuthError(400, "invalid_grant", "Bad Request")
        if form.get("redirect_uri", "") != code.request.redirect_uri:
            raise OAuthError(400, "redirect_uri_mismatch", "Bad Request")
        _check_verifier(code.request, form.get("code_verifier", ""))
        code.redeemed = True
        answer = self._answer(code.account, code.scopes, code.request.nonce)
        if code.gives_refresh_token:
            answer["refresh_token"] = self._new_refresh_token(code.account, code.scopes)
        return answer

    def _renew(self, form: Form) -> dict[str, object]:
        if not form.get("refresh_token"):
            raise OAuthError(400, "invalid_request", "Missing required parameter: refresh_token")
        held = self._refresh.get(form["refresh_token"])
        if held is None:
            raise OAuthError(400, "invalid_grant", "Token has been expired or revoked.")
        scopes = granted_names(form["scope"].split()) if form.get("scope") else held.scopes
        if not set(scopes) <= set(held.scopes):
            raise OAuthError(400, "invalid_scope", "Some requested scopes were not granted.")
        return self._answer(held.account, scopes)

    def _answer(self, account: str, scopes: tuple[str, ...], nonce: str = "") -> dict[str, object]:
        self._forget_expired()
        answer: dict[str, object] = {
            "access_token": self.mint(account, scopes, Bearer.PROJECT),
            "expires_in": int(self._life.total_seconds()),
            "scope": " ".join(scopes),
            "token_type": "Bearer",
        }
        if "openid" in scopes:
            answer["id_token"] = id_token(account, self.client.id, self.client.secret, self._clock(), nonce)
        return answer

    def _new_refresh_token(self, account: str, scopes: tuple[str, ...]) -> str:
        live = [key for key, held in self._refresh.items() if held.account == account]
        if len(live) >= REFRESH_TOKENS_PER_ACCOUNT:
            del self._refresh[live[0]]
        token = f"1//{secrets.token_urlsafe(64)}"
        self._refresh[token] = _RefreshToken(account, scopes)
        return token

    def _forget_expired(self) -> None:
        now = self._clock()
        self._access = {key: held for key, held in self._access.items() if held.expires > now}
        self._codes = {key: held for key, held in self._codes.items() if held.expires > now}


def _check_verifier(request: AuthorizationRequest, verifier: str) -> None:
    if not request.code_challenge:
        if verifier:
            raise OAuthError(400, "invalid_grant", "code_verifier or verifier is not needed")
        return
    if not verifier:
        raise OAuthError(400, "invalid_grant", "Missing code verifier.")
    made = verifier
    if request.code_challenge_method == "S256":
        made = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    if not hmac.compare_digest(made.encode(), request.code_challenge.encode()):
        raise OAuthError(400, "invalid_grant", "Invalid code verifier.")
