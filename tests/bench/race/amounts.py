"""Works of ours about amounts: memory under a backlog, requests and seconds of a backfill."""

import time
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from tests.bench.race.drains import SOON
from tests.bench.race.load import Change, Load, commit
from tests.bench.race.ours import Place, Run

BACKLOG = 1_000_000

TENTH_BACKLOG = BACKLOG // 10

SMALL_BACKLOG = 1_000

RSS_SECONDS = 60.0
"""That the daemon works at each backlog."""

SLOW_MS = 50
"""What Google takes meanwhile, so that a backlog stays one."""

BACKFILL_JOBS = 2_000

BACKFILL_MS = 200

MANY_ROWS = """
INSERT INTO calendar_sync.outbox (tenant_id, job_id, event_type, payload)
SELECT 'tenant-' || lpad((number %% 200)::text, 3, '0'), 'job_' || number, 'job.created',
       jsonb_set(%(payload)s, '{job_number}', to_jsonb('J-' || number))
FROM generate_series(1, %(rows)s) AS number
"""


def rss(place: Place, n: int | None) -> dict[str, Any]:
    """The most memory that the daemon takes beside a backlog of no account, beside a large one and a very large one."""
    rows = n or BACKLOG
    seconds = min(RSS_SECONDS, 5 + rows / 1000)  # the same for all: memory may grow with time as well
    small, tenth, large = (
        _peak(place, backlog, seconds) for backlog in (SMALL_BACKLOG, min(rows, TENTH_BACKLOG), rows)
    )
    beside = {f"{key}_small": value for key, value in small.items()}
    ratios = {
        f"peak_to_{name}": large["peak_mb"] / other["peak_mb"] for name, other in (("small", small), ("tenth", tenth))
    }
    return {"n": rows, "peak_mb_tenth": tenth["peak_mb"], **ratios, **beside, **large}


def _peak(place: Place, rows: int, seconds: float) -> dict[str, float]:
    run = Run(place, Load(200, 1, 1), SOON)
    run.connect()
    payload = Change("", "job_0", 1).payload
    with psycopg.connect(run.url) as connection:
        connection.execute(MANY_ROWS, {"payload": Jsonb(payload), "rows": rows})
    place.server.settle()
    place.google.begin(ms=SLOW_MS)
    with run.daemon() as daemon:
        time.sleep(seconds)
        memory = daemon.memory
    with psycopg.connect(run.url) as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM calendar_sync.outbox), (SELECT count(*) FROM calendar_sync.pending_push)"
        ).fetchone()
    assert row is not None
    return {"peak_mb": memory["VmHWM"] / 1e6, "rss_mb": memory["VmRSS"] / 1e6, "outbox": row[0], "pending": row[1]}


def backfill(place: Place, n: int | None, *, ms: float = 0, part_ms: float = 0) -> dict[str, Any]:
    """A user with an empty calendar and very many upcoming jobs."""
    run = Run(place, Load(1, 1, n or BACKFILL_JOBS))
    commit(run.url, run.load.every_job())
    run.deliver(writes=0)  # nobody is there yet
    run.connect()
    run.load.fill(run.url)
    place.google.begin(ms=ms, part_ms=part_ms)
    figures = run.drain(writes=run.load.deliveries)
    run.check()
    counts = place.google.counts()
    return figures | {"http_requests": counts["Requests"], "calls": counts["Parts"]}
