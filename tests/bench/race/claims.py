"""What our daemon's claims take, from the server's own log: planning and execution, as the daemon runs them."""

import re
from collections import defaultdict
from types import TracebackType
from typing import NamedTuple, Self

from psycopg import sql

from outbox.statements import statement
from tests.bench.race.server import Server
from web.demo.stage import DAEMON_LOGIN

CLAIMS = {"relay": "relay/claim_outbox", "lease": "push/lease_lanes"}
"""The statements that take work: outbox rows, and lanes."""

DONE_WITH = "relay/delete_outbox"
"""Names the outbox rows that the claim before it in its session has returned."""

SETTINGS = {"log_min_duration_statement": "0", "log_parameter_max_length": "-1"}

LINE = re.compile(r"\[(\d+)\] LOG:  duration: ([\d.]+) ms  (parse|bind|execute) [^:]*: (.*)")

PARAMETERS = re.compile(r"\[(\d+)\] DETAIL:  parameters: (.*)")


class Claim(NamedTuple):
    """One execution; `rows`: how many it returned, as far as that is known."""

    milliseconds: float
    rows: int | None = None


class ClaimLog:
    """The server writes down every statement of daemons that start within this context manager."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._heads = {_head(path): name for name, path in CLAIMS.items()}
        self._done_with = _head(DONE_WITH)
        self._from = 0

    def begin(self) -> None:
        """Count from here on."""
        self._from = self._server.log.stat().st_size

    def claims(self) -> dict[str, list[Claim]]:
        """Those since then, by what is claimed."""
        taken: dict[str, list[Claim]] = {name: [] for name in CLAIMS}
        before: dict[str, float] = defaultdict(float)
        executed: dict[str, str] = {}
        claimed: dict[str, int] = {}
        with self._server.log.open("rb") as log:
            log.seek(self._from)
            for raw in log:
                line = raw.decode(errors="replace")
                if found := LINE.search(line):
                    session, milliseconds, phase, text = found.groups()
                    before[session] += float(milliseconds)
                    executed[session] = text.strip() if phase == "execute" else ""
                    if phase != "execute":
                        continue
                    whole = before.pop(session)
                    if name := self._heads.get(executed[session]):
                        if name == "relay":
                            claimed[session] = len(taken[name])
                        taken[name].append(Claim(whole))
                elif (
                    (found := PARAMETERS.search(line))
                    and executed.get(found[1]) == self._done_with
                    and (place := claimed.get(found[1])) is not None
                ):
                    taken["relay"][place] = taken["relay"][place]._replace(rows=found[2].count(",") + 1)
        return taken

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
