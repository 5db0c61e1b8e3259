"""Lists of plain values as Postgres reads arrays, made in one go: psycopg asks after each element by itself.

Every statement says of which type its array is (`%(ids)s::bigint[]`), so a list goes out without one.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import psycopg
from psycopg.adapt import AdaptersMap, Dumper


def array_literal(values: list[Any]) -> str:
    """The list as a literal: text, numbers, booleans, bytes, times, None.

    Raises:
        psycopg.NotSupportedError: something else is in it.
        psycopg.DataError: a text holds the character NUL, which Postgres cannot.
    """
    try:
        literal = "{" + ",".join([_WRITTEN[type(value)](value) for value in values]) + "}"
    except KeyError as unknown:
        raise psycopg.NotSupportedError(f"an array of {unknown} is not written here; add it to _WRITTEN") from None
    if "\0" in literal:
        raise psycopg.DataError("a text holds the character NUL, which PostgreSQL cannot store")
    return literal


class ArrayDumper(Dumper):
    """What psycopg needs to be told for it."""

    def dump(self, obj: list[Any]) -> bytes:
        """The literal, in the connection's encoding."""
        encoding = self.connection.info.encoding if self.connection else "utf-8"
        return array_literal(obj).encode(encoding)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_WRITTEN: Mapping[type, Callable[[Any], str]] = {
    str: _quoted,
    int: str,
    float: repr,
    bool: str,
    bytes: lambda value: f'"\\\\x{value.hex()}"',
    datetime: lambda value: f'"{value.isoformat()}"',
    type(None): lambda _: "NULL",
}

ADAPTERS = AdaptersMap(psycopg.adapters)
"""What our connections know: all that psycopg does, and this."""

ADAPTERS.register_dumper(list, ArrayDumper)
