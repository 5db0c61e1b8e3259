"""What Prometheus is shown: which metrics with which labels, to whom, and what is left while the database is down."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import psycopg
import pytest
import requests
from prometheus_client.samples import Sample

from outbox.metrics import REGISTRY
from outbox.metrics_figures import FRESH_PER_READING, LEAST_FRESH_SECONDS, STATES, DatabaseFigures, LoopAges
from outbox.metrics_server import serving_metrics
from web.metrics import is_from_here

CONTRACT = {
    "calendar_sync_outbox_rows": set[str](),
    "calendar_sync_outbox_oldest_seconds": set(),
    "calendar_sync_pending_pushes": set(),
    "calendar_sync_oldest_due_seconds": set(),
    "calendar_sync_pushes_total": {"action", "outcome"},
    "calendar_sync_coalesced_total": set(),
    "calendar_sync_commit_to_push_seconds_bucket": {"le"},
    "calendar_sync_google_request_seconds_bucket": {"method", "le"},
    "calendar_sync_google_quota_units_total": set(),
    "calendar_sync_rate_limited_total": {"scope"},
    "calendar_sync_token_refreshes_total": {"outcome"},
    "calendar_sync_connections": {"state"},
    "calendar_sync_rejected_events": set(),
    "calendar_sync_problems": set(),
    "calendar_sync_lease_lost_total": set(),
    "calendar_sync_loop_last_tick_seconds": {"loop"},
    "calendar_sync_oldest_transaction_seconds": set(),
}
"""By name as Prometheus sees it."""

FIGURES = {
    "outbox_rows": 3,
    "outbox_oldest_seconds": 1.5,
    "pending_pushes": 4,
    "oldest_due_seconds": 0.5,
    "problems": 1,
    "rejected_events": 2,
    "connections": {"active": 5, "paused": 1},
    "oldest_transaction_seconds": 7.0,
}


class Database:
    """A stand-in for the pool: tells these figures at this price, or fails, and counts how often it is asked."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = dict(FIGURES)
        self.failure: Exception | None = None
        self.seconds = 0.01
        self.now = 0.0
        self.readings = 0
        self.answers = threading.Event()
        self.answers.set()

    @contextmanager
    def connection(self, **_: object) -> Iterator["Database"]:
        self.answers.wait()
        yield self

    @contextmanager
    def transaction(self) -> Iterator[None]:
        yield

    @contextmanager
    def cursor(self, **_: object) -> Iterator["Database"]:
        self.readings += 1
        self.now += self.seconds
        yield self

    def execute(self, _statement: object) -> "Database":
        if self.failure is not None:
            raise self.failure
        return self

    def fetchone(self) -> dict[str, Any]:
        return self.figures


class Loop:
    """A loop that ticked two seconds ago."""

    name = "relay"
    seconds_since_progress = 2.0


def collector(database: Database, answer_seconds: float = 60.0) -> DatabaseFigures:
    return DatabaseFigures(cast("Any", database), lambda: database.now, answer_seconds)


def samples(*collectors: Any) -> list[Sample]:
    return [sample for one in collectors for metric in one.collect() for sample in metric.samples]


def values(found: list[Sample]) -> dict[str, float]:
    return {sample.name: sample.value for sample in found if not sample.labels}


def test_every_metric_of_the_contract_is_there_with_exactly_its_labels() -> None:
    labels = {
        sample.name: set(sample.labels) for sample in samples(REGISTRY, collector(Database()), LoopAges([Loop()]))
    }
    assert {name: labels.get(name) for name in CONTRACT} == CONTRACT


def test_no_label_could_name_a_tenant_a_user_or_a_job() -> None:
    found = samples(REGISTRY, collector(Database()), LoopAges([Loop()]))
    labels = {label for sample in found for label in sample.labels}
    assert labels == {"action", "outcome", "le", "method", "scope", "state", "loop"}


def test_the_figures_are_those_of_the_database_and_every_state_is_shown() -> None:
    found = samples(collector(Database()))
    assert values(found) == {"calendar_sync_database_up": 1} | {
        f"calendar_sync_{name}": value for name, value in FIGURES.items() if name != "connections"
    }
    by_state = {sample.labels["state"]: sample.value for sample in found if sample.labels}
    assert by_state == dict.fromkeys(STATES, 0) | {"active": 5, "paused": 1}


def test_what_the_database_may_not_tell_is_absent_and_not_zero() -> None:
    database = Database()
    database.figures["oldest_transaction_seconds"] = None
    assert "calendar_sync_oldest_transaction_seconds" not in values(samples(collector(database)))


def test_while_the_database_is_down_that_is_all_that_is_said_of_it() -> None:
    database = Database()
    figures = collector(database)
    database.failure = psycopg.OperationalError("gone")
    assert values(samples(figures)) == {"calendar_sync_database_up": 0}
    database.failure = None
    database.now += LEAST_FRESH_SECONDS
    assert values(samples(figures))["calendar_sync_database_up"] == 1


def test_a_database_that_says_nothing_holds_up_one_thread_and_nobody_who_asks() -> None:
    database = Database()
    figures = collector(database, answer_seconds=1.0)

    def is_up() -> bool:
        database.now += LEAST_FRESH_SECONDS
        return values(samples(figures)) != {"calendar_sync_database_up": 0}

    def reading() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread not in before]

    before = threading.enumerate()
    database.answers.clear()
    assert [is_up() for _ in range(5)] == [False] * 5
    assert len(reading()) == 1
    database.answers.set()
    for thread in reading():
        thread.join()
    assert is_up()


@pytest.mark.parametrize(
    ("seconds", "good_for"), [(0.01, LEAST_FRESH_SECONDS), (2.0, 2.0 * FRESH_PER_READING)], ids=["quick", "slow"]
)
def test_many_who_ask_cost_one_reading_and_a_slow_one_is_kept_for_longer(seconds: float, good_for: float) -> None:
    database = Database()
    database.seconds = seconds
    figures = collector(database)
    samples(figures)
    database.now += good_for - 0.1
    samples(figures)
    assert database.readings == 1
    database.now += 0.2
    samples(figures)
    assert database.readings == 2


def test_a_daemon_serves_what_it_counts_and_what_it_finds() -> None:
    port = free_port()
    with serving_metrics(port, [LoopAges([Loop()])]) as complaint:
        assert complaint == ""
        text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    assert 'calendar_sync_loop_last_tick_seconds{loop="relay"} 2.0' in text
    assert "calendar_sync_lease_lost_total" in text
    assert "_created" not in text
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)


def test_a_port_that_is_taken_stops_nobody_and_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with serving_metrics(port, []) as complaint:
            assert complaint == f" No metrics: port {port} cannot be had (Address already in use)."


def test_port_0_serves_nothing() -> None:
    with serving_metrics(0, []) as complaint:
        assert complaint == ""


@pytest.mark.parametrize(
    ("peer", "host", "headers", "served"),
    [
        ("127.0.0.1", "127.0.0.1", {}, True),
        ("127.0.0.1", "localhost", {"ACCEPT": "text/plain"}, True),
        ("::1", "::1", {}, True),
        ("::1", "[::1]", {}, True),
        ("::ffff:127.0.0.1", "127.0.0.1", {}, True),
        ("203.0.113.7", "127.0.0.1", {}, False),
        ("", "localhost", {}, False),  # a Unix socket: the proxy's
        # Handed on by a proxy on this machine:
        ("127.0.0.1", "127.0.0.1", {"X-FORWARDED-FOR": "203.0.113.7"}, False),
        ("127.0.0.1", "127.0.0.1", {"X-FORWARDED-FOR": "127.0.0.1"}, False),
        ("127.0.0.1", "127.0.0.1", {"X-FORWARDED-PROTO": "https"}, False),
        ("127.0.0.1", "127.0.0.1", {"FORWARDED": "for=203.0.113.7"}, False),
        ("127.0.0.1", "127.0.0.1", {"VIA": "1.1 proxy"}, False),
        ("127.0.0.1", "127.0.0.1", {"X-REAL-IP": "203.0.113.7"}, False),
        ("127.0.0.1", "app.example.com", {}, False),
        # A page elsewhere whose name was made to lead here:
        ("127.0.0.1", "evil.example.com", {}, False),
    ],
)
def test_the_web_app_tells_whoever_asks_it_directly_on_its_machine(
    peer: str, host: str, headers: dict[str, str], served: bool
) -> None:
    assert is_from_here(peer, host, headers) is served


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
