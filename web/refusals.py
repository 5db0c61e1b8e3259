"""Why something cannot be done with a connection, as problems: one place for every operation's refusals."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from outbox import connections
from outbox.google.meaning import Answer, Meaning
from outbox.grants import AccountBusyError
from outbox.trouble import OPERATOR_REST_SECONDS
from web.problem import Problem

log = structlog.get_logger(__name__)

RETRY_SECONDS = 15
"""When to ask again while Google does not answer and names no time itself."""

LONGEST_RETRY_SECONDS = 3600

BUSY_SECONDS = 5
"""When to ask again while somebody else is connecting or disconnecting the same Google account."""


@contextmanager
def of_engine() -> Iterator[None]:
    """The engine's refusals as problems."""
    try:
        yield
    except connections.NotConnectedError:
        raise not_connected() from None
    except connections.NotActiveError as refusal:
        raise Problem(409, "not_active", "This needs a working connection", str(refusal) or None) from None
    except connections.GrantChangedError:
        raise Problem(
            409,
            "grant_changed",
            "The Google account was connected anew meanwhile",
            "Look at the page again and repeat.",
        ) from None
    except AccountBusyError:
        raise Problem(
            503,
            "account_busy",
            "Somebody else is connecting or disconnecting this Google account",
            "Nothing was changed. Try again in a moment.",
            headers={"Retry-After": str(BUSY_SECONDS)},
        ) from None


def not_connected() -> Problem:
    """There is no grant to work with."""
    return Problem(409, "not_connected", "No Google account is connected", "Connect Google Calendar first.")


def reconnect_needed() -> Problem:
    """The grant is dead."""
    return Problem(
        409, "reconnect_needed", "Google no longer lets us in", "Reconnect Google Calendar; what waits is kept."
    )


def unknown_calendar() -> Problem:
    """No such calendar in the user's list."""
    return Problem(
        404, "unknown_calendar", "This calendar is not in your list", "Choose one of those that are offered."
    )


def calendar_not_writable() -> Problem:
    """The user may only read it."""
    return Problem(
        422,
        "calendar_not_writable",
        "Jobs cannot be put into this calendar",
        "You may only read it. Choose another one, or ask its owner to let you make changes to events.",
    )


def calendar_not_owned() -> Problem:
    """It is somebody else's, and the grant is for the account's own calendars."""
    return Problem(
        422,
        "calendar_not_writable",
        "Jobs cannot be put into this calendar",
        "It belongs to somebody else, and we may only write to your own calendars. Choose one of yours.",
    )


def of_chosen_calendar(refusal: Answer) -> Problem:
    """What it means that Google does not give us a calendar that a user has chosen."""
    if refusal.meaning in (Meaning.NOT_FOUND, Meaning.GONE) or (
        refusal.meaning is Meaning.INVALID and refusal.status == 400
    ):
        return unknown_calendar()
    if refusal.meaning in (Meaning.EVENT_REFUSED, Meaning.CALENDAR_READ_ONLY, Meaning.INVALID):
        log.warning("calendar_refused", status=refusal.status, reason=refusal.reason)
        return Problem(
            422,
            "calendar_refused",
            "Google does not let us use this calendar",
            "Choose another one, or ask its owner whether this app is allowed there.",
        )
    return of_calendar_list(refusal)


def of_calendar_list(refusal: Answer) -> Problem:
    """What it means that Google does not answer a question about calendars: nobody's fault here, or the operator's."""
    if refusal.meaning is Meaning.MISCONFIGURED:
        return not_configured(refusal.reason or refusal.message)
    if refusal.meaning is Meaning.NO_CALENDAR:
        return calendar_switched_off()
    log.warning("calendar_list_not_read", meaning=refusal.meaning.value, status=refusal.status, reason=refusal.reason)
    return google_unavailable(refusal.retry_after)


def calendar_switched_off() -> Problem:
    """Google Calendar is switched off for the account: its administrator's matter, not ours and not the user's."""
    return Problem(
        422,
        "no_calendar",
        "Google Calendar is switched off for your account",
        "Ask whoever administers your Google account to switch it on.",
    )


def not_configured(reason: str) -> Problem:
    """Nothing works until an operator acts; the log says why, and nobody else is told."""
    log.error("operator_needed", reason=reason)
    return Problem(
        503,
        "not_configured",
        "This site is not set up correctly for Google Calendar",
        "You can do nothing about it here, and nothing was changed. Tell your administrator.",
        headers={"Retry-After": str(math.ceil(OPERATOR_REST_SECONDS))},
    )


def google_unavailable(seconds: float | None = None) -> Problem:
    """Google does not answer; `seconds`: when to ask again, if that is known."""
    wait = min(math.ceil(seconds or RETRY_SECONDS), LONGEST_RETRY_SECONDS)
    return Problem(
        503,
        "google_unavailable",
        "Google does not answer right now",
        "Nothing was changed. Try again in a moment.",
        headers={"Retry-After": str(max(wait, 1))},
    )
