"""The web app's settings: an exact public origin, one source of keys, and no secret in what is complained about."""

import pytest

from outbox.crypto import generate_key
from outbox.settings import EXAMPLES, ConfigurationError
from web.settings import WebSettings, load_web_settings

COMPLETE = {
    "DATABASE_URL": "postgresql://calendar_sync@db.example.com/platform",
    "GOOGLE_OAUTH_CLIENT_ID": "1234-abc.apps.googleusercontent.com",
    "GOOGLE_OAUTH_CLIENT_SECRET": "the-secret",
    "GOOGLE_OAUTH_REDIRECT_URI": "https://app.example.com/callback",
    "TOKEN_ENCRYPTION_KEYS": f"k1:{generate_key()}",
    "PUBLIC_BASE_URL": "https://app.example.com",
    "AUTH_JWT_KEY": "k" * 32,
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What is required and nothing else."""
    for name in WebSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def complaint() -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_web_settings()
    assert caught.value.__suppress_context__
    return str(caught.value)


def test_what_is_not_set_has_the_default_of_the_contract() -> None:
    settings = load_web_settings()
    assert settings.auth_cookie_name == "session"
    assert settings.auth_jwt_audience is None
    assert settings.auth_jwt_issuer is None
    assert settings.auth_jwks_url is None
    assert settings.job_url_template is None
    assert settings.google_calendar_url == "https://www.googleapis.com/calendar/v3"


@pytest.mark.parametrize("name", [name for name in COMPLETE if name != "AUTH_JWT_KEY"])
def test_a_missing_variable_is_named_with_an_example(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.delenv(name)
    assert complaint() == f"{name}: is not set; for example {name}={EXAMPLES[name]}"


@pytest.mark.parametrize(
    ("given", "origin", "secure"),
    [
        ("https://app.example.com", "https://app.example.com", True),
        ("https://app.example.com/", "https://app.example.com", True),
        ("HTTPS://App.Example.COM:443/", "https://app.example.com", True),
        ("https://app.example.com:8443", "https://app.example.com:8443", True),
        ("http://localhost:8080", "http://localhost:8080", False),
        ("http://127.0.0.1:80", "http://127.0.0.1", False),
        ("http://[::1]:8080", "http://[::1]:8080", False),
    ],
)
def test_the_public_address_is_kept_as_browsers_spell_an_origin(
    environment: pytest.MonkeyPatch, given: str, origin: str, secure: bool
) -> None:
    environment.setenv("PUBLIC_BASE_URL", given)
    environment.setenv("GOOGLE_OAUTH_REDIRECT_URI", f"{origin}/callback")
    settings = load_web_settings()
    assert (settings.public_base_url, settings.secure) == (origin, secure)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("PUBLIC_BASE_URL", "app.example.com", "must start with https://"),
        ("PUBLIC_BASE_URL", "http://app.example.com", "http:// only on this machine"),
        ("PUBLIC_BASE_URL", "https://app.example.com/calendar", "without a path"),
        ("PUBLIC_BASE_URL", "https://app.example.com?x=1", "without a path"),
        ("PUBLIC_BASE_URL", "https://me@app.example.com", "scheme and host alone"),
        ("PUBLIC_BASE_URL", "https://app.example.com:port", ""),
        ("PUBLIC_BASE_URL", "https://app.example.com:0x1", ""),
        ("AUTH_JWT_KEY", "short", "at least 32 bytes"),
        ("AUTH_JWT_KEY", "", "at least 32 bytes"),
        ("AUTH_COOKIE_NAME", "a b", "pattern"),
        ("AUTH_COOKIE_NAME", "session\n", "pattern"),
        ("AUTH_JWT_AUDIENCE", "", "at least 1 character"),
        ("AUTH_JWT_ISSUER", "", "at least 1 character"),
        ("JOB_URL_TEMPLATE", "https://app.example.com/jobs", "contains {job_id}"),
    ],
)
def test_a_malformed_variable_is_named_with_what_is_wrong_and_an_example(
    environment: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    environment.setenv(name, value)
    line = complaint()
    assert line.startswith(f"{name}: ")
    assert reason in line
    assert line.partition(f"; for example {name}=")[2] not in {"", "None", "PydanticUndefined"}
    assert "\n" not in line


@pytest.mark.parametrize("redirect", ["https://other.example.com/callback", "http://localhost/callback"])
def test_google_sends_users_back_to_where_they_set_out(environment: pytest.MonkeyPatch, redirect: str) -> None:
    environment.setenv("GOOGLE_OAUTH_REDIRECT_URI", redirect)
    assert complaint().startswith("PUBLIC_BASE_URL: must be where GOOGLE_OAUTH_REDIRECT_URI leads")


def test_a_key_that_is_too_short_is_not_shown(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AUTH_JWT_KEY", "hunter2hunter2")
    assert "hunter2" not in complaint()


def test_without_a_source_of_keys_nothing_starts(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("AUTH_JWT_KEY")
    line = complaint()
    assert line.startswith("AUTH_JWKS_URL: exactly one of AUTH_JWT_KEY and AUTH_JWKS_URL has to be set")
    assert EXAMPLES["AUTH_JWKS_URL"] in line


def test_two_sources_of_keys_are_one_too_many(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AUTH_JWKS_URL", "https://app.example.com/jwks.json")
    assert complaint().startswith("AUTH_JWKS_URL: exactly one of")


@pytest.mark.parametrize("url", ["http://keys.example.com/jwks", "keys", "file:///etc/passwd", ""])
def test_keys_come_from_a_guarded_place_alone(environment: pytest.MonkeyPatch, url: str) -> None:
    environment.delenv("AUTH_JWT_KEY")
    environment.setenv("AUTH_JWKS_URL", url)
    assert complaint().startswith("AUTH_JWKS_URL: must start with https://")


def test_a_key_set_alone_is_enough(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("AUTH_JWT_KEY")
    environment.setenv("AUTH_JWKS_URL", "https://app.example.com/jwks.json")
    settings = load_web_settings()
    assert (settings.auth_jwt_key, settings.auth_jwks_url) == (None, "https://app.example.com/jwks.json")


def test_secrets_are_not_part_of_a_repr() -> None:
    assert COMPLETE["AUTH_JWT_KEY"] not in repr(load_web_settings())
