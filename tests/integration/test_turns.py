"""A lane's turn may begin in somebody else's transaction: a relay's, or the one that settles another lane's turn. That
spares a commit, and whatever is wrong with it costs nobody anything."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from outbox.database import Connection
from outbox.lane import Lease
from outbox.lane_store import LaneStore, Look
from outbox.push import LanePusher
from outbox.quota import Priority
from outbox.turn import Turn
from tests.integration.conftest import Engine, World, eventually, job

TITLE = "J-1 · Dallas → Memphis"

HOLD = "SELECT FROM calendar_sync.quota WHERE scope LIKE 'account:%' FOR UPDATE"

Broken = Callable[[Connection], None]


def server_error(connection: Connection) -> None:
    """As a pipeline tells it: later."""
    connection.execute("SELECT 1 / 0")


def fault_of_ours(_: Connection) -> None:
    raise KeyError("a fault of ours")


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """One slot for three calendars."""
    return make_world(PUSH_CONCURRENCY="1")


@pytest.fixture
def calendars(world: World) -> list[str]:
    """Of three colleagues whose accounts have pushed before."""
    calendars = [world.connect(name) for name in ("u_ana", "u_bo", "u_chen")]
    world.commit("job_0", job("J-0"))
    world.sync()
    world.commit("job_0", {}, "job.cancelled")
    world.sync()
    return calendars


@pytest.fixture
def engine(world: World, calendars: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Whose pusher finds what is due without looking at everything again, in a database that is known to be ours."""
    monkeypatch.setattr("outbox.low_water.WHOLE_LOOK_SECONDS", 1000.0)
    monkeypatch.setattr("outbox.installation.FRESH_SECONDS", 1000.0)
    with world.engine() as engine:
        ours = engine.daemon.installation
        eventually(lambda: ours.refusal() is None and ours.surely_ours)
        yield engine
        engine.stop.set()
        engine.pusher.loop.wake()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calendars that were leased in somebody else's transaction."""
    lease_next, calendars = LaneStore.lease_next, []

    def noted(store: LaneStore, *arguments: Any, **named: Any) -> Lease | None:
        lease = lease_next(store, *arguments, **named)
        if lease is not None:
            calendars.append(lease.calendar_id)
        return lease

    monkeypatch.setattr(LaneStore, "lease_next", noted)
    return calendars


@pytest.fixture
def break_once(monkeypatch: pytest.MonkeyPatch) -> Callable[[Broken], list[Broken]]:
    """The next turn that begins in somebody else's transaction fails so, after all that it does; what is still to
    fail."""
    begin = LanePusher.begin

    def break_with(broken: Broken) -> list[Broken]:
        breaks = [broken]

        def begin_badly(lanes: LanePusher, look: Look) -> Turn:
            turn = begin(lanes, look)
            if look.in_passing and breaks:
                breaks.pop()(look._connection)
            return turn

        monkeypatch.setattr(LanePusher, "begin", begin_badly)
        return breaks

    return break_with


def done(world: World) -> bool:
    figures = world.status()
    return not any(figures[name] for name in ("outbox_rows", "pending_pushes", "lanes_leased"))


def test_lanes_that_are_due_follow_each_other_in_one_slot(
    world: World, engine: Engine, calendars: list[str], begun: list[str]
) -> None:
    world.commit("job_1", job("J-1"))
    engine.relay.relay_batch()
    engine.pusher.loop.start()
    eventually(lambda: done(world))
    assert [world.titles(calendar) for calendar in calendars] == [[TITLE]] * 3
    assert len(begun) == 2


def test_while_rows_come_each_lane_is_let_go_of_as_it_is_settled(
    world: World, engine: Engine, calendars: list[str], begun: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.pusher.ROWS_COME_SECONDS", 1000.0)
    world.commit("job_1", job("J-1"))
    engine.relay.relay_batch()
    engine.pusher.rows_come()
    engine.pusher.loop.start()
    eventually(lambda: done(world))
    assert begun == []
    assert [world.titles(calendar) for calendar in calendars] == [[TITLE]] * 3


@pytest.mark.parametrize("broken", [server_error, fault_of_ours])
def test_a_turn_that_cannot_begin_costs_the_one_before_nothing(
    world: World, engine: Engine, calendars: list[str], break_once: Callable[[Broken], list[Broken]], broken: Broken
) -> None:
    world.commit("job_1", job("J-1"))
    engine.relay.relay_batch()
    left = break_once(broken)
    engine.pusher.loop.start()
    eventually(lambda: done(world))
    assert left == []
    assert [world.titles(calendar) for calendar in calendars] == [[TITLE]] * 3
    assert [world.calls(calendar) for calendar in calendars] == [[("POST", 200), ("DELETE", 204), ("POST", 200)]] * 3
    assert engine.pusher.lost_leases == 0


def test_a_change_is_relayed_and_its_push_begun_in_one_transaction(
    world: World, engine: Engine, calendars: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.commit("job_1", job("J-1"))
    turns: list[Turn] = []
    monkeypatch.setattr(engine.pusher, "_work", lambda _, turn: turns.append(turn))
    engine.daemon.budget.project.offers(Priority.LIVE)
    engine.pusher._round()
    engine.daemon._relay_round()
    eventually(lambda: len(turns) == 1)
    [turn] = turns
    assert world.status()["outbox_rows"] == 0
    assert world.execute(
        "SELECT in_doubt FROM calendar_sync.pushed_event WHERE calendar_id = %s AND job_id = 'job_1'",
        turn.lease.calendar_id,
    ) == [(True,)]
    monkeypatch.undo()
    engine.pusher._work(turn.lease, turn)
    engine.sync()
    assert [world.titles(calendar) for calendar in calendars] == [[TITLE]] * 3


def test_a_row_that_somebody_holds_is_hardly_waited_for_in_passing(
    world: World, engine: Engine, calendars: list[str], break_once: Callable[[Broken], list[Broken]]
) -> None:
    limits: list[str] = []
    world.commit("job_1", job("J-1"))
    engine.daemon.budget.project.offers(Priority.LIVE)
    engine.pusher._round()
    break_once(lambda connection: limits.extend(*connection.execute("SHOW lock_timeout")))
    engine.daemon._relay_round()
    assert limits == ["50ms"]
    engine.sync()
    assert [world.titles(calendar) for calendar in calendars] == [[TITLE]] * 3


@pytest.mark.parametrize("broken", [server_error, fault_of_ours])
def test_a_turn_that_cannot_begin_keeps_no_row_in_the_outbox(
    world: World, engine: Engine, calendars: list[str], break_once: Callable[[Broken], list[Broken]], broken: Broken
) -> None:
    world.commit("job_1", job("J-1"))
    engine.pusher._round()
    left = break_once(broken)
    engine.daemon._relay_round()
    assert left == []
    assert world.status()["outbox_rows"] == 0
    engine.sync()
    assert [world.titles(calendar) for calendar in calendars] == [[TITLE]] * 3


def test_an_account_that_somebody_holds_up_holds_up_no_row(
    world: World, engine: Engine, calendars: list[str], begun: list[str]
) -> None:
    world.commit("job_1", job("J-1"))
    engine.pusher._round()
    engine.daemon.budget.project.offers(Priority.LIVE)
    with psycopg.connect(world.database_url) as frozen:
        frozen.execute(HOLD)
        engine.daemon._relay_round()
        assert len(begun) == 1
        figures = world.status()
        assert (figures["outbox_rows"], figures["lanes_leased"]) == (0, 1)
    eventually(lambda: world.titles(begun[0]) == [TITLE])
    engine.sync()
    assert [world.titles(calendar) for calendar in calendars] == [[TITLE]] * 3
