"""Reading the members of decoded JSON objects, and saying in plain words what is wrong with one."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from outbox.bound import Bound, is_zone, parse_bound

QUOTE_LIMIT = 60
"""Characters of a producer's value that a message repeats."""

_NUMBER = (int, float, Decimal)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class Record:
    """A JSON object with its path, read member by member; null is the same as absent.

    Reading notes what is wrong and goes on with a stand-in, so that all is counted. Nearly every payload is sound, so
    only objects have their paths at hand; that of a plain member is put together for a complaint about it.
    """

    path: str
    members: dict[str, object]
    problems: list[str]

    def refuse(self, name: str, problem: str) -> None:
        self.problems.append(f"{self._path_of(name)}: {problem}")

    def text(self, name: str) -> str:
        """The string; null is the empty one."""
        value = self.members.get(name)
        # What is printable throughout needs no closer look: halves of surrogate pairs are not.
        return value if isinstance(value, str) and value.isprintable() else self._text(name, value)

    def texts(self, name: str) -> tuple[str, ...]:
        """The strings of an array, without refused nulls; null is an empty array."""
        texts = []
        for index, value in enumerate(self._array(name)):
            place = f"{name}[{index}]"
            if value is None:
                self._refuse_null(place)
            else:
                texts.append(self._text(place, value))
        return tuple(texts)

    def number(self, name: str) -> Decimal | None:
        value = self.members.get(name)
        if value is None:
            return None
        if not isinstance(value, _NUMBER) or isinstance(value, bool):
            self._refuse_type(name, "a number", value)
            return None
        number = _decimal(value)
        if not number.is_finite():
            self.refuse(name, "must be a finite number; send null when it is not known")
            return None
        return number

    def zone(self, name: str) -> str | None:
        zone = self.text(name)
        if isinstance(self.members.get(name), str) and not is_zone(zone):
            self.refuse(name, f'{shown(zone)} is not an IANA time zone; send one such as "America/Chicago", or null')
        return zone or None

    def bound(self, name: str) -> Bound | None:
        value = self.members.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            self._refuse_type(name, "an RFC 3339 time or a date, in a string", value)
            return None
        try:
            return parse_bound(value)
        except ValueError as unreadable:
            self.refuse(name, f"{shown(value)} {unreadable}")
            return None

    def record(self, name: str) -> "Record | None":
        """The object; null is none, anything else is refused."""
        value = self.members.get(name)
        if isinstance(value, dict):
            return Record(self._path_of(name), value, self.problems)
        if value is not None:
            self._refuse_type(name, "a JSON object", value)
        return None

    def records(self, name: str) -> Iterator["Record"]:
        """The objects of an array, without what is refused; null is an empty array."""
        path = self._path_of(name)
        for index, value in enumerate(self._array(name)):
            if isinstance(value, dict):
                yield Record(f"{path}[{index}]", value, self.problems)
            elif value is None:
                self._refuse_null(f"{name}[{index}]")
            else:
                self._refuse_type(f"{name}[{index}]", "a JSON object", value)

    def _array(self, name: str) -> list[object]:
        value = self.members.get(name)
        if isinstance(value, list):
            return value
        if value is not None:
            self._refuse_type(name, "an array", value)
        return []

    def _text(self, place: str, value: object) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            self._refuse_type(place, "a string", value)
            return ""
        if _SURROGATE.search(value):
            self.refuse(place, f"{shown(value)} holds half of a surrogate pair; send whole Unicode characters")
        return value

    def _refuse_null(self, place: str) -> None:
        self.refuse(place, "must not be null; leave it out")

    def _refuse_type(self, place: str, wanted: str, value: object) -> None:
        self.refuse(place, f"must be {wanted}, got {kind_of(value)}")

    def _path_of(self, place: str) -> str:
        return f"{self.path}.{place}" if self.path else place


def kind_of(value: object) -> str:
    """What JSON calls such a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float() | Decimal():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def shown(value: object) -> str:
    """The value for a message: clipped, in JSON, in printable characters."""
    match value:
        case str():
            text = value if len(value) <= QUOTE_LIMIT else value[: QUOTE_LIMIT - 1] + "…"
            return json.dumps(text, ensure_ascii=not text.isprintable())
        case bool():
            return "true" if value else "false"
        case int() | float() | Decimal():
            return str(_decimal(value))[:QUOTE_LIMIT]
        case _:
            return kind_of(value)


def _decimal(number: int | float | Decimal) -> Decimal:
    """The number as it was written: by way of its shortest spelling 0.1 stays 0.1."""
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)
