"""The results as the tables of docs/mutations.md."""

from collections import Counter
from collections.abc import Mapping, Sequence

from tests.mutation.mutant import Mutant, Results


def report(every: Mapping[str, Sequence[Mutant]], results: Results) -> str:
    """The figures of each file, and the list of what survived, as Markdown; results of other texts do not count.

    Args:
        every: all mutants of each file as it is now.
    """
    lines = ["| File | Mutants | Tried | Killed | Timed out | Survived |", "|---|---:|---:|---:|---:|---:|"]
    survivors = ["| Survivor | Change |", "|---|---|"]
    total, mutants_in_all = Counter[str](), 0
    for path, mutants in every.items():
        found = [results[mutant.key] for mutant in mutants if mutant.key in results]
        verdicts = Counter(result.verdict for result in found)
        lines.append(_row(path, len(mutants), verdicts))
        survivors += [f"| {path}:{row.line} | {row.change} |" for row in found if row.verdict == "survived"]
        total, mutants_in_all = total + verdicts, mutants_in_all + len(mutants)
    return "\n".join([*lines, _row("all", mutants_in_all, total), "", *survivors])


def _row(name: str, mutants: int, verdicts: Counter[str]) -> str:
    killed, timed_out, survived = verdicts["killed"], verdicts["timed out"], verdicts["survived"]
    return f"| {name} | {mutants} | {verdicts.total()} | {killed} | {timed_out} | {survived} |"
