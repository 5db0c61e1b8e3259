"""What is measured, by whom: the works of ours, and those that the peers can do as well."""

from typing import Any, TypedDict

from tests.bench.race import amounts, bursts, drains
from tests.bench.race.ours import Place, Work
from tests.bench.race.peers import PEERS, Kitchen, PeerRun, PeerWork, Stub
from tests.bench.race.server import Server

OURSELVES = "ours"

Figures = dict[str, Any]
"""Of one run, by name."""

OURS: dict[str, Work] = {
    "drain0": drains.drain,
    "drain50": lambda place, n: drains.drain(place, n, ms=50),
    "drain_fanout5": lambda place, n: drains.drain(place, n, users=5),
    "updates": drains.updates,
    "latency": bursts.latency,
    "burst": bursts.burst,
    "hold": bursts.hold,
    "held_drain": bursts.held_drain,
    "rss": amounts.rss,
    "backfill": lambda place, n: amounts.backfill(place, n, ms=amounts.BACKFILL_MS),
    "backfill_parts": lambda place, n: amounts.backfill(place, n, part_ms=amounts.BACKFILL_MS),
}

THEIRS: dict[str, PeerWork] = {
    "drain0": lambda run, n: run.drain(n or drains.CHANGES, 0),
    "drain50": lambda run, n: run.drain(n or drains.CHANGES, 50),
    "latency": lambda run, n: run.latency(bursts.RATE, n / bursts.RATE if n else bursts.SECONDS),
    "held_drain": lambda run, n: run.held(n or bursts.HELD_CHANGES),
}

REPORT_PROGRESS = ("txoutbox", "pgqueuer")
"""Whose adapters tell how far they are; of procrastinate 200,000 events would take a quarter of an hour."""

WORKS = list(OURS)


class Results(TypedDict):
    """Of everything that was run."""

    machine: dict[str, str]
    bare: list[dict[str, float]]
    loads: dict[str, float]  # of the machine, by work, as it began: figures from a busy one are worth little
    works: dict[str, dict[str, list[Figures]]]


class Stand:
    """The peers, ready to run."""

    def __init__(self, kitchen: Kitchen, server: Server, stub: Stub) -> None:
        self._runs = {name: PeerRun(peer, kitchen, server, stub) for name, peer in PEERS.items()}

    def run(self, work: str, system: str, n: int | None) -> Figures | None:
        """One run of one work by one of them; None if it cannot do that work."""
        if work not in THEIRS or (work == "held_drain" and system not in REPORT_PROGRESS):
            return None
        return THEIRS[work](self._runs[system], n)


class Contest:
    """Runs works by systems and keeps what they gave."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.stand: Stand | None = None
        self.results: dict[str, dict[str, list[Figures]]] = {}

    def run(self, work: str, system: str, n: int | None) -> None:
        """One run."""
        if system == OURSELVES:
            figures: Figures | None = OURS[work](self._place, n)
        else:
            figures = self.stand.run(work, system, n) if self.stand else None
        if figures is not None:
            self.results.setdefault(work, {}).setdefault(system, []).append(figures)
