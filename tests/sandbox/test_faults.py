"""Faults strike whom the rules name, and each kind is felt on a real connection."""

import time
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sandbox.conftest import ANA, BEN, TEAM, Client, bearer, event
from web.sandbox.faults import Faults, Target
from web.sandbox.server import SandboxServer
from web.sandbox.specs import FaultKind, FaultSpec

EVENTS = "/calendar/v3/calendars/primary/events"
INSERT = Target("POST", EVENTS, ANA, ANA)


def rule(**conditions: Any) -> Faults:
    faults = Faults()
    faults.add(FaultSpec(kind=FaultKind.CUT, **conditions))
    return faults


@pytest.mark.parametrize(
    ("conditions", "struck"),
    [
        ({}, True),
        ({"method": "post"}, True),
        ({"method": "PUT"}, False),
        ({"path": "/events$"}, True),
        ({"path": "^/token"}, False),
        ({"account": ANA}, True),
        ({"account": BEN}, False),
        ({"calendar": ANA}, True),
        ({"calendar": TEAM}, False),
        ({"method": "POST", "account": BEN}, False),
        ({"probability": 0.0}, False),
    ],
)
def test_a_rule_strikes_what_meets_every_condition(conditions: dict[str, Any], struck: bool) -> None:
    assert (rule(**conditions).strike(INSERT) is not None) is struck


def test_a_count_ends_a_rule_and_the_next_one_takes_over() -> None:
    faults = rule(count=2)
    faults.add(FaultSpec(kind=FaultKind.HTML))
    kinds = [spec.kind if (spec := faults.strike(INSERT)) else "" for _ in range(3)]
    assert kinds == ["cut", "cut", "html"]
    faults.clear()
    assert faults.strike(INSERT) is None


def test_every_nth_match_is_struck() -> None:
    faults = rule(every=3, method="POST")
    assert [faults.strike(INSERT) is not None for _ in range(6)] == [False, False, True] * 2


@settings(deadline=None)  # a busy machine is no failure
@given(probability=st.floats(0, 1), seed=st.integers())
def test_a_seed_picks_the_same_victims_again(probability: float, seed: int) -> None:
    first, second = (rule(probability=probability, seed=seed) for _ in range(2))
    assert [first.strike(INSERT) for _ in range(50)] == [second.strike(INSERT) for _ in range(50)]


def test_a_delay_passes_before_the_work_or_after_it(client: Client) -> None:
    began = client.clock.now.timestamp()
    headers = bearer(client.token())
    client.control("POST", "faults", {"kind": "delay", "seconds": 7, "count": 1})
    client.control("POST", "faults", {"kind": "delay_after", "seconds": 5, "count": 1})
    for _ in range(2):
        client.http.simulate_post(EVENTS, json=event(), headers=headers)
    writes = client.control("GET", "journal?since=0")["entries"]
    assert [write["time"] - began for write in writes] == [7, 7]
    assert client.clock.now.timestamp() - began == 12


def test_a_users_own_token_is_spared(client: Client) -> None:
    client.control("POST", "faults", {"kind": "refuse"})
    assert client.http.simulate_get(EVENTS, headers=bearer(client.token(own=True))).status_code == 200
    assert client.http.simulate_get(EVENTS, headers=bearer(client.token())).status_code == 500


def test_the_token_endpoint_refuses_in_its_own_form(client: Client) -> None:
    fault = {"kind": "refuse", "path": "^/token", "status": 400, "reason": "admin_policy_enforced"}
    client.control("POST", "faults", fault)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = client.http.simulate_post("/token", body="grant_type=refresh_token", headers=headers)
    assert (answer.status_code, answer.json["error"]) == (400, "admin_policy_enforced")


class Struck:
    """One account on a running sandbox with one fault in force for it."""

    def __init__(self, server: SandboxServer, account: str, **fault: object) -> None:
        self.server, self.account = server, account
        token = server.control("POST", "token", {"account": account, "own": False})["access_token"]
        self.project, self.user = bearer(token), bearer(server.user_token(account))
        server.control("POST", "faults", {"account": account, "method": "POST", "count": 1, **fault})

    def insert(self) -> requests.Response:
        url = f"{self.server.url}{EVENTS}"
        return requests.post(url, json=event(id="abcde"), headers=self.project, timeout=20)

    def is_held(self) -> bool:
        answer = requests.get(f"{self.server.url}{EVENTS}/abcde", headers=self.user, timeout=20)
        return answer.status_code == 200

    def recorded(self) -> object:
        entries = self.server.control("GET", "requests?since=0")["entries"]
        return [entry["status"] for entry in entries if entry["account"] == self.account and entry["method"] == "POST"]


@pytest.mark.parametrize(("kind", "held"), [("cut", False), ("cut_after", True)])
def test_a_cut_leaves_no_answer_before_or_after_the_work(
    server: SandboxServer, account: str, kind: str, held: bool
) -> None:
    struck = Struck(server, account, kind=kind)
    with pytest.raises(requests.ConnectionError):
        struck.insert()
    assert struck.is_held() is held
    assert struck.recorded() == ["cut"]
    assert struck.insert().status_code == (409 if held else 200)


@pytest.mark.parametrize(("kind", "held"), [("refuse", False), ("refuse_after", True)])
def test_a_refusal_comes_before_or_after_the_work(server: SandboxServer, account: str, kind: str, held: bool) -> None:
    fault = {"kind": kind, "status": 503, "reason": "backendError", "retry_after": 7}
    struck = Struck(server, account, **fault)
    answer = struck.insert()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
    assert answer.json()["error"]["errors"][0]["reason"] == "backendError"
    assert struck.is_held() is held


def test_a_bad_gateway_answers_html_and_does_no_work(server: SandboxServer, account: str) -> None:
    struck = Struck(server, account, kind="html")
    answer = struck.insert()
    assert (answer.status_code, answer.headers["Content-Type"]) == (502, "text/html; charset=UTF-8")
    assert not struck.is_held()


def test_garbage_says_200_and_is_no_json(server: SandboxServer, account: str) -> None:
    struck = Struck(server, account, kind="garbage")
    answer = struck.insert()
    assert answer.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        answer.json()
    assert struck.is_held()


def test_a_delay_outlasts_the_callers_patience(server: SandboxServer, account: str) -> None:
    struck = Struck(server, account, kind="delay_after", seconds=30)
    with pytest.raises(requests.ReadTimeout):
        requests.post(f"{server.url}{EVENTS}", json=event(id="abcde"), headers=struck.project, timeout=(5, 1.5))
    assert struck.is_held()


def test_a_trickle_arrives_whole_but_byte_by_byte(server: SandboxServer, account: str) -> None:
    struck = Struck(server, account, kind="trickle", seconds=0.0005)
    began = time.monotonic()
    answer = struck.insert()
    assert answer.json()["id"] == "abcde"
    assert len(answer.content) == int(answer.headers["Content-Length"])
    assert time.monotonic() - began > 0.0005 * len(answer.content)
