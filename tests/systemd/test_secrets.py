"""Credentials on a real machine: the service that they are for reads them, and nobody else."""

from concurrent.futures import ThreadPoolExecutor

from tests.faults.plan import Moment
from tests.faults.proxy import PostgresProxy
from tests.integration.conftest import World, eventually, job
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


def test_a_verb_by_hand_ends_when_it_is_interrupted(installed: Machine, database: PostgresProxy, world: World) -> None:
    for user in ("u_ana", "u_ben"):
        world.connect(user)
    world.commit("job_1", job("J-1"))
    pushing = database.set_trap("push/settle_events", Moment.BEFORE)
    with ThreadPoolExecutor(1) as threads:
        # A run of the tests begun in the background inherits the interrupt as ignored.
        heard = ("env", "--default-signal=INT", "setsid", "--wait")
        verb = threads.submit(installed.call, *heard, "calendar-sync", "drain")
        assert pushing.met.wait(30)
        unit = installed.status("list-units", "--plain", "--no-legend", "calendar-sync-verb-*").split()[0]
        # As Ctrl-C does: to all who belong to the script.
        installed.run("sh", "-c", f"kill -INT -{unit.removeprefix('calendar-sync-verb-').removesuffix('.service')}")
        eventually(lambda: installed.show(unit, "ActiveState") == "deactivating")
        pushing.release()
        ended = verb.result()
    assert ended.returncode == 130
    assert "stopped before all that is due was pushed; repeat it" in ended.stderr


def test_a_verb_by_hand_has_the_daemons_settings_and_rights(installed: Machine) -> None:
    assert '"outbox_rows": 0' in installed.run("calendar-sync", "status", "--json")
    refused = installed.call("calendar-sync", "no-such-verb")
    assert refused.returncode == 2
    assert "No such command" in refused.stdout + refused.stderr
    nobody = installed.call("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "calendar-sync", "status")
    assert (nobody.returncode, nobody.stderr) == (2, "calendar-sync: run it as root\n")
