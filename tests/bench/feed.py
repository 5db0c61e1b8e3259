"""How long does a calendar app wait for a feed, and how much does it get, in a tenant with ten thousand jobs?

Real parts: Postgres, and the web app with its own role, in this process.

    python -m tests.bench.feed [--jobs 10000] [--visits 15] [--json]

Exits with 0 if the median first visit takes less than a second and the feed has less than a megabyte.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from statistics import median

import psycopg
import structlog
from falcon.testing import Result, TestClient

from outbox.acting import acting_for
from outbox.user import User
from tests.integration.many_jobs import insert_jobs
from web.app import create_app
from web.demo.embedded_postgres import EmbeddedPostgres
from web.demo.stage import Stage
from web.sandbox.server import SandboxServer

TARGET_SECONDS, TARGET_BYTES = 1.0, 1_000_000

TENANT = "tenant-1"


def timed(visits: int, ask: Callable[[], Result]) -> tuple[float, Result]:
    """The median time of so many visits in milliseconds, and the last answer."""
    took = []
    for _ in range(visits):
        began = time.perf_counter()
        answer = ask()
        took.append((time.perf_counter() - began) * 1000)
    return round(median(took), 1), answer


def measure(jobs: int, visits: int) -> dict[str, object]:
    """The figures, of a feed of all jobs and of one of a user's own."""
    with ExitStack() as stack:
        postgres = stack.enter_context(EmbeddedPostgres())
        stage = Stage(postgres.url, stack.enter_context(SandboxServer()))
        with psycopg.connect(postgres.url) as connection:
            insert_jobs(connection, TENANT, jobs, past=jobs // 10)
        app = stack.enter_context(closing(create_app(stage.web_settings)))
        client = TestClient(app)
        figures: dict[str, object] = {"jobs": jobs, "visits": visits}
        # A feed each, so that neither is read more often than one may be.
        for user, job_filter in (("u_6", "all"), ("u_7", "assigned")):
            with acting_for(User(TENANT, user)):
                made = app.services.feeds.renew(User(TENANT, user), job_filter)  # type: ignore[arg-type]
            path = made.url.removeprefix(stage.web_settings.public_base_url)
            first, feed = timed(visits, lambda path=path: client.simulate_get(path))  # type: ignore[misc]
            zipped, small = timed(
                visits,
                lambda path=path: client.simulate_get(path, headers={"Accept-Encoding": "gzip"}),  # type: ignore[misc]
            )
            tag = {"If-None-Match": feed.headers["etag"]}
            again, unchanged = timed(visits, lambda path=path, tag=tag: client.simulate_get(path, headers=tag))  # type: ignore[misc]
            figures[job_filter] = {
                "status": [feed.status_code, unchanged.status_code],
                "first_ms": first,
                "gzip_ms": zipped,
                "revisit_ms": again,
                "events": feed.content.count(b"BEGIN:VEVENT"),
                "bytes": len(feed.content),
                "gzip_bytes": len(small.content),
            }
    return figures


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Times visits to a calendar feed.")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--visits", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[lambda *_: ""])
    figures = measure(options.jobs, options.visits)
    if options.json:
        print(json.dumps(figures))
    else:
        print(f"{options.jobs:,} jobs in the tenant, medians of {options.visits} visits")
        for job_filter in ("all", "assigned"):
            told = figures[job_filter]
            assert isinstance(told, dict)
            print(
                f"{job_filter:>9}: first visit {told['first_ms']:.0f} ms ({told['gzip_ms']:.0f} with gzip), "
                f"revisit {told['revisit_ms']:.0f} ms ({told['status'][1]}), "
                f"{told['events']:,} events in {told['bytes']:,} bytes ({told['gzip_bytes']:,} with gzip)"
            )
    feed = figures["all"]
    assert isinstance(feed, dict)
    return 0 if feed["first_ms"] < TARGET_SECONDS * 1000 and feed["bytes"] < TARGET_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
