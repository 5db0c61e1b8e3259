"""What the process counts for Prometheus while it works; the figures of the database are in `metrics_figures`.

No label ever names a tenant, a user or a job. All series are there from the beginning, at 0. Whoever counts in a hot
place uses the labelled child and adds once for a whole push.
"""

from collections.abc import Mapping
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call] # the library's omission

REGISTRY = CollectorRegistry()

_LATENCY_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 7.5, 10, 15, 20, 30, 60, 120, 300, 900, 3600)
"""Seconds; dense around the debounce of two seconds and the goal of a few, and far enough for an outage."""

_GOOGLE_BUCKETS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20)
"""Seconds; a request takes ten at most, a batch some more."""

PUSHES = Counter(
    "calendar_sync_pushes",
    "Jobs looked at by a push. action: insert, update, delete, or none where nothing was to be done. outcome: done, "
    "again (put back, nobody's fault), retry (no good answer; an attempt is charged), problem (parked for a person).",
    ["action", "outcome"],
    registry=REGISTRY,
)

COALESCED = Counter(
    "calendar_sync_coalesced",
    "Outbox rows that cost no push of their own, because a newer row of the job came with them or the change before "
    "was still waiting to be pushed.",
    registry=REGISTRY,
)

COMMIT_TO_PUSH = Histogram(
    "calendar_sync_commit_to_push_seconds",
    "From the moment the relay took the first of the changes that one push answered, to Google's definite answer. "
    "Before it a row waits for milliseconds while a daemon runs; calendar_sync_outbox_oldest_seconds tells when it "
    "waits longer. Live edits, not backfills; with the debounce, and with any wait for a user to reconnect.",
    buckets=_LATENCY_BUCKETS,
    registry=REGISTRY,
)

GOOGLE_REQUEST = Histogram(
    "calendar_sync_google_request_seconds",
    "One HTTP request to the Calendar API, repeats counted singly, however it ended. method: insert, get, update, "
    "delete, list (of a calendar, to see whether it is there), or batch for several calls in one request.",
    ["method"],
    buckets=_GOOGLE_BUCKETS,
    registry=REGISTRY,
)

QUOTA_UNITS = Counter(
    "calendar_sync_google_quota_units",
    "Calls that Google counts against its quotas, those within a batch singly.",
    registry=REGISTRY,
)

RATE_LIMITED = Counter(
    "calendar_sync_rate_limited",
    "scope google_rate: answers in which Google refused for too many requests; google_usage: because a user did too "
    "much for hours; google_day: because the project's day is used up. scope budget: pushes that we ended early as "
    "our own count of an account's or the project's minute was used up, which is how it should be.",
    ["scope"],
    registry=REGISTRY,
)

TOKEN_REFRESHES = Counter(
    "calendar_sync_token_refreshes",
    "Access tokens asked for. outcome: renewed, broken (this grant is dead: its user reconnects), operator (Google "
    "does not accept our client: somebody has to mend that), unanswered (asked again later).",
    ["outcome"],
    registry=REGISTRY,
)

LEASE_LOST = Counter(
    "calendar_sync_lease_lost",
    "Pushes whose lease had ended before they settled: nothing was written, and the calendar is looked at again.",
    registry=REGISTRY,
)

OPERATORS_MATTERS = Counter(
    "calendar_sync_operators_matters",
    "How often something was met that only an operator can mend, by whoever met it; the log says what it is, "
    "operators_matter. What it stops rests, and is met again every few minutes for as long as it lasts.",
    registry=REGISTRY,
)

LIMITED = {scope: RATE_LIMITED.labels(scope) for scope in ("google_rate", "google_usage", "google_day", "budget")}
REFRESHED = {outcome: TOKEN_REFRESHES.labels(outcome) for outcome in ("renewed", "broken", "operator", "unanswered")}
REQUESTS = {method: GOOGLE_REQUEST.labels(method) for method in ("insert", "get", "update", "delete", "list", "batch")}
_PUSHED = {
    (action, outcome): PUSHES.labels(action, outcome)
    for action, outcome in [
        *product(("insert", "update", "delete"), ("done", "again", "retry", "problem")),
        ("none", "done"),
        ("none", "retry"),
        ("none", "problem"),
    ]
}


def count_push(counts: Mapping[tuple[str, str], int]) -> None:
    """A push has settled: so many jobs by action and outcome."""
    for which, jobs in counts.items():
        _PUSHED[which].inc(jobs)
