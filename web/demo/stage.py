"""The real parts on one machine: database roles, the sandbox, daemons as processes of their own, connected users."""

import base64
import hashlib
import os
import secrets
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import parse_qs, urlsplit

import psycopg
import requests
from psycopg import sql

from outbox.connections import Account, User, choose_calendar, store_grant
from outbox.crypto import TokenCipher, generate_key
from outbox.database import open_pool
from outbox.google.oauth import GoogleOAuth, Tokens
from outbox.migrations import migrate
from outbox.runtime import oauth_client
from outbox.settings import Settings
from web.demo.tether import TetheredProcess
from web.sandbox.server import SandboxServer
from web.sandbox.specs import AccountSpec

ROOT = Path(__file__).resolve().parents[2]

STOP_GRACE_SECONDS = 40.0
"""What systemd gives the daemon too."""


@dataclass(frozen=True, slots=True)
class Person:
    """An office user with a Google account, who picks one of its calendars (None: the primary one)."""

    user: User
    account: AccountSpec
    calendar_id: str | None = None


class Stage:
    """A migrated database and a running sandbox, and what a daemon needs to know of both.

    Args:
        database_url: of a superuser; the daemons log in as a role that has `calendar_sync_daemon` and nothing else.
        settings: environment variables that differ from the defaults.
    """

    def __init__(self, database_url: str, sandbox: SandboxServer, settings: Mapping[str, str] | None = None) -> None:
        self.database_url = database_url
        self.sandbox = sandbox
        migrate(database_url)
        daemon_url = create_roles(database_url)
        self.environment = {
            "DATABASE_URL": daemon_url,
            "GOOGLE_OAUTH_CLIENT_ID": "sandbox-client",
            "GOOGLE_OAUTH_CLIENT_SECRET": "sandbox-secret",
            "GOOGLE_OAUTH_REDIRECT_URI": "http://127.0.0.1/callback",
            "GOOGLE_AUTHORIZE_URL": sandbox.authorize_url,
            "GOOGLE_TOKEN_URL": sandbox.token_url,
            "GOOGLE_REVOKE_URL": sandbox.revoke_url,
            "GOOGLE_CALENDAR_URL": sandbox.calendar_url,
            "TOKEN_ENCRYPTION_KEYS": f"demo:{generate_key()}",
            "JOB_URL_TEMPLATE": "https://app.example.com/jobs/{job_id}",
            "LOG_FORMAT": "json",
            **(settings or {}),
        }
        self.settings = Settings.model_validate({name.lower(): value for name, value in self.environment.items()})

    def start_daemon(self, log: int | IO[str] | None = None) -> TetheredProcess:
        """A daemon as a process of its own, which ends with this one; it logs to `log`, by default nowhere."""
        inherited = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
        return TetheredProcess(
            [sys.executable, str(ROOT / "daemon.py"), "run"],
            grace=STOP_GRACE_SECONDS,
            env={**inherited, **self.environment},
            stdout=log,
            stderr=log,
        )

    def connect(self, people: list[Person]) -> dict[User, str]:
        """Walk every person through consent and the choice of a calendar; returns the calendars' ids."""
        stop = threading.Event()
        oauth = oauth_client(self.settings, stop)
        cipher = TokenCipher.from_keys(self.settings.token_encryption_keys.get_secret_value())
        chosen = {}
        with open_pool(self.database_url, size=1) as pool:
            for person in people:
                tokens = self._consent(oauth, person.account.email)
                store_grant(pool, cipher, person.user, self._account(tokens), tokens)
                calendar_id = person.calendar_id or person.account.email
                choose_calendar(pool, person.user, calendar_id=calendar_id, calendar_name=calendar_id)
                chosen[person.user] = calendar_id
        oauth.close()
        return chosen

    def _consent(self, oauth: GoogleOAuth, email: str) -> Tokens:
        """What the user's browser does on Google's pages, and then our exchange of the code."""
        verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        scopes = self.settings.google_oauth_scopes.split()
        page = oauth.authorize_url(state, challenge, scopes, login_hint=email)
        requests.get(page, timeout=30).raise_for_status()
        consent = requests.post(
            f"{self.sandbox.authorize_url}/consent",
            data={"request": urlsplit(page).query, "account": email, "scope": scopes, "decision": "allow"},
            allow_redirects=False,
            timeout=30,
        )
        answer = parse_qs(urlsplit(consent.headers["Location"]).query)
        if answer["state"] != [state]:
            raise RuntimeError("the sandbox answered somebody else's request")
        tokens = oauth.exchange(answer["code"][0], verifier)
        if not isinstance(tokens, Tokens):
            raise RuntimeError(f"the sandbox gave no tokens: {tokens}")
        return tokens

    def _account(self, tokens: Tokens) -> Account:
        primary = requests.get(
            f"{self.sandbox.calendar_url}/users/me/calendarList/primary",
            headers={"Authorization": f"Bearer {tokens.access_token}"},
            timeout=30,
        )
        primary.raise_for_status()
        account_id = primary.json()["id"]
        return Account(account_id, account_id)


def create_roles(database_url: str) -> str:
    """Make the roles of `sql/roles.sql` and a login that may only be a daemon; returns the daemon's URL."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(7164779126)")
        connection.execute(sql.SQL((ROOT / "sql" / "roles.sql").read_text(encoding="utf-8")))
        login = sql.Identifier("calendar_sync_demo_daemon")
        known = connection.execute("SELECT FROM pg_roles WHERE rolname = 'calendar_sync_demo_daemon'").fetchone()
        if known is None:
            # Roles belong to the whole server, and another of its databases may be set up at this very moment.
            with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE calendar_sync_daemon").format(login))
    parts = urlsplit(database_url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"calendar_sync_demo_daemon@{host}").geturl()
