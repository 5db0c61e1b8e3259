"""The short form of `make faults`: a plan with every kind in it, everything real, and every calendar is right."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.faults.plan import Chapter, Kind, Whom, long_run, plan

PROJECT = Path(__file__).resolve().parents[2]

SEED = 4

FAULTS = len(Kind)

COMMAND = (sys.executable, "-m", "tests.faults.run", "--short", "--json", "--daemons", "2")


def test_a_plan_can_be_drawn_again_and_holds_every_kind() -> None:
    chapters = long_run(1000)
    assert sum(chapter.faults for chapter in chapters) == 1000
    for chapter in chapters:
        drawn = plan(chapter, SEED, Kind)
        assert drawn == plan(chapter, SEED, Kind)
        assert len(drawn) == chapter.faults
        assert {fault.kind for fault in drawn} == {kind for kind in Kind if kind.whom in chapter.whom}
        assert all(0 <= fault.at <= chapter.seconds for fault in drawn)


def test_a_plan_leaves_out_what_the_machine_does_not_allow() -> None:
    chapter = Chapter("all", frozenset(Whom), 60.0, 2 * len(Kind))
    possible = set(Kind) - {Kind.DISK_FULL}
    assert {fault.kind for fault in plan(chapter, SEED, possible)} == possible


def test_every_calendar_is_right_after_a_plan_of_every_kind() -> None:
    done = subprocess.run(
        [*COMMAND, "--seed", str(SEED), "--faults", str(FAULTS)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    print(figures)
    zeros = ("missing", "extra", "stale", "wrong_calendar", "duplicates_seen", "never_arrived", "problems", "mishaps")
    assert {name: figures[name] for name in zeros} == dict.fromkeys(zeros, 0)
    assert figures["faults"] >= FAULTS // 2
