"""What goes wrong at Google, as the page tells it, and how the page leads out of it."""

from playwright.sync_api import expect

from tests.browser.stack import Stack, job
from tests.browser.visitor import Visitor
from web.demo.people import Person
from web.sandbox.specs import FaultKind, FaultSpec


def test_a_calendar_that_is_deleted_is_replaced_on_the_page(stack: Stack, visitor: Visitor) -> None:
    lost, own = visitor.person.calendar_id or "", visitor.person.account.email
    stack.connect(visitor.person)
    stack.google.control("POST", f"calendars/{lost}/delete")
    stack.commit(tenant_of(visitor.person), ("job_1", job("J-1", "Dallas → Memphis", 1)))
    visitor.reloads_until("We can no longer write to “Jobs”")
    visitor.stands_at("calendar_lost")
    visitor.look("calendar-lost")
    visitor.chooses_calendar(own)
    visitor.stands_at("active")
    expect(visitor.titles(visitor.calendars(), own)).to_have_text(["J-1 · Dallas → Memphis"])


def test_google_that_asks_for_patience_is_waited_for(stack: Stack, visitor: Visitor) -> None:
    stack.connect(visitor.person)
    account = visitor.person.account.email
    stack.fault(
        FaultSpec(kind=FaultKind.REFUSE, account=account, status=403, reason="userRateLimitExceeded", retry_after=600)
    )
    stack.commit(tenant_of(visitor.person), ("job_1", job("J-1", "Dallas → Memphis", 1)))
    visitor.reloads_until("Google asked us to slow down")
    visitor.sees("1 change is waiting.")
    visitor.look("active-resting")


def test_a_job_that_google_refuses_is_named_and_can_be_retried(stack: Stack, visitor: Visitor) -> None:
    stack.connect(visitor.person)
    account = visitor.person.account.email
    stack.fault(FaultSpec(kind=FaultKind.REFUSE, account=account, path="/events", status=400, reason="invalid"))
    stack.commit(tenant_of(visitor.person), ("job_1", job("J-1", "Dallas → Memphis", 1)))
    visitor.reloads_until("1 job could not be pushed")
    visitor.sees("Job J-1")
    visitor.look("active-problem")
    stack.heal()
    visitor.press("Retry job J-1")
    visitor.sees("Trying again")
    expect(visitor.titles(visitor.calendars(), visitor.person.calendar_id or "")).to_have_count(1)
    expect(visitor.page.get_by_text("1 job could not be pushed")).to_have_count(0)


def test_the_page_stands_while_google_does_not_answer(stack: Stack, visitor: Visitor) -> None:
    stack.connect(visitor.person)
    account = visitor.person.account.email
    stack.fault(FaultSpec(kind=FaultKind.REFUSE, account=account, path="calendarList", status=503))
    visitor.open()
    visitor.page.get_by_role("link", name="Change the calendar").click()
    visitor.sees("Your calendars cannot be listed right now.")
    visitor.look("change-calendar-google-down")
    stack.heal()
    visitor.page.get_by_role("link", name="Try again").click()
    expect(visitor.page.locator("#calendar").get_by_role("radio")).to_have_count(2)


def test_a_test_that_fails_says_where_and_why(stack: Stack, visitor: Visitor) -> None:
    stack.connect(visitor.person)
    visitor.open()
    account = visitor.person.account.email
    stack.fault(FaultSpec(kind=FaultKind.REFUSE, account=account, path="/events", status=400, reason="invalid"))
    visitor.press("Send test")
    visitor.sees("The test did not get through")
    expect(visitor.page.locator("[data-step=written]")).to_have_class("failed")
    expect(visitor.page.locator("[data-step=written] [data-step-detail]")).not_to_be_empty()
    visitor.look("test-push-failed")


def test_a_test_that_is_on_its_way_shows_what_it_waits_for(stack: Stack, visitor: Visitor) -> None:
    stack.connect(visitor.person)
    visitor.open()
    slow = FaultSpec(kind=FaultKind.DELAY, account=visitor.person.account.email, path="/events", seconds=4)
    stack.fault(slow)
    visitor.press("Send test")
    visitor.sees("The test is running")
    visitor.look("test-push-running")
    stack.heal()
    visitor.sees("Everything works")


def test_a_calendar_that_a_colleague_uses_is_marked(stack: Stack, visitor: Visitor) -> None:
    board = stack.shared_calendar(visitor.person)
    visitor.open()
    visitor.connects()
    visitor.stands_at("choose_calendar")
    visitor.sees("A colleague already syncs to this calendar.")
    visitor.look("choose-calendar-shared")
    visitor.chooses_calendar("Dispatch board")
    visitor.stands_at("active")
    stack.commit(tenant_of(visitor.person), ("job_1", job("J-1", "Dallas → Memphis", 1)))
    expect(visitor.titles(visitor.calendars(), board)).to_have_text(["J-1 · Dallas → Memphis"])


def test_a_disconnect_that_google_does_not_confirm_tells_what_to_do(stack: Stack, visitor: Visitor) -> None:
    stack.connect(visitor.person)
    visitor.open()
    stack.fault(FaultSpec(kind=FaultKind.CUT, path="/revoke"))
    visitor.opens_disconnect().get_by_role("radio", name="Keep them").check()
    visitor.press("Disconnect Google Calendar")
    visitor.stands_at("not_connected")
    visitor.sees("Disconnected, but Google did not answer")
    visitor.look("disconnected-unanswered")


def test_events_that_cannot_be_removed_yet_are_counted(stack: Stack, visitor: Visitor) -> None:
    stack.connect(visitor.person)
    stack.commit(tenant_of(visitor.person), *((f"job_{n}", job(f"J-{n}", "Dallas → Memphis", n)) for n in (1, 2, 3)))
    events = visitor.titles(visitor.calendars(), visitor.person.calendar_id or "")
    expect(events).to_have_count(3)
    account = visitor.person.account.email
    stack.fault(FaultSpec(kind=FaultKind.REFUSE, account=account, path="/events", status=503))
    visitor.open()
    visitor.opens_disconnect().get_by_role("radio", name="Remove them").check()
    visitor.press("Disconnect Google Calendar")
    visitor.stands_at("disconnecting")
    visitor.sees("0 of 3 events removed from “Jobs”.")
    visitor.look("disconnecting")
    # Before Google is well again, or the daemon may be done first.
    visitor.press("Connect again")
    visitor.chooses_account()
    visitor.consents()
    visitor.stands_at("active")
    stack.heal()
    expect(events).to_have_count(3)


def tenant_of(person: Person) -> str:
    """Whose jobs they are."""
    return person.user.tenant_id
