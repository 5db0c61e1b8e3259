"""The check against Google's discovery document lets good requests pass and names what is wrong with bad ones."""

from typing import Any

import pytest

from tests.sandbox.conftest import event
from tests.sandbox.discovery import check_request

EVENTS = "/calendar/v3/calendars/team%40group.calendar.google.com/events"
FULL: dict[str, Any] = event(
    id="abcde",
    summary="A",
    source={"url": "https://app.example.com/jobs/1", "title": "Job 1"},
    extendedProperties={"private": {"app": "x"}},
    reminders={"useDefault": False, "overrides": [{"method": "popup", "minutes": 5}]},
    attendees=[{"email": "ana@example.com", "optional": True}],
)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"{EVENTS}?sendUpdates=none&fields=id,etag,extendedProperties/private", FULL),
        ("PUT", f"{EVENTS}/abcde?sendUpdates=none", event()),
        ("PUT", f"{EVENTS}/abcde", {"start": {"date": "2026-12-01"}, "end": {"date": "2026-12-02"}}),
        ("PATCH", f"{EVENTS}/abcde", {"summary": None, "start": {"dateTime": None, "date": "2026-12-01"}}),
        ("GET", f"{EVENTS}/abcde?timeZone=UTC&prettyPrint=false&quotaUser=x", None),
        ("DELETE", f"{EVENTS}/abcde?sendUpdates=none", None),
        ("GET", f"{EVENTS}?privateExtendedProperty=a%3D1&privateExtendedProperty=b%3D2&maxResults=2500", None),
        ("GET", f"{EVENTS}?timeMin=2026-12-01T00:00:00Z&orderBy=startTime&singleEvents=true", None),
        ("GET", f"{EVENTS}?fields=nextPageToken,items(id,start/dateTime,extendedProperties/private)", None),
        ("POST", f"{EVENTS}/import", event(iCalUID="a@example.com")),
        ("GET", "/calendar/v3/users/me/calendarList?minAccessRole=writer", None),
        ("GET", "/calendar/v3/users/me/calendarList/primary", None),
    ],
)
def test_a_good_request_passes(method: str, path: str, body: object) -> None:
    assert check_request(method, path, body) == []


@pytest.mark.parametrize(
    ("method", "path", "body", "violation"),
    [
        ("GET", "/calendar/v2/x", None, "GET /calendar/v2/x: no such method"),
        ("PATCH", EVENTS, {}, f"PATCH {EVENTS}: no such method"),
        ("GET", EVENTS.replace("%40", "@"), None, "path calendarId: 'team@group.calendar.google.com' is not percent-"),
        ("GET", f"{EVENTS}?sendUpdates=none", None, "query sendUpdates: unknown"),
        ("DELETE", f"{EVENTS}/abcde?sendUpdates=nobody", None, "query sendUpdates: 'nobody' is not one of all, "),
        ("GET", f"{EVENTS}?maxResults=0", None, "query maxResults: 0 is out of range"),
        ("GET", f"{EVENTS}?maxResults=all", None, "query maxResults: 'all' is not an integer"),
        ("GET", f"{EVENTS}?showDeleted=True", None, "query showDeleted: 'True' is not true or false"),
        ("GET", f"{EVENTS}?q=a&q=b", None, "query q: repeated"),
        ("GET", f"{EVENTS}?timeMin=2026-12-01T00:00:00", None, "query timeMin: '2026-12-01T00:00:00' is not an RFC"),
        ("GET", f"{EVENTS}?fields=items(id", None, "query fields: 'items(id' makes no sense"),
        ("GET", f"{EVENTS}?fields=items/title", None, "query fields: items/title is unknown"),
        ("POST", f"{EVENTS}/abcde/move", None, "query destination: missing"),
        ("GET", EVENTS, {"summary": "x"}, "body: the method takes none"),
        ("POST", EVENTS, None, "body: not an object"),
        ("POST", EVENTS, {"end": {"date": "2026-12-02"}}, "body start: missing"),
        ("POST", EVENTS, event(title="x"), "body title: unknown"),
        ("POST", EVENTS, event(summary=5), "body summary: 5 is not of type string"),
        ("POST", EVENTS, event(summary=None), "body summary: None is not of type string"),
        ("POST", EVENTS, event(sequence=True), "body sequence: True is not of type integer"),
        ("POST", EVENTS, event(htmlLink="x"), "body htmlLink: read-only"),
        ("POST", EVENTS, event(creator={}), "body creator: read-only"),
        ("POST", EVENTS, event(start={"date": "1 Dec"}), "body start.date: '1 Dec' is not a date"),
        ("POST", EVENTS, event(start={"dateTime": "noon"}), "body start.dateTime: 'noon' is not an RFC 3339 time"),
        ("POST", EVENTS, event(start={"hour": 9}), "body start.hour: unknown"),
        (
            "POST",
            EVENTS,
            event(extendedProperties={"private": {"rev": 7}}),
            "body extendedProperties.private.rev: 7 is not of type string",
        ),
        ("POST", EVENTS, event(attendees=[{"mail": "x"}]), "body attendees[0].mail: unknown"),
    ],
)
def test_a_bad_request_is_named(method: str, path: str, body: object, violation: str) -> None:
    found = check_request(method, path, body)
    assert len(found) == 1, found
    assert found[0].startswith(violation)
