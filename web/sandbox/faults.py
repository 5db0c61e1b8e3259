"""Faults on demand: which rule, if any, hits a request."""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from web.sandbox.specs import FaultSpec, Reach


class Carriage(Enum):
    """How a request came: as a plain HTTP request, as a batch, or as a part of one."""

    PLAIN = "plain"
    BATCH = "batch"
    PART = "part"


_REACHED: Mapping[Reach, frozenset[Carriage]] = {
    Reach.CALL: frozenset({Carriage.PLAIN, Carriage.PART}),
    Reach.HTTP: frozenset({Carriage.PLAIN, Carriage.BATCH}),
    Reach.BATCH: frozenset({Carriage.BATCH}),
    Reach.PART: frozenset({Carriage.PART}),
}


@dataclass(frozen=True, slots=True)
class Target:
    """What a rule can tell requests apart by; `path` is decoded and has no query."""

    method: str
    path: str
    account: str = ""
    calendar: str = ""
    carriage: Carriage = Carriage.PLAIN


@dataclass(slots=True)
class _Armed:
    spec: FaultSpec
    dice: random.Random
    matched: int = 0
    hits: int = field(default=0)

    def strikes(self, target: Target) -> bool:
        spec = self.spec
        if spec.count is not None and self.hits >= spec.count:
            return False
        if target.carriage not in _REACHED[spec.reach]:
            return False
        named = (spec.method.upper(), spec.account, spec.calendar)
        actual = (target.method, target.account, target.calendar)
        if any(name not in {"", value} for name, value in zip(named, actual, strict=True)):
            return False
        if not re.search(spec.path, target.path):
            return False
        self.matched += 1
        if self.matched % spec.every or self.dice.random() >= spec.probability:
            return False
        self.hits += 1
        return True


class Faults:
    """The rules in force, in the order they were added; the first that strikes wins. Not thread-safe."""

    def __init__(self) -> None:
        self._rules: list[_Armed] = []

    def add(self, spec: FaultSpec) -> None:
        """Put a rule in force."""
        dice = random.Random(spec.seed)  # noqa: S311 - a repeatable choice of victims, not a secret
        self._rules.append(_Armed(spec, dice))

    def clear(self) -> None:
        """Lift every rule."""
        self._rules.clear()

    def strike(self, target: Target) -> FaultSpec | None:
        """The fault that hits this request."""
        return next((rule.spec for rule in self._rules if rule.strikes(target)), None)

    def counts(self) -> list[dict[str, object]]:
        """For each rule its kind, how many requests it matched and how many it hit."""
        return [{"kind": rule.spec.kind, "matched": rule.matched, "hits": rule.hits} for rule in self._rules]
