"""Checks a Calendar request against Google's own discovery document, as google-api-python-client ships it."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from functools import lru_cache
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from web.sandbox.errors import ApiError
from web.sandbox.fields import Selection, parse_fields

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(?P<offset>Z|[+-]\d\d:\d\d)?")
_READ_ONLY = re.compile(r"\bread-only\b(?!, except)", re.IGNORECASE)
_JSON_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "array": list,
    "object": dict,
}


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """The discovery document of Calendar v3."""
    path = files("googleapiclient.discovery_cache") / "documents" / "calendar.v3.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def check_request(method: str, path_with_query: str, body: object = None) -> list[str]:
    """What Google does not know or take in the path, query and JSON body, one line each; empty when all is well.

    `path_with_query` is as sent, percent-encoded, and begins with `/calendar/v3/`.
    """
    parts = urlsplit(path_with_query)
    operation, path_values = _operation(method, parts.path)
    if operation is None:
        return [f"{method} {parts.path}: no such method"]
    return [
        *_check_path(operation, path_values),
        *_check_query(operation, parse_qsl(parts.query, keep_blank_values=True)),
        *_check_body(method, operation, body),
    ]


def _operations(resources: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in resources.values():
        yield from resource.get("methods", {}).values()
        yield from _operations(resource.get("resources", {}))


def _operation(method: str, path: str) -> tuple[dict[str, Any] | None, dict[str, str]]:
    base = "/" + document()["servicePath"]
    if not path.startswith(base):
        return None, {}
    found: tuple[dict[str, Any] | None, dict[str, str]] = None, {}
    for operation in _operations(document()["resources"]):
        template = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(operation["path"]))
        match = re.fullmatch(template, path.removeprefix(base))
        # A path without parameters (`events/import`) is meant before one that would swallow it (`events/{eventId}`).
        if match and operation["httpMethod"] == method and (not found[0] or len(match.groups()) < len(found[1])):
            found = operation, match.groupdict()
    return found


def _check_path(operation: Mapping[str, Any], values: Mapping[str, str]) -> Iterator[str]:
    for name, value in values.items():
        if re.search(r"[^A-Za-z0-9._~%!$&'()*+,;=:-]", value) or re.search(r"%(?![0-9A-Fa-f]{2})", value):
            yield f"path {name}: {value!r} is not percent-encoded"
        if not unquote(value).strip():
            yield f"path {name}: empty"


def _check_query(operation: Mapping[str, Any], pairs: list[tuple[str, str]]) -> Iterator[str]:
    own = {name: spec for name, spec in operation.get("parameters", {}).items() if spec["location"] == "query"}
    known = document()["parameters"] | own
    names = [name for name, _ in pairs]
    for name, value in pairs:
        spec = known.get(name)
        if spec is None:
            yield f"query {name}: unknown"
            continue
        yield from _check_parameter(name, value, spec)
        if name == "fields":
            yield from _check_selector(value, operation)
    for name in {name for name in names if names.count(name) > 1}:
        if not known.get(name, {}).get("repeated"):
            yield f"query {name}: repeated"
    for name, spec in own.items():
        if spec.get("required") and name not in names:
            yield f"query {name}: missing"


def _check_parameter(name: str, value: str, spec: Mapping[str, Any]) -> Iterator[str]:
    where = f"query {name}"
    if spec["type"] == "boolean" and value not in {"true", "false"}:
        yield f"{where}: {value!r} is not true or false"
    elif spec["type"] == "integer":
        if not re.fullmatch(r"-?\d+", value):
            yield f"{where}: {value!r} is not an integer"
        elif not int(spec.get("minimum", value)) <= int(value) <= int(spec.get("maximum", value)):
            yield f"{where}: {value} is out of range"
    elif "enum" in spec and value not in spec["enum"]:
        yield f"{where}: {value!r} is not one of {', '.join(spec['enum'])}"
    elif spec.get("format") == "date-time" and not _is_time(value, offset_required=True):
        yield f"{where}: {value!r} is not an RFC 3339 time with an offset"


def _check_selector(value: str, operation: Mapping[str, Any]) -> Iterator[str]:
    try:
        selection = parse_fields(value)
    except ApiError:
        yield f"query fields: {value!r} makes no sense"
        return
    if "response" not in operation:
        yield "query fields: the method answers nothing"
        return
    yield from _check_selection(selection, operation["response"], "")


def _check_selection(selection: Selection, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    schema = _resolved(schema)
    if schema.get("type") == "array":
        schema = _resolved(schema["items"])
    for name, below in selection.items():
        if name == "*":
            continue
        place = f"{where}/{name}".lstrip("/")
        found = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
        if found is None:
            yield f"query fields: {place} is unknown"
        else:
            yield from _check_selection(below, found, place)


def _check_body(method: str, operation: Mapping[str, Any], body: object) -> Iterator[str]:
    schema = operation.get("request")
    if schema is None:
        if body not in (None, {}):
            yield "body: the method takes none"
        return
    if not isinstance(body, dict):
        yield "body: not an object"
        return
    yield from _check_value(body, schema, "body", nullable=method == "PATCH")
    if method == "PATCH":
        return
    for name, spec in _resolved(schema).get("properties", {}).items():
        if operation["id"] in spec.get("annotations", {}).get("required", ()) and body.get(name) is None:
            yield f"body {name}: missing"


def _check_value(value: object, schema: Mapping[str, Any], where: str, *, nullable: bool) -> Iterator[str]:
    schema = _resolved(schema)
    if value is None and nullable:
        return
    kind = schema.get("type", "object")
    expected = _JSON_TYPES.get(kind, object)
    if not isinstance(value, expected) or (isinstance(value, bool) and kind != "boolean"):
        yield f"{where}: {value!r} is not of type {kind}"
    elif isinstance(value, str):
        yield from _check_text(value, schema, where)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _check_value(item, schema["items"], f"{where}[{place}]", nullable=False)
    elif isinstance(value, dict):
        yield from _check_object(value, schema, where, nullable=nullable)


def _check_object(
    value: Mapping[str, object], schema: Mapping[str, Any], where: str, *, nullable: bool
) -> Iterator[str]:
    for name, item in value.items():
        place = f"{where}.{name}" if where != "body" else f"body {name}"
        spec = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
        if spec is None:
            yield f"{place}: unknown"
        elif spec.get("readOnly") or _READ_ONLY.search(spec.get("description", "")):
            yield f"{place}: read-only"
        else:
            yield from _check_value(item, spec, place, nullable=nullable)


def _check_text(value: str, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is not one of {', '.join(schema['enum'])}"
    if schema.get("format") == "date" and not _is_day(value):
        yield f"{where}: {value!r} is not a date"
    # EventDateTime.dateTime may leave its offset to the time zone beside it.
    if schema.get("format") == "date-time" and not _is_time(value, offset_required=False):
        yield f"{where}: {value!r} is not an RFC 3339 time"


def _resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = document()["schemas"][schema["$ref"]] if "$ref" in schema else schema
    return found


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _is_time(text: str, *, offset_required: bool) -> bool:
    match = _RFC3339.fullmatch(text)
    if not match or (offset_required and not match["offset"]):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
