"""What the dashboard shows while things go wrong: a real Prometheus over a real daemon, under the demo's traffic.

    python -m tests.monitoring.pictures

Needs Prometheus (Debian's package). Ten minutes: Google fails most calls for a while, the daemon is killed and started
again, a user takes the access away, a transaction stays open. What Prometheus answers to the dashboard's own questions
becomes docs/monitoring/dashboard.svg.
"""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import requests
from rich.console import Console

from tests.monitoring.charts import Panel, Points, draw
from web.demo.consent import NetworkHttp
from web.demo.embedded_postgres import EmbeddedPostgres
from web.demo.people import newcomers, office_users
from web.demo.roster import roster_of
from web.demo.stage import Stage
from web.demo.tether import TetheredProcess
from web.demo.traffic import SAMPLE, Traffic, read_traffic, replay
from web.sandbox.server import SandboxServer
from web.sandbox.specs import FaultKind, FaultSpec

MONITORING = Path(__file__).resolve().parents[2] / "docs" / "monitoring"

SECONDS = 600.0
SPEED = 40.0
"""Of the traffic, which is repeated: an hour and a half in less than three minutes."""

SCRAPE_SECONDS = 2
STEP_SECONDS = 5

TROUBLE = {
    "Google fails": (150.0, 230.0),
    "no daemon": (290.0, 350.0),
    "access revoked": (410.0, 420.0),
    "open transaction": (470.0, 560.0),
}
"""What goes wrong, from when to when."""


def main() -> int:
    """Run, draw, write."""
    console = Console(stderr=True)
    program = shutil.which("prometheus")
    if program is None:
        console.print("calendar-sync: this needs Prometheus; on Debian: apt-get install prometheus")
        return 2
    traffic = read_traffic(SAMPLE)
    with ExitStack() as stack:
        postgres = stack.enter_context(EmbeddedPostgres())
        sandbox = stack.enter_context(SandboxServer())
        people = office_users(traffic.header)
        for person in people:
            sandbox.add_account(person.account)
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        web_port, daemon_port, port = listener.getsockname()[1], _free_port(), _free_port()
        origin = f"http://127.0.0.1:{web_port}"
        stage = Stage(postgres.url, sandbox, {"METRICS_PORT": str(daemon_port)}, public_base_url=origin)
        roster = roster_of(sandbox.url, people, newcomers(traffic.header))
        stack.enter_context(stage.start_web(listener, roster, subprocess.DEVNULL))
        with NetworkHttp(origin) as http:
            stage.connect(http, people)
        targets = {"calendar-sync-daemon": daemon_port, "calendar-sync-web": web_port}
        stack.enter_context(_prometheus(program, port, targets))
        began = time.time()
        console.print(f"Prometheus: http://127.0.0.1:{port}; until {time.ctime(began + SECONDS)}")
        _play(stage, traffic, people[0].account.email, console)
        panels = [_panel(panel, port, began) for panel in _dashboard()]
    (MONITORING / "dashboard.svg").write_text(draw(panels, seconds=SECONDS, marks=TROUBLE), encoding="utf-8")
    return 0


def _play(stage: Stage, traffic: Traffic, revoked: str, console: Console) -> None:
    """Traffic all the time, and one trouble after the other."""
    stop = threading.Event()

    def commit() -> None:
        while not stop.is_set():
            replay(traffic, stage.database_url, speed=SPEED, pause=stop.wait)

    began = time.monotonic()

    def until(second: float, what: str) -> None:
        time.sleep(max(0.0, began + second - time.monotonic()))
        console.print(f"{second:.0f} s: {what}")

    producer = threading.Thread(target=commit, daemon=True)
    producer.start()
    daemon = stage.start_daemon(subprocess.DEVNULL)
    try:
        until(TROUBLE["Google fails"][0], "Google fails two calls in three")
        fault = FaultSpec(kind=FaultKind.REFUSE, path="/calendar/v3/", status=503, probability=0.67)
        stage.sandbox.control("POST", "faults", fault.model_dump(mode="json"))
        until(TROUBLE["Google fails"][1], "Google is well")
        stage.sandbox.control("DELETE", "faults")
        until(TROUBLE["no daemon"][0], "no daemon runs")
        daemon.stop()
        until(TROUBLE["no daemon"][1], "a daemon runs")
        daemon = stage.start_daemon(subprocess.DEVNULL)
        until(TROUBLE["access revoked"][0], "a user takes the access away")
        stage.sandbox.control("POST", "revoke", {"account": revoked})
        until(TROUBLE["open transaction"][0], "somebody leaves a transaction open")
        with psycopg.connect(stage.database_url) as holder:
            holder.execute("SELECT pg_current_xact_id()")
            until(TROUBLE["open transaction"][1], "and ends it")
        until(SECONDS, "the end")
    finally:
        stop.set()
        producer.join()
        daemon.stop()


@contextmanager
def _prometheus(program: str, port: int, targets: dict[str, int]) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "prometheus.yml"
        configuration.write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": "10s"},
                    "rule_files": [str(MONITORING / "alerts.yml")],
                    "scrape_configs": [
                        {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
                        for name, target in targets.items()
                    ],
                }
            ),
            encoding="utf-8",
        )
        command = [program, f"--config.file={configuration}", f"--storage.tsdb.path={folder}/data"]
        with TetheredProcess([*command, f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]):
            yield


def _dashboard() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    return panels


def _panel(panel: dict[str, Any], port: int, began: float) -> Panel:
    series: dict[str, Points] = {}
    for target in panel["targets"]:
        for labels, points in _ask(target["expr"], port, began):
            legend = target["legendFormat"]
            for label, value in labels.items():
                legend = legend.replace(f"{{{{{label}}}}}", value)
            series[legend] = points
    return Panel(panel["title"], panel["fieldConfig"]["defaults"]["unit"], series)


def _ask(expression: str, port: int, began: float) -> Iterator[tuple[dict[str, str], Points]]:
    answer = requests.get(
        f"http://127.0.0.1:{port}/api/v1/query_range",
        params={"query": expression, "start": str(began), "end": str(began + SECONDS), "step": str(STEP_SECONDS)},
        timeout=30,
    ).json()
    for result in answer["data"]["result"]:
        values = [(float(at) - began, float(value)) for at, value in result["values"]]
        yield result["metric"], [(at, value) for at, value in values if value == value]  # noqa: PLR0124 - not a NaN


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
