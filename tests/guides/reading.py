"""Reads what the guides say: their tables, and the blocks that tests run or compare."""

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of the same level or a higher one."""
    [(marks, body)] = re.findall(rf"^(#+) {re.escape(heading)}\n(.*)", text, re.MULTILINE | re.DOTALL)
    return re.split(rf"^#{{1,{len(marks)}}} ", body, maxsplit=1, flags=re.MULTILINE)[0]


def table(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    [rows, *_] = re.findall(r"(?:^\|.*\n)+", section(text, heading), re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows.splitlines()[2:]]


def names(cell: str) -> list[str]:
    """What is set as code in it."""
    return re.findall(r"`([\w.]+)`", cell)


def blocks(text: str, kind: str) -> dict[str, str]:
    """The blocks marked `<!-- kind: name -->`, by name."""
    return dict(re.findall(rf"<!-- {kind}: ([\w ]+) -->\n```\w+\n(.+?)\n```", text, re.DOTALL))
