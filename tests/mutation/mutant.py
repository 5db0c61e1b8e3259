"""A mutant: one file of the project with one small fault put into it."""

from dataclasses import dataclass, field
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class Mutant:
    """One file with one change.

    Attributes:
        path: of the file, from the project's root.
        line: where the change is, in the file as it is.
        change: what was done, in a few words, with the text before and after.
        text: the whole file with the change.
    """

    path: str
    line: int
    change: str
    text: str = field(repr=False)

    @property
    def key(self) -> str:
        """The same for the same change of the same file."""
        return sha256(f"{self.path}\n{self.text}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a mutant; `stages`: so many were run."""

    key: str
    path: str
    line: int
    change: str
    verdict: str
    by: str
    cpu_seconds: float
    stages: int


Results = dict[str, Result]
"""The last result of each mutant that has one, by its key."""


def distinct(mutants: list[Mutant], original: str) -> list[Mutant]:
    """Without those whose text another one has, or which change nothing."""
    return list({mutant.text: mutant for mutant in reversed(mutants) if mutant.text != original}.values())[::-1]
