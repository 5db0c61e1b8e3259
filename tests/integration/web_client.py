"""The real web app in this process over a World's database and sandbox, for tests that act as users do."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit
from uuid import uuid4

import jwt
from falcon.testing import Result, TestClient

from outbox.acting import acting_for
from outbox.user import User
from tests.integration.conftest import ORIGIN as WORLDS_ORIGIN
from tests.integration.conftest import World
from web.app import App, create_app
from web.demo.consent import Caller, Reply, connect_person, give_consent
from web.demo.people import Person
from web.sandbox.specs import AccountSpec, CalendarSpec
from web.settings import WebSettings

ORIGIN = WORLDS_ORIGIN
"""Where users reach the app."""

JWT_KEY = "a key that the host app and these tests share"

T = TypeVar("T")


class Site:
    """The app, and its users at their browsers.

    Args:
        settings: environment variables that differ from these tests' defaults.
    """

    def __init__(self, world: World, settings: Mapping[str, str]) -> None:
        self.world = world
        environment = {
            **world.stage.web_environment,
            "AUTH_JWT_KEY": JWT_KEY,
            **settings,
        }
        self.app: App = create_app(
            WebSettings.model_validate({name.lower(): value for name, value in environment.items()})
        )
        self._client = TestClient(self.app)

    def user(self, name: str, *, tenant: str | None = None) -> User:
        """A user of the world's tenant, or of another one."""
        return User(tenant or self.world.tenant, name)

    def call(
        self,
        method: str,
        target: str,
        user: User | None = None,
        body: object = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Result:
        """Ask as that user, or with that token; a body is sent as JSON, or as it is where it is bytes."""
        token = token if user is None else token_of(user)
        given = {} if token is None else {"Authorization": f"Bearer {token}"}
        if body is not None:
            given["Content-Type"] = "application/json"
        path, _, query = target.partition("?")
        return self._client.simulate_request(
            method,
            path,
            query_string=query,
            headers=given | dict(headers or {}),
            body=body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None,
        )

    def connect(self, user: User, *, email: str | None = None, calendars: tuple[CalendarSpec, ...] = ()) -> str:
        """Have the user consent with a new Google account and choose its first calendar; returns that calendar's id."""
        account = AccountSpec(email=email or f"{user.user_id}-{uuid4().hex[:8]}@example.com", calendars=calendars)
        self.world.google.add_account(account)
        return connect_person(self.caller(user), Person(user, account, calendars[0].id if calendars else None))

    def consent(self, user: User, email: str) -> str:
        """Have the user consent with an account that is there; returns where the browser is sent in the end."""
        return give_consent(self.caller(user), email)

    def caller(self, user: User) -> Caller:
        """The user's browser, at an address of its own."""
        return Caller(self._ask, token_of(user), f"2001:db8:{uuid4().hex[:4]}::1")

    def _ask(self, method: str, target: str, *, headers: Mapping[str, str], body: bytes = b"") -> Reply:
        parts = urlsplit(target)
        answer = self._client.simulate_request(
            method, parts.path, query_string=parts.query, headers=dict(headers), body=body
        )
        cookies = {name: cookie.value for name, cookie in answer.cookies.items()}
        return Reply(answer.status_code, answer.content, answer.headers.get("Location", ""), cookies)


class Acting:
    """A part of the app, called without a request: the database is used for the user whom a call names, as there."""

    def __init__(self, part: object) -> None:
        object.__setattr__(self, "_part", part)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._part, name, value)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._part, name)

        def call(*arguments: Any, **named: Any) -> Any:
            users = [value for value in (*arguments, *named.values()) if isinstance(value, User)]
            with acting_for(users[0]) if users else nullcontext():
                return method(*arguments, **named)

        return call if callable(method) else method


def acting(part: T) -> T:
    """The same part, as its type says; see `Acting`."""
    return cast(T, Acting(part))


def token_of(user: User, **claims: Any) -> str:
    """The host app's token for that user, good for an hour unless the claims say otherwise."""
    ours = {"sub": user.user_id, "tenant_id": user.tenant_id, "exp": int(time.time()) + 3600}
    return jwt.encode(ours | claims, JWT_KEY, algorithm="HS256")


@contextmanager
def open_site(world: World, **settings: str) -> Iterator[Site]:
    """The app of this world, closed at the end."""
    site = Site(world, settings)
    try:
        yield site
    finally:
        site.app.close()
