"""What axe finds on a page of a real browser."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

AXE, LOADED = Axe(), Axe("")
"""To bring axe to a page takes about as long as to have it look at one."""


def violations(page: Page, rules: list[str]) -> list[str]:
    """What breaks these rules or tags of axe, a line for each element."""
    axe = LOADED if page.evaluate("'axe' in window") else AXE
    found: dict[str, Any] = axe.run(page, options={"runOnly": rules, "resultTypes": ["violations"]}).response
    return [
        f"{violation['id']}: {node['html'][:160]}" for violation in found["violations"] for node in violation["nodes"]
    ]
