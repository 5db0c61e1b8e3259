"""What happens elsewhere while a daemon pushes a calendar."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.model.daemons import DaemonUnderTest
from tests.model.expected import Key, Person
from tests.model.producers import Producers
from tests.model.users import Users


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Everything but the push of this calendar.

    Attributes:
        other: the daemon that does not push it.
        latest: the job that is likely to be under way at this moment.
    """

    users: Users
    producers: Producers
    other: DaemonUnderTest
    latest: Key
    tenant: str
    calendar: str

    def happen(self, number: int) -> None:
        """To the calendar's job, or to somebody who has chosen it or is leaving it."""
        HAPPENINGS[number](self)

    @property
    def person(self) -> Person:
        """Somebody whose grant may be in use; if there is nobody, whoever is first."""
        here = [one for one in self.users.people if one.tenant == self.tenant and self.calendar in one.calendars]
        return next(iter(here), self.users.people[0])

    def change(self, kind: str) -> None:
        """The job that is under way is changed."""
        self.producers.write(self.latest, [(kind, ("ana",))])
        self.other.relay()

    def pause_or_resume(self) -> None:
        """Somebody pauses, or goes on."""
        self.users.prefer(self.person, paused=not self.person.paused)

    def filter_or_not(self) -> None:
        """Somebody wants only what is assigned to him, or everything."""
        self.users.prefer(self.person, assigned_only=not self.person.assigned_only)

    def leave(self) -> None:
        """The other daemon begins to empty what can be emptied, and ends what is done."""
        self.other.leaving.work()
        self.other.drain()

    def renew(self) -> None:
        """A grant dies, and there is a new one."""
        person = self.person
        self.users.revoke(person)
        self.users.connect_again(person)

    def overtake(self) -> None:
        """It takes so long that the other daemon takes the calendar over."""
        self.change("update")
        self.users.backstage.pass_time(31.0)
        self.other.chores()
        self.other.drain()


HAPPENINGS: tuple[Callable[[Elsewhere], object], ...] = (
    lambda elsewhere: elsewhere.change("cancel"),
    lambda elsewhere: elsewhere.change("update"),
    lambda elsewhere: elsewhere.change("update"),
    Elsewhere.pause_or_resume,
    Elsewhere.filter_or_not,
    lambda elsewhere: elsewhere.users.choose(elsewhere.person, 2),
    lambda elsewhere: elsewhere.users.disconnect(elsewhere.person, remove=True),
    lambda elsewhere: elsewhere.users.revoke(elsewhere.person),
    Elsewhere.leave,
    lambda elsewhere: elsewhere.users.connect_again(elsewhere.person),
    Elsewhere.renew,
    lambda elsewhere: elsewhere.users.forget(elsewhere.person),
    lambda elsewhere: elsewhere.users.join(elsewhere.tenant, elsewhere.calendar),
    Elsewhere.overtake,
    Elsewhere.overtake,
    Elsewhere.overtake,
)
