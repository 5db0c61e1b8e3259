"""Quotas that daemons share: what is refused, who goes on, who goes first, and what it leaves behind."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from psycopg.types.json import Jsonb
from structlog.testing import capture_logs

from outbox.quota import DAY_ALARM
from tests.integration.conftest import Engine, World, job
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
    assert (pending(world), on_record(world)) == ([f"job_{number:03}" for number in range(5)], (0, 0, 0))
    world.advance(29)
    engine.sync()
    assert world.calls(calendar) == []
    world.advance(3)
    engine.sync()
    assert [method for method, _ in world.calls(calendar)] == ["POST"] * 5
    assert (pending(world), on_record(world)) == ([], (0, 0, 0))


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
    world.advance(25 * 3600)
    assert world.status()["google_requests_24_hours"] == 0


def test_what_the_web_app_asks_counts_for_the_account_too(world: World) -> None:
    world.connect("u_ana")
    [account] = connection(world, "u_ana", "account_id")
    before = in_use(world, f"account:{account}")
    world.caller("u_ana").ask("GET", f"{API}/calendars")
    assert in_use(world, f"account:{account}") == before + 1


def test_a_daemon_that_ends_gives_back_what_it_did_not_use(world: World) -> None:
    world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    world.sync()
    [account] = connection(world, "u_ana", "account_id")
    [[counted]] = world.execute("SELECT requests FROM calendar_sync.request_hour")
    assert in_use(world, "project") == counted
    assert in_use(world, f"account:{account}") < counted
