"""A jobs service that goes on committing, and commits again what a fault of the database may have taken away."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import psycopg

from web.demo.traffic import Commit, Traffic, TrafficRow, replay

LONGEST_GAP_SECONDS = 1.0
"""Between two rows, however long nothing happened in the file."""


class Feed:
    """Plays the traffic over and over, at so many times real time, whenever it is running.

    `rows` are those whose transactions have committed, in order, and `commits` tell of each when that was, and in which
    `chapter`; a Commit's `row` is an index in `rows`.
    """

    def __init__(self, traffic: Traffic, database_url: str, *, speed: float) -> None:
        self.header = traffic.header
        self._traffic = traffic
        self._database_url = database_url
        self._speed = speed
        self._next = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.rows: list[TrafficRow] = []
        self.commits: list[tuple[str, Commit]] = []
        self.retried = 0
        self.rolled_back = 0

    @property
    def passes(self) -> float:
        """How many times the file was played."""
        return self._next / len(self._traffic.rows)

    def start(self, chapter: str) -> None:
        """Go on where it was stopped."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, args=(chapter,), name="feed", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the row under way."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, chapter: str) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            row = self._traffic.rows[self._next % len(self._traffic.rows)]
            self._commit(row, chapter)
            self._next += 1
            following = self._traffic.rows[self._next % len(self._traffic.rows)]
            due = max(due, time.monotonic() - LONGEST_GAP_SECONDS)
            due += min(LONGEST_GAP_SECONDS, max(0.0, following.at - row.at) / self._speed)

    def _commit(self, row: TrafficRow, chapter: str) -> None:
        """Until it is certain; a row that had been committed after all is then told twice, which changes nothing."""
        single = Traffic(self._traffic.header, (row,))
        while True:
            try:
                commits = replay(single, self._database_url)
            except psycopg.Error:
                self.retried += 1
                time.sleep(0.1)
            else:
                break
        if not commits:
            self.rolled_back += 1
        for commit in commits:
            self.commits.append((chapter, replace(commit, row=len(self.rows))))
            self.rows.append(row)
