"""The web app as the demo runs it: the real one, with a sign-in page where the host application would be.

Under gunicorn: `gunicorn web.demo.app:application`.
"""

from typing import TYPE_CHECKING

from outbox.acting import acting_for
from outbox.user import User
from web.app import create_app as create_web_app
from web.demo.roster import Roster, read_roster
from web.demo.session import session_token
from web.demo.signin import Cookie, add_routes
from web.settings import WebSettings, load_web_settings

if TYPE_CHECKING:
    from web.app import App


def create_app(settings: WebSettings | None = None, roster: Roster | None = None) -> "App":
    """The app over these settings and sample users, by default those of the environment.

    Raises:
        ValueError: the settings hold no shared key, so that nobody could be signed in.
    """
    settings = settings or load_web_settings()
    if settings.auth_jwt_key is None:
        raise ValueError("signing in needs AUTH_JWT_KEY")
    key = settings.auth_jwt_key.get_secret_value()
    app = create_web_app(settings)
    cookie = Cookie(settings.auth_cookie_name, settings.public_base_url, lambda user: session_token(key, user))

    def state_of(user: User) -> str:
        with acting_for(user):
            return app.services.operations.connection(user).state

    add_routes(app, roster or read_roster(), cookie, state_of)
    return app


def __getattr__(name: str) -> object:
    if name == "application":
        # Only a server asks for it; whoever imports the module for its functions starts nothing.
        return create_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
