"""For a daemon under libfaketime 0.9.10, whose clock_nanosleep() refuses every absolute time: a sleep that works."""

import threading
import time
from typing import SupportsFloat, SupportsIndex


def sleep(seconds: SupportsFloat | SupportsIndex, /) -> None:
    """As time.sleep, by another system call."""
    threading.Event().wait(float(seconds))


time.sleep = sleep
