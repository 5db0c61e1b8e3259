"""What an answer that is not about the job does to its connection: one table of cases."""

import pytest

from outbox.google.meaning import Answer, Meaning
from outbox.google.oauth import ClientMisconfigured, GrantRefused, TokenServerUnavailable
from outbox.trouble import (
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
        (Answer(Meaning.PROJECT_LIMITED, message="m"), Resting(USAGE_LIMIT_REST_SECONDS, "m")),
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


@pytest.mark.parametrize(
    ("refusal", "trouble"),
    [
        (GrantRefused("revoked", "invalid_grant"), Broken("needs_reconnect", "revoked")),
        (GrantRefused("blocked_by_admin", "admin_policy_enforced"), Broken("needs_reconnect", "blocked_by_admin")),
        (
            ClientMisconfigured("invalid_client"),
            Resting(OPERATOR_REST_SECONDS, "invalid_client", operators_matter=True),
        ),
        (TokenServerUnavailable("503"), Resting(TOKEN_SERVER_REST_SECONDS, "503")),
    ],
    ids=str,
)
def test_an_answer_of_the_token_endpoint_breaks_the_connection_or_has_it_rest(
    refusal: GrantRefused | ClientMisconfigured | TokenServerUnavailable, trouble: Trouble
) -> None:
    assert trouble_in_refresh(refusal) == trouble
