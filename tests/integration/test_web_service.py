"""The web app as systemd runs it: gunicorn as a process of its own, on a real socket, with a real end."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from uuid import uuid4

import falcon
import pytest
import requests
from falcon.testing import TestClient

from outbox.database import open_pool
from outbox.google.calendar_list import TOTAL_SECONDS
from tests.integration.conftest import World, eventually
from web.capacity import ASKING_GOOGLE, THREADS
from web.gunicorn_conf import redact
from web.health import CACHED_SECONDS, Ready
from web.middleware import BODY_BYTES
from web.page.static_files import address
from web.settings import WebSettings
from web.worker import BODY_SECONDS, HEAD_SECONDS

ROOT = Path(__file__).resolve().parents[2]

LIMIT = 60.0
"""Seconds within which anything here must have happened."""

API = "/api/v1/integrations/google-calendar"


class Service:
    """A running gunicorn with the socket that it was given; its log is a file."""

    def __init__(self, environment: Mapping[str, str], log: Path, config: str) -> None:
        foreign = {"CREDENTIALS_DIRECTORY", "GUNICORN_CMD_ARGS", "NOTIFY_SOCKET", "WEB_BIND", "WEB_CONCURRENCY"}
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name not in foreign and name.lower() not in WebSettings.model_fields
        }
        self._log = log
        with socket.socket() as listener, log.open("w") as output:
            listener.bind(("127.0.0.1", 0))
            # Whoever connects before gunicorn is there waits for it, so nobody has to ask whether it is.
            listener.listen()
            self.address: tuple[str, int] = listener.getsockname()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "--config", config, "web.app:application"],
                env={**inherited, "WEB_BIND": f"fd://{listener.fileno()}", "WEB_CONCURRENCY": "1", **environment},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[listener.fileno()],
            )
        self.url = f"http://127.0.0.1:{self.address[1]}"

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=LIMIT, **options)

    def speak(self, request: bytes) -> bytes:
        """What is answered to these bytes until the connection ends."""
        with socket.create_connection(self.address, timeout=LIMIT) as connection:
            connection.sendall(request)
            answer = b""
            while received := connection.recv(65536):
                answer += received
        return answer

    @contextmanager
    def begun(self, request: bytes) -> Iterator[socket.socket]:
        """A connection over which that much of a request was sent, and nothing more is."""
        with socket.create_connection(self.address, timeout=LIMIT) as connection:
            connection.sendall(request)
            yield connection

    def tell(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """The exit status."""
        return self._process.wait(LIMIT)

    def stop(self) -> int:
        """End it with SIGTERM; returns its exit status."""
        self.tell(signal.SIGTERM)
        return self.wait()

    def output(self) -> str:
        return self._log.read_text()

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def start(world: World, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start the service with settings that differ from the world's; None takes one away."""
    services: list[Service] = []

    def start(config: str = "python:web.gunicorn_conf", **changes: str | None) -> Service:
        given = {**world.stage.web_environment, **changes}
        environment = {name: value for name, value in given.items() if value is not None}
        service = Service(environment, tmp_path / f"log-{len(services)}", config)
        services.append(service)
        return service

    yield start
    for service in services:
        service.close()


def test_it_serves_until_sigterm_and_ends_in_order(start: Callable[..., Service]) -> None:
    service = start()
    assert service.get("/healthz").json() == {"status": "ok"}
    assert service.get("/readyz").json() == {"status": "ready"}
    refused = service.get(API)
    assert refused.status_code == 401
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["X-Content-Type-Options"] == "nosniff"
    assert service.stop() == 0
    assert "Traceback" not in service.output()


def test_nothing_of_what_was_requested_reaches_the_log_but_the_route(start: Callable[..., Service]) -> None:
    service = start(LOG_LEVEL="debug")
    service.get(f"{API}/callback?state=secret-1&code=secret-2", allow_redirects=False)
    service.get("/nowhere/secret-3?code=secret-4")
    for line in (b"GET /healthz?code=secret-5 HTTP/9.9", b"GET /healthz?code=secret-6 x", b"secret-7?code=secret-8"):
        service.speak(line + b"\r\nHost: x\r\n\r\n")
    service.speak(b"GET /healthz?code=secret-9 HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n")
    assert service.stop() == 0
    output = service.output()
    entries = [json.loads(line) for line in output.splitlines()]
    requests_seen = [(entry["route"], entry["status"]) for entry in entries if entry["event"] == "request"]
    assert (f"{API}/callback", 302) in requests_seen
    assert (None, 404) in requests_seen
    assert "Invalid request" in {entry["event"] for entry in entries}
    assert "secret-" not in output


def test_the_manager_hears_that_it_is_ready(start: Callable[..., Service]) -> None:
    name = f"calendar-sync-{uuid4().hex}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(LIMIT)
        manager.bind(f"\0{name}")
        start(NOTIFY_SOCKET=f"@{name}")
        assert b"READY=1" in manager.recv(4096).splitlines()


def test_a_hangup_renews_the_workers_and_drops_nobody(start: Callable[..., Service]) -> None:
    service = start()
    assert service.get("/healthz").status_code == 200
    service.tell(signal.SIGHUP)
    assert [service.get("/healthz").status_code for _ in range(20)] == [200] * 20
    assert service.stop() == 0


STOPPED_EARLY = """
import os, signal, time
from web.gunicorn_conf import *

def post_fork(server, worker):
    os.kill(os.getppid(), signal.SIGTERM)
    # Here the master's own handler still stands, and its queue is where it would put a signal.
    while not signal.sigpending() and server.SIG_QUEUE.empty():
        time.sleep(0.01)
"""


def test_a_worker_that_is_told_to_end_before_it_can_listen_ends_all_the_same(
    start: Callable[..., Service], tmp_path: Path
) -> None:
    config = tmp_path / "stopped_early.py"
    config.write_text(STOPPED_EARLY)
    service = start(f"file:{config}")
    assert service.wait() == 0
    assert "Shutting down: Master" in service.output()
    assert "SIGKILL" not in service.output()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"PUBLIC_BASE_URL": None}, "calendar-sync: PUBLIC_BASE_URL: is not set; for example PUBLIC_BASE_URL=https://"),
        ({"AUTH_JWT_KEY": "hunter2"}, "calendar-sync: AUTH_JWT_KEY: must have at least 32 bytes"),
        ({"WEB_CONCURRENCY": "0"}, "calendar-sync: WEB_CONCURRENCY: must be 1 or more"),
    ],
)
def test_a_wrong_setting_is_one_line_and_no_start(
    start: Callable[..., Service], changes: dict[str, str | None], line: str
) -> None:
    service = start(**changes)
    assert service.wait() == 2
    assert service.output().startswith(line)
    assert service.output().count("\n") == 1
    assert "hunter2" not in service.output()


def test_a_database_that_is_not_up_to_date_is_not_ready_and_still_alive(
    start: Callable[..., Service], world: World
) -> None:
    world.execute("DELETE FROM calendar_sync.schema_migration WHERE version = 2")
    service = start()
    answer = service.get("/readyz")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:calendar-sync:problem:schema_outdated")
    assert service.get("/healthz").status_code == 200


def test_a_database_that_cannot_be_reached_is_not_ready_and_still_alive(start: Callable[..., Service]) -> None:
    service = start(DATABASE_URL="postgresql://nobody:hunter2@127.0.0.1:1/nothing")
    answer = service.get("/readyz")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:calendar-sync:problem:database_unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert service.get("/healthz").status_code == 200
    assert service.stop() == 0
    assert "hunter2" not in service.output()


def test_readiness_is_looked_up_at_most_once_a_second(world: World) -> None:
    now = [0.0]
    app: falcon.App[falcon.Request, falcon.Response] = falcon.App()
    with open_pool(world.stage.web_settings.database_url, size=1) as pool:
        app.add_route("/readyz", Ready(pool, clock=lambda: now[0]))
        client = TestClient(app)
        assert client.simulate_get("/readyz").status_code == 200
        world.execute("UPDATE calendar_sync.schema_migration SET checksum = 'another'")
        now[0] += CACHED_SECONDS / 2
        assert client.simulate_get("/readyz").status_code == 200
        now[0] += CACHED_SECONDS / 2
        assert client.simulate_get("/readyz").status_code == 503


def test_what_gunicorn_tells_of_a_failure_is_places_in_the_code_alone() -> None:
    try:
        raise ValueError("secret-1")
    except ValueError:
        failure = sys.exc_info()
    record = logging.LogRecord(
        "gunicorn.error", logging.ERROR, "", 0, "Error handling request %s", ("/secret-2",), failure
    )
    assert redact(record)
    told = logging.Formatter().format(record)
    assert told.startswith("Error handling request\nbuiltins.ValueError\n")
    assert "test_web_service.py" in told
    assert "secret" not in told


def test_bodies_are_bounded_however_they_are_sent(start: Callable[..., Service], world: World) -> None:
    service = start()
    caller = {"Authorization": f"Bearer {world.caller('u_ana').token}", "Content-Type": "application/json"}

    def status(body: Any) -> int:
        return requests.post(f"{service.url}{API}/disconnect", data=body, headers=caller, timeout=LIMIT).status_code

    def pieces(size: int) -> Iterator[bytes]:
        yield b"{" * size

    assert status(b"{" * BODY_BYTES) == 400
    assert status(pieces(BODY_BYTES)) == 400
    assert status(b"{" * (BODY_BYTES + 1)) == 413
    assert status(pieces(BODY_BYTES + 1)) == 413
    chunked = {**caller, "Transfer-Encoding": "chunked"}
    head = "".join(f"{name}: {value}\r\n" for name, value in chunked.items())
    for chunks in ("zz\r\n{}\r\n0\r\n\r\n", "5\r\n{}"):
        with socket.create_connection(service.address, timeout=LIMIT) as connection:
            connection.sendall(f"POST {API}/disconnect HTTP/1.1\r\nHost: x\r\n{head}\r\n{chunks}".encode())
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100).split()[1] == b"400"
    assert service.stop() == 0


HURRIED = """
from web import worker
worker.BODY_SECONDS = worker.HEAD_SECONDS = 1.0
from web.gunicorn_conf import *
"""


@pytest.fixture
def hurried(tmp_path: Path) -> str:
    """The configuration of a service that waits for clients for a shorter time."""
    config = tmp_path / "hurried.py"
    config.write_text(HURRIED)
    return f"file:{config}"


def rest_of(connection: socket.socket) -> bytes:
    """All that comes until the other side ends the connection."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def unfinished(path: str, token: str, *, chunked: bool) -> bytes:
    """A write whose body breaks off without an end of the connection."""
    length, begin = ("Transfer-Encoding: chunked", "5\r\n{") if chunked else ("Content-Length: 60000", "{")
    headers = f"Host: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n{length}"
    return f"POST {path} HTTP/1.1\r\n{headers}\r\n\r\n{begin}".encode()


def test_bodies_that_never_end_hold_nobody_up(start: Callable[..., Service], hurried: str, world: World) -> None:
    service, token = start(hurried), world.caller("u_ana").token
    with ExitStack() as clients:
        stalled = [
            clients.enter_context(service.begun(unfinished(f"{API}/disconnect", token, chunked=number % 2 == 0)))
            for number in range(THREADS + 1)
        ]
        assert service.get("/healthz").status_code == 200
        for connection in stalled:
            answer = rest_of(connection)
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"\r\nConnection: close\r\n" in answer
            assert b"urn:calendar-sync:problem:body_timeout" in answer
    assert service.stop() == 0
    assert "Traceback" not in service.output()


def test_a_body_that_trickles_is_given_up_as_a_whole(start: Callable[..., Service], hurried: str, world: World) -> None:
    service = start(hurried)
    with service.begun(unfinished(f"{API}/disconnect", world.caller("u_ana").token, chunked=False)) as connection:
        connection.settimeout(0.2)
        began, answer = time.monotonic(), b""
        while not answer and time.monotonic() - began < LIMIT:
            connection.sendall(b" ")
            with suppress(TimeoutError):
                answer = connection.recv(100)
    assert answer.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - began < 4 * BODY_SECONDS


UNREAD = {
    "GET /healthz": b"200",
    "HEAD /healthz": b"200",
    "GET /readyz": b"200",
    f"GET {API}/callback?state=x": b"302",
    f"GET {address('page.css')}": b"200",
    "POST /nowhere": b"404",
    "POST /healthz": b"405",
    f"POST {API}/disconnect": b"401",
}
"""Requests whose body nobody reads, with their answers."""


def test_a_body_that_nobody_looks_at_is_not_waited_for(start: Callable[..., Service]) -> None:
    service = start()
    assert service.get("/healthz").status_code == 200
    answers = {}
    began = time.monotonic()
    for line in UNREAD:
        with service.begun(f"{line} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{{".encode()) as connection:
            answers[line] = rest_of(connection)
    assert {line: answer.split()[1] for line, answer in answers.items()} == UNREAD
    assert [line for line, answer in answers.items() if b"\r\nConnection: close\r\n" not in answer] == []
    assert time.monotonic() - began < BODY_SECONDS


def test_requests_that_never_begin_or_never_come_to_their_end_hold_nobody_up(
    start: Callable[..., Service], hurried: str
) -> None:
    service = start(hurried)
    assert service.get("/healthz").status_code == 200
    with ExitStack() as clients:
        # If each of them held a thread for its second, it would take twice as long as is allowed.
        for _ in range(int(2 * HEAD_SECONDS) * THREADS):
            clients.enter_context(service.begun(b""))
        began = time.monotonic()
        assert service.get("/healthz").status_code == 200
        assert time.monotonic() - began < HEAD_SECONDS
        stalled = [
            clients.enter_context(service.begun(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Half"))
            for _ in range(THREADS + 1)
        ]
        assert service.get("/healthz").status_code == 200
        assert [rest_of(connection) for connection in stalled] == [b""] * len(stalled)
    assert service.stop() == 0
    assert "Traceback" not in service.output()


def test_a_connection_is_kept_for_further_requests(start: Callable[..., Service]) -> None:
    service = start()
    with closing(HTTPConnection(*service.address, timeout=LIMIT)) as connection:
        used = set()
        for _ in range(3):
            connection.request("GET", "/healthz")
            used.add(connection.sock)
            assert connection.getresponse().read() == b'{"status": "ok"}'
    assert len(used) == 1


def test_while_google_hangs_all_that_does_not_need_it_is_answered(start: Callable[..., Service], world: World) -> None:
    email = world.connect("u_ana")
    service, token = start(), world.caller("u_ana").token
    assert service.get("/readyz").status_code == 200
    world.fault(kind="delay", path="calendarList", account=email, seconds=30)
    session = {"Authorization": f"Bearer {token}"}
    with ThreadPoolExecutor(2 * THREADS) as clients:
        asking = [clients.submit(service.get, f"{API}/calendars", headers=session) for _ in range(2 * THREADS)]
        # One of those that are refused at once tells that all places are taken.
        refused = next(as_completed(asking, LIMIT)).result()
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:calendar-sync:problem:google_unavailable")
        began = time.monotonic()
        assert service.get("/healthz").status_code == 200
        assert service.get("/readyz").status_code == 200
        assert service.get(API, headers=session).json()["state"] == "active"
        assert time.monotonic() - began < TOTAL_SECONDS / 2
        # The refusals of the others are on their way; those who wait for Google are no more than may.
        eventually(lambda: sum(not one.done() for one in asking) <= ASKING_GOOGLE)
        assert not all(one.done() for one in asking)
        world.heal()
    assert service.stop() == 0


def test_headers_are_bounded_and_a_session_of_the_greatest_length_gets_through(start: Callable[..., Service]) -> None:
    service = start()
    for lines in (b"X-Long: " + b"x" * 20_000 + b"\r\n", b"X: y\r\n" * 100):
        answer = service.speak(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n")
        assert answer.split()[1].startswith(b"4")
    session = service.get(API, headers={"Cookie": f"session={'x' * 8192}; other={'y' * 4000}"})
    assert session.status_code == 401
