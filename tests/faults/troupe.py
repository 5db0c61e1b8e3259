"""Several daemons, each behind a proxy and a clock of its own, that can be killed, stopped and caught at a step."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Self

from tests.faults.plan import CATCHES, Moment
from tests.faults.proxy import PostgresProxy, Trap, running_loop
from web.demo.stage import Stage
from web.demo.tether import TetheredProcess

READY_SECONDS = 30.0
"""How long daemons may take to start."""

LONGEST_JUMP_DAYS = 40

FAKETIME_LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib*/faketime/libfaketimeMT.so.1")

FAKETIME_HELP = Path(__file__).with_name("faketime")
"""What Python needs under it."""


def faketime_library() -> Path | None:
    """Where libfaketime is, None if it is not installed."""
    return next((path for pattern in FAKETIME_LIBRARIES for path in Path("/").glob(pattern[1:])), None)


class Slot:
    """A daemon's place: one after another runs here, always behind the same proxy."""

    def __init__(
        self,
        stage: Stage,
        loop: asyncio.AbstractEventLoop,
        log: IO[str],
        *,
        patience: float,
        clock: Path | None = None,
        at_once: bool = False,
    ) -> None:
        """`clock`: a file for a clock of its own, without one it has the machine's; `patience`: seconds for a trap;
        `at_once`: without debounce, so that pushes begin in the relay's transactions.
        """
        self._patience = patience
        self.proxy = PostgresProxy(stage.environment["DATABASE_URL"], loop)
        self._clock = clock
        self._environment = {"DATABASE_URL": self.proxy.url}
        if at_once:
            self._environment["PUSH_DEBOUNCE_SECONDS"] = "0"
        library = faketime_library()
        if clock is not None and library is not None:
            self.set_clock(0)
            self._environment |= {
                "LD_PRELOAD": str(library),
                "FAKETIME_TIMESTAMP_FILE": str(clock),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "PYTHONPATH": str(FAKETIME_HELP),
            }
        self._stage = stage
        self._log = log
        self.lock = threading.Lock()
        """Held by whoever ends or starts the process."""
        self.process = self._start()

    def kill(self) -> None:
        """SIGKILL; the caller holds the lock."""
        self.strike()
        self.process.wait(30)
        self.process.stop()
        for left in Path("/dev/shm").glob(f"*faketime*_{self.process.pid}"):  # noqa: S108 - libfaketime's own place
            left.unlink()

    def strike(self) -> None:
        """SIGKILL, and wait for nothing. A dead one may still be taken for alive, until its supervisor has heard."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)

    def start(self) -> None:
        """Start another one in its place; the caller holds the lock."""
        self.process = self._start()

    def stop(self) -> int:
        """SIGTERM; returns the exit status. The caller holds the lock."""
        return self.process.stop()

    def set_clock(self, seconds: int) -> None:
        """Have the daemon's clock go so many seconds wrong, if it has one of its own."""
        if self._clock is None:
            return
        new = self._clock.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._clock)

    def catch(self, step: str, moment: Moment) -> Trap | None:
        """The daemon as it is at that step; None if it does not come there."""
        trap = self.proxy.set_trap(step, moment)
        if not trap.met.wait(self._patience) and self.proxy.take_away(trap):
            return None
        return trap if trap.met.wait(1.0) else None

    def _start(self) -> TetheredProcess:
        return self._stage.start_daemon(self._log, self._environment)


class Troupe:
    """The daemons. A context manager; on its way out every daemon is stopped."""

    def __init__(self, stage: Stage, number: int, folder: Path, log: IO[str], *, patience: float) -> None:
        """`patience`: how many seconds a trap waits for its step."""
        self._open = ExitStack()
        loop = self._open.enter_context(running_loop())
        self.slots: list[Slot] = []
        for place in range(number):
            clock = folder / "clock" if place == number - 1 and faketime_library() else None
            self.slots.append(Slot(stage, loop, log, patience=patience, clock=clock, at_once=place == 0))
            self._open.enter_context(self.slots[-1].proxy)
        self.starts_after_failure = 0
        """Daemons that ended by themselves, as at a start while the database is down, and were started again."""
        self.ends: Counter[int] = Counter()
        """Exit statuses after SIGTERM."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for slot in self.slots:
            slot.process.stop()
        self._open.close()

    def wait_until_ready(self) -> None:
        """Wait until every daemon listens."""
        ends = time.monotonic() + READY_SECONDS
        while not all(slot.proxy.listening for slot in self.slots) and time.monotonic() < ends:
            self.keep()
            time.sleep(0.1)

    def keep(self) -> None:
        """Start again what ended by itself, as systemd does."""
        for slot in self.slots:
            if slot.lock.acquire(blocking=False):
                try:
                    if slot.process.poll() is not None:
                        slot.stop()
                        slot.start()
                        self.starts_after_failure += 1
                finally:
                    slot.lock.release()

    def stop_all(self) -> None:
        """SIGTERM to all of them; nobody is left then."""
        for slot in self.slots:
            with slot.lock:
                self.ends[slot.stop()] += 1

    def start_all(self) -> None:
        """Begin again after `stop_all`."""
        for slot in self.slots:
            with slot.lock:
                slot.start()

    def kill(self, chance: random.Random) -> bool:
        """Kill one at any moment."""
        slot = chance.choice(self.slots)
        with slot.lock:
            slot.kill()
            slot.start()
        return True

    def kill_all(self) -> bool:
        """Kill all of them at one moment."""
        with ExitStack() as held:
            for slot in self.slots:
                held.enter_context(slot.lock)
            for slot in self.slots:
                slot.strike()
            for slot in self.slots:
                slot.kill()
                slot.start()
        return True

    def kill_at_step(self, chance: random.Random) -> bool:
        """Kill one as it is at a step."""
        slot, step, moment = self._draw(chance)
        with slot.lock:
            trap = slot.catch(step, moment)
            if trap is None:
                return False
            if moment is Moment.PAST:
                time.sleep(chance.uniform(0, 0.15))
            slot.kill()
            trap.release(cut=True)
            slot.start()
        return True

    def stop_at_step(self, chance: random.Random) -> bool:
        """SIGTERM one as it is at a step, which then goes on."""
        slot, step, moment = self._draw(chance)
        with slot.lock:
            trap = slot.catch(step, moment)
            if trap is None:
                return False
            os.kill(slot.process.pid, signal.SIGTERM)
            time.sleep(0.2)
            trap.release()
            self.ends[slot.stop()] += 1
            slot.start()
        return True

    def cut_connection(self, chance: random.Random) -> bool:
        """Cut a database connection as it is at a step."""
        slot, step, moment = self._draw(chance, frozenset({Moment.BEFORE, Moment.AFTER}))
        if trap := slot.catch(step, moment):
            trap.release(cut=True)
        return trap is not None

    def stall_connection(self, chance: random.Random) -> bool:
        """Hold a database connection at a step for a while."""
        slot, step, moment = self._draw(chance, frozenset({Moment.BEFORE, Moment.AFTER}))
        if trap := slot.catch(step, moment):
            time.sleep(chance.uniform(1, 4))
            trap.release()
        return trap is not None

    def deafen_listener(self, chance: random.Random) -> bool:
        """Make the LISTEN connection of one deaf."""
        return any(slot.proxy.deafen_listener() for slot in chance.sample(self.slots, len(self.slots)))

    def jump_clock(self, chance: random.Random) -> bool:
        """Set the clock of the last one, who has one of its own, wrong."""
        longest = LONGEST_JUMP_DAYS * 86_400
        far = chance.choice([60, 3600, 86_400, longest])
        self.slots[-1].set_clock(chance.choice([-1, 1]) * chance.randint(far // 2, far))
        return True

    def _draw(self, chance: random.Random, moments: frozenset[Moment] = frozenset(Moment)) -> tuple[Slot, str, Moment]:
        step, moment = chance.choice([catch for catch in CATCHES if catch[1] in moments])
        return chance.choice(self.slots), step, moment
