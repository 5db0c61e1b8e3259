"""Reading one value of decoded JSON, and saying in plain words what is wrong with it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from outbox.bound import Bound, is_zone, parse_bound

QUOTE_LIMIT = 60
"""Characters of a producer's value that a message repeats."""

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Field:
    """A value with its path; reading it notes what is wrong and goes on with a stand-in, so that all is counted."""

    path: str
    value: object
    problems: list[str]

    def refuse(self, problem: str) -> None:
        self.problems.append(f"{self.path or 'payload'}: {problem}")

    def refuse_type(self, wanted: str) -> None:
        self.refuse(f"must be {wanted}, got {kind_of(self.value)}")

    def member(self, name: str) -> "Field":
        """The named field; null if absent."""
        members = self.value if isinstance(self.value, dict) else {}
        return Field(f"{self.path}.{name}" if self.path else name, members.get(name), self.problems)

    def is_object(self) -> bool:
        """Whether there is an object to read; null is none, anything else is refused."""
        if not isinstance(self.value, dict | None):
            self.refuse_type("a JSON object")
        return isinstance(self.value, dict)

    def objects(self) -> Iterator["Field"]:
        return (element for element in self.elements() if element.is_object())

    def elements(self) -> Iterator["Field"]:
        """The array's elements, without refused nulls; null is an empty array."""
        if not isinstance(self.value, list | None):
            self.refuse_type("an array")
        for index, value in enumerate(self.value if isinstance(self.value, list) else ()):
            element = Field(f"{self.path}[{index}]", value, self.problems)
            if value is None:
                element.refuse("must not be null; leave it out")
            else:
                yield element

    def text(self) -> str:
        """The string; null is the empty one."""
        if self.value is None:
            return ""
        if not isinstance(self.value, str):
            self.refuse_type("a string")
            return ""
        if _SURROGATE.search(self.value):
            self.refuse(f"{shown(self.value)} holds half of a surrogate pair; send whole Unicode characters")
        return self.value

    def number(self) -> Decimal | None:
        if self.value is None:
            return None
        if isinstance(self.value, bool) or not isinstance(self.value, int | float | Decimal):
            self.refuse_type("a number")
            return None
        number = _decimal(self.value)
        if not number.is_finite():
            self.refuse("must be a finite number; send null when it is not known")
            return None
        return number

    def zone(self) -> str | None:
        name = self.text()
        if isinstance(self.value, str) and not is_zone(name):
            self.refuse(f'{shown(name)} is not an IANA time zone; send one such as "America/Chicago", or null')
            return None
        return name or None

    def bound(self) -> Bound | None:
        if self.value is None:
            return None
        if not isinstance(self.value, str):
            self.refuse_type("an RFC 3339 time or a date, in a string")
            return None
        try:
            return parse_bound(self.value)
        except ValueError as unreadable:
            self.refuse(f"{shown(self.value)} {unreadable}")
            return None


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
