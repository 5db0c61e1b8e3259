"""Connecting as a user does: off to Google, consent there, back with the code, and a calendar chosen.

The web app is reached through a function, so that the same walk serves a running app and one in this process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self
from urllib.parse import parse_qs, parse_qsl, urlsplit

import requests

from web.api.paths import API
from web.demo.people import Person

TIMEOUT_SECONDS = 60.0
"""For any one answer."""


class ConsentError(RuntimeError):
    """The walk ended before the connection stood; the message says where and how."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the app answered: `location` is empty without a redirect, `cookies` are those it set, by name."""

    status: int
    body: bytes
    location: str
    cookies: Mapping[str, str] = field(repr=False)


class Http(Protocol):
    """The web app over HTTP. `target` is a path with its query; redirects are not followed, no cookie is kept."""

    def __call__(self, method: str, target: str, *, headers: Mapping[str, str], body: bytes = b"") -> Reply: ...


class NetworkHttp:
    """An app that listens at `origin` (scheme, host and port). A context manager."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._session = _direct_session()

    def __call__(self, method: str, target: str, *, headers: Mapping[str, str], body: bytes = b"") -> Reply:
        """Ask, and wait for the answer."""
        answer = self._session.request(
            method,
            f"{self._origin}{target}",
            headers=dict(headers),
            data=body or None,
            allow_redirects=False,
            timeout=TIMEOUT_SECONDS,
        )
        cookies = {cookie.name: cookie.value or "" for cookie in answer.cookies}
        self._session.cookies.clear()
        return Reply(answer.status_code, answer.content, answer.headers.get("Location", ""), cookies)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._session.close()


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in user at a machine of their own: the session's token, and the address that a proxy would report."""

    http: Http
    token: str = field(repr=False)
    address: str = "10.0.0.1"

    def call(self, method: str, target: str, body: object = None, *, cookies: Mapping[str, str] | None = None) -> Reply:
        """Ask the app as this user; a body is sent as JSON."""
        headers = {"Authorization": f"Bearer {self.token}", "X-Forwarded-For": self.address}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        content = b"" if body is None else json.dumps(body).encode()
        return self.http(method, target, headers=headers, body=content)

    def ask(self, method: str, target: str, body: object = None) -> dict[str, Any]:
        """Ask and read the JSON answer; raises ConsentError unless it is a success."""
        return _read(self.call(method, target, body), f"{method} {target}")


def give_consent(caller: Caller, email: str) -> str:
    """Go to Google, allow everything that is asked with that account, and come back.

    Returns the address to which the app then sends the browser; its query tells how it went.
    Raises ConsentError if the walk ends on the way.
    """
    start = caller.call("POST", f"{API}/connect", {})
    authorize_url = str(_read(start, "connect")["authorize_url"])
    back = urlsplit(_allow(authorize_url, email))
    finish = caller.call("GET", f"{back.path}?{back.query}", cookies=start.cookies)
    if finish.status not in (302, 303):
        raise ConsentError(f"the callback answered {finish.status}: {_said(finish)}")
    return finish.location


def connect_person(caller: Caller, person: Person) -> str:
    """Walk a person through consent and the choice of a calendar; returns the calendar's id.

    Raises ConsentError if it does not end in a connection.
    """
    location = give_consent(caller, person.account.email)
    if ("connected", "1") not in parse_qsl(urlsplit(location).query):
        raise ConsentError(f"{person.user.user_id} came back unconnected: {location}")
    calendar_id = person.calendar_id or person.account.email
    caller.ask("PATCH", API, {"calendar_id": calendar_id})
    return calendar_id


def _allow(authorize_url: str, email: str) -> str:
    """What the user's browser does on Google's pages; returns the address that Google sends it to."""
    asked = urlsplit(authorize_url)
    ticked = parse_qs(asked.query)["scope"][0].split()
    with _direct_session() as session:
        answer = session.post(
            asked._replace(path=f"{asked.path}/consent", query="").geturl(),
            data={"request": asked.query, "account": email, "scope": ticked, "decision": "allow"},
            allow_redirects=False,
            timeout=TIMEOUT_SECONDS,
        )
    if answer.status_code != 302:
        raise ConsentError(f"the consent page answered {answer.status_code} for {email}")
    return answer.headers["Location"]


def _direct_session() -> requests.Session:
    """A session that no proxy of the environment stands in the way of: everything here is on this machine."""
    session = requests.Session()
    session.trust_env = False
    return session


def _read(reply: Reply, what: str) -> dict[str, Any]:
    if not 200 <= reply.status < 300:
        raise ConsentError(f"{what} answered {reply.status}: {_said(reply)}")
    content: dict[str, Any] = json.loads(reply.body)
    return content


def _said(reply: Reply) -> str:
    """The words of an answer that was not expected: a problem's title, for it holds no secret."""
    try:
        return str(json.loads(reply.body)["title"])
    except (ValueError, KeyError, TypeError):
        return "no problem in JSON"
