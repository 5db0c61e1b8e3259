"""Ways to Google and back that do not go as planned, as people walk them."""

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import Visit
from tests.browser.stack import Stack
from tests.browser.visitor import Visitor
from web.api.paths import API
from web.demo.people import Person


@pytest.mark.parametrize("boxes", ["first", "last"])
def test_one_box_left_unticked_is_explained_and_can_be_put_right(visitor: Visitor, boxes: str) -> None:
    visitor.open()
    visitor.press("Connect Google Calendar")
    visitor.chooses_account()
    visitor.consents("first" if boxes == "first" else "last")
    visitor.sees("A box was left unticked")
    visitor.stands_at("not_connected")
    visitor.look(f"not-connected-{boxes}-box-only")
    visitor.connects()
    visitor.stands_at("choose_calendar")


def test_cancel_at_google_changes_nothing_and_says_how_to_go_on(visitor: Visitor) -> None:
    visitor.open()
    visitor.press("Connect Google Calendar")
    visitor.chooses_account()
    visitor.press("Cancel")
    visitor.stands_at("not_connected")
    visitor.sees("You chose Cancel")
    visitor.look("not-connected-cancelled")
    visitor.page.reload()
    expect(visitor.page.get_by_text("You chose Cancel")).to_have_count(0)


def test_the_way_to_google_is_also_a_link_and_can_be_left(visitor: Visitor) -> None:
    def stay(route: Route) -> None:
        route.fulfill(status=204)

    visitor.open()
    visitor.page.route(f"{visitor.stack.google.authorize_url}**", stay)
    visitor.press("Connect Google Calendar")
    visitor.sees("On the way to Google")
    visitor.look("on-the-way-to-google")
    expect(visitor.page.get_by_role("link", name="Continue to Google")).to_be_visible()
    visitor.page.get_by_role("link", name="Cancel").click()
    visitor.stands_at("not_connected")
    visitor.page.get_by_text("Did Google stop you?").click()
    visitor.sees("Your organization blocks this app.")
    visitor.look("not-connected-unfinished")


def test_the_back_button_and_a_callback_that_comes_twice_are_harmless(visitor: Visitor) -> None:
    requests: list[str] = []
    visitor.page.on("request", lambda request: requests.append(request.url))
    visitor.open()
    visitor.connects()
    visitor.chooses_calendar("Jobs")
    visitor.stands_at("active")
    [callback] = [url for url in requests if f"{API}/callback?" in url]
    visitor.page.goto(callback)
    visitor.stands_at("active")
    expect(visitor.page.locator(".notice.bad")).to_have_count(0)
    for _ in range(2):
        visitor.page.go_back()
        visitor.stands_at("active")


def test_consenting_again_on_pages_that_the_back_button_brings_is_harmless(visitor: Visitor) -> None:
    visitor.open()
    visitor.connects()
    visitor.stands_at("choose_calendar")
    visitor.page.evaluate("setTimeout(() => history.go(-2))")  # past Google's consent page, to the choice of an account
    visitor.chooses_account()
    visitor.consents()
    visitor.stands_at("choose_calendar")
    expect(visitor.page.locator(".notice.bad")).to_have_count(0)
    visitor.chooses_calendar("Jobs")
    visitor.stands_at("active")


def test_two_tabs_can_go_to_google_at_once(visitor: Visitor) -> None:
    visitor.open()
    other = visitor.other_tab()
    for tab in (visitor, other):
        tab.press("Connect Google Calendar")
    for tab in (other, visitor):
        tab.chooses_account()
        tab.consents()
        tab.stands_at("choose_calendar")
        tab.sees("Google account connected")


def test_a_tab_that_is_behind_the_times_says_so(visitor: Visitor) -> None:
    visitor.open()
    visitor.connects()
    visitor.stands_at("choose_calendar")
    other = visitor.other_tab()
    other.opens_disconnect()
    other.press("Disconnect Google Calendar")
    other.stands_at("not_connected")
    visitor.chooses_calendar("Jobs")
    visitor.stands_at("not_connected")
    visitor.sees("No Google account is connected")


def test_coming_back_as_somebody_else_connects_nobody(stack: Stack, visiting: Visit, newcomer: Person) -> None:
    colleague = stack.newcomer()
    with visiting(newcomer) as visitor:
        visitor.open()
        visitor.press("Connect Google Calendar")
        visitor.chooses_account()
        visitor.signs_in_as(colleague.user)
        visitor.consents()
        visitor.sees("You were signed in here as somebody else when you started")
        visitor.stands_at("not_connected")


def test_nobody_signed_in_is_told_so(visiting: Visit, newcomer: Person) -> None:
    with visiting(newcomer, signed_in=False) as visitor:
        visitor.expects_status(401)
        visitor.open()
        expect(visitor.page.get_by_role("heading", level=1)).to_be_visible()
        visitor.look("not-signed-in")
