"""What an attacker tries first, tried on the real app with a real Postgres and the sandbox: every attack is refused."""

from collections.abc import Iterator

import pytest

from tests.integration.conftest import World
from tests.integration.web_client import Site, open_site
from web.limits import LIMITS, Limit


@pytest.fixture(autouse=True)
def no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attack that is refused because it is tried too often would prove nothing."""
    monkeypatch.setattr("web.limits.LIMITS", dict.fromkeys(LIMITS, Limit(burst=1_000_000, period=1)))


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    with open_site(world) as opened:
        yield opened
