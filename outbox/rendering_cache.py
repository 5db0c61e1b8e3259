"""What jobs look like, kept from the relay for whoever pushes them: made once, however many calendars they go to."""

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import islice
from sys import intern

from outbox.rendering import Rendering, packed, unpacked

MOST_BYTES = 6_000_000
"""Of memory for what is kept, over 10,000 usual jobs: what a relay has taken is mostly pushed within seconds, by the
same daemon. A relay that gets further ahead takes no more of it.
"""

ENTRY_BYTES = 200
"""What keeping one takes besides its packed text."""

MOST_OF_A_TENANT = 500
"""The latest of a tenant that a push says it has no need to read."""


class RenderingCache:
    """Those made lately, by tenant and version of the job. Threads share it."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()  # guards all below
        self._bytes = 0
        self._order: deque[tuple[str, int]] = deque()
        self._by_tenant: dict[str, dict[int, bytes]] = {}

    def remember(self, made: Mapping[tuple[str, int], Rendering]) -> None:
        """Keep these, by tenant and version; the oldest are forgotten for them."""
        entries = [(intern(tenant_id), version, packed(rendering)) for (tenant_id, version), rendering in made.items()]
        with self._lock:
            for tenant_id, version, entry in entries:
                of_tenant = self._by_tenant.setdefault(tenant_id, {})
                if (former := of_tenant.get(version)) is None:
                    self._order.append((tenant_id, version))
                    self._bytes += ENTRY_BYTES
                # A version that comes again was relayed in vain, or in another database that was in the place of this.
                self._bytes += len(entry) - len(former or b"")
                of_tenant[version] = entry
            while self._bytes > self._most_bytes:
                self._forget_oldest()

    def of_tenant(self, tenant_id: str) -> Mapping[int, Rendering]:
        """The tenant's latest, by version."""
        with self._lock:
            latest = islice(reversed(self._by_tenant.get(tenant_id, {}).items()), MOST_OF_A_TENANT)
            return _Unpacking(dict(latest))

    def _forget_oldest(self) -> None:
        tenant_id, version = self._order.popleft()
        of_tenant = self._by_tenant[tenant_id]
        self._bytes -= len(of_tenant.pop(version)) + ENTRY_BYTES
        if not of_tenant:
            del self._by_tenant[tenant_id]


class _Unpacking(Mapping[int, Rendering]):
    """What is kept packed, each unpacked as it is asked for."""

    def __init__(self, entries: Mapping[int, bytes]) -> None:
        self._entries = entries

    def __getitem__(self, version: int) -> Rendering:
        return unpacked(self._entries[version])

    def __iter__(self) -> Iterator[int]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
