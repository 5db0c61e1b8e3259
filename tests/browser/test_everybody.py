"""The whole way without a script, and with nothing but a keyboard."""

from playwright.sync_api import Locator, expect

from tests.browser.conftest import Visit
from tests.browser.stack import Stack, job
from tests.browser.visitor import Visitor
from web.demo.people import Person

FOCUSED = "(element) => element === document.activeElement"

OUTLINE = """(element) => {
  const shown = [element, element.closest("label")].filter(Boolean);
  return shown.some((part) => getComputedStyle(part).outlineStyle !== "none");
}"""

MOST_STOPS = 40
"""Nothing on these pages is further than so many presses of Tab away."""


def test_everything_works_without_a_script(stack: Stack, visiting: Visit, newcomer: Person) -> None:
    with visiting(newcomer, script=False) as visitor:
        visitor.open()
        visitor.connects()
        visitor.sees("Google account connected")
        visitor.chooses_calendar("Jobs")
        visitor.sees("Calendar saved")
        visitor.press("Send test")
        visitor.sees("Put into the queue")
        visitor.reloads_until("Everything works")
        stack.commit(newcomer.user.tenant_id, ("job_1", job("J-1", "Dallas → Memphis", 1)))
        events = visitor.titles(visitor.calendars(), newcomer.calendar_id or "")
        expect(events).to_have_text(["J-1 · Dallas → Memphis"])
        visitor.open()
        visitor.page.get_by_role("radio", name="Jobs assigned to me").check()
        visitor.press("Save")
        visitor.sees("Preferences saved")
        expect(events).to_have_count(0)
        visitor.page.get_by_role("radio", name="All jobs").check()
        visitor.press("Save")
        visitor.sees("Preferences saved")
        expect(events).to_have_count(1)
        visitor.press("Push again")
        visitor.sees("Everything is being pushed again")
        visitor.press("Pause")
        visitor.sees("Syncing is paused")
        visitor.press("Resume")
        visitor.sees("Syncing goes on")
        visitor.opens_disconnect().get_by_role("radio", name="Keep them").check()
        visitor.press("Disconnect Google Calendar")
        visitor.sees("Connect again")
        visitor.sees("1 event that we added is still in your calendar")
        expect(events).to_have_count(1)


def test_a_keyboard_is_enough(visitor: Visitor) -> None:
    page = visitor.page
    visitor.open()
    tab_to(visitor, page.get_by_role("button", name="Connect Google Calendar"), press="Enter")
    tab_to(visitor, page.get_by_role("button", name=visitor.person.account.email), press="Enter")
    expect(page.get_by_role("checkbox")).to_have_count(2)
    for box in page.get_by_role("checkbox").all():
        tab_to(visitor, box, press="Space")
    tab_to(visitor, page.get_by_role("button", name="Continue"), press="Enter")
    visitor.stands_at("choose_calendar")
    calendars = page.locator("#calendar").get_by_role("radio")
    tab_to(visitor, calendars.first, press="Space")
    page.keyboard.press("ArrowDown")
    expect(calendars.nth(1)).to_be_checked()
    tab_to(visitor, page.get_by_role("button", name="Use this calendar"), press="Enter")
    visitor.stands_at("active")
    tab_to(visitor, page.get_by_role("button", name="Send test"), press="Space")
    expect(page.locator("#test-push li.done")).to_have_count(6)
    tab_to(visitor, page.locator("#disconnect summary"), press="Enter")
    tab_to(visitor, page.get_by_role("radio", name="Keep them"), press="Space")
    tab_to(visitor, page.get_by_role("button", name="Disconnect Google Calendar"), press="Enter")
    visitor.stands_at("not_connected")


def tab_to(visitor: Visitor, target: Locator, *, press: str) -> None:
    """Press Tab until the target has the focus, see that it shows it, and press the key."""
    expect(target).to_be_visible()
    for _ in range(MOST_STOPS):
        visitor.page.keyboard.press("Tab")
        if target.evaluate(FOCUSED):
            break
    assert target.evaluate(FOCUSED), f"{target} cannot be reached with Tab"
    assert target.evaluate(OUTLINE), f"{target} does not show that it has the focus"
    visitor.page.keyboard.press(press)
