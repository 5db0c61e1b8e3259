"""What an answer that is not about the job says about the connection: broken, or in need of rest. Pure."""

from dataclasses import dataclass
from typing import Literal

from outbox.google.meaning import Answer, Meaning
from outbox.google.oauth import ClientMisconfigured, GrantRefused, TokenServerUnavailable

RATE_LIMIT_REST_SECONDS = 15.0
"""The first rest; each further one is twice as long, because Google wants the waits to grow."""

LONGEST_RATE_LIMIT_REST_SECONDS = 240.0
"""Four of Google's minute windows: by then any burst of ours has left them."""

USAGE_LIMIT_REST_SECONDS = 3600.0
"""A user over Google's usage limits stays read-only for hours; asking once an hour finds out when it is over."""

OPERATOR_REST_SECONDS = 300.0
"""Nothing works until an operator mends our own client, so there is no hurry to ask again."""

TOKEN_SERVER_REST_SECONDS = 15.0
"""The token server failed after the repeats inside the call."""

NO_CALENDAR_REST_SECONDS = 3600.0
"""Somebody has to switch Google Calendar on again for the account; asking once an hour finds out when it is."""

RestReason = Literal["limit", "no_calendar", "no_answer", "ours"]
"""Why a connection rests: Google asked the account to wait; Google Calendar is switched off for the account; the token
server does not answer; something of ours is to be mended. Stored, and worded for the user.
"""


@dataclass(frozen=True, slots=True)
class Broken:
    """The connection can do nothing until its user acts."""

    state: Literal["needs_reconnect", "calendar_lost"]
    reconnect_reason: str | None


@dataclass(frozen=True, slots=True)
class Resting:
    """The connection will be able to go on by itself after so many seconds.

    Attributes:
        operators_matter: unless an operator mends something, it will not.
        everybodys: whichever connection asks the token server now, the answer is the same.
        no_calendar: Google Calendar is switched off for the account.
    """

    seconds: float
    reason: str
    operators_matter: bool = False
    everybodys: bool = False
    no_calendar: bool = False

    @property
    def why(self) -> RestReason:
        """For the user."""
        if self.operators_matter:
            return "ours"
        if self.everybodys:
            return "no_answer"
        return "no_calendar" if self.no_calendar else "limit"

    @property
    def of_account(self) -> bool:
        """Whether Google said it of the account, so that every connection of the account rests; else only this one."""
        return self.why in ("limit", "no_calendar")


Trouble = Broken | Resting

_CLIENT_REFUSED = frozenset({"invalid_client", "deleted_client", "disabled_client"})
"""These are about our client whatever was asked; other faults of ours may come of the one grant, and stay with it."""


def trouble_in_answer(answer: Answer, failures: int) -> Trouble:
    """For an answer of the Calendar API that is not about the job; a 401 is given here only after a fresh token.

    Args:
        failures: how many pushes in a row ended in a rest before this one.
    """
    match answer.meaning:
        case Meaning.UNAUTHORIZED:
            return Broken("needs_reconnect", "revoked")
        case Meaning.SCOPE_MISSING:
            return Broken("needs_reconnect", "missing_scope")
        case Meaning.CALENDAR_READ_ONLY | Meaning.NOT_FOUND:
            return Broken("calendar_lost", None)
        case Meaning.USAGE_LIMITED:
            return Resting(USAGE_LIMIT_REST_SECONDS, answer.message)
        case Meaning.NO_CALENDAR:
            return Resting(NO_CALENDAR_REST_SECONDS, answer.message, no_calendar=True)
        case Meaning.PROJECT_LIMITED:
            return Resting(USAGE_LIMIT_REST_SECONDS, answer.message, operators_matter=True)
        case Meaning.MISCONFIGURED:
            return Resting(OPERATOR_REST_SECONDS, answer.message, operators_matter=True)
        case _:
            growing = RATE_LIMIT_REST_SECONDS * 2.0 ** min(failures, 10)
            return Resting(answer.retry_after or min(growing, LONGEST_RATE_LIMIT_REST_SECONDS), answer.message)


def trouble_in_refresh(refusal: GrantRefused | ClientMisconfigured | TokenServerUnavailable) -> Trouble:
    """For an answer of the token endpoint that brought no token."""
    match refusal:
        case GrantRefused():
            return Broken("needs_reconnect", refusal.reason)
        case ClientMisconfigured():
            return Resting(
                OPERATOR_REST_SECONDS,
                f"Google's token server refuses our client: {refusal.error}",
                operators_matter=True,
                everybodys=refusal.error in _CLIENT_REFUSED,
            )
        case TokenServerUnavailable(unknown_error=error) if error:
            return Resting(
                OPERATOR_REST_SECONDS,
                f"Google's token server answers with an unknown error: {error}",
                operators_matter=True,
            )
        case TokenServerUnavailable():
            return Resting(TOKEN_SERVER_REST_SECONDS, refusal.detail, everybodys=True)
