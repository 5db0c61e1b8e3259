"""A token that was moved or altered where it is stored is never used."""

import pytest

from outbox.user import User
from tests.integration.attacks.attacker import ALTERED, exchanges
from tests.integration.conftest import job
from tests.integration.steps import connection, requests_for
from tests.integration.web_client import Site
from web.api.paths import API

SWAPS = {
    "another user's": "(SELECT {column} FROM calendar_sync.calendar_connection WHERE user_id = 'u_ana')",
    "another tenant's": "(SELECT {column} FROM calendar_sync.calendar_connection WHERE tenant_id = 'another-tenant')",
    "another column's": "CASE '{column}' WHEN 'access_token' THEN refresh_token ELSE access_token END",
    "an altered one": ALTERED,
    "a cut one": "substring({column} FROM 1 FOR 20)",
    "an empty one": "''",
    "a token in the clear": "'ya29.token'",
}


@pytest.mark.parametrize("column", ["access_token", "refresh_token"])
@pytest.mark.parametrize("swap", SWAPS)
def test_a_stored_token_that_was_swapped_is_never_used(site: Site, column: str, swap: str) -> None:
    world, bo = site.world, site.user("u_bo")
    victims = {user: site.connect(user) for user in (site.user("u_ana"), User("another-tenant", "u_bo"))}
    own = site.connect(bo)
    world.execute(
        f"UPDATE calendar_sync.calendar_connection SET {column} = {SWAPS[swap].format(column=column)}"
        " WHERE (tenant_id, user_id) = (%s, %s)",
        *bo.key.values(),
    )
    # The refresh token is used once the access token is about to expire.
    world.advance(3500 if column == "refresh_token" else 0)
    asked = {email: requests_for(world, email) for email in (own, *victims.values())}
    exchanged = exchanges(world)
    answer = site.call("GET", f"{API}/calendars", bo)
    assert (answer.status_code, answer.json["type"]) == (409, "urn:calendar-sync:problem:reconnect_needed")
    assert connection(world, "u_bo", "state", "reconnect_reason") == ("needs_reconnect", "key_lost")
    world.commit("job_1", job())
    assert site.call("POST", f"{API}/test-push", bo).status_code == 409
    assert {email: requests_for(world, email) for email in asked} == asked
    assert exchanges(world) == exchanged
    # Nor is it given back to Google: that would end the grant of the one whose it is.
    left = site.call("POST", f"{API}/disconnect", bo, {"remove_events": False})
    assert left.json["revocation"] == ("refused" if column == "refresh_token" else "revoked")
    for victim, email in victims.items():
        offered = site.call("GET", f"{API}/calendars", victim).json["calendars"]
        assert [calendar["id"] for calendar in offered] == [email]
