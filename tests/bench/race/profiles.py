"""Where our daemon spends its time: py-spy from outside, which slows nothing, or cProfile in every thread."""

import cProfile
import io
import pstats
import runpy
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

TOP = 45
"""Lines that are shown."""


class Profile:
    """How a daemon is watched, and what was seen."""

    def __init__(self, kind: str, folder: Path) -> None:
        """`kind`: "cpu" (cProfile with each thread's CPU time), "spy" (samples of what runs), "gil" (of what holds the
        interpreter's lock).
        """
        self._kind = kind
        self._out = folder / f"profile.{kind}"
        self._spy: subprocess.Popen[bytes] | None = None
        self._spy_program = _py_spy(folder) if kind != "cpu" else ""

    def command(self, program: Sequence[str]) -> list[str]:
        """The command to start instead of the program."""
        if self._kind == "cpu":
            return [program[0], str(Path(__file__).resolve()), str(self._out), *program[1:]]
        return list(program)

    def attach(self, pid: int) -> None:
        """Watch the process that was started."""
        if self._kind == "cpu":
            return
        gil = ["--gil"] if self._kind == "gil" else []
        self._spy = subprocess.Popen(
            [
                self._spy_program,
                "record",
                "-p",
                str(pid),
                "-r",
                "250",
                "-d",
                "3600",
                *gil,
                "-f",
                "raw",
                "-o",
                str(self._out),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def finish(self) -> None:
        """Print what was seen, once the process has ended."""
        if self._spy is not None:
            self._spy.wait(60)
            _print_samples(self._out)
        else:
            _print_calls(self._out)
        print(f"the whole profile: {self._out}")


def _py_spy(folder: Path) -> str:
    if found := shutil.which("py-spy"):
        return found
    tools = folder / "tools"
    if not (tools / "bin" / "py-spy").exists():
        subprocess.run([sys.executable, "-m", "venv", str(tools)], check=True)
        subprocess.run([str(tools / "bin" / "pip"), "install", "-q", "py-spy"], check=True)
    return str(tools / "bin" / "py-spy")


def _print_samples(path: Path) -> None:
    own: Counter[str] = Counter()
    cumulative: Counter[str] = Counter()
    threads: Counter[str] = Counter()
    total = 0
    for line in path.read_text().splitlines():
        stack, _, number = line.rpartition(" ")
        frames, samples = stack.split(";"), int(number)
        total += samples
        own[frames[-1]] += samples
        for frame in {_function(frame) for frame in frames}:
            cumulative[frame] += samples
        threads[next((frame for frame in frames if "(outbox/" in frame and "loops.py" not in frame), frames[0])] += (
            samples
        )
    for title, counter in (("own", own), ("with what it calls", cumulative), ("first of ours", threads)):
        print(f"\n{title}, of {total} samples")
        for frame, samples in counter.most_common(TOP):
            print(f"{samples / total:7.1%}  {frame}")


def _function(frame: str) -> str:
    """Without the line."""
    head, _, tail = frame.rpartition(":")
    return f"{head})" if tail.rstrip(")").isdigit() else frame


def _print_calls(path: Path) -> None:
    for order in ("tottime", "cumtime"):
        text = io.StringIO()
        pstats.Stats(str(path), stream=text).sort_stats(order).print_stats(TOP)
        print(text.getvalue())


def _run_profiled(out: Path, program: Sequence[str]) -> None:
    """Run the program in this process, every thread under a profiler of its own that counts the thread's CPU time."""
    profilers: list[cProfile.Profile] = []

    def watch(*_: object) -> None:
        profiler = cProfile.Profile(time.thread_time)
        profilers.append(profiler)
        profiler.enable()

    def begin(frame: FrameType, event: str, argument: object) -> None:
        sys.setprofile(None)
        watch()

    threading.setprofile(begin)
    watch()
    sys.argv = list(program)
    sys.path.insert(0, str(Path(program[0]).parent))
    try:
        runpy.run_path(program[0], run_name="__main__")
    finally:
        merged: pstats.Stats | None = None
        for profiler in profilers:
            profiler.create_stats()
            if profiler.stats:
                merged = pstats.Stats(profiler) if merged is None else merged.add(profiler)
        if merged is not None:
            merged.dump_stats(out)


if __name__ == "__main__":
    _run_profiled(Path(sys.argv[1]), sys.argv[2:])
