"""Quotas are sliding minutes per user and per project."""

import pytest

from tests.sandbox.conftest import ANA, BEN, Client, bearer
from web.sandbox.errors import ApiError
from web.sandbox.quotas import Quotas
from web.sandbox.specs import QuotaSpec


class Seconds:
    """A clock moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


def refusal(quotas: Quotas, account: str, cost: int = 1) -> tuple[int, str] | None:
    try:
        quotas.charge(account, cost)
    except ApiError as error:
        return error.code, error.reason
    return None


def test_nothing_is_refused_until_limits_are_set(seconds: Seconds) -> None:
    quotas = Quotas(seconds)
    assert [refusal(quotas, ANA) for _ in range(1000)] == [None] * 1000


def test_a_user_is_held_to_his_own_minute(seconds: Seconds) -> None:
    quotas = Quotas(seconds)
    quotas.limit(QuotaSpec(per_user=3))
    assert [refusal(quotas, ANA) for _ in range(4)] == [None, None, None, (403, "userRateLimitExceeded")]
    assert refusal(quotas, BEN) is None


def test_the_window_slides(seconds: Seconds) -> None:
    quotas = Quotas(seconds)
    quotas.limit(QuotaSpec(per_user=2))
    quotas.charge(ANA, 1)
    seconds.now += 40
    quotas.charge(ANA, 1)
    seconds.now += 19.9
    assert refusal(quotas, ANA) is not None
    seconds.now += 0.1
    assert refusal(quotas, ANA) is None
    assert refusal(quotas, ANA) is not None


def test_the_project_is_counted_over_all_users(seconds: Seconds) -> None:
    quotas = Quotas(seconds)
    quotas.limit(QuotaSpec(per_project=2, status=429))
    assert [refusal(quotas, user) for user in (ANA, BEN, ANA)] == [None, None, (429, "rateLimitExceeded")]


def test_a_patch_costs_three_over_http_and_a_users_own_token_nothing(client: Client) -> None:
    client.control("PUT", "quotas", {"per_user": 5})
    own, project = bearer(client.token(own=True)), bearer(client.token())
    path = "/calendar/v3/calendars/primary/events"
    patches = [client.http.simulate_patch(f"{path}/abcde", json={}, headers=project).status_code for _ in range(2)]
    assert patches == [404, 403]
    reads = [client.http.simulate_get(path, headers=project).status_code for _ in range(3)]
    assert reads == [200, 200, 403]
    assert client.http.simulate_get(path, headers=own).status_code == 200
    stats = client.control("GET", "stats")
    assert stats == {
        "requests": {"GET": {"200": 2, "403": 1}, "PATCH": {"403": 1, "404": 1}},
        "parts": {},
        "calendar_requests": 5,
        "quota_units": 9,
    }
