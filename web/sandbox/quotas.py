"""Request quotas: sliding minutes per user and per project, off until limits are set."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from web.sandbox.errors import ApiError
from web.sandbox.specs import QuotaSpec

WINDOW_SECONDS = 60.0
"""The length of the sliding window."""

PATCH_UNITS = 3
"""Quota units of a PATCH; any other request costs one."""


def units(method: str) -> int:
    """The quota units of one request with that HTTP method."""
    return PATCH_UNITS if method == "PATCH" else 1


@dataclass(slots=True)
class _Window:
    charges: deque[tuple[float, int]] = field(default_factory=deque)
    total: int = 0

    def used(self, now: float) -> int:
        while self.charges and self.charges[0][0] <= now - WINDOW_SECONDS:
            self.total -= self.charges.popleft()[1]
        return self.total

    def add(self, now: float, cost: int) -> None:
        self.charges.append((now, cost))
        self.total += cost


class Quotas:
    """Counts what was let through. `clock` answers seconds that never go back. Not thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._limits = QuotaSpec()
        self._project = _Window()
        self._users: dict[str, _Window] = {}

    def limit(self, spec: QuotaSpec) -> None:
        """Set the limits and begin to count anew."""
        self._limits, self._project, self._users = spec, _Window(), {}

    def charge(self, account: str, cost: int) -> None:
        """Count `cost` units for the account, or refuse: the user's own limit first, then the project's."""
        now = self._clock()
        user = self._users.setdefault(account, _Window())
        limits = self._limits
        if limits.per_user is not None and user.used(now) + cost > limits.per_user:
            reason = "userRateLimitExceeded" if limits.status == 403 else "rateLimitExceeded"
            raise ApiError(limits.status, reason)
        if limits.per_project is not None and self._project.used(now) + cost > limits.per_project:
            raise ApiError(limits.status, "rateLimitExceeded")
        if limits.per_user is not None:
            user.add(now, cost)
        if limits.per_project is not None:
            self._project.add(now, cost)
