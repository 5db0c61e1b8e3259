"""Processes whose life is tied to ours: a supervisor ends its command when the process that asked for it is gone.

The parent holds the write end of a pipe on the supervisor's standard input. However the parent ends, kill -9 included,
the kernel closes that end, the supervisor reads end of file and stops the command. The supervisor leads a session of
its own, so a Ctrl-C at the terminal reaches only the parent, which then stops things in its own order.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

STOP_MARGIN_SECONDS = 5.0
"""How long past the grace of a command its supervisor may take to report its end."""

CANNOT_START_STATUS = 127
"""The supervisor's exit status if the command could not be started, as a shell's is."""


class TetheredProcess:
    """A command under a supervisor of its own; ends at `stop()` or with this process, whichever comes first.

    `pid` is the command's own process id, `supervisor_pid` that of its supervisor. The exit status is the command's;
    one ended by signal N counts as 128 + N. `user` and `group` are numeric ids to run the command as (root only).
    The supervisor keeps `pass_fds` open as long as the command lives; the command itself does not get them. It gets
    `command_fds`, under the same numbers.
    Raises OSError if the command cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace: float = 10.0,
        user: int | None = None,
        group: int | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdout: int | IO[str] | None = None,
        stderr: int | IO[str] | None = None,
        pass_fds: Sequence[int] = (),
        command_fds: Sequence[int] = (),
    ) -> None:
        self._grace = grace
        report_read, report_write = os.pipe()
        options = ["--signal", stop_signal.name, "--grace", str(grace), "--report-fd", str(report_write)]
        if user is not None and group is not None:
            options += ["--user", str(user), "--group", str(group)]
        for descriptor in command_fds:
            options += ["--command-fd", str(descriptor)]
        try:
            self._supervisor = subprocess.Popen(  # noqa: S603 - our own interpreter and file
                [sys.executable, "-IS", str(Path(__file__).resolve()), *options, "--", *command],
                stdin=subprocess.PIPE,
                stdout=stdout,
                stderr=stderr,
                env=env,
                cwd=cwd,
                pass_fds=(report_write, *pass_fds, *command_fds),
                start_new_session=True,
                text=True,
            )
        except BaseException:
            os.close(report_read)
            raise
        finally:
            os.close(report_write)
        with os.fdopen(report_read) as report:
            line = report.readline()
        if not line:
            status = self.stop()
            raise OSError(f"cannot start {command[0]} (status {status})")
        self.pid = int(line)
        self.supervisor_pid = self._supervisor.pid

    @property
    def stdout(self) -> IO[str] | None:
        """The command's standard output, if it was asked for with `subprocess.PIPE`."""
        return self._supervisor.stdout

    def poll(self) -> int | None:
        """The command's exit status, or None while it runs."""
        return self._supervisor.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the command's end and returns its exit status; raises subprocess.TimeoutExpired."""
        return self._supervisor.wait(timeout)

    def stop(self) -> int:
        """Sends the stop signal, after the grace SIGKILL, and returns the command's exit status."""
        if self._supervisor.stdin is not None:
            self._supervisor.stdin.close()
        try:
            return self._supervisor.wait(self._grace + STOP_MARGIN_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._supervisor.kill()
            return self._supervisor.wait()
        finally:
            if self._supervisor.stdout is not None:
                self._supervisor.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def supervise(
    command: Sequence[str],
    *,
    stop_signal: signal.Signals,
    grace: float,
    report_fd: int | None,
    user: int | None,
    group: int | None,
    command_fds: Sequence[int] = (),
) -> int:
    """Runs `command` until it ends, standard input closes or SIGTERM arrives; returns its exit status.

    Writes the command's process id and a newline to `report_fd`, then closes it. The command gets `command_fds`.
    """
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    asked_to_stop = False

    def note(number: int, _frame: FrameType | None) -> None:
        nonlocal asked_to_stop
        asked_to_stop = asked_to_stop or number != signal.SIGCHLD

    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, note)
    child = subprocess.Popen(  # noqa: S603 - the command is the caller's
        command,
        stdin=subprocess.DEVNULL,
        user=user,
        group=group,
        extra_groups=[] if user is not None else None,
        process_group=0,
        pass_fds=command_fds,
    )
    for descriptor in command_fds:
        # A socket is closed for its peers only when nobody holds it any more.
        os.close(descriptor)
    if report_fd is not None:
        # Whoever asked may be gone already; standard input tells that too, and the command must not be left behind.
        with contextlib.suppress(BrokenPipeError), os.fdopen(report_fd, "w") as report:
            report.write(f"{child.pid}\n")

    watched, kill_at = [woken, sys.stdin.fileno()], None
    while child.poll() is None:
        left = None if kill_at is None else max(0.0, kill_at - time.monotonic())
        ready, _, _ = select.select(watched, [], [], left)
        if woken in ready:
            os.read(woken, 4096)
        if sys.stdin.fileno() in ready and not os.read(sys.stdin.fileno(), 4096):
            asked_to_stop = True
            watched = [woken]
        if asked_to_stop and kill_at is None:
            child.send_signal(stop_signal)
            kill_at = time.monotonic() + grace
        elif left == 0.0:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: `python -m web.demo.tether [options] -- COMMAND [ARGUMENT …]`."""
    parser = argparse.ArgumentParser(
        prog="tether", description="Runs a command until standard input closes or SIGTERM arrives."
    )
    parser.add_argument("--signal", default="TERM", help="the signal that stops the command (default TERM)")
    parser.add_argument("--grace", type=float, default=10.0, help="seconds from that signal to SIGKILL (default 10)")
    parser.add_argument("--report-fd", type=int, help="descriptor to which the command's process id is written")
    parser.add_argument("--user", type=int, help="numeric user id to run the command as")
    parser.add_argument("--group", type=int, help="numeric group id to run the command as")
    parser.add_argument("--command-fd", type=int, action="append", default=[], help="descriptor the command gets")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    try:
        stop_signal = signal.Signals[f"SIG{options.signal.removeprefix('SIG')}"]
    except KeyError:
        parser.error(f"argument --signal: no signal is called {options.signal}")
    try:
        return supervise(
            options.command,
            stop_signal=stop_signal,
            grace=options.grace,
            report_fd=options.report_fd,
            user=options.user,
            group=options.group,
            command_fds=options.command_fd,
        )
    except OSError as error:
        sys.stderr.write(f"tether: cannot start {options.command[0]}: {error.strerror}\n")
        return CANNOT_START_STATUS


if __name__ == "__main__":
    sys.exit(main())
