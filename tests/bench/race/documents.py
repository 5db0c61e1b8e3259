"""The figures of a run written into docs/performance.md, between its marks, and the plots beside it."""

from collections.abc import Sequence
from pathlib import Path

from tests.bench.race.contest import OURSELVES, Results
from tests.bench.race.svg import bars
from tests.bench.race.tables import COLUMNS, columns_of, medians, number, readme_figures, verdicts

BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of the figures -->"

PLOTS = {
    "drain0": ("per_s", "10,000 changes, Google at 0 ms: changes a second", 0),
    "drain50": ("per_s", "10,000 changes, Google at 50 ms: changes a second", 0),
    "latency": ("p50_ms", "50 changes a second: commit to request, median, ms", 1),
}
"""By work: what is drawn, under which title, with how many digits."""


def write_documents(docs: Path, results: Results) -> None:
    """Replace what stands between the marks, and the plots."""
    document = docs / "performance.md"
    text = document.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    document.write_text(f"{head}{BEGIN}\n\n{figures_text(results)}\n{END}{tail}", encoding="utf-8")
    folder = docs / "performance"
    folder.mkdir(exist_ok=True)
    for work, picture in plots(results).items():
        (folder / f"{work}.svg").write_text(picture, encoding="utf-8")


def plots(results: Results) -> dict[str, str]:
    """A picture for each work that several systems did."""
    pictures = {}
    for work, (figure, title, digits) in PLOTS.items():
        found = {name: medians(runs) for name, runs in results["works"].get(work, {}).items()}
        values = {name: figures[figure] for name, figures in found.items() if figure in figures}
        if len(values) > 1:
            ordered = dict(sorted(values.items(), key=lambda item: item[1], reverse=figure == "per_s"))
            pictures[work] = bars(title, ordered, highlight=OURSELVES, digits=digits)
    return pictures


def figures_text(results: Results) -> str:
    """All of it as Markdown."""
    plain, batches = (run["calls_s"] for run in results["bare"])
    lines = [
        ", ".join(f"{name} {value}" for name, value in results["machine"].items() if value) + ".",
        "",
        f"The stand-in for Google answers a bare client {plain:,.0f} plain calls a second, "
        f"and {batches:,.0f} in batches of 50.",
        "",
        *_table(["figure", "ours", "best peer", "to reach", "reached"], verdicts(results["works"])),
    ]
    pictures = plots(results)
    for work, systems in results["works"].items():
        keys = columns_of(systems)
        rows = []
        for system, runs in systems.items():
            figures = medians(runs)
            rows.append((f"{system} ({len(runs)})", *(number(figures[key]) if key in figures else "" for key in keys)))
        for system, known in readme_figures(work).items():
            rows.append((f"*{system}, README*", *(number(known[key]) if key in known else "" for key in keys)))
        load = results["loads"].get(work)
        told = "not recorded" if load is None else f"{load:.1f}"
        lines += [
            "",
            f"### {work}",
            "",
            f"Load average of the machine as it began: {told}.",
            "",
            *_table(["system (runs)", *(COLUMNS[key] for key in keys)], rows),
        ]
        if work in pictures:
            lines += ["", f"![{work}](performance/{work}.svg)"]
    return "\n".join([*lines, ""])


def _table(heads: list[str], rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
