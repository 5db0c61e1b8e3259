"""Google's own Python client runs the whole flow against the sandbox and cannot tell the difference."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from tests.sandbox.conftest import event
from tests.sandbox.discovery import check_request, document
from web.sandbox.scopes import PREFIX
from web.sandbox.server import SandboxServer

# Google's packages and what they import warn about their own deprecations; none of that is ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

SCOPES = (f"{PREFIX}calendar.events", f"{PREFIX}calendar.calendarlist.readonly")
CALLBACK = "http://127.0.0.1:9999/callback"
CLIENT = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}


def consent(server: SandboxServer, account: str) -> dict[str, Any]:
    """Walk through consent as a browser would, and exchange the code."""
    asked = {
        "client_id": "sandbox-client",
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "scope": " ".join(SCOPES),
        "access_type": "offline",
        "prompt": "consent",
        "state": "s",
    }
    query = requests.Request("GET", server.authorize_url, params=asked).prepare().url
    form = {"request": urlsplit(query or "").query, "account": account, "scope": SCOPES, "decision": "allow"}
    back = requests.post(f"{server.authorize_url}/consent", data=form, allow_redirects=False, timeout=20)
    code = dict(parse_qsl(urlsplit(back.headers["Location"]).query))["code"]
    exchange = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, **CLIENT}
    answer = requests.post(server.token_url, data=exchange, timeout=20)
    tokens: dict[str, Any] = answer.json()
    assert answer.status_code == 200, tokens
    return tokens


class Google:
    """Google's client, signed in to the sandbox as one account."""

    def __init__(self, server: SandboxServer, account: str) -> None:
        from google.oauth2.credentials import Credentials  # noqa: PLC0415 - its import warns
        from googleapiclient.discovery import build_from_document  # noqa: PLC0415 - its import warns

        self.tokens = consent(server, account)
        self.credentials = Credentials(  # type: ignore[no-untyped-call]
            self.tokens["access_token"],
            refresh_token=self.tokens["refresh_token"],
            token_uri=server.token_url,
            scopes=SCOPES,
            **CLIENT,
        )
        described = document() | {"rootUrl": f"{server.url}/", "baseUrl": server.calendar_url}
        self.api = build_from_document(json.dumps(described), credentials=self.credentials)


@pytest.fixture
def google(server: SandboxServer, account: str) -> Iterator[Google]:
    client = Google(server, account)
    yield client
    client.api.close()


def refused(call: Callable[[], object]) -> tuple[int, str]:
    from googleapiclient.errors import HttpError  # noqa: PLC0415 - its import warns

    with pytest.raises(HttpError) as caught:
        call()
    return caught.value.status_code, caught.value.error_details[0]["reason"]


def test_the_calendar_list_is_read(google: Google, account: str) -> None:
    (entry,) = google.api.calendarList().list(minAccessRole="writer").execute()["items"]
    assert (entry["id"], entry["primary"], entry["accessRole"]) == (account, True, "owner")
    assert google.api.calendarList().get(calendarId="primary").execute() == entry


def test_an_event_is_made_read_changed_and_deleted(google: Google, account: str) -> None:
    events = google.api.events()
    made = events.insert(calendarId=account, body=event(id="abcde", summary="A"), sendUpdates="none").execute()
    assert events.get(calendarId="primary", eventId="abcde").execute() == made
    body = event(summary="B", extendedProperties={"private": {"app": "x"}})
    assert events.update(calendarId="primary", eventId="abcde", body=body).execute()["summary"] == "B"
    patched = events.patch(calendarId="primary", eventId="abcde", body={"location": "Dallas"}).execute()
    assert (patched["summary"], patched["location"]) == ("B", "Dallas")
    assert events.delete(calendarId="primary", eventId="abcde").execute() == ""
    assert events.get(calendarId="primary", eventId="abcde").execute()["status"] == "cancelled"
    revived = events.update(calendarId="primary", eventId="abcde", body=event(summary="C")).execute()
    assert revived["status"] == "confirmed"


def test_refusals_are_understood(google: Google) -> None:
    events = google.api.events()
    etag = events.insert(calendarId="primary", body=event(id="abcde")).execute()["etag"]
    events.patch(calendarId="primary", eventId="abcde", body={"summary": "x"}).execute()

    def stale() -> object:
        request = events.update(calendarId="primary", eventId="abcde", body=event())
        request.headers["If-Match"] = etag
        return request.execute()

    assert refused(stale) == (412, "conditionNotMet")
    assert refused(events.insert(calendarId="primary", body=event(id="abcde")).execute) == (409, "duplicate")
    events.delete(calendarId="primary", eventId="abcde").execute()
    assert refused(events.delete(calendarId="primary", eventId="abcde").execute) == (410, "deleted")
    assert refused(events.get(calendarId="primary", eventId="zzzzz").execute) == (404, "notFound")
    assert refused(google.api.calendars().get(calendarId="primary").execute) == (403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT")


def test_pages_are_walked_with_the_clients_own_next(google: Google) -> None:
    events = google.api.events()
    for number in range(7):
        body = event(id=f"event{number}", extendedProperties={"private": {"app": "x"}})
        events.insert(calendarId="primary", body=body).execute()
    found: list[str] = []
    selector = "nextPageToken,items(id,extendedProperties/private)"
    query = {"calendarId": "primary", "privateExtendedProperty": "app=x", "maxResults": 3, "fields": selector}
    request = events.list(**query)
    while request is not None:
        page = request.execute()
        found += [item["id"] for item in page["items"]]
        request = events.list_next(request, page)
    assert found == [f"event{number}" for number in range(7)]


def test_an_expired_token_is_refreshed_on_the_way(google: Google, server: SandboxServer, account: str) -> None:
    assert server.control("POST", "tokens/expire", {"account": account}) == {"expired": 1}
    assert google.api.calendarList().list().execute()["items"]
    assert google.credentials.token != google.tokens["access_token"]


def test_after_a_revocation_the_refresh_is_an_invalid_grant(google: Google, server: SandboxServer) -> None:
    from google.auth.exceptions import RefreshError  # noqa: PLC0415 - its import warns

    revoked = requests.post(server.revoke_url, data={"token": google.credentials.token}, timeout=20)
    assert revoked.status_code == 200
    with pytest.raises(RefreshError, match="invalid_grant"):
        google.api.calendarList().list().execute()


def test_what_googles_client_sends_passes_our_own_check(google: Google, server: SandboxServer, account: str) -> None:
    events = google.api.events()
    events.insert(calendarId="primary", body=event(id="abcde"), sendUpdates="none").execute()
    events.list(calendarId="primary", showDeleted=True, updatedMin="2026-12-01T00:00:00Z").execute()
    entries = server.control("GET", "requests?since=0")["entries"]
    sent = [entry for entry in entries if entry["account"] == account and entry["path"].startswith("/calendar/")]
    assert len(sent) == 2
    assert [check_request(entry["method"], entry["path"], entry["body"]) for entry in sent] == [[], []]
