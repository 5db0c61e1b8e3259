"""Clocks, calendars in memory, an app without sockets, and a running sandbox."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from falcon.testing import TestClient

from web.sandbox.app import create_app
from web.sandbox.calendars import Calendars
from web.sandbox.server import SandboxServer
from web.sandbox.specs import AccountSpec, CalendarSpec, Config
from web.sandbox.state import Sandbox, new_sandbox

ANA, BEN = "ana@example.com", "ben@example.com"
TEAM = "team@group.calendar.google.com"

_numbers = count()


class FakeClock:
    """Stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = datetime(2026, 12, 1, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass(frozen=True, slots=True)
class Client:
    """The app called without a socket."""

    sandbox: Sandbox
    clock: FakeClock
    http: TestClient

    def control(self, method: str, path: str, body: object = None) -> Any:
        answer = self.http.simulate_request(method, f"/sandbox/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json

    def token(self, account: str = ANA, *scopes: str, own: bool = False) -> str:
        minted = self.control("POST", "token", {"account": account, "scopes": scopes, "own": own})
        return str(minted["access_token"])


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def calendars(clock: FakeClock) -> Calendars:
    """Ana (Chicago) owns her own calendar and the team's; Ben (Berlin) may write to the team's."""
    held = Calendars(clock)
    for spec in people():
        held.add_account(spec.email, spec.time_zone)
    held.add_calendar(TEAM, "Team", "America/Chicago", owner=ANA)
    for calendar in people()[1].calendars:
        held.share(TEAM, BEN, calendar.role)
    return held


@pytest.fixture
def client(clock: FakeClock) -> Client:
    sandbox = new_sandbox(Config(accounts=people()), clock)
    return Client(sandbox, clock, TestClient(create_app(sandbox, lambda seconds: clock.advance(seconds=seconds))))


@pytest.fixture(scope="session")
def server() -> Iterator[SandboxServer]:
    """A running sandbox, shared: tests use accounts of their own and faults that name them."""
    with SandboxServer() as running:
        yield running


@pytest.fixture
def account(server: SandboxServer) -> str:
    """A new account on the running sandbox."""
    email = f"user{next(_numbers)}@example.com"
    server.add_account(AccountSpec(email=email, time_zone="America/Chicago"))
    return email


def people() -> tuple[AccountSpec, ...]:
    team = {"id": TEAM, "summary": "Team", "time_zone": "America/Chicago"}
    return (
        AccountSpec(email=ANA, time_zone="America/Chicago", calendars=(CalendarSpec.model_validate(team),)),
        AccountSpec(
            email=BEN,
            time_zone="Europe/Berlin",
            calendars=(CalendarSpec.model_validate({**team, "role": "writer"}),),
        ),
    )


def event(**fields: Any) -> dict[str, Any]:
    """An hour from nine in Chicago on 1 December 2026, with the fields given."""
    return {
        "start": {"dateTime": "2026-12-01T09:00:00", "timeZone": "America/Chicago"},
        "end": {"dateTime": "2026-12-01T10:00:00", "timeZone": "America/Chicago"},
        **fields,
    }


def bearer(token: str) -> dict[str, str]:
    """The header that carries an access token."""
    return {"Authorization": f"Bearer {token}"}
