"""The messages that a redirect can leave on the page: named by a code in the query, never free text. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from web.outcomes import OUTCOMES

Tone = Literal["good", "info", "warning", "bad"]
"""How a message looks; its words say the same."""

_UNDER_WAY = frozenset({"still_connecting"})
"""Outcomes that are none yet."""

ADMINISTRATORS_MATTER = frozenset({"blocked_by_admin"})
"""Outcomes that a Google administrator mends, who needs to know our client id."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A message at the top of the page; `client_id` where an administrator needs it."""

    tone: Tone
    title: str
    text: str = ""
    client_id: str | None = None


NOTICES: Mapping[str, Notice] = {
    "calendar_chosen": Notice("good", "Calendar saved", "Your jobs are on their way to it."),
    "preferences_saved": Notice("good", "Preferences saved", "Your calendar is being brought in line with them."),
    "paused": Notice("good", "Syncing is paused", "Changes are kept and delivered when you resume."),
    "resumed": Notice("good", "Syncing goes on", "Whatever changed in the meantime is delivered now."),
    "resync_started": Notice(
        "good", "Everything is being pushed again", "You can leave this page; it goes on without you."
    ),
    "retrying": Notice(
        "good", "Trying again", "If the job still cannot be pushed, it comes back to the list with the reason."
    ),
    "feed_saved": Notice("good", "The calendar feed is saved", "Its address stays. Apps show it when they look again."),
    "feed_changed": Notice(
        "info",
        "The calendar feed had changed already",
        "A new address was made a moment ago and shown once, or the feed was switched off. If you have not copied the "
        "address, make another one below.",
    ),
    "feed_revoked": Notice("good", "The calendar feed is off", "Its address no longer works."),
    "left_to_colleague": Notice(
        "info",
        "A colleague still syncs to that calendar",
        "What your colleague wants stays there and is kept up to date. What only you wanted goes.",
    ),
    "invalid_form": Notice("bad", "That could not be read", "Please choose again and send the form once more."),
    "invalid_return_to": Notice("bad", "That could not be read", "Please press the button once more."),
    "not_connected": Notice("bad", "No Google account is connected", "Connect one first, then try again."),
    "not_active": Notice("bad", "Syncing was not running", "It runs by now. Please try again."),
    "grant_changed": Notice(
        "bad", "The connection changed in the meantime", "This is how it stands now. Please choose again."
    ),
    "reconnect_needed": Notice("bad", "Google no longer lets us in", "Reconnect your Google account, then try again."),
    "unknown_calendar": Notice(
        "bad", "That calendar is not in your list", "It may have been deleted or unshared. Please choose another one."
    ),
    "calendar_not_writable": Notice(
        "bad",
        "We cannot write to that calendar",
        "Ask its owner for the right to make changes to events, or choose another calendar.",
    ),
    "calendar_refused": Notice(
        "bad", "Google does not let us use this calendar", "Please choose another one. Nothing was changed."
    ),
    "no_calendar": Notice(
        "bad",
        "Google Calendar is switched off for your account",
        "Ask whoever administers your Google account to switch it on. Nothing was changed.",
    ),
    "unknown_problem": Notice("info", "That problem is gone", "It has been solved or retried already."),
    "unknown_test_push": Notice("info", "That test is over", "Send another test event if you like."),
    "google_unavailable": Notice("bad", "Google did not answer", "Nothing was changed. Please try again in a minute."),
    "account_busy": Notice(
        "bad",
        "Somebody else is connecting or disconnecting this Google account",
        "Nothing was changed. Please try again in a moment.",
    ),
    "not_configured": Notice(
        "bad",
        "This site is not set up correctly for Google Calendar",
        "You can do nothing about it here, and nothing was changed. Tell your administrator.",
    ),
    "too_many_requests": Notice(
        "bad", "That was too often in a short time", "Please wait a few minutes, then try again."
    ),
}
"""What the page's own forms can answer with, as it is said while the connection works."""

_TRUE_IN: Mapping[str, Collection[str]] = {
    "calendar_chosen": ("active", "paused", "needs_reconnect"),
    "preferences_saved": ("active", "paused", "needs_reconnect", "choose_calendar", "calendar_lost"),
    "paused": ("paused", "needs_reconnect", "choose_calendar", "calendar_lost"),
    "resumed": ("active", "needs_reconnect", "choose_calendar", "calendar_lost"),
    "resync_started": ("active",),
    "retrying": ("active", "paused", "needs_reconnect", "choose_calendar", "calendar_lost", "disconnecting"),
    "left_to_colleague": ("not_connected", "disconnecting"),
}
"""The states in which a notice can be true; of the others, in all."""

_WHEN: Mapping[str, str] = {
    "paused": "when you resume syncing",
    "needs_reconnect": "once you have reconnected your Google account",
    "choose_calendar": "once you have chosen a calendar",
    "calendar_lost": "once you have chosen another calendar",
}
"""When things go on in a state in which nothing is pushed."""

_LATER: Mapping[str, Notice] = {
    "calendar_chosen": Notice("good", "Calendar saved", "Your jobs go there {when}."),
    "preferences_saved": Notice("good", "Preferences saved", "Your calendar is brought in line with them {when}."),
    "paused": Notice("good", "Syncing is paused", "It stays so even {when}, until you resume."),
    "resumed": Notice("good", "Syncing is no longer paused", "Whatever changed is delivered {when}."),
    "retrying": Notice("good", "The job will be tried again", "That is done {when}."),
}
"""What is said in such a state of what was done."""

_NOT_ACTIVE: Mapping[str, str] = {
    "not_connected": "Connect a Google account first, then try again.",
    "paused": "Resume syncing first, then try again.",
    "needs_reconnect": "Reconnect your Google account first, then try again.",
    "choose_calendar": "Choose a calendar first, then try again.",
    "calendar_lost": "Choose another calendar first, then try again.",
    "disconnecting": "This connection is being ended. Connect again first, then try again.",
}
"""What has to be done before anything can be pushed."""


def notice_of(code: str, state: str) -> Notice | None:
    """The notice of that code as it is true in that state of the connection; None where it is not, or is unknown."""
    if state not in _TRUE_IN.get(code, (state,)):
        return None
    if code in _LATER and state in _WHEN and code != state:
        later = _LATER[code]
        return replace(later, text=later.text.format(when=_WHEN[state]))
    if code == "not_active" and state in _NOT_ACTIVE:
        return Notice("bad", "Syncing is not running", _NOT_ACTIVE[state])
    if code == "not_connected" and state == "disconnecting":
        return Notice("bad", "This connection is being ended", "Connect again first, then try again.")
    if (code == "not_connected" and state != "not_connected") or (
        code == "reconnect_needed" and state != "needs_reconnect"
    ):
        # It was so a moment ago.
        return NOTICES["grant_changed"]
    return NOTICES.get(code)


_CONNECTED = Notice("good", "Google account connected")


def choose_notice(
    *, notice: str | None, error: str | None, connected: bool, state: str, client_id: str
) -> Notice | None:
    """The message for a query string; None where it names none, or none that we know.

    Args:
        notice: a code of NOTICES.
        error: a code of `web.outcomes.OUTCOMES`, which the way to Google and back leaves.
        connected: whether that way has just ended well.
        state: of the connection, so that a stale address does not claim what is no longer so.
        client_id: ours at Google, for the errors that an administrator mends.
    """
    if error is not None and (outcome := OUTCOMES.get(error)) is not None:
        administrators = client_id if error in ADMINISTRATORS_MATTER else None
        tone: Tone = "info" if error in _UNDER_WAY else "bad"
        return Notice(tone, outcome.title.rstrip("."), outcome.detail, administrators)
    if notice is not None:
        return notice_of(notice, state)
    if connected and state == "choose_calendar":
        return Notice(_CONNECTED.tone, _CONNECTED.title, "One step is left: choose the calendar for your jobs.")
    if connected and state == "active":
        return Notice(_CONNECTED.tone, _CONNECTED.title, "Your jobs are on their way to your calendar.")
    if connected and state == "paused":
        return Notice(_CONNECTED.tone, _CONNECTED.title, "Syncing is still paused. Your jobs follow when you resume.")
    return None
