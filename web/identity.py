"""Who the caller is: the host app's JWT, and nothing else in a request, names tenant and user."""

import re
from collections.abc import Mapping
from typing import Any, Literal

import jwt

from outbox.google.deadline import Transport
from outbox.user import User
from web.keys import Algorithm, KeysUnavailableError, PublicKeys
from web.problem import Problem
from web.settings import WebSettings

TOKEN_BYTES = 8192
"""Of the longest token that is looked at."""

LEEWAY_SECONDS = 10
"""Between the host app's clock and ours."""

ID_CHARACTERS = 200
"""Of the longest tenant or user id, as in the outbox."""

USER_AGENT = "google-calendar-sync/0.1"

_COMPACT = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){2}")
_ASYMMETRIC: Mapping[str, Algorithm] = {"RS256": "RS256", "ES256": "ES256"}
_UNTRUSTED = (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, RecursionError)
"""What the library raises on tokens that somebody made up, beyond its own errors."""


class Identity:
    """Reads tokens with the one key, or key set, that is configured; the token has no say in how it is verified.

    Args:
        keys: in place of those behind the configured URL.
    """

    def __init__(self, settings: WebSettings, *, keys: PublicKeys | None = None) -> None:
        self._audience = settings.auth_jwt_audience
        self._issuer = settings.auth_jwt_issuer
        self._shared_key = settings.auth_jwt_key.get_secret_value() if settings.auth_jwt_key else None
        self._transport = Transport(user_agent=USER_AGENT)
        self._keys = keys
        if keys is None and settings.auth_jwks_url is not None:
            self._keys = PublicKeys(settings.auth_jwks_url, self._transport)

    def user_of(self, token: str) -> User:
        """The user whom a token names.

        Raises:
            Problem: 401 "unauthenticated": it is expired or not valid; 503 "keys_unavailable": nobody can tell.
        """
        if len(token) > TOKEN_BYTES or not _COMPACT.fullmatch(token):
            raise unauthenticated("invalid")
        try:
            claims = self._claims(token)
        except jwt.ExpiredSignatureError:
            raise unauthenticated("expired") from None
        except _UNTRUSTED:
            raise unauthenticated("invalid") from None
        return User(tenant_id=_id(claims.get("tenant_id")), user_id=_id(claims.get("sub")))

    def close(self) -> None:
        """Close the connections over which keys are fetched."""
        self._transport.close()

    def _claims(self, token: str) -> dict[str, Any]:
        if self._keys is None:
            return self._decode(token, self._shared_key, "HS256")
        header = jwt.get_unverified_header(token)
        algorithm, kid = _ASYMMETRIC.get(str(header.get("alg"))), header.get("kid")
        if algorithm is None or not (kid is None or isinstance(kid, str)):
            raise jwt.InvalidTokenError
        try:
            key = self._keys.find(kid, algorithm)
        except KeysUnavailableError:
            raise _keys_unavailable() from None
        if key is None:
            raise jwt.InvalidKeyError
        return self._decode(token, key.public, key.algorithm)

    def _decode(self, token: str, key: Any, algorithm: str) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=self._audience,
            issuer=self._issuer,
            leeway=LEEWAY_SECONDS,
            options={
                "require": ["exp"],
                "verify_aud": self._audience is not None,
                "verify_iss": self._issuer is not None,
            },
        )


def unauthenticated(why: Literal["missing", "expired", "invalid"]) -> Problem:
    """The refusal of a caller whom we do not know; why a token is not valid is nobody's business."""
    title, detail = {
        "missing": ("You are not signed in", "Sign in, then come back to this page."),
        "expired": ("Your session has expired", "Sign in again, then come back to this page."),
        "invalid": ("Your session is not valid", "Sign in again, then come back to this page."),
    }[why]
    return Problem(401, "unauthenticated", title, detail, headers={"WWW-Authenticate": "Bearer"})


def _keys_unavailable() -> Problem:
    return Problem(
        503,
        "keys_unavailable",
        "We cannot check your session right now",
        "Try again in a moment.",
        headers={"Retry-After": "10"},
    )


def _id(claim: object) -> str:
    """A tenant's or user's id: it goes into the database, so nothing that it could choke on."""
    if not isinstance(claim, str) or not 0 < len(claim) <= ID_CHARACTERS or not claim.isprintable():
        raise unauthenticated("invalid")
    return claim
