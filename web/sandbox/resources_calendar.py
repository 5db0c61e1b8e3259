"""Calendar v3 over HTTP."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

import falcon

from web.sandbox import scopes
from web.sandbox.arrival import arrival_of, bearer_token
from web.sandbox.calendars import etag_matches
from web.sandbox.errors import ApiError, insufficient_scope, invalid_credentials, login_required
from web.sandbox.events import Resource
from web.sandbox.fields import Selection, parse_fields, select
from web.sandbox.grants import Bearer
from web.sandbox.listing import Params
from web.sandbox.model import Role
from web.sandbox.quotas import units
from web.sandbox.state import Sandbox


class _Calendar:
    """What the methods share."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._calendars = sandbox.calendars

    @contextmanager
    def _call(self, req: falcon.Request, method: str, needed: tuple[str, ...], calendar: str = "") -> Iterator[str]:
        """The account, while the lock is held; refuses where token, `fields`, quota or scope forbid the work."""
        token = arrival_of(req).token
        if token is None:
            raise invalid_credentials() if bearer_token(req) else login_required()
        _selection(_params(req))
        with self._sandbox.lock:
            if token.bearer is Bearer.PROJECT:
                self._sandbox.quotas.charge(token.account, units(req.method))
            usable = set(token.scopes) & set(needed)
            if not usable or (
                usable <= scopes.OWNED_ONLY and self._calendars.role(token.account, calendar) is not Role.OWNER
            ):
                raise insufficient_scope(f"calendar.v3.{method}", " ".join(needed))
            yield token.account

    def _record(self, req: falcon.Request, account: str, calendar: str, resource: Resource) -> None:
        self._sandbox.record_write(arrival_of(req).actor.value, account, calendar, req.method, resource)


class CalendarList(_Calendar):
    """users/me/calendarList"""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """calendarList.list"""
        params = _params(req)
        with self._call(req, "CalendarList.List", scopes.READ_LIST) as account:
            answer = self._calendars.list_calendars(account, params)
        _answer(req, resp, answer, params)


class CalendarListEntry(_Calendar):
    """users/me/calendarList/{calendarId}"""

    def on_get(self, req: falcon.Request, resp: falcon.Response, calendar: str) -> None:
        """calendarList.get"""
        with self._call(req, "CalendarList.Get", scopes.READ_LIST, calendar) as account:
            answer = self._calendars.get_list_entry(account, calendar)
        _answer(req, resp, answer, _params(req))


class CalendarItem(_Calendar):
    """calendars/{calendarId}"""

    def on_get(self, req: falcon.Request, resp: falcon.Response, calendar: str) -> None:
        """calendars.get"""
        with self._call(req, "Calendars.Get", scopes.READ_CALENDAR, calendar) as account:
            answer = self._calendars.get_calendar(account, calendar)
        _answer(req, resp, answer, _params(req))


class EventList(_Calendar):
    """calendars/{calendarId}/events"""

    def on_get(self, req: falcon.Request, resp: falcon.Response, calendar: str) -> None:
        """events.list"""
        params = _params(req)
        with self._call(req, "Events.List", scopes.READ_EVENTS, calendar) as account:
            answer = self._calendars.list(account, calendar, params)
        _answer(req, resp, answer, params)

    def on_post(self, req: falcon.Request, resp: falcon.Response, calendar: str) -> None:
        """events.insert"""
        with self._call(req, "Events.Insert", scopes.WRITE_EVENTS, calendar) as account:
            answer = self._calendars.insert(account, calendar, _body(req))
            self._record(req, account, calendar, answer)
        _answer(req, resp, answer, _params(req))


class EventItem(_Calendar):
    """calendars/{calendarId}/events/{eventId}"""

    def on_get(self, req: falcon.Request, resp: falcon.Response, calendar: str, event: str) -> None:
        """events.get"""
        params = _params(req)
        with self._call(req, "Events.Get", scopes.READ_EVENTS, calendar) as account:
            answer = self._calendars.get(account, calendar, event, params.get("timeZone", [""])[-1])
        _answer(req, resp, answer, params)

    def on_put(self, req: falcon.Request, resp: falcon.Response, calendar: str, event: str) -> None:
        """events.update"""
        with self._call(req, "Events.Update", scopes.WRITE_EVENTS, calendar) as account:
            answer = self._calendars.update(account, calendar, event, _body(req), _if_match(req))
            self._record(req, account, calendar, answer)
        _answer(req, resp, answer, _params(req))

    def on_patch(self, req: falcon.Request, resp: falcon.Response, calendar: str, event: str) -> None:
        """events.patch"""
        with self._call(req, "Events.Patch", scopes.WRITE_EVENTS, calendar) as account:
            answer = self._calendars.patch(account, calendar, event, _body(req), _if_match(req))
            self._record(req, account, calendar, answer)
        _answer(req, resp, answer, _params(req))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, calendar: str, event: str) -> None:
        """events.delete"""
        with self._call(req, "Events.Delete", scopes.WRITE_EVENTS, calendar) as account:
            left = self._calendars.delete(account, calendar, event, _if_match(req))
            self._record(req, account, calendar, left)
        resp.status = 204


def _params(req: falcon.Request) -> Params:
    return parse_qs(req.query_string, keep_blank_values=True)


def _if_match(req: falcon.Request) -> str:
    return req.get_header("If-Match") or ""


def _body(req: falcon.Request) -> dict[str, Any]:
    raw = arrival_of(req).body
    try:
        body = json.loads(raw or b"{}")
        # A lone half of a surrogate pair is legal in JSON's escapes and in nothing else.
        json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "parseError", "Parse Error") from error
    if not isinstance(body, dict):
        raise ApiError(400, "parseError", "Parse Error")
    return body


def _answer(req: falcon.Request, resp: falcon.Response, resource: Resource, params: Params) -> None:
    etag = resource["etag"]
    resp.set_header("ETag", etag)
    condition = req.get_header("If-None-Match") if req.method == "GET" else None
    if condition and etag_matches(condition, etag):
        resp.status = 304
        return
    resp.content_type = "application/json; charset=UTF-8"
    resp.data = json.dumps(select(resource, _selection(params)), ensure_ascii=False).encode()


def _selection(params: Params) -> Selection:
    return parse_fields(params["fields"][-1]) if "fields" in params else {}
