"""What can be chosen at each step, and how often."""

from collections.abc import Callable

from hypothesis import strategies as st

from tests.model.daemons import DaemonUnderTest
from tests.model.expected import JOBS, Person
from tests.model.google import FAULTS, MEANWHILE, TIMELY
from tests.model.meanwhile import HAPPENINGS
from tests.model.users import NAMES, Users

KINDS = ("update", "update", "update", "past", "past", "cancel", "unscheduled", "invalid")
ASSIGNEES = (("ana",), ("bo",), ("ana", "bo", "cy"), ())
UNKNOWN = ("cut after", "503 after", "garbage", "late", "event refused")
"""Where most can go wrong."""

PARKS = ("read only", "event refused", "invalid")
"""After these a job may deserve a problem."""


def ends_grants(fates: list[tuple[str, int]]) -> bool:
    """Whether these may end the grant of whoever pushes."""
    return any(name in ("refused token", "scope missing", "expired token") for name, _ in fates)


DEEDS: dict[str, Callable[[Users, Person, int], object]] = {
    "connect again": lambda users, person, _: users.connect(person, 0),
    "connect anew": lambda users, person, _: users.connect(person, 0),
    "connect another account": lambda users, person, _: users.connect(person, 1),
    "choose": Users.choose,
    "choose another": Users.choose,
    "want all": lambda users, person, _: users.prefer(person, assigned_only=False),
    "want mine": lambda users, person, _: users.prefer(person, assigned_only=True),
    "pause": lambda users, person, _: users.prefer(person, paused=True),
    "resume again": lambda users, person, _: users.prefer(person, paused=False),
    "resume": lambda users, person, _: users.prefer(person, paused=False),
    "disconnect and keep": lambda users, person, _: users.disconnect(person, remove=False),
    "disconnect and remove": lambda users, person, _: users.disconnect(person, remove=True),
    "revoke": lambda users, person, _: users.revoke(person),
    "resync": lambda users, person, _: users.resync(person),
    "test": lambda users, person, _: users.test_push(person),
    "delete an event": lambda users, person, place: users.edit(person, place, "delete"),
    "change a title": lambda users, person, place: users.edit(person, place, "title"),
    "set a colour": lambda users, person, place: users.edit(person, place, "3"),
    "set another colour": lambda users, person, place: users.edit(person, place, "7"),
    "be forgotten": lambda users, person, _: users.forget(person),
    "calendar deleted": lambda users, person, _: users.delete_calendar(person),
    "may only read": lambda users, person, place: users.take_role(person, place, "reader"),
    "may not even read": lambda users, person, place: users.take_role(person, place, None),
}
"""What a user does, and what is done to him; the number says which calendar, where it matters."""

LEAVING = ("leaving/emptied", "leaving/filled", "leaving/done_disconnecting")
"""What a round of leaving reads before it acts."""

SECOND_THOUGHTS = (
    "connect again",
    "choose",
    "choose another",
    "disconnect and keep",
    "disconnect and remove",
    "be forgotten",
)
"""What may come between."""

job_keys = st.sampled_from(JOBS)
kinds = st.sampled_from(KINDS)
assignees = st.sampled_from(ASSIGNEES)
people = st.integers(0, len(NAMES) - 1)
daemons = st.integers(0, 1)
happenings = st.integers(0, len(HAPPENINGS) - 1)
fates = st.lists(
    st.tuples(st.sampled_from(["well", "well", *TIMELY * 2, *MEANWHILE * 5, *UNKNOWN * 2, *FAULTS]), happenings),
    min_size=1,
    max_size=4,
)
firsts = st.one_of(st.none(), st.sampled_from((4, 5, 6)), happenings)
"""What happens elsewhere when a push has just read what is due: best, that somebody wishes otherwise."""

WORK: dict[str, Callable[[DaemonUnderTest], object]] = {
    "relay": lambda daemon: daemon.engine.relay.relay_batch(),
    "lease": DaemonUnderTest.lease,
    "drain": DaemonUnderTest.relay_and_drain,
    "die": lambda daemon: daemon.held.clear(),
    "chores": DaemonUnderTest.chores,
    "leave": lambda daemon: daemon.leaving.work(),
}
"""What a daemon does without anything unusual; one that dies loses its leases only when they run out."""
