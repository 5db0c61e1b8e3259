"""The closing comparison: every planted fault is counted, nothing else is, and delays are measured as defined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.demo.expectation import JobKey, Shape, State, When
from web.demo.traffic import Commit
from web.demo.verdict import ExpectedCalendar, Fault, Latencies, Verdict, compare, latencies, tenant_mark

SHAPE = Shape(
    summary="J-1 · Dallas → Memphis",
    description="Liftgate",
    location="1201 Main St",
    start=When(instant=datetime(2026, 12, 1, 13, tzinfo=UTC), zone="America/Chicago"),
    end=When(instant=datetime(2026, 12, 2, 0, tzinfo=UTC)),
)
ALL_DAY = replace(SHAPE, start=When(day=date(2026, 12, 1)), end=When(day=date(2026, 12, 3)))
KEY: JobKey = ("acme", "j1")


def resource(job_id: str = "j1", tenant: str = "acme", **changes: Any) -> dict[str, Any]:
    """An event that agrees with SHAPE, as the API shows it."""
    private = {"calendarSync": "1", "calendarSyncTenant": tenant_mark(tenant), "calendarSyncJob": job_id}
    event = {
        "status": "confirmed",
        "summary": SHAPE.summary,
        "description": SHAPE.description,
        "location": SHAPE.location,
        "start": {"dateTime": "2026-12-01T07:00:00-06:00", "timeZone": "America/Chicago"},
        "end": {"dateTime": "2026-12-02T00:00:00Z", "timeZone": "UTC"},
        "extendedProperties": {"private": private},
    }
    return event | changes


def judge(*events: Mapping[str, Any], shapes: Mapping[JobKey, Shape] | None = None) -> Verdict:
    """One calendar of the tenant acme, in which by default the one job's event should stand."""
    wanted = {KEY: SHAPE} if shapes is None else shapes
    return compare({"cal": ExpectedCalendar(frozenset({"acme"}), wanted)}, {"cal": events})


def faults(verdict: Verdict) -> dict[str, int]:
    return {fault.value: verdict.count(fault) for fault in Fault if verdict.count(fault)}


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(resource(), id="the same instants, written otherwise"),
        pytest.param(resource(start={"dateTime": "2026-12-01T07:00:00", "timeZone": "America/Chicago"}), id="by zone"),
        pytest.param(resource(end={"dateTime": "2026-12-01T18:00:00-06:00"}), id="no zone where none is known"),
        pytest.param(resource(colorId="5", attendees=[], reminders={}), id="with what is the user's own"),
    ],
)
def test_an_event_that_shows_the_job_is_right(event: Mapping[str, Any]) -> None:
    verdict = judge(event)
    assert verdict.right
    assert (verdict.expected, verdict.found) == (1, 1)


def test_an_all_day_event_without_a_place_is_right() -> None:
    event = resource(start={"date": "2026-12-01"}, end={"date": "2026-12-03"})
    del event["location"]
    assert judge(event, shapes={KEY: replace(ALL_DAY, location="")}).right


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"summary": "J-1"}, id="the title"),
        pytest.param({"description": None}, id="the description"),
        pytest.param({"location": "2 B St"}, id="the place"),
        pytest.param(
            {"start": {"dateTime": "2026-12-01T08:00:00-06:00", "timeZone": "America/Chicago"}}, id="the start"
        ),
        pytest.param({"start": {"dateTime": "2026-12-01T13:00:00Z", "timeZone": "UTC"}}, id="the zone"),
        pytest.param({"end": {"dateTime": "2026-12-02T00:00:01Z"}}, id="the end by a second"),
        pytest.param({"start": {"date": "2026-12-01"}, "end": {"date": "2026-12-02"}}, id="a day for a time"),
        pytest.param({"start": {}, "end": {}}, id="no times at all"),
    ],
)
def test_a_difference_in_any_of_our_fields_is_stale(changes: dict[str, Any]) -> None:
    assert faults(judge(resource(**changes))) == {"stale": 1}


def test_the_finding_says_what_differs() -> None:
    (finding,) = judge(resource(summary="old")).findings
    assert finding.detail == f"summary is 'old', should be {SHAPE.summary!r}"


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([], {"missing": 1}, id="no event"),
        pytest.param([resource(status="cancelled")], {"missing": 1}, id="a deleted event"),
        pytest.param([resource(extendedProperties={})], {"missing": 1}, id="an event without our mark is the user's"),
        pytest.param([resource(), resource()], {"extra": 1}, id="a duplicate"),
        pytest.param([resource(summary="old"), resource()], {"extra": 1}, id="a duplicate that is out of date"),
        pytest.param([resource(summary="x"), resource(summary="y")], {"extra": 1, "stale": 1}, id="two that are wrong"),
        pytest.param([resource(), resource("j2")], {"extra": 1}, id="an event of a job that should have none"),
        pytest.param([resource(), resource("j1", "other")], {"wrong_calendar": 1}, id="another tenant's job"),
        pytest.param([resource("j1", "other")], {"missing": 1, "wrong_calendar": 1}, id="only another tenant's job"),
    ],
)
def test_each_kind_of_fault_is_counted(events: list[Mapping[str, Any]], expected: dict[str, int]) -> None:
    verdict = judge(*events)
    assert faults(verdict) == expected
    assert not verdict.right
    assert verdict.calendars[0].faults == {Fault(name): count for name, count in expected.items()}


def test_an_event_in_a_calendar_that_nobody_chose_is_in_the_wrong_one() -> None:
    verdict = compare({}, {"cal": [resource(), resource()]})
    assert faults(verdict) == {"wrong_calendar": 2}


def test_a_calendar_that_was_not_even_read_lacks_its_events() -> None:
    assert faults(compare({"cal": ExpectedCalendar(frozenset({"acme"}), {KEY: SHAPE})}, {})) == {"missing": 1}


def test_calendars_are_judged_one_by_one() -> None:
    chosen = ExpectedCalendar(frozenset({"acme"}), {KEY: SHAPE})
    verdict = compare({"b": chosen, "a": chosen}, {"a": [resource()], "b": [], "c": []})
    assert [(row.calendar, row.expected, row.found, dict(row.faults)) for row in verdict.calendars] == [
        ("a", 1, 1, {}),
        ("b", 1, 0, {Fault.MISSING: 1}),
        ("c", 0, 0, {}),
    ]


A, B = SHAPE, replace(SHAPE, summary="B")


def shown(shape: Shape | None) -> dict[str, Any]:
    return resource(status="cancelled") if shape is None else resource(summary=shape.summary)


def delays(
    committed: Sequence[tuple[float, Shape | None]],
    written: Sequence[tuple[float, Shape | None]],
    calendars: Mapping[str, frozenset[str]] | None = None,
) -> Latencies:
    """Latencies of one job whose states were committed at these times, in one calendar written at those."""
    commits = [Commit(n, *KEY, n + 1, time, time + 0.001) for n, (time, _) in enumerate(committed)]
    states = {KEY: [State(n, shape) for n, (_, shape) in enumerate(committed)]}
    journal = [
        {"seq": n, "time": time, "calendar": "cal", "event": "e1", "method": "PUT", "resource": shown(shape)}
        for n, (time, shape) in enumerate(written)
    ]
    return latencies(commits, reversed(journal), states, calendars or {"cal": frozenset({"acme"})})


@pytest.mark.parametrize(
    ("committed", "written", "expected"),
    [
        pytest.param([(10, A)], [(12, A)], [2], id="a new event"),
        pytest.param([(10, A), (20, B)], [(12, A), (21, B)], [1, 2], id="each change by itself"),
        pytest.param([(10, A), (11, B)], [(14, B)], [3, 4], id="a change overtaken by a newer one"),
        pytest.param([(10, A), (20, None)], [(11, A), (23, None)], [1, 3], id="an event that goes"),
        pytest.param([(10, A), (11, None)], [], [0, 1], id="an event that was over before it was pushed"),
        pytest.param([(10, None)], [], [], id="an unscheduled job changes nothing"),
        pytest.param([(10, A), (20, A)], [(11, A)], [1], id="a row that leaves the event as it is"),
        pytest.param([(10, A), (20, B), (22, A)], [(11, A)], [0, 1, 2], id="there and back, unseen by the calendar"),
        pytest.param(
            [(10, A), (20, B), (30, A)], [(11, A), (21, B), (33, A)], [1, 1, 3], id="a state of old counts not as new"
        ),
        pytest.param([(10, A)], [(9, A), (9.5, None), (13, A)], [3], id="what was there before but no longer"),
        pytest.param([(10, A)], [(11, B), (15, A)], [5], id="a wrong state first"),
    ],
)
def test_latency_runs_from_the_commit_until_the_calendar_holds_that_state_or_a_newer_one(
    committed: list[tuple[float, Shape | None]], written: list[tuple[float, Shape | None]], expected: list[float]
) -> None:
    measured = delays(committed, written)
    assert measured.milliseconds == pytest.approx([seconds * 1000 for seconds in expected])
    assert measured.undelivered == 0


@pytest.mark.parametrize(
    ("committed", "written"),
    [
        pytest.param([(10, A)], [], id="no event"),
        pytest.param([(10, B)], [(11, A)], id="another state"),
        pytest.param([(10, A)], [(8, A), (9, None)], id="only before the commit"),
    ],
)
def test_a_change_that_never_arrives_is_undelivered(
    committed: list[tuple[float, Shape | None]], written: list[tuple[float, Shape | None]]
) -> None:
    assert delays(committed, written) == Latencies((), 1)


def test_a_calendar_with_two_events_of_the_job_does_not_hold_its_state() -> None:
    journal = [
        {"seq": n, "time": time, "calendar": "cal", "event": event_id, "resource": event}
        for n, (time, event_id, event) in enumerate(
            [(11.0, "e1", shown(B)), (12.0, "e2", shown(A)), (15.0, "e1", {"status": "cancelled"})]
        )
    ]
    measured = latencies([Commit(0, *KEY, 1, 10.0, 10.0)], journal, {KEY: [State(0, A)]}, {"cal": frozenset({"acme"})})
    assert measured == Latencies((5000.0,), 0)


def test_every_calendar_of_the_tenant_counts_and_no_other() -> None:
    calendars = {"cal": frozenset({"acme"}), "idle": frozenset({"acme"}), "foreign": frozenset({"other"})}
    assert delays([(10, A)], [(12, A)], calendars) == Latencies((2000.0,), 1)


def test_a_row_that_was_not_committed_is_not_measured() -> None:
    assert latencies([], [], {KEY: [State(0, A)]}, {"cal": frozenset({"acme"})}) == Latencies((), 0)


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 2), (51, 3), (99, 4), (100, 4)])
def test_percentiles_are_values_that_were_measured(percent: float, value: float) -> None:
    assert Latencies((1, 2, 3, 4), 0).percentile(percent) == value


def test_nothing_measured_has_no_percentile() -> None:
    assert Latencies((), 0).percentile(50) is None


@given(st.lists(st.floats(0, 1e6), min_size=1).map(sorted), st.floats(0, 100))
def test_at_least_that_share_is_not_above_a_percentile(values: list[float], percent: float) -> None:
    found = Latencies(tuple(values), 0).percentile(percent)
    assert found is not None
    assert sum(value <= found for value in values) >= percent / 100 * len(values) - 1e-9
