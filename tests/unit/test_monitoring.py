"""The dashboard and the alerts ask for nothing that is not there, and each alert leads to a runbook's heading."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from outbox.installation import InstallationGauge
from outbox.metrics import REGISTRY
from outbox.metrics_figures import LoopAges
from tests.conftest import NEEDS
from tests.unit.test_docs import PROJECT, leads_somewhere
from tests.unit.test_metrics import Database, Loop, collector, samples

MONITORING = PROJECT / "docs" / "monitoring"
ALERTS = (MONITORING / "alerts.yml").read_text(encoding="utf-8")
PANELS = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))["panels"]

OF_PROMETHEUS = {"up": frozenset[str]()}
"""Metrics that Prometheus makes itself."""

OF_EVERY_TARGET = frozenset({"job", "instance"})
"""Labels that Prometheus adds."""

SELECTOR = re.compile(r"\b(calendar_sync_\w+|up)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
GROUPING = re.compile(r"\b(?:by|on|without)\s*\(([^)]*)\)")


class NeverRefused:
    """An installation that is not held back."""

    last_refusal = None


def ours() -> dict[str, frozenset[str]]:
    """Our metrics, with their labels."""
    gauge = InstallationGauge(cast("Any", NeverRefused()))
    found = samples(REGISTRY, collector(Database()), LoopAges([Loop()]), gauge)
    return {sample.name: frozenset(sample.labels) for sample in found}


def expressions() -> dict[str, str]:
    """Of the alerts and of the panels, by where they are."""
    of_alerts = re.findall(r"- alert: (\w+)\n +expr: (?:>-\n)?(.+?)\n +(?:for|labels):", ALERTS, re.DOTALL)
    of_panels = {
        f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]
    }
    return dict(of_alerts) | of_panels


def test_every_alert_and_panel_is_looked_at() -> None:
    assert len(expressions()) == ALERTS.count("- alert: ") + sum(len(panel["targets"]) for panel in PANELS)


@pytest.mark.parametrize(("where", "expression"), expressions().items(), ids=list(expressions()))
def test_an_expression_names_metrics_and_labels_that_are_there(where: str, expression: str) -> None:
    known = ours() | OF_PROMETHEUS
    selectors = SELECTOR.findall(expression)
    assert selectors
    assert {name for name, _ in selectors} <= set(known)
    for name, matchers in selectors:
        assert set(MATCHER.findall(matchers)) <= known[name] | OF_EVERY_TARGET
    labels = frozenset().union(*(known[name] for name, _ in selectors))
    grouped = {label.strip() for group in GROUPING.findall(expression) for label in group.split(",") if label.strip()}
    assert grouped <= labels | OF_EVERY_TARGET


def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    shown = {name for expression in expressions().values() for name, _ in SELECTOR.findall(expression)}
    families = {name.removesuffix("_count").removesuffix("_sum") for name in ours() if not name.endswith("_bucket")}
    assert {family for family in families if not any(name.startswith(family) for name in shown)} == set()


def test_each_alert_says_who_is_needed_and_leads_to_a_heading_of_a_runbook() -> None:
    alerts = ALERTS.split("- alert: ")[1:]
    for alert in alerts:
        name = alert.splitlines()[0]
        assert re.search(r"severity: (page|ticket)\}", alert), name
        link = re.search(r"runbook_url: docs/(runbooks/\S+#\S+)", alert)
        assert link, name
        assert leads_somewhere(PROJECT / "docs" / "README.md", link[1]), f"{name}: {link[1]}"


def test_the_monitoring_page_leads_to_every_runbook() -> None:
    page = (MONITORING / "README.md").read_text(encoding="utf-8")
    for runbook in sorted((PROJECT / "docs" / "runbooks").glob("*.md")):
        assert f"../runbooks/{runbook.name}" in page, runbook.name


@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml"), ("check", "config", "prometheus.yml")],
    ids=" ".join,
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip(f"{NEEDS}promtool (Debian's package prometheus)")
    done = subprocess.run(
        [promtool, *arguments], cwd=Path(MONITORING), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
