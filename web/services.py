"""What the web app works with, put together once per process."""

import threading
from dataclasses import dataclass

from psycopg_pool import ConnectionPool

from outbox.access import Access
from outbox.acting import introduce
from outbox.crypto import TokenCipher
from outbox.database import Connection, connection_string
from outbox.google.calendar_list import CalendarList
from outbox.google.oauth import GoogleOAuth
from outbox.grants import Grants
from outbox.installation import Installation, InstallationKey
from outbox.tally import Tally
from web.capacity import POOL_SIZE, FeedPlaces, GooglePlaces
from web.consent import Consent
from web.feed.feeds import Feeds
from web.identity import Identity
from web.limits import RateLimits
from web.operations import Operations
from web.redemption import Redemption
from web.settings import WebSettings

APPLICATION_NAME = "calendar-sync web"
"""What the database shows of our sessions."""

POOL_SECONDS = 5.0
"""How long a request waits for one of them, before it says that the database cannot be reached."""

TOKEN_REQUEST_SECONDS = 6.0
"""For one request to Google's token endpoint: a person is waiting, and each may take three."""

USER_AGENT = "google-calendar-sync/0.1"


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that resources need. Threads share it."""

    settings: WebSettings
    pool: ConnectionPool[Connection]
    consent: Consent
    operations: Operations
    feeds: Feeds
    identity: Identity
    limits: RateLimits
    oauth: GoogleOAuth
    calendar_list: CalendarList
    stop: threading.Event

    def close(self) -> None:
        """End the waits between tries, and give all connections back."""
        self.stop.set()
        self.identity.close()
        self.calendar_list.close()
        self.oauth.close()
        self.pool.close()


def open_services(settings: WebSettings) -> Services:
    """Put the parts together. Nothing is asked of the database or of Google before a request needs it.

    In a server that forks, call it after the fork: the pool has threads.
    """
    stop = threading.Event()
    pool = open_web_pool(settings.database_url)
    cipher = TokenCipher.from_keys(settings.token_encryption_keys.get_secret_value())
    oauth = GoogleOAuth(
        settings.google_oauth_client_id,
        settings.google_oauth_client_secret.get_secret_value(),
        settings.google_oauth_redirect_uri,
        authorize_url=settings.google_authorize_url,
        token_url=settings.google_token_url,
        revoke_url=settings.google_revoke_url,
        stop=stop,
        request_timeout=TOKEN_REQUEST_SECONDS,
    )
    tally = Tally(pool)
    calendar_list = CalendarList(settings.google_calendar_url, stop=stop, user_agent=USER_AGENT, meter=tally)
    grants = Grants(pool, cipher, oauth)
    limits = RateLimits(pool)
    feeds = Feeds(
        pool,
        limits=limits,
        places=FeedPlaces(),
        public_base_url=settings.public_base_url,
        job_url_template=settings.job_url_template,
    )
    places = GooglePlaces()
    scopes = settings.google_oauth_scopes.split()
    return Services(
        settings=settings,
        pool=pool,
        consent=Consent(
            pool,
            cipher=cipher,
            oauth=oauth,
            redemption=Redemption(
                cipher=cipher, oauth=oauth, calendars=calendar_list, grants=grants, tally=tally, scopes=scopes
            ),
            limits=limits,
            places=places,
            scopes=scopes,
            stop=stop,
        ),
        operations=Operations(
            pool,
            access=Access(pool, cipher, oauth),
            grants=grants,
            calendars=calendar_list,
            feeds=feeds,
            limits=limits,
            places=places,
            tally=tally,
            installation=Installation(pool, InstallationKey.of(settings)),
        ),
        feeds=feeds,
        identity=Identity(settings),
        limits=limits,
        oauth=oauth,
        calendar_list=calendar_list,
        stop=stop,
    )


def open_web_pool(url: str) -> ConnectionPool[Connection]:
    """Without a first connection, unlike the daemon's: a page that says what is wrong beats no page."""
    return ConnectionPool(
        connection_string(url, application_name=APPLICATION_NAME),
        min_size=0,
        max_size=POOL_SIZE,
        open=True,
        timeout=POOL_SECONDS,
        max_idle=120,
        kwargs={"autocommit": True},
        check=introduce,
        name=APPLICATION_NAME,
    )
