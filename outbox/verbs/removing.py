"""The removal of events before somebody is forgotten: this process serves as one more daemon until they are gone."""

import threading
import time

from outbox.runtime import open_daemon
from outbox.settings import Settings
from outbox.verbs.forgetting import NOTHING_ERASED, NotForgottenError, Removal
from outbox.verbs.progress import COUNT_EVERY_SECONDS, bar


def carry_through(removal: Removal, settings: Settings, seconds: float, stop: threading.Event) -> bool:
    """Serve, as any other daemon, until the events are removed; False if something would not end.

    Raises:
        NotForgottenError: some are left after so many seconds, or when it was stopped.
    """
    ends, count_at = time.monotonic() + seconds, 0.0
    with bar("removing events") as progress:
        task = progress.add_task("", total=removal.waiting())

        def done() -> bool:
            nonlocal count_at
            if time.monotonic() >= count_at and not progress.disable:
                count_at = time.monotonic() + COUNT_EVERY_SECONDS
                progress.update(task, completed=max(0, (progress.tasks[0].total or 0) - removal.waiting()))
            return removal.go_on() == 0 or stop.is_set() or time.monotonic() >= ends

        if removal.left():
            with open_daemon(settings, threading.Event()) as daemon:
                if not daemon.serve_until(done):
                    return False
    if connections := removal.left():
        raise NotForgottenError(
            f"{connections} connections with {removal.waiting()} events to look at are left; {NOTHING_ERASED}"
        )
    return True
