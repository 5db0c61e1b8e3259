"""What the web app runs with: the daemon's settings that it shares, and who its users are."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from outbox.settings import CommonSettings, JobUrlTemplate, is_guarded_url, load
from web.same_origin import origin_of

JWT_KEY_BYTES = 32
"""A shared key of fewer bytes could be guessed: HS256 is as strong as its key (RFC 7518, 3.2)."""


def _origin(value: str) -> str:
    parts = urlsplit(value)
    if not is_guarded_url(value):
        raise ValueError("must start with https:// (http:// only on this machine), because sessions go there")
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("must be scheme and host alone, without a path")
    default = {"https": 443, "http": 80}[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = "" if parts.port in (None, default) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def _jwt_key(value: SecretStr | None) -> SecretStr | None:
    if value is not None and len(value.get_secret_value().encode()) < JWT_KEY_BYTES:
        raise ValueError(f"must have at least {JWT_KEY_BYTES} bytes, because whoever guesses it is everybody")
    return value


class WebSettings(CommonSettings):
    """The web app's settings; `public_base_url` is an origin, in the form in which browsers send it."""

    public_base_url: Annotated[str, AfterValidator(_origin)]
    auth_jwt_key: Annotated[SecretStr | None, AfterValidator(_jwt_key)] = None
    auth_jwks_url: str | None = Field(default=None, validate_default=True)
    auth_jwt_audience: str | None = Field(default=None, min_length=1)
    auth_jwt_issuer: str | None = Field(default=None, min_length=1)
    auth_cookie_name: str = Field(default="session", pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    job_url_template: JobUrlTemplate | None = None

    @field_validator("public_base_url")
    @classmethod
    def _where_google_sends_users_back(cls, value: str, others: ValidationInfo) -> str:
        redirect = others.data.get("google_oauth_redirect_uri")
        if redirect is not None and origin_of(redirect) != origin_of(value):
            raise ValueError(
                "must be where GOOGLE_OAUTH_REDIRECT_URI leads, because a browser shows its cookie nowhere else"
            )
        return value

    @field_validator("auth_jwks_url")
    @classmethod
    def _one_source_of_keys(cls, value: str | None, others: ValidationInfo) -> str | None:
        if value is not None and not is_guarded_url(value):
            raise ValueError("must start with https:// (http:// only on this machine), because it says whom to trust")
        if "auth_jwt_key" in others.data and (value is None) == (others.data["auth_jwt_key"] is None):
            raise ValueError("exactly one of AUTH_JWT_KEY and AUTH_JWKS_URL has to be set")
        return value

    @property
    def secure(self) -> bool:
        """Whether users reach the app over TLS."""
        return self.public_base_url.startswith("https://")


def load_web_settings() -> WebSettings:
    """Read the settings.

    Raises:
        ConfigurationError: a setting is missing or malformed.
    """
    return load(WebSettings)
