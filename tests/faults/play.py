"""One fault run from beginning to end: set the stage, chapter after chapter, and compare after each."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from tests.faults.feed import Feed
from tests.faults.google import Google
from tests.faults.plan import Chapter, Kind, Planned, plan
from tests.faults.report import ChapterResult, Report
from tests.faults.scene import Scene
from tests.faults.settled import expected_calendars, wait_until_quiet
from tests.faults.troupe import Troupe, faketime_library
from tests.faults.users import Member
from web.demo.expectation import expected_states
from web.demo.mishaps import Reader
from web.demo.traffic import Traffic
from web.demo.verdict import compare, latencies

AT_ONCE = 16
"""Faults that can be under way."""

MAKE_UP_ROUNDS = 3
"""How often what did not strike is replaced."""

STRIKE_SECONDS = 20.0
"""How long, after the last fault of a round, rules for Google may wait for a request."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to play; in a `hurry` nobody waits for leases and rests to pass, nor is what did not strike replaced."""

    seed: int
    daemons: int
    chapters: Sequence[Chapter]
    hurry: bool = False

    @property
    def enough(self) -> int:
        """So many faults have to strike."""
        faults = sum(chapter.faults for chapter in self.chapters)
        return faults // 2 if self.hurry else faults


def play(options: Options, traffic: Traffic, folder: Path, log: Path, say: Callable[[str], object]) -> Report:
    """Perform it; `folder` is empty, `log` is where the daemons write to, `say` hears how far it is."""
    began = time.monotonic()
    with ExitStack() as stack:
        log_file = stack.enter_context(log.open("a", encoding="utf-8"))
        scene = Scene(traffic.header, {"PUSH_DEBOUNCE_SECONDS": "0.5"} if options.hurry else {}, log_file, stack)
        patience = 3.0 if options.hurry else 12.0
        troupe = stack.enter_context(Troupe(scene.stage, options.daemons, folder, log_file, patience=patience))
        feed = Feed(traffic, scene.postgres.url, speed=800.0 if options.hurry else 12.0)
        reader = Reader(scene.read, scene.calendars, pause=0.5)
        run = _Run(options, scene, troupe, feed, say)
        reader.start()
        try:
            troupe.wait_until_ready()
            for chapter in options.chapters:
                run.play(chapter)
        finally:
            reader.stop()
        report = run.close()
    report.duplicates_seen, report.readings = reader.duplicates, reader.readings
    report.errors_logged = errors_in(log)
    report.seconds = time.monotonic() - began
    return report


def errors_in(log: Path) -> Counter[str]:
    """What the daemons logged as errors, by event."""
    found: Counter[str] = Counter()
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("Traceback"):
            found["traceback"] += 1
        elif '"level": "error"' in line:
            found[str(json.loads(line).get("event"))] += 1
    return found


def impossible_kinds(options: Options, scene: Scene) -> dict[Kind, str]:
    """What is left out, and why."""
    reasons = {
        Kind.DISK_FULL: "" if scene.has_disk else "a file system of its own cannot be mounted here",
        Kind.CLOCK_JUMPS: "" if faketime_library() else "libfaketime is not installed",
        Kind.GOOGLE_HUNG: "there is no time to wait for what hangs" if options.hurry else "",
    }
    return {kind: why for kind, why in reasons.items() if why}


class _Run:
    def __init__(
        self, options: Options, scene: Scene, troupe: Troupe, feed: Feed, say: Callable[[str], object]
    ) -> None:
        self._options = options
        self._scene = scene
        self._troupe = troupe
        self._feed = feed
        self._say = say
        left_out = impossible_kinds(options, scene)
        self._possible = [kind for kind in Kind if kind not in left_out]
        self._google = Google(scene.sandbox)
        self._report = Report(options.seed, options.enough, options.daemons, left_out)
        self._actions = self._list_actions()
        self._number = 1

    def play(self, chapter: Chapter) -> None:
        """One chapter, and the comparison after it."""
        self._say(f"{chapter.name}: {chapter.faults} faults in {chapter.seconds:.0f} s")
        began = time.monotonic()
        struck: Counter[Kind] = Counter()
        self._feed.start(chapter.name)
        try:
            for round_number in range(1 if self._options.hurry else 1 + MAKE_UP_ROUNDS):
                lacking = chapter.faults - sum(struck.values())
                if round_number and lacking <= 0:
                    break
                pace = chapter.seconds / max(1, chapter.faults)
                name = chapter.name + round_number * " again"
                part = replace(chapter, name=name, faults=lacking, seconds=lacking * pace or chapter.seconds)
                struck += self._carry_out(plan(part, self._options.seed, self._possible, first=self._number))
                self._number += lacking
                self._tick(part.seconds if not chapter.faults else 0.0)
        finally:
            self._feed.stop()
        played = time.monotonic() - began
        self._heal()
        wait_until_quiet(self._scene.database, self._troupe, hurry=self._options.hurry, say=self._say)
        self._report.struck += struck
        self._compare(chapter, sum(struck.values()), played, time.monotonic() - began - played)

    def close(self) -> Report:
        """Stop; what the run showed."""
        self._troupe.stop_all()
        report, feed = self._report, self._feed
        report.rows, report.rows_told_again, report.passes = len(feed.rows), feed.retried, feed.passes
        report.google_requests = self._scene.sandbox.control("GET", "stats")["calendar_requests"]
        report.requests_hit = self._google.requests_hit
        report.restarted, report.ends = self._troupe.starts_after_failure, self._troupe.ends
        parked = self._scene.database.insist("SELECT count(problem) FROM calendar_sync.pending_push")
        report.problems = int(parked[0][0])
        return report

    def _carry_out(self, planned: Sequence[Planned]) -> Counter[Kind]:
        """Strike as planned; returns what struck."""
        began = time.monotonic()
        struck: Counter[Kind] = Counter()
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fault") as pool:
            under_way: list[tuple[Planned, Future[bool | None]]] = []
            for fault in planned:
                self._tick(began + fault.at - time.monotonic())
                under_way.append((fault, pool.submit(self._actions[fault.kind], fault.chance())))
            while not all(future.done() for _, future in under_way):
                self._tick(0.2)
        for fault, future in under_way:
            if error := future.exception():
                self._report.mishaps.append(f"fault {fault.number}, {fault.kind.title}: {error!r}")
            elif future.result():
                struck[fault.kind] += 1
        ends = time.monotonic() + (0.0 if self._options.hurry else STRIKE_SECONDS)
        while self._google.waiting and time.monotonic() < ends:
            self._tick(0.5)
        return struck + self._google.heal()

    def _tick(self, seconds: float) -> None:
        """Let time pass, and look after the daemons meanwhile."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            self._troupe.keep()
            time.sleep(min(left, 0.2))

    def _heal(self) -> None:
        self._scene.database.heal()
        self._google.heal()
        with ThreadPoolExecutor(4) as pool:
            futures = {pool.submit(member.settle): member for member in self._scene.victims}
            while not all(future.done() for future in futures):
                self._tick(0.1)
        for future, member in futures.items():
            if error := future.exception():
                self._report.mishaps.append(f"{member.person.user.user_id}: {error!r}")

    def _compare(self, chapter: Chapter, struck: int, played: float, settled_after: float) -> None:
        scene, rows = self._scene, tuple(self._feed.rows)
        states = expected_states(
            Traffic(self._feed.header, rows), job_url_template=scene.stage.settings.job_url_template
        )
        verdict = compare(
            expected_calendars(rows, states, scene.members),
            {calendar: scene.read(calendar) for calendar in scene.calendars},
        )
        journal = scene.sandbox.control("GET", "journal")["entries"]
        commits = [commit for name, commit in self._feed.commits if name == chapter.name]
        self._report.chapters.append(
            ChapterResult(
                chapter.name,
                played,
                struck,
                verdict.expected,
                verdict.findings,
                latencies(commits, journal, states, scene.innocent_calendars),
            )
        )
        self._say(f"  {struck} struck; settled after {settled_after:.0f} s; {len(verdict.findings)} things are wrong")

    def _list_actions(self) -> dict[Kind, Callable[[random.Random], bool | None]]:
        victims, troupe, database = self._scene.victims, self._troupe, self._scene.database

        def one(act: Callable[[Member, random.Random], bool | None]) -> Callable[[random.Random], bool | None]:
            return lambda chance: act(chance.choice(victims), chance)

        def misbehave(kind: Kind) -> Callable[[random.Random], bool | None]:
            return one(lambda member, chance: self._google.arm(kind, chance, member.person.account.email))

        def end_tokens(member: Member, chance: random.Random) -> bool:
            if chance.random() < 0.4:
                self._google.fail_tokens(chance, member.person.account.email)
            return member.end_tokens(chance)

        return {
            **{kind: misbehave(kind) for kind in Kind if kind.name.startswith("GOOGLE_")},
            Kind.GOOGLE_DOWN: lambda chance: self._google.arm(Kind.GOOGLE_DOWN, chance),
            Kind.TOKENS_END: one(end_tokens),
            Kind.GRANT_REVOKED: one(Member.revoke),
            Kind.CALENDAR_SWITCHED: one(Member.switch_calendar),
            Kind.PAUSED: one(Member.pause),
            Kind.FILTERED: one(Member.change_filter),
            Kind.RESYNCED: one(Member.resync),
            Kind.TEST_PUSHED: one(Member.send_test_push),
            Kind.DISCONNECTED: one(Member.disconnect),
            Kind.KILLED: troupe.kill,
            Kind.KILLED_AT_STEP: troupe.kill_at_step,
            Kind.STOPPED_AT_STEP: troupe.stop_at_step,
            Kind.CONNECTION_CUT: troupe.cut_connection,
            Kind.CONNECTION_STALLS: troupe.stall_connection,
            Kind.BACKEND_TERMINATED: database.terminate_backend,
            Kind.LISTEN_DEAF: troupe.deafen_listener,
            Kind.CLOCK_JUMPS: troupe.jump_clock,
            Kind.POSTGRES_RESTARTED: database.restart,
            Kind.POSTGRES_KILLED: database.restart_immediately,
            Kind.POSTGRES_CRASHED: database.crash,
            Kind.BACKENDS_TERMINATED: database.terminate_backends,
            Kind.READ_ONLY: database.make_read_only,
            Kind.DISK_FULL: database.fill_disk,
            Kind.LONG_TRANSACTION: database.hold_transaction,
            Kind.ALL_KILLED: lambda _: troupe.kill_all(),
        }
