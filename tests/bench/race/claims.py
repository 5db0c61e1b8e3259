"""What our daemon's claims take, from the server's own log: planning and execution, as the daemon runs them."""

import re
from collections import defaultdict
from statistics import median
from types import TracebackType
from typing import Self

from psycopg import sql

from outbox.statements import statement
from tests.bench.race.server import Server
from web.demo.stage import DAEMON_LOGIN

CLAIMS = {"relay": "relay/claim_outbox", "lease": "push/lease_lanes"}
"""The statements that take work: outbox rows, and lanes."""

SETTINGS = {"log_min_duration_statement": "0", "log_parameter_max_length": "0"}

LINE = re.compile(r"\[(\d+)\] LOG:  duration: ([\d.]+) ms  (parse|bind|execute) [^:]*: (.*)")


class ClaimLog:
    """The server writes down every statement of daemons that start within this context manager."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._heads = {name: _head(path) for name, path in CLAIMS.items()}
        self._from = 0

    def begin(self) -> None:
        """Count from here on."""
        self._from = self._server.log.stat().st_size

    def medians(self) -> dict[str, tuple[float, int]]:
        """By claim: the median in milliseconds, and of how many."""
        taken: dict[str, list[float]] = {name: [] for name in CLAIMS}
        before: dict[str, float] = defaultdict(float)
        with self._server.log.open("rb") as log:
            log.seek(self._from)
            for line in log:
                if (found := LINE.search(line.decode(errors="replace"))) is None:
                    continue
                session, milliseconds, phase, text = found.groups()
                before[session] += float(milliseconds)
                if phase == "execute":
                    whole = before.pop(session)
                    for name, head in self._heads.items():
                        if text.startswith(head):
                            taken[name].append(whole)
        return {name: (median(values), len(values)) for name, values in taken.items() if values}

    def __enter__(self) -> Self:
        for name, value in SETTINGS.items():
            self._server.admin.execute(
                sql.SQL("ALTER ROLE {} SET {} = {}").format(
                    sql.Identifier(DAEMON_LOGIN), sql.Identifier(name), sql.Literal(value)
                )
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.admin.execute(sql.SQL("ALTER ROLE {} RESET ALL").format(sql.Identifier(DAEMON_LOGIN)))


def _head(path: str) -> str:
    """The first line, by which the statement is known in the log."""
    return statement(path).as_string().splitlines()[0]
