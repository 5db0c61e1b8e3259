"""What users do in the web app and at Google, carried out and entered into the model's books."""

import json
from typing import Any

from outbox.verbs.forgetting import forget
from tests.integration.conftest import World
from tests.model.daemons import Backstage
from tests.model.expected import TENANTS, Expected, Person
from tests.model.watch import Watch
from web.api.paths import API
from web.demo.consent import Reply, give_consent
from web.sandbox.specs import AccountSpec, CalendarSpec

NAMES = (("north", "ana"), ("north", "bo"), ("south", "cy"))


class Users:
    """The office users of two tenants, their accounts and calendars, of which one is everybody's."""

    def __init__(self, backstage: Backstage, story: int) -> None:
        self.world: World = backstage.world
        self.backstage = backstage
        self.story = story
        self.tenants = {name: f"model-{story}-{name}" for name in TENANTS}
        self.people = [Person(tenant, name) for tenant, name in NAMES]
        self.expected = Expected(self.people)
        self.watch = Watch(self.world.google, self.tenants)
        self.team = f"team-{story}@group.calendar.google.com"
        self.keeper = f"keeper-{story}@example.com"
        self.lost_roles: set[tuple[str, str]] = set()
        self.deleted: set[str] = set()
        """Calendars that their owner deleted in Google."""
        self.permitted: dict[str, set[str]] = {}
        """By account, the calendars on which it may have been used since the last look."""
        self._accounts: set[str] = set()
        self._add_account(self.keeper, self.team)

    def account(self, person: Person, number: int) -> str:
        """One of the person's accounts, with a calendar of its own besides the primary one, and the team's."""
        email = f"{person.name}-{number}-{self.story}@example.com"
        if email not in self._accounts:
            self._add_account(self.keeper, f"work-{email}")
            self._add_account(email, f"work-{email}", self.team)
        return email

    def calendars(self, account: str) -> list[str]:
        """What the account can choose from."""
        return [account, f"work-{account}", self.team]

    def owner(self, calendar: str) -> str:
        """An account that may always edit the calendar."""
        return self.keeper if calendar == self.team or calendar.startswith("work-") else calendar

    def connect(self, person: Person, number: int) -> bool:
        """Go through consent, with the account that he has or with another."""
        email = self.account(person, number)
        before = person.account
        if "connected=1" not in give_consent(self._caller(person), email):
            return False
        if before != email:
            self.expected.excuse(person)
            person.chosen = None
            person.leaving.clear()
        elif person.disconnecting:
            person.leaving.discard(person.chosen or "")
        person.account, person.disconnecting, person.revoked, person.refused = email, False, False, False
        self._changed(person)
        return True

    def connect_again(self, person: Person) -> bool:
        """With the account that he has."""
        return self.connect(person, int(person.account.split("-")[1]) if person.account else 0)

    def choose(self, person: Person, place: int) -> bool:
        """Choose a calendar of the account."""
        if person.account is None:
            return False
        calendar = self.calendars(person.account)[place % 3]
        if self._call(person, "PATCH", "", {"calendar_id": calendar}).status != 200:
            return False
        former, person.chosen = person.chosen, calendar
        person.ever.add(calendar)
        person.leaving.discard(calendar)
        if former not in (None, calendar):
            person.leaving.add(str(former))
        self._changed(person)
        return True

    def prefer(self, person: Person, *, assigned_only: bool | None = None, paused: bool | None = None) -> None:
        """Set the filter, pause or resume."""
        change: dict[str, Any] = {}
        if assigned_only is not None:
            change["job_filter"] = "assigned" if assigned_only else "all"
        if paused is not None:
            change["paused"] = paused
        if self._call(person, "PATCH", "", change).status != 200:
            return
        person.assigned_only = person.assigned_only if assigned_only is None else assigned_only
        person.paused = person.paused if paused is None else paused
        self._changed(person)

    def disconnect(self, person: Person, *, remove: bool) -> None:
        """Leave for good."""
        reply = self._call(person, "POST", "/disconnect", {"remove_events": remove})
        if reply.status != 200:
            return
        if json.loads(reply.body)["state"] == "disconnecting":
            person.leaving |= person.calendars
            person.disconnecting, person.paused = True, False
            if person.spoilt:  # nothing may be left to remove the events with
                self.expected.excuse(person)
        else:
            self.expected.excuse(person)
            person.forget()
        self._changed(person)

    def join(self, tenant: str, calendar: str) -> bool:
        """Somebody of the tenant who is not there yet connects and chooses the calendar, if it is in his list."""
        for person in self.people:
            if person.tenant == tenant and person.chosen != calendar and self.connect_again(person):
                places = self.calendars(str(person.account))
                return calendar in places and self.choose(person, places.index(calendar))
        return False

    def forget(self, person: Person) -> None:
        """An operator has everything about him erased; what stands in his calendars stays."""
        if any((person.tenant, calendar) in self.expected.renamed for calendar in person.ever):
            return
        self.permit()
        self.expected.excuse(person, *person.ever)
        daemon, tenant_id = self.backstage.daemons[0], self.tenants[person.tenant]
        colleagues = sorted(self.expected.colleagues_calendars(person))
        before = self.backstage.records(tenant_id, colleagues)
        forget(daemon.engine.pool, daemon.grants, tenant_id, person.name)
        lost = before - self.backstage.records(tenant_id, colleagues)
        assert not lost, f"colleagues of {person.name} lost {lost}"
        self.backstage.forgotten += 1
        left = self.backstage.rows_about(tenant_id, person.name)
        assert not left, f"something about {person.name} is left in {left}"
        self.expected.forget(person)
        self._changed(person)

    def resync(self, person: Person) -> None:
        """Have everything put right."""
        if self._call(person, "POST", "/resync").status == 202:
            self.expected.tampered = {
                pair for pair in self.expected.tampered if pair[:2] != (person.tenant, person.chosen)
            }

    def test_push(self, person: Person) -> None:
        """Send a test event the whole way."""
        self._call(person, "POST", "/test-push")

    def retry_problems(self, person: Person) -> None:
        """Press every retry button."""
        for problem in json.loads(self._call(person, "GET", "/problems").body)["problems"]:
            self._call(person, "POST", f"/problems/{problem['id']}/retry")

    def revoke(self, person: Person) -> None:
        """Take our access away at Google."""
        if person.account is not None:
            self.world.google.control("POST", "revoke", {"account": person.account})
            person.revoked = True
            if person.disconnecting:
                self.expected.excuse(person)

    def edit(self, person: Person, number: int, kind: str) -> None:
        """Edit or delete an event of ours in the calendar that the person has chosen, in Google."""
        mine = sorted((where, event.tenant, event.job_id) for where, event in self._live() if where == person.chosen)
        if not mine:
            return
        calendar, tenant, job_id = mine[number % len(mine)]
        event_id = next(
            event_id
            for (where, event_id), event in self.watch.live.items()
            if (where, event.tenant, event.job_id) == (calendar, tenant, job_id)
        )
        owner, pair = self.owner(calendar), (tenant, calendar, job_id)
        self.watch.edited = True
        event = {"account": owner, "calendar": calendar, "event": event_id}
        if kind == "delete":
            self.world.google.control("POST", "user-delete", event)
            self.expected.tampered.add(pair)
            self.expected.colours.pop(pair, None)
        elif kind == "title":
            self.world.google.control("POST", "user-edit", {**event, "patch": {"summary": "Mine now"}})
            self.expected.tampered.add(pair)
        else:
            self.world.google.control("POST", "user-edit", {**event, "patch": {"colorId": kind}})
            self.expected.colours[pair] = kind
            self.expected.drop_colours()

    def take_role(self, person: Person, place: int, role: str | None) -> None:
        """The owner of a shared calendar lets a person only read it, or not even that."""
        if person.account is None:
            return
        calendar = self.calendars(person.account)[1 + place % 2]
        if calendar in self.deleted:
            return
        self._share(calendar, person.account, role)
        self.lost_roles.add((person.account, calendar))
        self.expected.excused.add((person.tenant, calendar))
        self.expected.refused.add((person.tenant, calendar))

    def delete_calendar(self, person: Person) -> None:
        """The owner of a shared calendar deletes it in Google, with everything on it."""
        calendar = f"work-{person.account}"
        if person.account is None or calendar in self.deleted:
            return
        self.world.google.control("POST", f"calendars/{calendar}/delete")
        self.deleted.add(calendar)
        self.watch.drop(calendar)
        self.expected.drop(person.tenant, calendar)

    def bereft(self) -> list[Person]:
        """Whoever wants jobs in a calendar that was deleted."""
        return [
            person
            for person in self.people
            if person.chosen in self.deleted and not person.paused and not person.disconnecting
        ]

    def give_roles_back(self) -> None:
        """The owners think better of it."""
        for account, calendar in self.lost_roles:
            if calendar in self.deleted:
                continue
            self._share(calendar, account, "owner")
        self.lost_roles.clear()

    def notice_ends(self, states: dict[str, str]) -> None:
        """The daemon has carried a disconnect to its end."""
        for person in self.people:
            if person.disconnecting and states[person.name] == "not_connected":
                person.forget()
                person.touched = True

    def states(self) -> dict[str, str]:
        """Each person's state on record; names are unique."""
        found = self.backstage.states()
        return {person.name: found.get((self.tenants[person.tenant], person.name), "") for person in self.people}

    def permit(self) -> None:
        """Whatever is permitted now was permitted since the last look."""
        for person in self.people:
            if person.account is not None:
                self.permitted.setdefault(person.account, set()).update(person.calendars)

    def _live(self) -> list[tuple[str, Any]]:
        return [(where, event) for (where, _), event in self.watch.live.items() if event.job_id.startswith("job_")]

    def _changed(self, person: Person) -> None:
        person.touched = True
        self.permit()
        self.expected.drop_colours()

    def _caller(self, person: Person) -> Any:
        self.permit()  # what was, before it changes
        self.backstage.execute("DELETE FROM calendar_sync.rate_limit")
        return self.world.caller(person.name, tenant=self.tenants[person.tenant])

    def _call(self, person: Person, method: str, path: str, body: object = None) -> Reply:
        reply: Reply = self._caller(person).call(method, f"{API}{path}", body)
        assert reply.status < 500 or reply.status == 503, f"{method} {path} answered {reply.status}"
        return reply

    def _add_account(self, email: str, *calendars: str) -> None:
        specs = tuple(CalendarSpec(id=calendar, summary=calendar) for calendar in calendars)
        self.world.google.add_account(AccountSpec(email=email, calendars=specs))
        self._accounts.add(email)

    def _share(self, calendar: str, account: str, role: str | None) -> None:
        self.world.google.control("POST", f"calendars/{calendar}/role", {"account": account, "role": role})
