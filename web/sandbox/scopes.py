"""OAuth scopes: which the sandbox knows, which a method needs, and when Google shows check boxes."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

PREFIX = "https://www.googleapis.com/auth/"
"""What the name of every scope but `openid` begins with."""

SIGN_IN: Mapping[str, str] = MappingProxyType(
    {
        "openid": "openid",
        "email": f"{PREFIX}userinfo.email",
        "profile": f"{PREFIX}userinfo.profile",
        f"{PREFIX}userinfo.email": f"{PREFIX}userinfo.email",
        f"{PREFIX}userinfo.profile": f"{PREFIX}userinfo.profile",
    }
)
"""The identity scopes, each with the name under which Google grants it."""

DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {
        f"{PREFIX}calendar": "See, edit, share, and permanently delete all the calendars you can access",
        f"{PREFIX}calendar.readonly": "See and download any calendar you can access",
        f"{PREFIX}calendar.events": "View and edit events on all your calendars",
        f"{PREFIX}calendar.events.readonly": "View events on all your calendars",
        f"{PREFIX}calendar.events.owned": "See, create, change, and delete events on calendars you own",
        f"{PREFIX}calendar.events.owned.readonly": "See the events on calendars you own",
        f"{PREFIX}calendar.calendarlist": "See, add, and remove calendars you're subscribed to",
        f"{PREFIX}calendar.calendarlist.readonly": "See the list of calendars you're subscribed to",
        f"{PREFIX}calendar.calendars": "See and change the properties of calendars you have access to",
        f"{PREFIX}calendar.calendars.readonly": "See the properties of calendars you have access to",
    }
)
"""The Calendar scopes the sandbox grants, as the consent page words them."""


def _full(*names: str) -> tuple[str, ...]:
    return tuple(PREFIX + name for name in names)


WRITE_EVENTS = _full("calendar", "calendar.events", "calendar.events.owned")
"""Any of these lets a client write events."""

READ_EVENTS = (*WRITE_EVENTS, *_full("calendar.readonly", "calendar.events.readonly", "calendar.events.owned.readonly"))
"""Any of these lets a client read events."""

READ_LIST = _full("calendar", "calendar.readonly", "calendar.calendarlist", "calendar.calendarlist.readonly")
"""Any of these lets a client read the calendar list."""

READ_CALENDAR = _full("calendar", "calendar.readonly", "calendar.calendars", "calendar.calendars.readonly")
"""Any of these lets a client read a calendar's own properties."""

OWNED_ONLY = frozenset(_full("calendar.events.owned", "calendar.events.owned.readonly"))
"""Scopes that reach only the calendars the user owns."""


def is_known(scope: str) -> bool:
    """Whether the sandbox can grant the scope."""
    return scope in SIGN_IN or scope in DESCRIPTIONS


def granted_names(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes as Google names them in its answers, without repeats."""
    return tuple(dict.fromkeys(SIGN_IN.get(scope, scope) for scope in scopes))


def choosable(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes the user may tick one by one: everything but identity."""
    return tuple(dict.fromkeys(scope for scope in scopes if scope not in SIGN_IN))


def shows_check_boxes(scopes: Iterable[str]) -> bool:
    """Whether consent is granular: more than one scope beyond sign-in, or one together with sign-in."""
    asked = tuple(scopes)
    optional = choosable(asked)
    return len(optional) > 1 or (len(optional) == 1 and len(optional) < len(set(asked)))
