"""The state machine: everything that can happen, in any order, and what must be true after each step and once quiet."""

import itertools
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.model.choices import (
    DEEDS,
    LEAVING,
    PARKS,
    SECOND_THOUGHTS,
    WORK,
    assignees,
    daemons,
    ends_grants,
    fates,
    firsts,
    job_keys,
    kinds,
    people,
)
from tests.model.daemons import Backstage, DaemonUnderTest
from tests.model.expected import JOBS, Key
from tests.model.google import Fate
from tests.model.meanwhile import Elsewhere
from tests.model.producers import Producers, Row
from tests.model.rest import come_to_rest
from tests.model.users import NAMES, Users

EXPECTED_ERRORS = ("operators_matter", "audit_found_differences")
"""In the log: our own misconfiguration is for the operator; what the audit may find is judged where it is called."""

DAY = 86_401.0
LATEST_RETIREMENT = 20 * DAY
"""The jobs that are upcoming when a story begins have to be so at its end."""

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
        self.producers = Producers(backstage, self.expected, self.users.tenants)
        self.silent: set[str] = set()
        self.latest: Key = JOBS[0]

    @initialize(
        places=st.tuples(*[st.integers(0, 2)] * len(NAMES)), jobs=st.integers(0, len(JOBS)), choosy=st.sets(people)
    )
    @step
    def connect_everybody(self, places: tuple[int, ...], jobs: int, choosy: set[int]) -> None:
        for number, (person, place) in enumerate(zip(self.users.people, places, strict=True)):
            assert self.users.connect(person, 0)
            assert self.users.choose(person, place)
            if number in choosy:
                self.users.prefer(person, assigned_only=True)
        for key in JOBS[:jobs]:
            self.producers.write(key, [("update", ("ana", "cy"))])
        self.backstage.daemons[0].relay_and_drain()

    # What producers do

    @rule(
        key=job_keys,
        rows=st.lists(st.tuples(kinds, assignees), min_size=1, max_size=2),
        how=st.sampled_from(("commit", "commit", "commit", "roll back", "slowly")),
    )
    @step
    def write_rows(self, key: Key, rows: list[Row], how: str) -> None:
        """In one transaction; a slow one ends when the next would begin, maybe after others that began after it."""
        if key in self.producers.open and how in ("slowly", "roll back"):
            self.producers.end(key, commit=how == "slowly")
        elif how == "slowly":
            self.producers.begin(key, rows)
        else:
            self.producers.write(key, rows, commit=how == "commit")

    # What daemons do

    @rule(
        key=st.one_of(st.none(), job_keys),
        row=st.tuples(kinds, assignees),
        daemon=daemons,
        fates=fates,
        first=firsts,
        wait=st.sampled_from((0, 0, 6, 61)),
    )
    @step
    def write_and_push(
        self,
        *,
        key: Key | None,
        row: Row,
        daemon: int,
        fates: list[tuple[str, int]],
        first: int | None,
        wait: int,
    ) -> None:
        """A job, without a key the latest one, goes out to every calendar, to the first as fate will have it."""
        self.let_pass(wait)
        self.latest = key or self.latest
        self.producers.write(self.latest, [row])
        self.backstage.daemons[daemon].relay()
        self.push_lane(self.backstage.daemons[daemon], fates, first)
        self.backstage.daemons[daemon].drain()

    @rule(daemon=daemons, fates=fates, first=firsts)
    @step
    def push(self, daemon: int, fates: list[tuple[str, int]], first: int | None) -> None:
        self.push_lane(self.backstage.daemons[daemon], fates, first)

    @rule(daemon=daemons, work=st.sampled_from(sorted(WORK)))
    @step
    def work(self, daemon: int, work: str) -> None:
        WORK[work](self.backstage.daemons[daemon])

    @rule(
        daemon=daemons,
        at=st.sampled_from(LEAVING),
        person=people,
        first=st.sampled_from(("choose", "disconnect and remove")),
        deed=st.sampled_from(SECOND_THOUGHTS),
        place=st.integers(0, 2),
    )
    @step
    def leave_and_think_again(self, *, daemon: int, at: str, person: int, first: str, deed: str, place: int) -> None:
        """Somebody leaves a calendar, and changes his mind when a round of leaving has read what it is going to do."""
        who, pushing = self.users.people[person], self.backstage.daemons[daemon]
        DEEDS[first](self.users, who, place)
        for _ in range(2):  # begun, then done
            pushing.relay_and_drain()
            pushing.leave(at, partial(DEEDS[deed], self.users, who, place + 1))
            self.look()

    # What users do

    @rule(person=people, deed=st.sampled_from(sorted(DEEDS)), place=st.integers(0, 2))
    @step
    def act(self, person: int, deed: str, place: int) -> None:
        DEEDS[deed](self.users, self.users.people[person], place)

    # What time does

    @rule(seconds=st.sampled_from((0.0, 1.0, 6.0, 20.0, 31.0, 59.0, 61.0, 400.0, 3700.0, DAY)))
    @step
    def wait(self, seconds: float) -> None:
        """Let time pass; with 0 seconds every request that is still under way arrives at once."""
        if seconds == DAY:
            self.retire()
        elif seconds:
            self.let_pass(seconds)
        elif self.backstage.is_late:
            self.backstage.deliver_late()
            self.look(late=True)

    @rule(chance=st.integers(0, 9))
    def settle(self, chance: int) -> None:
        """Seldom, because it ends all that is under way, and takes as long as many steps."""
        if chance == 7:
            self.rest(resume=False)

    def teardown(self) -> None:
        try:
            if not self.broken:
                self.rest(resume=True)
        finally:
            self.producers.close()

    # How it is done

    def rest(self, *, resume: bool) -> None:
        """Let everything heal and come to an end, then compare."""
        self.broken = True
        for key in list(self.producers.open):
            self.producers.end(key, commit=True)
        come_to_rest(self.users, resume=resume, may_park=self.may_park, look=self.look)
        self.broken = self.may_park = False

    def let_pass(self, seconds: float) -> None:
        """Requests that were given up arrive before it is too late for them."""
        if not seconds:
            return
        late = self.backstage.is_late
        self.backstage.pass_time(seconds)
        if late:
            self.look(late=True)

    def retire(self) -> None:
        """After a day the jobs of the past leave the tables, unless a row that is older may still be committed."""
        if self.producers.open or self.backstage.clock > LATEST_RETIREMENT:
            return
        daemon = self.backstage.daemons[0]
        daemon.relay()
        self.let_pass(DAY)
        self.expected.retire((event.tenant, where, event.job_id) for (where, _), event in self.users.watch.live.items())
        daemon.forget_past()

    def look(self, *, late: bool = False) -> None:
        """What has just been done must have been right; `late`: its requests were judged when they were sent."""
        self.users.permit()
        found = self.users.watch.follow(self.expected)
        states = self.users.states()
        self.users.notice_ends(states)
        silent = {
            person.account
            for person in self.users.people
            if person.account
            and (person.paused or states[person.name] in ("needs_reconnect", "not_connected", "choose_calendar"))
        }
        untouched = {person.account for person in self.users.people if not person.touched}
        for person in self.users.people:
            assert person.spoilt or states[person.name] != "needs_reconnect", f"{person.name} was parted from his grant"
            lost = states[person.name] == "calendar_lost"
            told = (person.tenant, person.chosen) in self.expected.refused or person.chosen in self.users.deleted
            assert not lost or told, f"{person.name} lost a calendar"
        for account, calendar, method in [] if late else found:
            permitted = self.users.permitted.get(account, set())
            assert calendar in permitted, f"{method} on {calendar} by {account}, which may use {permitted}"
            assert account not in silent & self.silent & untouched, f"{method} on {calendar} by the silent {account}"
        self.backstage.happened["requests"] += len(found)
        self.silent = {account for account in silent if account}
        self.users.permitted.clear()
        for person in self.users.people:
            person.touched = False
        errors = [
            entry for entry in self.log if entry["log_level"] == "error" and entry["event"] not in EXPECTED_ERRORS
        ]
        assert not errors, f"the engine met an error: {errors}"
        self.log.clear()

    def push_lane(self, daemon: DaemonUnderTest, fates: list[tuple[str, int]], first: int | None) -> None:
        """Push the lane that is held or due while the calls meet their fates; enter what that excuses."""
        if not daemon.held:
            daemon.lease()
        if not daemon.held:
            return
        held = daemon.held.pop(0)
        tenant, calendar = self.tenant(held.lease.tenant_id), held.lease.calendar_id
        self.excuse_for(tenant, calendar, fates)
        other = self.backstage.daemons[daemon is self.backstage.daemons[0]]
        meanwhile = Elsewhere(self.users, self.producers, other, self.latest, tenant, calendar).happen
        met = [Fate(name, number not in (4, 5), partial(meanwhile, number)) for name, number in fates]
        daemon.push(held, met, (lambda: None) if first is None else partial(meanwhile, first))
        states = self.users.states()
        for person in self.users.people:
            person.refused = person.refused and states[person.name] == "needs_reconnect"

    def tenant(self, tenant_id: str) -> str:
        """The model's name of a tenant."""
        return next(name for name, key in self.users.tenants.items() if key == tenant_id)

    def excuse_for(self, tenant: str, calendar: str, fates: list[tuple[str, int]]) -> None:
        names = {name for name, _ in fates}
        self.may_park = self.may_park or not names.isdisjoint(PARKS)
        if "event refused" in names:
            self.expected.replaced.add((tenant, calendar))
            self.expected.renamed.add((tenant, calendar))
            self.expected.drop_colours()
        if "read only" in names:
            self.expected.excused.add((tenant, calendar))
            self.expected.refused.add((tenant, calendar))
        if ends_grants(fates):
            for person in self.users.people:
                if person.tenant == tenant and calendar in person.calendars:
                    person.refused = True
                    if person.disconnecting:
                        self.expected.excuse(person)
