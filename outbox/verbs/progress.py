"""Progress of long work, on stderr and only on a terminal."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

COUNT_EVERY_SECONDS = 3.0
"""How often it is looked up how much is left."""


def is_shown() -> bool:
    """Whether there is anybody to show it to."""
    return sys.stderr.isatty()


def bar(what: str) -> Progress:
    """For example "removing events ━━━━ 12/40 0:00:07"; shows nothing off a terminal."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not is_shown())


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar for work that tells by itself how many more are done."""
    with bar(what) as progress:
        task = progress.add_task("", total=total)

        def done(more: int) -> None:
            # What comes while it goes on is more to do, not more than all.
            completed = progress.tasks[0].completed + more
            progress.update(task, completed=completed, total=max(completed, progress.tasks[0].total or 0))

        yield done


@contextmanager
def watching(what: str, left: Callable[[], int]) -> Iterator[None]:
    """A bar for work that does not tell: what is left is looked up now and then, meanwhile."""
    if not is_shown():
        yield
        return
    over = threading.Event()
    with bar(what) as progress:
        most = left()
        task = progress.add_task("", total=most)

        def watch() -> None:
            nonlocal most
            while not over.wait(COUNT_EVERY_SECONDS):
                rest = left()
                most = max(most, rest)
                progress.update(task, total=most, completed=most - rest)

        thread = threading.Thread(target=watch, name="progress", daemon=True)
        thread.start()
        try:
            yield
            progress.update(task, completed=most, total=most)
        finally:
            over.set()
            thread.join()
