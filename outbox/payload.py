"""The job payload, version 1: from JSON to a `Job`, or one sentence that says what is wrong with it.

Only what an event is made of is read. Unknown fields, `crew` and the windows of stops are carried by the stored
payload and not looked at here.
"""

import json
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from outbox.bound import Bound
from outbox.field import Record, kind_of, shown
from outbox.text import is_visible

SCHEMA_VERSION = 1
"""The one version of the payload that is understood."""

JOB_NUMBER_LIMIT = 200
"""Characters of a job number."""


class InvalidPayload(ValueError):  # noqa: N818 - a verdict that is stored and shown, not a failure of ours
    """A payload that breaks the contract; the message is one sentence that begins with the offending field."""


class Window(NamedTuple):
    """A span in which work begins or ends; either side may be open. `timezone` is IANA and beats the job's."""

    start: Bound | None
    end: Bound | None
    timezone: str | None


class Stop(NamedTuple):
    """A place on the way; what was not sent is empty."""

    kind: str
    name: str
    address: str


class Leg(NamedTuple):
    """One run of the job, with its stops in order."""

    summary: str
    dispatch_window: Window | None
    delivery_window: Window | None
    stops: tuple[Stop, ...]


class Item(NamedTuple):
    """A line of the manifest, in the producer's own unit."""

    description: str
    quantity: Decimal | None
    unit: str
    weight_kg: Decimal | None


class Manifest(NamedTuple):
    """What is carried."""

    items: tuple[Item, ...]
    notes: str


class Job(NamedTuple):
    """The whole state of a job, text as it was sent."""

    job_number: str
    status: str
    timezone: str | None
    legs: tuple[Leg, ...]
    manifest: Manifest
    assigned_user_ids: tuple[str, ...]


def parse_payload(payload: object) -> Job:
    """The job in decoded JSON (dict, list, str, int, float or Decimal, bool, None).

    Raises InvalidPayload. Of several problems it names the first, in the order of the schema, and counts the rest.
    """
    if not isinstance(payload, dict):
        raise InvalidPayload(f"payload: must be a JSON object, got {kind_of(payload)}; send the job's whole state")
    root = Record("", payload, [])
    job = _job(root)
    if root.problems:
        raise InvalidPayload(_report(root.problems))
    return job


def parse_payload_text(text: str) -> Job:
    """The job in JSON text; raises InvalidPayload, also for what is not JSON or cannot be decoded."""
    try:
        payload = _DECODER.decode(text)
    except RecursionError as error:
        raise InvalidPayload("payload: is nested too deeply to be read; send fewer levels") from error
    except ValueError as error:
        raise InvalidPayload(f"payload: is not valid JSON ({error}); send JSON as RFC 8259 has it") from error
    return parse_payload(payload)


def _job(root: Record) -> Job:
    _check_version(root)
    return Job(
        job_number=_job_number(root),
        status=root.text("status"),
        timezone=root.zone("timezone"),
        legs=_legs(root),
        manifest=_manifest(root.record("manifest")),
        assigned_user_ids=root.texts("assigned_user_ids"),
    )


def _check_version(root: Record) -> None:
    version = root.members.get("schema_version")
    if version is None:
        root.refuse("schema_version", f"is missing; send {SCHEMA_VERSION}")
    elif type(version) is not int or version != SCHEMA_VERSION:
        root.refuse("schema_version", f"must be the integer {SCHEMA_VERSION}, got {shown(version)}")


def _job_number(root: Record) -> str:
    sent, number = root.members.get("job_number"), root.text("job_number")
    if sent is None:
        root.refuse("job_number", "is missing; send the number that people know the job by")
    elif isinstance(sent, str) and not is_visible(number):
        root.refuse("job_number", "is blank; send the number that people know the job by")
    elif len(number) > JOB_NUMBER_LIMIT:
        root.refuse("job_number", f"has {len(number)} characters; send at most {JOB_NUMBER_LIMIT}")
    return number


def _legs(root: Record) -> tuple[Leg, ...]:
    if root.members.get("legs") is None:
        root.refuse("legs", "is missing; send an array, empty if there are no legs yet")
    return tuple(_leg(leg) for leg in root.records("legs"))


def _leg(leg: Record) -> Leg:
    return Leg(
        summary=leg.text("summary"),
        dispatch_window=_window(leg.record("dispatch_window")),
        delivery_window=_window(leg.record("delivery_window")),
        stops=tuple(Stop(stop.text("kind"), stop.text("name"), stop.text("address")) for stop in leg.records("stops")),
    )


def _window(window: Record | None) -> Window | None:
    if window is None:
        return None
    return Window(window.bound("start"), window.bound("end"), window.zone("timezone"))


def _manifest(manifest: Record | None) -> Manifest:
    if manifest is None:
        return Manifest((), "")
    return Manifest(tuple(_item(item) for item in manifest.records("items")), manifest.text("notes"))


def _item(item: Record) -> Item:
    return Item(
        description=item.text("description"),
        quantity=item.number("quantity"),
        unit=item.text("unit"),
        weight_kg=item.number("weight_kg"),
    )


def _report(problems: list[str]) -> str:
    match len(problems) - 1:
        case 0:
            return problems[0]
        case 1:
            return f"{problems[0]} (and 1 more problem)"
        case more:
            return f"{problems[0]} (and {more} more problems)"


def _integer(digits: str) -> int | Decimal:
    """A JSON integer; a Decimal beyond what Python's int is willing to read (4,300 digits)."""
    return int(digits) if len(digits) < 20 else Decimal(digits)


def _fraction(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{shown(text)} is out of every range") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_fraction, parse_constant=_refuse_constant)
