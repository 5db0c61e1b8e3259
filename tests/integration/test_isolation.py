"""One tenant's, user's or job's trouble stays there, and is not forgotten."""

import json
import secrets
from contextlib import closing
from functools import partial
from typing import Any

import psycopg
import pytest

from outbox.acting import acting_for
from outbox.connections import Account, ChosenCalendar, change_preferences, store_grant
from outbox.crypto import TokenCipher, generate_key
from outbox.database import open_pool
from outbox.google.oauth import Tokens
from outbox.lane import Lease, Settlement
from outbox.lane_store import LaneStore
from outbox.relay import MAX_BATCH_BYTES, MAX_PAYLOAD_BYTES
from outbox.user import User
from tests.integration.conftest import World, job
from web.sandbox.specs import AccountSpec
from web.services import open_web_pool


def state(world: World, user: str) -> tuple[str, str | None]:
    (row,) = world.execute(
        "SELECT state, reconnect_reason FROM calendar_sync.calendar_connection WHERE tenant_id = %s AND user_id = %s",
        world.tenant,
        user,
    )
    return row[0], row[1]


def test_tenants_that_are_being_changed_keep_nobody_else_waiting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outbox.relay.BATCH_ROWS", 2)
    monkeypatch.setattr("outbox.relay.PASSED_OVER_SECONDS", 1000.0)
    ana, zoe = world.connect("u_ana"), world.connect("u_zoe", tenant="another-tenant")
    for tenant in (world.tenant, "a-third-tenant"):
        for _ in range(3):
            world.commit("job_1", job("J-1"), tenant=tenant)
    world.commit("job_2", job("J-2"), tenant="another-tenant")
    with world.engine() as engine, psycopg.connect(world.database_url) as other:
        for tenant in (world.tenant, "a-third-tenant"):
            other.execute("SELECT pg_advisory_xact_lock(1668246899, hashtext(%s))", [tenant])
        rounds = [engine.relay.relay_batch() for _ in range(6)]
        assert sum(relayed.claimed for relayed in rounds) == 1
        assert all(relayed.held_back for relayed in rounds)
        assert [relayed.more for relayed in rounds[:2]] == [True, True], "what is behind them is looked at at once"
        assert not all(relayed.more for relayed in rounds), "and then they are waited for"
        engine.pusher.drain()
        assert world.titles(zoe) == ["J-2 · Dallas → Memphis"]
        assert world.titles(ana) == []
        other.rollback()
        engine.sync()
    assert world.titles(ana) == ["J-1 · Dallas → Memphis"]


def test_a_tenant_that_was_being_changed_is_not_passed_over_for_as_long_as_others_rows_come(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.relay.PASSED_OVER_SECONDS", 0.0)
    with world.engine() as engine, psycopg.connect(world.database_url) as other:
        world.commit("job_1", job("J-1"))
        other.execute("SELECT pg_advisory_xact_lock(1668246899, hashtext(%s))", [world.tenant])
        world.commit("job_2", job("J-2"), tenant="another-tenant")
        assert engine.relay.relay_batch().claimed == 1
        other.rollback()
        world.commit("job_2", job("J-2"), tenant="another-tenant")
        assert engine.relay.relay_batch().claimed == 2


def test_a_batch_of_large_payloads_is_taken_in_parts(world: World) -> None:
    filler = secrets.token_hex(MAX_PAYLOAD_BYTES // 2 - 1000)  # of which nothing can be packed
    rows = MAX_BATCH_BYTES // MAX_PAYLOAD_BYTES + 5
    for number in range(rows):
        world.commit(f"job_{number}", job(f"J-{number}", filler=filler))
    with world.engine() as engine:
        first = engine.relay.relay_batch().claimed
        assert 1 <= first < rows
        engine.sync()
    assert world.status()["outbox_rows"] == 0
    assert len(world.execute("SELECT 1 FROM calendar_sync.job")) == rows


def test_a_long_backlog_gives_way_to_somebody_elses_edit(world: World) -> None:
    for number in range(60):
        world.commit(f"job_{number}", job(f"J-{number}"))
    world.sync()
    ana = world.connect("u_ana")
    world.advance(1)
    zoe = world.connect("u_zoe", tenant="another-tenant")
    with world.engine() as engine:
        order = []
        while leases := engine.pusher._lease(1, 1):
            order.append(leases[0].calendar_id)
            engine.pusher._push(leases[0])
            if len(order) == 1:
                world.commit("job_z", job("Z-1"), tenant="another-tenant")
                engine.relay.relay_batch()
                world.advance(0.1)
            assert engine.janitor.mend_due_times() == 0
            world.commit("job_y", job("Y-1"))  # not to be told from the backlog, and no reason to jump the queue
            engine.relay.relay_batch()
            world.advance(0.1)
            if len(order) == 4:
                break
        engine.sync()
    assert order[:3] == [ana, zoe, ana]
    assert len(world.titles(ana)) == 61


def test_a_calendar_that_was_lost_for_a_while_keeps_no_ghost(world: World) -> None:
    ana = world.connect("u_ana")
    shared = "shared-lost@example.com"
    bo = world.connect("u_bo", calendar=shared)
    world.commit("job_1", job("J-1"))
    world.sync()
    account = world.execute("SELECT account_id FROM calendar_sync.calendar_connection WHERE user_id = 'u_bo'")[0][0]
    reader = ana
    world.google.control("POST", f"calendars/{shared}/role", {"account": reader, "role": "reader"})
    world.google.control("POST", f"calendars/{shared}/role", {"account": account, "role": None})
    world.commit("job_1", {}, "job.cancelled")
    world.sync()
    assert world.titles(bo, reader) == ["J-1 · Dallas → Memphis"]
    assert state(world, "u_bo") == ("calendar_lost", None)
    assert state(world, "u_ana") == ("active", None)
    world.google.control("POST", f"calendars/{shared}/role", {"account": account, "role": "writer"})
    world.execute("UPDATE calendar_sync.calendar_connection SET state = 'active'")
    world.execute("UPDATE calendar_sync.lane SET due_at = calendar_sync.now() WHERE due_at IS NULL")
    world.sync()
    assert world.titles(bo, reader) == []


def test_one_event_that_may_not_be_changed_is_that_jobs_problem_alone(world: World) -> None:
    ana = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    world.commit("job_2", job("J-2"))
    world.sync()
    event = next(event for event in world.events(ana) if event["summary"].startswith("J-1"))
    world.fault(kind="refuse", method="PUT", path=event["id"], status=403, reason="requiredAccessLevel")
    world.commit("job_1", job("J-1b"))
    world.commit("job_2", job("J-2b"))
    world.sync()
    assert world.titles(ana) == ["J-1 · Dallas → Memphis", "J-2b · Dallas → Memphis"]
    assert state(world, "u_ana") == ("active", None)
    assert world.status()["problems"] == 1


def test_what_others_put_on_an_event_cannot_stop_its_calendar(world: World) -> None:
    ana = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    world.sync()
    (event,) = world.events(ana)
    shared = {"shared": {"note": "a \x00 mark"}}
    edit = {"account": ana, "calendar": ana, "event": event["id"], "patch": {"extendedProperties": shared}}
    world.google.control("POST", "user-edit", edit)
    world.commit("job_1", job("J-1b"))
    world.commit("job_2", job("J-2"))
    world.sync()
    assert world.titles(ana) == ["J-1b · Dallas → Memphis", "J-2 · Dallas → Memphis"]
    kept = next(event for event in world.events(ana) if event["summary"].startswith("J-1b"))
    assert kept["extendedProperties"]["shared"] == shared["shared"]


def test_a_job_that_finds_a_fault_of_ours_holds_up_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ana = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    world.commit("job_2", job("J-2"))
    world.fault(kind="refuse", method="POST", count=1, status=409, reason="duplicate")

    def broken(*_: object) -> None:
        raise KeyError("a fault of ours")

    with monkeypatch.context() as patched:
        patched.setattr("outbox.plan._after_read", broken)
        world.sync()
    assert len(world.titles(ana)) == 1
    world.advance(10)
    world.sync()
    assert len(world.titles(ana)) == 2


def test_a_daemon_that_lacks_a_key_parts_nobody_from_his_calendar(world: World) -> None:
    ana = world.connect("u_ana")
    world.execute("UPDATE calendar_sync.calendar_connection SET access_token = NULL")
    cipher = TokenCipher.from_keys(f"elsewhere:{generate_key()}")
    foreign = cipher.encrypt("1//secret", tenant_id=world.tenant, user_id="u_ana", column="refresh_token")
    (kept,) = world.execute("SELECT refresh_token FROM calendar_sync.calendar_connection")
    world.execute("UPDATE calendar_sync.calendar_connection SET refresh_token = %s", foreign)
    world.commit("job_1", job("J-1"))
    world.sync()
    assert state(world, "u_ana") == ("active", None)
    assert world.titles(ana) == []
    world.execute("UPDATE calendar_sync.calendar_connection SET refresh_token = %s", kept[0])
    world.advance(301)
    world.sync()
    assert world.titles(ana) == ["J-1 · Dallas → Memphis"]


def test_a_colleague_who_joins_does_not_share_the_rest_that_another_account_takes(world: World) -> None:
    shared = "shared-rest@example.com"
    world.connect("u_ana", calendar=shared)
    world.fault(kind="refuse", method="POST", path="/events", status=403, reason="quotaExceeded", count=1)
    world.commit("job_1", job("J-1"))
    world.sync()
    assert world.status()["pending_pushes"] == 1
    world.connect("u_bo", calendar=shared)
    world.sync()
    assert world.status()["pending_pushes"] == 0
    account = world.execute("SELECT account_id FROM calendar_sync.calendar_connection WHERE user_id = 'u_bo'")[0][0]
    assert world.titles(shared, account) == ["J-1 · Dallas → Memphis"]


def test_a_job_cancelled_between_a_grant_and_its_calendar_leaves_no_event(world: World) -> None:
    shared = "shared-gap@example.com"
    world.connect("u_ana", calendar=shared)
    world.commit("job_1", job("J-1"))
    world.sync()
    email = f"other-{world.tenant}@example.com"
    world.google.add_account(AccountSpec(email=email))
    world.google.control("POST", f"calendars/{shared}/role", {"account": email, "role": "writer"})
    token = world.google.control("POST", "token", {"account": email, "own": False})["access_token"]
    user = User(world.tenant, "u_ana")
    cipher = TokenCipher.from_keys(world.stage.settings.token_encryption_keys.get_secret_value())
    with open_pool(world.database_url, size=1) as pool:
        tokens = Tokens(token, "1//unused", 3600.0, frozenset())
        assert store_grant(pool, cipher, user, Account(email, email), tokens) == "choose_calendar"
        world.commit("job_1", {}, "job.cancelled")
        world.sync()
        assert world.titles(shared, email) == ["J-1 · Dallas → Memphis"]
        change_preferences(pool, user, calendar=ChosenCalendar(shared, "Shared"))
    world.sync()
    assert world.titles(shared, email) == []


@pytest.mark.parametrize("alias", ["primary", "", ".", ".."])
def test_an_alias_is_never_stored_as_a_calendar(alias: str) -> None:
    with pytest.raises(ValueError, match="no real id"):
        ChosenCalendar(alias, "")


def test_a_spent_id_gives_way_to_the_next_after_a_minute(world: World) -> None:
    ana = world.connect("u_ana")
    world.fault(kind="refuse", method="POST", path="/events", status=409, reason="duplicate", count=2)
    world.fault(kind="refuse", method="GET", path="/events/", status=404, reason="notFound", count=3)
    world.commit("job_1", job("J-1"))
    world.sync()
    world.advance(50)
    world.sync()
    assert world.titles(ana) == []
    world.advance(11)
    world.sync()
    assert world.titles(ana) == ["J-1 · Dallas → Memphis"]
    assert world.execute("SELECT id_generation FROM calendar_sync.pushed_event") == [(2,)]


def test_a_payload_is_kept_as_it_came_with_what_we_do_not_know(world: World) -> None:
    world.commit("job_1", job("J-1", crew=[{"name": "Sam", "email": "sam@example.com"}], unheard_of={"deep": [1]}))
    world.sync()
    (row,) = world.execute("SELECT payload::text FROM calendar_sync.job")
    assert json.loads(row[0])["unheard_of"] == {"deep": [1]}
    assert json.loads(row[0])["crew"][0]["name"] == "Sam"


def test_lanes_pushed_in_vain_never_take_all_the_slots(world: World) -> None:
    for number in range(4):
        world.connect(f"u_{number}")
    world.execute("UPDATE calendar_sync.lane SET failures = 3")
    world.commit("job_1", job("J-1"))
    with world.engine() as engine:
        engine.relay.relay_batch()
        lease = partial(LaneStore(engine.pool).lease, lease_seconds=30.0, last_call_ends_by=0.0)
        assert [lease.failures for lease in lease(limit=4, troubled_limit=2)] == [3, 3]
        world.execute("UPDATE calendar_sync.lane SET failures = 0 WHERE lease_token IS NULL")
        assert [lease.failures for lease in lease(limit=4, troubled_limit=0)] == [0, 0]


def test_a_few_huge_payloads_do_not_stop_the_rows_behind_them(world: World) -> None:
    ana = world.connect("u_ana")
    for number in range(12):
        world.execute(
            "INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload)"
            " VALUES (%s, %s, 'job.updated', jsonb_build_object('filler', repeat('x', 4000000)))",
            world.tenant,
            f"huge_{number}",
        )
    world.commit("job_1", job("J-1"))
    world.sync()
    assert world.titles(ana) == ["J-1 · Dallas → Memphis"]
    assert world.status()["rejected_events"] == 12


def test_a_write_without_an_answer_is_not_forgotten_when_the_token_is_renewed(world: World) -> None:
    ana = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    world.sync()
    world.commit("job_1", {}, "job.cancelled")
    world.sync()
    world.fault(kind="cut", method="PUT", count=1)
    world.fault(kind="refuse", method="PUT", status=401, reason="authError", count=1)
    world.fault(kind="refuse", method="PUT", status=403, reason="forbidden", count=1)
    world.commit("job_1", job("J-1"))
    world.sync()
    assert world.execute("SELECT id_generation FROM calendar_sync.pushed_event") == [(1,)]
    world.advance(90)
    world.sync()
    assert world.titles(ana) == ["J-1 · Dallas → Memphis"]


def test_a_colleague_who_joins_during_the_push_does_not_share_the_rest_either(world: World) -> None:
    shared = "shared-during@example.com"
    world.connect("u_ana", calendar=shared)
    world.commit("job_1", job("J-1"))
    world.fault(kind="refuse", method="POST", path="/events", status=403, reason="quotaExceeded", count=1)
    with world.engine() as engine:
        engine.relay.relay_batch()
        original = engine.pusher._lanes._store.settle

        def settle_late(*arguments: object) -> None:
            world.connect("u_bo", calendar=shared)
            original(*arguments)  # type: ignore[arg-type]

        engine.pusher._lanes._store.settle = settle_late  # type: ignore[method-assign,assignment]
        (lease,) = engine.pusher._lease(1, 1)
        engine.pusher._push(lease)
        engine.pusher._lanes._store.settle = original  # type: ignore[method-assign]
        engine.sync()
    assert world.status()["pending_pushes"] == 0


def test_the_audit_walks_past_a_job_that_it_cannot_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ana = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    world.sync()

    def broken(*_: object, **__: object) -> None:
        raise KeyError("a fault of ours")

    monkeypatch.setattr("outbox.audit.wish_for", broken)
    with world.engine() as engine:
        assert [engine.audit.compare_slice() for _ in range(3)] == [0, 0, 0]
    assert len(world.titles(ana)) == 1


def test_what_only_a_leaving_user_wanted_leaves_the_shared_calendar(world: World) -> None:
    shared = "shared-leave@example.com"
    world.connect("u_ana", calendar=shared)
    world.connect("u_bo", calendar=shared)
    world.execute("UPDATE calendar_sync.calendar_connection SET job_filter = 'assigned'")
    world.commit("job_1", job("J-1", assigned_user_ids=["u_ana"]))
    world.sync()
    (bo,) = world.execute("SELECT account_id FROM calendar_sync.calendar_connection WHERE user_id = 'u_bo'")
    assert len(world.titles(shared, bo[0])) == 1
    email = f"new-{world.tenant}@example.com"
    world.google.add_account(AccountSpec(email=email))
    token = world.google.control("POST", "token", {"account": email, "own": False})["access_token"]
    cipher = TokenCipher.from_keys(world.stage.settings.token_encryption_keys.get_secret_value())
    with open_pool(world.database_url, size=1) as pool:
        tokens = Tokens(token, "1//unused", 3600.0, frozenset())
        store_grant(pool, cipher, User(world.tenant, "u_ana"), Account(email, email), tokens)
    world.sync()
    assert world.titles(shared, bo[0]) == []


def test_connecting_and_choosing_take_no_more_than_the_web_apps_role(world: World) -> None:
    world.execute("DROP ROLE IF EXISTS web_login_of_a_test")
    world.execute("CREATE ROLE web_login_of_a_test LOGIN IN ROLE calendar_sync_web")
    url = world.stage.settings.database_url.replace("calendar_sync_demo_daemon", "web_login_of_a_test")
    world.commit("job_1", job("J-1"))
    world.sync()
    email = f"web-{world.tenant}@example.com"
    world.google.add_account(AccountSpec(email=email))
    token = world.google.control("POST", "token", {"account": email, "own": False})["access_token"]
    cipher = TokenCipher.from_keys(world.stage.settings.token_encryption_keys.get_secret_value())
    user = User(world.tenant, "u_ana")
    with closing(open_web_pool(url)) as pool, acting_for(user):
        for _ in range(2):
            store_grant(pool, cipher, user, Account(email, email), Tokens(token, "1//unused", 3600.0, frozenset()))
        change_preferences(pool, user, calendar=ChosenCalendar(email, "Mine"))
    world.sync()
    assert world.titles(email) == ["J-1 · Dallas → Memphis"]
    world.execute("DROP ROLE web_login_of_a_test")


def test_a_connection_that_breaks_at_the_settlement_costs_nothing(world: World) -> None:
    ana = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    with world.engine() as engine:
        engine.relay.relay_batch()
        store = engine.pusher._lanes._store
        original = store.settle
        broken: list[object] = []

        def settle_on_a_broken_connection(lease: Lease, settlement: Settlement, *then: Any) -> Any:
            if not broken:
                broken.append(settlement)
                raise psycopg.OperationalError("the connection is lost")
            return original(lease, settlement, *then)

        store.settle = settle_on_a_broken_connection  # type: ignore[method-assign,assignment]
        engine.pusher.drain()
        assert broken
        assert engine.pusher.lost_leases == 0
    assert world.titles(ana) == ["J-1 · Dallas → Memphis"]
    assert world.status()["pending_pushes"] == 0
    assert world.execute("SELECT in_doubt FROM calendar_sync.pushed_event") == [(False,)]
