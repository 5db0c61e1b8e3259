"""Of a batch each job's newest legal row counts, and every illegal one is named with its reason."""

import json
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox import relay
from outbox.relay import OutboxRow
from outbox.rendering import Rendering

WINDOW = {"start": "2027-03-01T08:00:00-06:00", "end": "2027-03-01T10:00:00-06:00"}
LEG = {"summary": "Dallas → Memphis", "dispatch_window": WINDOW, "delivery_window": WINDOW}
JOB: dict[str, Any] = {"schema_version": 1, "job_number": "J-1", "timezone": "America/Chicago", "legs": [LEG]}
ENDS_AT = datetime(2027, 3, 1, 16, tzinfo=UTC)


def row(
    number: int, payload: object = JOB, *, job: str = "j1", tenant: str = "acme", event: str = "updated"
) -> OutboxRow:
    return OutboxRow(number, tenant, job, f"job.{event}", json.dumps(payload))


read_rows = partial(relay.read_rows, job_url_template="https://app.example.com/jobs/{job_id}")


def newest(*rows: OutboxRow) -> list[int]:
    """The ids of the rows whose states are taken."""
    states, _ = read_rows(list(rows))
    return sorted(state.row_id for state in states)


def reasons(*rows: OutboxRow) -> dict[int, str]:
    return read_rows(list(rows))[1]


def test_no_rows_are_no_states() -> None:
    assert read_rows([]) == ([], {})


def test_the_last_of_a_jobs_rows_is_its_state() -> None:
    assert newest(row(1), row(2), row(5)) == [5]


def test_jobs_are_told_apart_by_tenant_and_id() -> None:
    assert newest(row(1), row(2, job="j2"), row(3, tenant="other")) == [1, 2, 3]


def test_an_illegal_row_leaves_the_state_before_it_in_force() -> None:
    rows = row(1), row(2, {**JOB, "timezone": "Mars/Olympus"})
    assert newest(*rows) == [1]
    assert list(reasons(*rows)) == [2]


def test_each_illegal_row_is_named_even_if_a_legal_one_follows() -> None:
    rows = row(1, []), row(2, {**JOB, "job_number": None}), row(3)
    assert newest(*rows) == [3]
    assert {number: reason.partition(":")[0] for number, reason in reasons(*rows).items()} == {
        1: "payload",
        2: "job_number",
    }


@pytest.mark.parametrize("payload", [{}, [], None, "text", 5, {"legs": "none"}], ids=json.dumps)
def test_a_cancellation_is_legal_whatever_its_payload(payload: object) -> None:
    states, refused = read_rows([row(1), row(2, payload, event="cancelled")])
    assert [(state.row_id, state.cancelled, state.rendering) for state in states] == [(2, True, None)]
    assert refused == {}


def test_a_cancellation_is_legal_even_with_a_payload_above_the_limit() -> None:
    states, refused = read_rows([OutboxRow(1, "acme", "j1", "job.cancelled", None)])
    assert [state.cancelled for state in states] == [True]
    assert refused == {}


def test_a_payload_above_the_limit_is_refused_as_such() -> None:
    assert "larger than 256,000 bytes" in reasons(OutboxRow(1, "acme", "j1", "job.updated", None))[1]


def test_a_state_ends_with_its_event() -> None:
    states, _ = read_rows([row(1)])
    assert [(state.cancelled, state.rendering and state.rendering.ends_at) for state in states] == [(False, ENDS_AT)]


def test_an_unscheduled_job_has_no_end() -> None:
    states, _ = read_rows([row(1, {**JOB, "legs": []})])
    assert [state.rendering for state in states] == [Rendering((), None, None)]


@st.composite
def batches(draw: st.DrawFn) -> list[OutboxRow]:
    """Rows of a few jobs in the order of their ids, legal and not."""
    kinds = st.tuples(
        st.sampled_from(["acme", "other"]),
        st.sampled_from(["j1", "j2"]),
        st.sampled_from(["created", "updated", "cancelled"]),
        st.sampled_from([JOB, {**JOB, "legs": []}, [], {**JOB, "schema_version": 2}]),
    )
    drawn = draw(st.lists(kinds, max_size=12))
    return [
        row(number, payload, job=job, tenant=tenant, event=event)
        for number, (tenant, job, event, payload) in enumerate(drawn, start=1)
    ]


@given(batches())
def test_every_row_is_refused_taken_or_older_than_the_one_that_is_taken(rows: list[OutboxRow]) -> None:
    states, refused = read_rows(rows)
    taken = {state.row_id for state in states}
    of_taken = {(one.tenant_id, one.job_id): one.id for one in rows if one.id in taken}
    assert len(of_taken) == len(taken)
    assert not taken & refused.keys()
    for one in rows:
        assert one.id in refused or one.id <= of_taken[one.tenant_id, one.job_id]


@given(batches())
def test_a_rows_fate_does_not_depend_on_rows_of_other_jobs(rows: list[OutboxRow]) -> None:
    states, refused = read_rows(rows)
    alone = [
        read_rows([one for one in rows if (one.tenant_id, one.job_id) == key])
        for key in {(r.tenant_id, r.job_id) for r in rows}
    ]
    assert sorted(state.row_id for state in states) == sorted(state.row_id for part, _ in alone for state in part)
    assert refused == {number: reason for _, part in alone for number, reason in part.items()}
