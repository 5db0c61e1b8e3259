"""The web app's role sees and touches what is of whom it acts for, whatever a statement asks for."""

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import falcon.testing
import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from psycopg.sql import SQL
from psycopg_pool import ConnectionPool
from structlog.testing import capture_logs

from outbox.acting import act_for, acting_for, introduce, presenting
from outbox.database import Connection, connect
from outbox.migrations import migrate, migrations
from outbox.statements import statement
from outbox.user import User
from tests.conftest import create_database, drop_database, of_database
from tests.integration.conftest import World, eventually, job
from tests.integration.test_plans import FILL, HOT, USER, Hot, Session
from tests.integration.web_client import open_site
from web.api.paths import API, FEED
from web.demo.stage import ROLES, bring_up_to_date, create_roles
from web.health import Ready
from web.sandbox.server import SandboxServer
from web.services import APPLICATION_NAME, open_web_pool

ANA, BO, NAMESAKE = User("acme", "ana"), User("acme", "bo"), User("beta", "ana")
"""Two of one tenant, and one of another tenant who is named alike."""

NOBODYS = {"schema_migration", "installation", "request_hour", "figures"}
"""What the web app uses and is nobody's, versions and numbers: open to all of its sessions."""

OF_USERS = {
    "abandoned_grant": "account_id",
    "calendar_connection": "user_id || '@' || tenant_id",
    "calendar_feed": "user_id || '@' || tenant_id",
    "consent_attempt": "user_id || '@' || tenant_id",
    "departure": "calendar_id",
    "test_push": "user_id || '@' || tenant_id",
}
"""Tables whose rows are each user's own, and what tells whose."""

OF_TENANTS = {
    **dict.fromkeys(("job", "lane", "pending_push", "pushed_event"), "tenant_id"),
    **dict.fromkeys(("job_problem", "lane_due", "staying_user", "users_calendar"), "tenant_id"),
}
"""Tables and views whose rows a tenant's users share, and what tells whose."""

OF_WHO_HAS_THE_KEY = {"quota": "scope", "rate_limit": "encode(bucket, 'hex')"}
"""Tables whose rows have a key that only whoever uses them knows."""

PLANT = """
WITH connection AS (
    INSERT INTO calendar_sync.calendar_connection
        (tenant_id, user_id, state, account_id, calendar_id, refresh_token, access_token_expires_at)
    VALUES (%(tenant_id)s, %(user_id)s, 'active', %(name)s, 'calendar of ' || %(name)s, 'x', now())
    RETURNING connection_id
)
INSERT INTO calendar_sync.departure (tenant_id, calendar_id, connection_id)
SELECT %(tenant_id)s, %(name)s, connection_id FROM connection;
INSERT INTO calendar_sync.abandoned_grant (tenant_id, user_id, account_id, refresh_token)
VALUES (%(tenant_id)s, %(user_id)s, %(name)s, 'x');
INSERT INTO calendar_sync.calendar_feed (tenant_id, user_id, token_hash, job_filter)
VALUES (%(tenant_id)s, %(user_id)s, sha256(%(name)s::text::bytea), 'all');
INSERT INTO calendar_sync.consent_attempt
    (state_hash, tenant_id, user_id, browser_hash, code_verifier, return_to, expires_at)
VALUES (sha256(%(name)s::text::bytea), %(tenant_id)s, %(user_id)s, 'x', 'x', '/' || %(name)s, now() + interval '1 day');
INSERT INTO calendar_sync.test_push (test_push_id, tenant_id, user_id, calendar_id, job_id, failure)
SELECT id, %(tenant_id)s, %(user_id)s, 'c', 'calendar-sync-test:' || id, %(name)s FROM gen_random_uuid() AS id;
INSERT INTO calendar_sync.job (tenant_id, job_id, version, cancelled, payload, ends_at, updated_at)
VALUES (%(tenant_id)s, %(name)s, 1, false, '{}', now() + interval '1 day', now());
INSERT INTO calendar_sync.lane (tenant_id, calendar_id) VALUES (%(tenant_id)s, 'calendar of ' || %(name)s);
INSERT INTO calendar_sync.pending_push (tenant_id, calendar_id, job_id, first_marked_at, due_at, problem)
VALUES (%(tenant_id)s, 'calendar of ' || %(name)s, %(name)s, now(), now(), 'A problem of ' || %(name)s);
INSERT INTO calendar_sync.pushed_event
    (tenant_id, calendar_id, job_id, event_id, id_generation, in_doubt, content_hash)
VALUES (%(tenant_id)s, 'calendar of ' || %(name)s, %(name)s, 'e', 1, false, 'x');
INSERT INTO calendar_sync.quota (scope) VALUES (%(name)s);
INSERT INTO calendar_sync.rate_limit VALUES (sha256(%(name)s::text::bytea), 1, now());
"""
"""Something of a user's in every table that the web app uses; all of it names the user."""


def name(user: User) -> str:
    return f"{user.user_id}@{user.tenant_id}"


@pytest.fixture
def owner(database_url: str) -> Iterator[Connection]:
    """The owner's session on a database where three users have something in every table."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        with psycopg.ClientCursor(connection) as cursor:
            for user in (ANA, BO, NAMESAKE):
                cursor.execute(PLANT, {**user.key, "name": name(user)})
        yield connection


@pytest.fixture
def web(owner: Connection) -> Iterator[Connection]:
    """The same session as the web app's role, which has not said yet for whom it acts."""
    owner.execute("SET ROLE calendar_sync_web")
    yield owner
    owner.execute("RESET ROLE")


def web_for(web: Connection, user: User | None, key: str = "") -> Connection:
    act_for(user)
    with presenting(key):
        introduce(web)
    act_for(None)
    return web


def seen(connection: Connection, relation: str, whose: str) -> set[object]:
    return {row[0] for row in connection.execute(f"SELECT {whose} FROM calendar_sync.{relation}")}


def relations_of_the_web_app(owner: Connection) -> set[str]:
    rows = owner.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'calendar_sync'::regnamespace AND relkind IN ('r', 'v', 'p')"
        " AND has_any_column_privilege('calendar_sync_web', oid, 'SELECT, INSERT, UPDATE')"
    )
    return {str(relation) for (relation,) in rows}


def test_every_table_and_view_of_the_web_app_is_thought_about(owner: Connection) -> None:
    known = NOBODYS | OF_USERS.keys() | OF_TENANTS.keys() | OF_WHO_HAS_THE_KEY.keys()
    assert relations_of_the_web_app(owner) == known
    fenced = owner.execute(
        "SELECT relname, relkind = 'r', relrowsecurity, ARRAY(SELECT polroles::regrole[]::text || polcmd::text"
        " FROM pg_policy WHERE polrelid = pg_class.oid ORDER BY polname)"
        " FROM pg_class WHERE relnamespace = 'calendar_sync'::regnamespace AND relname = ANY (%s)",
        [list(known - NOBODYS)],
    ).fetchall()
    both = ["{calendar_sync_daemon}*", "{calendar_sync_web}*"]
    assert {
        relation for relation, is_table, on, policies in fenced if is_table and (not on or policies != both)
    } == set()


@pytest.mark.parametrize("user", [None, User("", ""), User("ACME", "ANA"), User("nobody's", "ana")])
def test_who_acts_for_nobody_or_somebody_unknown_sees_and_touches_nothing_of_any_user(
    web: Connection, user: User | None
) -> None:
    if user is not None:
        web_for(web, user)
    for relation, whose in (OF_USERS | OF_TENANTS | {"rate_limit": OF_WHO_HAS_THE_KEY["rate_limit"]}).items():
        if relation != "abandoned_grant":
            assert seen(web, relation, whose) == set(), relation
    with web.transaction(force_rollback=True):
        assert web.execute("UPDATE calendar_sync.calendar_connection SET paused = true").rowcount == 0
        assert web.execute("DELETE FROM calendar_sync.calendar_feed").rowcount == 0
    with pytest.raises(InsufficientPrivilege, match="row-level security"):
        web.execute("INSERT INTO calendar_sync.lane (tenant_id, calendar_id) VALUES ('acme', 'another')")


@pytest.mark.parametrize("user", [ANA, BO, NAMESAKE], ids=name)
def test_who_acts_for_a_user_sees_what_is_the_users_or_the_tenants_and_nothing_else(
    web: Connection, user: User
) -> None:
    web_for(web, user)
    for relation, whose in OF_USERS.items():
        if relation != "abandoned_grant":  # which it may only write
            assert seen(web, relation, whose) == {name(user)}, relation
    for relation, whose in OF_TENANTS.items():
        if relation != "lane_due":
            assert seen(web, relation, whose) == {user.tenant_id}, relation
    web.execute("UPDATE calendar_sync.pending_push SET problem = NULL")
    assert seen(web, "lane_due", "tenant_id") == {user.tenant_id}
    assert seen(web, "quota", "scope") == set()
    assert seen(web, "rate_limit", "1") == set()


@pytest.mark.parametrize("user", [ANA, NAMESAKE], ids=name)
def test_who_acts_for_a_user_changes_and_deletes_what_is_the_users_or_the_tenants_and_nothing_else(
    web: Connection, user: User
) -> None:
    web_for(web, user)
    shared = 2 if user.tenant_id == "acme" else 1
    for changed, rows in (
        ("calendar_connection SET paused = true, state = 'calendar_lost'", 1),
        ("calendar_feed SET job_filter = 'assigned'", 1),
        ("consent_attempt SET outcome = 'connected'", 1),
        ("departure SET lost = true", 1),
        ("test_push SET failure = 'x'", 1),
        ("lane SET failures = 0", shared),
        ("pending_push SET attempts = 3", shared),
        ("pushed_event SET in_doubt = true", shared),
        ("quota SET paced_until = 1", 0),
        ("rate_limit SET tokens = 1", 0),
    ):
        assert web.execute(f"UPDATE calendar_sync.{changed}").rowcount == rows, changed
    for deleted, rows in (("departure", 1), ("calendar_feed", 1), ("pending_push", shared)):
        assert web.execute(f"DELETE FROM calendar_sync.{deleted}").rowcount == rows, deleted


@pytest.mark.parametrize("other", [BO, NAMESAKE], ids=name)
def test_who_acts_for_a_user_writes_nothing_in_another_ones_name(
    owner: Connection, web: Connection, other: User
) -> None:
    web_for(web, ANA)
    whose = {**other.key, "id": uuid4()}
    for insert in (
        "abandoned_grant (tenant_id, user_id, account_id, refresh_token) VALUES (%(tenant_id)s, %(user_id)s, 'a', 'x')",
        "calendar_connection (tenant_id, user_id, state) VALUES (%(tenant_id)s, %(user_id)s || '2', 'not_connected')",
        "calendar_feed (tenant_id, user_id, token_hash, job_filter)"
        " VALUES (%(tenant_id)s, %(user_id)s || '2', sha256('2'), 'all')",
        "consent_attempt (state_hash, tenant_id, user_id, browser_hash, code_verifier, return_to, expires_at)"
        " VALUES ('2', %(tenant_id)s, %(user_id)s, 'x', 'x', '/', now())",
        "test_push (test_push_id, tenant_id, user_id, calendar_id, job_id)"
        " VALUES (%(id)s, %(tenant_id)s, %(user_id)s, 'c', 'calendar-sync-test:' || %(id)s)",
    ):
        with pytest.raises(InsufficientPrivilege, match="row-level security"):
            web.execute(f"INSERT INTO calendar_sync.{insert}", whose)
    with pytest.raises(InsufficientPrivilege, match="row-level security"):
        web.execute(
            "UPDATE calendar_sync.calendar_connection SET tenant_id = %(tenant_id)s, user_id = 'new'", NAMESAKE.key
        )
    owner.execute("RESET ROLE")
    [[connection_id]] = owner.execute(
        "SELECT connection_id FROM calendar_sync.calendar_connection"
        " WHERE (tenant_id, user_id) = (%(tenant_id)s, %(user_id)s)",
        other.key,
    )
    owner.execute("SET ROLE calendar_sync_web")
    with pytest.raises(InsufficientPrivilege, match="row-level security"):
        web.execute(
            "INSERT INTO calendar_sync.departure (tenant_id, calendar_id, connection_id) VALUES ('acme', 'c', %s)",
            [connection_id],
        )


def test_who_presents_a_key_sees_the_one_row_that_it_is_of(web: Connection) -> None:
    key = hashlib.sha256(name(BO).encode()).hexdigest()
    web_for(web, None, key)
    assert seen(web, "calendar_feed", "user_id || '@' || tenant_id") == {name(BO)}
    assert seen(web, "consent_attempt", "return_to") == {f"/{name(BO)}"}
    assert seen(web, "rate_limit", "encode(bucket, 'hex')") == {key}
    assert seen(web, "calendar_connection", "1") == set()
    web_for(web, None, name(BO))
    assert seen(web, "quota", "scope") == {name(BO)}


def test_the_daemon_and_the_owner_see_every_tenant(owner: Connection) -> None:
    for role in ("calendar_sync_daemon", None):
        if role is not None:
            owner.execute(f"SET ROLE {role}")
        else:
            owner.execute("RESET ROLE")
        for relation in ("job", "lane", "pending_push", "calendar_connection", "users_calendar", "staying_user"):
            assert seen(owner, relation, "tenant_id") == {"acme", "beta"}, (role, relation)


LOOKS: Mapping[str, Mapping[str, object]] = {
    "connection/read_view": {},
    "connection/read_grant": {},
    "connection/read_departures": {},
    "connection/read_departing": {},
    "connection/read_problems": {"limit": 100},
    "connection/count_events_left": {},
    "consent/read_unfinished": {},
    "feed/read": {},
    "test_push/read": {"test_push_id": None},
    "web/colleague_on_calendar": {},
}
"""What the web app reads of a user, with what else it takes besides the user."""


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_that_forgets_to_say_whose_rows_it_wants_tells_nothing_of_another_tenant(
    web: Connection, look: str
) -> None:
    text = statement(look).as_string()
    forgotten = text.replace("tenant_id = %(tenant_id)s", "tenant_id <> ''").replace(
        "user_id = %(user_id)s", "user_id <> ''"
    )
    assert forgotten != text
    others = (name(NAMESAKE),) if look == "connection/read_problems" else (name(NAMESAKE), name(BO))
    rows = web_for(web, ANA).execute(forgotten, {**ANA.key, **LOOKS[look]}).fetchall()
    assert rows
    assert not [row for row in rows for other in others if other in str(row)]


# ---------------------------------------------------------------------------------------------------------------
def test_a_session_of_the_pool_acts_for_whoever_takes_it_and_for_nobody_afterwards(world: World) -> None:
    told = "SELECT current_setting('calendar_sync.tenant_id') || current_setting('calendar_sync.user_id')"
    with closing(open_web_pool(world.stage.web_settings.database_url)) as pool:
        for user, expected in ((ANA, "acmeana"), (None, ""), (NAMESAKE, "betaana"), (None, "")):
            act_for(user)
            with pool.connection() as connection:
                assert connection.execute(told).fetchone() == (expected,)
                with connection.transaction(force_rollback=True):
                    connection.execute("SELECT 1")
                assert connection.execute(told).fetchone() == (expected,)
        assert pool.get_stats()["connections_num"] == 1


def test_a_request_leaves_nobody_behind_for_whom_the_thread_would_act(world: World) -> None:
    with open_site(world) as site:
        ana = site.user("u_ana")
        site.connect(ana)
        for target in (API, f"{API}/nowhere", f"{API}/calendars"):
            site.call("GET", target, ana)
            assert site.app.services.operations.connection(ana).state == "not_connected", "as nobody sees it"
            with acting_for(ana):
                assert site.app.services.operations.connection(ana).state == "active"


@pytest.mark.parametrize("login", ["owner", "daemon", "web app"])
def test_a_web_app_that_is_shown_everybodys_rows_says_so_once(world: World, login: str) -> None:
    stage = world.stage
    urls = {"owner": world.database_url, "daemon": stage.settings.database_url}
    now = [0.0]
    with closing(open_web_pool(urls.get(login, stage.web_settings.database_url))) as pool, capture_logs() as logs:
        ready = Ready(pool, clock=lambda: now[0])
        for now[0] in (0.0, 10.0):
            ready.on_get(falcon.testing.create_req(), falcon.Response())
    told = [line["log_level"] for line in logs if line["event"] == "row_level_security_off"]
    assert told == ([] if login == "web app" else ["warning"])


OF_THE_WEB_APP = [
    Hot("connection/read_view", 201, USER),
    Hot("connection/read_grant", 1, USER),
    Hot("connection/read_departures", 201, USER),
    Hot("connection/read_problems", 201, {**USER, "limit": 100}),
    Hot("connection/read_colleagues_calendars", 10, USER),
    Hot("connection/count_events_left", 201, USER),
    Hot("connection/count_sharers", 1, {"account_id": "account:10", "but_for_connection_id": None}),
    Hot("connection/set_preferences", 1, {**USER, "job_filter": "all", "paused": None}),
    Hot("connection/drop_marks", 201, {"tenant_id": "tenant-1", "calendar_id": "calendar-0"}),
    Hot("connection/mark_upcoming", 3000, {"tenant_id": "tenant-1", "calendar_id": "calendar-0"}),
    Hot("lane/lock_lanes", 10, {"tenant_ids": ["tenant-1"]}),
    Hot("lane/schedule_lanes", 10 * 3, {"tenant_ids": ["tenant-1"]}),
    Hot("web/colleague_on_calendar", 10, USER),
    Hot("test_push/read", 1, {**USER, "test_push_id": None}),
    Hot("feed/read", 1, USER),
    Hot("feed/renew", 1, {**USER, "token_hash": b"n" * 32, "job_filter": None, "instead_of": None}),
    Hot("feed/set_filter", 1, {**USER, "job_filter": "all"}),
    Hot("feed/note_fetch", 1, {"token_hash": b"f" * 32}),
    Hot("consent/read_attempt", 1, {"state_hash": b"s"}),
    Hot("consent/read_unfinished", 1, USER),
    Hot("web/take_token", 1, {"bucket": b"b", "burst": 10, "per_second": 1.0}),
    Hot("budget/lock_quotas", 2, {"scopes": ["account:0", "project"]}),
]


def test_policies_make_no_statement_of_the_daemon_or_the_web_app_touch_more(database_url: str) -> None:
    with connect(database_url) as daemon, connect(database_url) as web:
        daemon.execute(FILL)
        daemon.execute("ANALYZE")
        daemon.execute("SET ROLE calendar_sync_daemon")
        web.execute("SET ROLE calendar_sync_web")
        of_the_daemon, of_the_web_app = Session(daemon), Session(web)
        found = [dear(of_the_daemon, hot) for hot in HOT if not hot.name.startswith(("feed/", "connection/"))]
        keys = {"web/take_token": b"b".hex(), "budget/lock_quotas": "account:0", "consent/read_attempt": b"s".hex()}
        for hot in OF_THE_WEB_APP:
            web_for(web, User(**USER), keys.get(hot.name, (b"f" * 32).hex()))
            found.append(dear(of_the_web_app, hot))
    assert not any(found), "\n".join(filter(None, found))


def dear(session: Session, hot: Hot) -> str:
    """What is wrong if the statement touches more than a few descents of a B-tree for each row that it handles."""
    cost = session.cost(hot.name, hot.parameters)
    if cost.buffers > 20 * hot.rows + 100 or cost.visits > 5 * hot.rows + 50 or cost.whole_tables:
        return f"{hot.name}: {cost} for {hot.rows} rows"
    return ""


# ---------------------------------------------------------------------------------------------------------------
# The upgrade: web workers of the release before, which say nothing of whom they act for.


@pytest.fixture
def former_url(server_url: str, database_url: str) -> Iterator[str]:
    """A database as the release before left it: its migrations, and rights for its services."""
    database = f"former_{uuid4().hex}"
    create_database(server_url, database)
    url = of_database(server_url, database)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement("migration/create_ledger"))
        for migration in migrations():
            if migration.version < 10:
                connection.execute(SQL(migration.sql))
                done = {"version": migration.version, "name": migration.name, "checksum": migration.checksum}
                connection.execute(statement("migration/record"), done)
        for role in ("web", "daemon"):
            connection.execute(f"GRANT USAGE ON SCHEMA calendar_sync TO calendar_sync_{role}")
    yield url
    drop_database(server_url, database)


def test_a_web_worker_of_the_release_before_goes_on_through_the_upgrade(
    former_url: str, google: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_up_to_date(former_url)
    with World(former_url, google, {}) as world:
        world.commit("job_1", job("J-1"))
        world.sync()
        with monkeypatch.context() as before:
            before.setattr("web.services.introduce", ConnectionPool.check_connection)
            with open_site(world) as former, closing(open_web_pool(former.app.services.settings.database_url)) as pool:
                ana, bo = former.user("u_ana"), former.user("u_bo")
                calendar = former.connect(ana)
                former.connect(bo)
                with pool.connection() as session:
                    assert seen(session, "calendar_connection", "user_id") == {"u_ana", "u_bo"}
                    assert seen(session, "staying_user", "user_id") == {"u_ana", "u_bo"}
                world.sync()
                assert world.titles(calendar) == ["J-1 · Dallas → Memphis"]
                address = former.call("POST", FEED, ana).json["url"]
                assert former.call("GET", address.partition("127.0.0.1")[2]).status_code == 200
                assert former.call("POST", f"{API}/disconnect", bo, {"remove_events": False}).status_code == 200
        with open_site(world) as site:
            assert site.call("GET", API, ana).json["state"] == "active"
            assert site.call("GET", API, bo).json["state"] == "not_connected"
        with psycopg.connect(site.app.services.settings.database_url, autocommit=True) as stranger:
            assert seen(stranger, "calendar_connection", "user_id") == set(), "nobody else may keep silent"
            stranger.execute("SELECT set_config('application_name', %s, false)", [APPLICATION_NAME])
            assert seen(stranger, "calendar_connection", "user_id") == {"u_ana", "u_bo"}
            web_for(stranger, ana)
            assert seen(stranger, "calendar_connection", "user_id") == {"u_ana"}


def test_policies_are_put_up_between_two_transactions_and_keep_nobody_waiting_meanwhile(former_url: str) -> None:
    migrate(former_url)
    with ThreadPoolExecutor(1) as thread, psycopg.connect(former_url) as pusher:
        pusher.execute("SELECT FROM calendar_sync.lane")
        waiting = thread.submit(create_roles, former_url)
        eventually(lambda: is_waited_for(pusher))
        # The other way round than the tables are locked: nobody waits for the other for ever, and the push goes on.
        pusher.execute("SELECT FROM calendar_sync.calendar_connection")
        assert not waiting.done()
        pusher.commit()
        waiting.result(30)
        assert pusher.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'calendar_sync'::regnamespace AND relrowsecurity"
        ).fetchone() == (12,)


def test_a_policy_is_replaced_where_its_rules_have_changed_and_those_of_others_are_left_alone(
    owner: Connection, database_url: str, tmp_path: Path
) -> None:
    owner.execute("CREATE POLICY of_the_reports ON calendar_sync.job TO calendar_sync_host USING (true)")
    policies = "SELECT oid FROM pg_policy WHERE polrelid = 'calendar_sync.job'::regclass ORDER BY polname"
    before = owner.execute(policies).fetchall()
    create_roles(database_url)
    assert owner.execute(policies).fetchall() == before, "nobody is held up"
    script = tmp_path / "roles.sql"
    script.write_text(ROLES.read_text().replace("'job', of_tenant,", "'job', 'false',"))
    create_roles(database_url, script)
    assert seen(web_for(owner, ANA), "job", "tenant_id") == {"acme", "beta"}
    owner.execute("SET ROLE calendar_sync_web")
    assert seen(owner, "job", "tenant_id") == set()
    owner.execute("RESET ROLE")
    assert len(owner.execute(policies).fetchall()) == 3


def is_waited_for(connection: Connection) -> bool:
    waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'calendar_sync.lane'::regclass"
    return connection.execute(waiting).rowcount > 0


def test_in_a_database_that_never_knew_the_release_before_nobody_may_keep_silent(world: World) -> None:
    world.connect("u_ana")
    with psycopg.connect(world.stage.web_settings.database_url, application_name=APPLICATION_NAME) as silent:
        for relation in ("calendar_connection", "staying_user", "users_calendar", "job"):
            assert seen(silent, relation, "tenant_id") == set()
