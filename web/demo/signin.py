"""The demo's stand-in for the host application: a page on which one signs in as a sample user, without a password."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import ClassVar, Literal

import falcon
from jinja2 import Environment, PackageLoader, StrictUndefined

from outbox.user import User
from web.api.paths import PAGE
from web.demo.roster import Roster
from web.demo.session import SESSION_SECONDS
from web.page.forms import InvalidFormError, choose, read_form
from web.page.static_files import address
from web.problem import Problem
from web.same_origin import is_same_origin

App = falcon.App[falcon.Request, falcon.Response]

STYLESHEET = "/demo/signin.css"


@dataclass(frozen=True, slots=True)
class Standing:
    """How far somebody is, in words; `free`: there is nothing yet, so that the way can be walked from its beginning."""

    words: str
    free: bool


_STANDINGS = {
    "not_connected": Standing("Not connected yet: connect me yourself", free=True),
    "choose_calendar": Standing("Has yet to choose a calendar", free=False),
    "active": Standing("Connected", free=False),
    "paused": Standing("Connected, and paused", free=False),
    "disconnecting": Standing("Disconnecting", free=False),
}


class Cookie:
    """The session's cookie, as the host application would set it."""

    def __init__(self, name: str, public_base_url: str, token: Callable[[User], str]) -> None:
        self.public_base_url = public_base_url
        self._name = name
        self._token = token

    def keep(self, resp: falcon.Response, user: User) -> None:
        """Sign the browser in."""
        resp.set_cookie(
            self._name,
            self._token(user),
            max_age=SESSION_SECONDS,
            path="/",
            secure=self.public_base_url.startswith("https://"),
            http_only=True,
            same_site="Lax",
        )

    def clear(self, resp: falcon.Response) -> None:
        """Sign it out."""
        resp.unset_cookie(self._name, path="/", same_site="Lax")


class SignIn:
    """GET / shows the sample users; POST /sign-in makes the browser's session one of theirs, /sign-out ends it."""

    access: ClassVar[Literal["user", "open"]] = "open"
    html: ClassVar[bool] = True

    def __init__(self, roster: Roster, cookie: Cookie, state_of: Callable[[User], str]) -> None:
        self._roster = roster
        self._users = {user.key: user for user in roster.users}
        self._cookie = cookie
        self._state_of = state_of

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The page."""
        user: User | None = req.context.user
        resp.content_type = "text/html; charset=utf-8"
        resp.text = (
            _environment()
            .get_template("signin.html")
            .render(
                tenants=self._roster.by_tenant(),
                standing={user.key: _standing(self._state_of(user.user)) for user in self._roster.users},
                signed_in=next((known for known in self._users.values() if known.user == user), None),
                calendars_url=self._roster.calendars_url,
                settings_page=PAGE,
                stylesheets=[address("page.css"), STYLESHEET],
            )
        )

    def on_post_in(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Sign in as the user whom the form names, and go on to the settings page."""
        self._refuse_strangers(req)
        try:
            chosen = choose(read_form(req), "user", self._users)
        except InvalidFormError:
            raise Problem(
                400, "unknown_sample_user", "There is no such sample user", "Go back and choose one."
            ) from None
        self._cookie.keep(resp, chosen.user)
        _go_on_to(resp, PAGE)

    def on_post_out(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Sign out, and back to the choice."""
        self._refuse_strangers(req)
        self._cookie.clear(resp)
        _go_on_to(resp, "/")

    def _refuse_strangers(self, req: falcon.Request) -> None:
        """Another site's form could otherwise sign somebody in here as a user of its choice."""
        ours = is_same_origin(
            self._cookie.public_base_url,
            origin=req.get_header("Origin"),
            fetch_site=req.get_header("Sec-Fetch-Site"),
            referer=req.get_header("Referer"),
        )
        if not ours:
            raise Problem(403, "cross_origin", "This form belongs to another site", "Sign in on this site's own page.")


class Stylesheet:
    """GET /demo/signin.css: what the page adds to the settings page's style."""

    access: ClassVar[Literal["user", "open"]] = "open"

    def __init__(self) -> None:
        self._content = (files("web.demo") / "static" / "signin.css").read_bytes()

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:  # noqa: ARG002 - Falcon's form
        """The file."""
        resp.content_type, resp.data = "text/css; charset=utf-8", self._content


def add_routes(app: App, roster: Roster, cookie: Cookie, state_of: Callable[[User], str]) -> None:
    """Route the sign-in page and its forms. `state_of` tells the state of a user's connection."""
    page = SignIn(roster, cookie, state_of)
    app.add_route("/", page)
    app.add_route("/sign-in", page, suffix="in")
    app.add_route("/sign-out", page, suffix="out")
    app.add_route(STYLESHEET, Stylesheet())


def _go_on_to(resp: falcon.Response, path: str) -> None:
    """Have the browser go on with a GET of that path."""
    resp.status = falcon.HTTP_303
    resp.set_header("Location", path)


def _standing(state: str) -> Standing:
    return _STANDINGS.get(state, Standing("Connected, and needs attention", free=False))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("web.demo"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
