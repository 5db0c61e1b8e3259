"""The upgrade, rehearsed under traffic: the release before this one at work, the new schema, then process by process.

Real parts: Postgres, the previous release out of the project's history with daemons and web workers of its own, the
stand-in for Google, a jobs service that goes on committing, and users who go on looking and changing things. The new
release's `migrate` runs amid it; daemons and web workers are replaced one at a time, so that both releases are at work
side by side; then everything goes back to the previous release, on the new schema, and forward again.

    python -m tests.upgrade.run [--seconds 6] [--json] [--log FILE]

Exits with 0 if no web request failed, nothing stands twice, and every calendar and table holds what it has to.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.faults.play import errors_in
from tests.faults.settled import LEFT
from tests.faults.users import Member
from tests.upgrade.release import NoHistoryError, previous_release, this_release
from tests.upgrade.scene import Scene


@dataclass(slots=True)
class Result:
    """What the rehearsal showed; `wrong` is empty if all is as it has to be."""

    wrong: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


def rehearse(scene: Scene, seconds: float, say: Callable[[str], object]) -> Result:
    """All of it; `seconds` is how long each state of affairs lasts."""
    result = Result()
    ended: list[int] = []
    began = time.monotonic()

    def chapter(name: str) -> None:
        say(f"{time.monotonic() - began:4.0f} s  {name}")
        scene.answers.chapter = name

    def last() -> None:
        time.sleep(seconds)

    chapter("the previous release")
    daemons, web = [scene.daemon(scene.old), scene.daemon(scene.old)], scene.web(scene.old)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Member.connect, scene.members))
    scene.refuse_a_job()
    scene.members[2].pause_for_good()
    with scene.traffic():
        last()
        scene.until(lambda: scene.count("rejected_event") > 0 and scene.count("pending_push") > 0, 30)
        tables = ("calendar_connection", "job", "rejected_event", "calendar_feed", "pushed_event", "pending_push")
        result.figures["rows_before"] = {table: scene.count(table) for table in tables}
        chapter("migrate of the new release")
        migrating = time.monotonic()
        said = scene.new.migrate(scene.stage.database_url)
        result.figures["migrate_seconds"] = round(time.monotonic() - migrating, 1)
        result.figures["applied"] = [line for line in said.splitlines() if line.startswith("applied")]
        chapter("the previous release on the new schema")
        last()
        for there, back in ((scene.new, False), (scene.old, True), (scene.new, False)):
            chapter(f"a daemon of the {there.name} release beside one of the other")
            ended.append(daemons[0].stop())
            daemons[0] = scene.daemon(there)
            last()
            chapter(f"web workers of the {there.name} release beside those of the other")
            other, web = web, scene.web(there)
            last()
            ended.append(other.stop())
            ended.append(daemons[1].stop())
            daemons[1] = scene.daemon(there)
            chapter(f"the {there.name} release alone{', back on the new schema' if back else ''}")
            last()
    chapter("coming to rest")
    result.figures["problems_kept"] = scene.retry_the_job()
    result.figures["settle_seconds"] = round(scene.settle(), 1)
    ended += [process.stop() for process in (*daemons, web)]
    _judge(scene, ended, result)
    return result


def _judge(scene: Scene, ended: Sequence[int], result: Result) -> None:
    answers, rows = scene.answers, scene.feed.rows
    broken = sum(row.broken is not None for row in rows)
    wrong = [*scene.verdict(), *answers.failed]
    if result.figures["problems_kept"] != 1:
        wrong.append(f"{result.figures['problems_kept']} problems were left to retry, there was 1")
    if (rejected := scene.count("rejected_event")) != broken:
        wrong.append(f"{rejected} rows were set aside, {broken} were broken")
    if any(left := scene.database.execute(LEFT)[0]):
        wrong.append(f"outbox, marks, leases, departures left: {left}")
    if scene.reader.duplicates:
        wrong.append(f"{scene.reader.duplicates} times a reader saw a job twice")
    if any(ended):
        wrong.append(f"exit statuses: {ended}")
    if scene.feed.retried:
        wrong.append(f"{scene.feed.retried} times the jobs service could not commit")
    result.wrong = wrong
    result.figures |= {
        "rows": len(rows),
        "rejected": rejected,
        "web_requests": answers.requests,
        "web_requests_failed": len(answers.failed),
        "web_requests_refused": dict(answers.refused),
        "slowest_answer_ms": {name: round(1000 * slowest) for name, slowest in answers.slowest.items()},
        "deeds": dict(sum((visitor.deeds for visitor in scene.visitors), Counter[str]())),
        "readings": scene.reader.readings,
        "processes_ended": len(ended),
        "wrong": len(wrong),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="upgrade", description="Rehearses the upgrade from the previous release.")
    parser.add_argument("--seconds", type=float, default=6.0, help="that each state of affairs lasts (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--log", type=Path, help="keep what daemons and web workers log here")
    asked = parser.parse_args(arguments)
    console = Console(stderr=asked.json)
    with tempfile.TemporaryDirectory(prefix="upgrade-") as name, ExitStack() as stack:
        folder = Path(name)
        log = asked.log or folder / "processes.log"
        try:
            old = previous_release(folder / "previous")
        except NoHistoryError as error:
            console.print(f"upgrade: {error}", markup=False, highlight=False)
            return 2
        file = stack.enter_context(log.open("w", encoding="utf-8"))
        result = rehearse(Scene(old, this_release(), file, stack), asked.seconds, console.print)
        stack.close()
        if errors := errors_in(log):
            result.wrong.append(f"logged as errors: {dict(errors)}")
    if asked.json:
        print(json.dumps(result.figures, ensure_ascii=False))
    else:
        console.print_json(json.dumps(result.figures, ensure_ascii=False))
    for line in result.wrong[:40]:
        console.print(line, markup=False, highlight=False, style="red")
    console.print("as it should be" if not result.wrong else f"{len(result.wrong)} THINGS ARE WRONG")
    return 0 if not result.wrong else 1


if __name__ == "__main__":
    sys.exit(main())
