"""What jobs look like, kept from the relay for whoever pushes them: made once, however many calendars they go to."""

import threading
from collections import deque
from collections.abc import Mapping

from outbox.rendering import Rendering

MOST_REMEMBERED = 12_000
"""Renderings kept, of a few kB each: what a relay has taken is pushed within seconds, usually by the same daemon."""

MOST_OF_A_TENANT = 500
"""The latest of a tenant that a push says it has no need to read."""


class RenderingCache:
    """Those made lately, by tenant and version of the job. Threads share it."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._lock = threading.Lock()  # guards all below
        self._order: deque[tuple[str, int]] = deque()
        self._by_tenant: dict[str, dict[int, Rendering]] = {}

    def remember(self, made: Mapping[tuple[str, int], Rendering]) -> None:
        """Keep these, by tenant and version; the oldest are forgotten for them."""
        with self._lock:
            for (tenant_id, version), rendering in made.items():
                self._by_tenant.setdefault(tenant_id, {})[version] = rendering
                self._order.append((tenant_id, version))
            while len(self._order) > self._most:
                tenant_id, version = self._order.popleft()
                of_tenant = self._by_tenant.get(tenant_id, {})
                of_tenant.pop(version, None)
                if not of_tenant:
                    self._by_tenant.pop(tenant_id, None)

    def of_tenant(self, tenant_id: str) -> Mapping[int, Rendering]:
        """The tenant's latest, by version."""
        with self._lock:
            of_tenant = self._by_tenant.get(tenant_id, {})
            return dict(list(of_tenant.items())[-MOST_OF_A_TENANT:])
