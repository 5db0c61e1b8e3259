"""What the documents name is there: tests, files, headings, verbs and their options, make targets, settings."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from daemon import cli
from outbox.settings import Settings
from web.settings import WebSettings

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([PROJECT / "README.md", PROJECT / "CHANGELOG.md", *(PROJECT / "docs").rglob("*.md")])
GUARANTEES = PROJECT / "docs" / "guarantees.md"
INDEX = PROJECT / "docs" / "README.md"
SETTINGS = PROJECT / "docs" / "settings.md"

OF_GUNICORN = {"WEB_BIND": "127.0.0.1:8080", "WEB_CONCURRENCY": "2"}
"""Settings that `web/gunicorn_conf.py` reads by itself."""

NO_SETTING = re.compile(
    "^(MAINPID|[A-Z]+_LIMIT|STALE_SECONDS|CALENDAR_SYNC_.*|TEST_DATABASE_URL|CREDENTIALS_DIRECTORY)$"
)
"""What looks like a setting and is none: constants of the code, variables of tests and of systemd."""

NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)
CODE = re.compile(r"```\w*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
TARGET = re.compile(r"(?:^|\s)make ([a-z][\w-]*)")
COMMAND = re.compile(r"(?:calendar-sync|daemon\.py) ([a-z][\w-]*)([^\n|#]*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_that_a_document_names_exists(document: Path) -> None:
    named = NAMED_TEST.findall(document.read_text())
    assert [f"{file}::{test}" for file, test in named if test not in names_in(PROJECT / file)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_within_the_project_leads_somewhere(document: Path) -> None:
    links = [link for link in LINK.findall(document.read_text()) if "://" not in link]
    assert [link for link in links if not leads_somewhere(document, link)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_that_a_document_names_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert [target for code in codes(document) for target in TARGET.findall(code) if target not in targets] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_verb_that_a_document_names_exists_with_its_options(document: Path) -> None:
    options = {verb: {name for it in command.params for name in it.opts} for verb, command in cli.commands.items()}
    unknown = []
    for code in codes(document):
        for verb, rest in COMMAND.findall(code):
            known = options.get(verb)
            unknown += [verb] if known is None else [f"{verb} {it}" for it in OPTION.findall(rest) if it not in known]
    assert unknown == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_setting_that_a_document_names_exists(document: Path) -> None:
    named = {name for code in codes(document) for name in VARIABLE.findall(code)}
    assert {name for name in named - set(defaults()) if not NO_SETTING.match(name)} == set()


def test_every_setting_is_documented_with_its_default_and_whom_it_is_for() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\w, ]+) \| (.+?) \|", SETTINGS.read_text(), re.MULTILINE)
    assert {name: default.strip("`") for name, _, default in rows} == defaults()
    of_daemon, of_web = ({name.upper() for name in kind.model_fields} for kind in (Settings, WebSettings))
    for name, whom, _ in rows:
        readers = [who for who, names in (("daemon", of_daemon), ("web", of_web | set(OF_GUNICORN))) if name in names]
        assert (name, whom) == (name, ", ".join(readers))


def test_every_document_is_in_the_index() -> None:
    linked = {(INDEX.parent / link.partition("#")[0]).resolve() for link in LINK.findall(INDEX.read_text())}
    assert [path.name for path in DOCUMENTS if path not in linked and path != INDEX] == []


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {re.split(r"[\[<>=]", dependency)[0] for group in groups for dependency in group}
    section = (PROJECT / "docs" / "architecture.md").read_text().split("## Dependencies beyond the obvious", 1)[1]
    # What only describes types of a library goes with it.
    ours = {name for name in names if not name.startswith("types-") and name != project["name"]}
    assert {name for name in ours if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", section)} == set()


def test_each_of_the_twelve_guarantees_names_the_tests_that_hold_it() -> None:
    sections = re.split(r"^## (\d+)\. ", GUARANTEES.read_text(), flags=re.MULTILINE)[1:]
    held = {int(number): NAMED_TEST.findall(text) for number, text in zip(sections[::2], sections[1::2], strict=True)}
    assert list(held) == list(range(1, 13))
    assert [number for number, tests in held.items() if not tests] == []


def codes(document: Path) -> list[str]:
    """What stands in a document as code."""
    return [block or span for block, span in CODE.findall(document.read_text())]


def defaults() -> dict[str, str]:
    """Every setting with its default as the table words it."""
    fields = Settings.model_fields | WebSettings.model_fields
    found = {name.upper(): worded(field.is_required(), field.default) for name, field in fields.items()}
    return {**found, **OF_GUNICORN, "JOB_URL_TEMPLATE": "required by the daemon"}


def worded(required: bool, default: object) -> str:
    return "required" if required else "–" if default is None else str(default)


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
