"""Logs: one event a line, named, with ids and figures; never a token, a title or an address."""

import logging
import sys
import threading
from types import TracebackType
from typing import Literal

import structlog

from outbox.tracebacks import outline

log = structlog.get_logger(__name__)


def configure_logs(level: str, log_format: Literal["json", "text"] | None) -> None:
    """Set up logging to stderr, the libraries' too; JSON off a terminal and text on one unless told otherwise.

    What nobody catches is logged likewise, instead of printed with all that it says.
    """
    as_text = sys.stderr.isatty() if log_format is None else log_format == "text"
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Of an error the places in the code: its message may repeat what is in a row, a request or a token.
        structlog.processors.ExceptionRenderer(lambda exc_info: outline(exc_info[1])),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer = structlog.dev.ConsoleRenderer() if as_text else structlog.processors.JSONRenderer()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    threshold = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(threshold)
    for library in ("urllib3", "requests_oauthlib", "oauthlib", "psycopg"):
        # Their lines below a warning carry URLs, tokens and codes, or tell of every connection taken.
        logging.getLogger(library).setLevel(max(threshold, logging.WARNING))
    logging.raiseExceptions = False  # a line that cannot be written is not printed either, with all that led to it
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda caught: _log_uncaught(caught.exc_type, caught.exc_value, caught.exc_traceback)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt) or error is None:
        sys.__excepthook__(kind, error or kind(), traceback)
    else:
        log.critical("uncaught", exc_info=error)
