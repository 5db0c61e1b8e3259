"""The job payload, version 1: from JSON to a `Job`, or one sentence that says what is wrong with it.

Only what an event is made of is read. Unknown fields, `crew` and the windows of stops are carried by the stored
payload and not looked at here.
"""

import json
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from outbox.bound import Bound
from outbox.field import Field, kind_of, shown
from outbox.text import is_visible

SCHEMA_VERSION = 1
"""The one version of the payload that is understood."""

JOB_NUMBER_LIMIT = 200
"""Characters of a job number."""


class InvalidPayload(ValueError):  # noqa: N818 - a verdict that is stored and shown, not a failure of ours
    """A payload that breaks the contract; the message is one sentence that begins with the offending field."""


@dataclass(frozen=True, slots=True)
class Window:
    """A span in which work begins or ends; either side may be open. `timezone` is IANA and beats the job's."""

    start: Bound | None
    end: Bound | None
    timezone: str | None


@dataclass(frozen=True, slots=True)
class Stop:
    """A place on the way; what was not sent is empty."""

    kind: str
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Leg:
    """One run of the job, with its stops in order."""

    summary: str
    dispatch_window: Window | None
    delivery_window: Window | None
    stops: tuple[Stop, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the manifest, in the producer's own unit."""

    description: str
    quantity: Decimal | None
    unit: str
    weight_kg: Decimal | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is carried."""

    items: tuple[Item, ...]
    notes: str


@dataclass(frozen=True, slots=True)
class Job:
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
    root = Field("", payload, [])
    job = _job(root)
    if root.problems:
        raise InvalidPayload(_report(root.problems))
    return job


def parse_payload_text(text: str) -> Job:
    """The job in JSON text; raises InvalidPayload, also for what is not JSON or cannot be decoded."""
    try:
        payload = json.loads(text, parse_int=_integer, parse_float=_fraction, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise InvalidPayload("payload: is nested too deeply to be read; send fewer levels") from error
    except ValueError as error:
        raise InvalidPayload(f"payload: is not valid JSON ({error}); send JSON as RFC 8259 has it") from error
    return parse_payload(payload)


def _job(root: Field) -> Job:
    _check_version(root.member("schema_version"))
    return Job(
        job_number=_job_number(root.member("job_number")),
        status=root.member("status").text(),
        timezone=root.member("timezone").zone(),
        legs=_legs(root.member("legs")),
        manifest=_manifest(root.member("manifest")),
        assigned_user_ids=tuple(user_id.text() for user_id in root.member("assigned_user_ids").elements()),
    )


def _check_version(field: Field) -> None:
    if field.value is None:
        field.refuse(f"is missing; send {SCHEMA_VERSION}")
    elif type(field.value) is not int or field.value != SCHEMA_VERSION:
        field.refuse(f"must be the integer {SCHEMA_VERSION}, got {shown(field.value)}")


def _job_number(field: Field) -> str:
    number = field.text()
    if field.value is None:
        field.refuse("is missing; send the number that people know the job by")
    elif isinstance(field.value, str) and not is_visible(number):
        field.refuse("is blank; send the number that people know the job by")
    elif len(number) > JOB_NUMBER_LIMIT:
        field.refuse(f"has {len(number)} characters; send at most {JOB_NUMBER_LIMIT}")
    return number


def _legs(field: Field) -> tuple[Leg, ...]:
    if field.value is None:
        field.refuse("is missing; send an array, empty if there are no legs yet")
    return tuple(_leg(leg) for leg in field.objects())


def _leg(field: Field) -> Leg:
    return Leg(
        summary=field.member("summary").text(),
        dispatch_window=_window(field.member("dispatch_window")),
        delivery_window=_window(field.member("delivery_window")),
        stops=tuple(
            Stop(stop.member("kind").text(), stop.member("name").text(), stop.member("address").text())
            for stop in field.member("stops").objects()
        ),
    )


def _window(field: Field) -> Window | None:
    if not field.is_object():
        return None
    return Window(field.member("start").bound(), field.member("end").bound(), field.member("timezone").zone())


def _manifest(field: Field) -> Manifest:
    field.is_object()
    return Manifest(tuple(_item(item) for item in field.member("items").objects()), field.member("notes").text())


def _item(field: Field) -> Item:
    return Item(
        description=field.member("description").text(),
        quantity=field.member("quantity").number(),
        unit=field.member("unit").text(),
        weight_kg=field.member("weight_kg").number(),
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
