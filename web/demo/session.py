"""Sessions as a host application gives them: a signed token that names the user."""

import time

import jwt

from outbox.user import User

SESSION_SECONDS = 8 * 3600
"""How long a session lasts: a working day."""


def session_token(key: str, user: User) -> str:
    """A JWT for this user, signed HS256 with `key`."""
    now = int(time.time())
    claims = {"sub": user.user_id, "tenant_id": user.tenant_id, "iat": now, "exp": now + SESSION_SECONDS}
    return jwt.encode(claims, key, algorithm="HS256")
