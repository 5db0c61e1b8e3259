"""The settings page over HTTP: one GET that shows everything, and a small form for everything a user can do."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar, Literal
from urllib.parse import urlencode

import falcon

from outbox.user import User
from web.api.browser import keep_browser, read_browser
from web.api.paths import PAGE
from web.feed.feeds import FeedChangedError, NewFeed
from web.operations import PickerCalendar
from web.page.asks import asks_of
from web.page.forms import InvalidFormError, choose, read_form
from web.page.notices import NOTICES, choose_notice
from web.page.rendering import answer_html
from web.page.static_files import Static
from web.page.view import Facts, PageView, view_page, wants_calendars
from web.problem import Problem
from web.services import Services

YES_NO: Mapping[str, bool] = {"yes": True, "no": False}
"""What a form says for true and false."""

JOB_FILTERS: Mapping[str, Literal["all", "assigned"]] = {"all": "all", "assigned": "assigned"}
"""What the preferences offer."""


def add_routes(app: falcon.App[falcon.Request, falcon.Response], services: Services) -> None:
    """Add the page, its forms and its files."""
    app.add_route(PAGE, SettingsPage(services))
    app.add_route(f"{PAGE}/connect", ConnectForm(services))
    app.add_route(f"{PAGE}/calendar", CalendarForm(services))
    app.add_route(f"{PAGE}/preferences", PreferencesForm(services))
    app.add_route(f"{PAGE}/disconnect", DisconnectForm(services))
    app.add_route(f"{PAGE}/test-push", TestPushForm(services))
    app.add_route(f"{PAGE}/resync", ResyncForm(services))
    app.add_route(f"{PAGE}/problems/{{problem_id}}/retry", RetryForm(services))
    app.add_route(f"{PAGE}/feed", FeedForm(services))
    app.add_route(f"{PAGE}/feed/filter", FeedFilterForm(services))
    app.add_route(f"{PAGE}/feed/revoke", FeedEndForm(services))
    app.add_route(f"{PAGE}/static/{{name}}", Static())


class HtmlResource:
    """A user's own page or form."""

    access: ClassVar[Literal["user", "open"]] = "user"
    html: ClassVar[bool] = True

    def __init__(self, services: Services) -> None:
        self._services = services
        self._operations = services.operations

    def view(self, req: falcon.Request, *, new_feed: NewFeed | None = None) -> PageView:
        """The page as it stands now, with the feed's address if it was just made."""
        user = user_of(req)
        connection = self._operations.connection(user)
        client_id = self._services.settings.google_oauth_client_id
        # Google is asked only for the picker: all else must be there at once, and while Google is not.
        picker = wants_calendars(connection.state, asked=_first(req, "change") == "calendar")
        notice = choose_notice(
            notice=_first(req, "notice"),
            error=_first(req, "error"),
            connected=_first(req, "connected") == "1",
            state=connection.state,
            client_id=client_id,
        )
        return view_page(
            Facts(
                connection=connection,
                now=datetime.now(UTC),
                client_id=client_id,
                calendars=self._calendars(user) if picker else None,
                problems=self._operations.problems(user) if connection.problems else (),
                test_push=self._operations.latest_test_push(user) if connection.state == "active" else None,
                unfinished=self._services.consent.unfinished(user),
                notice=notice,
                job_url_template=self._services.settings.job_url_template,
                scopes=self._services.settings.google_oauth_scopes.split(),
                colleague=self._operations.colleague_on_calendar(user)
                if connection.state != "not_connected"
                else False,
                feed=self._operations.feed(user) if new_feed is None else None,
                new_feed=new_feed,
            )
        )

    def _calendars(self, user: User) -> Sequence[PickerCalendar] | str:
        try:
            return self._operations.calendars(user)
        except Problem as problem:
            if problem.code == "database_unavailable":
                raise
            return " ".join(f"{sentence.rstrip('.')}." for sentence in (problem.title, problem.detail) if sentence)


class SettingsPage(HtmlResource):
    """GET PAGE."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The whole page as it stands now."""
        answer_html(resp, "page.html", page=self.view(req))

    on_head = on_get


class Form(HtmlResource):
    """A form: does what it is for, and sends the browser back to the page, which then says what came of it."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, **_parameters: str) -> None:  # noqa: ARG002
        """Somebody came to a form's address by hand, or signed in again on the way: show the page."""
        back_to_page(resp)

    on_head = on_get

    def on_post(self, req: falcon.Request, resp: falcon.Response, **parameters: str) -> None:
        """Do it; a refusal becomes a message on the page."""
        try:
            self.submit(req, resp, **parameters)
        except InvalidFormError:
            back_to_page(resp, "invalid_form")
        except FeedChangedError:
            back_to_page(resp, "feed_changed")
        except Problem as problem:
            if problem.code not in NOTICES:
                raise
            back_to_page(resp, problem.code)

    def submit(self, req: falcon.Request, resp: falcon.Response, **parameters: str) -> None:
        """What the form is for.

        Raises:
            InvalidFormError: the form does not say what it has to say.
            FeedChangedError: the feed is no longer as the form took it to be.
            Problem: it cannot be done.
        """
        raise NotImplementedError


class ConnectForm(Form):
    """POST PAGE/connect: set out for Google."""

    def submit(self, req: falcon.Request, resp: falcon.Response, **_parameters: str) -> None:
        """Start a consent attempt, and show a page that leads to Google. Field `other_account`, if there is one.

        It is a page and no redirect, because `form-action 'self'` would stop a form's redirect to another site.
        """
        fields = {"other_account": "no", **read_form(req)}
        settings = self._services.settings
        started = self._services.consent.start(
            user_of(req),
            return_to=None,
            browser=read_browser(req, settings.public_base_url),
            other_account=choose(fields, "other_account", YES_NO),
        )
        keep_browser(resp, settings.public_base_url, started.browser)
        asks = asks_of(settings.google_oauth_scopes.split())
        answer_html(resp, "to_google.html", authorize_url=started.authorize_url, asks=asks)


class CalendarForm(Form):
    """POST PAGE/calendar: choose the calendar."""

    def submit(self, req: falcon.Request, resp: falcon.Response, **_parameters: str) -> None:
        """Field `calendar_id`; whether it is one of the user's is for Google to say."""
        calendar_id = read_form(req).get("calendar_id")
        if not calendar_id:
            raise InvalidFormError
        self._operations.change(user_of(req), calendar_id=calendar_id)
        back_to_page(resp, "calendar_chosen")


class PreferencesForm(Form):
    """POST PAGE/preferences: which jobs, or pause and resume."""

    def submit(self, req: falcon.Request, resp: falcon.Response, **_parameters: str) -> None:
        """Field `job_filter`, or field `paused`."""
        fields = read_form(req)
        if "paused" in fields:
            paused = choose(fields, "paused", YES_NO)
            self._operations.change(user_of(req), paused=paused)
            return back_to_page(resp, "paused" if paused else "resumed")
        self._operations.change(user_of(req), job_filter=choose(fields, "job_filter", JOB_FILTERS))
        return back_to_page(resp, "preferences_saved")


class DisconnectForm(Form):
    """POST PAGE/disconnect: leave, with or without the events."""

    def submit(self, req: falcon.Request, resp: falcon.Response, **_parameters: str) -> None:
        """Field `remove_events`. The page itself says how it went, for as long as that matters."""
        user, remove_events = user_of(req), choose(read_form(req), "remove_events", YES_NO)
        # Asked before, because afterwards nothing says which calendar it was.
        colleague = self._operations.colleague_on_calendar(user)
        self._operations.disconnect(user, remove_events=remove_events)
        back_to_page(resp, "left_to_colleague" if colleague else None)


class TestPushForm(Form):
    """POST PAGE/test-push: send a test event through the real queue."""

    __test__ = False

    def submit(self, req: falcon.Request, resp: falcon.Response, **_parameters: str) -> None:
        """No fields. The page shows the steps."""
        self._operations.start_test_push(user_of(req))
        back_to_page(resp, anchor="#test-push")


class ResyncForm(Form):
    """POST PAGE/resync: push everything again."""

    def submit(self, req: falcon.Request, resp: falcon.Response, **_parameters: str) -> None:
        """No fields."""
        self._operations.resync(user_of(req))
        back_to_page(resp, "resync_started")


class RetryForm(Form):
    """POST PAGE/problems/{problem_id}/retry: try a job again."""

    def submit(self, req: falcon.Request, resp: falcon.Response, **parameters: str) -> None:
        """No fields."""
        self._operations.retry_problem(user_of(req), parameters["problem_id"])
        back_to_page(resp, "retrying")


class FeedForm(Form):
    """POST PAGE/feed: make the iCalendar feed, or another address for it."""

    def submit(self, req: falcon.Request, resp: falcon.Response, **_parameters: str) -> None:
        """Field `instead_of`, and `job_filter`, if there is one. Shows the page with the address on it, this once.

        No redirect, because nothing keeps the address that could show it to a later request. So a reload sends the form
        again: it names the address that it replaces, and does nothing once there is another.
        """
        fields = read_form(req)
        job_filter = choose(fields, "job_filter", JOB_FILTERS) if "job_filter" in fields else None
        instead_of = fields.get("instead_of", "")
        made = self._operations.renew_feed(user_of(req), job_filter=job_filter, instead_of=instead_of)
        answer_html(resp, "page.html", page=self.view(req, new_feed=made))


class FeedFilterForm(Form):
    """POST PAGE/feed/filter: which jobs the iCalendar feed shows, at the same address."""

    def submit(self, req: falcon.Request, resp: falcon.Response, **_parameters: str) -> None:
        """Field `job_filter`."""
        self._operations.set_feed_filter(user_of(req), choose(read_form(req), "job_filter", JOB_FILTERS))
        back_to_page(resp, "feed_saved")


class FeedEndForm(Form):
    """POST PAGE/feed/revoke: end the iCalendar feed."""

    def submit(self, req: falcon.Request, resp: falcon.Response, **_parameters: str) -> None:
        """No fields."""
        self._operations.revoke_feed(user_of(req))
        back_to_page(resp, "feed_revoked")


def user_of(req: falcon.Request) -> User:
    """The signed-in user. The middleware lets nobody else come as far as here."""
    user: User = req.context.user
    return user


def back_to_page(resp: falcon.Response, notice: str | None = None, anchor: str = "") -> None:
    """Send the browser back to the page, which shows that notice (a code of NOTICES) or that part of it."""
    query = "" if notice is None else f"?{urlencode({'notice': notice})}"
    resp.status = falcon.HTTP_303
    resp.set_header("Location", f"{PAGE}{query}{anchor}")


def _first(req: falcon.Request, name: str) -> str | None:
    values = req.get_param_as_list(name)
    return values[0] if values else None
