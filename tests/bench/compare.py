"""Our daemon beside the best queues, on the same work, in one run on one Postgres; docs/performance.md explains it.

    python -m tests.bench.compare [--systems ours,txoutbox,…] [--work drain0,drain50,…] [--runs 3] [--n N] [--json]
    python -m tests.bench.compare --systems ours --work drain0 --runs 1       while optimising; a few seconds
        … --profile gil --statements                                          … and where the time goes

Exits with 0 if every run delivered everything, exactly.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from rich.console import Console

from tests.bench.race.contest import OURSELVES, WORKS, Contest, Results, Stand
from tests.bench.race.documents import write_documents
from tests.bench.race.google import StandIn, build
from tests.bench.race.machine import machine
from tests.bench.race.ours import Place
from tests.bench.race.peers import PEERS, Stub, prepare
from tests.bench.race.profiles import Profile
from tests.bench.race.server import Server, server_programs
from tests.bench.race.tables import print_tables
from web.demo.stage import ROOT

PIPED_WIDTH = 190
"""Columns of a table that goes to a file."""

BARE_CALLS = 20_000

BARE_BATCH = 50


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    asked = _parse(arguments)
    console = Console(stderr=asked.json, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    asked.folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        status = stack.enter_context(console.status("preparing"))
        here = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=asked.folder)))
        here.chmod(0o755)
        programs = server_programs(asked.pg_bin)
        server = stack.enter_context(Server(here / "postgres", programs, statements=asked.statements))
        google = stack.enter_context(StandIn(build(asked.folder)))
        profile = Profile(asked.profile, asked.folder) if asked.profile else None
        contest = Contest(Place(server, google, here, dict(asked.set), profile))
        stack.callback(_keep_log, here, asked.folder)
        if asked.systems != [OURSELVES]:
            kitchen = prepare(asked.peers, asked.folder)
            contest.stand = Stand(kitchen, server, stack.enter_context(Stub(kitchen)))
        bare = [google.drive(calls=min(BARE_CALLS, 100 * (asked.n or 200)), batch=batch) for batch in (0, BARE_BATCH)]
        kept = asked.folder / "results.json"
        before = json.loads(kept.read_text()) if asked.add and kept.exists() else {"works": {}, "loads": {}}
        contest.results = before["works"]
        results: Results = {
            "machine": machine(server.version),
            "bare": bare,
            "loads": before.get("loads", {}),
            "works": contest.results,
        }
        for work in asked.work:
            done = contest.results.setdefault(work, {})
            results["loads"][work] = os.getloadavg()[0]
            for system in asked.systems:
                done.pop(system, None)
            for number in range(asked.runs):
                for system in asked.systems:
                    status.update(f"{work}, run {number + 1} of {asked.runs}: {system}")
                    contest.run(work, system, asked.n)
            if not asked.json:
                print_tables(console, {work: done})
            if asked.statements:
                for row in server.top_statements():
                    console.print(*row, soft_wrap=True, highlight=False, markup=False)
            if asked.write:  # after each work, because all of them take hours
                kept.write_text(json.dumps(results, indent=1))
                write_documents(ROOT / "docs", results)
    if asked.json:
        print(json.dumps(results))


def _keep_log(here: Path, folder: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.copyfile(here / "daemon.log", folder / "daemon.log")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="compare", description="Our daemon beside the best queues, on the same work.")
    everybody, everything = [OURSELVES, *PEERS], list(WORKS)
    parser.add_argument("--systems", type=_names(everybody), default=everybody, help=", ".join(everybody))
    parser.add_argument("--work", type=_names(everything), default=everything, help=", ".join(everything))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--n", type=int, help="another size of the work, for a try")
    parser.add_argument("--set", type=_setting, action="append", default=[], help="of the daemon, NAME=VALUE")
    parser.add_argument("--profile", choices=["cpu", "spy", "gil"], help="the daemon, and print where its time goes")
    parser.add_argument("--statements", action="store_true", help="count them, and print the costliest")
    parser.add_argument("--json", action="store_true", help="print every figure of every run")
    parser.add_argument("--write", action="store_true", help="the table and the plots, into docs/")
    parser.add_argument("--add", action="store_true", help="to what an earlier run with --write found out")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "calendar-sync-bench")
    parser.add_argument("--peers", type=Path, default=ROOT.parent / "shared" / "bench", help="their folder")
    parser.add_argument("--pg-bin", type=Path, help="the folder of PostgreSQL's server programs; default: pg_config's")
    asked = parser.parse_args(arguments)
    if asked.systems != [OURSELVES] and not asked.peers.is_dir():
        parser.error(f"the peers are not at {asked.peers}: name their folder with --peers, or take --systems ours")
    return asked


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
        return names

    return read


def _setting(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


if __name__ == "__main__":
    main()
