"""A sandbox as a child process, for tests and the demo."""

import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from web.sandbox.specs import AccountSpec, Config

START_SECONDS = 30.0
"""How long a start may take."""

STOP_SECONDS = 10.0
"""How long a stop may take before the process is killed."""

_ROOT = Path(__file__).resolve().parents[2]
_READY = "sandbox ready "


class SandboxServer:
    """Runs the sandbox on a free port of this machine; it cannot outlive this process.

    `url` is its origin. Use it as a context manager, or call `stop`.
    """

    def __init__(self, config: Config | None = None, port: int = 0) -> None:
        self._config_file = tempfile.NamedTemporaryFile("w", suffix=".json")  # noqa: SIM115 - closed by stop
        self._config_file.write((config or Config()).model_dump_json())
        self._config_file.flush()
        command = [sys.executable, "-m", "web.sandbox", "--until-stdin-closes", "--port", str(port)]
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [*command, "--config", self._config_file.name],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self.url = self._await_ready()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def authorize_url(self) -> str:
        """Where a browser asks for consent."""
        return f"{self.url}/o/oauth2/v2/auth"

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return f"{self.url}/token"

    @property
    def revoke_url(self) -> str:
        """The revocation endpoint."""
        return f"{self.url}/revoke"

    @property
    def calendar_url(self) -> str:
        """The base of the Calendar API."""
        return f"{self.url}/calendar/v3"

    def control(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Call a control (`faults`, `journal?since=0`, …) and answer its JSON; raises requests.HTTPError if refused."""
        with requests.Session() as session:
            session.trust_env = False  # a proxy of the environment has no business with this machine's own addresses
            answer = session.request(method, f"{self.url}/sandbox/{path}", json=body, timeout=30)
        answer.raise_for_status()
        content: dict[str, Any] = answer.json()
        return content

    def add_account(self, spec: AccountSpec) -> list[str]:
        """Make an account; answers the ids of its calendars, the primary first."""
        ids: list[str] = self.control("POST", "accounts", spec.model_dump())["calendars"]
        return ids

    def user_token(self, account: str) -> str:
        """An access token of the user himself, outside the project's quotas, faults and counts."""
        token: str = self.control("POST", "token", {"account": account})["access_token"]
        return token

    def stop(self) -> int:
        """End it, by force if need be, and answer its exit code."""
        # SIGTERM would linger over kept-alive connections; there is nothing here that deserves the wait.
        self._process.send_signal(signal.SIGINT)
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._config_file.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _await_ready(self) -> str:
        output = self._process.stdout
        if output is None:
            raise RuntimeError("the sandbox has no standard output")
        deadline = time.monotonic() + START_SECONDS
        while (left := deadline - time.monotonic()) > 0 and select.select([output], [], [], left)[0]:
            line = output.readline()
            if line.startswith(_READY):
                return line.removeprefix(_READY).strip()
            if not line:
                raise RuntimeError("the sandbox ended before it was ready")
        raise TimeoutError(f"the sandbox was not ready within {START_SECONDS:g} s")
