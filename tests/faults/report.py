"""What a fault run showed: for people, as figures, and as a part of docs/faults.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.faults.plan import Kind
from web.demo.verdict import Fault, Finding, Latencies

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
"""Between them docs/faults.md holds the figures of a run."""


@dataclass(frozen=True, slots=True)
class ChapterResult:
    """One chapter: what struck, what stood in the calendars after it, and how long innocent users' changes took."""

    name: str
    seconds: float
    struck: int
    expected: int
    findings: tuple[Finding, ...]
    innocent: Latencies

    def milliseconds(self, percent: float) -> float | None:
        """A percentile of the innocent users' delays."""
        found = self.innocent.percentile(percent)
        return None if found is None else round(found, 1)


@dataclass(slots=True)
class Report:
    """Everything that a run showed."""

    seed: int
    enough: int
    """So many faults have to strike."""
    daemons: int
    left_out: Mapping[Kind, str]
    struck: Counter[Kind] = field(default_factory=Counter)
    chapters: list[ChapterResult] = field(default_factory=list)
    duplicates_seen: int = 0
    readings: int = 0
    rows: int = 0
    rows_told_again: int = 0
    passes: float = 0.0
    google_requests: int = 0
    requests_hit: int = 0
    problems: int = 0
    restarted: int = 0
    ends: Counter[int] = field(default_factory=Counter)
    errors_logged: Counter[str] = field(default_factory=Counter)
    mishaps: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def count(self) -> int:
        """Faults that struck."""
        return sum(self.struck.values())

    def wrong(self, fault: Fault) -> int:
        """How often that was found, after all chapters together."""
        return sum(finding.fault is fault for chapter in self.chapters for finding in chapter.findings)

    @property
    def zeros(self) -> dict[str, int]:
        """What has to be nought."""
        return {
            **{fault.value: self.wrong(fault) for fault in Fault},
            "duplicates_seen": self.duplicates_seen,
            "never_arrived": sum(chapter.innocent.undelivered for chapter in self.chapters),
            "problems": self.problems,
            "mishaps": len(self.mishaps),
        }

    @property
    def right(self) -> bool:
        """Whether all of that is nought, and enough faults struck."""
        return not any(self.zeros.values()) and self.count >= self.enough

    def figures(self) -> dict[str, Any]:
        """The figures as `--json` prints them; times are in milliseconds."""
        return {
            "seed": self.seed,
            "faults": self.count,
            **self.zeros,
            "chapters": [
                {
                    "name": chapter.name,
                    "seconds": round(chapter.seconds),
                    "faults": chapter.struck,
                    "innocent_changes": len(chapter.innocent.milliseconds),
                    "p50": chapter.milliseconds(50),
                    "p99": chapter.milliseconds(99),
                    "max": chapter.milliseconds(100),
                }
                for chapter in self.chapters
            ],
            "kinds": {kind.title: number for kind, number in self.struck.items()},
            "left_out": {kind.title: why for kind, why in self.left_out.items()},
            "rows": self.rows,
            "rows_told_again": self.rows_told_again,
            "readings": self.readings,
            "google_requests": self.google_requests,
            "google_requests_hit": self.requests_hit,
            "daemons": self.daemons,
            "daemons_restarted": self.restarted,
            "exits_after_sigterm": {str(status): number for status, number in sorted(self.ends.items())},
            "errors_logged": dict(self.errors_logged),
            "seconds": round(self.seconds),
        }


def print_report(console: Console, report: Report) -> None:
    """Print the tables, whatever was wrong, and the verdict."""
    for title, heads, lines in _tables(report):
        table = Table(title=title, title_justify="left")
        for head in heads:
            table.add_column(head, justify="left" if head in _WORDS else "right", overflow="fold")
        for line in lines:
            table.add_row(*line)
        console.print(table)
    for finding in [finding for chapter in report.chapters for finding in chapter.findings][:20]:
        console.print(
            f"{finding.fault.value}: {finding.job_id} in {finding.calendar}: {finding.detail}",
            markup=False,
            style="red",
        )
    for remark in [*report.mishaps[:10], *_remarks(report)]:
        console.print(remark, markup=False, highlight=False, soft_wrap=True)
    console.print(_verdict(report), style="bold green" if report.right else "bold red", soft_wrap=True)


def takes_figures(path: Path) -> bool:
    """Whether it is a Markdown file with the two markers between which figures go."""
    return path.is_file() and END in path.read_text(encoding="utf-8").partition(BEGIN)[2]


def write_report(path: Path, report: Report) -> None:
    """Put the figures into a Markdown file that takes them, instead of those that are there."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    parts = [_verdict(report)]
    for title, heads, lines in _tables(report):
        ruler = tuple("---" if head in _WORDS else "---:" for head in heads)
        parts.append(f"{title}:")
        parts.append("\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ruler, *lines)))
    parts.append("\n".join(f"* {line}" for line in _remarks(report)))
    path.write_text(before + "\n\n".join([BEGIN, *parts, END]) + after, encoding="utf-8")


_WORDS = ("fault", "how", "chapter")
"""Headings of columns with words; the others hold figures."""


def _tables(report: Report) -> Iterator[tuple[str, tuple[str, ...], Sequence[tuple[str, ...]]]]:
    yield (
        "What struck",
        ("fault", "how", "times"),
        [
            *((kind.title, kind.how, str(report.struck[kind])) for kind in Kind if report.struck[kind]),
            ("all", "", str(report.count)),
        ],
    )
    yield (
        "What stood in the calendars after each chapter",
        ("chapter", "should be", *(fault.value for fault in Fault)),
        [
            (
                chapter.name,
                str(chapter.expected),
                *(str(sum(finding.fault is fault for finding in chapter.findings)) for fault in Fault),
            )
            for chapter in report.chapters
        ],
    )
    yield (
        "Commit to calendar, of users whose own connection had no fault",
        ("chapter", "faults", "changes", "median", "p99", "max"),
        [
            (
                chapter.name,
                str(chapter.struck),
                str(len(chapter.innocent.milliseconds)),
                *(_seconds(chapter.milliseconds(percent)) for percent in (50, 99, 100)),
            )
            for chapter in report.chapters
        ],
    )


def _remarks(report: Report) -> Iterator[str]:
    yield (
        f"{report.rows} rows committed ({report.passes:.1f} times the file); "
        f"{report.rows_told_again} times a producer had to try again because the database failed."
    )
    yield f"{report.google_requests} requests to Google, of which {report.requests_hit} were struck."
    yield f"A reader looked {report.readings} times and saw {report.duplicates_seen} jobs twice."
    ends = ", ".join(f"{number} with {status}" for status, number in sorted(report.ends.items())) or "none"
    yield f"Daemons that were told to stop ended with status: {ends}."
    yield f"{report.restarted} daemons that ended by themselves were started again."
    if report.errors_logged:
        logged = ", ".join(f"{event} ({number})" for event, number in report.errors_logged.most_common())
        yield f"Errors in the logs: {logged}."
    for kind, why in report.left_out.items():
        yield f"Left out: {kind.title}, because {why}."


def _verdict(report: Report) -> str:
    zeros = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in report.zeros.items())
    enough = "" if report.count >= report.enough else f" Only {report.count} of {report.enough} faults struck."
    minutes = f"{report.seconds / 60:.0f} minutes"
    return f"{report.count} faults, seed {report.seed}, {report.daemons} daemons, {minutes}: {zeros}.{enough}"


def _seconds(milliseconds: float | None) -> str:
    return "–" if milliseconds is None else f"{milliseconds / 1000:.2f} s"
