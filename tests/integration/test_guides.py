"""The examples of the guide for the jobs service run as they stand there, as a login that may do nothing more."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import Jsonb
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from tests.conftest import NEEDS
from tests.guides.reading import DOCS, blocks
from tests.integration.conftest import World, job
from tests.integration.interleaving import background
from web.demo.stage import login_url

GUIDE = (DOCS / "guide-jobs-service.md").read_text()
NODE = DOCS.parent / "tests" / "guides"

STARTS_AT, ENDS_AT = "2026-12-01 07:00:00-06", "2026-12-01 18:00:00-06"
"""To which every example moves the job."""

MOVED = (datetime.fromisoformat(f"{STARTS_AT}:00"), datetime.fromisoformat(f"{ENDS_AT}:00"))

Move = Callable[[str], object]
"""An example: moves job_8f3a of acme, logged in by this URL."""


def example(name: str) -> str:
    """A block of the guide."""
    return blocks(GUIDE, "example")[name]


def execute(url: str, text: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Run statements as that login, each as it stands; rows of the last one."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(text, parameters or None)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def service(world: World) -> Iterator[str]:
    """The URL of a login that owns the schema `jobs` of the guide and is a producer, and nothing else."""
    login = f"jobs_service_{uuid4().hex[:12]}"
    name = sql.Identifier(login)
    with psycopg.connect(world.database_url, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE calendar_sync_producer").format(name))
        owner.execute(sql.SQL("CREATE SCHEMA jobs AUTHORIZATION {}").format(name))
        url = login_url(world.database_url, login)
        for part in ("tables", "payload"):
            execute(url, example(part))
        execute(url, "INSERT INTO jobs.job VALUES ('acme', 'job_8f3a', 'J-1', DEFAULT, 'America/Chicago')")
        execute(url, "INSERT INTO jobs.stop VALUES ('acme', 'job_8f3a', 1, 'Warehouse 4', '1201 Main St, Dallas')")
        yield url
        owner.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(name))
        owner.execute(sql.SQL("DROP ROLE {}").format(name))


def in_sql(url: str) -> None:
    execute(url, example("sql"))


def in_python(url: str) -> None:
    namespace: dict[str, Any] = {}
    exec(example("psycopg"), namespace)  # noqa: S102 - it is what a reader would paste
    with psycopg.connect(url) as connection:
        namespace["move_job"](connection, "acme", "job_8f3a", STARTS_AT, ENDS_AT)


class Base(DeclarativeBase):
    """The service's tables."""

    metadata = sqlalchemy.MetaData(schema="jobs")


class Job(Base):
    """As the guide's table."""

    __tablename__ = "job"
    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str]
    time_zone: Mapped[str]
    starts_at: Mapped[datetime] = mapped_column(sqlalchemy.DateTime(timezone=True))
    ends_at: Mapped[datetime] = mapped_column(sqlalchemy.DateTime(timezone=True))


def in_sqlalchemy(url: str) -> None:
    namespace: dict[str, Any] = {}
    exec(example("sqlalchemy"), namespace)  # noqa: S102 - likewise
    engine = sqlalchemy.create_engine(sqlalchemy.make_url(url).set(drivername="postgresql+psycopg"))
    with Session(engine) as session:
        session.get(Job, ("acme", "job_8f3a"))  # held already, as it often is
        namespace["move_job"](session, Job, "acme", "job_8f3a", *MOVED)
    engine.dispose()


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the Node.js example runs, with the driver that it needs."""
    folder = tmp_path_factory.mktemp("node")
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip(f"{NEEDS}Node.js and npm, for the example of the guide for the jobs service")
    for name in ("package.json", "package-lock.json", "move.mjs"):
        shutil.copy(NODE / name, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    fetched = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    if fetched.returncode:
        pytest.skip(f"{NEEDS}npm to fetch what tests/guides/package-lock.json names: {fetched.stderr[:200]}")
    (folder / "example.mjs").write_text(example("node"))
    return folder


def in_node(folder: Path, url: str, job_id: str = "job_8f3a") -> subprocess.CompletedProcess[str]:
    """Runs the example; its URL is handed on as libpq's variables."""
    parts = {name: str(value) for name, value in conninfo_to_dict(url).items() if value}
    known = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    environment = {variable: parts[name] for name, variable in known.items() if name in parts}
    command = [shutil.which("node") or "node", "move.mjs", "./example.mjs", "acme", job_id, STARTS_AT, ENDS_AT]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)


WAYS = ["SQL", "psycopg", "SQLAlchemy", "Node.js"]


@pytest.fixture(params=WAYS)
def move(request: pytest.FixtureRequest) -> Move:
    """One of the examples."""
    if request.param == "Node.js":
        folder: Path = request.getfixturevalue("node")

        def run(url: str) -> None:
            ended = in_node(folder, url)
            assert ended.returncode == 0, ended.stderr

        return run
    return {"SQL": in_sql, "psycopg": in_python, "SQLAlchemy": in_sqlalchemy}[str(request.param)]


def test_an_example_brings_a_job_into_the_calendar_also_if_somebody_else_is_just_changing_it(
    world: World, service: str, move: Move
) -> None:
    calendar = world.connect("u_ana", tenant="acme")
    with psycopg.connect(service) as first:
        # As the rule says: the job is locked before its stop is changed and the row is inserted.
        first.execute("UPDATE jobs.job SET number = 'J-2', ends_at = now() WHERE id = 'job_8f3a'")
        first.execute("UPDATE jobs.stop SET address = '88 Union Ave, Memphis'")
        with background(world, lambda: move(service)) as second:
            payload = first.execute("SELECT jobs.calendar_payload('acme', 'job_8f3a')").fetchone()
            assert payload is not None
            insert = (
                "INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload)"
                " VALUES ('acme', 'job_8f3a', 'job.updated', %s)"
            )
            first.execute(insert, [Jsonb(payload[0])])
            first.commit()
        second.result()
    [number, starts_at, stops] = world.execute(
        "SELECT payload ->> 'job_number', payload #>> '{legs,0,dispatch_window,start}', payload #> '{legs,0,stops}'"
        " FROM calendar_sync.outbox ORDER BY id DESC LIMIT 1"
    )[0]
    assert (number, datetime.fromisoformat(starts_at)) == ("J-2", MOVED[0])
    assert stops in (None, [{"name": "Warehouse 4", "address": "88 Union Ave, Memphis"}])
    world.sync()
    [event] = world.events(calendar)
    assert (event["summary"], datetime.fromisoformat(event["start"]["dateTime"])) == ("J-2", MOVED[0])


def test_the_example_in_node_leaves_nothing_if_it_fails(world: World, service: str, node: Path) -> None:
    ended = in_node(node, service, job_id="nowhere")
    assert (ended.returncode, ended.stderr.strip()) == (1, "there is no job nowhere")
    world.execute("ALTER TABLE calendar_sync.outbox ADD CONSTRAINT refuses CHECK (tenant_id <> 'acme')")
    ended = in_node(node, service)
    assert ended.returncode == 1
    assert 'violates check constraint "refuses"' in ended.stderr
    assert world.execute("SELECT starts_at FROM jobs.job") == [(None,)]


def test_one_statement_is_no_substitute_where_the_payload_comes_from_other_tables_too(
    world: World, service: str
) -> None:
    together = (
        "WITH changed AS (UPDATE jobs.job SET status = 'moved' RETURNING tenant_id, id)"
        " INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload)"
        " SELECT tenant_id, id, 'job.updated', jobs.calendar_payload(tenant_id, id) FROM changed"
    )
    with psycopg.connect(service) as first:
        first.execute("UPDATE jobs.job SET number = 'J-2'")
        first.execute("UPDATE jobs.stop SET address = 'new'")
        with background(world, lambda: execute(service, together)) as second:
            first.commit()
        second.result()
    [[payload]] = world.execute("SELECT payload FROM calendar_sync.outbox")
    assert payload["legs"][0]["stops"][0]["address"] == "1201 Main St, Dallas"


def test_the_jobs_that_are_there_already_are_brought_in_in_batches(world: World, service: str) -> None:
    execute(service, "UPDATE jobs.job SET starts_at = now(), ends_at = now() + interval '1 day'")
    execute(
        service,
        "INSERT INTO jobs.job"
        " SELECT 'beta', 'job_' || n, 'J-' || n, CASE n WHEN 7 THEN 'cancelled' ELSE 'scheduled' END, 'Europe/Berlin',"
        " now(), now() + make_interval(days => CASE n WHEN 8 THEN -1 ELSE 1 END)"
        " FROM generate_series(1, 9) AS n",
    )
    create, call = example("backfill").split("CALL")
    execute(service, create)
    with psycopg.connect(service) as first:
        first.execute("UPDATE jobs.job SET number = 'J-50' WHERE id = 'job_5'")
        with background(world, lambda: execute(service, f"CALL{call.replace('()', '(3)')}")) as procedure:
            first.commit()
        procedure.result()
    rows = world.execute("SELECT tenant_id, payload ->> 'job_number' FROM calendar_sync.outbox ORDER BY id")
    assert rows == [("acme", "J-1"), *(("beta", f"J-{n}") for n in (1, 2, 3, 4, 50, 6, 9))]
    with world.engine() as engine:
        assert engine.relay.relay_batch().rejected == 0
    calendar = world.connect("u_bo", tenant="beta")
    world.sync()
    assert world.titles(calendar) == sorted(f"J-{n}" for n in (1, 2, 3, 4, 50, 6, 9))


MISTAKES: dict[str, Any] = {
    "a time without an offset": job(legs=[{"dispatch_window": {"start": "2026-12-01T07:00:00"}}]),
    "a number in place of a string": job(job_number=10423),
    "an abbreviation as time zone": job(timezone="CST"),
    "the version as a string": job(schema_version="1"),
    "no legs": {"schema_version": 1, "job_number": "J-1"},
    "one id in place of a list": job(assigned_user_ids="u_ana"),
    "the payload encoded twice": "{}",
}


def test_each_mistake_is_seen_with_the_reason_that_is_said_and_a_new_row_is_the_way_out(world: World) -> None:
    said = dict(re.findall(r"^\| ([^|`]+) \| `([^`]+)` \|$", GUIDE, re.MULTILINE))
    calendar = world.connect("u_ana")
    for mistake, payload in MISTAKES.items():
        world.commit(mistake, payload)
    world.sync()
    told = {row[2]: row[4] for row in world.execute(example("rejected"))}
    assert told == {mistake: said[mistake] for mistake in MISTAKES}
    assert world.status()["rejected_events"] == len(MISTAKES)
    assert world.execute(example("lag"))[0][0] == 0
    world.commit("no legs", job("J-2"))
    world.sync()
    assert world.titles(calendar) == ["J-2 · Dallas → Memphis"]


def test_a_status_is_carried_and_cancels_nothing(world: World) -> None:
    calendar = world.connect("u_ana")
    world.commit("job_1", job(status="cancelled"))
    world.sync()
    assert world.titles(calendar) == ["J-1 · Dallas → Memphis"]


ROW = "'acme', 'job_8f3a', 'job.updated', '{}'"


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        (f"(tenant_id, job_id, event_type, payload) VALUES ({ROW}) RETURNING id", "permission denied for table outbox"),
        (
            f"(tenant_id, job_id, event_type, payload, created_at) VALUES ({ROW}, now())",
            "permission denied for table outbox",
        ),
        (
            f"(tenant_id, job_id, event_type, payload, id) VALUES ({ROW}, 9)",
            'cannot insert a non-DEFAULT value into column "id"',
        ),
    ],
    ids=["RETURNING", "created_at", "id"],
)
def test_what_a_producer_may_not_do_is_refused_in_the_words_of_the_guide(
    service: str, statement: str, answer: str
) -> None:
    assert f"`{answer}`" in GUIDE
    with pytest.raises(psycopg.Error, match=re.escape(answer)):
        execute(service, f"INSERT INTO calendar_sync.outbox {statement}")
