"""Puts one small fault after another into the code and sees whether a test fails: `make mutants`.

What survives is looked at by hand, and docs/mutations.md says what each survivor means.
"""

import argparse
import json
import os
import random
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from multiprocessing.context import ForkProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path

from tests.mutation.mutant import Mutant, Result, Results
from tests.mutation.python_mutants import python_mutants
from tests.mutation.report import report
from tests.mutation.sql_mutants import sql_mutants
from tests.mutation.targets import TARGETS, Stage, Target
from tests.mutation.trial import FORK, changed, copy_of, preload, try_tests
from web.demo.embedded_postgres import EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[2]
SEED = 4
"""Of the sample; a larger sample begins with the smaller one."""

PATIENCE = 5.0
"""A trial may use so many times what the tests use without a mutant, and `GRACE_SECONDS`."""

GRACE_SECONDS = 10.0

FIRST_SECONDS = 300.0
"""What the tests of one stage may use without a mutant."""


@dataclass(frozen=True, slots=True)
class Job:
    """A mutant with some of the tests that are meant to notice it: the stage of its target to be run."""

    mutant: Mutant
    target: Target
    stage: int


def main() -> None:
    """Run it; results are kept in a file as they come, and a mutant with a result there is not tried again."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("paths", nargs="*", help="only these files (all that are listed in tests/mutation/targets.py)")
    parser.add_argument("--most", type=int, default=20, help="mutants of one file; 0 for all (%(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="trials at once (%(default)s)")
    parser.add_argument("--results", type=Path, default=ROOT / ".artefacts" / "mutants.jsonl", help="(%(default)s)")
    parser.add_argument(
        "--survivors", action="store_true", help="try what survived once more, with the tests as they are"
    )
    parser.add_argument("--list", action="store_true", help="list the mutants and try none")
    parser.add_argument("--report", action="store_true", help="print the results so far and try none")
    arguments = parser.parse_args()
    listed = {target.path: target for target in TARGETS}
    if unknown := set(arguments.paths) - set(listed):
        parser.error(f"not in tests/mutation/targets.py: {', '.join(sorted(unknown))}")
    targets = [listed[path] for path in arguments.paths or listed]
    every = {target.path: mutants_of(target.path) for target in targets}
    results = read_results(arguments.results)
    chosen = [(mutant, target) for target in targets for mutant in sample(every[target.path], arguments.most)]
    if arguments.report:
        print(report(every, results))
    elif arguments.list:
        print("\n".join(f"{mutant.path}:{mutant.line}: {mutant.change}" for mutant, _ in chosen))
    else:
        if arguments.survivors:
            results = {key: result for key, result in results.items() if result.verdict != "survived"}
        try:
            run(chosen, results, arguments.results, arguments.processes)
        except KeyboardInterrupt:
            raise SystemExit(f"Ended; the results so far are in {arguments.results}.") from None


def mutants_of(path: str) -> list[Mutant]:
    """All mutants of a file."""
    source = (ROOT / path).read_text(encoding="utf-8")
    return python_mutants(path, source) if path.endswith(".py") else sql_mutants(path, source)


def sample(mutants: list[Mutant], most: int) -> list[Mutant]:
    """So many of the mutants, always the same ones."""
    shuffled = random.Random(SEED).sample(mutants, len(mutants))  # noqa: S311 - chosen, not hidden
    return shuffled[: most or None]


def read_results(file: Path) -> Results:
    """What is in the file of results, if there is one."""
    if not file.exists():
        return {}
    results = [Result(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]
    return {result.key: result for result in results}


def run(chosen: Sequence[tuple[Mutant, Target]], results: Results, file: Path, processes: int) -> None:
    """Try the mutants and write each result down: all of them with their quick tests, what is left with the others."""
    file.parent.mkdir(parents=True, exist_ok=True)
    preload()
    with ExitStack() as stack:
        postgres = stack.enter_context(EmbeddedPostgres(fast=True))
        todo: SimpleQueue[Job | None] = FORK.SimpleQueue()
        done: SimpleQueue[Result | str] = FORK.SimpleQueue()
        copies = [stack.enter_context(copy_of(ROOT)) for _ in range(processes)]
        workers = [FORK.Process(target=_work, args=(copy, postgres.url, todo, done)) for copy in copies]
        for worker in workers:
            worker.start()
            stack.callback(_end, worker)
        written = stack.enter_context(file.open("a", encoding="utf-8"))
        for stage in range(max(len(target.stages) for _, target in chosen)):
            jobs = [
                Job(mutant, target, stage)
                for mutant, target in chosen
                if stage < len(target.stages) and _is_left(results.get(mutant.key), stage)
            ]
            for number, result in enumerate(_answers(todo, done, jobs), 1):
                results[result.key] = result
                written.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")
                written.flush()
                count = f"stage {stage + 1}: {number}/{len(jobs)}"
                where = f"{result.path}:{result.line}"
                print(f"{count} {result.verdict:9} {result.cpu_seconds:5.1f} s  {where} {result.change}", flush=True)
        for _ in workers:
            todo.put(None)
        for worker in workers:
            worker.join()


def _end(worker: ForkProcess) -> None:
    worker.terminate()
    worker.join()


def _is_left(result: Result | None, stage: int) -> bool:
    return stage == 0 if result is None else result.verdict == "survived" and result.stages == stage


def _answers(
    todo: "SimpleQueue[Job | None]", done: "SimpleQueue[Result | str]", jobs: Sequence[Job]
) -> Iterator[Result]:
    # From a thread: a pipe takes only so much until somebody reads, and the reader is here.
    sender = threading.Thread(target=_put_all, args=(todo, jobs), daemon=True)
    sender.start()
    for _ in jobs:
        answer = done.get()
        if isinstance(answer, str):
            raise SystemExit(answer)
        yield answer
    sender.join()


def _put_all(todo: "SimpleQueue[Job | None]", jobs: Sequence[Job]) -> None:
    for job in jobs:
        todo.put(job)


def _work(copy: Path, postgres_url: str, todo: "SimpleQueue[Job | None]", done: "SimpleQueue[Result | str]") -> None:
    usual: dict[Stage, float] = {}
    while job := _next(todo):
        try:
            done.put(_judge(copy, postgres_url, job, usual))
        except KeyboardInterrupt:
            return
        except Exception as error:
            done.put(f"{job.target.path}: {error}")
            raise


def _next(todo: "SimpleQueue[Job | None]") -> Job | None:
    try:
        return todo.get()
    except KeyboardInterrupt:
        return None


def _judge(copy: Path, postgres_url: str, job: Job, usual: dict[Stage, float]) -> Result:
    mutant, tests = job.mutant, job.target.stages[job.stage]
    if tests not in usual:
        sound = try_tests(copy, tests, postgres_url, cpu_seconds=FIRST_SECONDS)
        if sound.verdict != "survived":
            raise RuntimeError(f"the tests fail without any mutant: {sound.by or sound.verdict}")
        usual[tests] = sound.cpu_seconds
    with changed(copy / mutant.path, mutant.text):
        tried = try_tests(copy, tests, postgres_url, cpu_seconds=usual[tests] * PATIENCE + GRACE_SECONDS)
    used = round(tried.cpu_seconds, 1)
    return Result(mutant.key, mutant.path, mutant.line, mutant.change, tried.verdict, tried.by, used, job.stage + 1)


if __name__ == "__main__":
    os.nice(10)
    # So that whatever ends a run, what it started ends with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
