"""A Python producer enqueues inside its own transaction, whatever it talks to Postgres with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import sqlalchemy
from sqlalchemy import event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from outbox import InvalidPayload, enqueue_job_event
from tests.integration.conftest import World, job

TITLE = "J-1 · Dallas → Memphis"

Producer = Any
"""A psycopg connection, a SQLAlchemy Connection or a Session: what they share is `commit` and `rollback`."""


class Base(DeclarativeBase):
    """The producer's own tables."""


class ShopJob(Base):
    """The producer's job."""

    __tablename__ = "shop_job"
    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[str]


@contextmanager
def sqlalchemy_engine(url: str) -> Iterator[sqlalchemy.Engine]:
    """SQLAlchemy's engine over psycopg."""
    engine = sqlalchemy.create_engine(sqlalchemy.make_url(url).set(drivername="postgresql+psycopg"))
    yield engine
    engine.dispose()


@contextmanager
def by_psycopg(url: str) -> Iterator[Producer]:
    connection = psycopg.connect(url)
    yield connection
    connection.close()


@contextmanager
def by_connection(url: str) -> Iterator[Producer]:
    with sqlalchemy_engine(url) as engine, engine.connect() as connection:
        yield connection


@contextmanager
def by_session(url: str) -> Iterator[Producer]:
    with sqlalchemy_engine(url) as engine, Session(engine) as session:
        yield session


WAYS = {"psycopg": by_psycopg, "a SQLAlchemy connection": by_connection, "a SQLAlchemy session": by_session}

in_every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)

Way = Callable[[str], Any]


def enqueue(world: World, producer: Producer, **changes: Any) -> None:
    """Enqueue the usual event, with some arguments changed."""
    arguments = {"tenant_id": world.tenant, "job_id": "job_1", "event_type": "job.created", "payload": job()}
    enqueue_job_event(producer, **{**arguments, **changes})


def rows(world: World) -> list[tuple[Any, ...]]:
    """What others see in the outbox."""
    return world.execute("SELECT tenant_id, job_id, event_type, payload FROM calendar_sync.outbox ORDER BY id")


@in_every_way
def test_a_row_appears_with_the_producers_commit_and_not_before(world: World, way: Way) -> None:
    calendar = world.connect("u_ana")
    with way(world.database_url) as producer:
        enqueue(world, producer)
        assert rows(world) == []
        producer.commit()
    assert rows(world) == [(world.tenant, "job_1", "job.created", job())]
    world.sync()
    assert world.titles(calendar) == [TITLE]


@in_every_way
def test_a_rollback_leaves_nothing(world: World, way: Way) -> None:
    with way(world.database_url) as producer:
        enqueue(world, producer)
        producer.rollback()
        producer.commit()
    assert rows(world) == []


@in_every_way
def test_a_producer_that_ends_without_a_commit_leaves_nothing(world: World, way: Way) -> None:
    with way(world.database_url) as producer:
        enqueue(world, producer)
    assert rows(world) == []


@in_every_way
def test_the_row_stands_or_falls_with_the_savepoint_it_was_made_in(world: World, way: Way) -> None:
    with way(world.database_url) as producer:
        enqueue(world, producer, job_id="job_kept")
        undo_in_savepoint(producer, lambda: enqueue(world, producer, job_id="job_undone"))
        producer.commit()
    assert [row[1] for row in rows(world)] == ["job_kept"]


def undo_in_savepoint(producer: Producer, work: Callable[[], None]) -> None:
    """Do something in a savepoint of the producer's transaction, and roll back to it."""
    if isinstance(producer, psycopg.Connection):
        with producer.transaction(force_rollback=True):
            work()
    else:
        with producer.begin_nested() as savepoint:
            work()
            savepoint.rollback()


ILLEGAL: list[tuple[dict[str, Any], type[ValueError], str]] = [
    ({"tenant_id": ""}, ValueError, "tenant_id: must be a string of 1 to 200 characters"),
    ({"tenant_id": "t" * 201}, ValueError, "tenant_id: must be a string of 1 to 200 characters"),
    ({"job_id": ""}, ValueError, "job_id: must be a string of 1 to 200 characters"),
    ({"job_id": "a\0b"}, ValueError, "job_id: must be a string of 1 to 200 characters"),
    ({"job_id": 7}, ValueError, "job_id: must be a string of 1 to 200 characters"),
    ({"event_type": "job.deleted"}, ValueError, "event_type: must be one of job.created, job.updated, job.cancelled"),
    ({"payload": []}, InvalidPayload, "payload: must be a JSON object"),
    ({"payload": {}}, InvalidPayload, "schema_version: is missing"),
    ({"payload": job(" ")}, InvalidPayload, "job_number: is blank"),
    ({"payload": job(legs="none")}, InvalidPayload, "legs: must be an array"),
    ({"payload": job(timezone="Mars/Olympus")}, InvalidPayload, "timezone: "),
    ({"payload": job(extra=float("nan"))}, InvalidPayload, "payload: cannot be written as JSON"),
    ({"payload": job(extra=object())}, InvalidPayload, "payload: cannot be written as JSON"),
    ({"payload": job(extra="a\0b")}, InvalidPayload, "payload: holds a NUL"),
    ({"payload": {"a": "\ud800"}, "event_type": "job.cancelled"}, InvalidPayload, "payload: holds a NUL or half"),
]


@in_every_way
def test_what_breaks_the_contract_raises_by_the_fields_name_and_spoils_no_transaction(world: World, way: Way) -> None:
    with way(world.database_url) as producer:
        enqueue(world, producer, job_id="job_before")
        for changes, kind, message in ILLEGAL:
            with pytest.raises(kind, match=f"^{message}") as raised:
                enqueue(world, producer, **changes)
            assert type(raised.value) is kind
        enqueue(world, producer, job_id="job_after")
        producer.commit()
    assert [row[1] for row in rows(world)] == ["job_before", "job_after"]


@in_every_way
def test_text_arrives_character_by_character(world: World, way: Way) -> None:
    payload = job("J-«1» %s %(x)s :y \\ \" ' \u202bשלום\u202c 🚚")
    with way(world.database_url) as producer:
        enqueue(world, producer, job_id="job %s :x", payload=payload)
        producer.commit()
    assert [(row[1], row[3]) for row in rows(world)] == [("job %s :x", payload)]


@in_every_way
def test_a_cancellation_needs_no_payload(world: World, way: Way) -> None:
    with way(world.database_url) as producer:
        enqueue(world, producer, event_type="job.cancelled", payload={})
        producer.commit()
    assert rows(world) == [(world.tenant, "job_1", "job.cancelled", {})]


@in_every_way
def test_the_producers_role_is_enough(world: World, way: Way) -> None:
    with way(world.database_url) as producer:
        become_producer = "SET ROLE calendar_sync_producer"
        is_psycopg = isinstance(producer, psycopg.Connection)
        producer.execute(become_producer if is_psycopg else sqlalchemy.text(become_producer))
        enqueue(world, producer)
        producer.commit()
    assert len(rows(world)) == 1


def test_a_sessions_changes_reach_the_database_before_the_row_gets_its_id(world: World) -> None:
    with sqlalchemy_engine(world.database_url) as engine:
        Base.metadata.create_all(engine)
        statements: list[str] = []
        event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
        with Session(engine, autoflush=False) as session:
            session.add(ShopJob(id="job_1", number="J-1"))
            session.commit()
            statements.clear()
            changed = session.get_one(ShopJob, "job_1")
            changed.number = "J-2"
            enqueue(world, session)
            writes = [text.split()[0] for text in statements if not text.startswith("SELECT")]
            assert writes == ["UPDATE", "--"]
            with psycopg.connect(world.database_url) as other, pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute("SELECT FROM shop_job FOR UPDATE NOWAIT")
            session.rollback()
        with Session(engine) as session:
            assert session.get_one(ShopJob, "job_1").number == "J-1"
    assert rows(world) == []


@pytest.mark.parametrize("wrong", [None, "postgresql://", object()])
def test_anything_else_than_a_connection_is_a_type_error(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"^connection: must be a psycopg Connection"):
        enqueue_job_event(
            wrong,  # type: ignore[arg-type]
            tenant_id="acme",
            job_id="job_1",
            event_type="job.created",
            payload=job(),
        )


def test_an_engine_is_no_connection(world: World) -> None:
    with sqlalchemy_engine(world.database_url) as engine, pytest.raises(TypeError, match=r"got Engine$"):
        enqueue(world, engine)
    assert rows(world) == []
