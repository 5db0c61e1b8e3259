"""The way to Google's consent page and back with a grant: an attempt is one user's, one browser's, and used once."""

import base64
import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import structlog
from psycopg_pool import ConnectionPool

from outbox.acting import acting_for
from outbox.connection_view import read_connection
from outbox.crypto import TokenCipher
from outbox.database import Connection
from outbox.google.oauth import GoogleOAuth
from outbox.tracebacks import outline
from outbox.user import User
from web.attempts import ATTEMPT_SECONDS, Attempt, Attempts
from web.capacity import AWAITING_CALLBACKS, GooglePlaces
from web.limits import RateLimits
from web.problem import Problem
from web.redemption import Redemption
from web.return_to import PAGE, parse_return_to, with_outcome

__all__ = ["ATTEMPT_SECONDS", "CallbackAnswer", "Consent", "Finished", "Started"]

log = structlog.get_logger(__name__)

AWAIT_SECONDS = 8.0
"""How long a callback waits for an earlier one of the same attempt; longer than Google usually takes."""

AWAIT_EVERY_SECONDS = 0.2

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
"""32 random bytes, as `secrets.token_urlsafe` spells them: a state, a verifier, a browser's cookie."""


@dataclass(frozen=True, slots=True)
class Started:
    """Where to send the browser, and the value of the cookie that it has to bring back."""

    authorize_url: str = field(repr=False)
    browser: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CallbackAnswer:
    """The parameters with which Google sent the browser back; None where there was none."""

    state: str | None = field(repr=False)
    code: str | None = field(repr=False)
    error: str | None


@dataclass(frozen=True, slots=True)
class Finished:
    """How it ended.

    Attributes:
        return_to: path to send the browser to, with the outcome in its query.
        error: a code of `web.outcomes`, or None.
        of_this_browser: the attempt is known, and this browser began it.
    """

    return_to: str
    error: str | None
    outcome: Literal["connected", "error"]
    of_this_browser: bool = True


class Consent:
    """Starts and finishes consent attempts. Threads may share it."""

    def __init__(
        self,
        pool: ConnectionPool[Connection],
        *,
        cipher: TokenCipher,
        oauth: GoogleOAuth,
        redemption: Redemption,
        limits: RateLimits,
        places: GooglePlaces,
        scopes: Collection[str],
        stop: threading.Event,
    ) -> None:
        """`scopes`: what Google is asked for. `places`: of this process, among those who wait for Google. `stop` ends
        the waits for other callbacks.
        """
        self._pool = pool
        self._attempts = Attempts(pool)
        self._cipher = cipher
        self._oauth = oauth
        self._redemption = redemption
        self._limits = limits
        self._places = places
        self._awaiting = threading.BoundedSemaphore(AWAITING_CALLBACKS)
        self._scopes = frozenset(scopes)
        self._stop = stop

    def start(self, user: User, *, return_to: str | None, browser: str | None, other_account: bool = False) -> Started:
        """Begin an attempt of this user in this browser.

        Args:
            return_to: path of this origin to come back to; None for the settings page.
            browser: the value of the browser's cookie; kept if it is one of ours, so that two tabs both work.
            other_account: the user wants to choose the account, also where the one that was connected is known.

        Raises:
            Problem: 400 "invalid_return_to", 429 "too_many_requests".
        """
        try:
            checked = parse_return_to(return_to)
        except ValueError as refusal:
            raise Problem(400, "invalid_return_to", "This address cannot be returned to", str(refusal)) from None
        self._limits.take("connect", json.dumps(user.key))
        before = read_connection(self._pool, user)
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        kept = browser if browser is not None and _TOKEN.fullmatch(browser) else secrets.token_urlsafe(32)
        self._attempts.add(
            _hash(state),
            user,
            browser_hash=_hash(kept),
            code_verifier=self._cipher.encrypt(
                verifier, tenant_id=user.tenant_id, user_id=user.user_id, column="code_verifier"
            ),
            return_to=checked,
        )
        challenge = base64.urlsafe_b64encode(_hash(verifier)).rstrip(b"=").decode()
        hint = before.account_email if before.state == "needs_reconnect" and not other_account else None
        return Started(self._oauth.authorize_url(state, challenge, sorted(self._scopes), login_hint=hint), kept)

    def finish(self, answer: CallbackAnswer, *, browser: str | None, session_user: User | None) -> Finished:
        """Take the browser back from Google; never raises, because a person looks at the answer.

        Args:
            browser: the value of the browser's cookie.
            session_user: who is signed in there; None if nobody is.
        """
        if browser is None or not _TOKEN.fullmatch(browser):
            return _not_of_this_browser("wrong_browser")
        if answer.state is None or not _TOKEN.fullmatch(answer.state):
            return _not_of_this_browser("attempt_unknown")
        try:
            return self._finish(_hash(answer.state), answer, _hash(browser), session_user)
        except Exception as error:  # noqa: BLE001 - whatever it is, a person waits for a page
            log.error("consent_failed", traceback=outline(error))
            return _failed(PAGE, "internal_error")

    def unfinished(self, user: User) -> datetime | None:
        """When the user last set out for Google, if he has not come back and his attempt still lives."""
        return self._attempts.unfinished(user)

    def _finish(
        self, state_hash: bytes, answer: CallbackAnswer, browser_hash: bytes, session_user: User | None
    ) -> Finished:
        attempt = self._attempts.find(state_hash)
        if attempt is None:
            return _not_of_this_browser("attempt_unknown")
        # Before anything of the attempt is told or used up: it may be that of somebody who was lured here.
        if not hmac.compare_digest(attempt.browser_hash, browser_hash):
            return _not_of_this_browser("wrong_browser")
        if session_user is not None and session_user != attempt.user:
            return _failed(PAGE, "wrong_user")
        return_to = _checked_again(attempt.return_to)
        if attempt.taken or attempt.expired:
            return self._repeated(state_hash, return_to)
        try:
            with self._places.place():
                outcome = self._once(state_hash, attempt, answer)
        except Problem as refusal:
            # Nothing was used up: the browser may come back with the same code.
            return _failed(return_to, refusal.code)
        return self._repeated(state_hash, return_to) if outcome is None else _finished(return_to, outcome)

    def _once(self, state_hash: bytes, attempt: Attempt, answer: CallbackAnswer) -> str | None:
        """How the attempt ends; None if another callback has used it up."""
        if not self._attempts.take(state_hash):
            return None
        with acting_for(attempt.user):  # whose session need not be open in this browser any more
            outcome = self._redemption.outcome(attempt, code=answer.code, error=answer.error)
        self._attempts.record(state_hash, outcome)
        log.info("consent_finished", outcome=outcome)
        return outcome

    def _repeated(self, state_hash: bytes, return_to: str) -> Finished:
        """What an attempt answers that another callback has used up, or that is over; waits for that callback."""
        attempt = self._attempts.find(state_hash)
        if attempt is not None and _is_under_way(attempt) and self._awaiting.acquire(blocking=False):
            try:
                attempt = self._await(state_hash)
            finally:
                self._awaiting.release()
        if attempt is None:
            return _failed(return_to, "attempt_unknown")
        if attempt.outcome is not None:
            return _finished(return_to, attempt.outcome)
        return _failed(return_to, "attempt_expired" if attempt.expired else "still_connecting")

    def _await(self, state_hash: bytes) -> Attempt | None:
        """The attempt once it has ended, or as it is when patience is over; meanwhile no connection is held."""
        until = time.monotonic() + AWAIT_SECONDS
        while True:
            attempt = self._attempts.find(state_hash)
            if attempt is None or not _is_under_way(attempt):
                return attempt
            if time.monotonic() >= until or self._stop.wait(AWAIT_EVERY_SECONDS):
                return attempt


def _is_under_way(attempt: Attempt) -> bool:
    return attempt.taken and attempt.outcome is None and not attempt.expired


def _finished(return_to: str, outcome: str) -> Finished:
    if outcome == "connected":
        return Finished(with_outcome(return_to, "connected", "1"), None, "connected")
    return _failed(return_to, outcome)


def _failed(return_to: str, code: str) -> Finished:
    return Finished(with_outcome(return_to, "error", code), code, "error")


def _not_of_this_browser(code: str) -> Finished:
    return Finished(with_outcome(PAGE, "error", code), code, "error", of_this_browser=False)


def _checked_again(return_to: str) -> str:
    """The stored path, looked at as if it were new: what was stored under older rules must not lead elsewhere."""
    try:
        return parse_return_to(return_to)
    except ValueError:
        return PAGE


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
