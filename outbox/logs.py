"""Logs: one event a line, named, with ids and figures; never a token, a title or an address."""

import logging
import sys
from typing import Literal

import structlog


def configure_logs(level: str, log_format: Literal["json", "text"] | None) -> None:
    """Set up logging to stderr; JSON off a terminal and text on one unless told otherwise."""
    as_text = sys.stderr.isatty() if log_format is None else log_format == "text"
    renderer = structlog.dev.ConsoleRenderer() if as_text else structlog.processors.JSONRenderer()
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=threshold, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    for library in ("urllib3", "requests_oauthlib", "oauthlib", "psycopg.pool"):
        # Their debug lines carry URLs, tokens and codes.
        logging.getLogger(library).setLevel(max(threshold, logging.INFO))
