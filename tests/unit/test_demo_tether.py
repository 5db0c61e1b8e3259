"""A tethered process ends with whoever asked for it, however that one ends, and hands on its exit status."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from web.demo.tether import TetheredProcess

PROJECT = Path(__file__).resolve().parents[2]

LIMIT = 20.0
"""Seconds within which anything here must have happened."""

FOR_EVER = "import signal\nprint('running', flush=True)\nsignal.pause()"

DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FOR_EVER


def python(program: str) -> list[str]:
    return [sys.executable, "-IS", "-c", program]


@pytest.fixture
def alive() -> Iterator[tuple[int, Callable[[], bool]]]:
    """A pipe's write end to hand on, and a question: have all who hold it ended (asked once, waits at most LIMIT)?"""
    read, write = os.pipe()

    def ended() -> bool:
        os.close(write)
        ready, _, _ = select.select([read], [], [], LIMIT)
        return bool(ready) and os.read(read, 1) == b""

    yield write, ended
    os.close(read)


def test_the_command_gets_the_descriptors_that_are_meant_for_it_and_holds_them_alone() -> None:
    read, write = os.pipe()
    program = f"import os, sys\nos.write({write}, b'mine')\nos.close({write})\n" + FOR_EVER
    with TetheredProcess(python(program), command_fds=[write]):
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            assert pipe.read() == b"mine"


@pytest.mark.parametrize("status", [0, 1, 7])
def test_the_status_of_the_command_is_handed_on(status: int) -> None:
    with TetheredProcess(python(f"raise SystemExit({status})")) as process:
        assert process.wait(LIMIT) == status


def test_a_command_that_was_killed_is_told_by_its_status() -> None:
    with TetheredProcess(python(FOR_EVER)) as process:
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(LIMIT) == 128 + signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_sends_the_signal_that_was_asked_for(number: signal.Signals) -> None:
    program = f"import signal, sys\nsignal.signal({number.value}, lambda *_: sys.exit(3))\n" + FOR_EVER
    with TetheredProcess(python(program), stop_signal=number, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        assert process.poll() is None
        assert process.stop() == 3


def test_a_command_deaf_to_the_signal_is_killed_after_the_grace() -> None:
    with TetheredProcess(python(DEAF), grace=0.1, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        assert process.stop() == 128 + signal.SIGKILL


def test_stopping_twice_answers_the_same() -> None:
    process = TetheredProcess(python(FOR_EVER))
    assert process.stop() == process.stop() == 128 + signal.SIGTERM


def test_a_supervisor_told_to_end_stops_its_command_first() -> None:
    with TetheredProcess(python(FOR_EVER)) as process:
        os.kill(process.supervisor_pid, signal.SIGTERM)
        assert process.wait(LIMIT) == 128 + signal.SIGTERM


def test_a_command_that_does_not_exist_is_an_error_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="cannot start no-such-command"):
        TetheredProcess(["no-such-command"])
    assert "No such file" in capfd.readouterr().err


def test_the_supervisor_is_out_of_reach_of_the_terminal() -> None:
    with TetheredProcess(python(FOR_EVER)) as process:
        assert os.getsid(process.supervisor_pid) != os.getsid(0)
        assert os.getsid(process.pid) != os.getsid(0)


@pytest.mark.parametrize("program", [FOR_EVER, DEAF], ids=["willing", "deaf"])
def test_a_parent_killed_outright_takes_its_command_along(alive: tuple[int, Callable[[], bool]], program: str) -> None:
    held, ended = alive
    parent_program = f"""
        import subprocess, sys
        from web.demo.tether import TetheredProcess
        process = TetheredProcess({python(program)!r}, grace=0.1, stdout=subprocess.PIPE, stderr={held})
        process.stdout.readline()
        print(process.pid, flush=True)
        sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(parent_program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[held],
        cwd=PROJECT,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.send_signal(signal.SIGKILL)
        assert ended(), "the command or its supervisor still holds the pipe"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_parent_that_is_gone_before_it_hears_the_process_id_takes_the_command_along(
    alive: tuple[int, Callable[[], bool]],
) -> None:
    held, ended = alive
    read, write = os.pipe()
    os.close(read)
    tether = [sys.executable, "-m", "web.demo.tether", "--report-fd", str(write), "--"]
    done = subprocess.run(
        [*tether, *python(FOR_EVER)],
        stdin=subprocess.DEVNULL,
        stdout=held,
        stderr=subprocess.PIPE,
        pass_fds=[write],
        cwd=PROJECT,
        timeout=LIMIT,
        check=False,
    )
    os.close(write)
    assert ended(), "the command still holds the pipe"
    assert (done.returncode, done.stderr) == (128 + signal.SIGTERM, b"")


def test_the_command_line_stops_its_command_at_end_of_input() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "web.demo.tether", "--signal", "INT", "--", *python("import signal\nsignal.pause()")],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=PROJECT,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode in {1, 128 + signal.SIGINT}


def test_the_command_line_refuses_a_signal_that_does_not_exist() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "web.demo.tether", "--signal", "NOPE", "--", "true"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=PROJECT,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 2
    assert "no signal is called NOPE" in done.stderr
