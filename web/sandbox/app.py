"""The WSGI application: Google's endpoints, the controls and the page over one sandbox."""

import time
from collections.abc import Callable

import falcon

from web.sandbox import resources_calendar as calendar
from web.sandbox.arrival import BATCH_PATH
from web.sandbox.authorization import AuthorizePageError
from web.sandbox.batch import Batch
from web.sandbox.errors import ApiError, OAuthError
from web.sandbox.middleware import FaultInjector, Recorder, answer_refusal
from web.sandbox.resources_control import add_controls
from web.sandbox.resources_oauth import AUTHORIZE_PATH, Authorize, Revoke, Token, answer_authorize_error
from web.sandbox.resources_page import Page, Static
from web.sandbox.state import Sandbox

App = falcon.App[falcon.Request, falcon.Response]


def create_app(sandbox: Sandbox, wait: Callable[[float], None] = time.sleep) -> App:
    """The application over that state; `wait` passes the seconds of a delay."""
    app: App = falcon.App(middleware=[Recorder(sandbox), FaultInjector(sandbox, wait)])
    app.add_error_handler(ApiError, _answer_refusal)
    app.add_error_handler(OAuthError, _answer_refusal)
    app.add_error_handler(AuthorizePageError, answer_authorize_error)

    events = "/calendar/v3/calendars/{calendar}/events"
    app.add_route("/calendar/v3/users/me/calendarList", calendar.CalendarList(sandbox))
    app.add_route("/calendar/v3/users/me/calendarList/{calendar}", calendar.CalendarListEntry(sandbox))
    app.add_route("/calendar/v3/calendars/{calendar}", calendar.CalendarItem(sandbox))
    app.add_route(events, calendar.EventList(sandbox))
    app.add_route(events + "/{event}", calendar.EventItem(sandbox))
    app.add_route(BATCH_PATH, Batch(app))

    authorize = Authorize(sandbox)
    app.add_route(AUTHORIZE_PATH, authorize)
    app.add_route(AUTHORIZE_PATH + "/account", authorize, suffix="account")
    app.add_route(AUTHORIZE_PATH + "/consent", authorize, suffix="consent")
    app.add_route("/token", Token(sandbox))
    app.add_route("/revoke", Revoke(sandbox))

    add_controls(app, sandbox)
    page = Page(sandbox)
    app.add_route("/", page)
    app.add_route("/agenda.json", page, suffix="fragment")
    app.add_route("/static/{name}", Static())
    return app


def _answer_refusal(
    req: falcon.Request,  # noqa: ARG001 - Falcon's form
    resp: falcon.Response,
    error: ApiError | OAuthError,
    params: object,  # noqa: ARG001 - Falcon's form
) -> None:
    answer_refusal(resp, error)
