"""Whoever pays for requests to the Calendar API: asked before each one, told when it is over.

The payer is set for a stretch of code instead of being handed down, so that no request can be made past it by a
caller that forgot.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from outbox.metrics import QUOTA_UNITS


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


@dataclass(slots=True)
class Payment:
    """What an HTTP request is paid for: so many calls; whether it was answered is told by whoever sends it."""

    units: int
    answered: bool = False


@contextmanager
def payment(wanted: int) -> Iterator[Payment]:
    """Have one HTTP request paid for, in which up to so many calls are made; 0 units: nothing may be sent."""
    meter = payer()
    paid = Payment(next((units for units in range(wanted) if not meter.take()), wanted))
    QUOTA_UNITS.inc(paid.units)
    try:
        yield paid
    finally:
        for _ in range(paid.units):
            meter.over(answered=paid.answered)
