"""The daemon under a real systemd: ready once it serves, restarted whatever ends it, stopped in order."""

import socket
import time
from collections.abc import Callable

import requests

from tests.faults.plan import Moment
from tests.faults.proxy import PostgresProxy
from tests.integration.conftest import World, eventually, job
from tests.systemd.conftest import CREDENTIALS, SECRETS
from tests.systemd.machine import Machine
from web.demo.stage import login_url

DAEMON = "calendar-sync-daemon.service"

LEASE_IS_OVER = 60.0

SHORT_SECONDS = 1
"""A limit for stopping that a push outlives; systemd would kill the daemon at its end."""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_it_is_ready_once_it_serves_and_not_before(installed: Machine, database: PostgresProxy, world: World) -> None:
    waits = database.set_trap("migration/read", Moment.BEFORE)
    installed.run("systemctl", "start", "--no-block", DAEMON)
    assert waits.met.wait(30)
    assert installed.show(DAEMON, "ActiveState") == "activating"
    waits.release()
    eventually(lambda: installed.show(DAEMON, "ActiveState") == "active")
    eventually(lambda: installed.show(DAEMON, "StatusText") == "Serving. Nothing waits.")
    calendar = world.connect("u_ana")
    world.commit("job_1", job("J-1"))
    eventually(lambda: world.titles(calendar) == ["J-1 · Dallas → Memphis"])


def test_the_database_is_brought_up_to_date_before_it_starts(
    installed: Machine, database: PostgresProxy, world: World
) -> None:
    installed.write(f"{CREDENTIALS}/migrate/DATABASE_URL", login_url(database.url, "postgres"), mode="0600")
    world.execute("DROP SCHEMA calendar_sync CASCADE")
    # As systemd/logins.sql leaves it.
    world.execute("CREATE SCHEMA calendar_sync")
    world.execute("GRANT USAGE ON SCHEMA calendar_sync TO calendar_sync_daemon")
    installed.run("systemctl", "start", DAEMON)
    assert installed.show("calendar-sync-migrate.service", "Result") == "success"
    assert "applied migration 1: initial" in installed.journal("calendar-sync-migrate.service")
    assert installed.show(DAEMON, "ActiveState") == "active"
    assert installed.show(DAEMON, "NRestarts") == "0"


def test_killed_in_the_middle_of_a_push_it_comes_back_and_nothing_is_lost(
    installed: Machine, database: PostgresProxy, world: World
) -> None:
    installed.run("systemctl", "start", DAEMON)
    calendar = world.connect("u_ana")
    pushing = database.set_trap("push/settle_events", Moment.BEFORE)
    world.commit("job_1", job("J-1"))
    assert pushing.met.wait(30)
    installed.run("systemctl", "kill", "--signal=KILL", "--kill-who=main", DAEMON)
    world.commit("job_2", job("J-2"))
    pushing.release(cut=True)
    eventually(lambda: installed.show(DAEMON, "NRestarts") == "1")
    world.advance(LEASE_IS_OVER)
    eventually(lambda: world.titles(calendar) == ["J-1 · Dallas → Memphis", "J-2 · Dallas → Memphis"])


def test_a_loop_that_hangs_has_it_restarted_although_the_others_go_on(
    installed: Machine, database: PostgresProxy, drop_in: Callable[[str, str], None], world: World
) -> None:
    drop_in(DAEMON, "[Service]\nWatchdogSec=4\n")
    installed.run("systemctl", "start", DAEMON)
    calendar = world.connect("u_ana")
    # The answer never comes: of all loops the relay alone waits for it, and would for ever.
    hangs = database.set_trap("relay/claim_outbox", Moment.AFTER)
    world.commit("job_1", job("J-1"))
    assert hangs.met.wait(30)
    eventually(lambda: int(installed.show(DAEMON, "NRestarts")) >= 1)
    hangs.release(cut=True)
    journal = installed.journal(DAEMON)
    assert '"loops": ["relay"' in journal
    assert "Watchdog timeout" in journal
    # Where it hung, and nothing of what it knew.
    assert "Fatal Python error: Aborted" in journal
    assert "in relay_batch" in journal
    given = {**world.stage.environment, "DATABASE_URL": database.url}
    assert [name for name in SECRETS & given.keys() if given[name] in journal] == []
    eventually(lambda: world.titles(calendar) == ["J-1 · Dallas → Memphis"])


def test_stopped_it_finishes_what_is_in_flight_however_short_the_units_limit_is(
    installed: Machine, database: PostgresProxy, drop_in: Callable[[str, str], None], world: World
) -> None:
    drop_in(DAEMON, f"[Service]\nTimeoutStopSec={SHORT_SECONDS}\n")
    installed.run("systemctl", "start", DAEMON)
    calendar = world.connect("u_ana")
    pushing = database.set_trap("push/settle_events", Moment.BEFORE)
    world.commit("job_1", job("J-1"))
    assert pushing.met.wait(30)
    installed.run("systemctl", "stop", "--no-block", DAEMON)
    eventually(lambda: installed.show(DAEMON, "StatusText") == "Finishing what is in flight.")
    told = int(installed.show(DAEMON, "ActiveExitTimestampMonotonic")) / 1_000_000
    eventually(lambda: time.monotonic() > told + 2 * SHORT_SECONDS)
    assert installed.show(DAEMON, "ActiveState") == "deactivating"
    pushing.release()
    eventually(lambda: installed.show(DAEMON, "ActiveState") == "inactive")
    assert installed.show(DAEMON, "Result") == "success"
    assert world.titles(calendar) == ["J-1 · Dallas → Memphis"]
    assert world.execute("SELECT count(*) FROM calendar_sync.pending_push") == [(0,)]
    assert world.execute("SELECT count(*) FROM calendar_sync.lane WHERE lease_token IS NOT NULL") == [(0,)]


def test_daemons_on_one_machine_are_told_apart_by_their_metrics_ports_and_stopped_together(installed: Machine) -> None:
    ports = [free_port(), free_port()]
    daemons = [f"calendar-sync-daemon@{port}.service" for port in ports]
    installed.run("systemctl", "enable", "--now", "calendar-sync.target", *daemons)
    for port in ports:
        metrics = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30)
        assert "calendar_sync_outbox_rows 0.0" in metrics.text
    installed.run("systemctl", "stop", "calendar-sync.target")
    for daemon in daemons:
        eventually(lambda daemon=daemon: installed.show(daemon, "ActiveState") == "inactive")  # type: ignore[misc]


def test_a_missing_setting_ends_in_one_line_and_not_in_a_loop_of_starts(installed: Machine) -> None:
    installed.run("sed", "--in-place", "/^JOB_URL_TEMPLATE=/d", "/etc/calendar-sync/environment")
    installed.call("systemctl", "start", DAEMON)
    assert installed.show(DAEMON, "ActiveState") == "failed"
    assert installed.show(DAEMON, "NRestarts") == "0"
    assert "calendar-sync: JOB_URL_TEMPLATE: is not set; for example JOB_URL_TEMPLATE=" in installed.journal(DAEMON)
