"""One side of a window: an RFC 3339 time, or a date when only the day is known; and the names of time zones."""

import re
from datetime import date, datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

Bound = date | datetime
"""A bare date, or an aware time to the second. (A datetime is a date too: ask for datetime first.)"""

YEARS = range(1980, 2200)
"""Years that a bound may have. Every zone's offset is whole minutes in them, as RFC 3339 demands (Africa/Monrovia's
was not until 1972), and a zone, an hour or a day put on top cannot leave the calendar."""

_WAY_OUT = 'send a time such as "2026-12-01T07:00:00-06:00", or a date such as "2026-12-01"'

_RFC_3339 = re.compile(
    r"(?P<year>\d{4})-\d\d-\d\d"
    r"(?P<time>[Tt](?:[01]\d|2[0-3]):[0-5]\d:(?P<second>[0-5]\d|60)(?:\.\d+)?"
    r"(?P<offset>[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)?)?",
    re.ASCII,
)
"""A full-date or a date-time of RFC 3339 section 5.6; the offset may lack here, to be missed in plain words."""

_USUAL = re.compile(
    r"20\d\d-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
"""A time as nearly all are written; only the day is still to be doubted, so that the other checks need no time."""


def parse_bound(text: str) -> Bound:
    """The date or time in the text, fractions of a second cut off; raises ValueError with the
    end of a sentence about it."""
    usual = _USUAL.fullmatch(text)
    if not usual:
        _check(text)
    try:
        if usual:
            return datetime.fromisoformat(text)
        if len(text) == len("2026-12-01"):
            return date.fromisoformat(text)
        return datetime.fromisoformat(text.upper()).replace(microsecond=0)
    except ValueError as error:
        raise ValueError("is a day that does not exist; send one of the calendar's") from error


def _check(text: str) -> None:
    """Whether it is written as a bound has to be; raises ValueError."""
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise ValueError(f"is not an RFC 3339 time or a date; {_WAY_OUT}")
    if match["time"] and not match["offset"]:
        raise ValueError(f"has no UTC offset; {_WAY_OUT}")
    if match["second"] == "60":
        raise ValueError("has a second 60; send a leap second as 59")
    if int(match["year"]) not in YEARS:
        raise ValueError(f"is outside the years {YEARS[0]} to {YEARS[-1]}; send the real day, or null")


def is_zone(name: str) -> bool:
    """Whether the name is an IANA time zone; files that merely lie beside the zones are none."""
    return name in _zone_names()


@cache
def zone_info(name: str) -> ZoneInfo:
    """The zone of a name for which `is_zone` holds; kept, because ZoneInfo itself remembers only the last eight."""
    return ZoneInfo(name)


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones() - {"Factory", "localtime"})
