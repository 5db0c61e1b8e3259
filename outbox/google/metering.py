"""Whoever pays for requests to the Calendar API: asked before each one, told when it is over.

The payer is set for a stretch of code instead of being handed down, so that no request can be made past it by a
caller that forgot.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Meter(Protocol):
    """Pays for requests, one at a time."""

    def take(self) -> bool:
        """A unit of quota for one request; False if there is none, and then nothing may be sent."""

    def over(self, *, answered: bool) -> None:
        """The request is over; one that was not answered may still arrive at Google."""


class _Free:
    """Where nobody counts: tests of a client by itself."""

    def take(self) -> bool:
        return True

    def over(self, *, answered: bool) -> None:
        """Nothing to be done."""


FREE: Meter = _Free()

_METER: ContextVar[Meter] = ContextVar("meter", default=FREE)


@contextmanager
def metered(meter: Meter) -> Iterator[None]:
    """Whatever is sent in here, `meter` pays for."""
    token = _METER.set(meter)
    try:
        yield
    finally:
        _METER.reset(token)


def payer() -> Meter:
    """Who pays here."""
    return _METER.get()
