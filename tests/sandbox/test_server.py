"""The sandbox's process starts, serves many, and ends with whoever started it."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.sandbox.conftest import bearer, event
from web.sandbox.server import SandboxServer
from web.sandbox.specs import AccountSpec, Config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def started() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "web.sandbox", "--port", "0", "--until-stdin-closes"]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> int:
    code = process.wait(20)
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
    return code


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    line = process.stdout.readline()
    assert line.startswith("sandbox ready http://127.0.0.1:")
    return line.split()[-1]


def children(pid: int) -> list[int]:
    """The processes whose parent that is (fourth field of /proc/PID/stat, behind a name in parentheses)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def test_sigterm_ends_it_cleanly(started: subprocess.Popen[str]) -> None:
    assert requests.get(url_of(started), timeout=10).status_code == 200
    started.terminate()
    assert end(started) == 0


def test_the_end_of_its_standard_input_ends_it(started: subprocess.Popen[str]) -> None:
    url_of(started)
    assert started.stdin
    started.stdin.close()
    assert end(started) == 0


def test_it_does_not_outlive_a_parent_that_is_killed() -> None:
    script = "import sys; from web.sandbox.server import SandboxServer; s = SandboxServer(); print(s.url, flush=True)\n"
    command = [sys.executable, "-c", script + "sys.stdin.read()"]
    pipe = subprocess.PIPE
    parent = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert parent.stdout
    url = parent.stdout.readline().strip()
    parent.kill()
    parent.communicate(timeout=20)  # ends when the last process that shares the parent's stderr has ended
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)


def test_it_ends_with_a_failure_when_its_memory_is_lost(started: subprocess.Popen[str]) -> None:
    url_of(started)
    (worker,) = children(started.pid)
    os.kill(worker, signal.SIGKILL)
    assert end(started) == 1


def test_it_is_configured_by_its_file_and_serves_many_at_once() -> None:
    accounts = (AccountSpec(email="ana@example.com"),)
    with SandboxServer(Config(accounts=accounts, client_id="mine")) as server:
        headers = bearer(server.user_token("ana@example.com"))
        url = f"{server.calendar_url}/calendars/primary/events"
        with requests.Session() as session, ThreadPoolExecutor(16) as pool:
            session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=16))
            inserts = [pool.submit(session.post, url, json=event(), headers=headers, timeout=20) for _ in range(200)]
            assert {insert.result().status_code for insert in inserts} == {200}
            same = [
                pool.submit(session.post, url, json=event(id="abcde"), headers=headers, timeout=20) for _ in range(16)
            ]
            assert sorted(insert.result().status_code for insert in same) == [200, *[409] * 15]
            answer = session.get(url, params={"maxResults": "2500", "fields": "items/id"}, headers=headers, timeout=20)
        assert len({item["id"] for item in answer.json()["items"]}) == 201
        assert requests.get(server.authorize_url, params={"client_id": "mine"}, timeout=20).status_code == 400
        assert server.stop() == 0


def test_a_bad_configuration_is_a_usage_error(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"clientid": "x"}')
    command = [sys.executable, "-m", "web.sandbox", "--config", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert "clientid: Extra inputs are not permitted" in done.stderr
