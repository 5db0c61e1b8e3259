"""The demo's cast: office users who connect by themselves, and newcomers whose part a person at the keyboard plays."""

from __future__ import annotations

from dataclasses import dataclass

from outbox.user import User
from web.demo.traffic import Header
from web.sandbox.specs import AccountSpec, CalendarSpec

NEWCOMER = "u_robin"
"""The user id of each tenant's newcomer."""


@dataclass(frozen=True, slots=True)
class Person:
    """An office user with a Google account, who picks one of its calendars (None: the primary one)."""

    user: User
    account: AccountSpec
    calendar_id: str | None = None

    @property
    def calendars(self) -> tuple[str, ...]:
        """The ids of every calendar in the account, the primary first."""
        return (self.account.email, *(calendar.id for calendar in self.account.calendars))


def office_users(header: Header) -> list[Person]:
    """The file's office users; of each tenant the first picks the primary calendar, the last two share one."""
    people = []
    for tenant_id, tenant in header.tenants.items():
        board = CalendarSpec(id=f"board@{tenant_id}.example.com", summary="Dispatch board", time_zone=tenant.timezone)
        for place, user_id in enumerate(tenant.office_users):
            own = CalendarSpec(id=f"jobs-{user_id}@{tenant_id}.example.com", summary="Jobs", time_zone=tenant.timezone)
            shares = len(tenant.office_users) > 3 and place >= len(tenant.office_users) - 2
            account = AccountSpec(
                email=f"{user_id}@{tenant_id}.example.com",
                name=user_id,
                time_zone=tenant.timezone,
                calendars=(own, board) if shares else (own,),
            )
            chosen = board.id if shares else (None if place == 0 else own.id)
            people.append(Person(User(tenant_id, user_id), account, chosen))
    return people


def newcomers(header: Header) -> list[Person]:
    """One more user of each tenant, who has a Google account with two calendars and has connected nothing."""
    people = []
    for tenant_id, tenant in header.tenants.items():
        if NEWCOMER in tenant.office_users:
            continue
        second = CalendarSpec(id=f"jobs-{NEWCOMER}@{tenant_id}.example.com", summary="Jobs", time_zone=tenant.timezone)
        account = AccountSpec(
            email=f"{NEWCOMER}@{tenant_id}.example.com", name=NEWCOMER, time_zone=tenant.timezone, calendars=(second,)
        )
        people.append(Person(User(tenant_id, NEWCOMER), account))
    return people
