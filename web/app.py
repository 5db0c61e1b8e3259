"""The Falcon application, put together. gunicorn's target is `web.app:application`."""

from functools import cache
from typing import TYPE_CHECKING

import falcon

import web.api.resources
import web.feed.resource
import web.page.resources
from web.health import add_health
from web.metrics import add_metrics
from web.middleware import Authentication, Bodies, RequestLog, SecurityHeaders
from web.problem import add_error_handlers
from web.services import Services, open_services
from web.settings import WebSettings, load_web_settings


class App(falcon.App[falcon.Request, falcon.Response]):
    """The application and what it works with; close it to give that back."""

    def __init__(self, services: Services) -> None:
        settings = services.settings
        super().__init__(
            middleware=[
                RequestLog(),
                SecurityHeaders(secure=settings.secure),
                Authentication(
                    services.identity,
                    cookie_name=settings.auth_cookie_name,
                    public_base_url=settings.public_base_url,
                ),
                Bodies(),
            ]
        )
        self.services = services
        add_error_handlers(self)
        add_health(self, services.pool)
        add_metrics(self, services.pool)
        web.api.resources.add_routes(self, services)
        web.feed.resource.add_routes(self, services)
        web.page.resources.add_routes(self, services)

    def close(self) -> None:
        """Close what the services hold: database connections, connections to Google."""
        self.services.close()


def create_app(settings: WebSettings | None = None) -> App:
    """The application; with settings from the environment unless they are given.

    Raises:
        outbox.settings.ConfigurationError: a setting is missing or malformed.
    """
    return App(open_services(settings or load_web_settings()))


@cache
def _application() -> App:
    return create_app()


if TYPE_CHECKING:
    application: App


def __getattr__(name: str) -> App:
    """`application` comes into being when it is asked for: an import alone needs no settings."""
    if name == "application":
        return _application()
    raise AttributeError(name)
