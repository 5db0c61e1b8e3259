"""A request as it arrived: read once, told apart, and fit to be recorded without its secrets."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import falcon

from web.sandbox.faults import Carriage, Target
from web.sandbox.grants import AccessToken, Bearer
from web.sandbox.specs import FaultSpec
from web.sandbox.state import Sandbox

CALENDAR_PREFIX = "/calendar/v3/"
"""The path under which the Calendar API answers."""

BATCH_PATH = "/batch/calendar/v3"
"""Where batches of calls to the Calendar API are posted."""

ARRIVAL_KEY = "sandbox.arrival"
"""The key of the environment under which a request is found once it was read."""

PLACE_KEY = "sandbox.place"
"""The key under which the environment of a call in a batch names the batch's number and the call's place in it."""

_GOOGLE_PREFIXES = (CALENDAR_PREFIX, BATCH_PATH, "/o/oauth2/", "/token", "/revoke")
_CALENDAR = re.compile(r"^/calendar/v3/(?:calendars|users/me/calendarList)/([^/]+)")
_OPEN_FORM_FIELDS = frozenset({"account", "client_id", "decision", "grant_type", "redirect_uri", "scope"})
_SECRET_PARAMS = frozenset({"access_token", "client_secret", "code", "oauth_token", "refresh_token", "token"})
HIDDEN = "(hidden)"
"""Stands where a secret was."""


@dataclass(slots=True)
class Arrival:
    """One request on its way through the sandbox; `fault`, `cut` and `lost` are filled in as it goes.

    `batch` numbers a batch and the calls in it alike; `part` is the place in it of one that is a call.
    """

    time: float
    target: Target
    raw_path: str
    body: bytes
    is_form: bool
    token: AccessToken | None
    fault: FaultSpec | None = None
    cut: bool = False
    lost: bool = False
    batch: int | None = None
    part: int | None = None
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def for_google(self) -> bool:
        """Whether it is a request to the stand-in, not to its controls or its page."""
        return self.target.path.startswith(_GOOGLE_PREFIXES)

    @property
    def for_calendar(self) -> bool:
        """Whether it is a request to the Calendar API, be it a batch."""
        return self.target.path.startswith((CALENDAR_PREFIX, BATCH_PATH))

    @property
    def actor(self) -> Bearer:
        """Who sent it: the project, unless the token is a user's own."""
        return self.token.bearer if self.token else Bearer.PROJECT

    def recorded_path(self) -> str:
        """The path and query as sent, secrets hidden."""
        parts = urlsplit(self.raw_path)
        params = parse_qsl(parts.query, keep_blank_values=True)
        if not any(name in _SECRET_PARAMS for name, _ in params):
            return self.raw_path
        shown = [(name, HIDDEN if name in _SECRET_PARAMS else value) for name, value in params]
        return urlunsplit(parts._replace(query=urlencode(shown)))

    def recorded_body(self) -> Any:
        """The JSON body; of a form, the fields that are no secrets; None where it is neither."""
        if self.is_form:
            return {name: value if name in _OPEN_FORM_FIELDS else HIDDEN for name, value in self.form.items()}
        try:
            return json.loads(self.body) if self.body else None
        except (ValueError, RecursionError):
            return None

    def recorded_headers(self, req: falcon.Request) -> dict[str, str]:
        """The headers by lower-case name; the account stands for the credentials."""
        headers = {name.lower(): value for name, value in req.headers.items() if name.lower() != "cookie"}
        if "authorization" in headers:
            headers["authorization"] = self.target.account or HIDDEN
        return headers


def receive(req: falcon.Request, sandbox: Sandbox) -> Arrival:
    """Read the request, once, and keep it for those who come later."""
    body = req.bounded_stream.read()
    is_form = (req.content_type or "").startswith("application/x-www-form-urlencoded")
    form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)) if is_form else {}
    raw_path = req.env.get("RAW_URI", req.path).partition("?")[0]
    in_path = _CALENDAR.match(req.path)
    calendar = in_path[1] if in_path else ""
    batch, part = req.env.get(PLACE_KEY, (None, None))
    with sandbox.lock:
        token = sandbox.grants.access(bearer_token(req))
        account = token.account if token else sandbox.grants.account_of(form)
    arrival = Arrival(
        time=sandbox.clock().timestamp(),
        target=Target(
            req.method, req.path, account, account if calendar == "primary" else calendar, _carriage(req.path, part)
        ),
        raw_path=raw_path + (f"?{req.query_string}" if req.query_string else ""),
        body=body,
        is_form=is_form,
        token=token,
        form=form,
        batch=batch,
        part=part,
    )
    req.env[ARRIVAL_KEY] = arrival
    return arrival


def _carriage(path: str, part: int | None) -> Carriage:
    if part is not None:
        return Carriage.PART
    return Carriage.BATCH if path == BATCH_PATH else Carriage.PLAIN


def arrival_of(req: falcon.Request) -> Arrival:
    """The request as `receive` read it."""
    return cast("Arrival", req.env[ARRIVAL_KEY])


def bearer_token(req: falcon.Request) -> str:
    """The access token of the Authorization header, empty where there is none."""
    kind, _, token = (req.auth or "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def basic_credentials(req: falcon.Request) -> tuple[str, str] | None:
    """The client's id and secret where they were sent by HTTP Basic."""
    kind, _, encoded = (req.auth or "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return name, secret
