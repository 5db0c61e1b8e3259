"""Google as a daemon under test meets it: every answer that the sandbox can give, and those only time can make."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from outbox.google.calls import Call, Delete, Probe, Read, Update
from outbox.google.client import GoogleCalendar, Together
from outbox.google.meaning import Answer, Meaning
from tests.integration.conftest import World

FAULTS: dict[str, dict[str, Any]] = {
    "cut": {"kind": "cut", "count": 3},
    "cut after": {"kind": "cut_after", "count": 3},
    "cut after, then well": {"kind": "cut_after", "count": 1},
    "500": {"kind": "refuse", "count": 3},
    "500, then well": {"kind": "refuse", "count": 1},
    "503 after": {"kind": "refuse_after", "status": 503, "count": 3},
    "503 after, then well": {"kind": "refuse_after", "status": 503, "count": 1},
    "garbage": {"kind": "garbage", "count": 3},
    "garbage, then well": {"kind": "garbage", "count": 1},
    "a page": {"kind": "html", "count": 3},
    "429": {"kind": "refuse", "status": 429, "reason": "rateLimitExceeded", "retry_after": 30, "count": 3},
    "rate limit": {"kind": "refuse", "status": 403, "reason": "userRateLimitExceeded", "count": 3},
    "quota": {"kind": "refuse", "status": 403, "reason": "quotaExceeded", "count": 1},
    "not configured": {"kind": "refuse", "status": 403, "reason": "accessNotConfigured", "count": 1},
    "expired token": {"kind": "refuse", "status": 401, "reason": "authError", "count": 1},
    "refused token": {"kind": "refuse", "status": 401, "reason": "authError", "count": 1},
    "scope missing": {"kind": "refuse", "status": 403, "reason": "insufficientPermissions", "count": 1},
    "read only": {"kind": "refuse", "status": 403, "reason": "requiredAccessLevel", "count": 1},
    "event refused": {"kind": "refuse", "status": 403, "reason": "forbiddenForNonOrganizer", "count": 1},
    "conflict": {"kind": "refuse", "status": 409, "reason": "conflict", "count": 1},
    "changed": {"kind": "refuse", "status": 412, "reason": "conditionNotMet", "count": 1},
    "invalid": {"kind": "refuse", "status": 400, "reason": "invalid", "count": 1},
}
"""What the sandbox is told before one call; the client repeats a call up to three times by itself."""

TIMELY = ("lost", "late", "slow", "crash before", "crash after")
"""What only this client does: a request that never arrives or arrives later, ten seconds' work, and SIGKILL."""

MEANWHILE = ("before", "after")
"""Something happens elsewhere: before a request arrives, before its answer."""

LATEST_SECONDS = 60.0
"""A request that was given up may arrive until so long after it was sent: what the engine relies on."""

SLOW_SECONDS = 10.0

CALLS_SECONDS = 25.0
"""So long after it was leased nobody may call for a lane any more."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What a call meets; `spares_reads`: it waits for a write; `meanwhile`: what happens elsewhere during the call."""

    name: str
    spares_reads: bool = False
    meanwhile: Callable[[], None] = lambda: None


WELL = Fate("well")


class Surroundings(Protocol):
    """What a daemon's Google shares with everything else."""

    world: World
    clock: float
    """In seconds since the story began."""
    happened: Counter[str]

    def pass_time(self, seconds: float) -> None:
        """For everybody."""


class Crash(BaseException):
    """The daemon is killed here. No handler of the engine's may see it, so it is no Exception."""


@dataclass(frozen=True, slots=True)
class Late:
    """A request under way whose sender has given up."""

    call: Call
    calendar_id: str
    access_token: str = field(repr=False)
    sent_at: float


class FatefulGoogle(GoogleCalendar):
    """Google's client for one daemon. Each call of a push meets the next fate; the rest goes well."""

    def __init__(self, surroundings: Surroundings) -> None:
        world = surroundings.world
        super().__init__(world.stage.settings.google_calendar_url, stop=world.stop, user_agent="model")
        self._surroundings = surroundings
        self._fates: list[Fate] = []
        self._calls_end = float("inf")
        self.late: list[Late] = []

    def meet(self, fates: list[Fate], *, calls_end: float) -> None:
        """Have the next calls meet these; `calls_end`: on the model's clock, when the lease's holder falls silent."""
        self._fates, self._calls_end = list(fates), calls_end

    def rest_in_peace(self) -> None:
        """No fates any more."""
        self._fates, self._calls_end = [], float("inf")

    def call(self, call: Call, *, calendar_id: str, access_token: str, deadline: float) -> Answer:
        """As the client's, as fate will have it."""

        def send() -> Answer:
            if self._surroundings.clock >= self._calls_end:
                return Answer(Meaning.NOT_SENT, message="the deadline had passed")
            return super(FatefulGoogle, self).call(
                call, calendar_id=calendar_id, access_token=access_token, deadline=deadline
            )

        spared = self._fates and self._fates[0].spares_reads and isinstance(call, Read | Probe)
        fate = WELL if spared or not self._fates else self._fates.pop(0)
        if fate.name == "changed" and not isinstance(call, Update | Delete):
            fate = WELL  # it names no etag that could be wrong
        self._surroundings.happened[f"call {fate.name}"] += 1
        match fate.name:
            case "lost" | "late":
                if fate.name == "late" and self._surroundings.clock < self._calls_end:
                    self.late.append(Late(call, calendar_id, access_token, self._surroundings.clock))
                return Answer(Meaning.NO_ANSWER, message="no answer in time", requests=1)
            case "slow":
                answer = send()
                self._surroundings.pass_time(SLOW_SECONDS)
                return answer
            case "crash before":
                raise Crash
            case "crash after":
                send()
                raise Crash
            case "before":
                fate.meanwhile()
                return send()
            case "after":
                answer = send()
                fate.meanwhile()
                return answer
            case "well":
                return send()
        if fate.name == "refused token":  # the one that it is renewed for, too
            self._fates.insert(0, Fate("expired token"))
        self._surroundings.world.fault(**FAULTS[fate.name])
        try:
            return send()
        finally:
            self._surroundings.world.heal()

    def call_together(self, calls: Sequence[Call], *, calendar_id: str, access_token: str, deadline: float) -> Together:
        """As the client's; what fate has in store meets one call after the other, in an order that nobody promised."""
        if not self._fates:
            return super().call_together(calls, calendar_id=calendar_id, access_token=access_token, deadline=deadline)
        answers = [
            self.call(call, calendar_id=calendar_id, access_token=access_token, deadline=deadline)
            for call in reversed(calls)
        ]
        return Together(answers[::-1])

    def deliver(self, late: Late, deadline: float) -> None:
        """A request that was given up arrives; nobody reads the answer."""
        self.late.remove(late)
        self._surroundings.happened["late arrivals"] += 1
        super().call(late.call, calendar_id=late.calendar_id, access_token=late.access_token, deadline=deadline)
