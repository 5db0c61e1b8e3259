"""The page shows what is on the calendars, harmlessly."""

from datetime import date, datetime

import pytest

from tests.sandbox.conftest import TEAM, Client, bearer, event
from web.sandbox.agenda import when
from web.sandbox.times import Moment

HOSTILE = "<script>alert('x')</script>"


def insert(client: Client, **fields: object) -> None:
    path = f"/calendar/v3/calendars/{TEAM}/events"
    assert client.http.simulate_post(path, json=event(**fields), headers=bearer(client.token())).status_code == 200


def test_hostile_text_is_escaped_on_the_page_and_in_its_refresh(client: Client) -> None:
    insert(client, summary=HOSTILE, location=HOSTILE, description=HOSTILE)
    client.control("POST", "accounts", {"email": "eve@example.com", "name": HOSTILE})
    for text in (client.http.simulate_get("/").text, client.http.simulate_get("/agenda.json").json["html"]):
        assert "<script>alert" not in text
        assert text.count("&lt;script&gt;alert") == 5


def test_coming_events_are_shown_soonest_first_and_cancelled_ones_are_not(client: Client) -> None:
    later = {"start": {"date": "2026-12-05"}, "end": {"date": "2026-12-06"}}
    past = {"start": {"date": "2026-11-05"}, "end": {"date": "2026-11-06"}}
    insert(client, **later, summary="Second job")
    insert(client, id="first", summary="First job", location="Dallas, TX")
    insert(client, id="abcde", summary="Dropped job")
    insert(client, **past, summary="Old job")
    client.control("POST", "user-delete", {"account": "ana@example.com", "calendar": TEAM, "event": "abcde"})
    text = client.http.simulate_get("/").text
    assert "Dropped job" not in text
    assert "Old job" not in text
    assert "1 past" in text
    assert text.index("First job") < text.index("Second job")
    assert "Tue 1 Dec 2026, 09:00 – 10:00 CST" in text
    assert "Dallas, TX" in text


def test_the_refresh_sends_nothing_while_nothing_changed(client: Client) -> None:
    first = client.http.simulate_get("/agenda.json").json
    again = client.http.simulate_get("/agenda.json", params={"known": first["version"]}).json
    assert again == {"version": first["version"], "html": None}
    insert(client, summary="New job")
    changed = client.http.simulate_get("/agenda.json", params={"known": first["version"]}).json
    assert "New job" in changed["html"]


def test_the_page_loads_only_what_the_sandbox_serves(client: Client) -> None:
    page = client.http.simulate_get("/")
    assert page.headers["Content-Security-Policy"] == "default-src 'self'"
    for name, kind in {"sandbox.css": "text/css", "sandbox.js": "text/javascript"}.items():
        assert f"/static/{name}" in page.text
        assert client.http.simulate_get(f"/static/{name}").headers["Content-Type"].startswith(kind)
    assert client.http.simulate_get("/static/app.py").status_code == 404


def instant(text: str, zone: str) -> Moment:
    return Moment(None, datetime.fromisoformat(text), zone)


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (Moment(date(2026, 12, 1), None), Moment(date(2026, 12, 2), None), "Tue 1 Dec 2026"),
        (Moment(date(2026, 12, 1), None), Moment(date(2026, 12, 4), None), "Tue 1 Dec 2026 – Thu 3 Dec 2026"),
        (
            instant("2026-12-01T23:00:00Z", "America/Chicago"),
            instant("2026-12-02T12:00:00Z", "America/Chicago"),
            "Tue 1 Dec 2026, 17:00 – Wed 2 Dec 2026, 06:00 CST",
        ),
        (
            instant("2026-12-01T15:00:00Z", "America/Chicago"),
            instant("2026-12-01T19:00:00Z", "America/Denver"),
            "Tue 1 Dec 2026, 09:00 CST – 12:00 MST",
        ),
    ],
)
def test_a_time_is_said_as_a_person_says_it(start: Moment, end: Moment, said: str) -> None:
    assert when(start, end) == said
