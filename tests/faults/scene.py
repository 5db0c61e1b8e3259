"""The scene of a fault run: everything that is there before the first fault."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import IO, Any

from tests.faults.database import SERVER_SETTINGS, Database, small_disk
from tests.faults.users import Member
from web.demo.consent import NetworkHttp
from web.demo.embedded_postgres import EmbeddedPostgres
from web.demo.mishaps import read_calendar
from web.demo.people import newcomers, office_users
from web.demo.roster import roster_of
from web.demo.stage import Stage
from web.demo.traffic import Header
from web.sandbox.server import SandboxServer

CLOCK = """
CREATE TABLE public.faults_clock AS
    SELECT '{day_zero}'::timestamptz - interval '7 days' - statement_timestamp() AS ahead;
GRANT SELECT ON public.faults_clock TO PUBLIC;
CREATE OR REPLACE FUNCTION calendar_sync.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT statement_timestamp() + (SELECT ahead FROM public.faults_clock)';
"""
"""For the database it is a week before the traffic begins, so that every job in it is still to come."""


class Scene:
    """Postgres, on a small disk if one can be had, the stand-in for Google, the web app, and connected users.

    In every tenant the first half of the office is innocent: nothing that strikes a single user strikes them.

    Args:
        settings: of the daemons, where they differ from the defaults.
        log: where the web app logs to.
        stack: closes it all.
    """

    def __init__(self, header: Header, settings: Mapping[str, str], log: IO[str], stack: ExitStack) -> None:
        disk = stack.enter_context(small_disk())
        self.has_disk = disk is not None
        self.postgres = stack.enter_context(EmbeddedPostgres(settings=SERVER_SETTINGS, where=disk))
        self.sandbox = stack.enter_context(SandboxServer())
        self.database = Database(self.postgres, disk)

        office, others = office_users(header), newcomers(header)
        people = [*office, *others]
        for person in people:
            self.sandbox.add_account(person.account)
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.stage = Stage(self.postgres.url, self.sandbox, settings, public_base_url=origin)
        self.database.execute(CLOCK.format(day_zero=header.day_zero))
        stack.enter_context(self.stage.start_web(listener, roster_of(self.sandbox.url, office, others), log))

        self.members = [
            Member(self.stage, stack.enter_context(NetworkHttp(origin)), person, self.database) for person in people
        ]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(Member.connect, self.members))
        innocent = {
            (tenant_id, user_id)
            for tenant_id, tenant in header.tenants.items()
            for user_id in tenant.office_users[: max(1, len(tenant.office_users) // 2)]
        }
        self.victims = [member for member in self.members if member.key not in innocent]
        self.innocent_calendars = {
            member.wish.calendar_id: frozenset({member.key[0]}) for member in self.members if member.key in innocent
        }
        self._tokens = {
            calendar: self.sandbox.user_token(person.account.email)
            for person in people
            for calendar in person.calendars
        }

    @property
    def calendars(self) -> list[str]:
        """Every calendar there is, chosen or not."""
        return sorted(self._tokens)

    def read(self, calendar: str) -> list[dict[str, Any]]:
        """What a reader of the calendar sees."""
        return read_calendar(self.sandbox.calendar_url, self._tokens[calendar], calendar)
