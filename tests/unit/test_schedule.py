"""When a job's event is: tables of windows, zones, nights and the days on which the clocks change."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.bound import parse_bound
from outbox.payload import Job, Leg, Manifest, Window
from outbox.schedule import HOUR, AllDay, Moment, Schedule, Timed, ends_at, schedule

CHICAGO, BERLIN, AUCKLAND, LORD_HOWE = "America/Chicago", "Europe/Berlin", "Pacific/Auckland", "Australia/Lord_Howe"


def window(span: str, zone: str | None = None) -> Window:
    """A window from "start/end", where ".." is an open side."""
    start, end = (None if bound == ".." else parse_bound(bound) for bound in span.split("/"))
    return Window(start, end, zone)


def leg(dispatch: str | Window | None = None, delivery: str | Window | None = None) -> Leg:
    spans = (window(span) if isinstance(span, str) else span for span in (dispatch, delivery))
    return Leg("", next(spans), next(spans), ())


def job(*legs: Leg, zone: str | None = None) -> Job:
    return Job("J-1", "", zone, legs, Manifest((), ""), ())


def written(moment: Moment) -> str:
    """The moment as a line: "2026-12-01", or "2026-12-01T07:00:00-06:00 America/Chicago"."""
    if isinstance(moment, AllDay):
        return moment.date.isoformat()
    return f"{moment.at.isoformat()} {moment.zone or ''}".strip()


def when(*legs: Leg, zone: str | None = None) -> list[str]:
    """Start and end in lines, and "widened" if they are not as sent."""
    found = schedule(job(*legs, zone=zone))
    assert found is not None
    return [written(found.start), written(found.end), *(["widened"] if found.widened else [])]


@pytest.mark.parametrize(
    ("legs", "start", "end"),
    [
        pytest.param(
            [leg("2026-12-01T07:00:00Z/2026-12-01T09:00:00Z", "2026-12-01T16:00:00Z/2026-12-01T18:00:00Z")],
            "2026-12-01T07:00:00+00:00",
            "2026-12-01T18:00:00+00:00",
            id="one leg goes from the start of dispatch to the end of delivery",
        ),
        pytest.param(
            [
                leg("2026-12-02T07:00:00Z/..", "../2026-12-04T18:00:00Z"),
                leg("2026-12-01T07:00:00Z/..", "../2026-12-03T18:00:00Z"),
            ],
            "2026-12-02T07:00:00+00:00",
            "2026-12-03T18:00:00+00:00",
            id="first and last go by list order and not by time",
        ),
        pytest.param(
            [
                leg(window("../..", BERLIN), "2026-12-01T16:00:00Z/2026-12-01T18:00:00Z"),
                leg("2026-12-01T10:00:00Z/..", window("../..", BERLIN)),
            ],
            "2026-12-01T10:00:00+00:00",
            "2026-12-01T18:00:00+00:00",
            id="windows without a bound do not count",
        ),
        pytest.param(
            [
                leg(None, "2026-12-01T16:00:00Z/2026-12-01T18:00:00Z"),
                leg("2026-12-01T17:00:00Z/2026-12-01T22:00:00Z", None),
            ],
            "2026-12-01T17:00:00+00:00",
            "2026-12-01T18:00:00+00:00",
            id="a leg without a window is passed over, for the start and for the end",
        ),
        pytest.param(
            [leg(None, "2026-12-01T16:00:00Z/2026-12-01T18:00:00Z")],
            "2026-12-01T16:00:00+00:00",
            "2026-12-01T18:00:00+00:00",
            id="without a dispatch window the earliest bound starts",
        ),
        pytest.param(
            [leg(None, "2026-12-01T23:00:00-10:00/.."), leg(None, "2026-12-02T12:00:00+14:00/2026-12-04T18:00:00Z")],
            "2026-12-02T12:00:00+14:00",
            "2026-12-04T18:00:00+00:00",
            id="the earliest bound is the earliest instant whatever the clocks show",
        ),
        pytest.param(
            [leg("2026-12-01T07:00:00Z/2026-12-01T11:00:00Z"), leg("2026-12-01T06:00:00Z/2026-12-01T09:00:00Z")],
            "2026-12-01T07:00:00+00:00",
            "2026-12-01T11:00:00+00:00",
            id="without a delivery window the latest bound ends",
        ),
        pytest.param(
            [leg("2026-12-01T07:00:00Z/..")],
            "2026-12-01T07:00:00+00:00",
            "2026-12-01T08:00:00+00:00",
            id="a lone start of dispatch ends an hour later",
        ),
        pytest.param(
            [leg("../2026-12-01T09:00:00Z")],
            "2026-12-01T08:00:00+00:00",
            "2026-12-01T09:00:00+00:00",
            id="a lone end of dispatch starts an hour earlier",
        ),
        pytest.param(
            [leg(None, "2026-12-01T16:00:00Z/..")],
            "2026-12-01T16:00:00+00:00",
            "2026-12-01T17:00:00+00:00",
            id="a lone start of delivery ends an hour later",
        ),
        pytest.param(
            [leg(None, "../2026-12-01T18:00:00Z")],
            "2026-12-01T17:00:00+00:00",
            "2026-12-01T18:00:00+00:00",
            id="a lone end of delivery starts an hour earlier",
        ),
        pytest.param(
            [leg("../2026-12-01T09:00:00Z", "2026-12-01T16:00:00Z/2026-12-01T18:00:00Z")],
            "2026-12-01T17:00:00+00:00",
            "2026-12-01T18:00:00+00:00",
            id="a dispatch window without a start begins an hour before the end of the event",
        ),
        pytest.param(
            [leg("2026-12-01T07:00:00Z/2026-12-01T09:00:00Z", "2026-12-01T16:00:00Z/..")],
            "2026-12-01T07:00:00+00:00",
            "2026-12-01T08:00:00+00:00",
            id="a delivery window without an end stops an hour after the start of the event",
        ),
        pytest.param(
            [leg("../2026-12-01T09:00:00Z", "2026-12-01T16:00:00Z/..")],
            "2026-12-01T09:00:00+00:00",
            "2026-12-01T16:00:00+00:00",
            id="without either it goes from the end of dispatch to the start of delivery",
        ),
        pytest.param(
            [leg("2026-12-01T22:00:00-06:00/..", "../2026-12-02T05:00:00-06:00")],
            "2026-12-01T22:00:00-06:00",
            "2026-12-02T05:00:00-06:00",
            id="a night is crossed",
        ),
    ],
)
def test_times(legs: list[Leg], start: str, end: str) -> None:
    assert when(*legs) == [start, end]


@pytest.mark.parametrize(
    ("legs", "first", "last"),
    [
        pytest.param([leg("2026-12-01/..", "../2026-12-03")], "2026-12-01", "2026-12-03", id="both are dates"),
        pytest.param([leg("2026-12-01/..")], "2026-12-01", "2026-12-01", id="a lone start takes its day"),
        pytest.param([leg(None, "../2026-12-01")], "2026-12-01", "2026-12-01", id="a lone end takes its day"),
        pytest.param(
            [leg("../2026-12-01", "2026-12-03/..")],
            "2026-12-01",
            "2026-12-03",
            id="the end of dispatch to the start of delivery",
        ),
        pytest.param(
            [leg("2026-12-01T07:00:00Z/..", "../2026-12-02")],
            "2026-12-01",
            "2026-12-02",
            id="a time beside a date makes all days",
        ),
        pytest.param(
            [leg(window("2026-12-01T23:30:00-06:00/..", BERLIN), "../2026-12-03")],
            "2026-12-02",
            "2026-12-03",
            id="a time counts as the day in its zone",
        ),
        pytest.param(
            [leg("2026-12-01/..", "../2026-12-01T23:30:00-06:00")],
            "2026-12-01",
            "2026-12-01",
            id="a time without a zone counts as the day of its offset",
        ),
        pytest.param(
            [leg("2026-12-01T07:00:00Z/2026-12-01")],
            "2026-12-01",
            "2026-12-01",
            id="as the latest bound a date is the end of its day",
        ),
        pytest.param(
            [
                leg(None, window("2026-12-01T01:00:00-06:00/..", CHICAGO)),
                leg(None, window("2026-12-01/2026-12-04", BERLIN)),
            ],
            "2026-12-01",
            "2026-12-04",
            id="as the earliest bound a date is the beginning of its day",
        ),
        pytest.param(
            [leg(None, "2026-12-01/.."), leg(None, "2026-12-01T12:00:00Z/2026-12-01T18:00:00Z")],
            "2026-12-01",
            "2026-12-01",
            id="as the earliest bound a date is before every time of its day",
        ),
        pytest.param(
            [leg(None, window("2026-12-01/..", CHICAGO)), leg(None, window("2026-12-02/2026-12-03", AUCKLAND))],
            "2026-12-01",
            "2026-12-03",
            id="dates in far zones are compared as instants",
        ),
    ],
)
def test_days(legs: list[Leg], first: str, last: str) -> None:
    assert when(*legs) == [first, last]


@pytest.mark.parametrize(
    ("legs", "expected"),
    [
        pytest.param(
            [leg("2026-12-01T09:00:00Z/..", "../2026-12-01T08:00:00Z")],
            ["2026-12-01T09:00:00+00:00", "2026-12-01T10:00:00+00:00", "widened"],
            id="an end before the start",
        ),
        pytest.param(
            [leg("2026-12-01T09:00:00Z/2026-12-01T09:00:00Z")],
            ["2026-12-01T09:00:00+00:00", "2026-12-01T10:00:00+00:00", "widened"],
            id="an end at the start of the same window",
        ),
        pytest.param(
            [leg(window("2026-12-01T09:00:00Z/..", CHICAGO), window("../2026-12-01T10:00:00+01:00", BERLIN))],
            ["2026-12-01T03:00:00-06:00 America/Chicago", "2026-12-01T04:00:00-06:00 America/Chicago", "widened"],
            id="an end at the same instant in another zone",
        ),
        pytest.param(
            [leg("2026-12-03/..", "../2026-12-01")],
            ["2026-12-03", "2026-12-03", "widened"],
            id="a last day before the first",
        ),
        pytest.param(
            [leg("2026-12-03/..", "../2026-12-02T23:00:00Z")],
            ["2026-12-03", "2026-12-03", "widened"],
            id="a time on the day before the first",
        ),
    ],
)
def test_an_end_that_is_not_after_the_start_is_widened(legs: list[Leg], expected: list[str]) -> None:
    assert when(*legs) == expected


@pytest.mark.parametrize(
    "legs",
    [
        pytest.param([], id="no legs"),
        pytest.param([leg()], id="no windows"),
        pytest.param([leg(window("../..", BERLIN), "../..")], id="windows without a bound"),
    ],
)
def test_a_job_without_a_bound_is_unscheduled(legs: list[Leg]) -> None:
    assert schedule(job(*legs, zone=CHICAGO)) is None


def test_a_windows_own_zone_beats_the_jobs() -> None:
    found = when(leg("2026-12-01T13:00:00Z/..", window("../2026-12-01T18:00:00Z", BERLIN)), zone=CHICAGO)
    assert found == ["2026-12-01T07:00:00-06:00 America/Chicago", "2026-12-01T19:00:00+01:00 Europe/Berlin"]


def test_an_hour_that_stands_for_a_missing_bound_is_in_the_zone_of_the_other() -> None:
    assert when(leg(None, window("../2026-12-01T18:00:00Z", BERLIN)), zone=CHICAGO) == [
        "2026-12-01T18:00:00+01:00 Europe/Berlin",
        "2026-12-01T19:00:00+01:00 Europe/Berlin",
    ]


@pytest.mark.parametrize(
    ("zone", "start", "expected_start", "expected_end"),
    [
        pytest.param(
            CHICAGO,
            "2027-03-14T01:30:00-06:00",
            "2027-03-14T01:30:00-06:00",
            "2027-03-14T03:30:00-05:00",
            id="Chicago springs forward",
        ),
        pytest.param(
            CHICAGO,
            "2027-11-07T01:30:00-05:00",
            "2027-11-07T01:30:00-05:00",
            "2027-11-07T01:30:00-06:00",
            id="Chicago falls back from the first 1:30 to the second",
        ),
        pytest.param(
            BERLIN,
            "2027-03-28T02:30:00+01:00",
            "2027-03-28T03:30:00+02:00",
            "2027-03-28T04:30:00+02:00",
            id="Berlin has no 2:30 so it is written as 3:30",
        ),
        pytest.param(
            BERLIN,
            "2027-10-31T02:30:00+01:00",
            "2027-10-31T02:30:00+01:00",
            "2027-10-31T03:30:00+01:00",
            id="Berlin keeps the second 2:30 apart from the first",
        ),
        pytest.param(
            AUCKLAND,
            "2027-09-26T01:30:00+12:00",
            "2027-09-26T01:30:00+12:00",
            "2027-09-26T03:30:00+13:00",
            id="Auckland springs forward in September",
        ),
        pytest.param(
            AUCKLAND,
            "2027-04-04T02:30:00+13:00",
            "2027-04-04T02:30:00+13:00",
            "2027-04-04T02:30:00+12:00",
            id="Auckland falls back in April",
        ),
        pytest.param(
            LORD_HOWE,
            "2027-10-03T01:45:00+10:30",
            "2027-10-03T01:45:00+10:30",
            "2027-10-03T03:15:00+11:00",
            id="Lord Howe springs forward by half an hour",
        ),
        pytest.param(
            LORD_HOWE,
            "2027-04-04T01:15:00+11:00",
            "2027-04-04T01:15:00+11:00",
            "2027-04-04T01:45:00+10:30",
            id="Lord Howe falls back by half an hour",
        ),
    ],
)
def test_an_hour_is_an_hour_on_the_days_on_which_the_clocks_change(
    zone: str, start: str, expected_start: str, expected_end: str
) -> None:
    assert when(leg(f"{start}/.."), zone=zone) == [f"{expected_start} {zone}", f"{expected_end} {zone}"]


def test_an_end_in_the_repeated_hour_is_after_a_start_that_the_clock_shows_later() -> None:
    found = when(leg("2027-10-31T02:50:00+02:00/..", "../2027-10-31T02:10:00+01:00"), zone=BERLIN)
    assert found == ["2027-10-31T02:50:00+02:00 Europe/Berlin", "2027-10-31T02:10:00+01:00 Europe/Berlin"]


@pytest.mark.parametrize(
    ("of", "over"),
    [
        pytest.param(
            job(leg("2026-12-01T07:00:00-06:00/2026-12-01T09:00:00-06:00"), zone=CHICAGO),
            datetime(2026, 12, 1, 15, tzinfo=UTC),
            id="a time ends at its instant",
        ),
        pytest.param(
            job(leg(window("2026-12-01/..", BERLIN)), zone=CHICAGO),
            datetime(2026, 12, 2, 6, tzinfo=UTC),
            id="a day ends with midnight in the zone of the job",
        ),
        pytest.param(
            job(leg("2026-12-01/..", window("../2026-12-02", BERLIN))),
            datetime(2026, 12, 2, 23, tzinfo=UTC),
            id="else in the first zone of a window",
        ),
        pytest.param(job(leg("2026-12-01/..")), datetime(2026, 12, 2, tzinfo=UTC), id="else in UTC"),
        pytest.param(
            job(leg("2027-03-28/.."), zone=BERLIN),
            datetime(2027, 3, 28, 22, tzinfo=UTC),
            id="after a day of 23 hours",
        ),
        pytest.param(
            job(leg("2027-04-22/.."), zone="Africa/Cairo"),
            datetime(2027, 4, 22, 22, tzinfo=UTC),
            id="where daylight time is only just about to begin",
        ),
        pytest.param(
            job(leg("2027-04-29/.."), zone="Africa/Cairo"),
            datetime(2027, 4, 29, 22, tzinfo=UTC),
            id="where the clocks skip the midnight",
        ),
    ],
)
def test_the_event_is_over(of: Job, over: datetime) -> None:
    found = schedule(of)
    assert found is not None
    assert ends_at(found, of) == over
    assert ends_at(found, of).tzinfo is UTC


ZONES = st.none() | st.sampled_from([CHICAGO, BERLIN, AUCKLAND, LORD_HOWE, "Asia/Kathmandu", "Africa/Cairo", "UTC"])
OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
DAYS = st.dates(date(2027, 3, 1), date(2027, 4, 30)) | st.dates(date(1980, 1, 1), date(2199, 12, 31))
TIMES = st.builds(datetime.combine, DAYS, st.times().map(lambda time: time.replace(microsecond=0)), OFFSETS)
WINDOWS = st.none() | st.builds(Window, st.none() | DAYS | TIMES, st.none() | DAYS | TIMES, ZONES)
LEGS = st.lists(st.builds(Leg, st.just(""), WINDOWS, WINDOWS, st.just(())), max_size=4)


def is_sound(found: Schedule) -> bool:
    match found.start, found.end:
        case AllDay(first), AllDay(last):
            return first <= last and not (found.widened and first != last)
        case Timed(start), Timed(end):
            return start < end and not (found.widened and end - start != HOUR)
    return False


@given(LEGS, ZONES)
def test_start_and_end_are_of_one_kind_and_in_order(legs: list[Leg], zone: str | None) -> None:
    of = job(*legs, zone=zone)
    found = schedule(of)
    assert found is None or is_sound(found)
    assert found == schedule(of)
    assert found is None or ends_at(found, of).year >= 1979


@given(LEGS, ZONES)
def test_a_job_is_unscheduled_if_and_only_if_no_window_has_a_bound(legs: list[Leg], zone: str | None) -> None:
    windows = [window for leg in legs for window in (leg.dispatch_window, leg.delivery_window) if window]
    bounded = any(window.start or window.end for window in windows)
    assert (schedule(job(*legs, zone=zone)) is not None) == bounded


@given(TIMES, TIMES, ZONES)
def test_a_zone_changes_how_a_time_is_written_and_never_the_instant(
    start: datetime, end: datetime, zone: str | None
) -> None:
    found = schedule(job(Leg("", Window(start, None, zone), Window(None, end, None), ())))
    assert found is not None
    assert isinstance(found.start, Timed)
    assert isinstance(found.end, Timed)
    assert found.start.at == start
    assert found.end.at == (end if end > start else start + HOUR)
