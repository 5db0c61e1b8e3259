"""The notify protocol reaches real sockets, and the units fit the limits of what they run."""

import os
import re
import shutil
import socket
import subprocess
from configparser import RawConfigParser
from pathlib import Path
from uuid import uuid4

import pytest

from daemon import BAD_USAGE
from outbox.runtime import STOP_SECONDS, STUCK_SECONDS, STUCK_SHARE
from outbox.status_line import backlog
from outbox.systemd import notify, watchdog_seconds
from web.gunicorn_conf import BAD_CONFIGURATION, GRACE_SECONDS
from web.settings import WebSettings

FOLDER = Path(__file__).resolve().parents[2] / "systemd"
DAEMON, WEB = FOLDER / "calendar-sync-daemon.service", FOLDER / "calendar-sync-web.service"
TEMPLATE, MIGRATE = FOLDER / "calendar-sync-daemon@.service", FOLDER / "calendar-sync-migrate.service"
SERVICES = (DAEMON, TEMPLATE, WEB, MIGRATE)
SOCKET = FOLDER / "calendar-sync-web.socket"


def section(unit: Path, name: str) -> dict[str, str]:
    """That section of the unit; of a setting that is given several times, the last."""
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # systemd's names keep their case
    parser.read(unit)
    return dict(parser[name])


def service(unit: Path) -> dict[str, str]:
    """The unit's [Service] section."""
    return section(unit, "Service")


def test_without_a_socket_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert notify(READY="1") is False


def test_a_manager_that_is_gone_stops_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert notify(WATCHDOG="1") is False


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
    assert float(settings["WatchdogSec"]) * STUCK_SHARE == STUCK_SECONDS
    assert float(settings["TimeoutStopSec"]) > STOP_SECONDS


def test_the_web_apps_unit_waits_longer_than_requests_in_flight() -> None:
    settings = service(WEB)
    assert settings["Type"] == "notify"
    assert "python:web.gunicorn_conf web.app:application" in settings["ExecStart"]
    # A reload takes as long before it ends, and whoever stops it meanwhile is heard afterwards.
    assert float(settings["TimeoutStopSec"]) > 2 * GRACE_SECONDS


@pytest.mark.parametrize("unit", [DAEMON, WEB])
def test_a_wrong_setting_is_the_one_end_after_which_a_unit_is_not_started_again(unit: Path) -> None:
    settings = service(unit)
    assert settings["Restart"] == "always"
    assert int(settings["RestartPreventExitStatus"]) == BAD_CONFIGURATION == BAD_USAGE


def test_all_services_are_confined_alike() -> None:
    daemon, others = service(DAEMON), [service(unit) for unit in SERVICES]
    start = list(daemon).index("NoNewPrivileges")
    confined = list(daemon)[start:]
    assert len(confined) > 20
    for other in others:
        assert {name: other.get(name) for name in confined} == {name: daemon[name] for name in confined}


def test_one_more_daemon_differs_from_the_first_in_nothing_but_its_metrics_port() -> None:
    program = "/opt/calendar-sync/current/venv/bin/calendar-sync run"
    lines = [line for line in TEMPLATE.read_text().splitlines() if not line.startswith("#")]
    expected = [line for line in DAEMON.read_text().splitlines() if not line.startswith("#")]
    expected[expected.index(f"ExecStart={program}")] = f"ExecStart=/usr/bin/env METRICS_PORT=%i {program}"
    assert expected[1].startswith("Description=")
    expected[1] += " (metrics on %i)"
    assert lines == expected


def test_no_service_gets_the_owners_login_but_the_one_that_migrates() -> None:
    logins = {
        unit: [line for line in unit.read_text().splitlines() if line.startswith("LoadCredential=DATABASE_URL:")]
        for unit in SERVICES
    }
    assert [unit for unit, lines in logins.items() if any("/migrate/" in line for line in lines)] == [MIGRATE]
    assert all(len(lines) == 1 for lines in logins.values())


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ((0, 0, 0, 0), "Serving. Nothing waits."),
        ((3, 0, 0.6, 0), "Serving. 3 rows and 0 pushes wait; 1 s behind."),
        ((0.0, 12000.0, 0.0, 90.2), "Serving. 0 rows and 12000 pushes wait; 90 s behind."),
        ((2, 5, 40.0, 7.0), "Serving. 2 rows and 5 pushes wait; 40 s behind."),
    ],
)
def test_the_status_line_says_what_waits_and_how_far_behind_the_daemon_is(
    figures: tuple[float, ...], said: str
) -> None:
    columns = ("outbox_rows", "pending_pushes", "outbox_oldest_seconds", "oldest_due_seconds")
    assert backlog(dict(zip(columns, figures, strict=True))) == said


def test_every_secret_of_the_web_app_is_a_credential_and_every_other_setting_is_in_the_example() -> None:
    unit, example = WEB.read_text(), (FOLDER / "environment.example").read_text()
    for name, field in WebSettings.model_fields.items():
        is_secret = "SecretStr" in str(field.annotation) or name == "database_url"
        assert (f"LoadCredential={name.upper()}:" in unit) is is_secret
        assert not (is_secret and f"{name.upper()}=" in example)
        if field.is_required() and not is_secret:
            assert f"\n{name.upper()}=" in example


def test_whoever_waits_at_the_socket_has_the_app_started_seldom_and_yet_no_less_often_than_systemd_does() -> None:
    listener = section(SOCKET, "Socket")
    starts_each_second = int(listener["TriggerLimitBurst"]) / int(listener["TriggerLimitIntervalSec"])
    assert 1 / int(service(WEB)["RestartSec"]) < starts_each_second < 1


needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


@needs_systemd
def test_systemd_finds_nothing_to_object_to_in_the_units(tmp_path: Path) -> None:
    # All together, because they name each other; without the programs, which are not installed here.
    copies = [tmp_path / unit.name for unit in FOLDER.glob("calendar-sync*")]
    for copy in copies:
        text = (FOLDER / copy.name).read_text()
        copy.write_text(re.sub(r"^ExecStart=.*", f"ExecStart={shutil.which('true')}", text, flags=re.MULTILINE))
    assert len(copies) == 6
    assert analyze("verify", *map(str, copies)) == (0, "")


@needs_systemd
@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_service_is_exposed_to_little(unit: Path) -> None:
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
