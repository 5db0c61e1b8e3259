"""The sandbox's own process: gunicorn with one threaded worker, because the state lives in its memory."""

import os
import signal
import sys
import threading
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.errors import HaltServer  # type: ignore[import-untyped]

from web.sandbox.app import App, create_app
from web.sandbox.specs import Config
from web.sandbox.state import new_sandbox

THREADS = 256
"""Requests answered at once. A delayed one holds its thread, and goes on holding it when its client has given up."""

_SETTINGS: dict[str, Any] = {
    "workers": 1,
    "worker_class": "gthread",
    "threads": THREADS,
    "keepalive": 75,
    "timeout": 0,  # a worker is never killed for being slow: its memory is the sandbox
    "graceful_timeout": 3,
    "loglevel": "warning",
    "control_socket_disable": True,
}


class _Application(BaseApplication):  # type: ignore[misc]
    def __init__(self, config: Config, port: int, *, until_stdin_closes: bool) -> None:
        self._config = config
        self._port = port
        self._until_stdin_closes = until_stdin_closes
        self._url = ""
        self._stopping = threading.Event()
        super().__init__()

    def load_config(self) -> None:
        settings = _SETTINGS | {
            "bind": f"127.0.0.1:{self._port}",
            "when_ready": self._bound,
            "post_worker_init": self._serving,
            "worker_int": self._hurrying,
            "child_exit": self._worker_gone,
        }
        for name, value in settings.items():
            if name in self.cfg.settings:  # an older gunicorn lacks some
                self.cfg.set(name, value)

    def load(self) -> App:
        return create_app(new_sandbox(self._config, link_base=f"{self._url}/#"), self._wait)

    def _wait(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def _hurrying(self, worker: Any) -> None:  # noqa: ARG002 - gunicorn's form
        """SIGINT: requests that are being delayed go on at once."""
        self._stopping.set()

    def _bound(self, arbiter: Any) -> None:
        host, port = arbiter.LISTENERS[0].getsockname()[:2]
        self._url = f"http://{host}:{port}"

    def _serving(self, worker: Any) -> None:
        if self._until_stdin_closes:
            threading.Thread(target=_stop_at_eof, args=(worker.ppid,), daemon=True).start()
        sys.stdout.write(f"sandbox ready {self._url}\n")
        sys.stdout.flush()

    @staticmethod
    def _worker_gone(arbiter: Any, worker: Any) -> None:
        """A second worker would start with an empty memory; better to end than to forget in silence."""
        if arbiter.LISTENERS:  # none while it stops
            raise HaltServer(f"the worker {worker.pid} died, and the sandbox's memory with it", 1)


def _stop_at_eof(arbiter_pid: int) -> None:
    while os.read(0, 4096):
        pass
    os.kill(arbiter_pid, signal.SIGINT)


def serve(config: Config, port: int = 0, *, until_stdin_closes: bool = False) -> None:
    """Serve on that port of 127.0.0.1 (0: any free one) until SIGTERM; exits the process with 0.

    Prints `sandbox ready URL` once it answers. With `until_stdin_closes` it also ends at the end of standard input, so
    that it cannot outlive a parent that holds the other end of that pipe.
    """
    _Application(config, port, until_stdin_closes=until_stdin_closes).run()
