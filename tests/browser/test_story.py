"""The whole way of a dispatcher, from signing in to leaving and coming back, in one go."""

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visit
from tests.browser.stack import ANA, ROBIN, Stack, job
from tests.browser.visitor import Visitor, illustrate

JOBS = "jobs-u_robin@acme-freight.example.com"
OWN = ROBIN.account.email
TENANT = ROBIN.user.tenant_id

FIRST = ("job_1", job("A-10231", "Dallas → Memphis", 1))
SECOND = ("job_2", job("A-10232", "Memphis → Nashville", 2))
MOVED = ("job_2", job("A-10232", "Memphis → Atlanta", 3))
THIRD = ("job_3", job("A-10240", "Houston → Dallas", 4))


def test_a_dispatcher_connects_works_leaves_and_comes_back(stack: Stack, visiting: Visit) -> None:
    stack.connect(ANA)
    with visiting(ROBIN, signed_in=False) as robin:
        signs_in(robin)
        connects(robin)
        chooses_a_calendar(robin)
        sends_a_test(robin)
        calendars = robin.calendars()
        sees_jobs_arrive(robin, calendars)
        moves_to_another_calendar(robin, calendars)
        pauses_and_resumes(robin, calendars)
        leaves_and_takes_the_events_along(robin, calendars)
        comes_back(robin, calendars)
        loses_the_grant_and_reconnects(robin, calendars)


def section(visitor: Visitor, heading: str) -> Locator:
    """The part of the page under this heading."""
    return visitor.page.get_by_role("region", name=heading, exact=True)


def signs_in(robin: Visitor) -> None:
    robin.open("/")
    robin.look("sign-in")
    robin.press("Sign in as Robin of acme-freight")
    robin.stands_at("not_connected")
    robin.look("not-connected")
    illustrate(robin.page, "connect")


def connects(robin: Visitor) -> None:
    robin.press("Connect Google Calendar")
    robin.chooses_account()
    boxes = robin.page.get_by_role("checkbox")
    expect(boxes).to_have_count(2)
    for box in boxes.all():
        box.check()
    illustrate(robin.page, "google-consent", part=robin.page.locator("main"))
    robin.consents()
    robin.stands_at("choose_calendar")
    robin.sees("Google account connected")
    robin.look("choose-calendar")


def chooses_a_calendar(robin: Visitor) -> None:
    robin.page.locator("#calendar").get_by_role("radio", name="Jobs").check()
    illustrate(robin.page, "choose-calendar", part=robin.page.locator("#calendar"))
    robin.press("Use this calendar")
    robin.sees("Calendar saved")
    robin.stands_at("active")
    expect(robin.page.locator("#overview")).to_contain_text("Jobs")


def sends_a_test(robin: Visitor) -> None:
    robin.press("Send test")
    steps = robin.page.locator("#test-push .steps li")
    expect(steps).to_have_count(6)
    expect(robin.page.locator("#test-push .steps li.done")).to_have_count(6)  # without a reload
    robin.sees("Everything works")
    robin.look("test-push-succeeded")
    illustrate(robin.page, "test-push", part=robin.page.locator("#test-push"))


def sees_jobs_arrive(robin: Visitor, calendars: Page) -> None:
    robin.stack.commit(TENANT, FIRST, SECOND)
    expect(robin.titles(calendars, JOBS)).to_have_text(["A-10231 · Dallas → Memphis", "A-10232 · Memphis → Nashville"])
    robin.reloads_until("Your calendar is up to date")
    robin.look("active")
    illustrate(robin.page, "preferences", part=section(robin, "Preferences"))
    illustrate(calendars, "events", part=calendars.locator(".calendar", has=robin.titles(calendars, JOBS).first))


def moves_to_another_calendar(robin: Visitor, calendars: Page) -> None:
    robin.page.get_by_role("link", name="Change the calendar").click()
    robin.sees("The new calendar is filled first")
    robin.look("change-calendar")
    robin.chooses_calendar(OWN)
    robin.sees("Calendar saved")
    expect(robin.titles(calendars, OWN)).to_have_text(["A-10231 · Dallas → Memphis", "A-10232 · Memphis → Nashville"])
    expect(robin.titles(calendars, JOBS)).to_have_count(0)


def pauses_and_resumes(robin: Visitor, calendars: Page) -> None:
    robin.press("Pause")
    robin.stands_at("paused")
    robin.stack.commit(TENANT, MOVED)
    after = ["A-10231 · Dallas → Memphis", "A-10232 · Memphis → Atlanta"]
    expect(robin.titles(calendars, ANA.calendar_id or "")).to_have_text(after)  # a colleague's went through
    robin.reloads_until("1 change is waiting.")
    robin.look("paused")
    expect(robin.titles(calendars, OWN)).to_have_text(["A-10231 · Dallas → Memphis", "A-10232 · Memphis → Nashville"])
    robin.press("Resume")
    robin.sees("Syncing goes on")
    expect(robin.titles(calendars, OWN)).to_have_text(after)


def leaves_and_takes_the_events_along(robin: Visitor, calendars: Page) -> None:
    part = robin.opens_disconnect()
    part.get_by_role("radio", name="Remove them").check()
    illustrate(robin.page, "disconnect", part=part)
    robin.press("Disconnect Google Calendar")
    robin.stands_at("not_connected")  # the page follows by itself
    robin.sees("Our access to your Google account has been given up.")
    robin.look("disconnected")
    expect(robin.titles(calendars, OWN)).to_have_count(0)
    expect(robin.titles(calendars, ANA.calendar_id or "")).to_have_count(2)


def comes_back(robin: Visitor, calendars: Page) -> None:
    robin.connects()
    robin.stands_at("choose_calendar")
    robin.chooses_calendar("Jobs")
    expect(robin.titles(calendars, JOBS)).to_have_count(2)


def loses_the_grant_and_reconnects(robin: Visitor, calendars: Page) -> None:
    robin.stack.revoke(ROBIN)
    robin.stack.commit(TENANT, THIRD)
    robin.reloads_until("Google no longer lets us in")
    robin.sees("Nothing is lost: 1 change is waiting and will be delivered then.")
    robin.look("needs-reconnect")
    illustrate(robin.page, "reconnect", part=robin.page.locator(".banner"))
    robin.press("Reconnect Google Calendar")
    robin.consents()
    robin.stands_at("active")
    robin.sees("Your jobs are on their way to your calendar.")
    expect(robin.titles(calendars, JOBS)).to_have_count(3)
