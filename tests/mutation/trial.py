"""One trial: the tests that are meant to hold a file, run in a copy of the project in a process of its own."""

import gc
import importlib
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from resource import RLIMIT_CPU, RUSAGE_CHILDREN, getrusage, setrlimit
from tempfile import TemporaryDirectory
from typing import Literal

import pytest
from hypothesis import Phase, settings

FORK = get_context("fork")

PRELOADED = (
    *(
        "psycopg",
        "psycopg_pool",
        "sqlalchemy.dialects.postgresql.psycopg",
        "requests",
        "requests_oauthlib",
        "tenacity",
        "structlog",
        "falcon",
    ),
    *("falcon.testing", "pydantic", "pydantic_settings", "jwt", "jinja2", "click", "rich", "responses", "xdist"),
    *("cryptography.hazmat.primitives.ciphers.aead", "hypothesis.strategies", "hypothesis.stateful"),
)
"""Imported once, before the forks: nothing of the project, which each trial reads anew from its copy."""

OURS = ("outbox", "web", "tests", "sql", "daemon")
LEFT_BEHIND = (".git", ".venv", ".*_cache", ".hypothesis", ".artefacts", "__pycache__", "*.egg-info", "screenshots")

LONGEST_REASON = 160
"""Characters of what a test failed with."""

LONGEST_SECONDS = 900.0
"""On the wall, for a trial that waits for something that never comes."""

Verdict = Literal["killed", "survived", "timed out"]


@dataclass(frozen=True, slots=True)
class Tried:
    """How a trial ended.

    Attributes:
        by: the first test that failed, and how.
        cpu_seconds: of the trial's own process; what it started is not counted.
    """

    verdict: Verdict
    by: str
    cpu_seconds: float


class _FirstFailure:
    """Tells the trial's parent the name of the test that failed."""

    def __init__(self, answer: Connection) -> None:
        self._answer = answer

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._tell(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._tell(report)

    def _tell(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            reason = str(crash.message if crash is not None else report.longrepr)
            self._answer.send(f"{report.nodeid}: {' '.join(reason.split())[:LONGEST_REASON]}")


@contextmanager
def copy_of(root: Path) -> Iterator[Path]:
    """A copy of the project's files, for trials to change."""
    with TemporaryDirectory(prefix="calendar-sync-mutants-") as folder:
        copy = Path(folder, "project")
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
        # Compiled once, so that a trial compiles only the file that it changes.
        subprocess.run([sys.executable, "-m", "compileall", "-q", "outbox", "web"], cwd=copy, check=True)
        yield copy


def preload() -> None:
    """Import what every trial needs."""
    for name in PRELOADED:
        importlib.import_module(name)
    for plugin in entry_points(group="pytest11"):
        plugin.load()
    # Generated examples, the same for each mutant; a failure need not be made small.
    settings.register_profile(
        "mutants", deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate]
    )
    # None of this is ever garbage: the collector need not walk it again in each trial.
    gc.freeze()


def try_tests(copy: Path, tests: Sequence[str], postgres_url: str, *, cpu_seconds: float) -> Tried:
    """Run the tests in the copy until one fails.

    Args:
        cpu_seconds: what the trial may use; on a busy machine the time on the wall says little.
    """
    answers, answer = FORK.Pipe(duplex=False)
    before = getrusage(RUSAGE_CHILDREN)
    process = FORK.Process(target=_run, args=(copy, tests, postgres_url, answer, math.ceil(cpu_seconds)))
    process.start()
    answer.close()
    try:
        process.join(LONGEST_SECONDS)
        hung = process.is_alive()
    finally:
        _end(process)
    after = getrusage(RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if process.exitcode == pytest.ExitCode.OK:
        return Tried("survived", "", used)
    if hung or process.exitcode == -signal.SIGXCPU:
        return Tried("timed out", "", used)
    try:
        return Tried("killed", answers.recv(), used)
    except EOFError:
        return Tried("killed", f"pytest ended with {process.exitcode}", used)


@contextmanager
def changed(file: Path, text: str) -> Iterator[None]:
    """The file with another text for a while."""
    before = file.read_text(encoding="utf-8")
    for compiled in file.parent.joinpath("__pycache__").glob(f"{file.stem}.*.pyc"):
        compiled.unlink()
    file.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(before, encoding="utf-8")


def _run(copy: Path, tests: Sequence[str], postgres_url: str, answer: Connection, cpu_seconds: int) -> None:
    os.setsid()
    setrlimit(RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
    os.chdir(copy)
    os.environ |= {"TEST_DATABASE_URL": postgres_url, "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    sys.path[:] = [str(copy), *(path for path in sys.path if Path(path or ".").resolve() != Path(__file__).parents[2])]
    importlib.invalidate_caches()
    options = ["-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--hypothesis-profile=mutants"]
    warnings = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    code = pytest.main([*options, *warnings, *tests], plugins=[_FirstFailure(answer)])
    # What the code under trial may have left behind, threads above all, must not keep the process.
    os._exit(code)


def _end(process: ForkProcess) -> None:
    """End the trial's process and whatever it started."""
    assert process.pid is not None
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()
    process.join()
