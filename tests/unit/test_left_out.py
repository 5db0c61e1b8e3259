"""A run says at its end which tests were left out, and fails for them where nothing may be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]

LACKING = (
    '"""One test runs, another lacks something."""\n'
    + """
import pytest

def test_runs() -> None:
    assert True

def test_lacks() -> None:
    pytest.skip("needs a unicorn")
"""
)

COMPLETE = '"""One test, and it runs."""\n\ndef test_runs() -> None:\n    assert True\n'


def run(folder: Path, tests: str, *options: str, strict: bool) -> tuple[int, str]:
    """Exit status and output of a run with this project's plugin over a file of these tests."""
    (folder / "test_some.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", "pyproject.toml", *options]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CALENDAR_SYNC_"))}
    done = subprocess.run(
        [*command, "--rootdir", str(folder), "-p", "no:cacheprovider", str(folder / "test_some.py")],
        cwd=PROJECT,
        env=kept | {"CALENDAR_SYNC_LEAVE_NOTHING_OUT": "1" if strict else "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(("options", "strict"), [((), False), (("-n", "1"), True)], ids=["alone", "distributed"])
def test_a_test_that_lacks_something_is_named_with_what_it_needs(
    tmp_path: Path, options: tuple[str, ...], strict: bool
) -> None:
    ended, output = run(tmp_path, LACKING, *options, strict=strict)
    assert ended == (1 if strict else 0), output
    section = output.partition(" left out ")[2]
    assert "test_some.py::test_lacks: needs a unicorn" in section
    assert "nothing was left out" not in section


def test_a_complete_run_says_that_nothing_was_left_out(tmp_path: Path) -> None:
    ended, output = run(tmp_path, COMPLETE, strict=True)
    assert ended == 0, output
    assert "nothing was left out" in output
