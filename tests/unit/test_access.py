"""Whether a connection has a token to call with: the stored one, a new one, or the reason why there is none."""

from typing import Any

import pytest

from outbox.access import RENEW_SECONDS_BEFORE_EXPIRY, Access, UserGrant
from outbox.crypto import TokenCipher, generate_key
from outbox.google.oauth import ClientMisconfigured, GrantRefused, TokenAnswer, TokenServerUnavailable
from outbox.metrics import REGISTRY
from outbox.trouble import OPERATOR_REST_SECONDS, TOKEN_SERVER_REST_SECONDS, Broken, Resting

CIPHER, OTHER = (TokenCipher.from_keys(f"{kid}:{generate_key()}") for kid in ("k1", "k2"))
PLACE = {"tenant_id": "acme", "user_id": "u_ana"}


def sealed(token: str, column: str, cipher: TokenCipher = CIPHER) -> bytes:
    return cipher.encrypt(token, **PLACE, column=column)


def grant(**changes: Any) -> UserGrant:
    """Ana's, with a token that is good for an hour."""
    stored: dict[str, Any] = {
        **PLACE,
        "connection_id": 1,
        "state": "active",
        "account_id": "ana@example.com",
        "account_email": "ana@example.com",
        "calendar_id": "cal-1",
        "calendar_name": None,
        "job_filter": "all",
        "paused": False,
        "grant_version": 1,
        "scopes": [],
        "refresh_token": sealed("refresh", "refresh_token"),
        "access_token": sealed("access", "access_token"),
        "access_token_seconds_left": 3600.0,
    }
    return UserGrant(**(stored | changes))


class TokenServer:
    """Google's token endpoint, with these answers in turn."""

    def __init__(self, *answers: TokenAnswer) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def refresh(self, refresh_token: str) -> TokenAnswer:
        self.asked.append(refresh_token)
        return self.answers.pop(0)


def access(server: TokenServer) -> Access:
    parts: list[Any] = [None, CIPHER, server]
    return Access(*parts)


REFUSED = GrantRefused("revoked", "invalid_grant")


def test_a_token_that_lasts_is_used_without_asking() -> None:
    server = TokenServer()
    lasting = grant(access_token_seconds_left=RENEW_SECONDS_BEFORE_EXPIRY + 0.1)
    assert access(server).access_token(lasting) == "access"


@pytest.mark.parametrize(
    "changes",
    [
        {"access_token_seconds_left": RENEW_SECONDS_BEFORE_EXPIRY},
        {"access_token_seconds_left": -1.0},
        {"access_token_seconds_left": None},
        {"access_token": None},
    ],
    ids=str,
)
def test_a_token_that_ends_within_a_push_is_renewed(changes: dict[str, Any]) -> None:
    server = TokenServer(REFUSED)
    assert access(server).access_token(grant(**changes)) == Broken("needs_reconnect", "revoked")
    assert server.asked == ["refresh"]


def test_a_token_that_google_did_not_take_is_renewed_whatever_its_expiry_says() -> None:
    server = TokenServer(REFUSED)
    assert access(server).access_token(grant(), refused=True) == Broken("needs_reconnect", "revoked")
    assert server.asked == ["refresh"]


def test_without_a_refresh_token_only_the_user_can_help() -> None:
    ended = grant(refresh_token=None)
    assert access(TokenServer()).access_token(ended, refused=True) == Broken("needs_reconnect", "revoked")


@pytest.mark.parametrize("column", ["access_token", "refresh_token"])
def test_a_token_under_a_missing_key_is_the_operators_and_one_that_is_damaged_the_users(column: str) -> None:
    refused = column == "refresh_token"
    missing = access(TokenServer()).access_token(grant(**{column: sealed("x", column, OTHER)}), refused=refused)
    assert missing == Resting(
        OPERATOR_REST_SECONDS, "a key is missing from TOKEN_ENCRYPTION_KEYS", operators_matter=True
    )
    damaged = access(TokenServer()).access_token(grant(**{column: sealed("x", "elsewhere")}), refused=refused)
    assert damaged == Broken("needs_reconnect", "key_lost")


def test_once_our_client_is_refused_nobody_asks_until_its_rest_is_over() -> None:
    server = TokenServer(ClientMisconfigured("invalid_client"))
    broker = access(server)
    first, second = (broker.access_token(grant(), refused=True) for _ in range(2))
    assert isinstance(first, Resting)
    assert isinstance(second, Resting)
    assert (first.operators_matter, first.everybodys, first.seconds) == (True, True, OPERATOR_REST_SECONDS)
    assert (second.operators_matter, second.everybodys, second.reason) == (True, True, first.reason)
    assert OPERATOR_REST_SECONDS - 60 < second.seconds <= OPERATOR_REST_SECONDS
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "answer", [REFUSED, ClientMisconfigured("invalid_request"), TokenServerUnavailable("503")], ids=repr
)
def test_what_is_said_of_one_grant_keeps_nobody_else_from_asking(answer: TokenAnswer) -> None:
    server = TokenServer(answer, TokenServerUnavailable("503"))
    broker = access(server)
    broker.access_token(grant(), refused=True)
    second = broker.access_token(grant(), refused=True)
    assert second == Resting(TOKEN_SERVER_REST_SECONDS, "503", everybodys=True)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("answer", "counted"),
    [
        (ClientMisconfigured("invalid_client"), "operator"),
        (ClientMisconfigured("invalid_request"), "unanswered"),
        (TokenServerUnavailable("odd", unknown_error="odd"), "unanswered"),
    ],
    ids=repr,
)
def test_a_client_counts_as_refused_only_where_nobodys_grant_would_do_better(answer: TokenAnswer, counted: str) -> None:
    def refreshes(outcome: str) -> float:
        return REGISTRY.get_sample_value("calendar_sync_token_refreshes_total", {"outcome": outcome}) or 0.0

    before = {outcome: refreshes(outcome) for outcome in ("operator", "unanswered")}
    access(TokenServer(answer)).access_token(grant(), refused=True)
    assert {outcome: refreshes(outcome) - seen for outcome, seen in before.items() if refreshes(outcome) > seen} == {
        counted: 1
    }
