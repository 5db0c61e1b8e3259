"""What went when a user or a tenant was forgotten, in numbers and in words. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

WhyLeft = Literal["kept", "shared", "earlier", "no_access", "lost", "not_removed"]

WHY_LEFT: Mapping[WhyLeft, str] = {
    "kept": "their removal was not asked for",
    "shared": "colleagues use this calendar",
    "earlier": "left there when the calendar was left",
    "no_access": "Google no longer accepts our access",
    "lost": "the calendar is gone or may not be changed any more",
    "not_removed": "could not be removed: Google refused it, or our access or the calendar was lost on the way",
}
"""Why events stay in a calendar."""

GRANTS: Mapping[str, str] = {
    "revoked": "revoked at Google",
    "shared": "kept at Google, because somebody else is connected with the same account",
    "dead": "had ended before",
    "unanswered": "erased here, but Google did not answer: their user can end it at myaccount.google.com/connections",
    "refused": "erased here, but could not be revoked: their user can end it at myaccount.google.com/connections",
}
"""What became of a grant, by the values of `outbox.grants.Revocation`."""


@dataclass(frozen=True, slots=True)
class Whose:
    """A user, or with `user_id` None everybody of a tenant."""

    tenant_id: str
    user_id: str | None = None

    @property
    def key(self) -> dict[str, str | None]:
        """As statement parameters."""
        return {"tenant_id": self.tenant_id, "user_id": self.user_id}

    def __str__(self) -> str:
        tenant = f"tenant {self.tenant_id}"
        return tenant if self.user_id is None else f"user {self.user_id} of {tenant}"


@dataclass(frozen=True, slots=True)
class EventsLeft:
    """Events of ours that a calendar goes on showing; unless `why` is "shared", nobody changes or removes them."""

    calendar_id: str
    events: int
    why: WhyLeft


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What went.

    Attributes:
        grants: how many came to which end.
        rows: erased, by table; tables without any are left out.
        job_rows_since: of a tenant's jobs that were written since, or were just being written; 0 for a user.
    """

    events_removed: int
    events_left: tuple[EventsLeft, ...]
    grants: Mapping[str, int]
    rows: Mapping[str, int]
    job_rows_since: int

    def told(self, whose: Whose) -> Iterator[str]:
        """In lines for an operator."""
        left, rows = sum(there.events for there in self.events_left), sum(self.rows.values())
        if not (self.events_removed or left or self.grants or rows):
            yield f"nothing was stored about {whose}"
        else:
            yield f"events removed: {self.events_removed}"
            yield f"events left: {left}" + (f", in {len(self.events_left)} calendars" if left else "")
            yield from (f"  {there.events} in {there.calendar_id}: {WHY_LEFT[there.why]}" for there in self.events_left)
            yield "  besides those of jobs long over (JOB_RETENTION_DAYS), which are not on record any more and stay"
            yield f"grants: {sum(self.grants.values())}"
            yield from (f"  {count} {GRANTS[end]}" for end, count in self.grants.items())
            yield f"rows erased: {rows}"
            yield from (f"  {erased} {table}" for table, erased in self.rows.items())
        if self.job_rows_since:
            yield (
                f"jobs are written again: {self.job_rows_since} rows since; stop what writes them into the outbox, "
                "then repeat this"
            )


def count_ends(ends: Iterable[tuple[str | None, str]]) -> dict[str, int]:
    """How many grants came to which end, from the account and the end of each.

    One that was kept for the sake of others with the same account ended when the last of those did.
    """
    ends = list(ends)
    last = {account: end for account, end in ends if end != "shared"}
    return dict(sorted(Counter(last.get(account, end) if end == "shared" else end for account, end in ends).items()))
