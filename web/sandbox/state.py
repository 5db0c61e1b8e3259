"""The whole state of a sandbox behind one lock."""

import hashlib
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from web.sandbox.calendars import Calendars, Clock
from web.sandbox.events import Resource
from web.sandbox.faults import Faults
from web.sandbox.grants import Client, Grants
from web.sandbox.journal import Journal, Request, Stats, Write
from web.sandbox.model import HTML_LINK_BASE, Role
from web.sandbox.quotas import Quotas
from web.sandbox.specs import AccountSpec, Config


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Everything the sandbox knows. Hold `lock` around every use of the other fields but `clock`."""

    lock: threading.Lock
    clock: Clock
    calendars: Calendars
    grants: Grants
    faults: Faults
    quotas: Quotas
    writes: Journal[Write]
    requests: Journal[Request]
    stats: Stats

    def record_write(self, actor: str, account: str, calendar: str, method: str, resource: Resource) -> None:
        """Note a write in the moment it took effect; call it under the lock that covered the write."""
        calendar_id = account if calendar == "primary" else calendar
        held = self.clock().timestamp()
        self.writes.append(Write(held, actor, account, calendar_id, resource["id"], method, resource))

    def add_account(self, spec: AccountSpec) -> list[str]:
        """Make an account and its calendars, or bring them up to date; answers the ids of all its calendars."""
        self.calendars.add_account(spec.email, spec.time_zone, spec.name)
        ids = [spec.email]
        for calendar in spec.calendars:
            digest = hashlib.sha256(f"{spec.email} {calendar.summary}".encode()).hexdigest()
            calendar_id = calendar.id or f"c_{digest}@group.calendar.google.com"
            owner = spec.email if calendar.role is Role.OWNER else ""
            self.calendars.add_calendar(calendar_id, calendar.summary, calendar.time_zone, owner=owner)
            self.calendars.share(
                calendar_id,
                spec.email,
                calendar.role,
                hidden=calendar.hidden,
                summary_override=calendar.summary_override,
            )
            ids.append(calendar_id)
        return ids


def utc_now() -> datetime:
    """The time of day, in UTC."""
    return datetime.now(UTC)


def new_sandbox(config: Config, clock: Clock = utc_now, link_base: str = HTML_LINK_BASE) -> Sandbox:
    """A sandbox as configured."""
    client = Client(config.client_id, config.client_secret, config.redirect_uris)
    sandbox = Sandbox(
        lock=threading.Lock(),
        clock=clock,
        calendars=Calendars(clock, link_base),
        grants=Grants(clock, client, timedelta(seconds=config.access_token_seconds)),
        faults=Faults(),
        quotas=Quotas(time.monotonic),
        writes=Journal(),
        requests=Journal(),
        stats=Stats(),
    )
    for account in config.accounts:
        sandbox.add_account(account)
    return sandbox
