"""A payload is read whole, or refused in one sentence that begins with the field."""

import copy
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.payload import InvalidPayload, Item, Job, Manifest, Stop, Window, parse_payload, parse_payload_text

COMPLETE: dict[str, Any] = {
    "schema_version": 1,
    "job_number": "J-10423",
    "status": "scheduled",
    "timezone": "America/Chicago",
    "legs": [
        {
            "summary": "Dallas → Memphis",
            "dispatch_window": {"start": "2026-12-01T07:00:00-06:00", "end": "2026-12-01"},
            "delivery_window": {"start": None, "end": "2026-12-01T18:00:00Z", "timezone": "Europe/Berlin"},
            "stops": [{"kind": "pickup", "name": "Warehouse 4", "address": "1201 Main St", "window": "anything"}],
        }
    ],
    "manifest": {
        "items": [{"description": "Paint", "quantity": 12, "unit": "pallet", "weight_kg": 0.1}],
        "notes": "Liftgate",
    },
    "assigned_user_ids": ["u_ana"],
    "crew": [{"name": "Sam Ortiz", "email": "sam@example.com", "role": "driver"}],
    "customer_reference": {"unknown": ["fields", "are", "ignored"]},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The complete payload with the value at a dotted path replaced."""
    payload = copy.deepcopy(COMPLETE)
    target: Any = payload
    *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in parents:
        target = target[step]
    target[last] = value
    return payload


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in COMPLETE.items() if key != name}


def with_start(value: Any) -> dict[str, Any]:
    return changed("legs.0.dispatch_window.start", value)


def refusal(payload: object) -> str:
    with pytest.raises(InvalidPayload) as refused:
        parse_payload(payload)
    return str(refused.value)


def start_of(text: str) -> object:
    window = parse_payload(with_start(text)).legs[0].dispatch_window
    assert window is not None
    return window.start


def test_a_complete_payload_is_read_field_by_field() -> None:
    job = parse_payload(COMPLETE)
    assert (job.job_number, job.status, job.timezone) == ("J-10423", "scheduled", "America/Chicago")
    assert job.assigned_user_ids == ("u_ana",)
    assert job.manifest == Manifest((Item("Paint", Decimal(12), "pallet", Decimal("0.1")),), "Liftgate")
    (leg,) = job.legs
    assert leg.summary == "Dallas → Memphis"
    assert leg.dispatch_window == Window(
        datetime(2026, 12, 1, 7, tzinfo=timezone(timedelta(hours=-6))), date(2026, 12, 1), None
    )
    assert leg.delivery_window == Window(None, datetime(2026, 12, 1, 18, tzinfo=UTC), "Europe/Berlin")
    assert leg.stops == (Stop("pickup", "Warehouse 4", "1201 Main St"),)


def test_only_three_fields_are_required() -> None:
    job = parse_payload({"schema_version": 1, "job_number": "J-1", "legs": []})
    assert (job.status, job.timezone, job.legs, job.assigned_user_ids) == ("", None, (), ())
    assert job.manifest == Manifest((), "")


@pytest.mark.parametrize("name", ["status", "timezone", "manifest", "assigned_user_ids", "crew"])
def test_an_optional_field_that_is_null_is_the_same_as_an_absent_one(name: str) -> None:
    assert parse_payload(changed(name, None)) == parse_payload(without(name))


@pytest.mark.parametrize("name", ["summary", "dispatch_window", "delivery_window", "stops"])
def test_a_field_of_a_leg_that_is_null_is_the_same_as_an_absent_one(name: str) -> None:
    leg = {key: value for key, value in COMPLETE["legs"][0].items() if key != name}
    assert parse_payload(changed(f"legs.0.{name}", None)) == parse_payload(changed("legs.0", leg))


def test_crew_is_carried_and_not_judged() -> None:
    assert parse_payload(changed("crew", 7)) == parse_payload(COMPLETE)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        pytest.param("2026-12-01", date(2026, 12, 1), id="a bare date"),
        pytest.param("2028-02-29", date(2028, 2, 29), id="a leap day"),
        pytest.param("2026-12-01T07:00:00Z", datetime(2026, 12, 1, 7, tzinfo=UTC), id="Z"),
        pytest.param("2026-12-01t07:00:00z", datetime(2026, 12, 1, 7, tzinfo=UTC), id="lower case"),
        pytest.param("2026-12-01T07:00:00-00:00", datetime(2026, 12, 1, 7, tzinfo=UTC), id="an unknown local offset"),
        pytest.param("2026-12-01T07:00:00.999999999Z", datetime(2026, 12, 1, 7, tzinfo=UTC), id="a fraction is cut"),
        pytest.param(
            "2026-12-01T07:00:00+05:45",
            datetime(2026, 12, 1, 7, tzinfo=timezone(timedelta(hours=5, minutes=45))),
            id="an offset with minutes",
        ),
    ],
)
def test_a_bound_is_a_date_or_a_time_with_an_offset(text: str, read: object) -> None:
    assert start_of(text) == read


@given(
    st.dates(date(1980, 1, 1), date(2199, 12, 31)),
    st.times(),
    st.sampled_from(["Z", "+00:00", "-06:00", "+05:45", "+14:00", "-23:59"]),
)
def test_a_time_is_the_same_in_the_usual_spelling_and_in_a_rare_one(day: date, clock: time, offset: str) -> None:
    local = f"{day}T{clock:%H:%M:%S}"
    assert start_of(f"{local}{offset}") == datetime.fromisoformat(f"{local}{offset}")
    assert start_of(f"{local}.999{offset}".lower()) == start_of(f"{local}{offset}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("2026-12-01T07:00:00", "has no UTC offset; send ", id="a naive time"),
        pytest.param("2026-12-01T07:00:60Z", "has a second 60; send ", id="a leap second"),
        pytest.param("2026-02-30", "is a day that does not exist; send ", id="the 30th of February"),
        pytest.param("2027-02-29T00:00:00Z", "is a day that does not exist; send ", id="a leap day in another year"),
        pytest.param("2026-13-01", "is a day that does not exist; send ", id="a 13th month"),
        pytest.param("0001-01-01", "is outside the years 1980 to 2199; send ", id="year one"),
        pytest.param("9999-12-31T23:59:59Z", "is outside the years 1980 to 2199; send ", id="the last year"),
        pytest.param("2026-12-01 07:00:00-06:00", "is not an RFC 3339 time or a date; send ", id="a space for the T"),
        pytest.param("2026-12-01T07:00-06:00", "is not an RFC 3339 time or a date; send ", id="no seconds"),
        pytest.param("2026-12-01T24:00:00Z", "is not an RFC 3339 time or a date; send ", id="hour 24"),
        pytest.param("2026-12-01T07:00:00+0600", "is not an RFC 3339 time or a date; send ", id="no colon"),
        pytest.param("2026-12-01T07:00:00+24:00", "is not an RFC 3339 time or a date; send ", id="offset of a day"),
        pytest.param("01.12.2026", "is not an RFC 3339 time or a date; send ", id="another order"),
        pytest.param("٢٠٢٦-١٢-٠١", "is not an RFC 3339 time or a date; send ", id="other digits"),
        pytest.param("2026-12-01\n", "is not an RFC 3339 time or a date; send ", id="a trailing line break"),
        pytest.param("", "is not an RFC 3339 time or a date; send ", id="an empty string"),
    ],
)
def test_a_bound_that_cannot_be_read_is_refused_with_the_way_out(text: str, reason: str) -> None:
    message = refusal(with_start(text))
    assert message.startswith("legs[0].dispatch_window.start: ")
    assert reason in message


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        pytest.param(["a"], "payload: must be a JSON object, got an array", id="an array"),
        pytest.param(None, "payload: must be a JSON object, got null", id="null"),
        pytest.param("{}", "payload: must be a JSON object, got a string", id="a string"),
        pytest.param(True, "payload: must be a JSON object, got a boolean", id="a boolean"),
        pytest.param(without("schema_version"), "schema_version: is missing; send 1", id="no version"),
        pytest.param(changed("schema_version", 2), "schema_version: must be the integer 1, got 2", id="version 2"),
        pytest.param(changed("schema_version", True), "schema_version: must be the integer 1, got true", id="true"),
        pytest.param(changed("schema_version", "1"), 'schema_version: must be the integer 1, got "1"', id="text 1"),
        pytest.param(changed("schema_version", 1.0), "schema_version: must be the integer 1, got 1.0", id="1.0"),
        pytest.param(changed("schema_version", []), "schema_version: must be the integer 1, got an array", id="list"),
        pytest.param(without("job_number"), "job_number: is missing; send ", id="no job number"),
        pytest.param(changed("job_number", 7), "job_number: must be a string, got a number", id="a job number of 7"),
        pytest.param(
            changed("job_number", 7.5), "job_number: must be a string, got a number", id="a job number of 7.5"
        ),
        pytest.param(changed("job_number", " \t"), "job_number: is blank; send ", id="a blank job number"),
        pytest.param(changed("job_number", "\u200b\u202e"), "job_number: is blank; send ", id="an invisible number"),
        pytest.param(
            changed("job_number", "J" * 201), "job_number: has 201 characters; send at most 200", id="a long number"
        ),
        pytest.param(without("legs"), "legs: is missing; send an array", id="no legs"),
        pytest.param(changed("legs", {}), "legs: must be an array, got an object", id="legs as an object"),
        pytest.param(changed("legs.0", None), "legs[0]: must not be null; leave it out", id="a leg that is null"),
        pytest.param(changed("legs.0", "x"), "legs[0]: must be a JSON object, got a string", id="a leg as text"),
        pytest.param(
            changed("legs.0.dispatch_window", "today"),
            "legs[0].dispatch_window: must be a JSON object, got a string",
            id="a window as text",
        ),
        pytest.param(
            with_start(1764590400),
            "legs[0].dispatch_window.start: must be an RFC 3339 time or a date, in a string, got a number",
            id="an epoch",
        ),
        pytest.param(
            changed("legs.0.stops.0.address", 12), "legs[0].stops[0].address: must be a string, got a number", id="stop"
        ),
        pytest.param(changed("manifest", []), "manifest: must be a JSON object, got an array", id="manifest"),
        pytest.param(
            changed("manifest.items.0.quantity", "12"),
            "manifest.items[0].quantity: must be a number, got a string",
            id="a quantity as text",
        ),
        pytest.param(
            changed("manifest.items.0.weight_kg", True),
            "manifest.items[0].weight_kg: must be a number, got a boolean",
            id="a weight of true",
        ),
        pytest.param(
            changed("manifest.items.0.weight_kg", float("nan")),
            "manifest.items[0].weight_kg: must be a finite number; send ",
            id="a weight that is not a number",
        ),
        pytest.param(
            changed("manifest.items.0.quantity", Decimal("Infinity")),
            "manifest.items[0].quantity: must be a finite number; send ",
            id="an endless quantity",
        ),
        pytest.param(
            changed("assigned_user_ids", ["u_ana", 3]),
            "assigned_user_ids[1]: must be a string, got a number",
            id="a user id of 3",
        ),
        pytest.param(
            changed("assigned_user_ids", ["u_ana", None]),
            "assigned_user_ids[1]: must not be null; leave it out",
            id="a user id that is null",
        ),
        pytest.param(
            changed("legs.0.summary", "half \ud83d"),
            'legs[0].summary: "half \\ud83d" holds half of a surrogate pair; send ',
            id="half a character",
        ),
    ],
)
def test_a_refusal_begins_with_the_field_and_says_what_is_wrong(payload: object, message: str) -> None:
    assert refusal(payload).startswith(message)


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "../UTC", "/etc/localtime", "", " ", "localtime", "Factory", "right/UTC"]
)
def test_what_is_no_iana_zone_is_refused(name: str) -> None:
    assert refusal(changed("timezone", name)).startswith(f'timezone: "{name}" is not an IANA time zone; send ')


@pytest.mark.parametrize(
    "name", ["America/Chicago", "Australia/Lord_Howe", "America/Argentina/Ushuaia", "UTC", "US/Central"]
)
def test_iana_zones_and_their_links_are_taken(name: str) -> None:
    assert parse_payload(changed("timezone", name)).timezone == name


def test_the_first_of_several_problems_is_named_and_the_rest_counted() -> None:
    payload = changed("assigned_user_ids", "u_ana") | {"timezone": "Mars/Olympus"}
    assert refusal(payload).endswith("or null (and 1 more problem)")
    assert refusal(payload | {"legs": None}).startswith('timezone: "Mars/Olympus"')
    assert refusal(payload | {"legs": None}).endswith(" (and 2 more problems)")


def test_a_quoted_value_is_clipped() -> None:
    message = refusal(changed("timezone", "x" * 10_000))
    assert f'"{"x" * 59}…"' in message
    assert len(message) < 200


def test_a_message_can_be_shown_and_stored_whatever_was_sent() -> None:
    message = refusal(changed("timezone", "\ud800\x1b[31m\u202e"))
    assert message.isprintable()
    assert message.encode()


def test_json_text_is_read_like_decoded_json() -> None:
    assert parse_payload_text(json.dumps(COMPLETE)) == parse_payload(COMPLETE)


def test_numbers_no_float_and_no_int_can_hold_do_no_harm() -> None:
    text = json.dumps(COMPLETE).replace("0.1", "1e400").replace(": 12,", f": {'1' * 5000},")
    (item,) = parse_payload_text(text).manifest.items
    assert item.weight_kg == Decimal("1e400")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "is not valid JSON", id="nothing"),
        pytest.param("{'a': 1}", "is not valid JSON", id="single quotes"),
        pytest.param('{"a": NaN}', "is not valid JSON (NaN is not a JSON number)", id="NaN"),
        pytest.param('{"a": -Infinity}', "is not valid JSON (-Infinity is not a JSON number)", id="Infinity"),
        pytest.param('{"a": 1e99999999999999999999}', "is not valid JSON", id="an exponent out of range"),
        pytest.param('{"a": ' + "[" * 200_000, "is nested too deeply", id="two hundred thousand brackets"),
        pytest.param("[]", "must be a JSON object, got an array", id="an array"),
    ],
)
def test_text_that_is_no_json_object_is_refused_as_a_payload(text: str, reason: str) -> None:
    with pytest.raises(InvalidPayload, match=r"^payload: ") as refused:
        parse_payload_text(text)
    assert reason in str(refused.value)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text(max_size=20)
    | st.text(st.characters(categories=["Cs", "Cc", "Cf"]), max_size=3)
    | st.sampled_from(["2026-12-01", "2026-12-01T07:00:00Z", "9999-12-31", "Europe/Berlin", "America", "posix/UTC"])
)
NAMES = st.sampled_from(
    [
        *("schema_version", "job_number", "timezone", "legs", "manifest", "assigned_user_ids"),
        *("summary", "dispatch_window", "delivery_window", "start", "end", "stops", "address"),
        *("items", "quantity", "notes"),
    ]
)
ANY_JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6), max_leaves=25
)
PATHS = st.sampled_from(
    [
        *("job_number", "timezone", "legs", "legs.0", "legs.0.summary", "assigned_user_ids"),
        *("legs.0.stops", "legs.0.stops.0", "legs.0.stops.0.address"),
        *("legs.0.dispatch_window", "legs.0.dispatch_window.start", "legs.0.delivery_window.end"),
        *("legs.0.delivery_window.timezone", "manifest", "manifest.notes"),
        *("manifest.items", "manifest.items.0", "manifest.items.0.quantity"),
    ]
)


def verdict(parse: Callable[[Any], Job], payload: object) -> str:
    """Empty for a job, else the refusal."""
    try:
        parse(payload)
    except InvalidPayload as refused:
        return str(refused)
    return ""


@given(ANY_JSON | st.builds(changed, PATHS, ANY_JSON))
def test_any_json_is_a_job_or_is_refused_in_words_that_can_be_stored(payload: object) -> None:
    message = verdict(parse_payload, payload)
    assert not message or all(message.partition(": "))
    assert message.encode().decode() == message


@given(st.text(max_size=40) | ANY_JSON.map(lambda value: json.dumps(value, default=str)))
def test_any_text_is_a_job_or_is_refused_in_words(text: str) -> None:
    message = verdict(parse_payload_text, text)
    assert not message or all(message.partition(": "))


def test_a_fraction_in_the_place_of_a_text_is_called_a_number() -> None:
    with pytest.raises(InvalidPayload, match=r"^job_number: must be a string, got a number"):
        parse_payload_text(json.dumps(changed("job_number", 7.5)))
