"""What the relay takes and sets aside, and what the janitor mends and forgets."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from outbox.relay import BATCH_ROWS, MAX_PAYLOAD_BYTES
from tests.integration.conftest import END, World, job
from tests.integration.steps import pair, pending, problems, revoke

TITLE = "J-1 · Dallas → Memphis"
DAY = 86_400

NESTED = '{"schema_version": 1, "job_number": "J-9", "legs": [], "extra": ' + "[" * 3000 + "]" * 3000 + "}"
OVERSIZED = json.dumps(job(extra="x" * MAX_PAYLOAD_BYTES))

BROKEN = {
    "an array": ("[]", "payload: must be a JSON object, got an array"),
    "a string": ('"J-1"', "payload: must be a JSON object, got a string"),
    "null": ("null", "payload: must be a JSON object, got null"),
    "oversized": (OVERSIZED, f"payload: is larger than {MAX_PAYLOAD_BYTES:,} bytes"),
    "deeply nested": (NESTED, "payload: is nested too deeply"),
    "without a number": (json.dumps({**job(), "job_number": None}), "job_number: is missing"),
    "without legs": (json.dumps({**job(), "legs": None}), "legs: is missing"),
    "of another version": (json.dumps(job(schema_version=2)), "schema_version: must be the integer 1, got 2"),
    "in no known zone": (json.dumps(job(timezone="Mars/Olympus")), 'timezone: "Mars/Olympus" is not an IANA time zone'),
    "with a time without offset": (
        json.dumps(job(legs=[{"dispatch_window": {"start": "2026-12-01T07:00:00"}}])),
        'legs[0].dispatch_window.start: "2026-12-01T07:00:00" has no UTC offset',
    ),
}


def commit_text(world: World, job_id: str, payload: str, event_type: str = "job.updated") -> None:
    """Commit a row whose payload is this JSON, character by character."""
    world.execute(
        "INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload) VALUES (%s, %s, %s, %s::jsonb)",
        world.tenant,
        job_id,
        event_type,
        payload,
    )


def rejected(world: World) -> list[tuple[Any, ...]]:
    """The rows set aside: job and reason."""
    return world.execute("SELECT job_id, reason FROM calendar_sync.rejected_event ORDER BY outbox_id")


def test_broken_rows_are_set_aside_with_the_field_that_is_wrong_and_hold_up_nothing(world: World) -> None:
    calendar = world.connect("u_ana")
    for kind, (payload, _) in BROKEN.items():
        commit_text(world, kind, payload)
    world.commit("job_1", job())
    world.sync()
    found = dict(rejected(world))
    assert {kind: found[kind][: len(reason)] for kind, (_, reason) in BROKEN.items()} == {
        kind: reason for kind, (_, reason) in BROKEN.items()
    }
    assert world.titles(calendar) == [TITLE]
    assert (world.status()["rejected_events"], world.status()["outbox_rows"]) == (len(BROKEN), 0)


def test_a_broken_row_leaves_the_state_before_it_and_lets_the_one_after_it_through(world: World) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job("J-0"))
    world.commit("job_1", [])
    world.sync()
    assert world.titles(calendar) == ["J-0 · Dallas → Memphis"]
    world.commit("job_1", [])
    world.commit("job_1", job("J-1"))
    world.sync()
    assert world.titles(calendar) == [TITLE]
    assert len(rejected(world)) == 2


def test_a_rejected_row_is_kept_as_it_came(world: World) -> None:
    outbox_id = world.commit("job_1", {"job_number": "J-1"}, "job.created")
    world.sync()
    kept = world.execute(
        "SELECT outbox_id, tenant_id, job_id, event_type, payload, created_at <= rejected_at"
        " FROM calendar_sync.rejected_event"
    )
    assert kept == [(outbox_id, world.tenant, "job_1", "job.created", {"job_number": "J-1"}, True)]


def test_a_cancellation_is_applied_whatever_its_payload(world: World) -> None:
    calendar = world.connect("u_ana")
    payloads = ["{}", "[]", "null", '"gone"', NESTED, OVERSIZED]
    for number in range(len(payloads)):
        world.commit(f"job_{number}", job(f"J-{number}"))
    world.sync()
    assert len(world.events(calendar)) == len(payloads)
    for number, payload in enumerate(payloads):
        commit_text(world, f"job_{number}", payload, "job.cancelled")
    world.sync()
    assert world.events(calendar) == []
    assert rejected(world) == []


def test_a_rolled_back_row_leaves_no_trace(world: World) -> None:
    calendar = world.connect("u_ana")
    with psycopg.connect(world.database_url) as producer:
        producer.execute(
            "INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload) VALUES (%s, %s, %s, %s)",
            [world.tenant, "job_1", "job.created", json.dumps(job())],
        )
        world.sync()
        producer.rollback()
    world.sync()
    assert world.calls(calendar) == []
    for table in ("outbox", "job", "pending_push", "pushed_event", "rejected_event"):
        assert world.execute(f"SELECT count(*) FROM calendar_sync.{table}") == [(0,)], table


def test_rows_beyond_one_batch_are_taken_by_the_next(world: World) -> None:
    calendar = world.connect("u_ana")
    world.execute(
        "INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload)"
        " SELECT %s, 'job_1', 'job.updated', jsonb_set(%s::jsonb, '{job_number}', to_jsonb('J-' || number))"
        " FROM generate_series(1, %s) AS number",
        world.tenant,
        json.dumps(job()),
        BATCH_ROWS + 1,
    )
    with world.engine() as engine:
        batches = [engine.relay.relay_batch() for _ in range(3)]
        assert [(batch.claimed, batch.changed_jobs) for batch in batches] == [(BATCH_ROWS, 1), (1, 1), (0, 0)]
        engine.sync()
    assert world.titles(calendar) == [f"J-{BATCH_ROWS + 1} · Dallas → Memphis"]
    assert world.calls(calendar) == [("POST", 200)]


def test_the_relay_of_one_tenant_marks_no_calendar_of_another(world: World) -> None:
    world.connect("u_ana")
    stranger = world.connect("u_ana", tenant="another-tenant")
    world.commit("job_1", job())
    with world.engine() as engine:
        engine.relay.relay_batch()
    assert world.execute("SELECT count(*) FROM calendar_sync.pending_push WHERE calendar_id = %s", stranger) == [(0,)]


def test_the_janitor_has_no_due_time_to_mend(world: World) -> None:
    world.connect("u_ana")
    world.connect("u_bo")
    with world.engine() as engine:
        for number in range(5):
            world.commit(f"job_{number}", job(f"J-{number}"))
            assert engine.janitor.mend_due_times() == 0
            engine.relay.relay_batch()
            assert engine.janitor.mend_due_times() == 0
            engine.sync()
        revoke(world, "u_ana")
        world.commit("job_1", job("J-again"))
        engine.sync()
        assert pending(world) == ["job_1"]
        assert engine.janitor.mend_due_times() == 0
        assert engine.janitor.mended == 0


@pytest.mark.parametrize("due_at", [None, datetime(2099, 1, 1, tzinfo=UTC)])
def test_a_lane_that_would_be_served_too_late_or_never_is_mended(world: World, due_at: datetime | None) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job())
    with world.engine() as engine:
        engine.relay.relay_batch()
        world.execute("UPDATE calendar_sync.lane SET due_at = %s", due_at)
        engine.sync()
        assert world.calls(calendar) == []
        assert engine.janitor.mend_due_times() == 1
        engine.sync()
        assert engine.janitor.mended == 1
    assert world.titles(calendar) == [TITLE]


def test_a_leased_lane_is_left_to_its_holder(world: World) -> None:
    world.connect("u_ana")
    world.commit("job_1", job())
    with world.engine() as engine:
        engine.relay.relay_batch()
        world.execute("UPDATE calendar_sync.lane SET lease_token = gen_random_uuid(), lease_expires_at = 'infinity'")
        world.execute("UPDATE calendar_sync.lane SET due_at = NULL")
        assert engine.janitor.mend_due_times() == 0


def test_old_jobs_are_forgotten_and_their_events_stay(make_world: Callable[..., World]) -> None:
    world = make_world(JOB_RETENTION_DAYS="30")
    calendar = world.connect("u_ana")
    world.commit("job_1", job())
    world.commit("job_2", job("J-2"))
    world.commit("job_2", {}, "job.cancelled")
    world.sync()
    over = datetime.fromisoformat(END) + timedelta(days=30)
    with world.engine() as engine:
        world.advance((over - datetime.now(UTC)).total_seconds() - 3600)
        engine.janitor.delete_old_jobs()
        assert world.execute("SELECT job_id FROM calendar_sync.job WHERE NOT cancelled") == [("job_1",)]
        world.advance(7200)
        engine.janitor.delete_old_jobs()
    for table in ("job", "pushed_event"):
        assert world.execute(f"SELECT count(*) FROM calendar_sync.{table}") == [(0,)]
    assert world.titles(calendar) == [TITLE]


def test_a_job_that_waits_to_be_pushed_is_kept(world: World) -> None:
    calendar = world.connect("u_ana")
    world.fault(kind="refuse", method="POST", calendar=calendar, status=400, reason="invalid", count=1)
    world.commit("job_1", job("J-1"))
    world.sync()
    world.commit("job_2", job("J-2"))
    world.sync()
    assert problems(world).keys() == {"job_1"}
    world.advance(2000 * DAY)
    with world.engine() as engine:
        assert engine.janitor.delete_old_jobs() == 1
    assert world.execute("SELECT job_id FROM calendar_sync.job") == [("job_1",)]


def test_a_forgotten_job_that_comes_back_finds_its_event(world: World) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job())
    world.sync()
    event_id = pair(world, calendar).event_id
    world.advance(2000 * DAY)
    with world.engine() as engine:
        assert engine.janitor.delete_old_jobs() == 1
    world.commit("job_1", job("J-1b"))
    world.sync()
    assert [(event["id"], event["summary"]) for event in world.events(calendar)] == [
        (event_id, "J-1b · Dallas → Memphis")
    ]


@pytest.fixture
def gathering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are waited with for longer than a test takes."""
    monkeypatch.setattr("outbox.runtime.MOST_GATHERED_SECONDS", 1000.0)


@pytest.mark.usefixtures("gathering")
def test_with_a_debounce_rows_that_come_one_after_another_go_together(make_world: Callable[..., World]) -> None:
    world = make_world(PUSH_DEBOUNCE_SECONDS="3600")
    with world.engine() as engine:
        daemon = engine.daemon
        world.commit("job_1", job())
        assert daemon._relay_round() < 10
        assert waiting(world) == 0, "the first is not waited with"
        until = daemon._gathers_until
        for number in (2, 3):
            world.commit(f"job_{number}", job())
            assert daemon._relay_round() > 100
        assert waiting(world) == 2
        assert daemon._gathers_until == until, "those that come meanwhile do not make it longer"
        daemon._gathers_until = time.monotonic()
        daemon._relay_round()
        assert waiting(world) == 0


@pytest.mark.usefixtures("gathering")
def test_what_one_transaction_cannot_take_is_taken_by_the_next_at_once(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.relay.BATCH_ROWS", 2)
    world = make_world(PUSH_DEBOUNCE_SECONDS="3600")
    for number in range(5):
        world.commit(f"job_{number}", job())
    with world.engine() as engine:
        for left in (3, 1):
            assert engine.daemon._relay_round() == 0
            assert waiting(world) == left
        assert engine.daemon._relay_round() > 0
        assert waiting(world) == 0


@pytest.mark.usefixtures("gathering")
def test_without_a_debounce_no_row_is_waited_with(world: World) -> None:
    with world.engine() as engine:
        for number in (1, 2):
            world.commit(f"job_{number}", job())
            engine.daemon._relay_round()
            assert waiting(world) == 0


def waiting(world: World) -> int:
    """Rows in the outbox."""
    return int(world.status()["outbox_rows"])
