"""The JSON resources of the user's connection. Who the user is, the middleware has found out before."""

from typing import ClassVar, Literal

import falcon
from pydantic import BaseModel

from outbox.user import User
from web.api.bodies import (
    Calendar,
    Calendars,
    ChangeRequest,
    Connection,
    ConnectRequest,
    Departure,
    Disconnected,
    DisconnectRequest,
    Problem,
    Problems,
    Resynced,
    TestPushReport,
)
from web.api.browser import keep_browser, read_browser
from web.api.callback import Callback
from web.api.feed_bodies import Feed, FeedRequest, NewFeed
from web.api.openapi import Description
from web.api.paths import API, DESCRIPTION, FEED
from web.api.reading import read_body
from web.services import Services

App = falcon.App[falcon.Request, falcon.Response]


class Resource:
    """What every resource here has: it is a user's, and needs the services."""

    access: ClassVar[Literal["user", "open"]] = "user"

    def __init__(self, services: Services) -> None:
        self._services = services
        self._operations = services.operations


class ConnectionResource(Resource):
    """The connection itself."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The connection as it is."""
        _answer(resp, Connection.of(self._operations.connection(user_of(req))))

    on_head = on_get

    def on_patch(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Change the calendar, which jobs, or whether it is paused; what is not named stays."""
        change = read_body(req, ChangeRequest).model_dump(exclude_unset=True)
        _answer(resp, Connection.of(self._operations.change(user_of(req), **change)))


class Connect(Resource):
    """The way to Google's consent page."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Start a consent attempt of this user in this browser."""
        body = read_body(req, ConnectRequest)
        public_base_url = self._services.settings.public_base_url
        started = self._services.consent.start(
            user_of(req),
            return_to=body.return_to if "return_to" in body.model_fields_set else None,
            browser=read_browser(req, public_base_url),
            other_account=body.other_account,
        )
        keep_browser(resp, public_base_url, started.browser)
        _answer(resp, Departure(authorize_url=started.authorize_url))


class CalendarsResource(Resource):
    """The picker's calendars."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The account's writable calendars as Google lists them now."""
        calendars = self._operations.calendars(user_of(req))
        _answer(resp, Calendars(calendars=[Calendar.of(calendar) for calendar in calendars]))

    on_head = on_get


class Disconnect(Resource):
    """The end of the connection."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Disconnect, with or without the removal of our events."""
        user, body = user_of(req), read_body(req, DisconnectRequest)
        revocation = self._operations.disconnect(user, remove_events=body.remove_events)
        _answer(resp, Disconnected(state=self._operations.connection(user).state, revocation=revocation))


class TestPushes(Resource):
    """Test pushes through the real queue and daemon."""

    __test__ = False  # no test case, whatever its name begins with

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Start one; its steps are to be followed at the address given."""
        test = TestPushReport.of(self._operations.start_test_push(user_of(req)))
        resp.set_header("Location", f"{API}/test-push/{test.id}")
        _answer(resp, test, falcon.HTTP_202)


class TestPushItem(Resource):
    """One test push."""

    __test__ = False

    def on_get(self, req: falcon.Request, resp: falcon.Response, test_push_id: str) -> None:
        """Its steps as far as they have come."""
        _answer(resp, TestPushReport.of(self._operations.test_push(user_of(req), test_push_id)))

    on_head = on_get


class Resync(Resource):
    """Everything again."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Mark every upcoming job to be pushed again."""
        _answer(resp, Resynced(marked=self._operations.resync(user_of(req))), falcon.HTTP_202)


class ProblemsResource(Resource):
    """What could not be pushed."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The jobs and the reasons."""
        problems = self._operations.problems(user_of(req))
        _answer(resp, Problems(problems=[Problem.of(problem) for problem in problems]))

    on_head = on_get


class ProblemRetry(Resource):
    """Another try for one job."""

    def on_post(self, req: falcon.Request, resp: falcon.Response, problem_id: str) -> None:
        """Put the job back into the queue."""
        self._operations.retry_problem(user_of(req), problem_id)
        resp.status = falcon.HTTP_204


class FeedResource(Resource):
    """The user's iCalendar feed, without what is in it."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Whether there is one, and whether it is fetched; never its address."""
        _answer(resp, Feed.of(self._operations.feed(user_of(req))))

    on_head = on_get

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make it, or another address for it, and tell the address this once."""
        wanted = read_body(req, FeedRequest).model_dump(exclude_unset=True)
        _answer(resp, NewFeed.of(self._operations.renew_feed(user_of(req), **wanted)), falcon.HTTP_201)

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """End it."""
        self._operations.revoke_feed(user_of(req))
        resp.status = falcon.HTTP_204


def add_routes(app: App, services: Services) -> None:
    """Route the API, Google's redirect and the description."""
    app.add_route(API, ConnectionResource(services))
    app.add_route(f"{API}/connect", Connect(services))
    app.add_route(f"{API}/callback", Callback(services))
    app.add_route(f"{API}/calendars", CalendarsResource(services))
    app.add_route(f"{API}/disconnect", Disconnect(services))
    app.add_route(f"{API}/test-push", TestPushes(services))
    app.add_route(f"{API}/test-push/{{test_push_id}}", TestPushItem(services))
    app.add_route(f"{API}/resync", Resync(services))
    app.add_route(f"{API}/problems", ProblemsResource(services))
    app.add_route(f"{API}/problems/{{problem_id}}/retry", ProblemRetry(services))
    app.add_route(FEED, FeedResource(services))
    app.add_route(DESCRIPTION, Description(services.settings.auth_cookie_name))


def user_of(req: falcon.Request) -> User:
    """The caller. The middleware lets nobody else through to a resource whose access is "user"."""
    user = req.context.user
    if not isinstance(user, User):
        raise TypeError("a user's resource was reached without a user")
    return user


def _answer(resp: falcon.Response, body: BaseModel, status: str = falcon.HTTP_200) -> None:
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = body.model_dump_json().encode()
