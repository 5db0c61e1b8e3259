"""Credentials on a real machine: the service that they are for reads them, and nobody else."""

from tests.integration.conftest import World
from tests.systemd.conftest import CREDENTIALS
from tests.systemd.machine import Machine

DAEMON = "calendar-sync-daemon.service"

READ_ALL = f"cat {CREDENTIALS}/* {CREDENTIALS}/web/* /run/credentials/*/* /proc/[0-9]*/environ"


def test_credentials_are_read_by_their_service_and_by_nobody_else(installed: Machine, world: World) -> None:
    secret = world.stage.environment["TOKEN_ENCRYPTION_KEYS"]
    # Whoever made the files was careless.
    installed.run("chmod", "-R", "a+rwX", CREDENTIALS)
    installed.run("systemd-tmpfiles", "--create", "calendar-sync.conf")
    installed.run("systemctl", "start", DAEMON)
    assert secret in installed.shell(f"{READ_ALL} || true")

    strangers = (
        ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"],
        ["systemd-run", "--quiet", "--pipe", "--wait", "--property=DynamicUser=yes"],
    )
    for stranger in strangers:
        seen = installed.call(*stranger, "sh", "-c", f"{READ_ALL}; echo the end")
        assert seen.stdout.endswith("the end\n")
        assert secret not in seen.stdout
        assert seen.stderr.count("Permission denied") >= 5
    process = installed.show(DAEMON, "MainPID")
    assert secret not in installed.run("cat", f"/proc/{process}/environ")
    assert installed.run("stat", "--format=%U %a", CREDENTIALS, f"{CREDENTIALS}/DATABASE_URL").split("\n")[:2] == [
        "root 700",
        "root 600",
    ]


def test_a_verb_by_hand_has_the_daemons_settings_and_rights(installed: Machine) -> None:
    assert '"outbox_rows": 0' in installed.run("calendar-sync", "status", "--json")
    refused = installed.call("calendar-sync", "no-such-verb")
    assert refused.returncode == 2
    assert "No such command" in refused.stdout + refused.stderr
