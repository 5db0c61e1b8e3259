"""The fault run: the daemons at work while everything goes wrong, and whether every calendar is right in the end.

Real processes and sockets: Postgres, daemons each behind a proxy, the web app, the stand-in for Google over HTTP.
docs/faults.md explains it.

    python -m tests.faults.run [--seed 1] [--faults 1000] [--daemons 3] [--json] [--write docs/faults.md]

Exits with 0 only if nothing is missing, doubled, stale or in a wrong calendar, at any chapter's end and to any reader.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from tests.faults.plan import Chapter, Whom, long_run
from tests.faults.play import Options, play
from tests.faults.report import BEGIN, END, print_report, takes_figures, write_report
from web.demo.traffic import SAMPLE, Traffic, read_traffic

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "lifecycle.jsonl"
"""An hour and a half of three tenants' traffic, where it lies beside the project; else the packaged sample."""

OWN_MOUNTS = "CALENDAR_SYNC_OWN_MOUNTS"
"""Set once the run has mounts of its own, which end with it however it ends."""

SHORT_SECONDS = 9.0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="faults", description="Injects faults of all kinds, and compares.")
    parser.add_argument("--seed", type=int, default=1, help="of the plan (default 1)")
    parser.add_argument("--faults", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--daemons", type=int, default=3, help="at once (default 3)")
    parser.add_argument("--data", type=Path, help="job traffic to replay")
    parser.add_argument("--short", action="store_true", help="one chapter of seconds; rests and leases pass at once")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the figures into this Markdown file")
    parser.add_argument("--log", type=Path, help="keep the daemons' log here")
    asked = parser.parse_args()
    if asked.write and not takes_figures(asked.write):  # said now, and not after a quarter of an hour
        parser.error(f"--write: {asked.write} is no file with the lines {BEGIN} and {END}; try docs/faults.md")
    _take_own_mounts()
    console = Console(stderr=asked.json)
    data = asked.data or (SHARED if SHARED.exists() and not asked.short else SAMPLE)
    chapters = (
        [Chapter("everything together", frozenset(Whom), SHORT_SECONDS, asked.faults)]
        if asked.short
        else long_run(asked.faults)
    )
    console.print(f"seed {asked.seed}: {asked.faults} faults, {asked.daemons} daemons, traffic of {data.name}")
    traffic = read_traffic(data)
    options = Options(asked.seed, asked.daemons, chapters, hurry=asked.short)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        log = asked.log or Path(folder) / "daemons.log"
        report = play(
            options,
            _small(traffic) if asked.short else traffic,
            Path(folder),
            log,
            lambda line: console.print(line, highlight=False),
        )
    if asked.json:
        print(json.dumps(report.figures(), ensure_ascii=False))
    if not asked.json or not report.right:
        print_report(console, report)
    if asked.write:
        write_report(asked.write, report)
    return 0 if report.right else 1


def _small(traffic: Traffic) -> Traffic:
    """Without its largest tenant, whose users would take most of a short run to connect."""
    largest = max(traffic.header.tenants, key=lambda tenant_id: len(traffic.header.tenants[tenant_id].office_users))
    tenants = {tenant_id: tenant for tenant_id, tenant in traffic.header.tenants.items() if tenant_id != largest}
    return Traffic(
        replace(traffic.header, tenants=tenants), tuple(row for row in traffic.rows if row.tenant_id in tenants)
    )


def _take_own_mounts() -> None:
    """As root, begin again in a mount namespace of our own: the small disk of a run that is killed goes with it."""
    unshare = shutil.which("unshare")
    if os.geteuid() != 0 or unshare is None or os.environ.get(OWN_MOUNTS):
        return
    os.environ[OWN_MOUNTS] = "tried"
    command = [unshare, "--mount", "--propagation", "private", "--"]
    os.execv(unshare, [*command, sys.executable, "-m", "tests.faults.run", *sys.argv[1:]])  # noqa: S606 - itself


if __name__ == "__main__":
    sys.exit(main())
