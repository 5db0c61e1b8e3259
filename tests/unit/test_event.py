"""What people see of a job: title, place and description, cleaned, clipped and escaped."""

import html
import json
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.event import DESCRIPTION_LIMIT, LOCATION_LIMIT, SUMMARY_LIMIT, CalendarEvent, job_url, render
from outbox.payload import parse_payload
from outbox.rendering import packed, rendering_of, unpacked
from outbox.schedule import AllDay, Timed
from outbox.text import clean_line, clip

URL = "https://app.example.com/jobs/job_1"
LINK = f'<a href="{URL}">Open job J-1</a>'
WINDOW = {"start": "2026-12-01T07:00:00-06:00", "end": "2026-12-01T09:00:00-06:00"}

FAMILY = "👩‍👩‍👧‍👦"
GERMANY = "🇩🇪"
SCOTLAND = "🏴󠁧󠁢󠁳󠁣󠁴󠁿"


def payload(**fields: Any) -> dict[str, Any]:
    return {"schema_version": 1, "job_number": "J-1", "legs": [{"dispatch_window": WINDOW}], **fields}


def event_of(document: dict[str, Any], url: str = URL) -> CalendarEvent:
    event = render(parse_payload(document), job_url=url)
    assert event is not None
    return event


def summary_of(*legs: str | None, number: str = "J-1") -> str:
    return event_of(
        payload(job_number=number, legs=[{"summary": leg, "dispatch_window": WINDOW} for leg in legs])
    ).summary


def location_of(*addresses: list[str | None]) -> str | None:
    legs = [
        {"dispatch_window": WINDOW, "stops": [{"address": address} for address in addresses_of_leg]}
        for addresses_of_leg in addresses
    ]
    return event_of(payload(legs=legs)).location


def description_of(items: list[dict[str, Any]], notes: str | None = None) -> str:
    return event_of(payload(manifest={"items": items, "notes": notes})).description


def test_a_job_becomes_an_event() -> None:
    event = event_of(
        payload(
            timezone="America/Chicago",
            legs=[
                {
                    "summary": "Dallas → Memphis",
                    "dispatch_window": WINDOW,
                    "delivery_window": {"end": "2026-12-01T18:00:00-06:00"},
                    "stops": [{"address": "1201 Main St, Dallas"}, {"address": "88 Union Ave, Memphis"}],
                }
            ],
            manifest={
                "items": [{"description": "Palletised paint", "quantity": 12, "unit": "pallet", "weight_kg": 5400}],
                "notes": "Liftgate",
            },
        )
    )
    assert event.job_number == "J-1"
    assert event.summary == "J-1 · Dallas → Memphis"
    assert event.location == "1201 Main St, Dallas"
    assert event.description == f"• 12 pallet Palletised paint, 5400 kg\nLiftgate\n\n{LINK}"
    assert isinstance(event.start, Timed)
    assert isinstance(event.end, Timed)
    assert event.start.at.isoformat() == "2026-12-01T07:00:00-06:00"
    assert event.end.at.isoformat() == "2026-12-01T18:00:00-06:00"
    assert event.url == URL


def test_an_unscheduled_job_has_no_event() -> None:
    assert render(parse_payload(payload(legs=[{"summary": "Dallas"}])), job_url=URL) is None


@pytest.mark.parametrize(
    ("legs", "summary"),
    [
        pytest.param(["A → B", "B → C"], "J-1 · A → B · B → C", id="several legs in order"),
        pytest.param(["A → B", " \n", None, "B → C"], "J-1 · A → B · B → C", id="blank legs are skipped"),
        pytest.param([None], "J-1", id="without leg summaries the job number stands alone"),
        pytest.param(["  A \t\n  B "], "J-1 · A B", id="white space runs are one space"),
        pytest.param(['<b>A</b> & "B"'], 'J-1 · <b>A</b> & "B"', id="a title is text and not markup"),
        pytest.param(["מחסן \u202eחיפה\u202c\u2067"], "J-1 · מחסן חיפה", id="bidi overrides and isolates are gone"),
        pytest.param(["\u200fحيفا\u200e"], "J-1 · \u200fحيفا\u200e", id="direction marks stay"),
        pytest.param(["A\x00\x1b[31m\x85B\x7f"], "J-1 · A[31m B", id="control characters are gone"),
        pytest.param([f"Cafe\u0301 {FAMILY}"], f"J-1 · Cafe\u0301 {FAMILY}", id="nothing is normalised"),
    ],
)
def test_the_summary_is_the_job_number_and_the_legs(legs: list[str | None], summary: str) -> None:
    assert summary_of(*legs) == summary


def test_a_long_summary_is_clipped() -> None:
    assert summary_of("x" * 500) == "J-1 · " + "x" * 293 + "…"
    assert summary_of("x" * 294) == "J-1 · " + "x" * 294


@pytest.mark.parametrize(
    ("text", "limit", "clipped"),
    [
        pytest.param("abcdef", 6, "abcdef", id="text that fits is left alone"),
        pytest.param("abcdefg", 6, "abcde…", id="text that does not ends in an ellipsis"),
        pytest.param("abc  defg", 6, "abc…", id="no space is left before the ellipsis"),
        pytest.param("abcde\u0301fg", 6, "abcd…", id="a combining accent goes with its letter"),
        pytest.param("abcd❤\ufe0ffg", 6, "abcd…", id="a variation selector goes with its heart"),
        pytest.param("abcd👍🏽fg", 6, "abcd…", id="a skin tone goes with its thumb"),
        pytest.param(f"ab{FAMILY}c", 6, "ab…", id="a family stays together"),
        pytest.param(f"abc{FAMILY}c", 5, "abc…", id="a family is not cut after a joiner"),
        pytest.param(f"{GERMANY}{GERMANY}{GERMANY}", 4, f"{GERMANY}…", id="a flag is not cut in half"),
        pytest.param(f"{GERMANY}{GERMANY}{GERMANY}", 5, f"{GERMANY}{GERMANY}…", id="a cut between flags is one"),
        pytest.param(f"ab{SCOTLAND}c", 7, "ab…", id="a flag of tags stays whole"),
        pytest.param("\u1100\u1161\u11a8" * 3, 6, "\u1100\u1161\u11a8…", id="a syllable of jamo stays whole"),
        pytest.param("abcd\u200d fg", 6, "abcd\u200d…", id="a joiner joins nothing to a space"),
        pytest.param("a" + "\u0301" * 20, 6, "…", id="a letter with too many accents goes as a whole"),
        pytest.param("abc", 1, "…", id="room for nothing"),
    ],
)  # fmt: skip
def test_clipping_never_splits_what_is_seen_as_one_character(text: str, limit: int, clipped: str) -> None:
    assert clip(text, limit) == clipped


@pytest.mark.parametrize(
    ("legs", "location"),
    [
        pytest.param([["1 Main St", "2 Oak St"], ["3 Elm St"]], "1 Main St", id="the first stop of the first leg"),
        pytest.param([[], ["3 Elm St"]], "3 Elm St", id="of the first leg that has stops"),
        pytest.param([["\n 1 Main St,\n Dallas "]], "1 Main St, Dallas", id="on one line"),
        pytest.param([[" ", "2 Oak St"]], None, id="none if that stop has a blank address"),
        pytest.param([[None, "2 Oak St"]], None, id="none if that stop has no address"),
        pytest.param([[]], None, id="none without stops"),
        pytest.param([["x" * 600]], "x" * 499 + "…", id="clipped"),
    ],
)
def test_the_location_is_the_address_of_the_first_stop(legs: list[list[str | None]], location: str | None) -> None:
    assert location_of(*legs) == location


@pytest.mark.parametrize(
    ("item", "line"),
    [
        pytest.param({"description": "Paint"}, "• Paint", id="a description alone"),
        pytest.param({"quantity": 3, "unit": "drum"}, "• 3 drum", id="a quantity and a unit"),
        pytest.param({"weight_kg": 40}, "• 40 kg", id="a weight alone"),
        pytest.param({"quantity": 2, "description": "Coil", "weight_kg": 0}, "• 2 Coil, 0 kg", id="no unit"),
        pytest.param({"quantity": 12.0, "description": "Coil"}, "• 12 Coil", id="no fraction of zero"),
        pytest.param({"quantity": 12.50, "description": "Coil"}, "• 12.5 Coil", id="a fraction"),
        pytest.param({"quantity": 100, "weight_kg": 1200000}, "• 100, 1200000 kg", id="no thousands separators"),
        pytest.param({"quantity": 1e22, "unit": "t"}, "• 1E+22 t", id="too large for digits"),
        pytest.param({"quantity": Decimal("1e-9999"), "unit": "t"}, "• 1E-9999 t", id="too small for digits"),
        pytest.param({"unit": "בד <&>"}, "• בד &lt;&amp;&gt;", id="markup is escaped"),
        pytest.param({"unit": "\"x\" 'y'"}, "• &quot;x&quot; &#x27;y&#x27;", id="quotes are escaped"),
        pytest.param({"description": "Bags\nof  sand"}, "• Bags of sand", id="on one line"),
    ],
)  # fmt: skip
def test_an_item_is_a_line_of_what_is_known(item: dict[str, Any], line: str) -> None:
    assert description_of([item]) == f"{line}\n\n{LINK}"


@pytest.mark.parametrize(
    ("count", "last"),
    [(10, "• 9 box"), (11, "• and 1 more item"), (40, "• and 30 more items")],
    ids=["ten items are all shown", "the eleventh is counted", "thirty are counted"],
)
def test_ten_items_are_listed_and_the_rest_counted(count: int, last: str) -> None:
    description = description_of([{"quantity": number, "unit": "box"} for number in range(count)])
    lines = description.removesuffix(f"\n\n{LINK}").split("\n")
    assert lines[:10] == [f"• {number} box" for number in range(10)]
    assert lines[-1] == last
    assert len(lines) == min(count, 11)


def test_an_item_of_which_nothing_is_known_is_left_out() -> None:
    assert description_of([{}, {"description": " "}]) == LINK


def test_notes_keep_their_lines_and_nothing_else_that_steers() -> None:
    assert description_of([], " Ring twice\r\nsecond\tgate\r<script>alert(1)</script>\x00\u202e\n") == (
        f"Ring twice\nsecond gate\n&lt;script&gt;alert(1)&lt;/script&gt;\n\n{LINK}"
    )


def test_notes_are_clipped_before_they_are_escaped() -> None:
    assert description_of([], "&" * 501) == "&amp;" * 499 + f"…\n\n{LINK}"
    assert description_of([], "&" * 500) == "&amp;" * 500 + f"\n\n{LINK}"


@pytest.mark.parametrize(
    ("start", "end", "note"),
    [
        (
            "2026-12-01T09:00:00Z",
            "2026-12-01T08:00:00Z",
            "Note: the delivery ends before it starts; shown with one hour from the start.",
        ),
        ("2026-12-02", "2026-12-01", "Note: the last day is before the first; shown on the first day."),
    ],
    ids=["times", "days"],
)
def test_a_widened_end_is_noted(start: str, end: str, note: str) -> None:
    legs = [{"dispatch_window": {"start": start}, "delivery_window": {"end": end}}]
    event = event_of(payload(legs=legs, manifest={"items": [{"unit": "box"}], "notes": "Liftgate"}))
    assert event.description == f"• box\nLiftgate\n{note}\n\n{LINK}"


def test_items_give_way_when_the_description_is_too_long() -> None:
    items = [{"description": "&" * 300} for _ in range(12)]
    description = description_of(items, "Liftgate")
    assert len(description) <= DESCRIPTION_LIMIT
    assert description == "\n".join([*["• " + "&amp;" * 300] * 5, "• and 7 more items", "Liftgate", "", LINK])


def test_one_item_that_is_too_long_is_counted() -> None:
    assert description_of([{"description": "x" * 9000}]) == f"• 1 item\n\n{LINK}"


def test_notes_give_way_to_a_very_long_link() -> None:
    url = "https://app.example.com/" + "x" * 7500
    event = event_of(payload(manifest={"items": [{"unit": "box"}], "notes": "'" * 400}), url)
    assert event.description.endswith(f'\n\n<a href="{url}">Open job J-1</a>')
    assert len(event.description) <= DESCRIPTION_LIMIT
    assert re.fullmatch(r"• 1 item\n(&#x27;)+…", event.description.partition("\n\n")[0])


def test_the_link_is_escaped_and_the_job_in_it_percent_encoded() -> None:
    url = job_url("https://app.example.com/jobs/{job_id}?a=1&b=2", 'a/b "c"<é')
    assert url == "https://app.example.com/jobs/a%2Fb%20%22c%22%3C%C3%A9?a=1&b=2"
    assert (
        '<a href="https://app.example.com/jobs/a%2Fb%20%22c%22%3C%C3%A9?a=1&amp;b=2">'
        in event_of(payload(), url).description
    )


def test_a_job_number_cannot_break_out_of_the_link() -> None:
    event = event_of(payload(job_number='</a><img src=x onerror="alert(1)">'))
    assert event.description.endswith(">Open job &lt;/a&gt;&lt;img src=x onerror=&quot;alert(1)&quot;&gt;</a>")


BOUNDS = st.none() | st.sampled_from(
    [
        *("2026-12-01", "2026-12-03", "1980-01-01", "2199-12-31"),
        *("2026-12-01T07:00:00-06:00", "2026-12-02T07:00:00.5Z", "2027-03-28T01:30:00Z", "2199-12-31T23:59:59-23:59"),
    ]
)
ZONES = st.none() | st.sampled_from(["America/Chicago", "Europe/Berlin", "Pacific/Auckland", "Australia/Lord_Howe"])
WINDOWS = st.none() | st.fixed_dictionaries({"start": BOUNDS, "end": BOUNDS, "timezone": ZONES})
CHARACTERS = st.characters(exclude_categories=["Cs"]) | st.sampled_from("<>&\"' \r\n\t\u200d\u0301\u202e🇩🇪👍🏽𝟙")
TEXTS = st.none() | st.text(CHARACTERS, max_size=30) | st.text(CHARACTERS, max_size=8).map(lambda text: text * 200)
NUMBERS = (
    st.none()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(allow_nan=False, allow_infinity=False)
)
ITEMS = st.fixed_dictionaries({"description": TEXTS, "quantity": NUMBERS, "unit": TEXTS, "weight_kg": NUMBERS})
PAYLOADS = st.fixed_dictionaries(
    {
        "schema_version": st.just(1),
        "job_number": st.text(CHARACTERS, max_size=199).map(lambda text: text + "1"),
        "timezone": ZONES,
        "legs": st.lists(
            st.fixed_dictionaries(
                {
                    "summary": TEXTS,
                    "dispatch_window": WINDOWS,
                    "delivery_window": WINDOWS,
                    "stops": st.lists(st.fixed_dictionaries({"address": TEXTS}), max_size=2),
                }
            ),
            max_size=3,
        ),
        "manifest": st.fixed_dictionaries({"items": st.lists(ITEMS, max_size=12), "notes": TEXTS}),
    }
)


@given(PAYLOADS, st.text(CHARACTERS, min_size=1, max_size=200))
def test_every_accepted_payload_has_one_event_within_the_limits(document: dict[str, Any], job_id: str) -> None:
    job, url = parse_payload(document), job_url("https://app.example.com/jobs/{job_id}", job_id)
    event = render(job, job_url=url)
    assert event == render(parse_payload(document), job_url=url)
    if event is None:
        return
    assert 0 < len(event.summary) <= SUMMARY_LIMIT
    assert event.summary == clean_line(event.summary)
    assert event.location is None or 0 < len(event.location) <= LOCATION_LIMIT
    assert len(event.description) <= DESCRIPTION_LIMIT
    assert event.description.endswith(f'<a href="{url}">Open job {html.escape(event.job_number)}</a>')
    match event.start, event.end:
        case Timed(start), Timed(end):
            assert start < end
        case AllDay(first), AllDay(last):
            assert first <= last
        case _:
            pytest.fail("start and end are of two kinds")


@given(PAYLOADS)
def test_what_is_kept_packed_comes_back_to_the_letter(document: dict[str, Any]) -> None:
    payload = json.dumps(document, default=float)
    rendering = rendering_of("job_1", payload, job_url_template="https://app.example.com/jobs/{job_id}")
    # Times are equal as instants; their offsets have to come back as well.
    assert repr(unpacked(packed(rendering))) == repr(rendering)


@given(PAYLOADS)
def test_no_data_becomes_markup(document: dict[str, Any]) -> None:
    event = render(parse_payload(document), job_url=URL)
    if event is None:
        return
    data = event.description.replace(f'<a href="{URL}">', "").replace("</a>", "")
    assert not re.search("[<>\"']|&(?!(amp|lt|gt|quot|#x27);)", data)


@given(st.text(CHARACTERS, max_size=60), st.integers(1, 40))
def test_a_clipped_text_is_a_beginning_of_it_within_the_limit(text: str, limit: int) -> None:
    clipped = clip(text, limit)
    assert len(clipped) <= limit
    assert clipped == text or (len(text) > limit and clipped.endswith("…") and text.startswith(clipped[:-1]))


@given(st.text(CHARACTERS, max_size=60))
def test_a_clean_line_is_clean(text: str) -> None:
    line = clean_line(text)
    assert line == clean_line(line)
    assert line == " ".join(line.split())
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", line)
