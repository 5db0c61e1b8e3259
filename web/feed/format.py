"""What stands in an ETag for the way in which a feed's text is made: other code, other libraries, another tag."""

import json
import platform
from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

from outbox import bound, event, field, payload, schedule, text
from web.feed import ical

MODULES: Sequence[ModuleType] = (ical, event, schedule, text, payload, bound, field)
"""All of ours that have a hand in it."""

LIBRARIES = ("icalendar", "tzdata")
"""Those of others; Python is one more, for what it knows of characters."""


def _digest() -> str:
    sources = [sha256(Path(str(module.__file__)).read_bytes()).hexdigest() for module in MODULES]
    versions = [version(name) for name in LIBRARIES]
    return sha256(json.dumps([sources, versions, platform.python_version()]).encode()).hexdigest()


FORMAT = _digest()
"""Taken once, when this is imported: it is of the code that runs."""
