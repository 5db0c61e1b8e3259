"""Start and end of an event (Google's EventDateTime): read, checked, and written back as Google would."""

import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from web.sandbox.errors import ApiError, invalid, required

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?(?P<offset>[Zz]|[+-]\d\d:\d\d)?")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class Moment:
    """One bound of an event: a bare day, or an instant (UTC) with the IANA zone it was given in."""

    day: date | None
    instant: datetime | None
    time_zone: str = ""

    def bound(self, zone: ZoneInfo) -> datetime:
        """The instant (UTC) this bound stands for on a calendar kept in `zone`."""
        if self.instant is not None:
            return self.instant
        if self.day is None:
            raise ValueError("a moment is a day or an instant")
        return datetime.combine(self.day, time(), zone).astimezone(UTC)

    def resource(self, zone: ZoneInfo) -> dict[str, str]:
        """Google's form: an instant is printed with the offset of `zone`, whatever zone it was given in."""
        if self.instant is None:
            return {"date": str(self.day)}
        return {"dateTime": rfc3339(self.instant.astimezone(zone)), "timeZone": self.time_zone}


def rfc3339(instant: datetime, timespec: str = "seconds") -> str:
    """An aware time with its offset; UTC prints as `Z`."""
    return instant.isoformat(timespec=timespec).replace("+00:00", "Z")


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def zone_named(name: object, where: str) -> ZoneInfo:
    """The IANA zone of that name, or a 400 that says `where` it stood."""
    if not isinstance(name, str) or name not in _zone_names():
        raise invalid(f"Invalid time zone definition for {where}.")
    return ZoneInfo(name)


def parse_instant(text: object) -> datetime | None:
    """An RFC 3339 time in UTC, to the second; None where it is none or has no offset."""
    if not isinstance(text, str) or not (match := _RFC3339.fullmatch(text)) or not match["offset"]:
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError):
        return None


def parse_moment(value: object, name: str, calendar_zone: ZoneInfo) -> Moment:
    """The `start` or `end` (`name`) of a request body; an instant given without a zone takes the calendar's.

    Raises 400 where it is missing, is both or neither of `date` and `dateTime`, or lacks an offset and a zone.
    """
    if value is None:
        raise required(f"Missing {name} time.")
    if not isinstance(value, Mapping):
        raise invalid(f"Invalid {name} time.")
    given: dict[str, Any] = {key: item for key, item in value.items() if item is not None}
    if "date" in given and "dateTime" in given:
        raise invalid(f"Invalid {name} time: date and dateTime exclude each other.")
    zone = zone_named(given["timeZone"], f"{name} time") if given.get("timeZone") else None
    if "date" in given:
        return Moment(_parse_day(given["date"], name), None)
    if "dateTime" not in given:
        raise required(f"Missing {name} time.")
    return Moment(None, _parse_date_time(given["dateTime"], zone, name), (zone or calendar_zone).key)


def _parse_day(text: object, name: str) -> date:
    if isinstance(text, str) and _DAY.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError as error:
            raise _unreadable(text, name) from error
    raise _unreadable(text, name)


def _parse_date_time(text: object, zone: ZoneInfo | None, name: str) -> datetime:
    if not isinstance(text, str) or not (match := _RFC3339.fullmatch(text)):
        raise _unreadable(text, name)
    try:
        parsed = datetime.fromisoformat(text.upper()).replace(microsecond=0)
        if match["offset"]:
            return parsed.astimezone(UTC)
        if zone is None:
            raise required(f"Missing time zone definition for {name} time.")
        return parsed.replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _unreadable(text, name) from error


def _unreadable(text: object, name: str) -> ApiError:
    return invalid(f'Invalid {name} time: invalid format: "{text}".')
