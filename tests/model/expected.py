"""What must stand where, by the model's own book-keeping: who wants what, and the newest committed state of each job.

Nothing here asks the engine or its tables; titles carry the job and the version, so that every event can be told apart.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

TENANTS = ("north", "south")
JOBS = (("north", "job_1"), ("north", "job_2"), ("north", "job_3"), ("south", "job_1"))
"""The same job id in two tenants, because nothing but the tenant may tell them apart."""

Key = tuple[str, str]
"""A tenant with a job, or with a calendar."""


@dataclass(slots=True)
class JobState:
    """The newest committed row of a job: its version, and whether it asks for an event, for whom and of the past."""

    version: int
    shown: bool
    assigned: frozenset[str]
    past: bool = False


@dataclass(slots=True, eq=False)
class Person:
    """An office user as the web app's answers leave him.

    Attributes:
        chosen: the calendar, also while it is being emptied for a disconnect.
        ever: every calendar that he has chosen since he was forgotten.
        leaving: calendars that may still be emptied.
        touched: something about him was changed since the last look at Google's records.
        revoked: he has ended the grant that he last gave, at Google.
        refused: Google may have refused that grant in a push.
    """

    tenant: str
    name: str
    account: str | None = None
    chosen: str | None = None
    leaving: set[str] = field(default_factory=set)
    ever: set[str] = field(default_factory=set)
    assigned_only: bool = False
    paused: bool = False
    disconnecting: bool = False
    touched: bool = False
    revoked: bool = False
    refused: bool = False

    @property
    def spoilt(self) -> bool:
        """Whether the grant may be found dead."""
        return self.revoked or self.refused

    @property
    def calendars(self) -> set[str]:
        """Where his grant may be used."""
        return self.leaving | ({self.chosen} if self.chosen else set())

    def forget(self) -> None:
        """His connection is over."""
        self.account, self.chosen, self.disconnecting, self.paused = None, None, False, False
        self.leaving.clear()


class Expected:
    """The whole of it.

    Attributes:
        committed: the versions that were committed; no other may ever show.
        tampered: events that their owner edited or deleted, until the job's next row or a resync.
        colours: what the owner set, as long as the event has been wanted without a break.
        excused: calendars that may keep events of ours although nobody is there any more, because a grant or the
            calendar was lost, or the user wanted them kept.
        strays: events that stay although nothing is on record of them any more, because their job is long past or their
            user was forgotten: what nobody wants there may show whatever it showed.
        replaced: calendars in which Google refused an event since the last rest, so that another may take its place.
        renamed: calendars in which that ever happened: only the tables know the other's id, so with nothing on record
            the first one would come back beside it.
        refused: calendars that somebody may have been kept from writing to since the last rest.
        rejected: how many broken rows were committed.
    """

    def __init__(self, people: list[Person]) -> None:
        self.people = people
        self.jobs: dict[Key, JobState] = {}
        self.committed: dict[Key, set[int]] = {}
        self.tampered: set[tuple[str, str, str]] = set()
        self.colours: dict[tuple[str, str, str], str] = {}
        self.excused: set[Key] = set()
        self.strays: set[tuple[str, str, str]] = set()
        self.replaced: set[Key] = set()
        self.renamed: set[Key] = set()
        self.refused: set[Key] = set()
        self.rejected = 0

    def on(self, tenant: str, calendar: str) -> list[Person]:
        """Who of the tenant has chosen the calendar."""
        return [
            person
            for person in self.people
            if person.tenant == tenant and person.chosen == calendar and not person.disconnecting
        ]

    def served(self, tenant: str, calendar: str) -> bool:
        """Whether somebody keeps the calendar up to date."""
        return any(not person.paused for person in self.on(tenant, calendar))

    def desired(self, tenant: str, calendar: str, *, past: bool = False) -> dict[str, int]:
        """The version of each job that must show; `past`: that may, because no calendar is filled with what is over."""
        here = self.on(tenant, calendar)
        return {
            job_id: job.version
            for (of, job_id), job in self.jobs.items()
            if of == tenant
            and job.shown
            and job.past is past
            and any(not person.assigned_only or person.name in job.assigned for person in here)
        }

    def commit(self, job: Key, state: JobState) -> None:
        """A row of the job was committed; it changes nothing if one that was written later was committed before."""
        self.committed.setdefault(job, set()).add(state.version)
        if job in self.jobs and state.version < self.jobs[job].version:
            return
        self.jobs[job] = state
        self.tampered = {pair for pair in self.tampered if (pair[0], pair[2]) != job}
        self.drop_colours()

    def drop_colours(self) -> None:
        """What is not wanted any more may go, and its colour with it; called after every change."""
        for tenant, calendar, job_id in list(self.colours):
            if (tenant, calendar) in self.replaced or job_id not in self.desired(tenant, calendar):
                del self.colours[tenant, calendar, job_id]

    def drop(self, tenant: str, calendar: str) -> None:
        """The calendar is gone in Google, and whoever writes there next is told so."""
        self.excused.add((tenant, calendar))
        self.refused.add((tenant, calendar))
        self.tampered = {pair for pair in self.tampered if pair[1] != calendar}
        self.colours = {pair: colour for pair, colour in self.colours.items() if pair[1] != calendar}

    def retire(self, live: Iterable[tuple[str, str, str]]) -> None:
        """Jobs of the past may have left the tables; `live`: what stands then, by tenant, calendar and job."""
        for tenant, calendar, job_id in live:
            job = self.jobs.get((tenant, job_id))
            if job and (job.past or (not job.shown and not self.on(tenant, calendar))):
                self.strays.add((tenant, calendar, job_id))

    def colleagues_calendars(self, person: Person) -> set[str]:
        """What others of the tenant have ever chosen."""
        others = [other for other in self.people if other.tenant == person.tenant and other is not person]
        return {calendar for other in others for calendar in other.ever}

    def forget(self, person: Person) -> None:
        """Nothing is on record of him any more, nor of his calendars unless a colleague has ever chosen them."""
        kept = self.colleagues_calendars(person)
        self.strays |= {
            (tenant, calendar, job_id)
            for tenant, job_id in JOBS
            if tenant == person.tenant
            for calendar in person.ever - kept
        }
        person.forget()
        person.ever.clear()
        person.assigned_only = person.revoked = person.refused = False

    def excuse(self, person: Person, *more: str) -> None:
        """What he has put into his calendars may stay."""
        self.excused |= {(person.tenant, calendar) for calendar in person.calendars | set(more)}
