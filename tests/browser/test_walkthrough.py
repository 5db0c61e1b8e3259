"""The walkthrough for customers and its pictures."""

import re

from tests.browser.conftest import STORIES
from tests.browser.visitor import ROOT

WALKTHROUGH = ROOT / "docs" / "connect-google-calendar.md"
SMALL = 120_000
"""Bytes: a page with all of its pictures should be there at once."""


def test_the_walkthrough_shows_every_picture_that_the_stories_take_and_no_other() -> None:
    stories = "".join((ROOT / "tests" / "browser" / name).read_text(encoding="utf-8") for name in STORIES)
    taken = re.findall(r'illustrate\([\w.]+, "([^"]+)"', stories)
    shown = re.findall(r"\(screenshots/([^)]+)\.png\)", WALKTHROUGH.read_text(encoding="utf-8"))
    kept = [picture.stem for picture in (ROOT / "docs" / "screenshots").iterdir()]
    assert sorted(shown) == sorted(kept) == sorted(taken)


def test_pictures_are_small() -> None:
    pictures = {picture.name: picture.stat().st_size for picture in (ROOT / "docs" / "screenshots").iterdir()}
    assert {name for name, size in pictures.items() if size > SMALL} == set()
