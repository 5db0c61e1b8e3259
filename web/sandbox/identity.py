"""The ID token of an account."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime


def subject(account: str) -> str:
    """The stable number that stands for an account, 21 digits like Google's."""
    return f"1{int.from_bytes(hashlib.sha256(account.encode()).digest()[:8]) % 10**20:020d}"


def id_token(account: str, client_id: str, client_secret: str, now: datetime, nonce: str = "") -> str:
    """A JWT with Google's claims, signed HS256 with the client's secret.

    Google signs RS256; a client that takes the token straight from the token endpoint need not check either.
    """
    issued = int(now.timestamp())
    claims = {
        "iss": "https://accounts.google.com",
        "azp": client_id,
        "aud": client_id,
        "sub": subject(account),
        "email": account,
        "email_verified": True,
        "iat": issued,
        "exp": issued + 3600,
        **({"nonce": nonce} if nonce else {}),
    }
    signed = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}"
    return f"{signed}.{_base64(hmac.new(client_secret.encode(), signed.encode(), hashlib.sha256).digest())}"


def _part(value: Mapping[str, object]) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
