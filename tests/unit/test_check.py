"""What the looks of `check` make of what they find, and what each verb's help shows."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner

from daemon import cli
from outbox.google.oauth import ClientMisconfigured, GrantRefused, TokenAnswer, TokenServerUnavailable
from outbox.installation import InstallationKey, Record
from outbox.rotation import Census
from outbox.verbs.check import CALLBACK_PATH, Finding, Outcome, check_redirect, failed, ok, unchecked, warning, worst
from outbox.verbs.check_database import HELD_SECONDS, judge_horizon, judge_keys, judge_server
from outbox.verbs.check_google import judge_client, judge_clock
from outbox.verbs.rights import Right, rights_of
from web.api.paths import API

OK, WARNING, FAILED, UNCHECKED = Outcome.OK, Outcome.WARNING, Outcome.FAILED, Outcome.UNCHECKED

REDIRECT = f"https://app.example.com{CALLBACK_PATH}"


def outcomes(findings: Any) -> list[Outcome]:
    return [finding.outcome for finding in findings]


def test_google_sends_users_back_to_where_the_web_app_answers() -> None:
    assert f"{API}/callback" == CALLBACK_PATH


@pytest.mark.parametrize(
    ("redirect", "base", "expected"),
    [
        (REDIRECT, "https://app.example.com", [OK, OK]),
        (REDIRECT, "https://app.example.com/", [OK, OK]),
        (REDIRECT, None, [OK, UNCHECKED]),
        (REDIRECT, "https://other.example.com", [OK, FAILED]),
        (REDIRECT, "http://app.example.com", [OK, FAILED]),
        ("https://app.example.com/callback", "https://app.example.com", [FAILED, OK]),
        (f"{REDIRECT}/", None, [FAILED, UNCHECKED]),
        (f"{REDIRECT}?x=1", None, [FAILED, UNCHECKED]),
    ],
)
def test_the_redirect_uri_has_to_lead_to_the_web_app(redirect: str, base: str | None, expected: list[Outcome]) -> None:
    assert outcomes(check_redirect(redirect, base)) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (GrantRefused("revoked", "invalid_grant"), OK),
        (GrantRefused("revoked", "unauthorized_client"), FAILED),
        (ClientMisconfigured("invalid_client"), FAILED),
        (TokenServerUnavailable("HTTP 502"), FAILED),
        (TokenServerUnavailable("HTTP 400 strange", unknown_error="strange"), UNCHECKED),
    ],
    ids=repr,
)
def test_how_google_refuses_what_is_no_token_says_whether_it_knows_our_client(
    answer: TokenAnswer, expected: Outcome
) -> None:
    assert judge_client(answer, "https://oauth2.example.com/token").outcome is expected


@pytest.mark.parametrize(("offset", "expected"), [(0, OK), (-9.9, OK), (11, WARNING), (-299, WARNING), (301, FAILED)])
def test_a_clock_may_be_off_by_seconds(offset: float, expected: Outcome) -> None:
    assert judge_clock(offset, "the database's").outcome is expected


SERVER = {
    "version_number": 150000,
    "version": "15.0",
    "database": "platform",
    "role": "daemon",
    "autovacuum": True,
    "read_only": False,
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, OK), ({"version_number": 139999}, FAILED), ({"read_only": True}, FAILED), ({"autovacuum": False}, FAILED)],
    ids=repr,
)
def test_the_server_has_to_be_a_primary_that_cleans_up(changes: dict[str, Any], expected: Outcome) -> None:
    assert judge_server(SERVER | changes).outcome is expected


@pytest.mark.parametrize(
    ("census", "keys", "expected"),
    [
        (Census(Counter(new=3), Counter(), Counter()), ("new",), [OK]),
        (Census(Counter(new=3), Counter(), Counter()), ("new", "old"), [WARNING]),
        (Census(Counter(new=3, old=1), Counter(), Counter()), ("new", "old"), [WARNING]),
        (Census(Counter(new=3), Counter(lost=2), Counter()), ("new",), [FAILED]),
        (Census(Counter(new=3), Counter(), Counter(new=1)), ("new",), [FAILED]),
        (Census(Counter(new=3), Counter(), Counter(new=1, old=2)), ("new", "old"), [FAILED, FAILED, WARNING]),
        (Census(Counter(), Counter(), Counter()), ("new",), [OK]),
    ],
    ids=repr,
)
def test_every_token_has_to_decrypt_under_a_key_that_is_needed(
    census: Census, keys: tuple[str, ...], expected: list[Outcome]
) -> None:
    assert outcomes(judge_keys(census, keys)) == expected


SEEN = {
    "oldest_seconds": 1.0,
    "sees_all": True,
    "prepared": None,
    "idle_slots": None,
    "slots_behind": None,
    "standbys_behind": 0,
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [OK]),
        ({"oldest_seconds": HELD_SECONDS + 1}, [WARNING]),
        ({"oldest_seconds": None}, [UNCHECKED]),
        ({"sees_all": False}, [OK, UNCHECKED]),
        ({"prepared": ["a", "b"]}, [WARNING, WARNING, OK]),
        ({"idle_slots": ["s"]}, [WARNING, OK]),
        ({"slots_behind": ["s"], "standbys_behind": 1}, [WARNING, WARNING, OK]),
    ],
    ids=repr,
)
def test_whatever_holds_the_horizon_is_named(changes: dict[str, Any], expected: list[Outcome]) -> None:
    assert outcomes(judge_horizon(SEEN | changes)) == expected


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ([], OK),
        ([ok("a", "b"), unchecked("a", "b")], UNCHECKED),
        ([unchecked("a", "b"), warning("a", "b", "c")], WARNING),
        ([warning("a", "b", "c"), failed("a", "b", "c"), ok("a", "b")], FAILED),
    ],
)
def test_the_worst_finding_tells(findings: list[Finding], expected: Outcome) -> None:
    assert worst(findings) is expected


def test_rights_are_read_one_by_one() -> None:
    script = """
    DO $$ BEGIN GRANT SELECT ON t TO web; END $$;
    GRANT USAGE ON SCHEMA s TO web, host; -- GRANT DELETE ON t TO web;
    GRANT SELECT (a, b), UPDATE (c), DELETE ON s.t, s.u
        TO daemon, web;
    GRANT EXECUTE ON FUNCTION s.f(text, bigint), s.g() TO web;
    GRANT SELECT ON s.v TO web_of_others;
    """
    assert rights_of("web", script) == [
        Right("schema", "USAGE", "s"),
        *(Right("column", "SELECT", table, column) for table in ("s.t", "s.u") for column in ("a", "b")),
        *(Right("column", "UPDATE", table, "c") for table in ("s.t", "s.u")),
        *(Right("table", "DELETE", table) for table in ("s.t", "s.u")),
        Right("function", "EXECUTE", "s.f(text, bigint)"),
        Right("function", "EXECUTE", "s.g()"),
    ]


KEY = InstallationKey("client", REDIRECT)
RECORD = Record(
    "1/2/3", "1/2/3", "platform", "platform", "client", REDIRECT, datetime(2026, 11, 23, tzinfo=UTC), refilled=False
)


@pytest.mark.parametrize(
    ("changes", "key", "says"),
    [
        ({}, KEY, None),
        ({}, None, None),
        ({"client_id": None, "redirect_uri": None}, KEY, None),
        ({"database_here": "renamed"}, KEY, None),
        ({"here": "9/2/3"}, KEY, "copied from platform"),
        ({"here": "1/9/3"}, KEY, "copied from platform"),
        ({"here": "1/2/9"}, None, "copied from platform"),
        ({"client_id": "other"}, KEY, "GOOGLE_OAUTH_CLIENT_ID is client"),
        ({"client_id": "other"}, None, None),
        ({"redirect_uri": "https://other.example.com"}, KEY, "GOOGLE_OAUTH_REDIRECT_URI is "),
    ],
    ids=repr,
)
def test_a_database_pushes_from_its_own_place_for_its_own_client(
    changes: dict[str, Any], key: InstallationKey | None, says: str | None
) -> None:
    refusal = replace(RECORD, **changes).differs_from(key)
    assert refusal is None if says is None else says in str(refusal)


@pytest.mark.parametrize("verb", sorted(cli.commands))
def test_the_help_of_each_verb_shows_an_example(verb: str) -> None:
    shown = CliRunner().invoke(cli, [verb, "--help"])
    assert shown.exit_code == 0
    assert f"Example: calendar-sync {verb}" in shown.output
