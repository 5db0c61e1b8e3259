"""The notify protocol reaches real sockets, and the unit fits the limits of the daemon that it runs."""

import os
import shutil
import socket
import subprocess
from configparser import RawConfigParser
from pathlib import Path
from uuid import uuid4

import pytest

from outbox.runtime import STOP_SECONDS, STUCK_SECONDS
from outbox.systemd import notify, watchdog_seconds

UNIT = Path(__file__).resolve().parents[2] / "systemd" / "calendar-sync-daemon.service"


def service() -> dict[str, str]:
    """The unit's [Service] section; of a setting that is given several times, the last."""
    unit = RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign] # systemd's names keep their case
    unit.read(UNIT)
    return dict(unit["Service"])


def test_without_a_socket_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert notify(READY="1") is False


def test_a_socket_in_the_file_system_hears_every_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # a short name, whatever the folder's
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("notify")
        monkeypatch.setenv("NOTIFY_SOCKET", "notify")
        assert notify(READY="1", STATUS="Serving.") is True
        manager.settimeout(5)
        assert manager.recv(1000) == b"READY=1\nSTATUS=Serving."


def test_an_abstract_socket_hears_too(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"calendar-sync-{uuid4().hex}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        assert notify(WATCHDOG="1") is True
        manager.settimeout(5)
        assert manager.recv(1000) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        (None, None, None),
        ("", None, None),
        ("1500000", None, 1.5),
        ("120000000", "own", 120.0),
        ("120000000", "1", None),
    ],
)
def test_the_watchdog_is_ours_unless_it_names_another_process(
    monkeypatch: pytest.MonkeyPatch, usec: str | None, pid: str | None, seconds: float | None
) -> None:
    for name, value in {"WATCHDOG_USEC": usec, "WATCHDOG_PID": str(os.getpid()) if pid == "own" else pid}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert watchdog_seconds() == seconds


def test_the_unit_waits_longer_than_the_daemon_needs() -> None:
    settings = service()
    assert settings["Type"] == "notify"
    assert float(settings["WatchdogSec"]) > STUCK_SECONDS
    assert float(settings["TimeoutStopSec"]) > STOP_SECONDS


def test_a_wrong_setting_is_the_one_end_after_which_the_unit_is_not_started_again() -> None:
    settings = service()
    assert settings["Restart"] == "always"
    assert settings["RestartPreventExitStatus"] == "2"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_nothing_to_object_to_in_the_unit(tmp_path: Path) -> None:
    program = shutil.which("true")
    lines = [
        f"ExecStart={program}" if line.startswith("ExecStart=") else line for line in UNIT.read_text().splitlines()
    ]
    copy = tmp_path / UNIT.name
    copy.write_text("\n".join(lines))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
