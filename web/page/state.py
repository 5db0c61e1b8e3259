"""What the page says of the state that a connection is in: in a word, in a headline, and what stops it. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from outbox.connection_view import ConnectionView
from outbox.trouble import RestReason
from web.page import wording
from web.page.notices import Tone


@dataclass(frozen=True, slots=True)
class Badge:
    """The state in a word or two, beside the heading."""

    tone: Tone
    text: str


@dataclass(frozen=True, slots=True)
class Banner:
    """What stops the sync until the user acts; `reconnect` where the way out is a new consent."""

    title: str
    text: str
    reconnect: bool
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """How the sync is doing: a headline, and more where there is more; `until` is when it goes on by itself."""

    tone: Tone
    headline: str
    detail: str = ""
    until: datetime | None = None


def badge_of(connection: ConnectionView, resting: datetime | None) -> Badge:
    """The state in a word or two; `resting`: until when nothing is pushed."""
    match connection.state:
        case "not_connected":
            return Badge("info", "Not connected")
        case "choose_calendar":
            return Badge("warning", "One step left")
        case "paused":
            return Badge("warning", "Paused")
        case "needs_reconnect" | "calendar_lost":
            return Badge("bad", "Needs you")
        case "disconnecting":
            return Badge("info", "Disconnecting")
        case "active":
            if resting is not None:
                whom = "us" if connection.resting_reason == "ours" else "Google"
                return Badge("warning", f"Waiting for {whom}")
            if connection.pending:
                return Badge("info", "Syncing")
            return Badge("warning", "Needs a look") if connection.problems else Badge("good", "Up to date")


def status_of(connection: ConnectionView, resting: datetime | None, *, colleague: bool) -> Status | None:
    """How the sync is doing; None where a banner says it. `colleague`: one syncs to the same calendar."""
    match connection.state:
        case "active":
            return _active_status(connection, resting)
        case "paused":
            return Status(
                "warning",
                "Syncing is paused",
                wording.joined(
                    [wording.waiting(connection.pending), "Changes are kept and delivered when you resume."]
                ),
            )
        case "disconnecting" if colleague:
            return Status(
                "info",
                "Events that only you wanted are being removed",
                "A colleague syncs to the same calendar: what your colleague wants stays and is kept up to date. When "
                "we are done, we give up our access to your Google account. You can leave this page.",
            )
        case "disconnecting":
            return Status(
                "info",
                "Your events are being removed",
                "When the last one is gone, we give up our access to your Google account. You can leave this page.",
            )
        case _:
            return None


def _active_status(connection: ConnectionView, resting: datetime | None) -> Status:
    if resting is not None:
        headline, advice = _RESTS[connection.resting_reason]
        return Status("warning", headline, wording.joined([wording.waiting(connection.pending), advice]), until=resting)
    if connection.filling is not None:
        return Status(
            "info",
            "Your calendar is being brought up to date",
            "Whatever changes meanwhile goes first. You can leave this page; it goes on without you.",
        )
    if connection.pending:
        changes = wording.counted(connection.pending, "change is", "changes are")
        return Status(
            "info", f"{changes} waiting", "On the way to your calendar. This takes seconds, or minutes for many."
        )
    if connection.problems:
        pushed = "Everything else is up to date" if connection.last_pushed_at else "Nothing could be pushed yet"
        return Status("warning", pushed, "Some jobs could not be pushed; see the list below.")
    if connection.last_pushed_at is None:
        return Status("good", "Ready", "Your jobs appear in your calendar as soon as there are any.")
    return Status("good", "Your calendar is up to date", wording.waiting(0))


def banner_of(connection: ConnectionView, client_id: str) -> Banner | None:
    """What stops the sync until the user acts; `client_id`: ours at Google, for administrators."""
    match connection.state:
        case "calendar_lost":
            name = f"“{connection.calendar_name}”" if connection.calendar_name else "your calendar"
            return Banner(
                f"We can no longer write to {name}",
                f"It was deleted, or our right to change it was taken away. Choose a calendar below to go on. "
                f"{wording.still_delivered(connection.pending, paused=connection.paused)}",
                reconnect=False,
            )
        case "needs_reconnect":
            title, text = _RECONNECT[connection.reconnect_reason or "revoked"]
            administrators = client_id if connection.reconnect_reason == "blocked_by_admin" else None
            return Banner(
                title,
                f"{text} {wording.still_delivered(connection.pending, paused=connection.paused)}",
                True,
                administrators,
            )
        case _:
            return None


_RESTS: dict[RestReason | None, tuple[str, str]] = {
    "limit": ("Google asked us to slow down", ""),
    "no_calendar": (
        "Google Calendar is switched off for your account",
        "Whoever administers your Google account can switch it on again. Changes are kept and delivered then.",
    ),
    "no_answer": ("Google does not answer at the moment", ""),
    "ours": ("Something is wrong on our side", "There is nothing that you have to do. Changes are kept."),
    None: ("Syncing rests for a moment", ""),
}

_RECONNECT: dict[Literal["revoked", "missing_scope", "blocked_by_admin", "key_lost"], tuple[str, str]] = {
    "revoked": (
        "Google no longer lets us in",
        "Our access to your Google account has ended: it was removed, or Google let it expire. Reconnect to go on.",
    ),
    "missing_scope": (
        "A permission is missing",
        "Google lets us in, but not to write to your calendar. Reconnect, and tick every box that Google shows.",
    ),
    "blocked_by_admin": (
        "Your organization blocks this app",
        "A Google Workspace administrator has to allow it first. After that, reconnect.",
    ),
    "key_lost": (
        "Please reconnect",
        "We can no longer read the access that you gave us, through no fault of yours. Reconnect to go on.",
    ),
}
