"""A machine of each test's own: a real systemd and the project installed; the database and Google outside of it."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import NEEDS
from tests.faults.proxy import PostgresProxy, running_loop
from tests.integration.conftest import World, google, google_process, make_world, world
from tests.systemd.machine import Machine, install_running_release, what_is_missing
from web.demo.stage import login_url

__all__ = ["database", "google", "google_process", "installed", "make_world", "world"]

PROJECT = Path(__file__).resolve().parents[2]

SECRETS = {"DATABASE_URL", "GOOGLE_OAUTH_CLIENT_SECRET", "TOKEN_ENCRYPTION_KEYS", "AUTH_JWT_KEY"}

CREDENTIALS = "/etc/calendar-sync/credentials"


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """For proxies."""
    with running_loop() as running:
        yield running


@pytest.fixture
def database(world: World, loop: asyncio.AbstractEventLoop) -> Iterator[PostgresProxy]:
    """The world's database as it is reached from within the machine, by the daemon's login."""
    with PostgresProxy(world.stage.environment["DATABASE_URL"], loop) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def sources() -> Iterator[tuple[Path, Path]]:
    """The project and the packages where the machine sees them: it has a /tmp of its own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield _outside_tmp(PROJECT, Path(folder)), _outside_tmp(Path(sys.prefix), Path(folder))


def _outside_tmp(path: Path, folder: Path) -> Path:
    if not path.resolve().is_relative_to("/tmp"):  # noqa: S108 - the machine mounts its own there
        return path
    shutil.copytree(path, folder / path.name, symlinks=True, ignore=shutil.ignore_patterns(".venv", ".git", ".*_cache"))
    return folder / path.name


@pytest.fixture
def installed(world: World, database: PostgresProxy, sources: tuple[Path, Path]) -> Iterator[Machine]:
    """The machine, with settings and credentials in place and nothing started."""
    missing = what_is_missing()
    if missing:
        pytest.skip(f"{NEEDS}{missing}")
    web = {**world.stage.web_environment, "DATABASE_URL": login_url(database.url, "calendar_sync_demo_web")}
    settings = {**web, **world.stage.environment, "DATABASE_URL": database.url, "METRICS_PORT": "0"}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, Machine(Path(folder)) as machine:
        install_running_release(machine, *sources)
        lines = [f"{name}={value}\n" for name, value in settings.items() if name not in SECRETS]
        machine.write("/etc/calendar-sync/environment", "".join(lines))
        for name in SECRETS:
            machine.write(f"{CREDENTIALS}/{name}", settings[name], mode="0600")
        machine.write(f"{CREDENTIALS}/web/DATABASE_URL", web["DATABASE_URL"], mode="0600")
        yield machine
        # Shown where the test fails.
        print(machine.journal())


@pytest.fixture
def drop_in(installed: Machine) -> Callable[[str, str], None]:
    """Change a unit as `systemctl edit` does."""

    def edit(unit: str, text: str) -> None:
        installed.write(f"/etc/systemd/system/{unit}.d/override.conf", text)
        installed.run("systemctl", "daemon-reload")

    return edit
