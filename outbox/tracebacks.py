"""Tracebacks for the log: where and what kind, without the messages, which may repeat a secret or a user's input."""

import traceback
from pathlib import PurePath

import psycopg

from outbox.database import describe

_FRAMES = 40
"""Of each error, the innermost ones."""

_ERRORS = 8
"""Of a chain of errors."""


def outline(error: BaseException) -> str:
    """The chain of errors, the one that was raised last first, each with its places in the code."""
    told: list[str] = []
    current: BaseException | None = error
    while current is not None and len(told) < _ERRORS:
        told.append(_outline_one(current))
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\ncaused by ".join(told)


def _outline_one(error: BaseException) -> str:
    # The server's message names tables and columns; what is in the rows stands in its details.
    said = f" ({describe(error)})" if isinstance(error, psycopg.Error) and error.diag.message_primary else ""
    places = [
        f"  {'/'.join(PurePath(frame.filename).parts[-3:])}:{frame.lineno} in {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    ]
    return "\n".join([f"{type(error).__module__}.{type(error).__qualname__}{said}", *places])
