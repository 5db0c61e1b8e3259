"""The scene of the rehearsed upgrade: everything that is there but the daemons and web workers, which come and go."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from tests.faults.database import Database
from tests.faults.feed import Feed
from tests.faults.run import SHARED
from tests.faults.scene import CLOCK
from tests.faults.settled import LEFT, expected_calendars
from tests.faults.users import Member
from tests.upgrade.release import Release
from tests.upgrade.visitors import Answers, CountedHttp, Visitor
from web.api.paths import API
from web.demo.consent import NetworkHttp
from web.demo.embedded_postgres import EmbeddedPostgres
from web.demo.expectation import expected_states, shape_of
from web.demo.mishaps import Reader, read_calendar
from web.demo.people import newcomers, office_users
from web.demo.stage import Stage, create_roles
from web.demo.tether import TetheredProcess
from web.demo.traffic import SAMPLE, Traffic, TrafficRow, read_traffic, replay
from web.demo.verdict import compare
from web.sandbox.server import SandboxServer
from web.sandbox.specs import FaultKind, FaultSpec

SPEED = 40.0
"""Times real time, of the traffic."""

SETTLE_SECONDS = 180.0
"""How long everything may take to come to rest; what is in doubt rests a minute."""

READY_SECONDS = 60.0
"""How long a daemon may take to start."""

REFUSED_JOB = "job_google_refused"


class Scene:
    """All that, from the schema of the old release on."""

    def __init__(self, old: Release, new: Release, log: IO[str], stack: ExitStack) -> None:
        self.old, self.new, self._log, self._stack = old, new, log, stack
        self._traffic = read_traffic(SHARED if SHARED.exists() else SAMPLE)
        self._postgres = stack.enter_context(EmbeddedPostgres(settings={"max_connections": "200"}))
        self._sandbox = stack.enter_context(SandboxServer())
        self.database = Database(self._postgres, None)
        old.migrate(self._postgres.url)
        create_roles(self._postgres.url, old.root / "sql" / "roles.sql")
        self.database.execute(CLOCK.format(day_zero=self._traffic.header.day_zero))
        # The tables are as old as the clock says, or every grant would be older: as after a dump restored into them.
        self.database.execute("UPDATE calendar_sync.schema_migration SET applied_at = calendar_sync.now()")
        people = [*office_users(self._traffic.header), *newcomers(self._traffic.header)]
        for person in people:
            self._sandbox.add_account(person.account)
        self._listener = stack.enter_context(socket.socket())
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.stage = Stage(
            self._postgres.url,
            self._sandbox,
            {"PUSH_DEBOUNCE_SECONDS": "0.5"},
            public_base_url=origin,
            prepare=lambda *_: None,
        )
        self.answers = Answers()
        self.members: list[Member] = []
        self.visitors: list[Visitor] = []
        for place, person in enumerate(people):
            http = CountedHttp(stack.enter_context(NetworkHttp(origin)), self.answers)
            member = Member(self.stage, http, person, self.database)
            self.members.append(member)
            # Not the first of them: he has a problem that is to be there still at the end.
            if place % 2:
                caller = self.stage.caller(http, person.user)
                self.visitors.append(Visitor(member, caller, self.answers, random.Random(place)))  # noqa: S311
        self._tokens = {
            calendar: self._sandbox.user_token(person.account.email)
            for person in people
            for calendar in person.calendars
        }
        self.feed = Feed(self._traffic, self._postgres.url, speed=SPEED)
        self.reader = Reader(self.read, sorted(self._tokens), pause=0.5)

    def daemon(self, release: Release) -> TetheredProcess:
        """Start a daemon of that release, and wait until it is ready."""
        ready = self._ready()
        daemon = self._stack.enter_context(release.start_daemon(self.stage, self._log))
        if not self.until(lambda: self._ready() > ready, READY_SECONDS):
            raise RuntimeError(f"a daemon of the {release.name} release did not get ready")
        return daemon

    def _ready(self) -> int:
        return Path(self._log.name).read_text(encoding="utf-8", errors="replace").count('"daemon_ready"')

    def web(self, release: Release) -> TetheredProcess:
        """Start web workers of that release beside those there are."""
        return self._stack.enter_context(release.start_web(self.stage, self._listener, self._log))

    def read(self, calendar: str) -> list[dict[str, Any]]:
        """What a reader of the calendar sees."""
        return read_calendar(self._sandbox.calendar_url, self._tokens[calendar], calendar)

    def count(self, what: str) -> int:
        """How many there are."""
        return int(self.database.execute(f"SELECT count(*) FROM calendar_sync.{what}")[0][0])

    @contextmanager
    def traffic(self) -> Iterator[None]:
        """The jobs service, the users and a reader of all calendars at work."""
        self.reader.start()
        self.feed.start("upgrade")
        for visitor in self.visitors:
            visitor.start()
        try:
            yield
        finally:
            for visitor in self.visitors:
                visitor.stop()
            self.feed.stop()
            self.reader.stop()

    def refuse_a_job(self) -> None:
        """Google refuses a job in one calendar for good: a problem that waits for its user."""
        person = self.members[0].person
        refusal = FaultSpec(
            kind=FaultKind.REFUSE,
            method="POST",
            calendar=self.members[0].wish.calendar_id,
            status=400,
            reason="invalid",
        )
        self._sandbox.control("POST", "faults", refusal.model_dump(mode="json"))
        sample = next(
            row
            for row in self._traffic.rows
            if row.tenant_id == person.user.tenant_id and row.broken is None and shape_of(row, "") is not None
        )
        row = TrafficRow(0.0, person.user.tenant_id, REFUSED_JOB, "job.created", sample.payload)
        replay(Traffic(self._traffic.header, (row,)), self._postgres.url)
        self.feed.rows.append(row)
        if not self.until(lambda: self.count("pending_push WHERE problem IS NOT NULL") == 1, 30):
            raise RuntimeError("the job that Google refuses became no problem")
        self._sandbox.control("DELETE", "faults")

    def retry_the_job(self) -> int:
        """The user has it tried again; returns how many problems there were."""
        caller = self.members[0].caller
        problems = caller.ask("GET", f"{API}/problems")["problems"]
        for problem in problems:
            caller.call("POST", f"{API}/problems/{problem['id']}/retry", {})
        return len(problems)

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for it, or for the time to be over; whether it came."""
        ends = time.monotonic() + seconds
        while not (came := condition()) and time.monotonic() < ends:
            time.sleep(0.3)
        return came

    def settle(self) -> float:
        """Everybody has what he wishes, and nothing waits; how long that took."""
        began = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(Member.settle, self.members))
        looks: list[bool] = []

        def quiet() -> bool:
            looks.append(not any(self.database.execute(LEFT)[0]))
            return looks[-3:] == [True] * 3

        self.until(quiet, SETTLE_SECONDS)  # if not, it is found in the end
        return time.monotonic() - began

    def verdict(self) -> Sequence[str]:
        """What is wrong with the calendars."""
        rows = tuple(self.feed.rows)
        states = expected_states(
            Traffic(self._traffic.header, rows), job_url_template=self.stage.settings.job_url_template
        )
        verdict = compare(
            expected_calendars(rows, states, self.members), {name: self.read(name) for name in self._tokens}
        )
        return [f"{finding.fault.value}: {finding}" for finding in verdict.findings]
