"""What can come between while somebody leaves a calendar or an account: pushes, colleagues, faults, changes of mind."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from outbox.access import Access
from outbox.batching import BatchSizes
from outbox.budget import Budget
from outbox.google.client import GoogleCalendar
from outbox.google.oauth import RevokeAnswer
from outbox.grants import Grants, Revocation
from outbox.lane import Lease
from outbox.lane_store import LaneStore
from outbox.leaving import Leaving
from outbox.push import LanePusher
from outbox.rendering_cache import RenderingCache
from outbox.runtime import oauth_client
from outbox.user import User
from tests.integration.conftest import Engine, World, eventually, job
from tests.integration.interleaving import Paused, Pool, background
from tests.integration.steps import (
    choose,
    cipher_of,
    connection,
    grant,
    lease_one,
    pending,
    problems,
    reconnect,
    requests_for,
    revoke,
    shared_calendar,
)
from web.api.paths import API
from web.sandbox.specs import AccountSpec, CalendarSpec

TITLE = "J-1 · Dallas → Memphis"


@pytest.fixture
def engine(world: World) -> Iterator[Engine]:
    """A daemon's parts, driven by the test."""
    with world.engine() as parts:
        yield parts


def with_calendars(world: World, name: str, others: int) -> list[str]:
    """A connected user whose account has so many calendars besides: all ids, the chosen one first."""
    email = f"{name}-{world.tenant}@example.com"
    ids = [f"{number}-{name}-{world.tenant}@example.com" for number in range(others)]
    calendars = tuple(CalendarSpec(id=id_, summary=f"Calendar {number}") for number, id_ in enumerate(ids))
    world.google.add_account(AccountSpec(email=email, calendars=calendars))
    assert grant(world, name, email) == "choose_calendar"
    choose(world, name, email)
    return [email, *ids]


def seen(world: World, name: str) -> dict[str, Any]:
    """What the user sees of the connection."""
    return world.caller(name).ask("GET", API)


def disconnect(world: World, name: str, *, remove_events: bool) -> dict[str, Any]:
    """Have the user disconnect."""
    return world.caller(name).ask("POST", f"{API}/disconnect", {"remove_events": remove_events})


def refuse_inserts(world: World, calendar: str) -> None:
    """Google fails at every new event of this calendar."""
    world.fault(kind="refuse", method="POST", path=f"/calendars/{calendar}/", status=503)


def push_up_to_its_intents(world: World, lease: Lease) -> Paused[Any]:
    """A push that has read what is due and who is there, and has not yet put on record what it is about to do."""

    def push(pool: Pool) -> object:
        oauth = oauth_client(world.stage.settings, world.stop)
        calendar = GoogleCalendar(world.stage.settings.google_calendar_url, stop=world.stop, user_agent="test")
        lanes = LanePusher(
            LaneStore(pool),
            Access(pool, cipher_of(world), oauth),
            calendar,
            Budget(pool, user_per_minute=600, project_per_minute=10_000),
            job_url_template=world.stage.settings.job_url_template,
            renderings=RenderingCache(),
            sizes=BatchSizes(),
            stop=world.stop,
        )
        return lanes.push(lease)

    return Paused(world, "push/store_intents", push)


def test_a_push_under_way_when_the_removal_begins_leaves_no_event_behind(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job())
    engine.relay.relay_batch()
    push = push_up_to_its_intents(world, lease_one(engine))
    with background(world, lambda: disconnect(world, "u_ana", remove_events=True)):
        push.result()
    engine.sync()
    world.advance(100)
    engine.sync()
    assert (world.titles(calendar), seen(world, "u_ana")["state"]) == ([], "not_connected")


def test_a_calendar_is_not_emptied_before_the_last_one_chosen_is_filled(world: World, engine: Engine) -> None:
    first, second, third = with_calendars(world, "u_ana", 2)
    for number in (1, 2):
        world.commit(f"job_{number}", job(f"J-{number}"))
    engine.sync()
    for calendar in (second, third):
        refuse_inserts(world, calendar)
    for calendar in (second, third):
        choose(world, "u_ana", calendar)
        engine.sync()
    assert len(world.titles(first)) == 2
    world.heal()
    world.advance(300)
    engine.sync()
    assert [len(world.titles(calendar, first)) for calendar in (first, second, third)] == [0, 0, 2]


def test_a_job_that_changes_while_the_new_calendar_fails_stays_in_the_former_one(world: World, engine: Engine) -> None:
    first, second = with_calendars(world, "u_ana", 1)
    world.commit("job_1", job())
    engine.sync()
    refuse_inserts(world, second)
    choose(world, "u_ana", second)
    engine.sync()
    world.commit("job_1", job("J-1b"))
    engine.sync()
    assert world.titles(first) == ["J-1b · Dallas → Memphis"]


def test_a_disconnect_ends_while_a_colleague_goes_on_leaving_the_same_calendar(world: World, engine: Engine) -> None:
    shared, reader = shared_calendar(world)
    for name in ("u_ana", "u_bo"):
        world.connect(name, calendar=shared)
    world.commit("job_0", job())
    engine.sync()
    [own] = connection(world, "u_bo", "account_id")
    choose(world, "u_bo", own)
    world.caller("u_bo").ask("PATCH", API, {"paused": True})
    disconnect(world, "u_ana", remove_events=True)
    for number in range(4):
        world.commit(f"job_{number}", job(f"J-{number}"))
        engine.relay.relay_batch()
        engine.pusher.drain()
        world.commit(f"job_{number}", job(f"J-{number}b"))
        engine.relay.relay_batch()
        engine.daemon._leaving.work()
    assert seen(world, "u_ana")["state"] == "not_connected"
    assert world.titles(shared, reader) != []


def test_a_calendar_lost_before_it_was_emptied_is_put_right_by_the_colleague_there(
    world: World, engine: Engine
) -> None:
    shared, reader = shared_calendar(world)
    for name in ("u_ana", "u_bo"):
        world.connect(name, calendar=shared)
    world.caller("u_bo").ask("PATCH", API, {"job_filter": "assigned"})
    world.commit("job_1", job())
    engine.sync()
    [own] = connection(world, "u_ana", "account_id")
    refuse_inserts(world, own)
    choose(world, "u_ana", own)
    world.google.control("POST", f"calendars/{shared}/role", {"account": own, "role": "reader"})
    world.commit("job_2", job("J-2", assigned_user_ids=["u_bo"]))
    engine.sync()
    world.heal()
    world.advance(300)
    engine.sync()
    assert (seen(world, "u_ana")["leaving"], world.titles(shared, reader)) == ([], ["J-2 · Dallas → Memphis"])


def test_a_lost_calendar_does_not_stop_the_emptying_of_a_good_one(world: World, engine: Engine) -> None:
    first, second = with_calendars(world, "u_ana", 1)
    world.commit("job_1", job())
    engine.sync()
    refuse_inserts(world, second)
    choose(world, "u_ana", second)
    engine.sync()
    world.heal()
    world.google.control("POST", f"calendars/{second}/role", {"account": first, "role": "reader"})
    world.advance(300)
    engine.sync()
    assert seen(world, "u_ana")["state"] == "calendar_lost"
    assert disconnect(world, "u_ana", remove_events=True)["state"] == "disconnecting"
    engine.sync()
    assert (world.titles(first), seen(world, "u_ana")["state"]) == ([], "not_connected")


def test_a_removal_that_google_refuses_is_a_problem_to_be_seen_and_tried_again(world: World, engine: Engine) -> None:
    first, second = with_calendars(world, "u_ana", 1)
    world.commit("job_1", job())
    engine.sync()
    world.fault(kind="refuse", method="DELETE", path=f"/calendars/{first}/", status=400, reason="invalid")
    choose(world, "u_ana", second)
    engine.sync()
    [left] = seen(world, "u_ana")["leaving"]
    assert (left["name"], left["events"], left["progress"]) == (first, 1, {"done": 0, "total": 1})
    assert (seen(world, "u_ana")["problems"], len(problems(world))) == (1, 1)
    world.heal()
    [problem] = world.caller("u_ana").ask("GET", f"{API}/problems")["problems"]
    assert world.caller("u_ana").call("POST", f"{API}/problems/{problem['id']}/retry").status == 204
    engine.sync()
    assert (world.titles(first), seen(world, "u_ana")["leaving"], pending(world)) == ([], [], [])


def test_a_removal_that_google_refuses_does_not_keep_a_user_who_disconnects(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job())
    engine.sync()
    world.fault(kind="refuse", method="DELETE", path=f"/calendars/{calendar}/", status=400, reason="invalid")
    disconnect(world, "u_ana", remove_events=True)
    engine.sync()
    assert seen(world, "u_ana")["last_disconnect"] == {"revocation": "revoked", "events_left": 1}


def test_an_event_that_may_stand_there_counts_among_those_that_are_left(world: World, engine: Engine) -> None:
    world.connect("u_ana")
    world.commit("job_1", job())
    world.fault(kind="cut_after", method="POST", path="/events")
    engine.sync()
    assert disconnect(world, "u_ana", remove_events=False)["revocation"] == "revoked"
    assert seen(world, "u_ana")["last_disconnect"]["events_left"] == 1


def test_whoever_connects_and_disconnects_again_is_not_ended_by_what_was_known_before(
    world: World, engine: Engine
) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job())
    engine.sync()
    disconnect(world, "u_ana", remove_events=True)
    engine.pusher.drain()
    leaving = engine.daemon._leaving
    read = leaving._read

    def read_and_then(name: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        rows = read(name, parameters)
        if name == "leaving/done_disconnecting" and rows:
            leaving._read = read  # type: ignore[method-assign]
            assert reconnect(world, "u_ana") == "active"
            engine.pusher.drain()
            assert world.titles(calendar) == [TITLE]
            disconnect(world, "u_ana", remove_events=True)
        return rows

    leaving._read = read_and_then  # type: ignore[method-assign]
    engine.sync()
    engine.sync()
    assert (world.titles(calendar), seen(world, "u_ana")["state"]) == ([], "not_connected")


def test_a_former_account_that_is_in_use_again_keeps_its_grant(world: World, engine: Engine) -> None:
    first = world.connect("u_ana")
    other = f"other-{first}"
    world.google.add_account(AccountSpec(email=other))
    assert grant(world, "u_ana", other) == "choose_calendar"
    assert grant(world, "u_ana", first) == "choose_calendar"
    choose(world, "u_ana", first)
    engine.daemon._leaving.work()
    assert "/revoke" not in [entry["path"] for entry in requests_for(world, first)]
    assert [entry["path"] for entry in requests_for(world, other)][-1] == "/revoke"
    world.commit("job_1", job())
    engine.sync()
    assert world.titles(first) == [TITLE]
    assert world.execute("SELECT count(*) FROM calendar_sync.abandoned_grant") == [(0,)]


def test_a_former_accounts_grant_is_revoked_when_google_answers_again(world: World, engine: Engine) -> None:
    first = world.connect("u_ana")
    other = f"other-{first}"
    world.google.add_account(AccountSpec(email=other))
    world.fault(kind="refuse", path="/revoke", status=503)
    assert grant(world, "u_ana", other) == "choose_calendar"
    engine.daemon._leaving.work()
    assert world.execute("SELECT count(*) FROM calendar_sync.abandoned_grant") == [(1,)]
    world.heal()
    engine.daemon._leaving.work()
    assert world.execute("SELECT count(*) FROM calendar_sync.abandoned_grant") == [(0,)]
    assert requests_for(world, first)[-1]["status"] == 200


def test_one_users_fault_does_not_hold_up_those_who_leave_after_him(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("u_ana", "u_bo"):
        world.connect(name)
    world.commit("job_1", job())
    engine.sync()
    for name in ("u_ana", "u_bo"):
        disconnect(world, name, remove_events=True)
    engine.pusher.drain()
    end: Callable[..., object] = Grants.end

    def end_or_fail(grants: Grants, user: User, **options: Any) -> object:
        if user.user_id == "u_ana":
            raise RuntimeError("a fault")
        return end(grants, user, **options)

    monkeypatch.setattr(Grants, "end", end_or_fail)
    engine.sync()
    assert (seen(world, "u_ana")["state"], seen(world, "u_bo")["state"]) == ("disconnecting", "not_connected")


def test_a_tenant_that_somebody_is_long_about_does_not_hold_up_the_others(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tenant in ("other", world.tenant):
        world.connect("u_ana", tenant=tenant)
        world.caller("u_ana", tenant=tenant).ask("POST", f"{API}/disconnect", {"remove_events": True})
    end_departure, tried = Leaving._end_departure, []

    def end(leaving: Leaving, tenant_id: str, calendar_id: str, connection_id: int) -> None:
        tried.append(tenant_id)
        if tenant_id == "other":
            raise psycopg.errors.LockNotAvailable
        end_departure(leaving, tenant_id, calendar_id, connection_id)

    monkeypatch.setattr(Leaving, "_end_departure", end)
    engine.sync()
    assert set(tried) == {"other", world.tenant}
    states = dict(world.execute("SELECT tenant_id, state FROM calendar_sync.calendar_connection"))
    assert states == {"other": "disconnecting", world.tenant: "not_connected"}


def test_whoever_waits_for_an_accounts_turn_gets_it_in_the_end(world: World, engine: Engine) -> None:
    calendar = world.connect("u_ana")
    oauth = oauth_client(world.stage.settings, world.stop)
    asks = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%pg_try_advisory_lock(1668246900%%' AND pid <> %s"
    with ThreadPoolExecutor(1) as threads, Grants(engine.pool, cipher_of(world), oauth)._turn(calendar):
        answer = threads.submit(disconnect, world, "u_ana", remove_events=False)
        eventually(lambda: world.execute(asks, 0)[0][0] > 1)
        assert not answer.done()
    assert answer.result(30)["revocation"] == "revoked"
    oauth.close()


class Revoker:
    """Google, with something that happens after it has ended a grant, and before its answer is here."""

    def __init__(self, world: World, meanwhile: Callable[[], object]) -> None:
        self._oauth = oauth_client(world.stage.settings, world.stop)
        self._meanwhile = meanwhile

    def revoke(self, token: str) -> RevokeAnswer:
        """End a grant."""
        answer = self._oauth.revoke(token)
        self._meanwhile()
        return answer


def disconnect_while(world: World, engine: Engine, meanwhile: Callable[[], object]) -> Revocation:
    """Ana disconnects, and this happens during the revocation."""
    google: Any = Revoker(world, meanwhile)
    grants = Grants(engine.pool, cipher_of(world), google)
    return grants.disconnect(User(world.tenant, "u_ana"), remove_events=False)


def told(world: World) -> list[tuple[Any, ...]]:
    """What anybody was told."""
    return world.execute("SELECT user_id, kind, reason FROM calendar_sync.notification ORDER BY id")


def test_a_grant_that_ends_because_its_user_disconnects_is_no_trouble_to_tell_of(world: World, engine: Engine) -> None:
    world.connect("u_ana")
    world.commit("job_1", job())
    engine.sync()

    def push() -> None:
        world.commit("job_1", job("J-2"))
        world.sync()

    assert disconnect_while(world, engine, push) is Revocation.REVOKED
    assert (seen(world, "u_ana")["state"], told(world)) == ("not_connected", [])


def test_a_disconnect_that_died_after_the_revocation_is_carried_through_by_the_daemon(
    world: World, engine: Engine
) -> None:
    world.connect("u_ana")

    def die() -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        disconnect_while(world, engine, die)
    assert seen(world, "u_ana")["state"] == "disconnecting"
    engine.sync()
    assert (seen(world, "u_ana")["state"], told(world)) == ("not_connected", [])


def test_a_dead_connection_keeps_nobodys_grant_alive(world: World, engine: Engine) -> None:
    email = world.connect("u_ana")
    revoke(world, "u_ana")
    world.commit("job_1", job())
    engine.sync()
    assert seen(world, "u_ana")["state"] == "needs_reconnect"
    grant(world, "u_bo", email)
    assert disconnect(world, "u_bo", remove_events=False)["revocation"] == "revoked"
