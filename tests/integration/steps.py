"""What users, Google and time do in these tests, and what is on record afterwards."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from outbox.access import Access
from outbox.batching import BatchSizes
from outbox.crypto import TokenCipher
from outbox.google.batch import MOST_PARTS
from outbox.google.calls import Call
from outbox.google.client import GoogleCalendar, Together
from outbox.google.meaning import Answer
from outbox.lane import DueJob, LaneConnection, Lease
from outbox.lane_store import LaneStore
from outbox.push import LanePusher
from outbox.pusher import LEASE_MARGIN_SECONDS, LEASE_SECONDS
from outbox.rendering_cache import RenderingCache
from outbox.runtime import oauth_client
from tests.integration.conftest import Engine, World
from web.api.paths import API
from web.demo.consent import give_consent
from web.sandbox.specs import AccountSpec, CalendarSpec

Interruption = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Pair:
    """What is on record for one job on one calendar."""

    event_id: str
    id_generation: int
    in_doubt: bool
    stands: bool


def pair(world: World, calendar: str, job_id: str = "job_1") -> Pair:
    """The record of a job on a calendar."""
    [row] = world.execute(
        "SELECT event_id, id_generation, in_doubt, content_hash IS NOT NULL FROM calendar_sync.pushed_event"
        " WHERE (tenant_id, calendar_id, job_id) = (%s, %s, %s)",
        world.tenant,
        calendar,
        job_id,
    )
    return Pair(*row)


def read_due(store: LaneStore, lease: Lease, *, limit: int) -> tuple[list[DueJob], list[LaneConnection]]:
    """What a lane's holder sees."""
    with store.looking(lease) as look:
        return look.read(limit=limit)


def pending(world: World) -> list[str]:
    """The jobs that wait to be pushed, sorted, one entry for each calendar."""
    return [job_id for (job_id,) in world.execute("SELECT job_id FROM calendar_sync.pending_push ORDER BY job_id")]


def problems(world: World) -> dict[str, str]:
    """The parked jobs with the reasons."""
    return dict(world.execute("SELECT job_id, problem FROM calendar_sync.pending_push WHERE problem IS NOT NULL"))


def retired_ids(world: World) -> list[str]:
    """The event ids that were given up and whose events have not been seen gone."""
    return [event_id for (event_id,) in world.execute("SELECT event_id FROM calendar_sync.retired_event ORDER BY 1")]


def connection(world: World, name: str, *columns: str) -> tuple[Any, ...]:
    """Columns of a user's connection."""
    [row] = world.execute(
        f"SELECT {', '.join(columns)} FROM calendar_sync.calendar_connection WHERE (tenant_id, user_id) = (%s, %s)",
        world.tenant,
        name,
    )
    return row


def grant(world: World, name: str, email: str) -> str:
    """Have a user go through consent with this Google account; returns the connection's state."""
    caller = world.caller(name)
    location = give_consent(caller, email)
    assert ("connected", "1") in parse_qsl(urlsplit(location).query), location
    return str(caller.ask("GET", API)["state"])


def choose(world: World, name: str, calendar: str) -> None:
    """Have a user choose a calendar of his list, in the web app."""
    assert world.caller(name).ask("PATCH", API, {"calendar_id": calendar})["calendar_id"] == calendar


def reconnect(world: World, name: str) -> str:
    """Have a user go through consent again with the account that he has; returns the connection's state."""
    [email] = connection(world, name, "account_email")
    return grant(world, name, email)


def revoke(world: World, name: str) -> None:
    """The user takes our access away on Google's own pages."""
    [email] = connection(world, name, "account_email")
    world.google.control("POST", "revoke", {"account": email})


def cipher_of(world: World) -> TokenCipher:
    """What the daemon decrypts tokens with."""
    return TokenCipher.from_keys(world.stage.settings.token_encryption_keys.get_secret_value())


def shared_calendar(world: World) -> tuple[str, str]:
    """A new shared calendar: its id, and an account that only looks at it."""
    calendar, reader = f"team-{uuid4().hex}@group.calendar.google.com", f"reader-{uuid4().hex[:8]}@example.com"
    world.google.add_account(AccountSpec(email=reader, calendars=(CalendarSpec(id=calendar, summary="Shared"),)))
    return calendar, reader


def edit(world: World, calendar: str, event_id: str, **patch: Any) -> None:
    """The calendar's owner changes an event in Google."""
    body = {"account": calendar, "calendar": calendar, "event": event_id, "patch": patch}
    world.google.control("POST", "user-edit", body)


def delete(world: World, calendar: str, event_id: str) -> None:
    """The calendar's owner deletes an event in Google."""
    world.google.control("POST", "user-delete", {"account": calendar, "calendar": calendar, "event": event_id})


def requests_for(world: World, account: str) -> list[dict[str, Any]]:
    """The daemon's requests with the tokens of this account, oldest first, as Google recorded them."""
    entries = world.google.control("GET", "requests")["entries"]
    return [entry for entry in entries if entry["actor"] == "project" and entry["account"] == account]


def freeze(world: World) -> None:
    """Stop the clock by which the database judges; only `world.advance` moves it on."""
    [[moment]] = world.execute("SELECT calendar_sync.now()::text")
    world.execute(
        "CREATE OR REPLACE FUNCTION calendar_sync.now() RETURNS timestamptz LANGUAGE sql STABLE"
        f" AS $$SELECT timestamptz '{moment}' + (SELECT ahead FROM public.test_clock)$$"
    )


class InterruptedGoogle(GoogleCalendar):
    """Google's client, with things that happen elsewhere before its first request and after its first answer."""

    def __init__(self, world: World, *, before: Interruption | None = None, after: Interruption | None = None) -> None:
        super().__init__(world.stage.settings.google_calendar_url, stop=world.stop, user_agent="test")
        self._before, self._after = before, after

    def call(self, call: Call, *, calendar_id: str, access_token: str, deadline: float) -> Answer:
        before, self._before = self._before, None
        if before is not None:
            before()
        answer = super().call(call, calendar_id=calendar_id, access_token=access_token, deadline=deadline)
        after, self._after = self._after, None
        if after is not None:
            after()
        return answer

    def call_together(self, calls: Sequence[Call], *, calendar_id: str, access_token: str, deadline: float) -> Together:
        """The first alone, so that what happens elsewhere comes in between."""
        if self._before is None and self._after is None:
            return super().call_together(calls, calendar_id=calendar_id, access_token=access_token, deadline=deadline)
        where = {"calendar_id": calendar_id, "access_token": access_token}
        return Together([self.call(call, **where, deadline=deadline) for call in calls])


@contextmanager
def lane_pusher(
    world: World, engine: Engine, calendar: GoogleCalendar, *, together: int = MOST_PARTS
) -> Iterator[LanePusher]:
    """A pusher of leased lanes that talks to Google through this client, with up to so many calls together."""
    oauth = oauth_client(world.stage.settings, world.stop)
    yield LanePusher(
        LaneStore(engine.pool),
        Access(engine.pool, cipher_of(world), oauth),
        calendar,
        engine.daemon.budget,
        job_url_template=world.stage.settings.job_url_template,
        renderings=RenderingCache(),
        sizes=BatchSizes(together),
        stop=world.stop,
    )
    oauth.close()
    calendar.close()


def lease_one(engine: Engine, *, call_seconds: float = LEASE_SECONDS - LEASE_MARGIN_SECONDS) -> Lease:
    """Lease the one lane that is due; its holder's calls end within `call_seconds`."""
    store = LaneStore(engine.pool)
    [lease] = store.lease(
        limit=2,
        troubled_limit=2,
        lease_seconds=LEASE_SECONDS,
        last_call_ends_by=time.monotonic() + call_seconds,
    )
    return lease
