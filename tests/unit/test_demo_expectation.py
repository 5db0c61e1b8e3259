"""The oracle of the demo, held against cases worked out by hand from the contract."""

from __future__ import annotations

import ast
import inspect
from datetime import UTC, date, datetime
from types import ModuleType
from typing import Any

import pytest

import web.demo.traffic
from web.demo import expectation
from web.demo.expectation import JobKey, Shape, State, UnforeseeableError, When, expected_states, final_shapes, shape_of
from web.demo.traffic import SAMPLE, Header, Tenant, Traffic, TrafficRow, read_traffic

LINK = "https://app.example.com/jobs/{job_id}"

Window = dict[str, str | None] | None


def row(payload: object, event_type: str = "job.updated", job_id: str = "job_1", **marks: Any) -> TrafficRow:
    return TrafficRow(0.0, "acme", job_id, event_type, payload, **marks)


def leg(dispatch: Window = None, delivery: Window = None, **more: object) -> dict[str, object]:
    return {"summary": "Dallas → Memphis", "dispatch_window": dispatch, "delivery_window": delivery, **more}


def job(*legs: dict[str, object], **more: object) -> dict[str, object]:
    return {"schema_version": 1, "job_number": "J-1", "legs": list(legs), **more}


def window(start: str | None = None, end: str | None = None, timezone: str | None = None) -> Window:
    return {"start": start, "end": end, "timezone": timezone}


def shape(payload: object) -> Shape:
    found = shape_of(row(payload), LINK)
    assert found is not None
    return found


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


SEVEN, NINE = "2026-12-01T07:00:00-06:00", "2026-12-01T09:00:00-06:00"
SIXTEEN, EIGHTEEN = "2026-12-01T16:00:00-06:00", "2026-12-01T18:00:00-06:00"


def test_the_contracts_own_example() -> None:
    payload = {
        "schema_version": 1,
        "job_number": "J-10423",
        "status": "scheduled",
        "timezone": "America/Chicago",
        "legs": [
            {
                "summary": "Dallas → Memphis",
                "dispatch_window": {"start": SEVEN, "end": NINE},
                "delivery_window": {"start": SIXTEEN, "end": EIGHTEEN, "timezone": "America/Chicago"},
                "stops": [
                    {"kind": "pickup", "name": "Acme Warehouse 4", "address": "1201 Main St, Dallas, TX 75202"},
                    {"kind": "delivery", "name": "River Depot", "address": "88 Union Ave, Memphis, TN 38103"},
                ],
            }
        ],
        "manifest": {
            "items": [{"description": "Palletised paint", "quantity": 12, "unit": "pallet", "weight_kg": 5400}],
            "notes": "Liftgate",
        },
        "assigned_user_ids": ["u_ana"],
        "crew": [{"name": "Sam Ortiz", "email": "sam@example.com", "role": "driver"}],
    }
    assert shape_of(row(payload, job_id="job/8f 3a"), LINK) == Shape(
        summary="J-10423 · Dallas → Memphis",
        description=(
            "• 12 pallet Palletised paint, 5400 kg\n"
            "Liftgate\n"
            "\n"
            '<a href="https://app.example.com/jobs/job%2F8f%203a">Open job J-10423</a>'
        ),
        location="1201 Main St, Dallas, TX 75202",
        start=When(instant=utc("2026-12-01T13:00:00"), zone="America/Chicago"),
        end=When(instant=utc("2026-12-02T00:00:00"), zone="America/Chicago"),
    )


@pytest.mark.parametrize(
    ("payload", "start", "end"),
    [
        pytest.param(
            job(leg(window(SEVEN, NINE), window(SIXTEEN, EIGHTEEN))),
            When(instant=utc("2026-12-01T13:00:00")),
            When(instant=utc("2026-12-02T00:00:00")),
            id="without a zone the offset decides",
        ),
        pytest.param(
            job(leg(window(SEVEN, NINE, "America/Denver"), window(SIXTEEN, EIGHTEEN)), timezone="America/Chicago"),
            When(instant=utc("2026-12-01T13:00:00"), zone="America/Denver"),
            When(instant=utc("2026-12-02T00:00:00"), zone="America/Chicago"),
            id="a window's own zone beats the job's",
        ),
        pytest.param(
            job(leg(window(SIXTEEN, EIGHTEEN), window(SEVEN, NINE)), leg(window(SEVEN, NINE), window(end=EIGHTEEN))),
            When(instant=utc("2026-12-01T22:00:00")),
            When(instant=utc("2026-12-02T00:00:00")),
            id="first and last go by list order, not by time",
        ),
        pytest.param(
            job(leg(None, None), leg(window(), window(SIXTEEN, EIGHTEEN)), leg(window(SEVEN, NINE), window())),
            When(instant=utc("2026-12-01T13:00:00")),
            When(instant=utc("2026-12-02T00:00:00")),
            id="windows without a bound do not count",
        ),
        pytest.param(
            job(leg(None, window(SIXTEEN, EIGHTEEN)), leg(None, window(SEVEN, EIGHTEEN))),
            When(instant=utc("2026-12-01T13:00:00")),
            When(instant=utc("2026-12-02T00:00:00")),
            id="without a dispatch window the earliest bound starts",
        ),
        pytest.param(
            job(leg(window(SEVEN, EIGHTEEN)), leg(window(NINE, SIXTEEN))),
            When(instant=utc("2026-12-01T13:00:00")),
            When(instant=utc("2026-12-02T00:00:00")),
            id="without a delivery window the latest bound ends",
        ),
        pytest.param(
            job(leg(window(SEVEN))),
            When(instant=utc("2026-12-01T13:00:00")),
            When(instant=utc("2026-12-01T14:00:00")),
            id="a lone start lasts an hour",
        ),
        pytest.param(
            job(leg(None, window(end=EIGHTEEN))),
            When(instant=utc("2026-12-01T23:00:00")),
            When(instant=utc("2026-12-02T00:00:00")),
            id="a lone end begins an hour before",
        ),
        pytest.param(
            job(leg(window(end=NINE), window(SIXTEEN))),
            When(instant=utc("2026-12-01T15:00:00")),
            When(instant=utc("2026-12-01T22:00:00")),
            id="an end of dispatch and a start of delivery make do",
        ),
        pytest.param(
            job(leg(window(SEVEN, NINE), window(SIXTEEN))),
            When(instant=utc("2026-12-01T13:00:00")),
            When(instant=utc("2026-12-01T14:00:00")),
            id="a missing end is an hour from the start",
        ),
        pytest.param(
            job(leg(window("2026-12-01", "2026-12-01"), window("2026-12-02", "2026-12-03"))),
            When(day=date(2026, 12, 1)),
            When(day=date(2026, 12, 4)),
            id="dates make an all-day event with an exclusive end",
        ),
        pytest.param(
            job(leg(window("2026-12-01"))),
            When(day=date(2026, 12, 1)),
            When(day=date(2026, 12, 2)),
            id="a lone date is that day",
        ),
        pytest.param(
            job(leg(window("2026-12-01"), window(end="2026-12-02T23:30:00-06:00", timezone="Europe/Berlin"))),
            When(day=date(2026, 12, 1)),
            When(day=date(2026, 12, 4)),
            id="a timed bound beside a date is its day at its own place",
        ),
        pytest.param(
            job(leg(window("2027-03-14T01:30:00-06:00")), timezone="America/Chicago"),
            When(instant=utc("2027-03-14T07:30:00"), zone="America/Chicago"),
            When(instant=utc("2027-03-14T08:30:00"), zone="America/Chicago"),
            id="the hour before the clocks change is an hour all the same",
        ),
        pytest.param(
            job(leg(None, window("2026-12-01", "2026-12-02T08:00:00+13:00")), timezone="Pacific/Auckland"),
            When(day=date(2026, 12, 1)),
            When(day=date(2026, 12, 3)),
            id="a date is the earliest bound by its local midnight",
        ),
    ],
)
def test_start_and_end(payload: object, start: When, end: When) -> None:
    found = shape(payload)
    assert (found.start, found.end) == (start, end)
    assert "Note:" not in found.description


@pytest.mark.parametrize(
    ("payload", "start", "end", "note"),
    [
        pytest.param(
            job(leg(window(SIXTEEN, EIGHTEEN, "America/Chicago"), window(SEVEN, NINE))),
            When(instant=utc("2026-12-01T22:00:00"), zone="America/Chicago"),
            When(instant=utc("2026-12-01T23:00:00"), zone="America/Chicago"),
            "Note: the delivery ends before it starts; shown with one hour from the start.",
            id="a timed end before its start",
        ),
        pytest.param(
            job(leg(window(SEVEN, NINE), window(None, SEVEN))),
            When(instant=utc("2026-12-01T13:00:00")),
            When(instant=utc("2026-12-01T14:00:00")),
            "Note: the delivery ends before it starts; shown with one hour from the start.",
            id="an end at its start",
        ),
        pytest.param(
            job(leg(window("2026-12-05"), window(end="2026-12-03"))),
            When(day=date(2026, 12, 5)),
            When(day=date(2026, 12, 6)),
            "Note: the last day is before the first; shown on the first day.",
            id="a last day before the first",
        ),
    ],
)
def test_an_end_that_is_not_after_the_start_is_moved_and_noted(
    payload: object, start: When, end: When, note: str
) -> None:
    found = shape(payload)
    assert (found.start, found.end) == (start, end)
    assert note in found.description.split("\n")


@pytest.mark.parametrize(
    "payload",
    [job(), job(leg()), job(leg(window(), window()))],
    ids=["no legs", "no windows", "windows without bounds"],
)
def test_a_job_without_a_usable_window_has_no_event(payload: object) -> None:
    assert shape_of(row(payload), LINK) is None


@pytest.mark.parametrize("payload", [{}, job(leg(window(SEVEN)))], ids=["empty", "full"])
def test_a_cancelled_job_has_no_event_whatever_its_payload(payload: object) -> None:
    assert shape_of(row(payload, "job.cancelled"), LINK) is None


@pytest.mark.parametrize(
    ("manifest", "lines"),
    [
        pytest.param(None, [], id="none"),
        pytest.param({"items": [], "notes": None}, [], id="empty"),
        pytest.param({"items": [{"description": "Coil"}]}, ["• Coil"], id="a bare description"),
        pytest.param({"items": [{"quantity": 2.0, "weight_kg": 0.5}]}, ["• 2, 0.5 kg"], id="figures alone"),
        pytest.param({"items": [{"weight_kg": 1000000}]}, ["• 1000000 kg"], id="a weight alone"),
        pytest.param(
            {"items": [{"description": "<b>'x'</b> & \"y\""}]},
            ["• &lt;b&gt;&#x27;x&#x27;&lt;/b&gt; &amp; &quot;y&quot;"],
            id="markup is shown as text",
        ),
        pytest.param({"notes": " Ring\r\nzweite\tEinfahrt \u202e"}, ["Ring", "zweiteEinfahrt"], id="notes keep lines"),
        pytest.param({"notes": "&" * 501}, ["&amp;" * 499 + "…"], id="notes are clipped before escaping"),
        pytest.param(
            {"items": [{"description": f"x{n}"} for n in range(11)]},
            [*(f"• x{n}" for n in range(10)), "• and 1 more item"],
            id="eleven items",
        ),
        pytest.param(
            {"items": [{"description": f"x{n}"} for n in range(40)]},
            [*(f"• x{n}" for n in range(10)), "• and 30 more items"],
            id="forty items",
        ),
    ],
)
def test_the_manifest_in_the_description(manifest: object, lines: list[str]) -> None:
    found = shape(job(leg(window(SEVEN)), manifest=manifest)).description.split("\n")
    assert found == [*lines, *([""] if lines else []), '<a href="https://app.example.com/jobs/job_1">Open job J-1</a>']


@pytest.mark.parametrize(
    ("summaries", "title"),
    [
        pytest.param([], "J-1", id="no legs with a summary"),
        pytest.param(["A", None, "  ", "B"], "J-1 · A · B", id="blank summaries are left out"),
        pytest.param(["a\n  b\u2067c"], "J-1 · a bc", id="one line, no embedded direction"),
        pytest.param(["بضائع <b>"], "J-1 · بضائع <b>", id="text as it is, not HTML"),
        pytest.param(["x" * 294], "J-1 · " + "x" * 294, id="three hundred characters"),
        pytest.param(["x" * 295], "J-1 · " + "x" * 293 + "…", id="one too many"),
        pytest.param(["x" * 292 + "e\u0301" + "yy"], "J-1 · " + "x" * 292 + "…", id="an accent stays with its letter"),
        pytest.param(
            ["x" * 292 + "\U0001f1e9\U0001f1ea" + "yy"], "J-1 · " + "x" * 292 + "…", id="a flag is not cut in two"
        ),
    ],
)
def test_the_title(summaries: list[str | None], title: str) -> None:
    legs = [leg(window(SEVEN), summary=summary) for summary in summaries] or [leg(window(SEVEN), summary=None)]
    assert shape(job(*legs)).summary == title


@pytest.mark.parametrize(
    ("legs", "place"),
    [
        pytest.param([leg(window(SEVEN))], "", id="no stops"),
        pytest.param([leg(window(SEVEN), stops=[{"address": None}, {"address": "2 B St"}])], "", id="a blank address"),
        pytest.param([leg(window(SEVEN), stops=[]), leg(stops=[{"address": " 1 A\nSt "}])], "1 A St", id="a later leg"),
    ],
)
def test_the_place_is_the_first_stop(legs: list[dict[str, object]], place: str) -> None:
    assert shape(job(*legs)).location == place


def traffic(*rows: TrafficRow) -> Traffic:
    return Traffic(Header("2026-11-23", {"acme": Tenant("UTC", ())}), rows)


def test_rolled_back_and_broken_rows_leave_no_trace() -> None:
    scheduled, empty = job(leg(window(SEVEN))), job()
    rows = traffic(
        row(scheduled),
        row(empty, rollback=True),
        row([], job_id="job_2", broken="type"),
        row(empty),
        row({}, "job.cancelled"),
        row(scheduled),
    )
    states = expected_states(rows, job_url_template=LINK)
    key: JobKey = ("acme", "job_1")
    assert states == {
        key: [State(0, shape(scheduled)), State(3, None), State(4, None), State(5, shape(scheduled))],
    }
    assert final_shapes(states) == {key: shape(scheduled)}


@pytest.mark.parametrize(
    "payload",
    [
        [],
        {"legs": [leg(window(SEVEN))]},
        job(leg(window("2026-12-01T07:00:00"))),
        job(leg(window(SEVEN)), timezone="Mars/Olympus"),
        job(leg(window(SEVEN)), manifest={"items": [{"description": "&" * 2000}] * 4}),
    ],
    ids=["no object", "no number", "no offset", "no such zone", "a description that is too long"],
)
def test_a_row_that_makes_no_event_and_is_not_marked_broken_is_named(payload: object) -> None:
    with pytest.raises(UnforeseeableError, match="row 1 of job job_1 is not marked broken"):
        expected_states(traffic(row(payload)), job_url_template=LINK)


def test_the_whole_sample_can_be_foretold() -> None:
    states = expected_states(read_traffic(SAMPLE), job_url_template=LINK)
    shapes = final_shapes(states)
    assert len(states) == 37, "forty jobs, three of them broken"
    assert 20 <= len(shapes) < len(states), "most stand in the end, some are cancelled or unscheduled"


@pytest.mark.parametrize("module", [expectation, web.demo.traffic])
def test_the_oracle_shares_nothing_with_the_engine(module: ModuleType) -> None:
    nodes = list(ast.walk(ast.parse(inspect.getsource(module))))
    imported = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert "dataclasses" in imported
    assert not [name for name in imported if name.partition(".")[0] == "outbox"]
