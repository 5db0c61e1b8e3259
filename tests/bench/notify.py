"""What does NOTIFY cost those who commit? Producers that insert into the outbox, with its trigger and without.

Real parts: a PostgreSQL server of its own with default settings (fsync on), pgbench, and the daemon's listener.

    python -m tests.bench.notify [--producers 1,8,32] [--runs 5] [--seconds 3] [--pg-bin FOLDER] [--json]

With and without alternate within each run, so that whatever else the machine does meets both alike.
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from statistics import median

import psycopg

from outbox.migrations import migrate
from outbox.wakeup import Listener
from tests.bench.race.server import Server, server_programs

INSERT = """
\\set tenant random(1, 200)
\\set job random(1, 50)
INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload)
VALUES ('tenant-' || :tenant, 'job-' || :job, 'job.updated',
        jsonb_build_object('schema_version', 1, 'notes', repeat('x', 560)));
"""
"""One commit of a producer, of about 600 bytes."""


@contextmanager
def listening(url: str) -> Iterator[None]:
    """Somebody who listens as a daemon does."""
    stop = threading.Event()
    listener = Listener(url, lambda: None)

    def listen() -> None:
        while not stop.is_set():
            listener.listen()

    listener.listen()
    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        listener.close()


def rate_of(programs: Path, url: str, script: Path, producers: int, seconds: float, *, notify: bool) -> float:
    """Commits a second: what so many producers commit, one after another each, into an empty outbox."""
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("TRUNCATE calendar_sync.outbox")
        owner.execute(f"ALTER TABLE calendar_sync.outbox {'ENABLE' if notify else 'DISABLE'} TRIGGER notify_outbox")
        owner.execute("CHECKPOINT")
    command = [str(programs / "pgbench"), "-n", "-c", str(producers), "-T", f"{seconds:.0f}", "-f", str(script), url]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"^tps = ([\d.]+)", told, re.MULTILINE)
    assert found is not None, told
    return float(found.group(1))


def measure(producers: list[int], runs: int, seconds: float, programs: Path) -> list[dict[str, float]]:
    """A row for each number of producers, without anybody who listens and with: medians, in commits a second."""
    with ExitStack() as stack:
        here = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="calendar-sync-notify-")))
        here.chmod(0o755)
        server = stack.enter_context(Server(here / "postgres", programs))
        script = here / "insert.sql"
        script.write_text(INSERT)
        url = server.fresh()
        migrate(url)
        found: dict[tuple[int, bool, bool], list[float]] = {}
        for _ in range(runs):
            for count, listens in product(producers, (False, True)):
                with listening(url) if listens else ExitStack():
                    for notify in (False, True):
                        rate = rate_of(programs, url, script, count, seconds, notify=notify)
                        found.setdefault((count, listens, notify), []).append(rate)
    rows = []
    for count, listens in product(producers, (False, True)):
        off, on = found[count, listens, False], found[count, listens, True]
        quotients = [with_it / without for without, with_it in zip(off, on, strict=True)]
        rows.append(
            {"producers": count, "listening": listens, "off": median(off), "on": median(on)}
            | {"on_by_off": median(quotients), "least": min(quotients), "most": max(quotients)}
        )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Commits into the outbox a second, with NOTIFY and without.")
    parser.add_argument("--producers", default="1,8,32")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--pg-bin", type=Path, help="the folder of PostgreSQL's server programs; default: pg_config's")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    counts = [int(count) for count in options.producers.split(",")]
    rows = measure(counts, options.runs, options.seconds, server_programs(options.pg_bin))
    if options.json:
        print(json.dumps({"load": load, "rows": rows}))
        return
    print(f"load average {load:.1f} before; medians of {options.runs} runs of {options.seconds:.0f} s each\n")
    print("| producers | a daemon listens | commits/s without NOTIFY | with | with ÷ without (least to most) |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['producers']} | {'yes' if row['listening'] else 'no'} | {row['off']:,.0f} | {row['on']:,.0f} |"
            f" {row['on_by_off']:.2f} ({row['least']:.2f} to {row['most']:.2f}) |"
        )


if __name__ == "__main__":
    main()
