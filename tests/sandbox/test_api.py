"""Calendar v3 over HTTP: tokens, scopes, conditions, partial answers, and Google's error envelope."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.sandbox.conftest import ANA, BEN, TEAM, Client, bearer, event
from web.sandbox.scopes import PREFIX

EVENTS = "/calendar/v3/calendars/primary/events"


def call(client: Client, method: str, path: str, token: str, **more: Any) -> Any:
    headers = {**bearer(token), **more.pop("headers", {})}
    return client.http.simulate_request(method, path, headers=headers, **more)


def test_without_a_token_nothing_is_answered(client: Client) -> None:
    answer = client.http.simulate_get(EVENTS)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer realm=")


def test_an_unknown_or_expired_token_is_an_auth_error(client: Client) -> None:
    expired = client.token()
    client.clock.advance(seconds=3600)
    for token in ("nonsense", expired):
        answer = call(client, "GET", EVENTS, token)
        assert answer.status_code == 401
        assert answer.json["error"]["errors"][0] == {
            "domain": "global",
            "reason": "authError",
            "message": "Invalid Credentials",
            "locationType": "header",
            "location": "Authorization",
        }
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("method", "path", "scope", "name"),
    [
        ("GET", "/calendar/v3/users/me/calendarList", "calendar.events", "calendar.v3.CalendarList.List"),
        ("POST", EVENTS, "calendar.readonly", "calendar.v3.Events.Insert"),
        ("GET", EVENTS, "calendar.calendarlist.readonly", "calendar.v3.Events.List"),
        ("GET", "/calendar/v3/calendars/primary", "calendar.events", "calendar.v3.Calendars.Get"),
    ],
)
def test_a_scope_that_is_missing_is_named(client: Client, method: str, path: str, scope: str, name: str) -> None:
    answer = call(client, method, path, client.token(ANA, PREFIX + scope), json=event())
    assert answer.status_code == 403
    error = answer.json["error"]
    assert error["errors"] == [
        {"domain": "global", "reason": "insufficientPermissions", "message": "Insufficient Permission"}
    ]
    assert (error["status"], error["message"]) == (
        "PERMISSION_DENIED",
        "Request had insufficient authentication scopes.",
    )
    assert error["details"][0]["reason"] == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"
    assert error["details"][0]["metadata"]["method"] == name
    assert "error=insufficient_scope" in answer.headers["WWW-Authenticate"]


def test_the_owned_scope_reaches_owned_calendars_only(client: Client) -> None:
    token = client.token(BEN, f"{PREFIX}calendar.events.owned")
    assert call(client, "POST", EVENTS, token, json=event()).status_code == 200
    shared = f"/calendar/v3/calendars/{quote(TEAM, safe='')}/events"
    assert call(client, "POST", shared, token, json=event()).status_code == 403


def test_the_life_of_an_event_over_http(client: Client) -> None:
    token = client.token()
    made = call(client, "POST", EVENTS, token, json=event(id="abcde", summary="A"))
    assert (made.status_code, made.headers["ETag"]) == (200, made.json["etag"])
    path = f"{EVENTS}/abcde"
    stale = {"If-Match": made.json["etag"]}
    fresh = call(client, "PUT", path, token, json=event(summary="B"), headers=stale)
    assert (fresh.status_code, fresh.json["summary"]) == (200, "B")
    refused = call(client, "PUT", path, token, json=event(), headers=stale)
    assert (refused.status_code, refused.json["error"]["errors"][0]["location"]) == (412, "If-Match")
    unchanged = call(client, "GET", path, token, headers={"If-None-Match": fresh.json["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert call(client, "PATCH", path, token, json={"summary": "C"}).json["summary"] == "C"
    gone = call(client, "DELETE", path, token, params={"sendUpdates": "none"})
    assert (gone.status_code, gone.content) == (204, b"")
    assert call(client, "DELETE", path, token).json["error"] == {
        "errors": [{"domain": "global", "reason": "deleted", "message": "Resource has been deleted"}],
        "code": 410,
        "message": "Resource has been deleted",
    }


def test_ids_in_the_path_are_percent_decoded(client: Client) -> None:
    holidays = "en.usa#holiday@group.v.calendar.google.com"
    client.control("POST", "accounts", {"email": ANA, "calendars": [{"id": holidays, "summary": "Holidays"}]})
    answer = call(client, "GET", f"/calendar/v3/calendars/{quote(holidays, safe='')}", client.token())
    assert answer.json["id"] == holidays


def test_fields_cuts_the_answer_and_a_bad_selector_does_no_work(client: Client) -> None:
    token = client.token()
    answer = call(client, "POST", EVENTS, token, json=event(id="abcde"), params={"fields": "id,status"})
    assert answer.json == {"id": "abcde", "status": "confirmed"}
    bad = call(client, "DELETE", f"{EVENTS}/abcde", token, params={"fields": "id("})
    assert (bad.status_code, bad.json["error"]["errors"][0]["location"]) == (400, "fields")
    assert call(client, "GET", f"{EVENTS}/abcde", token).json["status"] == "confirmed"


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'{"summary": "\\ud800"}', b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_a_parse_error(client: Client, body: bytes) -> None:
    answer = call(client, "POST", EVENTS, client.token(), body=body)
    assert (answer.status_code, answer.json["error"]["errors"][0]["reason"]) == (400, "parseError")


def test_a_role_taken_away_is_felt_at_once(client: Client) -> None:
    token, path = client.token(BEN), f"/calendar/v3/calendars/{quote(TEAM)}/events"
    client.control("POST", f"calendars/{quote(TEAM)}/role", {"account": BEN, "role": "reader"})
    refused = call(client, "POST", path, token, json=event())
    assert (refused.status_code, refused.json["error"]["errors"][0]["domain"]) == (403, "calendar")
    client.control("POST", f"calendars/{quote(TEAM)}/role", {"account": BEN, "role": None})
    assert call(client, "GET", path, token).status_code == 404


def test_expired_tokens_end_but_a_users_own_token_lives_on(client: Client) -> None:
    mine, theirs = client.token(ANA, own=True), client.token(ANA)
    assert client.control("POST", "tokens/expire", {"account": BEN}) == {"expired": 0}
    assert client.control("POST", "tokens/expire", {}) == {"expired": 1}
    assert call(client, "GET", EVENTS, theirs).status_code == 401
    assert call(client, "GET", EVENTS, mine).status_code == 200


def test_a_control_with_a_bad_body_says_what_is_wrong(client: Client) -> None:
    answer = client.http.simulate_post("/sandbox/faults", json={"kind": "explode"})
    assert answer.status_code == 400
    assert answer.json["error"]["message"].startswith("kind: ")
    assert client.http.simulate_post("/sandbox/revoke", json={"account": "no@example.com"}).status_code == 404
