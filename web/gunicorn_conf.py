"""gunicorn's settings: `gunicorn -c python:web.gunicorn_conf web.app:application`.

From the environment come WEB_BIND (default 127.0.0.1:8080; also fd://3 or unix:PATH; not asked where systemd hands over
a socket) and WEB_CONCURRENCY (processes, default 2). TLS is the proxy's affair.
"""

import logging
import os
import re
import sys
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger  # type: ignore[import-untyped]

from outbox.logs import configure_logs
from outbox.settings import ConfigurationError
from outbox.systemd import notify
from outbox.tracebacks import outline
from web.capacity import THREADS
from web.settings import load_web_settings
from web.worker import DeadlineWorker, hold_signals, release_signals_after_forks

BAD_CONFIGURATION = 2
"""The exit code after which systemd does not try again."""

GRACE_SECONDS = 20
"""After SIGTERM, for requests in flight: the longest waits for Google twice, 10 seconds each."""

MANAGER, OUR_MANAGER = "NOTIFY_SOCKET", "CALENDAR_SYNC_NOTIFY_SOCKET"
"""Where systemd listens: as it tells us, and under the name that gunicorn does not know."""

_TELLING_OF_A_REQUEST = re.compile(r"(Invalid request|Error handling request)\b.*", re.DOTALL)


def _end(line: str) -> None:
    sys.stderr.write(f"calendar-sync: {line}\n")
    sys.exit(BAD_CONFIGURATION)


class Logger(GunicornLogger):  # type: ignore[misc]
    """gunicorn's own lines, sent the way of ours."""

    def setup(self, cfg: Any) -> None:
        """Take gunicorn's handlers away, so that the root's write its lines."""
        super().setup(cfg)
        self.error_log.handlers = []
        self.error_log.propagate = True
        self.error_log.setLevel(logging.NOTSET)  # the root's level decides
        self.error_log.addFilter(redact)


def redact(record: logging.LogRecord) -> bool:
    """Cut what was requested, which may hold a code or a secret path, and reduce tracebacks to places in the code."""
    record.msg, record.args = _TELLING_OF_A_REQUEST.sub(r"\1", record.getMessage()), ()
    if record.exc_info and record.exc_info[1] is not None:
        record.msg += "\n" + outline(record.exc_info[1])
    record.exc_info = None
    # Below it gunicorn tells of single bytes.
    return record.levelno >= logging.INFO


def on_starting(server: Any) -> None:  # noqa: ARG001 - gunicorn's form
    """Read the settings before a socket is bound; what is wrong is one line, and no start."""
    # gunicorn would call itself ready before anything can serve; a worker says so instead.
    if manager := os.environ.pop(MANAGER, None):
        os.environ[OUR_MANAGER] = manager
    try:
        settings = load_web_settings()
    except ConfigurationError as error:
        _end(" ".join(str(error).split()))
    else:
        configure_logs(settings.log_level, settings.log_format)
    if workers < 1:
        _end("WEB_CONCURRENCY: must be 1 or more; for example WEB_CONCURRENCY=2")
    release_signals_after_forks()


def pre_fork(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's form
    """From here until a worker can heed them, the signals that end it wait."""
    hold_signals()


def post_worker_init(worker: Any) -> None:  # noqa: ARG001 - gunicorn's form
    """Tell systemd that requests are answered, now that an application stands; each worker does, which is harmless."""
    if manager := os.environ.get(OUR_MANAGER):
        os.environ[MANAGER] = manager
        notify(READY="1", STATUS="Serving.")


def worker_exit(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's form
    """Close a worker's connections when it ends in order."""
    application = getattr(worker.app, "callable", None)
    if application is not None:
        application.close()


bind = os.environ.get("WEB_BIND") or "127.0.0.1:8080"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = DeadlineWorker
threads = THREADS
timeout = 60
graceful_timeout = GRACE_SECONDS
keepalive = 30
accesslog = None
logger_class = Logger
# A cookie may hold a token of the greatest length beside the host app's own.
limit_request_line = 8190
limit_request_fields = 64
limit_request_field_size = 16380
control_socket_disable = True
