"""Lists reach Postgres as what they are."""

from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outbox.arrays import array_literal
from outbox.database import Connection, connect

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
ELEMENTS = {
    "text": TEXTS | st.sampled_from(["", "NULL", "null", '"', "\\", "{a,b}", " a ", "a,b", "\n", "\\x00"]),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "float8": st.floats(allow_nan=False),
    "boolean": st.booleans(),
    "bytea": st.binary(),
    "timestamptz": st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - made aware by the zone
}


@pytest.fixture(scope="module")
def session(server_url: str) -> Iterator[Connection]:
    with connect(server_url) as connection:
        yield connection


@pytest.mark.parametrize("kind", ELEMENTS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_an_array_is_read_as_the_list_that_was_sent(session: Connection, kind: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | ELEMENTS[kind]))
    row = session.execute(f"SELECT %s::{kind}[]".encode(), [values]).fetchone()
    assert row == (values,)


def test_a_text_that_postgres_cannot_hold_is_refused_and_not_cut_short() -> None:
    with pytest.raises(psycopg.DataError, match="NUL"):
        array_literal(["a\0b"])


def test_what_nobody_has_written_down_how_to_write_is_refused() -> None:
    with pytest.raises(psycopg.NotSupportedError, match="set"):
        array_literal([{1}])
