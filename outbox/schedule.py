"""When a job's event begins and ends: from the windows of its legs to two moments.

"First" and "last" go by list order, over windows that have a bound. Instants are compared and moved as instants, so
an hour is an hour on the days on which the clocks change.
"""

import datetime
from typing import NamedTuple

from outbox.bound import Bound, zone_info
from outbox.payload import Job, Window

HOUR = datetime.timedelta(hours=1)
"""What lies between a known bound and a missing one."""


class AllDay(NamedTuple):
    """A day without a time; as an end it is the last day, inclusive."""

    date: datetime.date


class Timed(NamedTuple):
    """An instant in local time: `at` has the fixed offset that holds there, `zone` its IANA name where one is known."""

    at: datetime.datetime
    zone: str | None


Moment = AllDay | Timed


class Schedule(NamedTuple):
    """Start and end, both timed or both all-day, the end after the start; `widened` if it was not so as sent."""

    start: Moment
    end: Moment
    widened: bool


def schedule(job: Job) -> Schedule | None:
    """When the job's event is; None if no window of a leg has a bound (the job is unscheduled)."""
    chosen = _choose(job)
    if chosen is None:
        return None
    start, end = chosen
    if start.is_date or end.is_date:
        first, last = start.day(), end.day()
        return Schedule(AllDay(first), AllDay(max(first, last)), widened=last < first)
    begin, finish = start.timed(), end.timed()
    if finish.at > begin.at:
        return Schedule(begin, finish, widened=False)
    return Schedule(begin, _local(begin.at + HOUR, begin.zone), widened=True)


def ends_at(schedule: Schedule, job: Job) -> datetime.datetime:
    """The UTC instant at which the event is over.

    An all-day event ends with its last day in the job's zone, else in that of the first window that names one, else
    in UTC.
    """
    if isinstance(schedule.end, Timed):
        return schedule.end.at.astimezone(datetime.UTC)
    zones = (window.timezone for leg in job.legs for window in (leg.dispatch_window, leg.delivery_window) if window)
    zone = job.timezone or next(filter(None, zones), None)
    return _midnight(schedule.end.date + datetime.timedelta(days=1), zone)


class _Side(NamedTuple):
    """One bound of one window, known by identity, with the zone that holds for it."""

    bound: Bound
    zone: str | None
    shift: datetime.timedelta = datetime.timedelta()

    @property
    def is_date(self) -> bool:
        return not isinstance(self.bound, datetime.datetime)

    def shifted(self, shift: datetime.timedelta) -> "_Side":
        """What stands for a missing bound: this time moved, or this same date."""
        return self._replace(shift=shift)

    def earliest(self) -> datetime.datetime:
        """The instant, or the beginning of the day."""
        if isinstance(self.bound, datetime.datetime):
            return self.bound + self.shift
        return _midnight(self.bound, self.zone)

    def latest(self) -> datetime.datetime:
        """The instant, or the end of the day."""
        if isinstance(self.bound, datetime.datetime):
            return self.bound + self.shift
        return _midnight(self.bound + datetime.timedelta(days=1), self.zone)

    def day(self) -> datetime.date:
        """The date, or the local date of the time as it was sent."""
        if isinstance(self.bound, datetime.datetime):
            return _local(self.bound, self.zone).at.date()
        return self.bound

    def timed(self) -> Timed:
        return _local(self.earliest(), self.zone)


class _Span(NamedTuple):
    """A window that has a bound."""

    start: _Side | None
    end: _Side | None


def _choose(job: Job) -> tuple[_Side, _Side] | None:
    """The two sides that make the event's start and end."""
    dispatches = [span for leg in job.legs if (span := _span(leg.dispatch_window, job))]
    deliveries = [span for leg in job.legs if (span := _span(leg.delivery_window, job))]
    start = dispatches[0].start if dispatches else min(_sides(deliveries), key=_Side.earliest, default=None)
    # Of equals the last, so that a window's end is taken for one rather than its start.
    end = deliveries[-1].end if deliveries else max(reversed(_sides(dispatches)), key=_Side.latest, default=None)
    if start is end:
        # One bound cannot be both: the one that was only found by comparison counts as missing.
        start, end = (start, None) if dispatches else (None, end)
    if start and end:
        return start, end
    if start:
        return start, start.shifted(HOUR)
    if end:
        return end.shifted(-HOUR), end
    if dispatches and deliveries:
        start, end = dispatches[0].end, deliveries[-1].start
    return (start, end) if start and end else None


def _sides(spans: list[_Span]) -> list[_Side]:
    return [side for span in spans for side in (span.start, span.end) if side]


def _span(window: Window | None, job: Job) -> _Span | None:
    if window is None or (window.start is None and window.end is None):
        return None
    zone = window.timezone or job.timezone
    return _Span(
        _Side(window.start, zone) if window.start else None,
        _Side(window.end, zone) if window.end else None,
    )


def _local(at: datetime.datetime, zone: str | None) -> Timed:
    """The instant in the zone's local time, else in the offset that it has."""
    if zone is None:
        return Timed(at, None)
    local = at.astimezone(zone_info(zone))
    # With a fixed offset instants compare as instants; within one ZoneInfo Python compares what the clocks show.
    return Timed(at.astimezone(datetime.timezone(local.utcoffset() or datetime.timedelta())), zone)


def _midnight(day: datetime.date, zone: str | None) -> datetime.datetime:
    """The UTC instant at which the day begins there; without a zone, in UTC."""
    tz = zone_info(zone) if zone else datetime.UTC
    return datetime.datetime.combine(day, datetime.time(), tz).astimezone(datetime.UTC)
