"""A person at a browser: what they do, what they see, and that nothing goes wrong unseen."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from re import Pattern
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, expect

from outbox.user import User
from tests.accessibility import violations
from tests.browser.stack import Stack
from web.api.paths import PAGE
from web.demo.people import Person

ROOT = Path(__file__).resolve().parents[2]

PATIENCE = 30_000
"""Milliseconds within which anything here must have happened."""

WIDTH, HEIGHT = 1100, 800
"""Of the window, in CSS pixels."""

PHONES = (320, 375)
"""Widths of small phones."""

FRAME = 8
"""Pixels around a part of the page in a picture of it."""

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
"""Of axe."""

NOTE_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
"""

TOO_WIDE = """() => [...document.querySelectorAll("body *")]
  .filter((element) => !element.closest(".visually-hidden"))
  .filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
  .map((element) => element.outerHTML.slice(0, 120))"""

OPEN_ALL = """() => {
  const closed = [...document.querySelectorAll("details:not([open])")];
  for (const part of closed) part.open = true;
  return closed.length;
}"""


class Visitor:
    """A user at a browser of their own, at first with an empty tab."""

    def __init__(self, page: Page, elsewhere: BrowserContext, watch: "Watch", stack: Stack, person: Person) -> None:
        self.page = page
        self._elsewhere = elsewhere
        self._watch = watch
        self.stack = stack
        self.person = person
        self.settings = f"{stack.origin}{PAGE}"

    def other_tab(self) -> "Visitor":
        """The same person in another tab, on the settings page."""
        other = Visitor(self.page.context.new_page(), self._elsewhere, self._watch, self.stack, self.person)
        other.open()
        return other

    def signs_in_as(self, user: User) -> None:
        """The browser's session becomes one of this user."""
        session = self.stack.session(user)
        self.page.context.add_cookies([{"name": "session", "value": session, "url": self.stack.origin}])

    def expects_status(self, status: int) -> None:
        """A page of that status is what this visit is about, and no error."""
        self._watch.expected.add(f"the server responded with a status of {status} ")

    def open(self, target: str = PAGE) -> None:
        """Go to an address of the app."""
        self.page.goto(f"{self.stack.origin}{target}")

    def press(self, name: str, *, inside: Locator | None = None) -> None:
        """Press the one button of that name."""
        (inside or self.page).get_by_role("button", name=name, exact=True).click()

    def sees(self, text: str, *, within: int = PATIENCE) -> None:
        """Wait until the page says so."""
        expect(self.page.get_by_text(text).first).to_be_visible(timeout=within)

    def stands_at(self, state: str) -> None:
        """Wait until the page, which shows what changes by itself, is that of the connection's state."""
        expect(self.page.locator("main")).to_have_attribute("data-state", state, timeout=PATIENCE)

    def reloads_until(self, text: str | Pattern[str], *, without: str | None = None) -> None:
        """Reload, as somebody does who waits for something, until the page says so, and the other no longer."""
        for _ in range(100):
            self.page.goto(self.settings)
            try:
                expect(self.page.get_by_text(text).first).to_be_visible(timeout=300)
                if without is not None:
                    expect(self.page.get_by_text(without)).to_have_count(0, timeout=300)
            except AssertionError:
                continue
            return
        raise AssertionError(f"the page never said: {text}")

    def chooses_account(self) -> None:
        """Choose the account on Google's page."""
        self.page.get_by_role("button", name=self.person.account.email, exact=True).click()

    def consents(self, boxes: Literal["all", "first", "last"] = "all") -> None:
        """Tick these boxes on Google's consent page, and go on."""
        shown = self.page.get_by_role("checkbox")
        expect(shown).to_have_count(2)
        everything = shown.all()
        for box in {"all": everything, "first": everything[:1], "last": everything[1:]}[boxes]:
            box.check()
        self.press("Continue")
        self.page.wait_for_url(f"{self.settings}**")

    def connects(self) -> None:
        """From the settings page to Google and back."""
        self.press("Connect Google Calendar")
        self.chooses_account()
        self.consents()

    def chooses_calendar(self, name: str) -> None:
        """Choose a calendar in the picker."""
        self.page.locator("#calendar").get_by_role("radio", name=name).check()
        self.press("Use this calendar")

    def opens_disconnect(self) -> Locator:
        """Open the part of the page that leads away."""
        part = self.page.locator("#disconnect")
        part.locator("summary").click()
        return part

    def titles(self, calendars: Page, calendar_id: str) -> Locator:
        """The titles of the coming events of a calendar on Google's page, which keeps itself fresh."""
        return calendars.locator(f'ol[data-calendar="{calendar_id}"] h3')

    def calendars(self) -> Page:
        """Google's page with everybody's calendars, in a window of its own: a hidden tab is a slow one."""
        window = self._elsewhere.new_page()
        window.goto(f"{self.stack.google.url}/")
        return window

    def look(self, name: str) -> None:
        """See that nobody is shut out, in both schemes and on small phones."""
        _check(self.page, name)


def _check(page: Page, name: str) -> None:
    opened = page.locator("details:not([open])").element_handles()
    page.evaluate(OPEN_ALL)
    for scheme, rules in SCHEMES.items():
        page.emulate_media(color_scheme=scheme)
        found = violations(page, rules)
        assert found == [], f"{name}, {scheme}: {found}"
        _keep(page, f"{name}-{scheme}")
    page.emulate_media(color_scheme="light")
    for width in PHONES:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} scrolls sideways at {width}"
        cut_off = page.evaluate(TOO_WIDE)
        assert cut_off == [], f"{name} is cut off at {width}: {cut_off}"
    _keep(page, f"{name}-phone")
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    for part in opened:
        part.evaluate("(part) => { part.open = false }")


SCHEMES: dict[Literal["light", "dark"], list[str]] = {"light": RULES, "dark": ["color-contrast"]}
"""With axe's rules to check; the contrast is the only one that depends on the scheme."""


def _keep(page: Page, name: str) -> None:
    """A picture, where CALENDAR_SYNC_ARTEFACTS names a folder for them."""
    if folder := os.environ.get("CALENDAR_SYNC_ARTEFACTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def illustrate(page: Page, name: str, *, part: Locator | None = None) -> None:
    """A picture for the docs, where CALENDAR_SYNC_SCREENSHOTS names their folder: the page, or one part of it."""
    folder = os.environ.get("CALENDAR_SYNC_SCREENSHOTS")
    if not folder:
        return
    page.evaluate("document.activeElement?.blur()")
    target = Path(folder) / f"{name}.png"
    if part is None:
        page.screenshot(path=target, full_page=True, animations="disabled")
        return
    box = part.bounding_box()
    assert box is not None, f"{part} is not to be seen"
    page.screenshot(
        path=target,
        full_page=True,
        animations="disabled",
        clip={
            "x": max(0.0, box["x"] - FRAME),
            "y": max(0.0, box["y"] + page.evaluate("scrollY") - FRAME),
            "width": box["width"] + 2 * FRAME,
            "height": box["height"] + 2 * FRAME,
        },
    )


class Watch:
    """What a browser reports that nobody would see: errors on the console, and requests to elsewhere."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.expected: set[str] = set()

    def over(self, context: BrowserContext) -> None:
        """Watch every page of this context."""
        context.add_init_script(NOTE_VIOLATIONS)
        context.on("console", self.hear)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("request", self.see)

    def hear(self, line: ConsoleMessage) -> None:
        """Note an error."""
        where = line.location["url"]
        expected = any(words in line.text for words in self.expected)
        # Google's stand-in has no such icon.
        if line.type in ("error", "warning") and not expected and not where.endswith("/favicon.ico"):
            self.complaints.append(f"{line.type} at {where}: {line.text}")

    def see(self, request: Request) -> None:
        """Note a request that leaves this machine."""
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob", "about") and parts.hostname != "127.0.0.1":
            self.complaints.append(f"a request to {parts.scheme}://{parts.hostname}")


@contextmanager
def visit(
    browser: Browser, stack: Stack, person: Person, *, place: int, script: bool = True, signed_in: bool = True
) -> Iterator[Visitor]:
    """A fresh browser of that person, in which nothing may go wrong unseen; `place` tells its network address."""
    with ExitStack() as open_now:
        context = browser.new_context(
            viewport={"width": WIDTH, "height": HEIGHT},
            color_scheme="light",
            java_script_enabled=script,
            locale="en-US",
            timezone_id="America/Chicago",
            reduced_motion="reduce",
            extra_http_headers={"X-Forwarded-For": f"10.1.{place // 250}.{place % 250 + 1}"},
        )
        open_now.callback(context.close)
        elsewhere = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        open_now.callback(elsewhere.close)
        watch = Watch()
        for each in (context, elsewhere):
            each.set_default_timeout(PATIENCE)
            watch.over(each)
        visitor = Visitor(context.new_page(), elsewhere, watch, stack, person)
        if signed_in:
            visitor.signs_in_as(person.user)
        yield visitor
    assert not watch.complaints, "\n".join(watch.complaints)
