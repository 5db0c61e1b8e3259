"""Configuration: environment variables, or files of the same names in `$CREDENTIALS_DIRECTORY`."""

import os
import re
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from outbox.crypto import TokenCipher

S = TypeVar("S", bound=BaseSettings)


class ConfigurationError(Exception):
    """A setting is missing or malformed; the message is one line that names it, what is wrong, and an example."""


EXAMPLES = {
    "DATABASE_URL": "postgresql://calendar_sync@db.example.com/platform",
    "GOOGLE_OAUTH_CLIENT_ID": "1234-abc.apps.googleusercontent.com",
    "GOOGLE_OAUTH_CLIENT_SECRET": "the client's secret, from Google's console",
    "GOOGLE_OAUTH_REDIRECT_URI": "https://app.example.com/api/v1/integrations/google-calendar/callback",
    "TOKEN_ENCRYPTION_KEYS": "2026-11:$(openssl rand -base64 32)",
    "JOB_URL_TEMPLATE": "https://app.example.com/jobs/{job_id}",
    "LOG_FORMAT": "json",
    "PUBLIC_BASE_URL": "https://app.example.com",
    "AUTH_JWT_KEY": "$(openssl rand -base64 48)",
    "AUTH_JWKS_URL": "https://app.example.com/.well-known/jwks.json",
    "AUTH_JWT_AUDIENCE": "calendar-sync",
    "AUTH_JWT_ISSUER": "https://app.example.com",
}
"""For settings without a default; of the others the default is the example."""


def _postgres_url(value: str) -> str:
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("must start with postgresql://")
    try:
        read = conninfo_to_dict(value)
        # The rest of a password, after an @ or a / in it. Who cannot be reached there is told to everybody.
        misread = "@" in str(read.get("host", "")) or re.search(r"[^0-9,]", str(read.get("port", ""))) is not None
    except psycopg.ProgrammingError:
        # Its own words would repeat the URL, password and all.
        misread = True
    if misread:
        raise ValueError("cannot be read; percent-encode special characters, in the password too (% is %25, @ is %40)")
    return value


def is_guarded_url(value: str) -> bool:
    """Whether what goes there cannot be read or changed on the way: https, or http within this machine."""
    parts = urlsplit(value)
    loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
    return parts.hostname is not None and (parts.scheme == "https" or (parts.scheme == "http" and loopback))


def _google_url(value: str) -> str:
    if not is_guarded_url(value):
        raise ValueError("must start with https:// (http:// only on this machine), because tokens go there")
    return value


def _job_url(value: str) -> str:
    if "{job_id}" not in value or not value.startswith(("http://", "https://")):
        raise ValueError("must be an http(s) URL that contains {job_id}")
    return value


def _keys(value: SecretStr) -> SecretStr:
    TokenCipher.from_keys(value.get_secret_value())
    return value


GoogleUrl = Annotated[str, AfterValidator(_google_url)]

DatabaseUrl = Annotated[str, Field(repr=False), AfterValidator(_postgres_url)]

JobUrlTemplate = Annotated[str, AfterValidator(_job_url)]


class CommonSettings(BaseSettings):
    """What the daemon and the web app both need; names and defaults are those of the contract."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    database_url: DatabaseUrl
    google_oauth_client_id: str = Field(min_length=1)
    google_oauth_client_secret: SecretStr = Field(min_length=1)
    google_oauth_redirect_uri: GoogleUrl
    google_oauth_scopes: str = (
        "https://www.googleapis.com/auth/calendar.events https://www.googleapis.com/auth/calendar.readonly"
    )
    google_authorize_url: GoogleUrl = "https://accounts.google.com/o/oauth2/v2/auth"
    google_token_url: GoogleUrl = "https://oauth2.googleapis.com/token"  # noqa: S105 - a public address
    google_revoke_url: GoogleUrl = "https://oauth2.googleapis.com/revoke"
    google_calendar_url: GoogleUrl = "https://www.googleapis.com/calendar/v3"
    token_encryption_keys: Annotated[SecretStr, AfterValidator(_keys)]
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "text"] | None = None


class Settings(CommonSettings):
    """What the daemon runs with."""

    job_url_template: JobUrlTemplate
    push_debounce_seconds: float = Field(default=2, ge=0, le=3600)
    push_max_wait_seconds: float = Field(default=15, ge=0, le=3600)
    push_concurrency: int = Field(default=16, ge=1, le=256)
    google_user_quota_per_minute: int = Field(default=600, ge=60, le=1_000_000)
    google_project_quota_per_minute: int = Field(default=10_000, ge=60, le=1_000_000)
    job_retention_days: int = Field(default=90, ge=1, le=36500)
    metrics_port: int = Field(default=9464, ge=0, le=65535)


class InstallationSettings(BaseSettings):
    """What says which installation this is, and its database."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    database_url: DatabaseUrl
    google_oauth_client_id: str = Field(min_length=1)
    google_oauth_redirect_uri: GoogleUrl


class _DatabaseSettings(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    database_url: DatabaseUrl


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        ConfigurationError: a setting is missing or malformed.
    """
    return load(Settings)


def load_database_url() -> str:
    """Read the one setting that verbs need which talk to the database alone.

    Raises:
        ConfigurationError: it is missing or malformed.
    """
    return load(_DatabaseSettings).database_url


def load(kind: type[S]) -> S:
    """Read settings of that kind.

    Raises:
        ConfigurationError: one of them is missing or malformed.
    """
    settings, wrong = examine(kind)
    if settings is None:
        raise ConfigurationError(wrong[0]) from None
    return settings


def examine(kind: type[S]) -> tuple[S | None, list[str]]:
    """The settings, or None and a line for each that is missing or malformed."""
    try:
        return kind(_secrets_dir=os.environ.get("CREDENTIALS_DIRECTORY")), []
    except ValidationError as invalid:
        return None, [_told(problem, kind) for problem in invalid.errors()]


def _told(problem: ErrorDetails, kind: type[BaseSettings]) -> str:
    """One line."""
    name = str(problem["loc"][0]).upper()
    reason = "is not set" if problem["type"] == "missing" else problem["msg"].removeprefix("Value error, ")
    example = EXAMPLES.get(name) or kind.model_fields[name.lower()].default
    return f"{name}: {reason}; for example {name}={example}"
