"""What is looked at every hour, and what it says about a week: figures, verdicts, plots, and the page of the docs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from statistics import fmean

BEGIN, END = "<!-- figures: written by make week -->", "<!-- end of the figures -->"

MB = 1024 * 1024

HOURS = 24

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 260, 64, 150, 40, 34

COLOURS = ("#1a73e8", "#d93025", "#188038", "#e8710a", "#9334e6", "#129eaf", "#5f6368")


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of the week as it ended.

    Attributes:
        sizes: of each table in bytes: the table with its TOAST, and its indexes.
        rows, dead: of each table.
        rss: resident bytes of the daemon; `wal`: bytes written in this hour; `load`: of the machine.
        took: real seconds from the first commit until nothing was left to do.
    """

    number: int
    sizes: Mapping[str, tuple[int, int]]
    rows: Mapping[str, int]
    dead: Mapping[str, int]
    rss: int
    wal: int
    load: float
    took: float


@dataclass(slots=True)
class Week:
    """All of it: hour by hour, and how long new jobs took from their commit to the first request, in ms."""

    hours: list[Hour] = field(default_factory=list)
    delays: dict[int, list[float]] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)

    def series(self) -> dict[str, list[float]]:
        """Everything that ought to be flat, by name, an entry for each hour."""
        tables = sorted({name for hour in self.hours for name in hour.sizes})
        found: dict[str, list[float]] = {
            "all tables, MB": [sum(table for table, _ in hour.sizes.values()) / MB for hour in self.hours],
            "all indexes, MB": [sum(index for _, index in hour.sizes.values()) / MB for hour in self.hours],
            "dead rows": [float(sum(hour.dead.values())) for hour in self.hours],
            "memory of the daemon, MB": [hour.rss / MB for hour in self.hours],
            "WAL an hour, MB": [hour.wal / MB for hour in self.hours],
            "commit to request, median, ms": [percentile(self._delays(hour), 50) for hour in self.hours],
            "commit to request, 99th percentile, ms": [percentile(self._delays(hour), 99) for hour in self.hours],
        }
        for name in tables:
            found[f"{name}, table, MB"] = [hour.sizes.get(name, (0, 0))[0] / MB for hour in self.hours]
            found[f"{name}, indexes, MB"] = [hour.sizes.get(name, (0, 0))[1] / MB for hour in self.hours]
            found[f"{name}, rows"] = [float(hour.rows.get(name, 0)) for hour in self.hours]
        return found

    def _delays(self, hour: Hour) -> list[float]:
        return sorted(self.delays.get(hour.number, []))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Of sorted values; 0 of none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


def first_and_last_day(values: Sequence[float]) -> tuple[float, float]:
    """The means of the first and of the last 24 hours."""
    return fmean(values[:HOURS]), fmean(values[-HOURS:])


SMALL = {"MB": 0.25, "rows": 50.0, "ms": 5.0}
"""Below that, by unit, a quotient says nothing."""


def verdicts(week: Week) -> list[tuple[str, float, float, float | None]]:
    """Each series with its first day, its last day and their quotient; None where both days are next to nothing."""
    found = []
    for name, values in week.series().items():
        first, last = first_and_last_day(values)
        least = SMALL.get(name.rsplit(" ", 1)[-1], 0.0)
        tiny = max(first, last) < least or first == 0
        found.append((name, first, last, None if tiny else last / first))
    return found


def plots(week: Week) -> dict[str, str]:
    """The pictures, by the name of their file."""
    series = week.series()
    tables = {name: values for name, values in series.items() if name.endswith((", table, MB", ", indexes, MB"))}
    largest = sorted(tables, key=lambda name: -max(tables[name]))[: len(COLOURS)]
    pick = {
        "sizes": ("Tables and indexes, MB", ["all tables, MB", "all indexes, MB"]),
        "tables": ("The largest of them, MB", largest),
        "dead": ("Dead rows, all tables", ["dead rows"]),
        "memory": ("Resident memory of the daemon, MB", ["memory of the daemon, MB"]),
        "latency": (
            "From commit to the request, ms",
            ["commit to request, median, ms", "commit to request, 99th percentile, ms"],
        ),
        "wal": ("WAL written in an hour, MB", ["WAL an hour, MB"]),
    }
    return {file: lines(title, {name: series[name] for name in names}) for file, (title, names) in pick.items()}


def lines(title: str, series: Mapping[str, Sequence[float]]) -> str:
    """A line for each series, over hours, from zero up; the same picture for the same figures."""
    most = max([max(values) for values in series.values()] + [1e-9]) * 1.08
    hours = max(len(values) for values in series.values())
    across, up = (WIDTH - LEFT - RIGHT) / max(1, hours - 1), (HEIGHT - TOP - BOTTOM) / most
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="#202124" role="img" aria-label="{escape(title)}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="600">{escape(title)}</text>',
    ]
    for step in range(5):
        value = most * step / 4
        y = HEIGHT - BOTTOM - value * up
        drawn += [
            f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#dadce0"/>',
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,.{0 if most >= 20 else 1}f}</text>',
        ]
    for day in range(0, hours + 1, HOURS):
        x = LEFT + day * across
        drawn.append(f'<text x="{x:.1f}" y="{HEIGHT - 12}" text-anchor="middle">day {day // HOURS}</text>')
    for place, (name, values) in enumerate(series.items()):
        colour = COLOURS[place % len(COLOURS)]
        points = " ".join(
            f"{LEFT + hour * across:.1f},{HEIGHT - BOTTOM - value * up:.1f}" for hour, value in enumerate(values)
        )
        y = TOP + 14 * place + 8
        drawn += [
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>',
            f'<text x="{WIDTH - RIGHT + 8}" y="{y}" fill="{colour}" font-size="10">{escape(_short(name))}</text>',
        ]
    return "\n".join([*drawn, "</svg>", ""])


def _short(name: str) -> str:
    return name.removesuffix(", MB").removesuffix(", ms").replace("commit to request, ", "").replace(", table", "")


def document(week: Week) -> str:
    """The part of docs/week.md that a run writes."""
    text = [", ".join(f"{name} {value}" for name, value in week.facts.items()) + ".", ""]
    text += ["| | first day | last day | last ÷ first |", "|---|--:|--:|--:|"]
    for name, first, last, quotient in verdicts(week):
        if quotient is not None:
            text.append(f"| {name} | {first:,.1f} | {last:,.1f} | {quotient:.2f} |")
    for file in plots(week):
        text += ["", f"![{file}](week/{file}.svg)"]
    return "\n".join([*text, ""])


def write(docs: Path, week: Week) -> None:
    """Replace what stands between the marks of docs/week.md, and the plots beside it."""
    page = docs / "week.md"
    head, rest = page.read_text(encoding="utf-8").split(BEGIN)
    tail = rest.split(END)[1]
    page.write_text(f"{head}{BEGIN}\n\n{document(week)}\n{END}{tail}", encoding="utf-8")
    folder = docs / "week"
    folder.mkdir(exist_ok=True)
    for file, picture in plots(week).items():
        (folder / f"{file}.svg").write_text(picture, encoding="utf-8")
