"""The stand-in for Google of the benchmarks, as a process: built, started, asked."""

import json
import subprocess
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from web.demo.tether import TetheredProcess

SOURCE = Path(__file__).resolve().parents[1] / "standin"


def build(folder: Path) -> Path:
    """Compile the stand-in; returns its program. Needs Go."""
    program = folder / "standin"
    subprocess.run(["go", "build", "-o", str(program), "."], cwd=SOURCE, check=True)
    return program


class StandIn:
    """A running stand-in; a context manager."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._process = TetheredProcess([str(program), "serve"], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def begin(self, *, ms: float = 0, part_ms: float = 0) -> None:
        """Forget everything; from now on each request takes so long."""
        self._ask("reset")
        self.delay(ms=ms, part_ms=part_ms)

    def delay(self, *, ms: float = 0, part_ms: float = 0) -> None:
        """From now on each request takes `ms`, and `part_ms` for each call in it."""
        self._ask("set", ms=ms, part_ms=part_ms)

    def forget_counts(self) -> None:
        """Count from nothing; the events stay."""
        self._ask("forget")

    def counts(self) -> dict[str, int]:
        """What was asked of it; calls.go names the counts."""
        return dict(json.loads(self._ask("count")))

    def wait(self, writes: int, *, seconds: float) -> dict[str, int]:
        """Until it has so many writes; the counts then, or after those seconds."""
        return dict(json.loads(self._ask("wait", timeout=seconds + 10, writes=writes, seconds=seconds)))

    def state(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Calendar → event id → what it shows."""
        return dict(json.loads(self._ask("state", timeout=120)))

    def first_requests(self) -> dict[tuple[str, str], int]:
        """When the first request for each calendar and job came, in nanoseconds since 1970."""
        rows = [line.split("\t") for line in self._ask("log", timeout=120).decode().splitlines()]
        return {(calendar, job): int(first) for first, _, _, calendar, job in rows}

    def drive(self, *, calls: int, batch: int) -> dict[str, float]:
        """What it does for a bare client, which keeps its connections open, in plain requests or in batches."""
        self.begin()
        done = subprocess.run(
            [str(self._program), "drive", self.url, "-n", str(calls), "-batch", str(batch)],
            check=True,
            capture_output=True,
            text=True,
        )
        return dict(json.loads(done.stdout))

    def _ask(self, what: str, *, timeout: float = 30.0, **query: float) -> bytes:
        address = f"{self.url}/{what}?{urlencode(query)}"
        with urllib.request.urlopen(address, timeout=timeout) as answer:  # noqa: S310 - our own process
            return bytes(answer.read())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()
