"""Settings come from the environment or credential files; what is wrong is one line that names the variable."""

from pathlib import Path

import pytest

from outbox.crypto import generate_key
from outbox.settings import EXAMPLES, ConfigurationError, Settings, load_database_url, load_settings

KEY = generate_key()

COMPLETE = {
    "DATABASE_URL": "postgresql://calendar_sync@db.example.com/platform",
    "GOOGLE_OAUTH_CLIENT_ID": "1234-abc.apps.googleusercontent.com",
    "GOOGLE_OAUTH_CLIENT_SECRET": "the-secret",
    "GOOGLE_OAUTH_REDIRECT_URI": "https://app.example.com/callback",
    "TOKEN_ENCRYPTION_KEYS": f"k1:{KEY}",
    "JOB_URL_TEMPLATE": "https://app.example.com/jobs/{job_id}",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What is required and nothing else."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def complaint() -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    # Neither the message nor what a traceback would show beside it may hold the value.
    assert caught.value.__suppress_context__
    return str(caught.value)


def test_what_is_not_set_has_the_default_of_the_contract() -> None:
    settings = load_settings()
    assert settings.push_debounce_seconds == 2
    assert settings.push_max_wait_seconds == 15
    assert settings.push_concurrency == 16
    assert settings.job_retention_days == 90
    assert settings.log_level == "info"
    assert settings.log_format is None
    assert settings.google_calendar_url == "https://www.googleapis.com/calendar/v3"
    assert settings.google_authorize_url == "https://accounts.google.com/o/oauth2/v2/auth"
    assert settings.google_token_url == "https://oauth2.googleapis.com/token"
    assert settings.google_revoke_url == "https://oauth2.googleapis.com/revoke"
    assert settings.google_oauth_scopes.split() == [
        "https://www.googleapis.com/auth/calendar.events",
        "https://www.googleapis.com/auth/calendar.readonly",
    ]


def test_what_is_set_is_taken(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PUSH_DEBOUNCE_SECONDS", "0.5")
    environment.setenv("PUSH_CONCURRENCY", "3")
    environment.setenv("LOG_FORMAT", "text")
    settings = load_settings()
    assert (settings.push_debounce_seconds, settings.push_concurrency, settings.log_format) == (0.5, 3, "text")


@pytest.mark.parametrize("name", list(COMPLETE))
def test_a_missing_variable_is_named_with_an_example(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.delenv(name)
    assert complaint() == f"{name}: is not set; for example {name}={EXAMPLES[name]}"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("DATABASE_URL", "mysql://db.example.com/x", "must start with postgresql://"),
        ("DATABASE_URL", "", "must start with postgresql://"),
        ("GOOGLE_OAUTH_CLIENT_ID", "", "at least 1 character"),
        ("GOOGLE_OAUTH_CLIENT_SECRET", "", "at least 1"),
        ("DATABASE_URL", "postgresql://u:50%zz@db/x", "cannot be read; percent-encode"),
        ("DATABASE_URL", "postgresql://u:p@ss@db/x", "cannot be read; percent-encode"),
        ("DATABASE_URL", "postgresql://u:p/ss@db/x", "cannot be read; percent-encode"),
        ("GOOGLE_OAUTH_REDIRECT_URI", "app.example.com/callback", "must start with https://"),
        ("GOOGLE_CALENDAR_URL", "ftp://www.example.com", "must start with https://"),
        ("GOOGLE_TOKEN_URL", "http://oauth2.example.com/token", "http:// only on this machine"),
        ("TOKEN_ENCRYPTION_KEYS", "k1", "entry 1 has no colon"),
        ("TOKEN_ENCRYPTION_KEYS", "k1:c2hvcnQ=", "entry 1 has a key of 5 bytes instead of 32"),
        ("JOB_URL_TEMPLATE", "https://app.example.com/jobs", "contains {job_id}"),
        ("JOB_URL_TEMPLATE", "javascript:alert({job_id})", "http(s) URL"),
        ("PUSH_DEBOUNCE_SECONDS", "soon", "valid number"),
        ("PUSH_DEBOUNCE_SECONDS", "-1", "greater than or equal to 0"),
        ("PUSH_DEBOUNCE_SECONDS", "nan", ""),
        ("PUSH_MAX_WAIT_SECONDS", "inf", ""),
        ("PUSH_CONCURRENCY", "0", "greater than or equal to 1"),
        ("PUSH_CONCURRENCY", "1.5", "valid integer"),
        ("JOB_RETENTION_DAYS", "0", "greater than or equal to 1"),
        ("GOOGLE_USER_QUOTA_PER_MINUTE", "59", "greater than or equal to 60"),
        ("GOOGLE_PROJECT_QUOTA_PER_MINUTE", "lots", "valid integer"),
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("LOG_FORMAT", "xml", "'json' or 'text'"),
    ],
)
def test_a_malformed_variable_is_named_with_what_is_wrong_and_an_example(
    environment: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    environment.setenv(name, value)
    line = complaint()
    assert line.startswith(f"{name}: ")
    assert reason in line
    assert f"; for example {name}=" in line
    assert "\n" not in line


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields])
def test_every_setting_that_can_be_malformed_has_an_example(environment: pytest.MonkeyPatch, name: str) -> None:
    if name == "GOOGLE_OAUTH_SCOPES":
        return  # any text may be a scope
    environment.setenv(name, "")
    assert complaint().partition(f"; for example {name}=")[2] not in {"", "None", "PydanticUndefined"}


def test_a_key_that_is_wrong_is_not_shown(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TOKEN_ENCRYPTION_KEYS", f"k1:{KEY[:-8]}")
    assert KEY[:8] not in complaint()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]"])
def test_this_machine_may_be_spoken_to_without_tls(environment: pytest.MonkeyPatch, host: str) -> None:
    environment.setenv("GOOGLE_CALENDAR_URL", f"http://{host}/calendar/v3")
    assert load_settings().google_calendar_url == f"http://{host}/calendar/v3"


def test_a_password_in_a_url_that_is_wrong_is_not_shown(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", "postgresql://sync:hunter2%@db.example.com/x")
    assert "hunter2" not in complaint()


def test_secrets_are_not_part_of_a_repr(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", "postgresql://sync:hunter2@db.example.com/x")
    shown = repr(load_settings())
    assert "hunter2" not in shown
    assert KEY not in shown
    assert "the-secret" not in shown


def test_a_credential_file_stands_for_the_variable(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in COMPLETE.items():
        environment.delenv(name)
        (tmp_path / name).write_text(f"{value}\n")
    environment.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    settings = load_settings()
    assert settings.database_url == COMPLETE["DATABASE_URL"]
    assert settings.google_oauth_client_secret.get_secret_value() == "the-secret"
    assert settings.token_encryption_keys.get_secret_value() == COMPLETE["TOKEN_ENCRYPTION_KEYS"]


def test_a_malformed_credential_file_is_named_like_the_variable(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.delenv("TOKEN_ENCRYPTION_KEYS")
    (tmp_path / "TOKEN_ENCRYPTION_KEYS").write_text("nonsense")
    environment.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert complaint().startswith("TOKEN_ENCRYPTION_KEYS: entry 1 has no colon")


def test_the_variable_wins_over_a_credential_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "GOOGLE_OAUTH_CLIENT_SECRET").write_text("from the file")
    environment.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert load_settings().google_oauth_client_secret.get_secret_value() == "the-secret"


def test_the_databases_url_alone_is_enough_for_verbs_that_need_no_more(environment: pytest.MonkeyPatch) -> None:
    for name in COMPLETE.keys() - {"DATABASE_URL"}:
        environment.delenv(name)
    assert load_database_url() == COMPLETE["DATABASE_URL"]


def test_no_setting_shows_a_password_when_printed(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", "postgresql://u:S3cret@db/x")
    environment.setenv("GOOGLE_OAUTH_CLIENT_SECRET", "S3cret")
    assert "S3cret" not in repr(load_settings())


def test_a_malformed_url_is_not_repeated_with_its_password(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", "postgresql://u:S3cret%zz@db/x")
    assert "S3cret" not in complaint()
