"""Whom the sign-in page offers: what the demo tells the process that runs its web app."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import TypeAdapter

from outbox.user import User
from web.demo.people import Person

VARIABLE = "DEMO_ROSTER"
"""The environment variable that carries it."""


@dataclass(frozen=True, slots=True)
class SampleUser:
    """A user who can be signed in as; `newcomer`: has connected nothing yet when the demo begins."""

    tenant_id: str
    user_id: str
    google_account: str
    newcomer: bool

    @property
    def user(self) -> User:
        """As the session names them."""
        return User(self.tenant_id, self.user_id)

    @property
    def key(self) -> str:
        """How the sign-in form names them."""
        return f"{self.tenant_id}/{self.user_id}"

    @property
    def name(self) -> str:
        """What people call them: for `u_ana` it is Ana."""
        return self.user_id.removeprefix("u_").replace("_", " ").title()


@dataclass(frozen=True, slots=True)
class Roster:
    """The sample users, and the page on which their calendars can be watched."""

    calendars_url: str
    users: tuple[SampleUser, ...]

    def by_tenant(self) -> dict[str, list[SampleUser]]:
        """The users of each tenant, newcomers first."""
        tenants: dict[str, list[SampleUser]] = {}
        for user in sorted(self.users, key=lambda user: not user.newcomer):
            tenants.setdefault(user.tenant_id, []).append(user)
        return tenants


_ROSTER = TypeAdapter(Roster)


def roster_of(calendars_url: str, office: Iterable[Person], newcomers: Iterable[Person]) -> Roster:
    """The roster of these people."""
    cast = [(person, False) for person in office] + [(person, True) for person in newcomers]
    return Roster(
        calendars_url,
        tuple(
            SampleUser(person.user.tenant_id, person.user.user_id, person.account.email, newcomer)
            for person, newcomer in cast
        ),
    )


def write_roster(roster: Roster) -> dict[str, str]:
    """The environment for the process that shows it."""
    return {VARIABLE: _ROSTER.dump_json(roster).decode()}


def read_roster() -> Roster:
    """What the environment says; raises KeyError or pydantic.ValidationError outside the demo."""
    return _ROSTER.validate_json(os.environ[VARIABLE])
