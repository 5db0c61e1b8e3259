"""While Google is asked, the database is left alone: no transaction is open anywhere, so no row is locked."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from outbox.google.deadline import Reply, Transport
from tests.integration.conftest import World, job
from tests.integration.steps import choose, edit, grant, pair
from web.api.paths import API
from web.sandbox.specs import AccountSpec, CalendarSpec

OPEN = """
SELECT state, query FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
  AND xact_start IS NOT NULL
"""


@dataclass(slots=True)
class Watch:
    """What was asked of Google, and the transactions that were open at that."""

    asked: set[tuple[str, str]] = field(default_factory=set)
    open: list[Any] = field(default_factory=list)


@pytest.fixture
def watch(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Look at the database's sessions whenever this process is about to send a request, which all go one way."""
    watch, send = Watch(), Transport.send
    with psycopg.connect(world.database_url, autocommit=True) as connection:

        def watched(transport: Transport, method: str, url: str, **rest: Any) -> Reply:
            watch.asked.add((method, _endpoint(url)))
            watch.open += connection.execute(OPEN).fetchall()
            return send(transport, method, url, **rest)

        monkeypatch.setattr(Transport, "send", watched)
        yield watch


def test_no_transaction_is_open_while_google_is_asked_for_anything(world: World, watch: Watch) -> None:
    email = "two-calendars@example.com"
    team = "team@group.calendar.google.com"
    world.google.add_account(AccountSpec(email=email, calendars=(CalendarSpec(id=team, summary="Team"),)))
    caller = world.caller("ana")
    grant(world, "ana", email)
    choose(world, "ana", email)
    for payload in (job("J-1"), job("J-2")):
        world.commit("job_1", payload)
        world.sync()
    edit(world, email, pair(world, email).event_id, colorId="5")
    world.commit("job_2", job("J-3"))
    world.commit("job_1", job("J-4"))
    world.sync()
    test = caller.ask("POST", f"{API}/test-push")
    world.sync()
    assert caller.ask("GET", f"{API}/test-push/{test['id']}")["state"] == "succeeded"
    world.google.control("POST", "tokens/expire", {"account": email})
    choose(world, "ana", team)
    world.sync()
    caller.ask("POST", f"{API}/disconnect", {"remove_events": True})
    world.sync()
    assert watch.open == []
    assert watch.asked >= {
        *[(method, "events") for method in ("GET", "POST", "PUT", "DELETE")],
        *[("GET", "calendarList"), ("POST", "token"), ("POST", "revoke")],
    }


def _endpoint(url: str) -> str:
    path = urlsplit(url).path
    return next(part for part in ("events", "calendarList", "token", "revoke", path) if part in path)
