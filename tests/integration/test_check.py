"""`check` says what is wrong and how to mend it, exits accordingly, and prints no secret."""

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from daemon import cli
from outbox.crypto import generate_key
from outbox.settings import Settings
from outbox.statements import statement
from tests.integration.conftest import World
from web.demo.stage import DAEMON_LOGIN

Check = Callable[..., tuple[int, dict[str, list[tuple[str, str, str]]]]]


@pytest.fixture
def check(world: World, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Run the verb with the world's settings but for some; returns the exit code, and by topic what was found."""
    monkeypatch.setattr("outbox.verbs.check_report.configure_logs", lambda *_: None)
    for name in [name for name in os.environ if name.lower() in Settings.model_fields]:
        monkeypatch.delenv(name)

    def run(**changes: str | None) -> tuple[int, dict[str, list[tuple[str, str, str]]]]:
        base = {"PUBLIC_BASE_URL": world.stage.web_settings.public_base_url}
        environment: Mapping[str, str | None] = {**world.stage.environment, **base, **changes}
        ended = CliRunner().invoke(cli, ["check", "--json"], env=environment)
        for name in ("GOOGLE_OAUTH_CLIENT_SECRET", "TOKEN_ENCRYPTION_KEYS"):
            assert str(environment[name]).rpartition(":")[2] not in ended.output
        found: dict[str, list[tuple[str, str, str]]] = {}
        for finding in json.loads(ended.stdout)["findings"]:
            found.setdefault(finding["topic"], []).append(
                (finding["outcome"], finding["text"], finding["way_out"] or "")
            )
        return ended.exit_code, found

    return run


def wrong(found: dict[str, list[tuple[str, str, str]]]) -> dict[str, tuple[str, ...]]:
    """The topics that are not well, with outcomes."""
    bad = {
        topic: tuple(line[0] for line in lines if line[0] in ("failed", "warning")) for topic, lines in found.items()
    }
    return {topic: outcomes for topic, outcomes in bad.items() if outcomes}


def test_all_is_well_with_an_installation_that_works(world: World, check: Check) -> None:
    world.connect("u_ana")
    world.sync()
    code, found = check()
    assert (code, wrong(found)) == (0, {})
    assert set(found) == {
        "settings",
        "redirect URI",
        "public address",
        "Google",
        "clock",
        "OAuth client",
        "database",
        "schema",
        "rights",
        "row-level security",
        "installation",
        "storage options",
        "wake-up",
        "open transactions",
        "encryption keys",
    }
    assert found["encryption keys"] == [("ok", "demo (2 tokens); every token decrypts", "")]
    options = world.execute(
        "SELECT relname, unnest(reloptions) FROM pg_class WHERE relnamespace = 'calendar_sync'::regnamespace"
    )
    assert [row for row in options if "('{}', '{}')".format(*row) not in statement("check/storage").as_string()] == []
    assert found["rights"][0][1].startswith(f"{DAEMON_LOGIN} has all ")


def test_each_trouble_in_the_database_is_named_with_the_way_out(world: World, check: Check) -> None:
    world.connect("u_ana")
    world.execute("ALTER TABLE calendar_sync.lane RESET (fillfactor)")
    world.execute("ALTER TABLE calendar_sync.outbox SET (autovacuum_vacuum_threshold = 5)")
    world.execute("REVOKE UPDATE ON calendar_sync.lane FROM calendar_sync_daemon")
    world.execute("UPDATE calendar_sync.installation SET place = 'elsewhere'")
    with psycopg.connect(world.database_url) as held:
        held.execute("SELECT txid_current()")
        code, found = check(TOKEN_ENCRYPTION_KEYS=f"other:{generate_key()}")
    assert code == 1
    assert wrong(found) == {
        "rights": ("failed",),
        "installation": ("failed",),
        "storage options": ("warning", "warning"),
        "encryption keys": ("failed",),
    }
    assert "UPDATE on calendar_sync.lane" in found["rights"][0][1]
    assert "psql -f sql/roles.sql" in found["rights"][0][2]
    assert "calendar-sync migrate --adopt" in found["installation"][0][2]
    assert {line[2] for line in found["storage options"]} == {
        "ALTER TABLE calendar_sync.lane SET (fillfactor=50)",
        "ALTER TABLE calendar_sync.outbox SET (autovacuum_vacuum_threshold=1000)",
    }
    assert "rotate-keys --lost demo" in found["encryption keys"][0][2]


def test_that_commits_notify_nobody_is_a_choice_and_told_in_a_line(world: World, check: Check) -> None:
    assert check()[1]["wake-up"] == [("ok", "commits into the outbox notify the daemons, one commit after another", "")]
    world.execute("ALTER TABLE calendar_sync.outbox DISABLE TRIGGER notify_outbox")
    code, found = check()
    assert (code, wrong(found)) == (0, {})
    assert found["wake-up"][0][1].startswith("commits into the outbox notify nobody (trigger notify_outbox is off); ")


def test_a_fence_that_was_not_put_up_is_missed(world: World, check: Check) -> None:
    world.execute("ALTER TABLE calendar_sync.lane DISABLE ROW LEVEL SECURITY")
    code, found = check()
    assert (code, wrong(found)) == (1, {"row-level security": ("failed",)})
    assert found["row-level security"][0][1] == "the web app is shown everybody's rows of lane"


def test_another_key_of_the_same_name_is_told_from_damage(world: World, check: Check) -> None:
    for name in ("u_ana", "u_bo"):
        world.connect(name)
    code, found = check(TOKEN_ENCRYPTION_KEYS=f"demo:{generate_key()}")
    assert (code, wrong(found)) == (1, {"installation": ("failed",), "encryption keys": ("failed",)})
    assert found["encryption keys"][0][1].startswith("nothing of the 4 tokens under key demo opens with the demo of ")
    assert "another key of the same name" in found["installation"][0][2]


def test_whoever_owns_the_schema_may_do_too_much(world: World, check: Check) -> None:
    code, found = check(DATABASE_URL=world.database_url)
    assert (code, wrong(found)) == (0, {"rights": ("warning",)})


def test_a_database_that_is_not_up_to_date_is_not_looked_at_any_further(world: World, check: Check) -> None:
    world.execute("DELETE FROM calendar_sync.schema_migration WHERE version = 9")
    code, found = check()
    assert (code, wrong(found)) == (1, {"schema": ("failed",)})
    assert found["schema"][0][2] == "calendar-sync migrate"
    assert "encryption keys" not in found


@pytest.mark.parametrize(
    ("changes", "code", "expected"),
    [
        ({"JOB_URL_TEMPLATE": None, "PUSH_CONCURRENCY": "0"}, 2, {"settings": ("failed", "failed")}),
        ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nowhere"}, 3, {"database": ("failed",)}),
        ({"DATABASE_URL": None}, 2, {"settings": ("failed",)}),
        ({"GOOGLE_OAUTH_CLIENT_SECRET": "wrong-secret"}, 1, {"OAuth client": ("failed",)}),
        ({"GOOGLE_AUTHORIZE_URL": "http://127.0.0.1:1/auth"}, 1, {"Google": ("failed",)}),
        ({"GOOGLE_OAUTH_CLIENT_ID": "another"}, 1, {"OAuth client": ("failed",), "installation": ("failed",)}),
    ],
    ids=repr,
)
def test_each_trouble_with_settings_has_its_line_and_its_exit_code(
    check: Check, changes: dict[str, Any], code: int, expected: dict[str, tuple[str, ...]]
) -> None:
    ended, found = check(**changes)
    assert (ended, wrong(found)) == (code, expected)


def test_a_person_gets_lines_with_the_way_out_below(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outbox.verbs.check_report.configure_logs", lambda *_: None)
    ended = CliRunner().invoke(cli, ["check"], env={**world.stage.environment, "JOB_URL_TEMPLATE": "nowhere"})
    lines = ended.output.splitlines()
    assert lines[0].startswith("failed     settings: JOB_URL_TEMPLATE: must be an http(s) URL that contains {job_id}; ")
    assert lines[1].startswith("           → set it in the environment, or ")
