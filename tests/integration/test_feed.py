"""The iCalendar feed over HTTP: it says what the calendar says, to whoever has its address and nobody else."""

import base64
import gzip
import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast, get_args
from urllib.parse import quote, urlencode, urlsplit

import psycopg
import pytest
from falcon.testing import Result
from icalendar import Calendar
from structlog.testing import capture_logs

from outbox.acting import acting_for, introduce
from outbox.connection_view import ConnectionState
from outbox.grants import AccountBusyError, Grants
from outbox.user import User
from outbox.verbs.forgetting import Removal, forget
from outbox.verbs.forgotten import Whose
from tests.integration import page_states
from tests.integration.conftest import World
from tests.integration.conftest import job as job_of
from tests.integration.many_jobs import insert_jobs
from tests.integration.page_states import ACTIVE
from tests.integration.web_client import ORIGIN, Site, open_site
from web.api.paths import API, FEED, PAGE
from web.capacity import FeedPlaces
from web.feed import feeds, ical
from web.limits import LIMITS, Limit
from web.page.view import Facts, view_page
from web.sandbox.specs import AccountSpec

FORM = {"Content-Type": "application/x-www-form-urlencoded", "Origin": ORIGIN}

SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=100)
"""When the jobs of these tests are: whenever they are run, in the feed's horizon."""

ALL_DAY = {
    "dispatch_window": {"start": SOON.date().isoformat()},
    "delivery_window": {"end": (SOON.date() + timedelta(days=2)).isoformat()},
}


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    with open_site(world) as opened:
        yield opened


def make(site: Site, user: User, **body: str) -> str:
    """A new address of the user's feed, as a path."""
    answer = site.call("POST", FEED, user, body)
    assert answer.status_code == 201, answer.text
    url = str(answer.json["url"])
    assert answer.json["webcal_url"] == url.replace("https:", "webcal:")
    assert url.startswith(f"{ORIGIN}/calendar-feeds/")
    return urlsplit(url).path


def fetch(site: Site, path: str, **headers: str) -> Result:
    """What a calendar app does."""
    return site.call("GET", path, headers=headers)


def events(site: Site, path: str) -> list[Any]:
    """The events at that address, in their order."""
    answer = fetch(site, path)
    assert answer.status_code == 200, answer.text
    return list(Calendar.from_ical(answer.content).walk("VEVENT"))


def titles(site: Site, path: str) -> list[str]:
    return sorted(str(event["SUMMARY"]) for event in events(site, path))


def relay(world: World) -> None:
    with world.engine() as engine:
        engine.relay.relay_batch()


def at(moment: dict[str, str]) -> date | datetime:
    """Google's start or end."""
    return datetime.fromisoformat(moment["dateTime"]) if "dateTime" in moment else date.fromisoformat(moment["date"])


def job(number: str, **changes: Any) -> dict[str, Any]:
    """A job of one leg at SOON, unless `changes` say otherwise."""
    [leg] = job_of()["legs"]
    window = {"start": SOON.isoformat(), "end": (SOON + timedelta(hours=1)).isoformat()}
    return job_of(number, **{"legs": [{**leg, "dispatch_window": window, "delivery_window": window}], **changes})


def job_ending(number: str, days: float) -> dict[str, Any]:
    """A job whose event ends so many days from now."""
    end = datetime.now(UTC) + timedelta(days=days)
    window = {"start": (end - timedelta(hours=1)).isoformat(), "end": end.isoformat()}
    return job(number, legs=[{"dispatch_window": window, "delivery_window": window}])


def test_the_feed_says_what_the_calendar_says(site: Site) -> None:
    world, ana = site.world, site.user("u_ana")
    calendar, path = site.connect(ana), make(site, ana)
    notes = {"items": [{"description": "Paint; <red>", "quantity": 2}], "notes": "Mind,\nthe dog"}
    world.commit("job_1", job("J-1", manifest=notes))
    world.commit("job_2", job("J-2", legs=[ALL_DAY]))
    world.commit("job_3", job("J-3", legs=[]))
    world.sync()
    shown = {event["summary"]: event for event in world.events(calendar)}
    read = {str(event["SUMMARY"]): event for event in events(site, path)}
    assert read.keys() == shown.keys() == {"J-1 · Dallas → Memphis", "J-2"}
    for title, event in read.items():
        google = shown[title]
        assert (event["DTSTART"].dt, event["DTEND"].dt) == (at(google["start"]), at(google["end"]))
        assert str(event.get("LOCATION", "")) == google.get("location", "")
        assert str(event["URL"]) == google["source"]["url"]
        assert event["TRANSP"] == google["transparency"].upper()
    described = str(read["J-1 · Dallas → Memphis"]["DESCRIPTION"])
    assert described == "• 2 Paint; <red>\nMind,\nthe dog\n\nhttps://app.example.com/jobs/job_1"


def test_a_test_push_is_no_job(site: Site) -> None:
    ana = site.user("u_ana")
    site.connect(ana)
    assert site.call("POST", f"{API}/test-push", ana).status_code == 202
    site.world.sync()
    assert titles(site, make(site, ana)) == []


def test_the_feed_honours_the_filter_and_follows_it(site: Site) -> None:
    world, ana = site.world, site.user("u_ana")
    world.commit("job_1", job("J-1", assigned_user_ids=["u_ana"], legs=[ALL_DAY]))
    world.commit("job_2", job("J-2", assigned_user_ids=["u_bo"], legs=[ALL_DAY]))
    world.commit("job_3", job("J-3", legs=[ALL_DAY]))
    relay(world)
    without_google = make(site, site.user("u_bo"), job_filter="assigned")
    assert titles(site, without_google) == ["J-2"]
    site.connect(ana)
    path = make(site, ana)
    assert titles(site, path) == ["J-1", "J-2", "J-3"]
    before = fetch(site, path).headers["etag"]
    assert site.call("PATCH", API, ana, {"job_filter": "assigned"}).status_code == 200
    assert titles(site, path) == ["J-1"]
    assert fetch(site, path, **{"If-None-Match": before}).status_code == 200
    assert site.call("GET", FEED, ana).json["job_filter"] == "assigned"
    # A pause, or another address, leaves it as it is; and so does what a colleague chooses.
    assert site.call("PATCH", API, ana, {"paused": True}).status_code == 200
    assert titles(site, make(site, ana)) == ["J-1"]
    assert titles(site, without_google) == ["J-2"]
    world.commit("job_1", job("J-1", assigned_user_ids=["u_bo"], legs=[ALL_DAY]))
    relay(world)
    assert titles(site, without_google) == ["J-1", "J-2"]
    # Made anew it begins with the connection's filter.
    site.call("DELETE", FEED, ana)
    assert titles(site, make(site, ana)) == []


def test_what_changes_moves_sequence_and_last_modified_and_keeps_its_uid(site: Site) -> None:
    world = site.world
    path = make(site, site.user("u_ana"))
    world.commit("job_1", job("J-1"))
    relay(world)
    [first] = events(site, path)
    begun = int((datetime.now(UTC) - datetime(2020, 1, 1, tzinfo=UTC)) / timedelta(hours=1))
    assert first["SEQUENCE"] in {begun - 1, begun}  # the hour may have just ended
    assert first["STATUS"] == "CONFIRMED"
    world.advance(60)
    newer = world.commit("job_1", job("J-1 later"))
    relay(world)
    [second] = events(site, path)
    assert (second["UID"], second["SEQUENCE"]) == (first["UID"], first["SEQUENCE"] + 1)
    for name in ("LAST-MODIFIED", "DTSTAMP"):
        assert second[name].dt - first[name].dt >= timedelta(seconds=60)
    # An older row changes nothing.
    world.execute(
        "INSERT INTO calendar_sync.outbox (id, tenant_id, job_id, event_type, payload)"
        " OVERRIDING SYSTEM VALUE SELECT %s, tenant_id, job_id, 'job.updated', payload FROM calendar_sync.job",
        newer - 1,
    )
    relay(world)
    assert events(site, path)[0]["SEQUENCE"] == second["SEQUENCE"]
    # The row is deleted by the retention, and the job comes back.
    world.advance(91 * 86400)
    world.execute("DELETE FROM calendar_sync.job")
    world.commit("job_1", job("J-1"))
    relay(world)
    [third] = events(site, path)
    assert (third["UID"], third["SEQUENCE"] > second["SEQUENCE"]) == (first["UID"], True)


def test_a_cancelled_job_stays_as_such_for_thirty_days(site: Site) -> None:
    world = site.world
    path = make(site, site.user("u_ana"))
    world.commit("job_1", job("J-1"))
    world.commit("job_2", {}, "job.cancelled")
    relay(world)
    world.commit("job_1", {}, "job.cancelled")
    relay(world)
    [event] = events(site, path)
    assert (event["STATUS"], str(event["SUMMARY"])) == ("CANCELLED", "J-1 · Dallas → Memphis")
    tag = fetch(site, path).headers["etag"]
    world.advance(29 * 86400)
    assert fetch(site, path, **{"If-None-Match": tag}).status_code == 304
    world.advance(86400)
    assert events(site, path) == []
    world.commit("job_1", job("J-1"))
    relay(world)
    assert [event["STATUS"] for event in events(site, path)] == ["CONFIRMED"]


def test_the_horizon_goes_from_a_fortnight_back_to_four_hundred_days_ahead_nearest_first(site: Site) -> None:
    world = site.world
    path = make(site, site.user("u_ana"))
    for days in (-14.1, -13.9, -1, 0.1, 3, 399.9, 400.1):
        world.commit(f"job_{days}", job_ending(f"{days}", days))
    for days in (-14.1, -2, 2, 400.1):
        world.commit(f"gone_{days}", job_ending(f"cancelled {days}", days))
    relay(world)
    for days in (-14.1, 2, -2, 400.1):
        world.commit(f"gone_{days}", {}, "job.cancelled")
        relay(world)
    found = [str(event["SUMMARY"]) for event in events(site, path)]
    assert found == ["0.1", "3", "399.9", "-1", "-13.9", "cancelled -2", "cancelled 2"]


def test_a_revisit_reads_no_payload_and_writes_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    world, ana = site.world, site.user("u_ana")
    world.commit("job_1", job("J-1"))
    relay(world)
    path = make(site, ana)
    assert site.call("GET", FEED, ana).json["last_fetched_at"] is None
    first = fetch(site, path)
    row = world.execute("SELECT xmin::text, last_fetched_at IS NOT NULL FROM calendar_sync.calendar_feed")
    # From here on whoever looks at a payload fails.
    world.execute("ALTER FUNCTION calendar_sync.feed_jobs RENAME TO gone")
    for given in (first.headers["etag"], f"W/{first.headers['etag']}", f'"other", {first.headers["etag"]}', "*"):
        again = fetch(site, path, **{"If-None-Match": given})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    assert world.execute("SELECT xmin::text, last_fetched_at IS NOT NULL FROM calendar_sync.calendar_feed") == row
    assert fetch(site, path).status_code == 500
    world.execute("ALTER FUNCTION calendar_sync.gone RENAME TO feed_jobs")
    # Later it is written down that the subscription lives.
    before = site.call("GET", FEED, ana).json["last_fetched_at"]
    world.advance(601)
    assert fetch(site, path, **{"If-None-Match": first.headers["etag"]}).status_code == 304
    assert site.call("GET", FEED, ana).json["last_fetched_at"] > before
    world.commit("job_1", job("J-1"))
    relay(world)
    assert fetch(site, path, **{"If-None-Match": first.headers["etag"]}).status_code == 200


def test_tag_and_text_are_of_one_moment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    world, path = site.world, make(site, site.user("u_ana"))
    world.commit("job_1", job("J-1"))
    relay(world)
    plain, read = fetch(site, path), feeds._read_jobs

    def meanwhile(*arguments: Any) -> Any:
        world.commit("job_1", job("J-1 later"))
        world.commit("job_2", job("J-2"))
        relay(world)
        return read(*arguments)

    monkeypatch.setattr(feeds, "_read_jobs", meanwhile)
    raced = fetch(site, path)
    assert (raced.headers["etag"], raced.content) == (plain.headers["etag"], plain.content)
    monkeypatch.undo()
    assert fetch(site, path, **{"If-None-Match": plain.headers["etag"]}).status_code == 200


def test_a_job_that_can_no_longer_be_read_is_left_out(site: Site) -> None:
    world, path = site.world, make(site, site.user("u_ana"))
    for number in (1, 2):
        world.commit(f"job_{number}", job(f"J-{number}"))
    relay(world)
    world.execute("UPDATE calendar_sync.job SET payload = '{\"schema_version\": 2}' WHERE job_id = 'job_1'")
    with capture_logs() as log:
        assert titles(site, path) == ["J-2 · Dallas → Memphis"]
    assert [entry["event"] for entry in log] == ["a feed leaves out a job whose payload is not legal", "request"]


def test_a_fault_that_may_pass_is_not_kept_by_anybody(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    world, path = site.world, make(site, site.user("u_ana"))
    for number in (1, 2):
        world.commit(f"job_{number}", job(f"J-{number}", legs=[ALL_DAY]))
    relay(world)
    whole, event = fetch(site, path), ical.event

    def forgetful(one: ical.FeedJob, **options: Any) -> bytes:
        if one.job_id == "job_1":
            raise MemoryError
        return event(one, **options)

    monkeypatch.setattr(ical, "event", forgetful)
    lacking = fetch(site, path)
    assert lacking.content.count(b"BEGIN:VEVENT") == 1
    assert (lacking.headers.get("etag"), lacking.headers["cache-control"]) == (None, "no-store")
    monkeypatch.undo()
    again = fetch(site, path)
    assert (again.content, again.headers["etag"]) == (whole.content, whole.headers["etag"])


def test_a_feed_is_served_while_its_visit_cannot_be_written_down(site: Site) -> None:
    world, ana = site.world, site.user("u_ana")
    world.commit("job_1", job("J-1"))
    relay(world)
    path = make(site, ana)
    with psycopg.connect(world.database_url) as other:
        other.execute("SELECT FROM calendar_sync.calendar_feed FOR UPDATE")
        with capture_logs() as log:
            assert fetch(site, path).status_code == 200
        assert [entry["event"] for entry in log] == ["request"]  # it did not wait
    assert site.call("GET", FEED, ana).json["last_fetched_at"] is None
    url = site.app.services.settings.database_url
    url += f"{'&' if '?' in url else '?'}options=-c%20default_transaction_read_only%3Don"
    with open_site(world, DATABASE_URL=url) as replica, capture_logs() as log:
        answer = fetch(replica, path)
        assert answer.status_code == 200
        assert fetch(replica, path, **{"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert {entry["event"] for entry in log} >= {"a feed's visit is not counted", "a feed's visit is not written down"}
    fetch(site, path)
    assert site.call("GET", FEED, ana).json["last_fetched_at"] is not None


def test_fifteen_thousand_jobs_are_less_than_a_megabyte_nearest_first(site: Site) -> None:
    ana = site.user("u_7")
    with psycopg.connect(site.world.database_url) as connection:
        insert_jobs(connection, ana.tenant_id, 15_000, past=1000)
    path = make(site, ana)
    answer = fetch(site, path)
    assert 900_000 < len(answer.content) < 1_000_000
    numbers = [int(number) for number in re.findall(rb"\r\nSUMMARY:J-(\d+)", answer.content)]
    assert numbers == list(range(1001, 1001 + len(numbers)))
    zipped = fetch(site, path, **{"Accept-Encoding": "gzip"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert gzip.decompress(zipped.content) == answer.content
    assert zipped.headers["etag"] != answer.headers["etag"]
    for tag in (zipped, answer):
        assert fetch(site, path, **{"If-None-Match": tag.headers["etag"]}).status_code == 304
    # A user's own are looked for among the nearest ten thousand, so that they reach five times as far.
    own = re.findall(rb"\r\nSUMMARY:J-(\d+)", fetch(site, make(site, ana, job_filter="assigned")).content)
    upcoming, past = list(range(1007, 11_001, 10)), list(range(997, 1000 - 14 * 48, -10))
    assert [int(number) for number in own] == [*upcoming, *past]


def test_a_visit_looks_at_no_more_jobs_than_it_may_however_few_are_the_users(site: Site) -> None:
    tenant, past, cancelled = site.world.tenant, 14 * 48, 5000
    read = "SELECT coalesce(seq_scan, 0), idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'job'"
    with psycopg.connect(site.world.database_url) as connection:
        insert_jobs(connection, tenant, 24_000, past=1000)
        connection.execute("UPDATE calendar_sync.job SET cancelled = true WHERE version > 18_000")
    select = "SELECT count(*) FROM calendar_sync.feed_selection(%s, %s, calendar_sync.now())"
    for user, upcoming in ((None, 2000), ("nobody", 10_000)):
        # A connection of its own: it counts what it has read.
        with psycopg.connect(site.world.database_url) as connection:
            connection.execute(select, [tenant, user])
            [(scans, rows)] = connection.execute(read).fetchall()
        assert scans == 0
        assert rows <= upcoming + past + cancelled


def test_what_a_calendar_app_is_answered(site: Site) -> None:
    answer = fetch(site, make(site, site.user("u_ana")))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    assert answer.headers["cache-control"] == "private, max-age=300"
    assert answer.headers["content-disposition"] == 'inline; filename="jobs.ics"'
    assert (answer.headers["x-robots-tag"], answer.headers["vary"]) == ("noindex", "Accept-Encoding")
    assert "set-cookie" not in answer.headers
    path = make(site, site.user("u_ana"))
    read, head = fetch(site, path), site.call("HEAD", path)
    assert (head.status_code, head.content) == (200, b"")
    assert {name: value for name, value in head.headers.items() if name != "x-request-id"} == {
        name: value for name, value in read.headers.items() if name != "x-request-id"
    }
    # A session of any kind makes no difference, a broken one neither.
    assert site.call("GET", path, headers={"Authorization": "Bearer nonsense"}).content == read.content


def test_an_address_works_until_it_is_changed_or_given_up(site: Site) -> None:
    ana = site.user("u_ana")
    nothing = site.call("GET", FEED, ana).json
    assert nothing.pop("exists") is False
    assert nothing == dict.fromkeys(("job_filter", "created_at", "last_fetched_at"))
    first = make(site, ana, job_filter="assigned")
    fetch(site, first)
    second = make(site, ana)
    assert first != second
    assert (fetch(site, first).status_code, fetch(site, second).status_code) == (404, 200)
    seen = site.call("GET", FEED, ana)
    assert (seen.json["exists"], seen.json["job_filter"]) == (True, "assigned")
    assert second.partition("calendar-feeds/")[2] not in seen.text
    for _ in range(2):
        assert site.call("DELETE", FEED, ana).status_code == 204
        assert fetch(site, second).status_code == 404
    assert site.call("GET", FEED, ana).json["exists"] is False
    unknown = fetch(site, f"/calendar-feeds/{'A' * 43}.ics")
    revoked = fetch(site, second)
    answers = [{**answer.json, "request_id": None} for answer in (unknown, revoked)]
    assert answers[0] == answers[1]
    assert answers[0]["type"] == "urn:calendar-sync:problem:unknown_feed"


def test_everybody_is_shown_the_jobs_of_their_own_tenant(site: Site) -> None:
    world = site.world
    here, there = site.user("u_ana"), site.user("u_ana", tenant="another-tenant")
    world.commit("job_1", job("J-1", legs=[ALL_DAY], assigned_user_ids=["u_ana"]))
    world.commit("job_1", job("J-9", legs=[ALL_DAY], assigned_user_ids=["u_ana"]), tenant="another-tenant")
    relay(world)
    for job_filter in ("all", "assigned"):
        ours, theirs = make(site, here, job_filter=job_filter), make(site, there, job_filter=job_filter)
        assert (titles(site, ours), titles(site, theirs)) == (["J-1"], ["J-9"])
        assert events(site, ours)[0]["UID"] != events(site, theirs)[0]["UID"]
    site.call("DELETE", FEED, there)
    assert (fetch(site, ours).status_code, fetch(site, theirs).status_code) == (200, 404)


def test_nothing_but_the_very_address_opens_a_feed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.limits.LIMITS", dict.fromkeys(LIMITS, Limit(burst=1000, period=1)))
    path = make(site, site.user("u_ana"))
    token = path.rpartition("/")[2].removesuffix(".ics")
    [(feed_id, known)] = site.world.execute("SELECT feed_id, token_hash FROM calendar_sync.calendar_feed")
    other_case = token.swapcase()
    forged = [
        *(known.hex(), base64.urlsafe_b64encode(known).decode().rstrip("="), f"\\x{known.hex()}", str(feed_id)),
        *(token[:-1], f"{token}A", f"{token} ", f" {token}", f"{token}=", other_case, f"{token}\x00", f"{token}%00"),
        *("%", "_" * 43, "*", "' OR true --", "None", "null", "u_ana", "..", f"../{token}", "x" * 4000, "\udcff", "é"),
    ]
    for guess in forged:
        answer = fetch(site, f"/calendar-feeds/{quote(guess, safe='', errors='surrogateescape')}.ics")
        assert answer.status_code == 404, guess
    for elsewhere in (f"{path}.ics", f"{path}/", f"/calendar-feeds/x/{token}.ics", path.upper()):
        assert fetch(site, elsewhere).status_code == 404, elsewhere
    assert fetch(site, path).status_code == 200


def test_whoever_guesses_is_slowed_down_and_keeps_nobody_from_a_feed(site: Site) -> None:
    path = make(site, site.user("u_ana"))
    statuses = [
        fetch(site, f"/calendar-feeds/guess-{number}.ics").status_code
        for number in range(LIMITS["feed_miss"].burst + 2)
    ]
    assert statuses == [404] * LIMITS["feed_miss"].burst + [429, 429]
    assert fetch(site, path).status_code == 200


def test_a_feed_that_is_read_too_often_is_answered_304_alone(site: Site) -> None:
    path, other = make(site, site.user("u_ana")), make(site, site.user("u_bo"))
    tag = fetch(site, path).headers["etag"]
    methods = ["GET", "HEAD"] * (LIMITS["feed_text"].burst // 2)
    assert [site.call(method, path).status_code for method in methods] == [200] * (len(methods) - 1) + [429]
    refused = fetch(site, path)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "20")
    assert site.call("HEAD", path).status_code == 429
    assert fetch(site, path, **{"If-None-Match": tag}).status_code == 304
    assert fetch(site, other).status_code == 200
    site.world.advance(20)
    assert fetch(site, path).status_code == 200


def test_no_more_feeds_are_made_at_once_than_may_be(site: Site) -> None:
    path, places = make(site, site.user("u_ana")), FeedPlaces(1)
    tag = fetch(site, path).headers["etag"]
    site.app.services.feeds._places = places
    with places.place():
        for method in ("GET", "HEAD"):
            refused = site.call(method, path)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
        assert fetch(site, path, **{"If-None-Match": tag}).status_code == 304
    assert fetch(site, path).status_code == 200


def test_whoever_took_over_the_web_app_reads_of_a_job_what_its_event_is_made_of_and_now_alone(site: Site) -> None:
    world = site.world
    crew = [{"name": "A driver", "email": "driver@example.com"}]
    world.commit("job_1", job("J-1", crew=crew, assigned_user_ids=["u_ana"], rate="secret"))
    relay(world)
    known = hashlib.sha256(b"forged").digest()
    with psycopg.connect(site.app.services.settings.database_url) as web, acting_for(User(world.tenant, "nobody")):
        introduce(web)
        web.execute(
            "INSERT INTO calendar_sync.calendar_feed (tenant_id, user_id, token_hash, job_filter)"
            " VALUES (%s, 'nobody', %s, 'all')",
            [world.tenant, known],
        )
        read = "SELECT payload FROM calendar_sync.feed_jobs(%s, calendar_sync.now() + %s)"
        [[seen]] = web.execute(read, [known, timedelta()]).fetchall()
        assert seen.keys() == {"schema_version", "job_number", "timezone", "legs", "manifest"}
        for away in (timedelta(minutes=-2), timedelta(minutes=2)):
            with pytest.raises(psycopg.errors.InvalidParameterValue), web.transaction():
                web.execute(read, [known, away])


class Busy:
    """Grants whose accounts somebody else holds for good."""

    def disconnect(self, *_: Any, **__: Any) -> None:
        raise AccountBusyError

    end = disconnect


def test_the_feed_of_whoever_is_forgotten_is_dead_before_anything_else(site: Site) -> None:
    ana, grants = site.user("u_ana"), cast(Grants, Busy())
    site.connect(ana)
    other = make(site, site.user("u_bo"))
    with site.world.engine() as engine:
        for begin in (
            lambda: Removal(engine.pool, grants, Whose(ana.tenant_id, ana.user_id)),
            lambda: forget(engine.pool, grants, ana.tenant_id, ana.user_id),
        ):
            path = make(site, ana)
            with suppress(AccountBusyError):
                begin()
            assert site.call("GET", API, ana).json["state"] == "active"  # nothing else was done
            assert (fetch(site, path).status_code, fetch(site, other).status_code) == (404, 200)


def test_new_addresses_are_rationed(site: Site) -> None:
    for _ in range(LIMITS["feed"].burst):
        path = make(site, site.user("u_ana"))
    assert site.call("POST", FEED, site.user("u_ana"), {}).status_code == 429
    assert fetch(site, path).status_code == 200


def test_no_address_is_in_the_log_or_in_the_database(site: Site) -> None:
    world, ana = site.world, site.user("u_ana")
    world.commit("job_1", job("J-1"))
    relay(world)
    with capture_logs() as log:
        former, path = make(site, ana), make(site, ana)
        tag = fetch(site, path).headers["etag"]
        answers = [
            fetch(site, path, **{"If-None-Match": tag}),
            fetch(site, former),
            site.call("GET", f"{path}?secret={path}"),
            site.call("POST", path),
            site.call("GET", path.removesuffix(".ics")),
            site.call("GET", path.replace("calendar-feeds", "calendar-feed")),
        ]
        world.execute("ALTER FUNCTION calendar_sync.feed_jobs RENAME TO gone")
        answers.append(fetch(site, path))
        world.execute("ALTER TABLE calendar_sync.calendar_feed RENAME TO gone")
        answers += [fetch(site, path), site.call("GET", FEED, ana)]
    assert [answer.status_code for answer in answers] == [304, 404, 200, 405, 404, 404, 500, 500, 500]
    told = f"{log} {[(answer.text, answer.headers) for answer in answers]}"
    assert "/calendar-feeds/{token}.ics" in told
    kept = "".join(
        str(world.execute(f"SELECT * FROM calendar_sync.{table}"))
        for (table,) in world.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'calendar_sync'::regnamespace AND relkind = 'r'"
        )
    )
    for secret in (former, path):
        token = secret.rpartition("/")[2].removesuffix(".ics")
        assert len(token) == 43
        for part in (token, token[:12], token[-12:]):
            assert part not in told
            assert part not in kept


def test_the_page_makes_shows_once_and_ends_a_feed(site: Site) -> None:
    ana = site.user("u_ana")
    form = site.call("GET", PAGE, ana).text
    assert "Make a feed" in form
    assert 'name="job_filter"' in form
    made = site.call("POST", f"{PAGE}/feed", ana, b"job_filter=assigned", headers=FORM)
    assert (made.status_code, made.headers["cache-control"]) == (200, "no-store")
    [url] = set(re.findall(r'value="(https://[^"]+\.ics)"', made.text))
    assert f'href="{url.replace("https:", "webcal:")}"' in made.text
    path = urlsplit(url).path
    assert fetch(site, path).status_code == 200
    page = site.call("GET", PAGE, ana)
    assert url not in page.text
    assert "Jobs assigned to me" in page.text.partition("<dt>Shows</dt>")[2][:60]
    assert "<dt>Last fetched</dt>" in page.text
    assert "Not yet" not in page.text
    # What is sent again by a reload, or by going back to it, replaces an address that there is no more.
    for stale in (b"job_filter=all&instead_of=", b"", b"instead_of=1"):
        repeated = site.call("POST", f"{PAGE}/feed", ana, stale, headers=FORM)
        assert repeated.headers["location"] == f"{PAGE}?notice=feed_changed"
    assert "A new address was made a moment ago" in site.call("GET", repeated.headers["location"], ana).text
    assert fetch(site, path).status_code == 200
    [present] = re.findall(r'name="instead_of" value="([^"]+)"', page.text)
    renewal = urlencode({"instead_of": present}).encode()
    again = site.call("POST", f"{PAGE}/feed", ana, renewal, headers=FORM)
    assert again.status_code == 200
    assert url not in again.text
    assert fetch(site, path).status_code == 404
    repeated = site.call("POST", f"{PAGE}/feed", ana, renewal, headers=FORM)
    assert repeated.headers["location"] == f"{PAGE}?notice=feed_changed"
    assert site.call("GET", FEED, ana).json["job_filter"] == "assigned"
    for fields in ({"job_filter": "none"}, {"job_filter": ""}):
        refused = site.call("POST", f"{PAGE}/feed", ana, urlencode(fields).encode(), headers=FORM)
        assert refused.headers["location"] == f"{PAGE}?notice=invalid_form"
    ended = site.call("POST", f"{PAGE}/feed/revoke", ana, b"", headers=FORM)
    assert (ended.status_code, ended.headers["location"]) == (303, f"{PAGE}?notice=feed_revoked")
    assert "The calendar feed is off" in site.call("GET", ended.headers["location"], ana).text
    # Whoever comes to the address of the form by hand sees the page.
    assert site.call("GET", f"{PAGE}/feed", ana).headers["location"] == PAGE


def test_a_connected_user_chooses_the_filter_in_one_place(site: Site) -> None:
    ana = site.user("u_ana")
    site.connect(ana)
    made = site.call("POST", f"{PAGE}/feed", ana, b"", headers=FORM).text
    assert made.count('name="job_filter"') == 2  # the preferences'


def test_whoever_has_not_chosen_a_calendar_chooses_the_feeds_filter_at_the_feed(site: Site) -> None:
    world, ana = site.world, site.user("u_ana")
    world.google.add_account(AccountSpec(email="ana-feed@example.com"))
    site.consent(ana, "ana-feed@example.com")
    assert site.call("GET", API, ana).json["state"] == "choose_calendar"
    world.commit("job_1", job("J-1", assigned_user_ids=["u_ana"], legs=[ALL_DAY]))
    world.commit("job_2", job("J-2", legs=[ALL_DAY]))
    relay(world)
    filter_form = f'action="{PAGE}/feed/filter"'
    changed = site.call("POST", f"{PAGE}/feed/filter", ana, b"job_filter=assigned", headers=FORM)
    assert changed.headers["location"] == f"{PAGE}?notice=feed_changed"
    path = make(site, ana)
    assert filter_form in site.call("GET", PAGE, ana).text
    assert titles(site, path) == ["J-1", "J-2"]
    saved = site.call("POST", f"{PAGE}/feed/filter", ana, b"job_filter=assigned", headers=FORM)
    assert saved.headers["location"] == f"{PAGE}?notice=feed_saved"
    assert titles(site, path) == ["J-1"]
    refused = site.call("POST", f"{PAGE}/feed/filter", ana, b"job_filter=none", headers=FORM)
    assert refused.headers["location"] == f"{PAGE}?notice=invalid_form"


@pytest.mark.parametrize("state", get_args(ConnectionState))
def test_in_every_state_there_is_one_place_to_choose_the_jobs(state: ConnectionState) -> None:
    view = view_page(Facts(connection=replace(ACTIVE, state=state), now=SOON, client_id="c", feed=page_states.FEED))
    assert view.preferences != view.feed.chooses_filter


def test_an_address_with_a_port_is_opened_by_nobody_by_itself() -> None:
    for url, webcal in (
        ("https://a.example/f.ics", "webcal://a.example/f.ics"),
        ("https://a.example:8443/f.ics", None),
    ):
        assert feeds.NewFeed(page_states.FEED, url).webcal_url == webcal
