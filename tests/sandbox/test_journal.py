"""The record of writes and requests tells everything but secrets."""

from urllib.parse import urlencode

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sandbox.conftest import ANA, TEAM, Client, bearer, event
from web.sandbox.journal import Journal, Write


@settings(deadline=None)  # a busy machine is no failure
@given(added=st.integers(0, 30), kept=st.integers(1, 10), since=st.integers(0, 35))
def test_since_answers_the_later_records_and_says_how_many_are_lost(added: int, kept: int, since: int) -> None:
    journal: Journal[Write] = Journal(kept)
    for number in range(1, added + 1):
        assert journal.append(Write(float(number), "project", ANA, ANA, "abcde", "PUT", {})) == number
    found = journal.since(since)
    numbers = [entry["seq"] for entry in found["entries"]]
    assert numbers == [number for number in range(1, added + 1) if number > since and number > added - kept]
    assert numbers == [int(entry["time"]) for entry in found["entries"]]
    assert found["dropped"] + len(numbers) == max(added - since, 0)
    assert found["last"] == added


def test_each_write_is_recorded_with_who_when_where_and_what(client: Client) -> None:
    path, headers = f"/calendar/v3/calendars/{TEAM}/events", bearer(client.token())
    client.http.simulate_post(path, json=event(id="abcde"), headers=headers)
    client.clock.advance(seconds=5)
    edit = {"account": ANA, "calendar": TEAM, "event": "abcde", "patch": {"colorId": "3"}}
    edited = client.control("POST", "user-edit", edit)
    client.control("POST", "user-delete", {"account": ANA, "calendar": TEAM, "event": "abcde"})
    client.http.simulate_delete(f"{path}/abcde", headers=headers)  # 410: takes no effect
    client.http.simulate_post("/calendar/v3/calendars/primary/events", json=event(), headers=headers)

    entries = client.control("GET", "journal?since=0")["entries"]
    assert [(entry["actor"], entry["method"], entry["calendar"]) for entry in entries] == [
        ("project", "POST", TEAM),
        ("user", "PATCH", TEAM),
        ("user", "DELETE", TEAM),
        ("project", "POST", ANA),
    ]
    assert entries[1]["time"] - entries[0]["time"] == 5
    assert entries[1]["resource"] == edited
    assert entries[2]["resource"]["status"] == "cancelled"
    assert client.control("GET", "journal?since=3")["entries"] == entries[3:]


def test_requests_are_recorded_as_sent_without_their_secrets(client: Client) -> None:
    token = client.token()
    body = event(id="abcde")
    client.http.simulate_post(
        "/calendar/v3/calendars/primary/events", params={"sendUpdates": "none"}, json=body, headers=bearer(token)
    )
    client.http.simulate_post("/revoke", params={"token": token})
    secret_form = {"grant_type": "refresh_token", "refresh_token": "1//s3cret", "client_secret": "s3cret"}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    client.http.simulate_post("/token", body=urlencode(secret_form), headers=headers)

    answer = client.http.simulate_get("/sandbox/requests", params={"since": 0})
    insert, revoke, refresh = answer.json["entries"]
    assert insert["path"] == "/calendar/v3/calendars/primary/events?sendUpdates=none"
    assert (insert["method"], insert["status"], insert["body"]) == ("POST", 200, body)
    assert insert["headers"]["authorization"] == insert["account"] == ANA
    assert revoke["path"] == "/revoke?token=%28hidden%29"
    assert refresh["body"]["grant_type"] == "refresh_token"
    assert refresh["status"] == 400
    assert "s3cret" not in answer.text
    assert token not in answer.text
