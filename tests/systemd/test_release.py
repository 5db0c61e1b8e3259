"""Switching from one release to another on a real machine, and back."""

from tests.systemd.machine import Machine

DAEMON = "calendar-sync-daemon.service"

HOME = "/opt/calendar-sync"


def test_the_way_back_leads_to_the_release_that_served_last(installed: Machine) -> None:
    def copy(name: str) -> str:
        """The path of a release that is just like the current one."""
        release = f"{HOME}/releases/{name}"
        program = f"{release}/venv/bin/calendar-sync"
        installed.shell(f"cp -r {HOME}/current/ {release}; sed -i 's#releases/[a-z]*/#releases/{name}/#' {program}")
        return release

    def links() -> list[str]:
        return installed.run("readlink", f"{HOME}/current", f"{HOME}/previous").split()

    first = installed.run("readlink", f"{HOME}/current").strip()
    second = copy("second")
    installed.run("systemctl", "start", DAEMON)
    # A switch to yet another one was interrupted before.
    installed.run("ln", "--symbolic", first, f"{HOME}/current.new")
    installed.run(f"{second}/systemd/activate")
    assert links() == [second, first]

    # The latter lacks a setting, say, and systemd does not try again.
    for broken, status in ((copy("bad"), 1), (copy("worse"), 2)):
        installed.write(f"{broken}/venv/bin/calendar-sync", f"#!/bin/sh\nexit {status}\n", mode="0755")
        refused = installed.call(f"{broken}/systemd/activate")
        assert refused.returncode == 1
        assert f"to go back: {HOME}/previous/systemd/activate" in refused.stderr
        assert links() == [broken, second]
    installed.run(f"{HOME}/previous/systemd/activate")
    assert links() == [second, second]
    assert installed.show(DAEMON, "ActiveState") == "active"

    # The database was away when this one was to start; since then it serves.
    installed.run("touch", f"{second}/failed")
    third = copy("third")
    installed.run(f"{third}/systemd/activate")
    assert links() == [third, second]
    assert installed.show(DAEMON, "ActiveState") == "active"
