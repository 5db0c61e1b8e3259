"""A feed as calendar apps read it: what RFC 5545 demands of its bytes, and that they say what the calendar says."""

import ast
import json
import re
import sys
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar

from outbox import event as event_module
from outbox.event import render
from outbox.payload import InvalidPayload, parse_payload
from outbox.schedule import AllDay
from web.feed import format, ical
from web.feed.feeds import tag_of
from web.feed.format import LIBRARIES, MODULES
from web.feed.ical import MAX_BYTES, FeedJob, calendar, event, uid
from web.feed.resource import accepts_gzip

TEMPLATE = "https://app.example.com/jobs/{job_id}"
URL = "https://app.example.com/jobs/job_1"
CHANGED = datetime(2026, 11, 3, 12, 30, 15, 987654, tzinfo=UTC)

DIGEST = "33c2d4bbce56f597"
"""The beginning of the SHA-256 of the feed of GOLDEN."""


def payload(**fields: Any) -> dict[str, Any]:
    legs = [
        {
            "summary": "Dallas → Memphis",
            "dispatch_window": {"start": "2026-12-01T07:00:00-06:00", "end": None},
            "delivery_window": {"start": None, "end": "2026-12-01T18:00:00-06:00"},
            "stops": [{"address": "1201 Main St, Dallas; TX"}],
        }
    ]
    return {"schema_version": 1, "job_number": "J-1", "timezone": "America/Chicago", "legs": legs, **fields}


def of_day(*bounds: str) -> dict[str, Any]:
    """A payload of a job that is there for whole days."""
    return payload(legs=[{"dispatch_window": {"start": bounds[0]}, "delivery_window": {"end": bounds[-1]}}])


def job(document: dict[str, Any], job_id: str = "job_1", **fields: Any) -> FeedJob:
    usual: dict[str, Any] = {"cancelled": False, "revision": 0, "updated_at": CHANGED, "payload": json.dumps(document)}
    return FeedJob(job_id, **(usual | fields))


def feed(*jobs: FeedJob, template: str | None = TEMPLATE) -> bytes:
    return calendar(event(one, tenant_id="acme", job_url_template=template) for one in jobs)


def lines(text: bytes) -> list[str]:
    """The content lines of a feed, unfolded; held against RFC 5545, 3.1 before."""
    assert text.endswith(b"\r\n")
    sent = text.removesuffix(b"\r\n").split(b"\r\n")
    for line in sent:
        # The limit is of octets, and each line is UTF-8 by itself: no character is split.
        assert len(line) <= 75
        assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", line.decode())
    unfolded = re.sub("\r\n[ \t]", "", text.decode()).split("\r\n")[:-1]
    assert all(re.match(r"[A-Z-]+[:;]", line) for line in unfolded)
    return unfolded


def properties(text: bytes) -> list[dict[str, str]]:
    """Each event of a feed by the names of its properties (with parameters), values as they are sent."""
    found: list[dict[str, str]] = []
    for line in lines(text):
        name, _, value = line.partition(":")
        if line == "BEGIN:VEVENT":
            found.append({})
        elif found and name not in {"BEGIN", "END"}:
            assert name not in found[-1], f"{name} twice"
            found[-1][name] = value
    return found


def events(text: bytes) -> list[Any]:
    """The events as the library reads them."""
    return list(Calendar.from_ical(text).walk("VEVENT"))


def unescaped(value: str) -> str:
    """A TEXT value as RFC 5545, 3.3.11 has it read."""
    return re.sub(r"\\([\\;,nN])", lambda found: "\n" if found[1] in "nN" else found[1], value)


def test_a_timed_job_is_an_event_in_utc() -> None:
    text = feed(job(payload(manifest={"items": [{"description": "Paint; red"}], "notes": "a\\b\n<b>"}), revision=3))
    assert lines(text)[:8] == [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Google Calendar Sync//Jobs//EN",
        "CALSCALE:GREGORIAN",
        "NAME:Jobs",
        "X-WR-CALNAME:Jobs",
        "REFRESH-INTERVAL;VALUE=DURATION:PT1H",
        "X-PUBLISHED-TTL:PT1H",
    ]
    assert properties(text) == [
        {
            "UID": uid("acme", "job_1"),
            "DTSTAMP": "20261103T123015Z",
            "LAST-MODIFIED": "20261103T123015Z",
            "SEQUENCE": "3",
            "DTSTART": "20261201T130000Z",
            "DTEND": "20261202T000000Z",
            "SUMMARY": "J-1 · Dallas → Memphis",
            "DESCRIPTION": rf"• Paint\; red\na\\b\n<b>\n\n{URL}",
            "LOCATION": r"1201 Main St\, Dallas\; TX",
            "URL": URL,
            "STATUS": "CONFIRMED",
            "TRANSP": "TRANSPARENT",
        }
    ]


@pytest.mark.parametrize(
    ("bounds", "start", "end"),
    [
        pytest.param(["2026-12-01"], "20261201", "20261202", id="one day ends with the next"),
        pytest.param(["2026-12-31", "2027-01-02"], "20261231", "20270103", id="several days"),
        pytest.param(["2026-12-01T07:00:00-06:00", "2026-12-02"], "20261201", "20261203", id="one bound is a day"),
        pytest.param(["2026-12-03", "2026-12-01"], "20261203", "20261204", id="an end before its start"),
    ],
)
def test_a_job_of_whole_days_has_dates_and_an_end_that_is_not_part_of_it(
    bounds: list[str], start: str, end: str
) -> None:
    [found] = properties(feed(job(of_day(*bounds))))
    assert (found["DTSTART;VALUE=DATE"], found["DTEND;VALUE=DATE"]) == (start, end)


@pytest.mark.parametrize("words", [r"C:\New \Network", r"\\srv\North; gate", "\\", r"\n \N \\n \\N", r"\;\,", "N\\"])
def test_a_backslash_stays_one_whatever_follows_it(words: str) -> None:
    legs = [{"summary": words, "delivery_window": {"end": "2026-12-01"}, "stops": [{"address": words}]}]
    [found] = properties(feed(job(payload(legs=legs, manifest={"notes": words})), template=None))
    assert unescaped(found["SUMMARY"]) == f"J-1 · {words}"
    assert unescaped(found["LOCATION"]) == unescaped(found["DESCRIPTION"]) == words


def test_a_cancelled_job_is_kept_as_such() -> None:
    [found] = properties(feed(job(payload(), cancelled=True, revision=7)))
    assert (found["STATUS"], found["SEQUENCE"], found["SUMMARY"]) == ("CANCELLED", "7", "J-1 · Dallas → Memphis")


def test_an_unscheduled_job_is_not_there() -> None:
    assert properties(feed(job(payload(legs=[])), job(payload(), "job_2")))[0]["UID"] == uid("acme", "job_2")


def test_an_empty_feed_holds_something_all_the_same() -> None:
    for text in (feed(), feed(job(payload(legs=[])))):
        assert properties(text) == []
        [zone] = Calendar.from_ical(text).walk("VTIMEZONE")
        assert zone["TZID"] == "UTC"
        assert lines(text)


def test_without_a_template_there_is_no_link() -> None:
    [found] = properties(feed(job(payload()), template=None))
    assert not found.keys() & {"URL", "DESCRIPTION"}


@pytest.mark.parametrize(
    ("template", "job_id", "url"),
    [
        pytest.param("https://x/{job_id}", "a b/ü;,\r\n", "https://x/a%20b%2F%C3%BC%3B%2C%0D%0A", id="in the id"),
        pytest.param("https://x/\n{job_id}?a=b,c;d#é", "1", "https://x/%0A1?a=b,c;d#%C3%A9", id="in the template"),
    ],
)
def test_a_link_is_one_whatever_it_is_made_of(template: str, job_id: str, url: str) -> None:
    [found] = properties(feed(job(payload(), job_id), template=template))
    assert found["URL"] == url


def test_a_payload_that_is_no_longer_legal_is_refused() -> None:
    with pytest.raises(InvalidPayload):
        feed(job({"schema_version": 2}))


def test_a_uid_is_of_its_tenant_and_job_and_tells_nothing_of_them() -> None:
    keys = [("acme", "job_1"), ("acme", "job_2"), ("acm", "ejob_1"), ('acme", "', "job_1"), ("", ""), ("é", "\n")]
    uids = [uid(*key) for key in keys]
    assert len(set(uids)) == len(keys)
    assert all(re.fullmatch(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", found) for found in uids)
    # Another one would double every event of every subscriber.
    assert uids[0] == "8d167d3c-260a-5645-8f78-3a2da12651d2"


def test_a_feed_has_the_first_that_fit_and_less_than_a_megabyte() -> None:
    taken = 0

    def endless() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield event(job(payload(), f"job_{taken}"), tenant_id="acme", job_url_template=TEMPLATE)

    text = calendar(endless())
    assert MAX_BYTES - 600 < len(text) < MAX_BYTES
    assert text.endswith(b"END:VEVENT\r\nEND:VCALENDAR\r\n")
    assert text.count(b"BEGIN:VEVENT") == taken - 1
    assert f"jobs/job_{taken - 1}\r\n".encode() in text


def test_the_bounds_of_the_feed_itself_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made = event(job(payload()), tenant_id="acme", job_url_template=TEMPLATE)
    size = len(calendar([made]))
    for most, fits in ((size + 1, True), (size, False)):
        monkeypatch.setattr(ical, "MAX_BYTES", most)
        assert (made in calendar([made])) == fits


GOLDEN = [
    job(
        payload(
            manifest={
                "items": [{"description": "Paint", "quantity": 2.5}],
                "notes": "Mind; the, \\ dog at \\\\srv\\North",
            }
        )
    ),
    job(of_day("2026-12-01"), "job_2", cancelled=True, revision=4),
    job(payload(job_number="ジョブ" * 30, timezone=None), "job_3"),
]


def test_what_is_made_of_a_job_does_not_change_by_accident() -> None:
    assert sha256(feed(*GOLDEN)).hexdigest()[:16] == DIGEST, "if that was meant, write the new digest down"


def imported(module: ModuleType) -> set[str]:
    """The modules that a module imports from, by the names that it writes."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text())):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return found


def test_the_format_is_of_every_module_and_library_that_has_a_hand_in_the_text() -> None:
    needed = set.union(*(imported(module) for module in MODULES))
    ours = {name for name in needed if name.startswith(("outbox", "web"))}
    assert ours | {ical.__name__} == {module.__name__ for module in MODULES}
    theirs = {name.partition(".")[0] for name in needed - ours} - sys.stdlib_module_names
    # The time zones are found without being imported.
    assert theirs | {"tzdata"} == set(LIBRARIES)


def test_other_code_is_another_format(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert format._digest() == format.FORMAT
    changed = tmp_path / "event.py"
    changed.write_text("# another one")
    with monkeypatch.context() as patch:
        patch.setattr(event_module, "__file__", str(changed))
        assert format._digest() != format.FORMAT
    monkeypatch.setattr("web.feed.format.version", lambda _: "0")
    assert format._digest() != format.FORMAT


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=120)
SPECIALS = st.text(st.sampled_from('\\;,:"nN\n\r\t ^é→🚚\u2028\u0085x'), max_size=160)
WORDS = TEXTS | SPECIALS
DAYS = st.dates(date(2026, 1, 1), date(2027, 12, 31)).map(date.isoformat)
INSTANTS = st.integers(1_770_000_000, 1_840_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
TIMES = INSTANTS.map(datetime.isoformat)
WINDOWS = st.fixed_dictionaries({"start": st.none() | DAYS | TIMES, "end": st.none() | DAYS | TIMES})
LEGS = st.fixed_dictionaries(
    {"summary": WORDS, "dispatch_window": WINDOWS, "delivery_window": WINDOWS},
    optional={"stops": st.lists(st.fixed_dictionaries({"address": WORDS}), max_size=1)},
)
ITEMS = st.fixed_dictionaries({"description": WORDS, "unit": WORDS, "quantity": st.none() | st.integers(0, 10**6)})
PAYLOADS = st.fixed_dictionaries(
    {
        "schema_version": st.just(1),
        "job_number": WORDS.map(lambda text: f"J{text}"),
        "timezone": st.sampled_from([None, "America/Chicago", "Asia/Kathmandu"]),
        "legs": st.lists(LEGS, min_size=1, max_size=2),
        "manifest": st.fixed_dictionaries({"items": st.lists(ITEMS, max_size=3), "notes": WORDS}),
    }
)
JOBS = st.builds(
    job,
    PAYLOADS,
    job_id=TEXTS.filter(bool),
    cancelled=st.booleans(),
    revision=st.integers(0, 2**31 - 1),
    updated_at=INSTANTS.map(lambda at: at + timedelta(milliseconds=987)),
)


@settings(max_examples=60)
@given(st.lists(JOBS, max_size=4, unique_by=lambda one: one.job_id))
def test_a_feed_is_read_back_as_the_calendar_shows_its_jobs(jobs: list[FeedJob]) -> None:
    text = feed(*jobs)
    assert text == feed(*jobs)
    for values in properties(text):
        for name in ("SUMMARY", "DESCRIPTION", "LOCATION"):
            # Whatever means something in a value is marked as text.
            assert re.fullmatch(r"([^\\;,]|\\[\\;,n])*", values.get(name, ""))
    rendered = [(one, render(parse_payload(json.loads(one.payload)), job_url="")) for one in jobs]
    shown = [(one, expected) for one, expected in rendered if expected is not None]
    read = events(text)
    assert len({found["UID"] for found in read}) == len(read) == len(shown)
    for found, sent, (one, expected) in zip(read, properties(text), shown, strict=True):
        assert str(found["UID"]) == uid("acme", one.job_id)
        # By the rule's letter: the library reads an escaped backslash before an N as a line break.
        said = {name: unescaped(value) for name, value in sent.items()}
        assert said["SUMMARY"] == expected.summary
        assert said.get("LOCATION", "") == (expected.location or "")
        link = str(found["URL"])
        assert said["DESCRIPTION"] == (f"{expected.text}\n\n{link}" if expected.text else link)
        assert found["STATUS"] == ("CANCELLED" if one.cancelled else "CONFIRMED")
        assert found["SEQUENCE"] == one.revision
        assert found["DTSTAMP"].dt == found["LAST-MODIFIED"].dt == one.updated_at.replace(microsecond=0)
        if isinstance(expected.start, AllDay):
            assert isinstance(expected.end, AllDay)
            bounds = (expected.start.date, expected.end.date + timedelta(days=1))
        else:
            assert not isinstance(expected.end, AllDay)
            bounds = (expected.start.at, expected.end.at)
        assert (found["DTSTART"].dt, found["DTEND"].dt) == bounds
        assert found["DTSTART"].dt < found["DTEND"].dt


def test_a_tag_stands_for_all_that_the_text_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = [
        tag_of(1, "all", TEMPLATE, b"one"),
        tag_of(2, "all", TEMPLATE, b"one"),
        tag_of(1, "assigned", TEMPLATE, b"one"),
        tag_of(1, "all", None, b"one"),
        tag_of(1, "all", TEMPLATE, b"two"),
    ]
    assert tags[0] == tag_of(1, "all", TEMPLATE, b"one")
    monkeypatch.setattr("web.feed.feeds.FORMAT", "another")
    tags.append(tag_of(1, "all", TEMPLATE, b"one"))
    assert len(set(tags)) == len(tags)


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip; q=1.0", True),
        ("deflate, br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("x-gzip", False),
        ("identity;q=1, *;q=0", False),
    ],
)
def test_a_feed_is_compressed_for_whom_that_suits(header: str | None, accepted: bool) -> None:
    assert accepts_gzip(header) == accepted
