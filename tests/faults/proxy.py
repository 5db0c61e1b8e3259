"""A proxy between a daemon and Postgres that can hold a statement, cut it off, or go deaf."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict

from tests.faults.plan import Moment

LISTENER = b"calendar-sync listen"
"""The name under which a daemon's LISTEN connection introduces itself."""

CHUNK_BYTES = 65_536

SQL_FOLDER = Path(__file__).resolve().parents[2] / "sql"

_PURPOSE = re.compile(rb"-- Purpose: [^\n]+")


@cache
def statement_names() -> dict[bytes, str]:
    """The name of each statement under `sql/` by its first line, which is sent along with it."""
    found = sorted(SQL_FOLDER.glob("*/*.sql"))
    return {path.read_bytes().partition(b"\n")[0]: f"{path.parent.name}/{path.stem}" for path in found}


@dataclass(eq=False)
class Trap:
    """Waits for a step on any connection of its proxy; the statement, or its answer, is held until `release`.

    `step` is a statement's name, or "COMMIT after" one. `met` is set once something is caught.
    """

    step: str
    moment: Moment
    met: threading.Event = field(default_factory=threading.Event)
    _release: Callable[[bool], None] | None = None

    def catch(self, release: Callable[[bool], None]) -> None:
        """The proxy caught it; `release` lets it go on, or with True cuts the connection."""
        self._release = release
        self.met.set()

    def release(self, *, cut: bool = False) -> None:
        """Let what was caught go on, or cut the connection; does nothing if nothing was caught."""
        if self._release is not None:
            self._release(cut)


class StatementReader:
    """Reads what a client of Postgres sends, piece by piece, and tells which statements it executes."""

    def __init__(self) -> None:
        self._buffer = b""
        self._started = False
        self._prepared: dict[bytes, str] = {}
        self._since_commit: list[str] = []
        self.listens = False

    def read(self, data: bytes) -> list[str]:
        """The names of the statements that are whole now, as under `sql/`; a COMMIT is one after each of its own."""
        self._buffer += data
        names: list[str] = []
        while (message := self._next()) is not None:
            match self._name(*message):
                case "":
                    pass
                case "BEGIN":
                    self._since_commit.clear()
                case "COMMIT":
                    names += [f"COMMIT after {name}" for name in self._since_commit]
                    self._since_commit.clear()
                case name:
                    names.append(name)
                    self._since_commit.append(name)
        return names

    def _next(self) -> tuple[bytes, bytes] | None:
        """The next whole message: its type, empty for those before the session begins, and its content."""
        head = 1 if self._started else 0
        if len(self._buffer) < head + 4:
            return None
        end = head + int.from_bytes(self._buffer[head : head + 4], "big")
        if len(self._buffer) < end:
            return None
        kind, content, self._buffer = self._buffer[:head], self._buffer[head + 4 : end], self._buffer[end:]
        if not self._started and content[:4] == b"\x00\x03\x00\x00":
            self._started = True
            self.listens = LISTENER in content
        return kind, content

    def _name(self, kind: bytes, content: bytes) -> str:
        match kind:
            case b"Q":
                return _name_of(content)
            case b"P":
                prepared, _, rest = content.partition(b"\0")
                self._prepared[prepared] = _name_of(rest)
                return ""
            case b"B":
                return self._prepared.get(content.partition(b"\0")[2].partition(b"\0")[0], "")
            case _:
                return ""


def _name_of(text: bytes) -> str:
    for word in ("BEGIN", "COMMIT"):
        if text.startswith(word.encode()):
            return word
    purpose = _PURPOSE.search(text)
    return "" if purpose is None else statement_names().get(purpose[0], "")


class Connection:
    """One connection through the proxy."""

    def __init__(self, proxy: PostgresProxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._ends = (client, server)
        self._reader = StatementReader()
        self._forward, self._backward = asyncio.Event(), asyncio.Event()
        self._forward.set()
        self._backward.set()
        self._deaf = False

    @property
    def listens(self) -> bool:
        """Whether it is the daemon's LISTEN connection, and still hears."""
        return self._reader.listens and not self._deaf

    def deafen(self) -> None:
        """Whatever is sent is swallowed from now on, either way."""
        self._deaf = True

    async def send_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """From the client to the server, until either is gone."""
        while data := await source.read(CHUNK_BYTES):
            trap = next((trap for name in self._reader.read(data) if (trap := self._proxy.spring(name))), None)
            if trap is not None and trap.moment is Moment.PAST:
                trap.catch(lambda _: None)
            elif trap is not None:
                gate = self._forward if trap.moment is Moment.BEFORE else self._backward
                gate.clear()
                trap.catch(self._releaser(gate))
            await self._forward.wait()
            if not self._deaf:
                target.write(data)
                await target.drain()

    async def send_back(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """From the server to the client, until either is gone."""
        while data := await source.read(CHUNK_BYTES):
            await self._backward.wait()
            if not self._deaf:
                target.write(data)
                await target.drain()

    def _releaser(self, gate: asyncio.Event) -> Callable[[bool], None]:
        def release(cut: bool) -> None:
            self._proxy.loop.call_soon_threadsafe(self._cut if cut else gate.set)

        return release

    def _cut(self) -> None:
        for end in self._ends:
            end.transport.abort()


class PostgresProxy:
    """Listens on a TCP port of this machine and passes on to a server. A context manager.

    `url` is that of the same database, by way of the proxy.

    Args:
        database_url: where the server is, a Unix socket or a TCP port.
        loop: runs in a thread of its own (`running_loop`).
    """

    def __init__(self, database_url: str, loop: asyncio.AbstractEventLoop) -> None:
        given = conninfo_to_dict(database_url)
        self._host, self._port = str(given.get("host") or "localhost"), int(given.get("port") or 5432)
        self.loop = loop
        self._traps: list[Trap] = []
        self._lock = threading.Lock()  # guards _traps
        self._connections: set[Connection] = set()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, host="127.0.0.1", port=0), loop
        ).result(10)
        parts = urlsplit(database_url)
        credentials, _, _ = parts.netloc.rpartition("@")
        here = f"{credentials}@127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self.url = parts._replace(netloc=here, query="sslmode=disable&gssencmode=disable").geturl()

    def set_trap(self, step: str, moment: Moment) -> Trap:
        """Catch the next execution of that step."""
        trap = Trap(step, moment)
        with self._lock:
            self._traps.append(trap)
        return trap

    def take_away(self, trap: Trap) -> bool:
        """Wait for it no longer; False if it has just been sprung."""
        with self._lock:
            waiting = trap in self._traps
            if waiting:
                self._traps.remove(trap)
        return waiting

    def spring(self, name: str) -> Trap | None:
        """The trap, if any, for this step; it is gone then."""
        with self._lock:
            trap = next((trap for trap in self._traps if trap.step == name), None)
            if trap is not None:
                self._traps.remove(trap)
        return trap

    @property
    def listening(self) -> bool:
        """Whether a daemon is there, with a LISTEN connection that hears."""
        return any(connection.listens for connection in list(self._connections))

    def deafen_listener(self) -> bool:
        """Make the LISTEN connection deaf; False if there is none that hears."""

        async def deafen() -> bool:
            listening = [connection for connection in self._connections if connection.listens]
            for connection in listening:
                connection.deafen()
            return bool(listening)

        return asyncio.run_coroutine_threadsafe(deafen(), self.loop).result(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.loop.call_soon_threadsafe(self._server.close)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._host.startswith("/"):
            return await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        return await asyncio.open_connection(self._host, self._port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        connection = Connection(self, writer, server_writer)
        self._connections.add(connection)
        ways = [
            asyncio.create_task(connection.send_on(reader, server_writer)),
            asyncio.create_task(connection.send_back(server_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # It is over: what either side has not taken yet is not waited for.
            for end in (writer, server_writer):
                end.transport.abort()
        self._connections.discard(connection)
        for way in ways:
            way.cancel()
        # What ended it is known to both ends; here it is only passed on.
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, server_writer):
            end.close()


SETTLING_ROUNDS = 3
"""Of the loop, in which the transports that were closed last let go of their sockets."""


class running_loop:  # noqa: N801 - used as a function is
    """An event loop in a thread of its own, for as long as the context lasts."""

    def __enter__(self) -> asyncio.AbstractEventLoop:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()
        return self._loop

    def __exit__(self, *exception: object) -> None:
        async def end() -> None:
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            for _ in range(SETTLING_ROUNDS):
                await asyncio.sleep(0)

        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
