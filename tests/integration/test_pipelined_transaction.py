"""A transaction in a pipeline is all or nothing, and says what went wrong, although nobody waits for each answer."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg_pool import ConnectionPool

from outbox.database import KNOWS_TRANSACTION_LIMIT, Connection, open_pool, pipelined_transaction
from tests.integration.conftest import eventually

Pool = ConnectionPool[Connection]

IS_THERE = "SELECT FROM pg_stat_activity WHERE pid = %s"


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    with open_pool(database_url, size=1) as pool:
        with pool.connection() as connection:
            connection.execute("CREATE TABLE public.line (text text, UNIQUE (text) DEFERRABLE INITIALLY DEFERRED)")
        yield pool


def lines(pool: Pool) -> list[str]:
    """What stands in the table, as the one connection of the pool sees it afterwards."""
    with pipelined_transaction(pool) as connection:
        return [text for (text,) in connection.execute("SELECT text FROM public.line ORDER BY text")]


def write(connection: Connection, text: str) -> None:
    connection.execute("INSERT INTO public.line VALUES (%s)", [text])


def test_what_was_written_stands_also_where_the_block_is_left_early(pool: Pool) -> None:
    def leave_early() -> str:
        with pipelined_transaction(pool) as connection:
            write(connection, "a")
            return "left"

    assert leave_early() == "left"
    assert lines(pool) == ["a"]


def fails_itself(connection: Connection) -> None:
    write(connection, "b")
    raise KeyError("ours")


def fails_at_a_statement(connection: Connection) -> None:
    write(connection, "b")
    connection.execute("SELECT 1 / 0")
    write(connection, "c")


def fails_where_it_is_read(connection: Connection) -> None:
    write(connection, "b")
    connection.execute("SELECT 1 / 0").fetchone()


def fails_at_the_commit(connection: Connection) -> None:
    write(connection, "b")
    write(connection, "b")


@pytest.mark.parametrize(
    ("work", "error"),
    [
        (fails_itself, KeyError),
        (fails_at_a_statement, psycopg.errors.DivisionByZero),
        (fails_where_it_is_read, psycopg.errors.DivisionByZero),
        (fails_at_the_commit, psycopg.errors.UniqueViolation),
    ],
)
def test_what_fails_is_raised_as_what_it_is_and_nothing_stands(
    pool: Pool, work: Callable[[Connection], None], error: type[Exception]
) -> None:
    for _ in range(2):  # the connection is as good as before
        with pytest.raises(error), pipelined_transaction(pool) as connection:
            work(connection)
        assert lines(pool) == []


def test_a_failure_that_somebody_swallows_is_raised_all_the_same(pool: Pool) -> None:
    def swallow() -> None:
        with pipelined_transaction(pool) as connection:
            write(connection, "b")
            with pytest.raises(psycopg.errors.DivisionByZero):
                connection.execute("SELECT 1 / 0").fetchone()
            write(connection, "c")

    with pytest.raises(psycopg.errors.PipelineAborted):
        swallow()
    assert lines(pool) == []


def test_a_lost_connection_is_replaced(pool: Pool, database_url: str) -> None:
    def lose() -> None:
        with pipelined_transaction(pool) as connection:
            with psycopg.connect(database_url, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
            write(connection, "b")

    with pytest.raises(psycopg.OperationalError):
        lose()
    assert lines(pool) == []


def test_a_transaction_that_nobody_goes_on_with_ends_itself(pool: Pool, database_url: str) -> None:
    with pool.connection() as connection:
        if connection.info.server_version < KNOWS_TRANSACTION_LIMIT:
            pytest.skip("needs PostgreSQL 17")
        [[limit]] = connection.execute("SELECT current_setting('transaction_timeout')").fetchall()
        assert limit == "1min"
        connection.execute("SET transaction_timeout = '200ms'")

    def hang() -> None:
        with pipelined_transaction(pool) as connection:
            write(connection, "b")
            connection.execute("SELECT FROM public.line").fetchall()
            with psycopg.connect(database_url, autocommit=True) as other:
                eventually(lambda: not other.execute(IS_THERE, [connection.info.backend_pid]).fetchall())

    with pytest.raises(psycopg.Error):
        hang()
    assert lines(pool) == []
