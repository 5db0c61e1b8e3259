"""Who takes part in the benchmark of neighbours, what befalls them, and the traffic."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from outbox.user import User
from tests.integration.conftest import job
from web.demo.people import Person
from web.demo.traffic import Header, Tenant, Traffic, TrafficRow
from web.sandbox.specs import AccountSpec, FaultKind, FaultSpec

JOBS = 4
"""Of each tenant, changed in turn, so that a calendar that hangs has several jobs to hang on."""

HANG_SECONDS = 30.0
"""Three times as long as any call of ours may take."""


class Lot(Enum):
    """What befalls a user in the troubled run."""

    REVOKED = "revoked"
    LIMITED = "rate-limited"
    HUNG = "hung"
    WELL = "well"


LOTS = (Lot.REVOKED, Lot.LIMITED, Lot.HUNG, Lot.WELL, Lot.WELL)
"""Of a tenant's users, by place."""


FAULTS = {
    Lot.LIMITED: FaultSpec(kind=FaultKind.REFUSE, path="^/calendar/v3/", status=403, reason="rateLimitExceeded"),
    Lot.HUNG: FaultSpec(kind=FaultKind.DELAY, path="^/calendar/v3/", seconds=HANG_SECONDS),
}
"""How Google treats the calls of such a user."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How large and how long.

    Attributes:
        cadence: seconds between two changes that concern one calendar, on average.
        together: all tenants change at one moment, instead of evenly spread.
        seed: of the order in which the tenants have their changes.
    """

    users: int
    seconds: float
    cadence: float
    seed: int
    together: bool = False

    @property
    def tenants(self) -> list[str]:
        """Their ids."""
        return [f"tenant-{number:03}" for number in range(self.users // len(LOTS))]

    def people(self) -> list[tuple[Person, Lot]]:
        """Everybody, each with a primary calendar of their own."""
        return [
            (Person(User(tenant, f"u_{place}"), AccountSpec(email=f"u_{place}@{tenant}.example.com")), lot)
            for tenant in self.tenants
            for place, lot in enumerate(LOTS)
        ]

    def first_traffic(self) -> Traffic:
        """Every job once, to fill the calendars before anything is timed."""
        return self._traffic([(0.0, tenant, number, 0) for tenant in self.tenants for number in range(JOBS)])

    def measured_traffic(self) -> Traffic:
        """Round after round one change of every tenant, the tenants in a new order each time."""
        chance = random.Random(self.seed)  # noqa: S311 - repeatable traffic, not a secret
        gap = 0.0 if self.together else self.cadence / len(self.tenants)
        changes = []
        for version in range(1, max(1, round(self.seconds / self.cadence)) + 1):
            begin = (version - 1) * self.cadence
            order = chance.sample(self.tenants, len(self.tenants))
            changes += [(begin + place * gap, tenant, version % JOBS, version) for place, tenant in enumerate(order)]
        return self._traffic(changes)

    def _traffic(self, changes: Sequence[tuple[float, str, int, int]]) -> Traffic:
        return Traffic(
            Header("2027-03-01", {tenant: Tenant("America/Chicago", ()) for tenant in self.tenants}),
            tuple(
                TrafficRow(at, tenant, f"job_{number}", "job.updated", job(f"J-{number} v{version}"))
                for at, tenant, number, version in changes
            ),
        )
