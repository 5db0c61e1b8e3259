"""The state machine: everything that can happen, in any order, and what must be true after each step and once quiet."""

import itertools
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.integration.conftest import job
from tests.model.choices import DEEDS, PARKS, WORK, assignees, daemons, fates, job_keys, kinds, people
from tests.model.daemons import Backstage, DaemonUnderTest, producer_row
from tests.model.expected import JOBS, JobState, Key
from tests.model.google import Fate
from tests.model.rest import come_to_rest
from tests.model.users import NAMES, Users

Step = Callable[..., None]


def step(work: Step) -> Step:
    """One step of the story; afterwards Google's records are looked at. A failed one is the last."""

    @wraps(work)
    def stepped(self: "Story", **choices: Any) -> None:
        self.broken = True
        self.backstage.happened[
            " ".join([work.__name__, *(choices[name] for name in ("deed", "work") if name in choices)])
        ] += 1
        self.backstage.pass_time(0.001)
        work(self, **choices)
        self.look()
        self.broken = False

    return stepped


class Story(RuleBasedStateMachine):
    """One run over an empty database."""

    numbers = itertools.count()

    def __init__(self, backstage: Backstage, log: list[Any]) -> None:
        super().__init__()
        self.broken = False
        self.backstage = backstage
        self.log = log
        self.log.clear()
        backstage.reset()
        self.users = Users(backstage, next(self.numbers))
        self.expected = self.users.expected
        self.may_park = False
        self.versions = itertools.count(1)
        self.open: dict[Key, tuple[psycopg.Connection[Any], list[JobState | None]]] = {}
        self.silent: set[str] = set()
        self.latest: Key = JOBS[0]

    @initialize(places=st.tuples(*[st.integers(0, 2)] * len(NAMES)), jobs=st.integers(0, len(JOBS)))
    @step
    def connect_everybody(self, places: tuple[int, ...], jobs: int) -> None:
        for person, place in zip(self.users.people, places, strict=True):
            assert self.users.connect(person, 0)
            assert self.users.choose(person, place)
        for key in JOBS[:jobs]:
            self.write(key, [("update", ("ana", "cy"))])
        self.backstage.daemons[0].relay_and_drain()

    # What producers do

    @rule(
        key=job_keys,
        rows=st.lists(st.tuples(kinds, assignees), min_size=1, max_size=2),
        how=st.sampled_from(("commit", "commit", "commit", "roll back", "slowly")),
    )
    @step
    def write_rows(self, key: Key, rows: list[tuple[str, tuple[str, ...]]], how: str) -> None:
        """In one transaction; one that is open is ended first, after whatever came and went meanwhile."""
        if key in self.open:
            self.end_writing(key, commit=how == "commit")
        elif how == "slowly":
            connection = psycopg.connect(self.backstage.world.database_url)
            self.open[key] = connection, [self.insert(connection, key, *row) for row in rows]
        else:
            self.write(key, rows, commit=how == "commit")

    # What daemons do

    @rule(
        key=st.one_of(st.none(), job_keys),
        row=st.tuples(kinds, assignees),
        daemon=daemons,
        fates=fates,
        wait=st.sampled_from((0, 0, 6, 61)),
    )
    @step
    def write_and_push(
        self,
        *,
        key: Key | None,
        row: tuple[str, tuple[str, ...]],
        daemon: int,
        fates: list[tuple[str, int]],
        wait: int,
    ) -> None:
        """A job, without a key the latest one, goes out to every calendar, to the first as fate will have it."""
        self.let_pass(wait)
        self.latest = key or self.latest
        if self.latest not in self.open:
            self.write(self.latest, [row])
        self.backstage.daemons[daemon].relay()
        self.push_lane(self.backstage.daemons[daemon], fates)
        self.backstage.daemons[daemon].drain()

    @rule(daemon=daemons, fates=fates)
    @step
    def push(self, daemon: int, fates: list[tuple[str, int]]) -> None:
        self.push_lane(self.backstage.daemons[daemon], fates)

    @rule(daemon=daemons, work=st.sampled_from(sorted(WORK)))
    @step
    def work(self, daemon: int, work: str) -> None:
        WORK[work](self.backstage.daemons[daemon])

    # What users do

    @rule(person=people, deed=st.sampled_from(sorted(DEEDS)), place=st.integers(0, 2))
    @step
    def act(self, person: int, deed: str, place: int) -> None:
        DEEDS[deed](self.users, self.users.people[person], place)

    # What time does

    @rule(seconds=st.sampled_from((0.0, 1.0, 6.0, 20.0, 31.0, 59.0, 61.0, 400.0, 3700.0)))
    @step
    def wait(self, seconds: float) -> None:
        """Let time pass; with 0 seconds every request that is still under way arrives at once."""
        if seconds:
            self.let_pass(seconds)
        else:
            self.look()
            self.backstage.deliver_late()
            self.look(late=True)

    @rule(chance=st.integers(0, 3))
    def settle(self, chance: int) -> None:
        if chance == 0:
            self.rest(resume=False)

    def teardown(self) -> None:
        try:
            if not self.broken:
                self.rest(resume=True)
        finally:
            for connection, _ in self.open.values():
                connection.close()

    # How it is done

    def rest(self, *, resume: bool) -> None:
        """Let everything heal and come to an end, then compare."""
        self.broken = True
        for key in list(self.open):
            self.end_writing(key, commit=True)
        come_to_rest(self.users, resume=resume, may_park=self.may_park, look=self.look)
        self.broken = self.may_park = False

    def let_pass(self, seconds: float) -> None:
        """Requests that were given up arrive before it is too late for them."""
        if seconds:
            self.look()
            self.backstage.pass_time(seconds)
            self.look(late=True)

    def look(self, *, late: bool = False) -> None:
        """What has just been done must have been right; `late`: its requests were judged when they were sent."""
        self.users.permit()
        self.users.watch.writes(self.expected)
        self.users.notice_ends()
        found = list(self.users.watch.requests())
        states = self.users.states()
        silent = {
            person.account
            for person in self.users.people
            if person.account
            and (person.paused or states[person.name] in ("needs_reconnect", "not_connected", "choose_calendar"))
        }
        untouched = {person.account for person in self.users.people if not person.touched}
        for account, calendar, method in [] if late else found:
            permitted = self.users.permitted.get(account, set())
            assert calendar in permitted, f"{method} on {calendar} by {account}, which may use {permitted}"
            assert account not in silent & self.silent & untouched, f"{method} on {calendar} by the silent {account}"
        self.backstage.happened["requests"] += len(found)
        self.silent = {account for account in silent if account}
        self.users.permitted.clear()
        for person in self.users.people:
            person.touched = False
        errors = [entry for entry in self.log if entry["log_level"] == "error" and entry["event"] != "connection_rests"]
        assert not errors, f"the engine met an error: {errors}"
        self.log.clear()

    def end_writing(self, key: Key, *, commit: bool) -> None:
        connection, states = self.open.pop(key)
        (connection.commit if commit else connection.rollback)()
        connection.close()
        for state in states if commit else ():
            self.committed(key, state)

    def write(self, key: Key, rows: list[tuple[str, tuple[str, ...]]], *, commit: bool = True) -> None:
        with psycopg.connect(self.backstage.world.database_url) as connection:
            states = [self.insert(connection, key, kind, assigned) for kind, assigned in rows]
            if not commit:
                connection.rollback()
        for state in states if commit else ():
            self.committed(key, state)

    def insert(
        self, connection: psycopg.Connection[Any], key: Key, kind: str, assigned: tuple[str, ...]
    ) -> JobState | None:
        """Insert a row; what the job is then, None if the row breaks the contract."""
        version = next(self.versions)
        payload = job(f"{key[0]}/{key[1]}.v{version}", assigned_user_ids=list(assigned))
        if kind == "unscheduled":
            payload["legs"] = []
        if kind == "invalid":
            payload["legs"] = "none"
        event_type = "job.cancelled" if kind == "cancel" else "job.updated"
        producer_row(connection, self.users.tenants[key[0]], key[1], event_type, {} if kind == "cancel" else payload)
        return None if kind == "invalid" else JobState(version, kind == "update", frozenset(assigned))

    def committed(self, key: Key, state: JobState | None) -> None:
        if state is None:
            self.expected.rejected += 1
        else:
            self.expected.commit(key, state)

    def push_lane(self, daemon: DaemonUnderTest, fates: list[tuple[str, int]]) -> None:
        """Push the lane that is held or due while the calls meet their fates; enter what that excuses."""
        if not daemon.held:
            daemon.lease()
        if not daemon.held:
            return
        held = daemon.held.pop(0)
        self.excuse_for(self.tenant(held.lease.tenant_id), held.lease.calendar_id, {name for name, _ in fates})
        other = self.backstage.daemons[daemon is self.backstage.daemons[0]]
        meanwhile = partial(self.meanwhile, other, self.tenant(held.lease.tenant_id), held.lease.calendar_id)
        met = [Fate(name, number not in (4, 5), partial(meanwhile, number)) for name, number in fates]
        first = met[0].meanwhile if met and met[0].name == "first" else lambda: None
        daemon.push(held, [fate for fate in met if fate.name != "first"], first)

    def tenant(self, tenant_id: str) -> str:
        """The model's name of a tenant."""
        return next(name for name, key in self.users.tenants.items() if key == tenant_id)

    def excuse_for(self, tenant: str, calendar: str, names: set[str]) -> None:
        self.may_park = self.may_park or not names.isdisjoint(PARKS)
        if "event refused" in names:
            self.expected.replaced.add((tenant, calendar))
            self.expected.drop_colours()
        if "read only" in names:
            self.expected.excused.add((tenant, calendar))
        if not names.isdisjoint(("refused token", "scope missing", "expired token")):
            for person in self.users.people:
                if person.tenant == tenant and person.disconnecting:
                    self.expected.excuse(person)

    def meanwhile(self, other: DaemonUnderTest, tenant: str, calendar: str, number: int) -> None:
        """What happens elsewhere during a push of this calendar, to its job or to somebody who has chosen it."""
        person = next(iter(self.expected.on(tenant, calendar)), self.users.people[0])
        match number:
            case 0:
                self.change_latest("cancel", other)
            case 1 | 2:
                self.change_latest("update", other)
            case 3:
                self.users.prefer(person, paused=not person.paused)
            case 4:
                self.users.prefer(person, assigned_only=not person.assigned_only)
            case 5:
                self.users.choose(person, 2)
            case 6:
                self.users.disconnect(person, remove=True)
            case 7:
                self.users.revoke(person)
            case 8:
                other.leaving.work()
                other.drain()
            case _:
                self.change_latest("update", other)
                self.backstage.pass_time(31.0)
                other.chores()
                other.drain()

    def change_latest(self, kind: str, other: DaemonUnderTest) -> None:
        """The job that is likely to be under way at this moment is changed."""
        if self.latest not in self.open:
            self.write(self.latest, [(kind, ("ana",))])
        other.relay()
