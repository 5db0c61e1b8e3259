"""What the documents for Google say is stored, cleared and sent is what the product stores, clears and sends."""

import json
import re
from collections.abc import Callable, Mapping
from uuid import uuid4

import pytest

from outbox.grants import GIVE_UP_SECONDS
from outbox.settings import Settings
from outbox.statements import statement
from tests.guides.reading import DOCS, names, table
from tests.integration.conftest import World, job
from tests.integration.steps import connection, grant
from web.api.paths import API
from web.problem import TYPE_PREFIX
from web.sandbox.model import Role
from web.sandbox.specs import AccountSpec, CalendarSpec

HANDLING = (DOCS / "google-verification" / "data-handling.md").read_text()
PLANNING = (DOCS / "google-verification" / "quota-planning.md").read_text()

STORED = [
    (names(name)[0], column, after == "cleared")
    for name, columns, _, after, _ in table(HANDLING, "What is stored")
    for column in names(columns)
]
"""By the document: table, column, and whether a disconnect clears it."""

NAMED = {f"{name}.{column}" for name, column, _ in STORED}

UNDER_THE_SAME_NAME = {name for _, name, _ in STORED if name not in {"problem", "failure", "scope"}}
"""What is called so holds something of Google's, in whatever table."""

PREFIX = "https://www.googleapis.com/auth/"


def columns(world: World) -> dict[str, list[str]]:
    """The columns of each table of the schema."""
    found: dict[str, list[str]] = {}
    for name, column in world.execute(
        "SELECT class.relname, attname FROM pg_attribute JOIN pg_class AS class ON class.oid = attrelid"
        " WHERE class.relnamespace = 'calendar_sync'::regnamespace AND class.relkind IN ('r', 'p')"
        " AND attnum > 0 AND NOT attisdropped ORDER BY class.relname, attnum"
    ):
        found.setdefault(name, []).append(column)
    return found


def holding(world: World, words: set[str]) -> set[str]:
    """The columns in which one of the words stands."""
    return {
        f"{name}.{column}"
        for name, its_columns in columns(world).items()
        for column in its_columns
        for (value,) in world.execute(f"SELECT {column}::text FROM calendar_sync.{name} WHERE {column} IS NOT NULL")
        if any(word in value for word in words)
    }


def test_every_table_is_named_and_every_column_that_is_called_like_one_of_googles(world: World) -> None:
    schema = columns(world)
    assert {name for name, _, _ in STORED} <= schema.keys()
    assert [(name, column) for name, column, _ in STORED if column not in schema[name]] == []
    [others] = re.findall(r"^Nothing of Google's is in these tables: (.+)\.$", HANDLING, re.MULTILINE)
    assert sorted([*{name for name, _, _ in STORED}, *names(others)]) == sorted(schema)
    called_so = {f"{name}.{column}" for name in schema for column in schema[name] if column in UNDER_THE_SAME_NAME}
    assert called_so <= NAMED


def test_what_google_told_stands_in_no_other_column_and_a_disconnect_clears_what_is_said(world: World) -> None:
    [token] = re.findall("[0-9a-f]{8}", uuid4().hex)[:1]
    email, other, guest = (f"{name}-{token}@example.com" for name in ("ana", "calendar", "guest"))
    title, note = f"Title {token}", f"note {token}"
    own_calendar = CalendarSpec(id=other, summary=title)
    world.google.add_account(AccountSpec(email=email, calendars=(own_calendar,)))
    grant(world, "u_ana", email)
    world.caller("u_ana").ask("PATCH", API, {"calendar_id": other})
    world.commit("job_1", job())
    world.sync()
    [event] = world.events(other, email)
    changes = {"attendees": [{"email": guest}], "extendedProperties": {"shared": {"theirs": note}}}
    edit_as(world, email, other, event["id"], changes)
    world.commit("job_1", job("J-2"))
    world.caller("u_ana").ask("POST", f"{API}/test-push")
    world.sync()
    [event] = world.events(other, email)
    words = {email, other, guest, title, note, str(event["etag"])}
    found = holding(world, words)
    assert found <= NAMED
    assert {"calendar_connection.account_email", "pushed_event.etag", "pushed_event.users_fields"} <= found
    world.caller("u_ana").ask("PATCH", API, {"calendar_id": email})  # a calendar that is being left
    assert holding(world, words) <= NAMED
    world.execute(
        "UPDATE calendar_sync.calendar_connection SET lost_calendar_id = calendar_id,"
        " cooling_until = calendar_sync.now() + interval '1 hour', cooling_reason = 'limit'"
    )
    world.caller("u_ana").ask("POST", f"{API}/disconnect", {"remove_events": False})
    of_connection = {column: cleared for name, column, cleared in STORED if name == "calendar_connection"}
    left = connection(world, "u_ana", *(f"nullif({column}::text, '{{}}')" for column in of_connection))
    assert {column: value is None for column, value in zip(of_connection, left, strict=True)} == of_connection
    assert holding(world, words) <= {f"{name}.{column}" for name, column, cleared in STORED if not cleared}


def edit_as(world: World, account: str, calendar: str, event: str, patch: Mapping[str, object]) -> None:
    """A change in Google by somebody who is not known by the calendar's id."""
    body = {"account": account, "calendar": calendar, "event": event, "patch": dict(patch)}
    world.google.control("POST", "user-edit", body)


def test_the_times_are_those_of_the_code() -> None:
    retention = Settings.model_fields["job_retention_days"].default
    written = [times.split(" ")[:2] for _, times in table(HANDLING, "For how long")]
    days = f"{GIVE_UP_SECONDS / 86400:.0f}"
    assert written == [
        [str(retention), "days"],
        interval("janitor/delete_old_test_pushes"),
        interval("janitor/delete_old_attempts"),
        interval("notification/delete_old"),
        interval("budget/forget_quotas"),
        interval("budget/forget_hours"),
        interval("janitor/delete_old_limits"),
        [days, "day"],
    ]
    kept = {row[0] + row[1]: row[4] for row in table(HANDLING, "What is stored")}
    assert kept["`test_push``calendar_id`"].split(" ") == interval("janitor/delete_old_test_pushes")
    assert kept["`quota``scope`"].split(" ")[:2] == interval("budget/forget_quotas")


def interval(name: str) -> list[str]:
    """The one time that a statement speaks of."""
    [found] = re.findall(r"interval '(\d+ \w+)'", (DOCS.parent / "sql" / f"{name}.sql").read_text())
    assert statement(name)
    return str(found).split(" ")


SETS = ["calendar.events calendar.calendarlist.readonly", "calendar.events.owned calendar.calendarlist.readonly"]


@pytest.mark.parametrize("scopes", SETS)
def test_with_a_narrow_set_of_scopes_everything_works_at_the_price_that_is_said(world: World, scopes: str) -> None:
    asked = " ".join(PREFIX + name for name in scopes.split())
    world.stage.web_settings = world.stage.web_settings.model_copy(update={"google_oauth_scopes": asked})
    caller = world.caller("u_ana")

    def price(act: Callable[[], object], *, of: int = 1) -> int:
        before = requests_to_google(world)
        act()
        world.sync()
        return (requests_to_google(world) - before) // of

    def change(*numbers: str) -> Callable[[], object]:
        return lambda: [world.commit(f"job_{place}", job(number)) for place, number in enumerate(numbers)]

    connecting = price(lambda: world.connect("u_ana"))
    look = price(lambda: caller.ask("GET", f"{API}/calendars"))
    prices = {
        "a new job": price(change("J-1")),
        "a lone edit": price(change("J-2")),
        "a change that the event does not show": price(change("J-2")),
        "a cancelled job": price(lambda: world.commit("job_0", {}, "job.cancelled")),
        "a job that comes back": price(change("J-2")),
    }
    burst = price(lambda: [change("J-3")(), change("J-4")()])
    price(change("J-4", "J-5"))
    prices |= {
        "several edits at once, each": price(change("J-6", "J-7"), of=2),
        "a resync, each event": price(lambda: caller.ask("POST", f"{API}/resync"), of=2),
        "a test push": price(lambda: caller.ask("POST", f"{API}/test-push")),
    }
    leave = {"remove_events": True}
    prices["a disconnect with removal, each event"] = price(
        lambda: caller.ask("POST", f"{API}/disconnect", leave), of=2
    )
    assert connection(world, "u_ana", "state", "revocation") == ("not_connected", "revoked")
    prices["a backfill, each upcoming job"] = (price(lambda: world.connect("u_ana")) - connecting) // 2
    assert burst == prices["a lone edit"]
    assert dict(table(PLANNING, "What a change costs")) == {
        **{what: str(requests) for what, requests in prices.items()},
        "a burst of edits of one job within seconds": "as one edit",
        "connecting and choosing a calendar": f"{connecting}, and {look} for each look at the list",
    }


def test_with_the_right_to_own_calendars_alone_only_these_are_offered_and_taken(world: World) -> None:
    asked = " ".join(PREFIX + name for name in SETS[1].split())
    world.stage.web_settings = world.stage.web_settings.model_copy(update={"google_oauth_scopes": asked})
    own, shared = f"u_ana-{world.tenant}@example.com", f"dispatch-{world.tenant}@example.com"
    board = CalendarSpec(id=shared, summary="Dispatch", role=Role.WRITER)
    world.google.add_account(AccountSpec(email=own, calendars=(board,)))
    assert grant(world, "u_ana", own) == "choose_calendar"
    caller = world.caller("u_ana")
    listed = caller.ask("GET", f"{API}/calendars")["calendars"]
    assert [calendar["id"] for calendar in listed] == [own]
    refused = caller.call("PATCH", API, {"calendar_id": shared})
    said = json.loads(refused.body)
    assert (refused.status, said["type"]) == (422, TYPE_PREFIX + "calendar_not_writable")
    assert "your own calendars" in said["detail"]


def requests_to_google(world: World) -> int:
    """How many calls of the Calendar API were made, batches by their parts."""
    [[requests]] = world.execute("SELECT coalesce(sum(requests), 0)::int FROM calendar_sync.request_hour")
    return int(requests)
