"""Google's answer turned into a connection, or into the code of what went wrong."""

import re
from collections.abc import Collection, Iterable
from dataclasses import replace

import structlog

from outbox.connections import Account
from outbox.crypto import MissingKey, TokenCipher
from outbox.google.calendar_list import CalendarList, ListedCalendar
from outbox.google.meaning import Answer, Meaning
from outbox.google.oauth import (
    ClientMisconfigured,
    GoogleOAuth,
    GrantRefused,
    Tokens,
    TokenServerUnavailable,
)
from outbox.grants import AccountBusyError, GrantEndedError, Grants
from outbox.tally import Tally
from outbox.tracebacks import outline
from web.attempts import Attempt
from web.outcomes import code_of_refusal

log = structlog.get_logger(__name__)

_PREFIX = "https://www.googleapis.com/auth/"

WRITE_SCOPES = frozenset(f"{_PREFIX}{name}" for name in ("calendar", "calendar.events", "calendar.events.owned"))
"""Each of them lets us put events into calendars."""

LIST_SCOPES = frozenset(
    f"{_PREFIX}{name}"
    for name in ("calendar", "calendar.readonly", "calendar.calendarlist", "calendar.calendarlist.readonly")
)
"""Each of them lets us show the user his calendars."""

_OWNED_ONLY = frozenset({f"{_PREFIX}calendar.events.owned"})


def writes_owned_only(scopes: Iterable[str]) -> bool:
    """Whether a grant with these scopes lets us put events into the account's own calendars, and into no others."""
    return WRITE_SCOPES.intersection(scopes) == _OWNED_ONLY


_CODE = re.compile(r"[\x21-\x7e]{1,2048}")
"""Google's codes have at most 256 characters."""

_CODE_OF_ANSWER = {
    Meaning.UNAUTHORIZED: "grant_ended",
    Meaning.SCOPE_MISSING: "missing_scope",
    Meaning.INVALID: "google_refused",
    Meaning.EVENT_REFUSED: "google_refused",
    Meaning.NOT_FOUND: "no_calendar",
    Meaning.NO_CALENDAR: "no_calendar",
}
"""What it means that Google does not tell us the account's calendar; all else passes."""


class Redemption:
    """Redeems codes. Threads may share it."""

    def __init__(
        self,
        *,
        cipher: TokenCipher,
        oauth: GoogleOAuth,
        calendars: CalendarList,
        grants: Grants,
        tally: Tally,
        scopes: Collection[str],
    ) -> None:
        """`scopes`: what Google was asked for."""
        self._cipher = cipher
        self._oauth = oauth
        self._calendars = calendars
        self._grants = grants
        self._tally = tally
        self._scopes = frozenset(scopes)

    def outcome(self, attempt: Attempt, *, code: str | None, error: str | None) -> str:
        """How an attempt ends that is used up by now: "connected", or a code of `web.outcomes`; never raises.

        Args:
            code: what Google gave for the user's consent.
            error: why it gave none.
        """
        try:
            return self._redeem(attempt, code, error)
        except MissingKey as missing:
            log.error("operator_needed", reason=str(missing))
            return "not_configured"
        except AccountBusyError:
            return "account_busy"
        except Exception as failure:  # noqa: BLE001 - whatever it is
            log.error("consent_failed", traceback=outline(failure))
            return "internal_error"

    def _redeem(self, attempt: Attempt, code: str | None, error: str | None) -> str:
        if error is not None:
            return code_of_refusal(error)
        if code is None:
            return "google_refused"
        if not _CODE.fullmatch(code):
            return "code_refused"
        user = attempt.user
        verifier = self._cipher.decrypt(
            attempt.code_verifier, tenant_id=user.tenant_id, user_id=user.user_id, column="code_verifier"
        )
        tokens = self._oauth.exchange(code, verifier)
        if not isinstance(tokens, Tokens):
            return _code_of_token_refusal(tokens)
        granted = tokens.scopes or self._scopes  # what is not said was granted as asked for (RFC 6749, 5.1)
        if granted.isdisjoint(WRITE_SCOPES) or granted.isdisjoint(LIST_SCOPES):
            # Not revoked: that would end every grant of this account, also one that works.
            return "missing_scope"
        if tokens.refresh_token is None:
            return "no_refresh_token"
        # Whose request this is, it tells us itself; it counts for the project alone.
        primary = self._calendars.get(tokens.access_token, "primary")
        if not isinstance(primary, ListedCalendar):
            return _code_of_list_refusal(primary)
        try:
            self._grants.keep(
                user,
                replace(tokens, scopes=granted),
                Account(primary.id, primary.id),
                lambda: self._still_good(primary.id, tokens.access_token),
            )
        except GrantEndedError:
            return "grant_ended"
        return "connected"

    def _still_good(self, account_id: str, access_token: str) -> bool:
        """Whether Google still takes the token. No answer is no sign that it does not."""
        with self._tally.on_behalf_of(account_id):
            answer = self._calendars.get(access_token, "primary")
        return isinstance(answer, ListedCalendar) or answer.meaning is not Meaning.UNAUTHORIZED


def _code_of_token_refusal(refusal: GrantRefused | ClientMisconfigured | TokenServerUnavailable) -> str:
    match refusal:
        case GrantRefused(error="unauthorized_client") | ClientMisconfigured():
            log.error("operator_needed", reason=refusal.error)
            return "not_configured"
        case GrantRefused(reason="blocked_by_admin"):
            return "blocked_by_admin"
        case GrantRefused():
            log.info("code_refused", error=refusal.error, error_subtype=refusal.error_subtype)
            return "code_refused"
        case TokenServerUnavailable():
            log.warning("code_not_exchanged", detail=refusal.detail)
            return "google_unavailable"


def _code_of_list_refusal(refusal: Answer) -> str:
    if refusal.meaning is Meaning.MISCONFIGURED:
        log.error("operator_needed", reason=refusal.reason or refusal.message)
        return "not_configured"
    log.warning("account_not_read", meaning=refusal.meaning.value, status=refusal.status, reason=refusal.reason)
    return _CODE_OF_ANSWER.get(refusal.meaning, "google_unavailable")
