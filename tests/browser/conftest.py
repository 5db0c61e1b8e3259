"""A real browser before the real parts; a fresh profile for each visit, and users of each test's own."""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.stack import Stack
from tests.browser.visitor import PATIENCE, Visitor, visit
from tests.conftest import ask, create_database, drop_database, of_database
from web.demo.people import Person

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
"""A browser that speaks to this machine and to nobody else."""

STORIES = ("test_story.py", "test_life.py")
"""The modules that take the pictures of the docs."""

Visit = Callable[..., AbstractContextManager[Visitor]]

expect.set_options(timeout=PATIENCE)


def find_browser() -> str | None:
    """The program, which CHROMIUM_PATH may name; None where there is none."""
    return os.environ.get("CHROMIUM_PATH") or next(filter(None, map(shutil.which, PROGRAMS)), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser. It ends with the module: while it runs, no other test of this process could run an event loop."""
    program = find_browser()
    if program is None:
        pytest.skip("needs chromium (or Chrome; CHROMIUM_PATH names one in another place)")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium cannot sandbox itself as root
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=[*ARGUMENTS, *sandbox])
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def shared_stack(server_url: str, postgres_address: str) -> Iterator[Stack]:
    """The processes, once for all tests of this worker."""
    name = f"browser_{uuid4().hex}"
    create_database(server_url, name, template=ask(postgres_address, "template"))
    with ExitStack() as open_now:
        open_now.callback(drop_database, server_url, name)
        yield open_now.enter_context(Stack(of_database(server_url, name)))


@pytest.fixture
def stack(browser: Browser, shared_stack: Stack) -> Iterator[Stack]:
    """The processes, with a Google that behaves before and after."""
    yield shared_stack
    shared_stack.heal()


_PLACES = itertools.count()


@pytest.fixture
def visiting(browser: Browser, stack: Stack) -> Visit:
    """Open a fresh browser of a person (see `visit`)."""

    def begin(person: Person, *, script: bool = True, signed_in: bool = True) -> AbstractContextManager[Visitor]:
        return partial(visit, browser, stack, place=next(_PLACES))(person, script=script, signed_in=signed_in)

    return begin


@pytest.fixture
def newcomer(stack: Stack) -> Person:
    """A user with a Google account who has connected nothing yet."""
    return stack.newcomer()


@pytest.fixture
def visitor(visiting: Visit, newcomer: Person) -> Iterator[Visitor]:
    """The newcomer at a browser, signed in."""
    with visiting(newcomer) as someone:
        yield someone
