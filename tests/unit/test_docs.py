"""What the documents point at is there: tests, files, and headings."""

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")])
GUARANTEES = PROJECT / "docs" / "guarantees.md"

NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_that_a_document_names_exists(document: Path) -> None:
    named = NAMED_TEST.findall(document.read_text())
    assert [f"{file}::{test}" for file, test in named if test not in names_in(PROJECT / file)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_within_the_project_leads_somewhere(document: Path) -> None:
    links = [link for link in LINK.findall(document.read_text()) if "://" not in link]
    assert [link for link in links if not leads_somewhere(document, link)] == []


def test_each_of_the_twelve_guarantees_names_the_tests_that_hold_it() -> None:
    sections = re.split(r"^## (\d+)\. ", GUARANTEES.read_text(), flags=re.MULTILINE)[1:]
    held = {int(number): NAMED_TEST.findall(text) for number, text in zip(sections[::2], sections[1::2], strict=True)}
    assert list(held) == list(range(1, 13))
    assert [number for number, tests in held.items() if not tests] == []


def names_in(file: Path) -> set[str]:
    """The names of a module's test functions and state machines."""
    if not file.exists():
        return set()
    nodes = ast.walk(ast.parse(file.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def leads_somewhere(document: Path, link: str) -> bool:
    """Whether the file is there, and in it the heading after the #, named as GitHub does."""
    path, _, fragment = link.partition("#")
    target = document if not path else (document.parent / path).resolve()
    if not target.is_relative_to(PROJECT) or not target.exists():
        return False
    return not fragment or fragment in {anchor(heading) for heading in HEADING.findall(target.read_text())}


def anchor(heading: str) -> str:
    """The name that a heading gets for links."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
