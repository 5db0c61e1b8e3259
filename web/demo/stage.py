"""The real parts on one machine: database roles, the sandbox, daemons and the web app as processes of their own."""

import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from outbox.crypto import generate_key
from outbox.installation import InstallationKey, adopt
from outbox.migrations import migrate
from outbox.settings import Settings
from outbox.user import User
from web.api.paths import API
from web.demo.consent import Caller, Http, connect_person
from web.demo.people import Person
from web.demo.roster import Roster, write_roster
from web.demo.session import session_token
from web.demo.tether import TetheredProcess
from web.sandbox.server import SandboxServer
from web.settings import WebSettings

ROOT = Path(__file__).resolve().parents[2]

STOP_GRACE_SECONDS = 40.0
"""What systemd gives the daemon too."""

WEB_STOP_GRACE_SECONDS = 10.0
"""Nobody waits for an answer any more when the demo ends."""

DAEMON_LOGIN, WEB_LOGIN = "calendar_sync_demo_daemon", "calendar_sync_demo_web"
"""Logins of this machine's servers, each with one of the roles of `sql/roles.sql`."""

FOREIGN_TO_THE_WEB_APP = frozenset({"CREDENTIALS_DIRECTORY", "GUNICORN_CMD_ARGS", "NOTIFY_SOCKET", "WEB_CONCURRENCY"})
"""Environment variables meant for whoever started us, which would change what the web app does."""


def bring_up_to_date(database_url: str) -> None:
    """The newest schema, the roles and the logins."""
    migrate(database_url)
    create_roles(database_url)


def set_up(database_url: str, settings: Settings) -> None:
    """All of it, for the installation that has these settings."""
    bring_up_to_date(database_url)
    adopt_stage(database_url, settings)


def adopt_stage(database_url: str, settings: Settings) -> None:
    """Have the database push for the installation that has these settings: it may be a copy, made from a template."""
    adopt(database_url, InstallationKey.of(settings))


class Stage:
    """A migrated database and a running sandbox, and what a daemon and the web app need to know of both.

    Args:
        database_url: of a superuser; the daemons log in as a role that has `calendar_sync_daemon` and nothing else, the
            web app as one that has `calendar_sync_web` and nothing else.
        settings: the daemon's environment variables that differ from the defaults.
        public_base_url: where users reach the web app.
        prepare: what is done to the database first.
    """

    def __init__(
        self,
        database_url: str,
        sandbox: SandboxServer,
        settings: Mapping[str, str] | None = None,
        *,
        public_base_url: str = "http://127.0.0.1",
        prepare: Callable[[str, Settings], object] = set_up,
    ) -> None:
        self.database_url = database_url
        self.sandbox = sandbox
        daemon_url = login_url(database_url, DAEMON_LOGIN)
        common = {
            "GOOGLE_OAUTH_CLIENT_ID": "sandbox-client",
            "GOOGLE_OAUTH_CLIENT_SECRET": "sandbox-secret",
            "GOOGLE_OAUTH_REDIRECT_URI": f"{public_base_url}{API}/callback",
            "GOOGLE_AUTHORIZE_URL": sandbox.authorize_url,
            "GOOGLE_TOKEN_URL": sandbox.token_url,
            "GOOGLE_REVOKE_URL": sandbox.revoke_url,
            "GOOGLE_CALENDAR_URL": sandbox.calendar_url,
            "TOKEN_ENCRYPTION_KEYS": f"demo:{generate_key()}",
            "JOB_URL_TEMPLATE": "https://app.example.com/jobs/{job_id}",
            "LOG_FORMAT": "json",
        }
        # Several daemons run on this machine, and nobody watches them.
        self.environment = {**common, "DATABASE_URL": daemon_url, "METRICS_PORT": "0", **(settings or {})}
        self.settings = Settings.model_validate(_lower(self.environment))
        prepare(database_url, self.settings)
        self._jwt_key = secrets.token_urlsafe(48)
        self.web_environment = {
            **common,
            "DATABASE_URL": login_url(database_url, WEB_LOGIN),
            "PUBLIC_BASE_URL": public_base_url,
            "AUTH_JWT_KEY": self._jwt_key,
        }
        self.web_settings = WebSettings.model_validate(_lower(self.web_environment))

    def start_daemon(
        self, log: int | IO[str] | None = None, environment: Mapping[str, str] | None = None
    ) -> TetheredProcess:
        """A daemon as a process of its own, which ends with this one; it logs to `log`, by default nowhere.

        `environment`: this daemon's variables that differ from the others', which its supervisor does not get.
        """
        differences = [f"{name}={value}" for name, value in (environment or {}).items()]
        inherited = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
        return TetheredProcess(
            [*(["env", *differences] if differences else []), sys.executable, str(ROOT / "daemon.py"), "run"],
            grace=STOP_GRACE_SECONDS,
            env={**inherited, **self.environment},
            stdout=log,
            stderr=log,
        )

    def start_web(self, listener: socket.socket, roster: Roster, log: int | IO[str] | None = None) -> TetheredProcess:
        """The web app with the sign-in page as a process of its own, which ends with this one.

        It takes over `listener`, a bound socket whose address is that of `public_base_url`. Whoever connects before the
        app is ready waits for it.
        """
        ours = WebSettings.model_fields.keys()
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name.lower() not in ours and name not in FOREIGN_TO_THE_WEB_APP
        }
        listener.listen()
        process = TetheredProcess(
            [
                *(sys.executable, "-m", "gunicorn", "--config", "python:web.gunicorn_conf"),
                *("--bind", f"fd://{listener.fileno()}", "--workers", "1", "--threads", "8"),
                "web.demo.app:application",
            ],
            stop_signal=signal.SIGINT,
            grace=WEB_STOP_GRACE_SECONDS,
            env={**inherited, **self.web_environment, **write_roster(roster)},
            cwd=ROOT,
            stdout=log,
            stderr=log,
            command_fds=[listener.fileno()],
        )
        listener.close()
        return process

    def caller(self, http: Http, user: User) -> Caller:
        """This user, signed in, at a machine of their own: the web app counts some requests by address."""
        first, second, third = sha256(f"{user.tenant_id}/{user.user_id}".encode()).digest()[:3]
        return Caller(http, session_token(self._jwt_key, user), f"10.{first}.{second}.{third}")

    def connect(self, http: Http, people: Iterable[Person]) -> dict[User, str]:
        """Walk every person through consent and the choice of a calendar; returns the calendars' ids."""
        return {person.user: connect_person(self.caller(http, person.user), person) for person in people}


ROLES = ROOT / "sql" / "roles.sql"


def create_roles(database_url: str, script: Path = ROLES) -> str:
    """Make the roles of that script, and logins that may only be a daemon or a web app; returns the daemon's URL."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(7164779126)")
        connection.execute(sql.SQL(script.read_text(encoding="utf-8")))
        for login, role in ((DAEMON_LOGIN, "calendar_sync_daemon"), (WEB_LOGIN, "calendar_sync_web")):
            if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [login]).fetchone() is not None:
                continue
            # Roles belong to the whole server, and another of its databases may be set up at this very moment.
            with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN IN ROLE {}").format(sql.Identifier(login), sql.Identifier(role))
                )
    return login_url(database_url, DAEMON_LOGIN)


def login_url(database_url: str, login: str) -> str:
    """The same database for another login."""
    parts = urlsplit(database_url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{login}@{host}").geturl()


def _lower(environment: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in environment.items()}
