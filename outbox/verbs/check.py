"""`check`: what is wrong with an installation and how to mend it. Findings, and those about the settings alone.

It changes nothing: what it asks of the database is read, and of Google nothing that concerns a user.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

from outbox.settings import Settings, examine

CALLBACK_PATH = "/api/v1/integrations/google-calendar/callback"
"""Where the web app is sent the users whom Google sends back."""


class Outcome(Enum):
    """How one look ended."""

    OK = "ok"
    WARNING = "warning"
    """It works, and will give trouble one day."""
    FAILED = "failed"
    UNCHECKED = "unchecked"
    """It could not be looked at, and says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is, and, where somebody has to do something, what."""

    topic: str
    outcome: Outcome
    text: str
    way_out: str | None = None


def ok(topic: str, text: str) -> Finding:
    """As it should be."""
    return Finding(topic, Outcome.OK, text)


def warning(topic: str, text: str, way_out: str) -> Finding:
    """To be mended some time."""
    return Finding(topic, Outcome.WARNING, text, way_out)


def failed(topic: str, text: str, way_out: str) -> Finding:
    """To be mended now."""
    return Finding(topic, Outcome.FAILED, text, way_out)


def unchecked(topic: str, text: str, way_out: str | None = None) -> Finding:
    """Nobody knows."""
    return Finding(topic, Outcome.UNCHECKED, text, way_out)


def check_settings() -> tuple[Settings | None, list[Finding]]:
    """The daemon's settings, and a finding for each that is wrong."""
    settings, wrong = examine(Settings)
    if settings is None:
        where = "set it in the environment, or as a file of that name in $CREDENTIALS_DIRECTORY"
        return None, [failed("settings", line, where) for line in wrong]
    return settings, [ok("settings", "all that the daemon needs are there and well-formed")]


def check_redirect(redirect_uri: str, public_base_url: str | None) -> Iterator[Finding]:
    """Whether Google can send users back to the web app. Pure.

    Args:
        public_base_url: the web app's setting, where it is known.
    """
    parts = urlsplit(redirect_uri)
    if parts.path != CALLBACK_PATH or parts.query or parts.fragment:
        yield failed(
            "redirect URI",
            f"nobody answers at {redirect_uri}",
            f"let GOOGLE_OAUTH_REDIRECT_URI end with {CALLBACK_PATH}",
        )
    else:
        # That it is https, but for this machine, is checked with the settings.
        only_then = "that Google's console lists exactly this one is seen only when somebody connects"
        yield ok("redirect URI", f"{redirect_uri}; {only_then}")
    if public_base_url is None:
        yield unchecked(
            "public address", "PUBLIC_BASE_URL is not set here; the web app compares the two when it starts"
        )
    elif urlsplit(public_base_url)[:2] != parts[:2]:
        yield failed(
            "public address",
            f"the redirect URI leads elsewhere than to {public_base_url}, and a browser shows its cookie nowhere else",
            "let GOOGLE_OAUTH_REDIRECT_URI begin with PUBLIC_BASE_URL",
        )
    else:
        yield ok("public address", f"{public_base_url}, as in the redirect URI")


def worst(findings: Iterable[Finding]) -> Outcome:
    """FAILED if anything is, then WARNING, then UNCHECKED, else OK."""
    outcomes = {finding.outcome for finding in findings}
    order = (Outcome.FAILED, Outcome.WARNING, Outcome.UNCHECKED)
    return next((outcome for outcome in order if outcome in outcomes), Outcome.OK)
