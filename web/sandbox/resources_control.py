"""The sandbox's own controls under /sandbox: what a test, a demo or a person tells it, and what it tells back."""

import json
from typing import TypeVar

import falcon
from pydantic import ValidationError

from web.sandbox.arrival import arrival_of
from web.sandbox.errors import ApiError
from web.sandbox.grants import Bearer
from web.sandbox.scopes import PREFIX
from web.sandbox.specs import (
    AccountName,
    AccountSpec,
    ExpirySpec,
    FaultSpec,
    QuotaSpec,
    RoleSpec,
    Spec,
    TokenSpec,
    UserDelete,
    UserEdit,
)
from web.sandbox.state import Sandbox

S = TypeVar("S", bound=Spec)


class Control:
    """Every control, one responder each. Bodies are the JSON of `specs`; a wrong one is answered 400."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def on_post_accounts(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make an account with its calendars (AccountSpec); answers the ids of its calendars, the primary first."""
        spec = _read(req, AccountSpec)
        with self._sandbox.lock:
            resp.media = {"calendars": self._sandbox.add_account(spec)}

    def on_post_faults(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Add a fault rule (FaultSpec)."""
        spec = _read(req, FaultSpec)
        with self._sandbox.lock:
            self._sandbox.faults.add(spec)
        resp.media = {}

    def on_get_faults(self, req: falcon.Request, resp: falcon.Response) -> None:  # noqa: ARG002 - Falcon's form
        """The rules in force with how often each matched and hit."""
        with self._sandbox.lock:
            resp.media = {"faults": self._sandbox.faults.counts()}

    def on_delete_faults(self, req: falcon.Request, resp: falcon.Response) -> None:  # noqa: ARG002 - Falcon's form
        """Lift every fault."""
        with self._sandbox.lock:
            self._sandbox.faults.clear()
        resp.media = {}

    def on_put_quotas(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Set the quotas (QuotaSpec) and begin to count anew."""
        spec = _read(req, QuotaSpec)
        with self._sandbox.lock:
            self._sandbox.quotas.limit(spec)
        resp.media = {}

    def on_post_token(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Mint an access token (TokenSpec)."""
        spec = _read(req, TokenSpec)
        bearer = Bearer.USER if spec.own else Bearer.PROJECT
        with self._sandbox.lock:
            self._check_account(spec.account)
            token = self._sandbox.grants.mint(spec.account, spec.scopes or (f"{PREFIX}calendar",), bearer)
        resp.media = {"access_token": token}

    def on_post_expire(self, req: falcon.Request, resp: falcon.Response) -> None:
        """End access tokens (ExpirySpec); answers how many."""
        spec = _read(req, ExpirySpec)
        with self._sandbox.lock:
            resp.media = {"expired": self._sandbox.grants.expire(spec.account)}

    def on_post_revoke(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The user takes the project's access away (AccountName), as on Google's own permissions page."""
        spec = _read(req, AccountName)
        with self._sandbox.lock:
            self._check_account(spec.account)
            self._sandbox.grants.revoke_account(spec.account)
        resp.media = {}

    def on_post_role(self, req: falcon.Request, resp: falcon.Response, calendar: str) -> None:
        """Give an account another role on the calendar, or none (RoleSpec)."""
        spec = _read(req, RoleSpec)
        with self._sandbox.lock:
            self._check_account(spec.account)
            if spec.role is None:
                self._sandbox.calendars.unshare(calendar, spec.account)
            else:
                self._sandbox.calendars.share(calendar, spec.account, spec.role)
        resp.media = {}

    def on_post_delete_calendar(self, req: falcon.Request, resp: falcon.Response, calendar: str) -> None:  # noqa: ARG002
        """Remove the calendar with everything on it."""
        with self._sandbox.lock:
            self._sandbox.calendars.delete_calendar(calendar)
        resp.media = {}

    def on_post_user_edit(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The user edits an event in Google (UserEdit); answers the event."""
        spec = _read(req, UserEdit)
        with self._sandbox.lock:
            resource = self._sandbox.calendars.patch(spec.account, spec.calendar, spec.event, dict(spec.patch))
            self._sandbox.record_write(Bearer.USER.value, spec.account, spec.calendar, "PATCH", resource)
        resp.media = resource

    def on_post_user_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The user deletes an event in Google (UserDelete); answers what is left of it."""
        spec = _read(req, UserDelete)
        with self._sandbox.lock:
            resource = self._sandbox.calendars.delete(spec.account, spec.calendar, spec.event)
            self._sandbox.record_write(Bearer.USER.value, spec.account, spec.calendar, "DELETE", resource)
        resp.media = resource

    def on_get_journal(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The writes that took effect after number `since` (default 0)."""
        since = req.get_param_as_int("since", default=0)
        with self._sandbox.lock:
            found = self._sandbox.writes.since(since)
        resp.data = json.dumps(found).encode()

    def on_get_requests(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The requests received after number `since` (default 0)."""
        since = req.get_param_as_int("since", default=0)
        with self._sandbox.lock:
            found = self._sandbox.requests.since(since)
        resp.data = json.dumps(found).encode()

    def on_get_stats(self, req: falcon.Request, resp: falcon.Response) -> None:  # noqa: ARG002 - Falcon's form
        """Counts of the project's requests."""
        with self._sandbox.lock:
            resp.media = self._sandbox.stats.figures()

    def _check_account(self, account: str) -> None:
        if not self._sandbox.calendars.has_account(account):
            raise ApiError(404, "notFound", f"No such account: {account}")


def add_controls(app: "falcon.App[falcon.Request, falcon.Response]", sandbox: Sandbox) -> None:
    """Route the controls."""
    control = Control(sandbox)
    for path, suffix in {
        "accounts": "accounts",
        "faults": "faults",
        "quotas": "quotas",
        "token": "token",
        "tokens/expire": "expire",
        "revoke": "revoke",
        "calendars/{calendar}/role": "role",
        "calendars/{calendar}/delete": "delete_calendar",
        "user-edit": "user_edit",
        "user-delete": "user_delete",
        "journal": "journal",
        "requests": "requests",
        "stats": "stats",
    }.items():
        app.add_route(f"/sandbox/{path}", control, suffix=suffix)


def _read(req: falcon.Request, spec: type[S]) -> S:
    try:
        return spec.model_validate_json(arrival_of(req).body or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise ApiError(400, "invalid", f"{where}: {first['msg']}") from error
