"""Google misbehaves: rules for the sandbox, and how many of them struck."""

from __future__ import annotations

import random
import threading
from collections import Counter

from tests.faults.plan import Kind
from web.sandbox.server import SandboxServer
from web.sandbox.specs import FaultKind, FaultSpec

EVENTS = "^/calendar/v3/calendars/.+/events"
TOKENS = "^/token$"

MISBEHAVIOURS = (
    Kind.GOOGLE_SLOW,
    Kind.GOOGLE_CUTS_BEFORE,
    Kind.GOOGLE_CUTS_AFTER,
    Kind.GOOGLE_GARBAGE,
    Kind.GOOGLE_HTML,
    Kind.GOOGLE_FAILS,
    Kind.GOOGLE_RATE_LIMITS,
)
"""What may befall everybody at once."""

RATE_LIMITS = ((429, "rateLimitExceeded"), (403, "rateLimitExceeded"), (403, "userRateLimitExceeded"))


def rule(kind: Kind, chance: random.Random, *, account: str = "", path: str = EVENTS, most: int = 3) -> FaultSpec:
    """One rule of that kind, for one to `most` of the account's next requests (everybody's, if it is empty). Pure."""
    late, soon = chance.choice([FaultKind.DELAY, FaultKind.DELAY_AFTER]), chance.randint(1, most)
    refusal = chance.choice([FaultKind.REFUSE, FaultKind.REFUSE_AFTER])

    def spec(how: FaultKind, *, count: int = soon, seconds: float = 0.0) -> FaultSpec:
        return FaultSpec(kind=how, account=account, path=path, count=count, seconds=seconds)

    match kind:
        case Kind.GOOGLE_SLOW:
            return spec(late, seconds=chance.uniform(0.3, 3))
        case Kind.GOOGLE_HUNG:
            return spec(late, count=1, seconds=chance.uniform(11, 14))
        case Kind.GOOGLE_TRICKLES:
            return spec(FaultKind.TRICKLE, count=1, seconds=chance.choice([0.002, 0.02]))
        case Kind.GOOGLE_CUTS_BEFORE:
            return spec(FaultKind.CUT)
        case Kind.GOOGLE_CUTS_AFTER:
            return spec(FaultKind.CUT_AFTER)
        case Kind.GOOGLE_GARBAGE:
            return spec(FaultKind.GARBAGE)
        case Kind.GOOGLE_HTML:
            return spec(FaultKind.HTML)
        case Kind.GOOGLE_FAILS:
            return spec(refusal).model_copy(update={"status": chance.choice([500, 502, 503, 504])})
        case Kind.GOOGLE_RATE_LIMITS:
            status, reason = chance.choice(RATE_LIMITS)
            wait = chance.choice([None, 1, 2, 3])
            return spec(FaultKind.REFUSE).model_copy(update={"status": status, "reason": reason, "retry_after": wait})
        case Kind.GOOGLE_DOWN:
            return rule(chance.choice(MISBEHAVIOURS), chance, most=12)
        case _:
            raise ValueError(f"{kind.title} is nothing that Google does")


class Google:
    """The sandbox under orders to misbehave. Rules count once they have struck."""

    def __init__(self, sandbox: SandboxServer) -> None:
        self._sandbox = sandbox
        self._lock = threading.Lock()
        self._rules: list[Kind | None] = []
        self.requests_hit = 0

    def arm(self, kind: Kind, chance: random.Random, account: str = "") -> None:
        """Have the next requests misbehave."""
        self._add(kind, rule(kind, chance, account=account))

    def fail_tokens(self, chance: random.Random, account: str) -> None:
        """Have the token server fail for the account."""
        self._add(None, rule(Kind.GOOGLE_FAILS, chance, account=account, path=TOKENS, most=2))

    @property
    def waiting(self) -> int:
        """Rules that have not struck yet."""
        return sum(hits == 0 for kind, hits in self._hits() if kind is not None)

    def heal(self) -> Counter[Kind]:
        """Have Google behave; returns how many rules of each kind have struck."""
        with self._lock:
            found = self._hits()
            self._sandbox.control("DELETE", "faults")
            self._rules.clear()
        self.requests_hit += sum(hits for _, hits in found)
        return Counter(kind for kind, hits in found if kind is not None and hits > 0)

    def _add(self, kind: Kind | None, spec: FaultSpec) -> None:
        with self._lock:
            self._sandbox.control("POST", "faults", spec.model_dump(mode="json"))
            self._rules.append(kind)

    def _hits(self) -> list[tuple[Kind | None, int]]:
        counts = self._sandbox.control("GET", "faults")["faults"]
        return [(kind, int(count["hits"])) for kind, count in zip(self._rules, counts, strict=False)]
