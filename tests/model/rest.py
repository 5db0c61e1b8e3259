"""The end of a story, or a rest in it: everything heals, time passes until nothing is left to do, all is compared."""

from typing import Any, Protocol

from tests.model.expected import TENANTS
from tests.model.users import Users

ROUNDS = 60
"""More than anything takes that heals at all."""


class Look(Protocol):
    """Judges what was done at Google since the last time."""

    def __call__(self, *, late: bool = False) -> None: ...


def come_to_rest(users: Users, *, resume: bool, may_park: bool, look: Look) -> None:
    """Heal, let time pass until nothing is left to do, compare.

    Args:
        resume: those who paused go on; else their calendars must stay as they are.
        may_park: a job may be parked with a problem, and its user then has it tried again.
    """
    backstage = users.backstage
    look()
    if backstage.is_late:
        backstage.deliver_late()
        look(late=True)
    backstage.world.heal()
    users.give_roles_back()
    for daemon in backstage.daemons:
        daemon.held.clear()
    if resume:
        for person in users.people:
            if person.paused:
                users.prefer(person, paused=False)
    for number in range(ROUNDS):
        daemon = backstage.daemons[number % 2]
        _help(users, may_park=may_park)
        daemon.relay()
        daemon.chores()
        daemon.leaving.work()
        daemon.drain()
        look()
        if not backstage.waits() and not _needy(users) and not users.bereft():
            break
        backstage.pass_time(max(1.0, backstage.seconds_until_due() or 1.0) if number else 31.0)
    else:
        raise AssertionError(f"it never came to rest: {backstage.waits()}, {users.states()}")
    _compare(users)


def _needy(users: Users) -> list[str]:
    """Whose connection only the user himself can mend."""
    return [name for name, state in users.states().items() if state in ("needs_reconnect", "calendar_lost")]


def _help(users: Users, *, may_park: bool) -> None:
    """Users do what the settings page asks of them."""
    states = users.states()
    for person in users.people:
        if person.account is None or person.disconnecting:
            continue
        if states[person.name] == "needs_reconnect":
            assert users.connect_again(person), "the reconnect failed"
        if users.states()[person.name] == "calendar_lost" and person.chosen not in users.deleted:
            assert person.chosen is not None
            # Refused if the grant is dead besides; then the next round reconnects.
            users.choose(person, users.calendars(person.account).index(person.chosen))
    for person in users.bereft():
        users.choose(person, 0)  # his primary calendar
    if may_park:
        for person in users.people:
            users.retry_problems(person)
    else:
        parked = _rows(users, "SELECT job_id, problem FROM calendar_sync.pending_push WHERE problem IS NOT NULL")
        assert not parked, f"parked without a reason: {parked}"


def _rows(users: Users, query: str) -> list[tuple[Any, ...]]:
    return users.backstage.execute(query)


def _compare(users: Users) -> None:
    """Every calendar shows what it must."""
    calendars = {where for where, _ in users.watch.live} | {
        calendar for person in users.people for calendar in person.calendars
    }
    for tenant in TENANTS:
        for calendar in sorted(calendars):
            _compare_calendar(users, tenant, calendar)
    for person in users.people:
        if not person.paused:
            person.leaving.clear()
    rejected = _rows(users, "SELECT count(*) FROM calendar_sync.rejected_event")[0][0]
    assert rejected == users.expected.rejected, f"{rejected} rows rejected instead of {users.expected.rejected}"
    users.expected.replaced.clear()
    users.expected.refused.clear()
    different = users.backstage.daemons[0].audit()
    assert not different, f"the audit found a difference: {different}"


def _compare_calendar(users: Users, tenant: str, calendar: str) -> None:
    expected, shown = users.expected, users.watch.on(tenant, calendar)
    strays = {job_id for of, where, job_id in expected.strays if (of, where) == (tenant, calendar)}
    if not expected.served(tenant, calendar):
        if not expected.on(tenant, calendar) and (tenant, calendar) not in expected.excused:
            left = [event.title for event in shown.values() if event.job_id not in strays]
            leaving = [person for person in users.people if person.tenant == tenant and calendar in person.leaving]
            assert not left or any(person.paused for person in leaving), f"left behind in {calendar}: {left}"
        return
    desired = expected.desired(tenant, calendar)
    tampered = {job_id for of, where, job_id in expected.tampered if (of, where) == (tenant, calendar)}
    titles = {job_id: event.title.partition(" ")[0] for job_id, event in shown.items()}
    wanted = {job_id: f"{tenant}/{job_id}.v{version}" for job_id, version in desired.items()}
    past = expected.desired(tenant, calendar, past=True)
    wanted |= {job_id: f"{tenant}/{job_id}.v{version}" for job_id, version in past.items() if job_id in shown}
    for job_id in tampered & wanted.keys() | strays - desired.keys():
        titles.pop(job_id, None)
        wanted.pop(job_id, None)
    assert titles == wanted, f"{calendar} of {tenant} shows {titles} instead of {wanted}"
    for (of, where, job_id), colour in expected.colours.items():
        if (of, where) == (tenant, calendar) and job_id in shown:
            assert shown[job_id].colour == colour, f"the colour of {job_id} in {calendar} is gone"
    expected.excused.discard((tenant, calendar))
    # What was written since is on record again.
    expected.strays -= {(tenant, calendar, job_id) for job_id in strays if job_id in desired or job_id not in shown}
