"""What an answer that is not about the job does to its connection: one table of cases."""

import json

import pytest

from outbox.google.meaning import Answer, Meaning
from outbox.google.oauth import Tokens, read_token_answer
from outbox.trouble import (
    NO_CALENDAR_REST_SECONDS,
    OPERATOR_REST_SECONDS,
    RATE_LIMIT_REST_SECONDS,
    TOKEN_SERVER_REST_SECONDS,
    USAGE_LIMIT_REST_SECONDS,
    Broken,
    Resting,
    Trouble,
    trouble_in_answer,
    trouble_in_refresh,
)


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (Answer(Meaning.UNAUTHORIZED), Broken("needs_reconnect", "revoked")),
        (Answer(Meaning.SCOPE_MISSING), Broken("needs_reconnect", "missing_scope")),
        (Answer(Meaning.CALENDAR_READ_ONLY), Broken("calendar_lost", None)),
        (Answer(Meaning.NOT_FOUND), Broken("calendar_lost", None)),
        (Answer(Meaning.USAGE_LIMITED, message="m"), Resting(USAGE_LIMIT_REST_SECONDS, "m")),
        (Answer(Meaning.USAGE_LIMITED, message="m", retry_after=1.0), Resting(USAGE_LIMIT_REST_SECONDS, "m")),
        (Answer(Meaning.PROJECT_LIMITED, message="m"), Resting(USAGE_LIMIT_REST_SECONDS, "m", operators_matter=True)),
        (Answer(Meaning.NO_CALENDAR, message="m"), Resting(NO_CALENDAR_REST_SECONDS, "m", no_calendar=True)),
        (Answer(Meaning.MISCONFIGURED, message="m"), Resting(OPERATOR_REST_SECONDS, "m", operators_matter=True)),
        (Answer(Meaning.RATE_LIMITED, message="m"), Resting(RATE_LIMIT_REST_SECONDS, "m")),
        (Answer(Meaning.RATE_LIMITED, message="m", retry_after=7.0), Resting(7.0, "m")),
    ],
    ids=str,
)
def test_an_answer_of_the_calendar_api_breaks_the_connection_or_has_it_rest(answer: Answer, trouble: Trouble) -> None:
    assert trouble_in_answer(answer, 0) == trouble


@pytest.mark.parametrize("meaning", list(Meaning), ids=lambda meaning: meaning.value)
def test_only_what_a_user_can_mend_breaks_a_connection(meaning: Meaning) -> None:
    users_matter = {
        Meaning.UNAUTHORIZED,
        Meaning.SCOPE_MISSING,
        Meaning.CALENDAR_READ_ONLY,
        Meaning.NOT_FOUND,
    }
    trouble = trouble_in_answer(Answer(meaning), 0)
    assert isinstance(trouble, Broken) == (meaning in users_matter)
    assert isinstance(trouble, Broken) or trouble.seconds > 0


REVOKED = Broken("needs_reconnect", "revoked")


def operators(error: str, *, everybodys: bool) -> Resting:
    """A rest for a refusal of our client or our request."""
    reason = f"Google's token server refuses our client: {error}"
    return Resting(OPERATOR_REST_SECONDS, reason, operators_matter=True, everybodys=everybodys)


def unanswered(detail: str) -> Resting:
    """A rest where nothing is known."""
    return Resting(TOKEN_SERVER_REST_SECONDS, detail, everybodys=True)


UNKNOWN = Resting(
    OPERATOR_REST_SECONDS, "Google's token server answers with an unknown error: never_heard_of", operators_matter=True
)


@pytest.mark.parametrize(
    ("rest", "why", "of_account"),
    [
        (trouble_in_answer(Answer(Meaning.RATE_LIMITED), 0), "limit", True),
        (trouble_in_answer(Answer(Meaning.USAGE_LIMITED), 0), "limit", True),
        (trouble_in_answer(Answer(Meaning.NO_CALENDAR), 0), "no_calendar", True),
        (trouble_in_answer(Answer(Meaning.PROJECT_LIMITED), 0), "ours", False),
        (trouble_in_answer(Answer(Meaning.MISCONFIGURED), 0), "ours", False),
        (operators("invalid_client", everybodys=True), "ours", False),
        (UNKNOWN, "ours", False),
        (unanswered("HTTP 503"), "no_answer", False),
    ],
    ids=str,
)
def test_only_what_google_says_of_an_account_rests_all_of_it(rest: Trouble, why: str, of_account: bool) -> None:
    assert isinstance(rest, Resting)
    assert (rest.why, rest.of_account) == (why, of_account)


@pytest.mark.parametrize(
    ("status", "body", "trouble"),
    [
        (400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}, REVOKED),
        (400, {"error": "invalid_grant", "error_description": "Bad Request"}, REVOKED),
        (400, {"error": "invalid_grant", "error_subtype": "invalid_rapt"}, REVOKED),
        (400, {"error": "invalid_grant", "error_description": "Account has been deleted"}, REVOKED),
        (400, {"error": "admin_policy_enforced"}, Broken("needs_reconnect", "blocked_by_admin")),
        (401, {"error": "unauthorized_client", "error_description": "Unauthorized"}, REVOKED),
        (401, {"error": "invalid_client"}, operators("invalid_client", everybodys=True)),
        (401, {"error": "deleted_client"}, operators("deleted_client", everybodys=True)),
        (400, {"error": "invalid_request"}, operators("invalid_request", everybodys=False)),
        (400, {"error": "redirect_uri_mismatch"}, operators("redirect_uri_mismatch", everybodys=False)),
        (400, {"error": "unsupported_grant_type"}, operators("unsupported_grant_type", everybodys=False)),
        (400, {"error": "invalid_scope"}, operators("invalid_scope", everybodys=False)),
        (401, {"error": "disabled_client"}, operators("disabled_client", everybodys=True)),
        (400, {"error": "restricted_client"}, operators("restricted_client", everybodys=False)),
        (403, {"error": "org_internal"}, operators("org_internal", everybodys=False)),
        (400, {"error": "never_heard_of"}, UNKNOWN),
        (500, {"error": "never_heard_of"}, unanswered("HTTP 500")),
        (429, {"error": "rate_limited"}, unanswered("HTTP 429")),
        (500, {"error": "internal_failure"}, unanswered("HTTP 500")),
        (500, {"error": "invalid_grant"}, unanswered("HTTP 500")),
        (502, "<html>Bad gateway</html>", unanswered("HTTP 502")),
        (400, "<html>Bad request</html>", unanswered("HTTP 400")),
        (200, "<html>Welcome</html>", unanswered("a success without an access token")),
    ],
    ids=str,
)
def test_a_refused_refresh_breaks_the_connection_only_if_google_says_so_of_its_grant(
    status: int, body: object, trouble: Trouble
) -> None:
    answer = read_token_answer(status, (body if isinstance(body, str) else json.dumps(body)).encode())
    assert not isinstance(answer, Tokens)
    assert trouble_in_refresh(answer) == trouble
