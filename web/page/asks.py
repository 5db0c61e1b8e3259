"""What Google will ask the user to allow, and what we do with it, by the scopes that are configured. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ask:
    """A permission: what it allows, as Google puts it, and what it is for."""

    allows: str
    use: str


_WRITING = "We add, change and remove the events of your jobs. We touch no event that we did not add."
_LISTING = "We list your calendars, so that you can choose one."
_PREFIX = "https://www.googleapis.com/auth/"

_KNOWN: Sequence[tuple[str, Ask]] = (
    (
        "calendar.readonly",
        Ask(
            "See and download any calendar you can access",
            "It would let us read every event. We read only the list of your calendars, so that you can choose one, "
            "and the events that we added.",
        ),
    ),
    ("calendar.calendarlist.readonly", Ask("See the list of your calendars", _LISTING)),
    (
        "calendar.calendarlist",
        Ask("See, add and remove calendars in your list", f"{_LISTING} We change nothing in it."),
    ),
    ("calendar.events", Ask("View and edit events on all your calendars", _WRITING)),
    ("calendar.events.owned", Ask("See and change events on the calendars that you own", _WRITING)),
    (
        "calendar",
        Ask(
            "See, edit, share and permanently delete all your calendars",
            f"{_LISTING} {_WRITING} We share and delete no calendar.",
        ),
    ),
)
"""In the order in which they are shown."""


def asks_of(scopes: Collection[str]) -> list[Ask]:
    """The permissions that these scopes (full URLs) stand for; what we do not know is named as it is."""
    known = [ask for name, ask in _KNOWN if f"{_PREFIX}{name}" in scopes]
    names = {f"{_PREFIX}{name}" for name, _ in _KNOWN}
    others = [Ask(scope, "Your administrator has asked for this.") for scope in sorted(set(scopes) - names)]
    return [*known, *others]
