"""What only an operator can mend: said when it begins and then at a slow pace, and asked about by one for all."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from outbox.metrics import OPERATORS_MATTERS

log = structlog.get_logger(__name__)

SAY_EVERY_SECONDS = 3600.0
"""While a matter lasts it is said again this often."""

OVER_AFTER_SECONDS = 900.0
"""What has not been met for so long is over: three of the rests after which it is met again while it lasts."""

ANSWER_SECONDS = 30.0
"""For so long the others wait for the answer to the one who asks; longer than an answer takes."""


@dataclass(slots=True)
class _Matter:
    met_at: float
    said_at: float


class Alarm:
    """Says in the log, as an error, what an operator has to mend: once for all who meet it. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._matters: dict[str, _Matter] = {}

    def tell(self, reason: str) -> None:
        """This has been met, now."""
        OPERATORS_MATTERS.inc()
        now = self._clock()
        with self._lock:
            lasting = {
                known: matter for known, matter in self._matters.items() if now < matter.met_at + OVER_AFTER_SECONDS
            }
            matter = lasting.setdefault(reason, _Matter(now, -math.inf))
            matter.met_at = now
            say = now >= matter.said_at + SAY_EVERY_SECONDS
            if say:
                matter.said_at = now
            self._matters = lasting
        if say:
            log.error("operators_matter", reason=reason)


class Gate:
    """Closed while Google does not accept our client: then one asks now and then for all. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._closed_for: str | None = None
        self._opens_at = 0.0

    def closed(self) -> tuple[str, float] | None:
        """Why nobody may ask, and for how many seconds; None: ask, and say what came of it."""
        with self._lock:
            if self._closed_for is None:
                return None
            now = self._clock()
            if now < self._opens_at:
                return self._closed_for, self._opens_at - now
            self._opens_at = now + ANSWER_SECONDS
            return None

    def close(self, reason: str, seconds: float) -> None:
        """Google does not accept us."""
        with self._lock:
            self._closed_for, self._opens_at = reason, self._clock() + seconds

    def open(self) -> None:
        """Google accepts us."""
        with self._lock:
            self._closed_for = None
