"""The rights that `sql/roles.sql` gives a role, one by one, to see which of them a login lacks. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["schema", "table", "column", "sequence", "function"]

_BLOCK = re.compile(r"\bDO \$\$.*?END \$\$;", re.S)
_COMMENT = re.compile(r"--[^\n]*")
_GRANT = re.compile(r"\s*GRANT\s+(?P<privileges>.+?)\s+ON\s+(?P<objects>.+?)\s+TO\s+(?P<roles>[\w\s,]+)", re.S)
_PRIVILEGE = re.compile(r"(?P<name>[A-Z]+)\s*(?:\((?P<columns>[^)]*)\))?")
_COMMA = re.compile(r",\s*(?![^(]*\))")
"""Between two of a list, and not within parentheses."""


@dataclass(frozen=True, slots=True)
class Right:
    """One privilege on one object; on one column of it, if `attribute` is one's name."""

    kind: Kind
    privilege: str
    object: str
    attribute: str = ""

    def __str__(self) -> str:
        return f"{self.privilege} on {self.object}" + (f" ({self.attribute})" if self.attribute else "")


def rights_of(role: str, script: str) -> list[Right]:
    """What the script grants to the role by statements of its own; blocks of code are left out."""
    found: list[Right] = []
    for part in _BLOCK.sub("", _COMMENT.sub("", script)).split(";"):
        grant = _GRANT.fullmatch(part.strip())
        if grant is not None and role in re.split(r"[\s,]+", grant["roles"]):
            found.extend(_rights(grant["privileges"], grant["objects"]))
    return found


def _rights(privileges: str, objects: str) -> Iterator[Right]:
    for name, columns in ((match["name"], match["columns"]) for match in _PRIVILEGE.finditer(privileges)):
        kind, names = _split(objects)
        for each in names:
            if columns is None:
                yield Right(kind, name, each)
            else:
                for column in columns.split(","):
                    yield Right("column", name, each, column.strip())


def _split(objects: str) -> tuple[Kind, list[str]]:
    first, _, rest = objects.partition(" ")
    kinds: dict[str, Kind] = {"SCHEMA": "schema", "SEQUENCE": "sequence", "FUNCTION": "function"}
    kind = kinds.get(first)
    return ("table", _listed(objects)) if kind is None else (kind, _listed(rest))


def _listed(names: str) -> list[str]:
    return [" ".join(name.split()) for name in _COMMA.split(names)]
