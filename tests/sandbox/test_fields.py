"""The `fields` selector picks the part of an answer that is asked for."""

import pytest

from web.sandbox.errors import ApiError
from web.sandbox.fields import parse_fields, select

ANSWER = {
    "kind": "calendar#events",
    "nextPageToken": "t",
    "items": [
        {"id": "a", "start": {"date": "2026-12-01"}, "extendedProperties": {"private": {"k": "v"}, "shared": {}}},
        {"id": "b"},
    ],
}


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("kind", {"kind": "calendar#events"}),
        ("items/id, kind", {"kind": "calendar#events", "items": [{"id": "a"}, {"id": "b"}]}),
        (
            "nextPageToken,items(id,extendedProperties/private)",
            {
                "nextPageToken": "t",
                "items": [{"id": "a", "extendedProperties": {"private": {"k": "v"}}}, {"id": "b"}],
            },
        ),
        ("items(start(date))", {"items": [{"start": {"date": "2026-12-01"}}, {}]}),
        ("items/start/*", {"items": [{"start": {"date": "2026-12-01"}}, {}]}),
        ("*", ANSWER),
        ("nothing", {}),
    ],
)
def test_a_selector_picks_its_part(selector: str, chosen: object) -> None:
    assert select(ANSWER, parse_fields(selector)) == chosen


@pytest.mark.parametrize("selector", ["", "a,", "a(b", "a)", "(a)", "a//b", "a b&c", "a(,b)"])
def test_a_selector_without_sense_is_refused(selector: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_fields(selector)
    assert (caught.value.code, caught.value.location) == (400, "fields")
