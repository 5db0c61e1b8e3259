"""Quotas that daemons share: what is refused, who goes on, who goes first, and what it leaves behind."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from structlog.testing import capture_logs

from outbox import connections
from outbox.budget import Allowance
from outbox.database import Connection
from outbox.lane_store import Begun, LaneStore, Look
from outbox.ledger import Page, lock_pages
from outbox.quota import DAY_ALARM, Priority
from outbox.statements import statement
from outbox.user import User
from tests.integration.conftest import Engine, World, job
from tests.integration.interleaving import background
from tests.integration.steps import connection, freeze, grant, pending, requests_for, shared_calendar
from web.api.paths import API


@pytest.fixture
def engine(world: World) -> Iterator[Engine]:
    with world.engine() as engine:
        yield engine


def use_up(world: World, name: str, units: int, *, for_seconds: int = 30) -> None:
    """Some daemon has sent so many requests through this user's account."""
    [account] = connection(world, name, "account_id")
    charge(world, f"account:{account}", units, for_seconds)


def charge(world: World, scope: str, units: int, for_seconds: int) -> None:
    """So many units count for a scope; time stands still from then on."""
    freeze(world)
    world.execute(
        "INSERT INTO calendar_sync.quota AS quota (scope, charges) SELECT %s, jsonb_build_object("
        " ceil(extract(epoch FROM calendar_sync.now()) + %s)::bigint::text, %s::integer)"
        " ON CONFLICT (scope) DO UPDATE SET charges = excluded.charges",
        scope,
        for_seconds,
        units,
    )


def in_use(world: World, scope: str) -> int:
    """The units that count."""
    count = "SELECT sum(value::integer)::integer FROM calendar_sync.quota, jsonb_each_text(charges) WHERE scope = %s"
    [[units]] = world.execute(count, scope)
    return int(units)


def backlog(world: World, name: str, jobs: int) -> str:
    """A user connects while so many jobs are upcoming; returns the calendar."""
    world.execute(
        "INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload)"
        " SELECT %s, 'job_' || to_char(number, 'FM000'), 'job.created',"
        " jsonb_set(%s, '{job_number}', to_jsonb('J-' || to_char(number, 'FM000')))"
        " FROM generate_series(0, %s - 1) AS number",
        world.tenant,
        Jsonb(job()),
        jobs,
    )
    world.sync()
    return world.connect(name)


def on_record(world: World) -> tuple[int, int, int]:
    """Attempts charged, pairs in doubt, lanes in trouble."""
    [row] = world.execute(
        "SELECT (SELECT coalesce(sum(attempts), 0)::integer FROM calendar_sync.pending_push),"
        " (SELECT count(*) FROM calendar_sync.pushed_event WHERE in_doubt),"
        " (SELECT count(*) FROM calendar_sync.lane WHERE failures > 0 OR lease_token IS NOT NULL)"
    )
    return row


def test_two_daemons_share_a_users_minute_and_use_nearly_all_of_it(make_world: Callable[..., World]) -> None:
    world = make_world(GOOGLE_USER_QUOTA_PER_MINUTE="120")
    calendar = backlog(world, "u_ana", 250)
    freeze(world)
    step, sent, before = 2, [], len(world.calls(calendar))
    with ExitStack() as engines:
        daemons = deque(engines.enter_context(world.engine()) for _ in range(2))
        for _ in range(120 // step):
            daemons.rotate()
            daemons[0].sync()
            after = len(world.calls(calendar))
            sent.append(after - before)
            before = after
            world.advance(step)
    minute = 60 // step
    assert max(sum(sent[first : first + minute]) for first in range(len(sent))) <= 120
    assert min(sum(sent[first : first + minute]) for first in (0, minute)) >= 114
    assert on_record(world) == (0, 0, 0)


def test_what_a_user_may_not_send_is_nobodys_fault_and_waits_until_there_is_quota(world: World, engine: Engine) -> None:
    calendar = backlog(world, "u_ana", 5)
    use_up(world, "u_ana", 598)
    engine.sync()
    assert world.calls(calendar) == []
    assert engine.pusher._lanes.seconds_until_quota() is not None
    assert (pending(world), on_record(world)) == ([f"job_{number:03}" for number in range(5)], (0, 0, 0))
    world.advance(29)
    engine.sync()
    assert world.calls(calendar) == []
    world.advance(3)
    engine.sync()
    assert [method for method, _ in world.calls(calendar)] == ["POST"] * 5
    assert (pending(world), on_record(world)) == ([], (0, 0, 0))
    assert engine.pusher._lanes.seconds_until_quota() is None


def test_a_push_that_runs_out_in_the_middle_leaves_no_doubt_about_what_it_did_not_send(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(GOOGLE_PROJECT_QUOTA_PER_MINUTE="60")
    monkeypatch.setattr("outbox.project_pool.LEAST_UNITS", 1)
    calendar = backlog(world, "u_ana", 6)
    charge(world, "project", 56, 30)
    world.sync()
    # Three for a backfill; the last of a minute is kept for live edits.
    assert [method for method, _ in world.calls(calendar)] == ["POST"] * 3
    assert (len(pending(world)), on_record(world)) == (3, (0, 0, 0))
    world.advance(40)
    world.sync()
    assert (len(world.titles(calendar)), pending(world)) == (6, [])


def test_a_live_edit_goes_before_the_backfill_that_its_job_is_part_of(world: World, engine: Engine) -> None:
    calendar = backlog(world, "u_ana", 30)
    use_up(world, "u_ana", 596)
    engine.sync()
    assert world.titles(calendar) == []
    world.commit("job_029", job("J-edited"))
    engine.sync()
    assert world.titles(calendar) == ["J-edited · Dallas → Memphis"]
    world.advance(40)
    engine.sync()
    assert len(world.titles(calendar)) == 30


def test_a_mark_is_never_made_less_urgent(world: World, engine: Engine) -> None:
    backlog(world, "u_ana", 2)
    world.commit("job_000", job("J-edited"))
    engine.relay.relay_batch()
    priorities = "SELECT job_id, priority FROM calendar_sync.pending_push ORDER BY job_id"
    assert world.execute(priorities) == [("job_000", 0), ("job_001", 1)]
    assert world.caller("u_ana").ask("POST", f"{API}/resync")
    assert world.execute(priorities) == [("job_000", 0), ("job_001", 1)]


def test_somebody_else_on_the_calendar_goes_on_with_an_account_of_his_own(world: World, engine: Engine) -> None:
    calendar, reader = shared_calendar(world)
    world.connect("u_ana", calendar=calendar)
    world.connect("u_bo", calendar=calendar)
    use_up(world, "u_ana", 600)
    world.commit("job_1", job("J-1"))
    engine.sync()
    assert world.titles(calendar, reader) == ["J-1 · Dallas → Memphis"]
    assert requests_for(world, connection(world, "u_bo", "account_email")[0])[-1]["method"] == "POST"
    assert on_record(world) == (0, 0, 0)
    # And so it goes on while the first account waits.
    world.commit("job_2", job("J-2"))
    engine.sync()
    assert (pending(world), on_record(world)) == ([], (0, 0, 0))


def test_a_rate_limit_slows_every_connection_of_the_account_and_nobody_else(world: World, engine: Engine) -> None:
    first = world.connect("u_ana")
    grant(world, "u_bo", first)
    third = world.connect("u_cy")
    freeze(world)
    world.fault(kind="refuse", status=429, reason="rateLimitExceeded", retry_after=200, account=first)
    world.commit("job_1", job("J-1"))
    engine.sync()
    cooling = world.execute(
        "SELECT user_id, extract(epoch FROM cooling_until - calendar_sync.now())::integer"
        " FROM calendar_sync.calendar_connection ORDER BY user_id"
    )
    assert cooling == [("u_ana", 200), ("u_bo", 200), ("u_cy", None)]
    assert world.titles(third) == ["J-1 · Dallas → Memphis"]


def test_requests_are_counted_and_an_operator_is_told_once_an_hour(world: World, engine: Engine) -> None:
    world.connect("u_ana")
    asked_by_web_app = world.status()["google_requests_24_hours"]
    assert asked_by_web_app > 0
    world.commit("job_1", job("J-1"))
    engine.sync()
    assert world.status()["google_requests_24_hours"] == asked_by_web_app + 1
    world.execute("UPDATE calendar_sync.request_hour SET requests = %s", DAY_ALARM + 1)
    with world.engine() as second, capture_logs() as logs:
        for _ in range(2):
            for budget in (engine.daemon.budget, second.daemon.budget):
                budget._alarm_at = 0.0
                budget.work()
    told = [entry for entry in logs if entry["log_level"] == "error"]
    assert [(entry["event"], entry["requests"]) for entry in told] == [
        ("requests_of_24_hours_near_googles_threshold", DAY_ALARM + 1)
    ]
    world.advance(24 * 3600)
    assert world.status()["google_requests_24_hours"] == DAY_ALARM + 1
    world.advance(3600)
    assert world.status()["google_requests_24_hours"] == 0


def test_what_the_web_app_asks_counts_for_the_account_too(world: World) -> None:
    world.connect("u_ana")
    [account] = connection(world, "u_ana", "account_id")
    before = in_use(world, f"account:{account}")
    world.caller("u_ana").ask("GET", f"{API}/calendars")
    assert in_use(world, f"account:{account}") == before + 1
    # Who a new grant belongs to is known from the second request on.
    grant(world, "u_bo", account)
    assert in_use(world, f"account:{account}") == before + 2


def test_a_daemon_that_ends_gives_back_what_it_did_not_use(world: World) -> None:
    world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    world.sync()
    [account] = connection(world, "u_ana", "account_id")
    [[counted]] = world.execute("SELECT requests FROM calendar_sync.request_hour")
    assert in_use(world, "project") == counted
    assert in_use(world, f"account:{account}") < counted


HOLD = "SELECT FROM calendar_sync.quota WHERE scope = %s FOR UPDATE"
"""What a daemon does that is stopped amid a transaction."""


def test_whoever_holds_the_projects_row_costs_all_pushes_together_one_short_wait(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, draws = engine.daemon.budget.project, []
    monkeypatch.setattr(project, "_clock", lambda: 0.0)
    charge(world, "project", 1, 30)

    def noted(connection: Connection, scopes: Iterable[str]) -> dict[str, Page]:
        draws.append(scopes)
        return lock_pages(connection, scopes)

    monkeypatch.setattr("outbox.project_pool.lock_pages", noted)
    with psycopg.connect(world.database_url) as frozen, ThreadPoolExecutor(4) as threads:
        frozen.execute(HOLD, ["project"])
        assert [*threads.map(project.take, [Priority.LIVE] * 4)] == [False] * 4
        project.refresh()
    assert (len(draws), project.wait(Priority.LIVE)) == (1, 1.0)
    monkeypatch.setattr(project, "_clock", lambda: 2.0)
    assert project.take(Priority.LIVE)


@pytest.mark.parametrize("whose", ["account", "project"])
def test_a_push_that_cannot_reach_the_quotas_settles_what_it_has_found_out(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    calendar = world.connect("u_ana")
    for number in range(5):
        world.commit(f"job_{number}", job(f"J-{number}"))
    take, taken = Allowance.take, []

    def broken(*_: Any) -> None:
        raise psycopg.OperationalError("terminating connection due to administrator command")

    def take_and_break(allowance: Allowance) -> bool:
        taken.append(allowance)
        if len(taken) == 3:
            monkeypatch.setattr(f"outbox.{'budget' if whose == 'account' else 'project_pool'}.lock_pages", broken)
            monkeypatch.setattr(allowance if whose == "account" else engine.daemon.budget.project, "_left", 0)
        return take(allowance)

    monkeypatch.setattr(Allowance, "take", take_and_break)
    engine.relay.relay_batch()
    engine.pusher.drain()
    assert len(world.titles(calendar)) == 2
    assert (pending(world), on_record(world)) == (["job_2", "job_3", "job_4"], (0, 0, 0))


def test_a_row_that_somebody_holds_keeps_no_other_account_waiting(world: World, engine: Engine) -> None:
    budget, scopes = engine.daemon.budget, ("account:a", "account:b")
    for scope in scopes:
        charge(world, scope, 5, 30)
    [[second]] = world.execute("SELECT DISTINCT jsonb_object_keys(charges)::integer FROM calendar_sync.quota")
    for scope in scopes:
        budget.give_back_to(scope, Counter({second: 5}), Counter({second: 1}), paced=False)
    with psycopg.connect(world.database_url) as frozen:
        frozen.execute(HOLD, ["account:a"])
        budget.work()
        assert [in_use(world, scope) for scope in scopes] == [5, 1]
    budget.work()
    assert [in_use(world, scope) for scope in scopes] == [1, 1]


def test_what_is_at_hand_is_what_was_drawn_before_and_is_not_refused(engine: Engine) -> None:
    project = engine.daemon.budget.project
    assert project.offers_at_hand(Priority.LIVE) == 0
    assert (
        project.offers(Priority.LIVE)
        == project.offers_at_hand(Priority.LIVE)
        == project.offers_at_hand(Priority.BACKFILL)
    )
    project._dry_until[Priority.BACKFILL] = float("inf")
    assert project.offers_at_hand(Priority.LIVE) > project.offers_at_hand(Priority.BACKFILL) == 0


def test_live_edits_go_before_the_backfills_of_other_calendars(world: World, engine: Engine) -> None:
    filled = backlog(world, "u_ana", 2)
    edited = world.connect("u_bo", tenant="other")
    world.commit("job_1", job("J-edited"), tenant="other")
    engine.relay.relay_batch()
    engine.daemon.budget.project._dry_until[Priority.BACKFILL] = float("inf")
    engine.pusher._round()
    assert engine.pusher.finish(30)
    assert (world.titles(edited), world.titles(filled)) == (["J-edited · Dallas → Memphis"], [])
    assert world.execute("SELECT due_at, live_due_at FROM calendar_sync.lane WHERE tenant_id = 'other'") == [
        (None, None)
    ]


def test_lanes_are_leased_in_that_order_however_many_there_are(world: World, engine: Engine) -> None:
    world.execute(
        "INSERT INTO calendar_sync.lane (tenant_id, calendar_id, due_at, live_due_at)"
        " SELECT 't', number::text, calendar_sync.now() - make_interval(secs => number),"
        " CASE WHEN number %% %s = 0 THEN calendar_sync.now() - interval '1 second' END"
        " FROM generate_series(1, 5000) AS number",
        100,
    )
    world.execute("ANALYZE calendar_sync.lane")
    parameters = {"limit": 60, "troubled_limit": 4, "live_only": False, "since": "-infinity", "lease_seconds": 30.0}
    with psycopg.connect(world.database_url, autocommit=True) as admin:
        explain = b"EXPLAIN " + statement("push/lease_lanes").as_bytes()
        plan = "\n".join(line for (line,) in admin.execute(explain, parameters))
    assert "Seq Scan on lane" not in plan
    assert plan.count("using lane_free_live on lane") == 2
    leases = LaneStore(engine.pool).lease(limit=60, troubled_limit=4, lease_seconds=30.0, last_call_ends_by=0.0)
    leased = {int(lease.calendar_id) for lease in leases}
    assert leased == {*range(100, 5001, 100), *range(4990, 5000)}


def test_a_push_that_could_ask_for_nothing_leaves_the_lane_in_the_trouble_it_was_in(
    world: World, engine: Engine
) -> None:
    world.connect("u_ana")
    world.execute("UPDATE calendar_sync.lane SET failures = 5")
    use_up(world, "u_ana", 600)
    world.commit("job_1", job("J-1"))
    engine.sync()
    assert world.execute("SELECT failures FROM calendar_sync.lane") == [(5,)]
    world.advance(40)
    engine.sync()
    assert world.execute("SELECT failures FROM calendar_sync.lane") == [(0,)]


def test_a_resync_takes_the_lane_before_the_pairs_as_a_push_that_begins_does(world: World, engine: Engine) -> None:
    world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    engine.sync()
    with psycopg.connect(world.database_url) as push:
        push.execute("SELECT FROM calendar_sync.lane FOR NO KEY UPDATE")
        with background(world, lambda: connections.resync(engine.pool, User(world.tenant, "u_ana"))) as resync:
            push.execute("UPDATE calendar_sync.pushed_event SET in_doubt = false")
            push.commit()
        assert resync.result() == 1


def test_a_deadlock_before_anything_was_sent_costs_another_try(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    calendar = world.connect("u_ana")
    begin, failures = Look.begin, [psycopg.errors.DeadlockDetected()]

    def begin_later(look: Look, *arguments: Any) -> Begun | None:
        if failures:
            raise failures.pop()
        return begin(look, *arguments)

    monkeypatch.setattr(Look, "begin", begin_later)
    world.commit("job_1", job("J-1"))
    engine.sync()
    assert (world.titles(calendar), on_record(world)) == (["J-1 · Dallas → Memphis"], (0, 0, 0))


def test_a_daemon_that_has_nothing_more_to_do_gives_back_what_it_drew(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = engine.daemon.budget.project
    monkeypatch.setattr(project, "_clock", lambda: 0.0)
    assert project.offers(Priority.LIVE) > 0
    assert in_use(world, "project") > 0
    monkeypatch.setattr(project, "_clock", lambda: 11.0)
    project.refresh()
    assert world.execute("SELECT charges FROM calendar_sync.quota WHERE scope = 'project'") == [({},)]
