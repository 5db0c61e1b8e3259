"""Every SQL file states its purpose and is used; every statement that the code names is there."""

import ast
from pathlib import Path

import pytest

from outbox.statements import statement

PROJECT = Path(__file__).resolve().parents[2]
SQL = PROJECT / "sql"

NAMES = sorted(
    str(path.relative_to(SQL).with_suffix(""))
    for path in SQL.rglob("*.sql")
    if path.parent.name != "migrations" and path.name != "roles.sql"
)
"""Every statement there is; migrations and roles are scripts."""


def strings_of_the_code() -> set[str]:
    """Every string literal of the programs."""
    files = [PROJECT / "daemon.py", *(PROJECT / "outbox").rglob("*.py"), *(PROJECT / "web").rglob("*.py")]
    return {
        node.value
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_statement_says_first_what_it_is_for(name: str) -> None:
    first = statement(name).as_string().splitlines()[0]
    assert first.startswith("-- Purpose: ")
    assert len(first) > len("-- Purpose: ") + 10


@pytest.mark.parametrize("name", [name for name in NAMES if name != "migration/create_ledger"])
def test_a_file_holds_one_statement(name: str) -> None:
    # The ledger's script makes the schema first: it is what migrations themselves stand on.
    code = "\n".join(line.partition("--")[0] for line in statement(name).as_string().splitlines())
    assert ";" not in code.strip().removesuffix(";")


def test_no_statement_lies_about_unused() -> None:
    assert sorted(set(NAMES) - strings_of_the_code()) == []


def test_a_name_without_a_file_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        statement("push/no_such_statement")
