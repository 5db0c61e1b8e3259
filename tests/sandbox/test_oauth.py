"""The OAuth flow of a web server, walked by plain HTTP forms."""

import base64
import hashlib
import json
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from tests.sandbox.conftest import ANA, BEN, Client, bearer
from web.sandbox.scopes import PREFIX

CALLBACK = "http://127.0.0.1:9999/callback"
EVENTS, LIST = f"{PREFIX}calendar.events", f"{PREFIX}calendar.calendarlist.readonly"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
PKCE = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}


def asked(**more: str) -> dict[str, str]:
    return {
        "client_id": "sandbox-client",
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "scope": f"{EVENTS} {LIST}",
        "access_type": "offline",
        "state": "s/t a+te",
        **more,
    }


def post(client: Client, path: str, form: Any) -> Any:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return client.http.simulate_post(path, body=urlencode(form, doseq=True), headers=headers)


def returned(answer: Any) -> dict[str, str]:
    assert answer.status_code == 302, answer.text
    assert answer.headers["Location"].startswith(CALLBACK)
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


def consent(client: Client, account: str = ANA, tick: tuple[str, ...] = (EVENTS, LIST), **more: str) -> dict[str, str]:
    form = {"request": urlencode(asked(**more)), "account": account, "scope": tick, "decision": "allow"}
    return returned(post(client, "/o/oauth2/v2/auth/consent", form))


def exchange(client: Client, code: str, **more: str) -> Any:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
        **more,
    }
    return post(client, "/token", form)


def refresh(client: Client, token: str, **more: str) -> Any:
    credentials = {"client_id": "sandbox-client", "client_secret": "sandbox-secret", **more}
    return post(client, "/token", {"grant_type": "refresh_token", "refresh_token": token, **credentials})


def refusal(answer: Any) -> tuple[int, str, str | None]:
    return answer.status_code, answer.json["error"], answer.json.get("error_description")


def connect(client: Client, account: str = ANA) -> dict[str, Any]:
    answer = exchange(client, consent(client, account, prompt="consent")["code"])
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json
    return tokens


def test_a_browser_is_led_from_the_accounts_to_the_boxes_and_back(client: Client) -> None:
    chooser = client.http.simulate_get("/o/oauth2/v2/auth", params=asked())
    assert ANA in chooser.text
    assert BEN in chooser.text
    boxes = post(client, "/o/oauth2/v2/auth/account", {"request": urlencode(asked()), "account": ANA})
    assert boxes.text.count('type="checkbox"') == 2
    back = consent(client)
    assert back["state"] == "s/t a+te"
    assert back["scope"] == f"{EVENTS} {LIST}"
    tokens = exchange(client, back["code"]).json
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 3599
    assert tokens["refresh_token"].startswith("1//")
    listed = client.http.simulate_get("/calendar/v3/users/me/calendarList", headers=bearer(tokens["access_token"]))
    assert listed.json["items"][0]["id"] == ANA


def test_a_hinted_account_skips_the_chooser_unless_it_is_asked_for(client: Client) -> None:
    straight = client.http.simulate_get("/o/oauth2/v2/auth", params=asked(login_hint=ANA))
    assert "Select what it can access" in straight.text
    params = asked(login_hint=ANA, prompt="consent select_account")
    assert "Choose an account" in client.http.simulate_get("/o/oauth2/v2/auth", params=params).text


def test_cancel_comes_back_as_access_denied_with_the_state(client: Client) -> None:
    form = {"request": urlencode(asked()), "account": ANA, "scope": (EVENTS, LIST), "decision": "cancel"}
    assert returned(post(client, "/o/oauth2/v2/auth/consent", form)) == {"error": "access_denied", "state": "s/t a+te"}


def test_an_unticked_box_narrows_what_is_granted(client: Client) -> None:
    back = consent(client, tick=(LIST,))
    tokens = exchange(client, back["code"]).json
    assert back["scope"] == tokens["scope"] == LIST
    events = client.http.simulate_get("/calendar/v3/calendars/primary/events", headers=bearer(tokens["access_token"]))
    assert events.json["error"]["errors"][0]["reason"] == "insufficientPermissions"


def test_no_ticked_box_is_a_refusal(client: Client) -> None:
    assert consent(client, tick=())["error"] == "access_denied"


def test_a_single_scope_has_no_box(client: Client) -> None:
    page = client.http.simulate_get("/o/oauth2/v2/auth", params=asked(scope=EVENTS, login_hint=ANA))
    assert "checkbox" not in page.text
    assert consent(client, tick=(), scope=EVENTS)["scope"] == EVENTS


def test_sign_in_scopes_need_no_tick_and_come_back_by_their_full_names(client: Client) -> None:
    back = consent(client, tick=(EVENTS,), scope=f"openid email {EVENTS}", nonce="n")
    tokens = exchange(client, back["code"]).json
    assert tokens["scope"] == f"openid {PREFIX}userinfo.email {EVENTS}"
    claims = tokens["id_token"].split(".")[1]
    found = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    assert (found["aud"], found["email"], found["nonce"]) == ("sandbox-client", ANA, "n")


@pytest.mark.parametrize(
    ("change", "status", "heading"),
    [
        ({"client_id": "other"}, 401, "invalid_client"),
        ({"redirect_uri": "https://evil.example.com/"}, 400, "redirect_uri_mismatch"),
        ({"redirect_uri": ""}, 400, "invalid_request"),
        ({"response_type": "token"}, 400, "unsupported_response_type"),
        ({"scope": "everything"}, 400, "invalid_scope"),
        ({"prompt": "none consent"}, 400, "invalid_request"),
        ({"access_type": "always"}, 400, "invalid_request"),
        ({"code_challenge": "x", "code_challenge_method": "S512"}, 400, "invalid_request"),
    ],
)
def test_a_bad_request_ends_on_a_page_and_not_at_the_callback(
    client: Client, change: dict[str, str], status: int, heading: str
) -> None:
    answer = client.http.simulate_get("/o/oauth2/v2/auth", params=asked(**change))
    assert answer.status_code == status
    assert heading in answer.text
    assert "Location" not in answer.headers


def test_without_a_user_to_ask_only_a_standing_grant_gives_a_code(client: Client) -> None:
    def silent() -> dict[str, str]:
        params = asked(prompt="none", login_hint=ANA)
        return returned(client.http.simulate_get("/o/oauth2/v2/auth", params=params))

    assert silent()["error"] == "interaction_required"
    connect(client)
    assert "code" in silent()


def test_a_refresh_token_comes_only_offline_and_after_a_consent(client: Client) -> None:
    assert "refresh_token" not in exchange(client, consent(client, access_type="online")["code"]).json
    again = post(client, "/o/oauth2/v2/auth/account", {"request": urlencode(asked()), "account": ANA})
    assert "refresh_token" not in exchange(client, returned(again)["code"]).json
    asked_again = asked(prompt="consent")
    page = post(client, "/o/oauth2/v2/auth/account", {"request": urlencode(asked_again), "account": ANA})
    assert page.status_code == 200
    assert "refresh_token" in connect(client)


@pytest.mark.parametrize(
    ("challenge", "verifier", "description"),
    [
        (PKCE, {"code_verifier": VERIFIER}, None),
        ({"code_challenge": VERIFIER}, {"code_verifier": VERIFIER}, None),
        (PKCE, {"code_verifier": "w" * 43}, "Invalid code verifier."),
        (PKCE, {}, "Missing code verifier."),
        ({}, {"code_verifier": VERIFIER}, "code_verifier or verifier is not needed"),
    ],
)
def test_the_verifier_must_fit_the_challenge(
    client: Client, challenge: dict[str, str], verifier: dict[str, str], description: str | None
) -> None:
    answer = exchange(client, consent(client, ANA, (EVENTS, LIST), **challenge)["code"], **verifier)
    if description is None:
        assert answer.status_code == 200
    else:
        assert refusal(answer) == (400, "invalid_grant", description)


def test_a_code_is_redeemed_once_and_soon(client: Client) -> None:
    code, late = consent(client)["code"], consent(client)["code"]
    assert exchange(client, code).status_code == 200
    assert refusal(exchange(client, code)) == (400, "invalid_grant", "Code was already redeemed.")
    client.clock.advance(minutes=10)
    assert refusal(exchange(client, late)) == (400, "invalid_grant", "Bad Request")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"code": "4/unknown"}, (400, "invalid_grant", "Malformed auth code.")),
        ({"code": ""}, (400, "invalid_request", "Missing required parameter: code")),
        ({"redirect_uri": "http://127.0.0.1:1/"}, (400, "redirect_uri_mismatch", "Bad Request")),
        ({"client_id": "other"}, (401, "invalid_client", "The OAuth client was not found.")),
        ({"client_secret": "wrong"}, (401, "invalid_client", "Unauthorized")),
        ({"grant_type": "password"}, (400, "unsupported_grant_type", "Invalid grant_type: password")),
        ({"grant_type": ""}, (400, "invalid_request", "Missing required parameter: grant_type")),
    ],
)
def test_a_bad_exchange_says_why(client: Client, change: dict[str, str], expected: tuple[int, str, str]) -> None:
    code = consent(client)["code"]
    assert refusal(exchange(client, **{"code": code, **change})) == expected
    assert exchange(client, code).status_code == 200


def test_the_client_may_show_itself_by_http_basic(client: Client) -> None:
    form = {"grant_type": "authorization_code", "code": consent(client)["code"], "redirect_uri": CALLBACK}

    def answer(secret: str) -> Any:
        credentials = base64.b64encode(f"sandbox-client:{secret}".encode()).decode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Basic {credentials}"}
        return client.http.simulate_post("/token", body=urlencode(form), headers=headers)

    assert answer("wrong").status_code == 401
    assert answer("sandbox-secret").status_code == 200


def test_a_refresh_gives_a_new_access_token_and_no_new_refresh_token(client: Client) -> None:
    tokens = connect(client)
    fresh = refresh(client, tokens["refresh_token"]).json
    assert fresh.keys() == {"access_token", "expires_in", "scope", "token_type"}
    assert fresh["access_token"] != tokens["access_token"]
    assert refusal(refresh(client, tokens["refresh_token"], scope=f"{PREFIX}calendar"))[1] == "invalid_scope"
    assert refusal(refresh(client, ""))[1] == "invalid_request"


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
def test_revoking_any_token_ends_the_whole_grant_of_the_account(client: Client, kind: str) -> None:
    old, new, other = connect(client), connect(client), connect(client, BEN)
    assert post(client, "/revoke", {"token": old[kind]}).status_code == 200
    assert refusal(refresh(client, new["refresh_token"])) == (
        400,
        "invalid_grant",
        "Token has been expired or revoked.",
    )
    events = "/calendar/v3/calendars/primary/events"
    assert client.http.simulate_get(events, headers=bearer(new["access_token"])).status_code == 401
    assert refresh(client, other["refresh_token"]).status_code == 200
    assert refusal(post(client, "/revoke", {"token": old[kind]})) == (400, "invalid_token", "Token expired or revoked")
    page = post(client, "/o/oauth2/v2/auth/account", {"request": urlencode(asked()), "account": ANA})
    assert page.status_code == 200, "consent is asked for again"


def test_a_revocation_takes_the_token_from_the_query_and_no_get(client: Client) -> None:
    tokens = connect(client)
    assert client.http.simulate_get("/revoke", params={"token": tokens["refresh_token"]}).status_code == 404
    assert client.http.simulate_post("/revoke", params={"token": tokens["refresh_token"]}).status_code == 200


def test_a_user_may_take_access_away_in_google(client: Client) -> None:
    tokens = connect(client)
    client.control("POST", "revoke", {"account": ANA})
    assert refusal(refresh(client, tokens["refresh_token"]))[1] == "invalid_grant"


def test_beyond_a_hundred_refresh_tokens_the_oldest_dies(client: Client) -> None:
    tokens = [connect(client)["refresh_token"] for _ in range(101)]
    assert refusal(refresh(client, tokens[0]))[1] == "invalid_grant"
    assert refresh(client, tokens[1]).status_code == 200
    assert refresh(client, tokens[100]).status_code == 200
