"""`check` as a whole: every look in order, and what came of it for a person, a program and the exit code."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
from psycopg_pool import PoolTimeout
from rich.console import Console
from rich.text import Text

from outbox.crypto import TokenCipher
from outbox.database import open_pool
from outbox.installation import InstallationKey
from outbox.logs import configure_logs
from outbox.rotation import Keyring
from outbox.runtime import token_cipher
from outbox.settings import ConfigurationError, Settings, load_database_url
from outbox.verbs.check import Finding, Outcome, check_redirect, check_settings, failed, unchecked, worst
from outbox.verbs.check_database import check_database, check_keys
from outbox.verbs.check_google import check_google
from outbox.verbs.progress import counting

DONE, FAILED, BAD_CONFIGURATION, DATABASE_UNREACHABLE = 0, 1, 2, 3

STYLES = {Outcome.OK: "green", Outcome.WARNING: "yellow", Outcome.FAILED: "bold red", Outcome.UNCHECKED: "dim"}


def check(environment: Mapping[str, str] = os.environ) -> tuple[list[Finding], int]:
    """Look at everything that can be looked at; returns what was found, and the exit code."""
    configure_logs("error", None)
    settings, findings = check_settings()
    if settings is None:
        findings.append(unchecked("redirect URI", "the settings come first", None))
        findings.append(unchecked("Google", "the settings come first", None))
    else:
        findings.extend(check_redirect(settings.google_oauth_redirect_uri, environment.get("PUBLIC_BASE_URL")))
        findings.extend(check_google(settings))
    try:
        url = load_database_url()
    except ConfigurationError:
        return [*findings, unchecked("database", "DATABASE_URL comes first")], BAD_CONFIGURATION
    try:
        findings.extend(_database(url, settings))
        reached = True
    except (psycopg.OperationalError, PoolTimeout) as error:
        reached = False
        findings.append(
            failed(
                "database", f"it cannot be reached: {' '.join(str(error).split())}", "correct DATABASE_URL, or start it"
            )
        )
    if settings is None:
        return findings, BAD_CONFIGURATION
    if not reached:
        return findings, DATABASE_UNREACHABLE
    return findings, FAILED if worst(findings) is Outcome.FAILED else DONE


def print_findings(console: Console, findings: list[Finding]) -> None:
    """A line each, and one below it that says what to do."""
    for finding in findings:
        line = Text(f"{finding.outcome.value:<11}", style=STYLES[finding.outcome])
        line.append(f"{finding.topic}: {finding.text}", style="default")
        console.print(line, soft_wrap=True)
        if finding.way_out is not None:
            console.print(Text(f"{'':<11}→ {finding.way_out}"), soft_wrap=True)


def as_object(findings: list[Finding]) -> dict[str, Any]:
    """For JSON."""
    return {
        "outcome": worst(findings).value,
        "findings": [
            {
                "topic": finding.topic,
                "outcome": finding.outcome.value,
                "text": finding.text,
                "way_out": finding.way_out,
            }
            for finding in findings
        ],
    }


def _database(url: str, settings: Settings | None) -> Iterator[Finding]:
    key = None if settings is None else InstallationKey.of(settings)
    with open_pool(url, size=2, application_name="calendar-sync check") as pool:
        with pool.connection() as connection:
            yield from (found := list(check_database(connection, key)))
        if settings is None:
            yield unchecked("encryption keys", "the settings come first")
        elif not any(finding.topic == "schema" and finding.outcome is Outcome.FAILED for finding in found):
            cipher: TokenCipher = token_cipher(settings)
            with counting("decrypting", Keyring(pool, cipher).count_rows()) as progress:
                yield from check_keys(pool, cipher, progress)
