"""Which files are put to the test, and which tests are meant to hold each: the quick ones first."""

from dataclasses import dataclass

Stage = tuple[str, ...]
"""Tests run together; a later stage is run only for what survived the earlier ones."""


@dataclass(frozen=True, slots=True)
class Target:
    """A file that decides outcomes, encrypts, fences or isolates, with its tests."""

    path: str
    stages: tuple[Stage, ...]


def _unit(*names: str) -> Stage:
    return tuple(f"tests/unit/test_{name}.py" for name in names)


def _real(*names: str) -> Stage:
    return tuple(f"tests/integration/test_{name}.py" for name in names)


FENCES = _real("fences")
"""Without Google: the statements of a lane's holder, of a grant's and of an attempt's, beside their neighbours."""

PUSH: tuple[Stage, ...] = (
    _real("push", "leases"),
    _real("doubt", "wishes", "races"),
    _real("tokens", "isolation", "leaving", "leaving_trouble", "testpush"),
)
"""What holds the whole of a push."""

CONSENT: tuple[Stage, ...] = (_unit("consent_responses"), _real("consent"), _real("attacks", "web_secrets"))

GRANT: tuple[Stage, ...] = (
    _real("tokens", "consent"),
    _real("isolation", "leaving", "operations"),
    _real("attacks", "leaving_trouble"),
)

LAW = "tests/unit/test_plan.py::test_whatever_is_lost_or_late_the_last_wish_stands_once"
"""Fifteen hundred stories: worth a stage of its own."""

DECIDE = (
    Target("outbox/plan.py", ((*_unit("plan"), f"--deselect={LAW}"), (LAW,), _real("push", "doubt"))),
    Target("outbox/google/meaning.py", (_unit("meaning", "google_client"), _real("push"))),
    Target("outbox/google/refusal.py", (_unit("refusal"), _unit("plan"))),
    Target("outbox/google/resource.py", (_unit("google_resource"), _unit("plan"), _real("push", "wishes"))),
    Target("outbox/trouble.py", (_unit("trouble", "rests"), _real("tokens", "isolation"))),
    Target("outbox/wish.py", (_unit("wish"), _unit("lane_push"), _real("wishes"))),
    Target("outbox/schedule.py", (_unit("schedule"), _unit("event"))),
    Target("outbox/payload.py", (_unit("payload", "relay_rows"), _unit("event", "schedule"))),
    Target("outbox/field.py", (_unit("payload", "relay_rows"), _unit("event", "schedule"))),
    Target("outbox/bound.py", (_unit("payload", "schedule"), _unit("event"))),
    Target("outbox/text.py", (_unit("text", "event"), _unit("payload", "schedule"))),
    Target("outbox/event.py", (_unit("event"), _real("push"))),
    Target("web/feed/ical.py", (_unit("feed_ical"), _real("feed"))),
    Target("outbox/backoff.py", (_unit("backoff"), _unit("trouble"))),
    Target("outbox/slots.py", (_unit("slots"), _real("slow_lanes"))),
    Target("outbox/speakers.py", (_unit("lane_push"), *PUSH)),
    Target("outbox/relay.py", ((*_unit("relay_rows"), *FENCES), _real("relay"), _real("testpush", "isolation"))),
)

ENCRYPT = (
    Target("outbox/crypto.py", (_unit("crypto"), _real("tokens"))),
    Target("outbox/google/oauth.py", (_unit("oauth", "consent_responses"), _real("tokens", "consent"))),
)

FENCE = (
    Target("outbox/lane_store.py", ((*FENCES, *_unit("wish", "lane_push")), *PUSH)),
    Target("outbox/push.py", (_unit("lane_push"), *PUSH)),
    Target("outbox/dialogue.py", (_unit("lane_push"), *PUSH)),
    *(
        Target(f"sql/push/{name}.sql", (FENCES, *PUSH))
        for name in ("lock_lane", "settle_done", "settle_events", "settle_undone", "clear_doubt", "retire_event")
    ),
    *(
        Target(f"sql/connection/{name}.sql", (FENCES, *GRANT))
        for name in ("break_connection", "store_access_token", "cool_connection", "store_grant")
    ),
    Target("sql/relay/apply_rows.sql", (FENCES, _real("relay", "races"), _real("push", "wishes"))),
)

ISOLATE = (
    Target("web/identity.py", (_unit("identity"), _unit("middleware", "keys"), _real("api"))),
    Target("web/keys.py", (_unit("keys", "identity"), _real("api"))),
    Target("web/same_origin.py", (_unit("same_origin"), _unit("middleware"), _real("attacks"))),
    Target("web/redemption.py", CONSENT),
    Target("web/attempts.py", (FENCES, *CONSENT)),
    Target("web/limits.py", (_real("limits"), _real("api", "consent"))),
    Target("web/return_to.py", (_unit("return_to"), _real("attacks"))),
    Target("outbox/user.py", (FENCES, _real("api"))),
    Target("outbox/verbs/forgetting.py", (_real("forget"), _real("commands"))),
    Target("outbox/verbs/forgotten.py", (_unit("forgotten"), _real("forget"))),
    Target("outbox/grants.py", (_real("leaving"), _real("operations", "leaving_trouble"), _real("attacks"))),
    Target("outbox/access.py", ((*FENCES, *_unit("access")), *GRANT)),
    Target("sql/connection/read_grant.sql", (FENCES, *GRANT)),
    Target("sql/web/take_token.sql", ((*FENCES, *_real("limits")),)),
    Target("web/feed/feeds.py", ((*_unit("feed_ical"), *_real("feed")),)),
    Target("sql/feed/renew.sql", (_real("feed"),)),
    Target("sql/web/colleague_on_calendar.sql", (FENCES, _real("operations", "leaving"))),
    *(
        Target(f"sql/consent/{name}.sql", (FENCES, *CONSENT))
        for name in ("read_attempt", "read_unfinished", "record_outcome", "take_attempt")
    ),
)

TARGETS = (*DECIDE, *ENCRYPT, *FENCE, *ISOLATE)
"""All of them."""
