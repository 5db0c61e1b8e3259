"""Partial responses: the `fields` selector of Google's APIs."""

import re
from functools import lru_cache
from typing import Any

from web.sandbox.errors import ApiError

Selection = dict[str, "Selection"]
"""The chosen names and what is chosen below each; empty means the whole of it."""

_TOKEN = re.compile(r"[A-Za-z0-9_*$-]+|[(),/]")


@lru_cache(maxsize=256)
def parse_fields(selector: str) -> Selection:
    """Read `nextPageToken,items(id,extendedProperties/private)`; raises ApiError 400 where it makes no sense."""
    tokens = _TOKEN.findall(selector)
    if "".join(tokens) != selector.replace(" ", "") or not tokens:
        raise _nonsense(selector)
    tokens.reverse()
    selection = _parse_list(tokens, selector)
    if tokens:
        raise _nonsense(selector)
    return selection


def select(value: Any, selection: Selection) -> Any:
    """The part of a JSON value that the selection names; lists are looked through."""
    if not selection:
        return value
    if isinstance(value, list):
        return [select(item, selection) for item in value]
    if not isinstance(value, dict):
        return value
    everything = selection.get("*")
    chosen: dict[str, Any] = {}
    for name, item in value.items():
        below = selection.get(name, everything)
        if below is not None:
            chosen[name] = select(item, below)
    return chosen


def _parse_list(tokens: list[str], selector: str) -> Selection:
    selection: Selection = {}
    while True:
        _parse_path(tokens, selection, selector)
        if not tokens or tokens[-1] != ",":
            return selection
        tokens.pop()


def _parse_path(tokens: list[str], into: Selection, selector: str) -> None:
    if not tokens or tokens[-1] in "(),/":
        raise _nonsense(selector)
    below = into.setdefault(tokens.pop(), {})
    if tokens and tokens[-1] == "/":
        tokens.pop()
        _parse_path(tokens, below, selector)
    elif tokens and tokens[-1] == "(":
        tokens.pop()
        below |= _parse_list(tokens, selector)
        if not tokens or tokens.pop() != ")":
            raise _nonsense(selector)


def _nonsense(selector: str) -> ApiError:
    return ApiError(400, "invalidParameter", f"Invalid field selection {selector}", "parameter", "fields")
