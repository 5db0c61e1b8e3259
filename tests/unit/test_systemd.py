"""The notify protocol reaches real sockets, and the units fit the limits of what they run."""

import os
import shutil
import socket
import subprocess
from configparser import RawConfigParser
from pathlib import Path
from uuid import uuid4

import pytest

from daemon import BAD_USAGE
from outbox.runtime import STOP_SECONDS, STUCK_SECONDS
from outbox.systemd import notify, watchdog_seconds
from web.gunicorn_conf import BAD_CONFIGURATION, GRACE_SECONDS
from web.settings import WebSettings

FOLDER = Path(__file__).resolve().parents[2] / "systemd"
DAEMON, WEB = FOLDER / "calendar-sync-daemon.service", FOLDER / "calendar-sync-web.service"


def service(unit: Path) -> dict[str, str]:
    """The unit's [Service] section; of a setting that is given several times, the last."""
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # systemd's names keep their case
    parser.read(unit)
    return dict(parser["Service"])


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


def test_the_daemons_unit_waits_longer_than_the_daemon_needs() -> None:
    settings = service(DAEMON)
    assert settings["Type"] == "notify"
    assert float(settings["WatchdogSec"]) > STUCK_SECONDS
    assert float(settings["TimeoutStopSec"]) > STOP_SECONDS


def test_the_web_apps_unit_waits_longer_than_requests_in_flight() -> None:
    settings = service(WEB)
    assert settings["Type"] == "notify"
    assert "python:web.gunicorn_conf web.app:application" in settings["ExecStart"]
    assert float(settings["TimeoutStopSec"]) > GRACE_SECONDS


@pytest.mark.parametrize("unit", [DAEMON, WEB])
def test_a_wrong_setting_is_the_one_end_after_which_a_unit_is_not_started_again(unit: Path) -> None:
    settings = service(unit)
    assert settings["Restart"] == "always"
    assert int(settings["RestartPreventExitStatus"]) == BAD_CONFIGURATION == BAD_USAGE


def test_both_units_are_confined_alike() -> None:
    daemon, web = service(DAEMON), service(WEB)
    start = list(daemon).index("NoNewPrivileges")
    confined = list(daemon)[start:]
    assert len(confined) > 20
    assert {name: web.get(name) for name in confined} == {name: daemon[name] for name in confined}


def test_every_secret_of_the_web_app_is_a_credential_and_every_other_setting_is_in_the_example() -> None:
    unit, example = WEB.read_text(), (FOLDER / "environment.example").read_text()
    for name, field in WebSettings.model_fields.items():
        is_secret = "SecretStr" in str(field.annotation) or name == "database_url"
        assert (f"LoadCredential={name.upper()}:" in unit) is is_secret
        assert not (is_secret and f"{name.upper()}=" in example)
        if field.is_required() and not is_secret:
            assert f"\n{name.upper()}=" in example


needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


@needs_systemd
@pytest.mark.parametrize("unit", [DAEMON, WEB])
def test_systemd_finds_nothing_to_object_to_in_a_unit(unit: Path, tmp_path: Path) -> None:
    program = shutil.which("true")
    lines = [
        f"ExecStart={program}" if line.startswith("ExecStart=") else line for line in unit.read_text().splitlines()
    ]
    copy = tmp_path / unit.name
    copy.write_text("\n".join(lines))
    assert analyze("verify", str(copy)) == (0, "")


@needs_systemd
@pytest.mark.parametrize("unit", [DAEMON, WEB])
def test_a_unit_is_exposed_to_little(unit: Path) -> None:
    status, said = analyze("security", "--offline=true", "--threshold=15", str(unit))
    assert status == 0, said


def analyze(*arguments: str) -> tuple[int, str]:
    """Exit status and output."""
    done = subprocess.run(
        ["systemd-analyze", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr
