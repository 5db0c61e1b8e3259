"""What is said to Google of scopes and quotas is what the code does, by Google's own description of the API."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from outbox.google.calls import Call, Delete, Insert, Probe, Read, Update
from outbox.google.request import request_for
from outbox.quota import DAY_ALARM, DAY_BILLING_THRESHOLD, Limit, Priority
from outbox.settings import Settings
from tests.guides.reading import DOCS, names, section, table
from tests.sandbox.discovery import document
from web.page.asks import asks_of
from web.redemption import LIST_SCOPES, WRITE_SCOPES

SCOPES = (DOCS / "google-verification" / "scopes.md").read_text()
PLANNING = (DOCS / "google-verification" / "quota-planning.md").read_text()

PREFIX = "https://www.googleapis.com/auth/"
SAMPLE_CHANGES, SAMPLE_SHARE, DEAREST = 200, 0.2, 2
"""With which the planning table is worked out."""

CALLS: Mapping[str, Call] = {
    "insert": Insert("e", {}),
    "get": Read("e"),
    "update": Update("e", {}, '"1"'),
    "delete": Delete("e", '"1"'),
    "list": Probe(),
}
"""By Google's name of the method, every call that the daemon can make."""


def scopes_of(method: str) -> set[str]:
    """What Google takes for a method, by the end of the scope's name."""
    described: Mapping[str, Any] = document()["resources"]
    resource, name = method.split(".")
    return {scope.removeprefix(PREFIX) for scope in described[resource]["methods"][name]["scopes"]}


METHODS = {names(method)[0]: set(names(scopes)) for method, _, scopes in table(SCOPES, "The calls that are made")}
SETS = {scopes: accepted for _, scopes, accepted, *_ in table(SCOPES, "The sets to choose from")}
KNOWN = {name for scopes in SETS for name in names(scopes)} | {"calendar.calendarlist"}


def test_the_table_of_calls_names_each_method_with_the_scopes_that_google_takes() -> None:
    assert {method: scopes_of(method) & KNOWN for method in METHODS} == METHODS


def test_no_call_is_left_out_of_the_table() -> None:
    list_methods = {"calendarList.list", "calendarList.get"}  # the two of outbox/google/calendar_list.py
    assert set(METHODS) == {f"events.{name}" for name in CALLS} | list_methods
    described = document()["resources"]["events"]["methods"]
    for name, call in CALLS.items():
        assert request_for(call, "c", base_path="").method == described[name]["httpMethod"]
    assert "fields=accessRole&" in request_for(CALLS["list"], "c", base_path="").target


@pytest.mark.parametrize("written", SETS)
def test_a_set_of_scopes_is_accepted_as_the_table_says_and_then_allows_every_call(written: str) -> None:
    granted = {PREFIX + name for name in names(written)}
    accepted = not (granted.isdisjoint(WRITE_SCOPES) or granted.isdisjoint(LIST_SCOPES))
    assert SETS[written] == ("yes" if accepted else "no")
    if accepted:
        short = {scope.removeprefix(PREFIX) for scope in granted}
        assert [method for method in METHODS if short.isdisjoint(scopes_of(method))] == []
        assert "Your administrator has asked for this." not in {ask.use for ask in asks_of(granted)}


def test_the_default_set_is_the_settings_and_the_recommended_one_is_spelt_out() -> None:
    default, recommended = [row for row in table(SCOPES, "The sets to choose from") if "**Not**" not in row[4]][:2]
    spelt = Settings.model_fields["google_oauth_scopes"].default
    assert {PREFIX + name for name in names(default[1])} == set(spelt.split())
    assert recommended[0] == "**recommended**"
    [written] = re.findall(r"^GOOGLE_OAUTH_SCOPES=(.+)$", SCOPES, re.MULTILINE)
    assert {PREFIX + name for name in names(recommended[1])} == set(written.split())


def test_each_scope_of_the_recommended_and_the_default_set_has_a_text_to_paste() -> None:
    justified = set(re.findall(r"^> \*\*`" + PREFIX + r"([\w.]+)`\*\*", SCOPES, re.MULTILINE))
    asked = [names(scopes) for name, scopes, *_ in table(SCOPES, "The sets to choose from") if "default" in name]
    assert justified == {"calendar.events", "calendar.calendarlist.readonly", *asked[0]}


def test_googles_addresses_and_scopes_stand_where_the_decisions_say_and_nowhere_else() -> None:
    project = DOCS.parent
    sources = [path for package in ("outbox", "web") for path in (project / package).rglob("*.py")]
    served = [path for path in sources if not {"sandbox", "demo"}.intersection(path.relative_to(project).parts)]
    naming = {path.relative_to(project).as_posix() for path in served if "googleapis.com" in path.read_text()}
    elsewhere = {path for path in naming if not path.startswith("outbox/google/")}
    examples = {"web/api/examples.py"}
    assert elsewhere - examples == set(re.findall(r"`((?:outbox|web)/[\w/]+\.py)`", outlook()))


def outlook() -> str:
    """What is decided about a second provider."""
    return section((DOCS / "decisions.md").read_text(), "Outlook later?")


def test_the_limits_are_those_of_the_settings() -> None:
    user, project = (Settings.model_fields[f"google_{whose}_quota_per_minute"].default for whose in ("user", "project"))
    limits = [value for _, value, _ in table(PLANNING, "The limits")]
    assert limits == [f"{user:,}", f"{project:,}", f"{DAY_BILLING_THRESHOLD:,}"]
    assert f"From {DAY_ALARM:,} on" in PLANNING
    assert f"goes at {Limit(user).ceiling(Priority.BACKFILL)} a minute" in PLANNING
    assert f"together at {Limit(project).ceiling(Priority.BACKFILL):,}" in PLANNING


def test_the_planning_tables_are_worked_out_rightly() -> None:
    assert f"with {SAMPLE_CHANGES} changes a day and a busiest hour of {SAMPLE_SHARE:.0%}" in PLANNING.replace(
        "0 %", "0%"
    )
    project = Settings.model_fields["google_project_quota_per_minute"].default
    rows = table(PLANNING, "The formula")
    assert rows
    for tenants, calendars, *_ in rows:
        a_day = number(tenants) * SAMPLE_CHANGES * number(calendars) * DEAREST
        minute = round(a_day * SAMPLE_SHARE / 60)
        worked_out = [f"{a_day:,.0f}", share(a_day / DAY_BILLING_THRESHOLD), f"{minute:,}", share(minute / project)]
        assert [tenants, calendars, *worked_out] in rows
    user = Settings.model_fields["google_user_quota_per_minute"].default
    mondays = table(PLANNING, "Monday morning: many connect at once")
    assert mondays
    for who, jobs, *_ in mondays:
        requests = number(who.split()[0]) * number(jobs)
        alone = number(jobs) / Limit(user).ceiling(Priority.BACKFILL)
        together = max(alone, requests / Limit(project).ceiling(Priority.BACKFILL))
        assert [who, jobs, f"{requests:,.0f}", f"{alone:.1f} minutes", minutes(together)] in mondays


def number(text: str) -> float:
    return float(text.replace(",", ""))


def share(value: float) -> str:
    return f"{value:.0%}".replace("%", " %")


def minutes(value: float) -> str:
    return f"{value:.0f} minutes" if value >= 100 else f"{value:.1f} minutes"
