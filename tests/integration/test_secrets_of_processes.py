"""The processes as they run in production, at their most talkative and at their worst: nothing that they write, show or
tell holds a secret. (test_web_secrets tries every way through the web app, in one process.)"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from socket import create_server
from urllib.parse import urlsplit

import psycopg
import pytest
import requests
import structlog
from psycopg_pool import ConnectionPool

from outbox import logs
from outbox.settings import Settings
from outbox.user import User
from tests.integration.conftest import World, eventually, job
from tests.integration.steps import cipher_of, connection
from tests.integration.test_commands import command
from tests.integration.test_service import Manager, manager
from tests.integration.test_web_secrets import COOKIE, RepeatingGoogle, Secrets, repeating
from tests.integration.test_web_service import Service, start
from tests.integration.web_client import JWT_KEY, token_of
from web.api.paths import API, FEEDS, PAGE

__all__ = ["manager", "repeating", "start"]  # fixtures

ROOT = Path(__file__).resolve().parents[2]

PASSWORD = "hunter2-is-the-password-of-the-database"

TALKATIVE = {"LOG_LEVEL": "debug", "LOG_FORMAT": "json", "PYTHONFAULTHANDLER": "1"}


@pytest.fixture
def secrets(world: World) -> Secrets:
    """Everything that the processes are given and nobody else may learn."""
    kept = Secrets()
    kept.keep("the database's password", PASSWORD)
    kept.keep("the client's secret", world.stage.environment["GOOGLE_OAUTH_CLIENT_SECRET"])
    kept.keep("the encryption key", world.stage.environment["TOKEN_ENCRYPTION_KEYS"].partition(":")[2])
    kept.keep("the key of sessions", JWT_KEY)
    return kept


def with_password(url: str) -> str:
    """The same login with a password, which this server does not ask for."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.replace("@", f":{PASSWORD}@", 1)).geturl()


def keep_tokens(world: World, secrets: Secrets, name: str) -> None:
    for column, stored in zip(
        ("access_token", "refresh_token"), connection(world, name, "access_token", "refresh_token"), strict=True
    ):
        whose = {"tenant_id": world.tenant, "user_id": name, "column": column}
        secrets.keep(f"the {column} of {name}", cipher_of(world).decrypt(bytes(stored), **whose))
        secrets.keep(f"the stored {column} of {name}", bytes(stored).hex())


@contextmanager
def daemon(environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    inherited = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "daemon.py"), "run"],
            env={**inherited, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("mode", ["oauth echo", "cut"])
def test_a_daemon_tells_no_secret_to_its_log_its_manager_its_metrics_or_its_last_words(  # noqa: PLR0917 - fixtures
    world: World, secrets: Secrets, repeating: RepeatingGoogle, manager: Manager, tmp_path: Path, mode: str
) -> None:
    for name in ("u_ana", "u_bo"):
        world.connect(name)
        keep_tokens(world, secrets, name)
    if mode.startswith("oauth"):
        world.execute("UPDATE calendar_sync.calendar_connection SET access_token_expires_at = calendar_sync.now()")
    private = secrets.keep("what a job says", "gate code 4711-0815 of the customer")
    world.commit("job_1", job("J-1", manifest={"notes": private}))
    world.commit("job_2", job("J-2", manifest={"notes": private}) | {"timezone": "Mars/Olympus"})
    repeating.mode = mode if mode != "cut" else "api 503"
    port = free_port()
    environment = {
        **world.stage.environment,
        **TALKATIVE,
        "DATABASE_URL": with_password(world.stage.environment["DATABASE_URL"]),
        "GOOGLE_TOKEN_URL": f"{repeating.url}/token",
        "GOOGLE_REVOKE_URL": f"{repeating.url}/revoke",
        "GOOGLE_CALENDAR_URL": f"{repeating.url}/calendar/v3",
        "NOTIFY_SOCKET": manager.address,
        "METRICS_PORT": str(port),
    }
    log = tmp_path / "log"
    heard = []
    with daemon(environment, log) as process:
        heard.append(str(manager.hear()))
        eventually(lambda: repeating.asked >= 2)
        metrics = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
        if mode == "cut":
            world.execute("ALTER TABLE calendar_sync.pushed_event RENAME TO moved")
            world.commit("job_3", job("J-3", manifest={"notes": private}))
            eventually(lambda: "failed" in log.read_text())
        process.send_signal(signal.SIGABRT)  # as systemd does whose watchdog has heard nothing
        process.wait(30)
        while manager.has_heard():
            heard.append(str(manager.hear()))
    for value in repeating.told:
        secrets.keep("what Google was told", value)
    written = log.read_text()
    assert "Fatal Python error: Aborted" in written
    assert 'File "' in written
    for verb in (("status",), ("status", "--json"), ("check",)):
        ended = command(*verb, environment=environment)
        heard += [ended.out, ended.err]
    assert [json.loads(line) for line in written.splitlines() if line.startswith("{")], "the log was looked at"
    for text in (written, metrics, *heard):
        assert secrets.found_in(text) == []


def test_a_web_app_tells_no_secret_to_its_log_or_its_last_words(
    world: World, secrets: Secrets, start: Callable[..., Service]
) -> None:
    world.connect("u_ana")
    keep_tokens(world, secrets, "u_ana")
    session = secrets.keep("the session", token_of(User(world.tenant, "u_ana")))
    secrets.keep("the session's signature", session.rpartition(".")[2])
    state, code, browser, feed = (
        secrets.keep(what, f"{what[:3]}-{os.urandom(20).hex()}"[:43])
        for what in ("state", "code of Google's", "the browser's cookie", "feed's token")
    )
    service = start(
        **TALKATIVE,
        AUTH_JWT_KEY=JWT_KEY,
        DATABASE_URL=with_password(world.stage.web_environment["DATABASE_URL"]),
    )
    cookies = {"session": session, COOKIE: browser}
    targets = (API, PAGE, f"{API}/callback?state={state}&code={code}", f"{FEEDS}/{feed}.ics", "/metrics", f"/{feed}")
    shown = [service.get(target, cookies=cookies, allow_redirects=False).text for target in targets]
    # What is no request at all is repeated to its sender, and to nobody else.
    service.speak(f"GET /{feed} HTTP/9.9\r\nCookie: session={session}\r\n\r\n".encode())
    service.speak(f"{feed}\r\n\r\n".encode())
    world.execute("ALTER TABLE calendar_sync.calendar_connection RENAME TO moved")
    shown += [service.get(target, cookies=cookies, allow_redirects=False).text for target in targets]
    for worker in _children(service._process.pid):
        os.kill(worker, signal.SIGSEGV)
    eventually(lambda: "Fatal Python error: Segmentation fault" in service.output())
    shown += [command("status", environment={"DATABASE_URL": "postgresql://x:" + PASSWORD + "@127.0.0.1:1/x"}).err]
    assert "a request failed" in service.output()
    for text in (service.output(), *shown):
        assert secrets.found_in(text) == []


def _children(process: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.fixture
def our_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """What is written where logging is set up as a process of ours does it; afterwards it is as before."""
    root, written = logging.getLogger(), StringIO()
    for hook, module in (("excepthook", sys), ("excepthook", threading), ("raiseExceptions", logging)):
        monkeypatch.setattr(module, hook, getattr(module, hook))
    monkeypatch.setattr(sys, "stderr", written)
    before, configuration = (root.handlers, root.level), structlog.get_config()
    logs.configure_logs("debug", "json")
    yield written
    root.handlers, root.level = before
    structlog.configure(**configuration)


@pytest.mark.parametrize("by", ["our log", "a library's log", "a thread's end", "the process's end"])
def test_an_error_is_told_by_its_places_and_not_by_what_it_says(our_log: StringIO, by: str) -> None:
    def fail() -> None:
        secret = "1//a refresh token"
        raise KeyError(secret)

    def told() -> None:
        try:
            fail()
        except KeyError as error:
            match by:
                case "our log":
                    logs.log.exception("loop_failed")
                case "a library's log":
                    logging.getLogger("gunicorn.error").exception("Worker failed")
                case "the process's end":
                    sys.excepthook(type(error), error, error.__traceback__)
                case _:
                    raise

    if by == "a thread's end":
        thread = threading.Thread(target=told)
        thread.start()
        thread.join()
    else:
        told()
    written = our_log.getvalue()
    assert "KeyError" in written
    assert "in fail" in written
    assert "refresh token" not in written


def test_what_the_database_says_of_a_row_is_not_logged(our_log: StringIO, database_url: str) -> None:
    with ConnectionPool(database_url, min_size=1) as pool, pool.connection() as session:
        with pytest.raises(psycopg.errors.CheckViolation, match=r"somebody@example\.com") as failure:
            session.execute(
                "INSERT INTO calendar_sync.calendar_connection (tenant_id, user_id, state, calendar_id)"
                " VALUES ('acme', 'somebody@example.com', 'active', 'primary')"
            )
        logs.log.error("loop_failed", exc_info=failure.value)
    written = our_log.getvalue()
    assert "calendar_id_is_a_real_id" in written
    assert "somebody@example.com" not in written
