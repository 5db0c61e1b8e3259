"""The whole life of a calendar: filled, changed for another, shared with a colleague, cleaned up; then a feed."""

import re
from datetime import datetime
from typing import Any

from icalendar import Calendar
from playwright.sync_api import Locator, expect

from tests.browser.conftest import Visit
from tests.browser.stack import Entry, Stack, job
from tests.browser.visitor import Visitor, illustrate
from tests.integration.conftest import eventually

WAYS = ("Dallas → Memphis", "Memphis → Nashville", "Houston → Dallas", "Nashville → Atlanta")
COLLEAGUE = "u_ben"
MANY = 62
"""Jobs: more than go to Google in one request, so that a part of them is seen."""
JOBS: dict[str, dict[str, Any]] = {
    f"job_{n}": {
        **job(f"A-{10230 + n}", WAYS[n % len(WAYS)], days=n),
        "assigned_user_ids": [COLLEAGUE] if n % 6 == 0 else [],
    }
    for n in range(1, MANY + 1)
}
SOME = "^[1-9][0-9]?"


def test_a_calendar_is_filled_changed_shared_cleaned_up_and_followed_by_a_feed(stack: Stack, visiting: Visit) -> None:
    dispatcher, colleague, board = stack.colleagues()
    tenant_id, jobs = dispatcher.user.tenant_id, dispatcher.calendar_id or ""
    stack.commit(tenant_id, *JOBS.items())
    everything, bens = entries(JOBS.values()), entries(each for each in JOBS.values() if each["assigned_user_ids"])
    with visiting(dispatcher) as robin, visiting(colleague) as ben:
        sees_the_calendar_filled(robin)
        assert stack.agenda(dispatcher, jobs) == everything
        changes_the_calendar(robin, board)
        assert (stack.agenda(dispatcher, jobs), stack.agenda(dispatcher, board)) == ([], everything)
        joins(ben)
        assert stack.agenda(colleague, board) == everything
        leaves_the_rest_to_the_colleague(robin, board)
        assert (stack.agenda(dispatcher, jobs), stack.agenda(colleague, board)) == ([], bens)
        reads_a_feed_instead(robin, everything)


def entries(jobs: Any) -> list[Entry]:
    """What calendars show of these jobs."""
    return sorted(
        (
            f"{each['job_number']} · {leg['summary']}",
            datetime.fromisoformat(leg["dispatch_window"]["start"]),
            datetime.fromisoformat(leg["delivery_window"]["end"]),
        )
        for each in jobs
        for leg in each["legs"]
    )


def overview(visitor: Visitor) -> Locator:
    """The part of the page that says how things stand."""
    return visitor.page.locator("#overview")


def sees_the_calendar_filled(robin: Visitor) -> None:
    robin.open()
    robin.connects()
    eventually(lambda: robin.stack.has_taken_over(robin.person.user.tenant_id))
    robin.stack.slow_after_first("POST", robin.person.calendar_id or "")
    robin.chooses_calendar("Jobs")
    robin.sees("Calendar saved")
    robin.reloads_until(re.compile(f"{SOME} of {MANY} jobs are up to date in “Jobs”."))
    robin.sees("Your calendar is being brought up to date")
    expect(robin.page.get_by_role("progressbar")).to_have_attribute("value", re.compile(SOME))
    illustrate(robin.page, "filling", part=overview(robin))
    robin.stack.heal()
    robin.reloads_until("Your calendar is up to date")
    expect(robin.page.get_by_role("progressbar")).to_have_count(0)


def changes_the_calendar(robin: Visitor, board: str) -> None:
    robin.page.get_by_role("link", name="Change the calendar").click()
    robin.stack.slow_after_first("POST", board)
    robin.chooses_calendar("Dispatch board")
    robin.sees("Calendar saved")
    robin.reloads_until(re.compile(f"{SOME} of {MANY} jobs are up to date in “Dispatch board”."))
    robin.sees(f"“Jobs” with {MANY} events is emptied when the new calendar is filled.")
    robin.look("changing-calendar")
    illustrate(robin.page, "changing-calendar", part=overview(robin))
    robin.stack.heal()
    robin.reloads_until("Your calendar is up to date", without="“Jobs”")


def joins(ben: Visitor) -> None:
    ben.open()
    ben.connects()
    picker = ben.page.locator("#calendar")
    picker.get_by_role("radio", name="Dispatch board").check()
    ben.sees("A colleague already syncs to this calendar. You share one event for each job.")
    illustrate(ben.page, "shared-calendar", part=picker)
    ben.press("Use this calendar")
    ben.stands_at("active")
    ben.page.get_by_role("radio", name="Jobs assigned to me").check()
    ben.press("Save")
    ben.sees("Preferences saved")
    ben.reloads_until("Your calendar is up to date")


def leaves_the_rest_to_the_colleague(robin: Visitor, board: str) -> None:
    robin.stack.slow_after_first("DELETE", board)
    robin.open()
    robin.opens_disconnect().get_by_role("radio", name="Remove mine first").check()
    robin.press("Disconnect Google Calendar")
    robin.stands_at("disconnecting")
    robin.reloads_until(re.compile(f"{SOME} of {MANY} events looked at in “Dispatch board”."))
    robin.look("disconnecting-shared")
    illustrate(robin.page, "cleaning-up", part=overview(robin))
    robin.stack.heal()
    robin.reloads_until("Our access to your Google account has been given up.")


def reads_a_feed_instead(robin: Visitor, expected: list[Entry]) -> None:
    robin.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    section = robin.page.locator("#feed")
    robin.press("Make a feed")
    robin.sees("This is the address of your feed.")
    illustrate(robin.page, "feed", part=section)
    first = copies_the_address(robin)
    robin.look("feed-made")
    assert read_feed(robin.stack.fetch(first).body) == expected

    robin.open()
    assert first not in robin.page.content()
    robin.look("feed")
    robin.press("Make a new address")
    second = copies_the_address(robin)
    assert (robin.stack.fetch(first).status, robin.stack.fetch(second).status) == (404, 200)

    robin.press("Switch off")
    robin.sees("The calendar feed is off")
    assert robin.stack.fetch(second).status == 404


def copies_the_address(robin: Visitor) -> str:
    """Press Copy; what then is in the clipboard is what the page shows."""
    robin.press("Copy")
    robin.sees("Copied")
    address: str = robin.page.evaluate("navigator.clipboard.readText()")
    expect(robin.page.get_by_label("Address of your calendar feed")).to_have_value(address)
    return address


def read_feed(text: bytes) -> list[Entry]:
    """What a calendar app shows of a feed."""
    return sorted((str(each["SUMMARY"]), each.start, each.end) for each in Calendar.from_ical(text).events)
