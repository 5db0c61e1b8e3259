"""The command line: verbs, signals, exit codes."""

import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
import psycopg
from psycopg_pool import PoolTimeout
from rich.console import Console

from outbox.connections import TENANT_BUSY, NotActiveError, resync
from outbox.database import describe, open_pool
from outbox.grants import AccountBusyError, Grants
from outbox.installation import InstallationKey, adopt, refusal_of
from outbox.logs import configure_logs
from outbox.migrations import MigrationError, Rights, migrate, migrations, renew_rights
from outbox.relay import replay_rejected
from outbox.rotation import KeyInUseError, Keyring
from outbox.runtime import oauth_client, open_daemon, token_cipher
from outbox.settings import (
    ConfigurationError,
    InstallationSettings,
    Settings,
    examine,
    load,
    load_database_url,
    load_settings,
)
from outbox.user import User
from outbox.verbs.check_report import as_object, check, print_findings
from outbox.verbs.forgetting import NotForgottenError, Removal, forget
from outbox.verbs.forgotten import Whose
from outbox.verbs.progress import counting, is_shown, watching
from outbox.verbs.removing import carry_through
from outbox.verbs.status import read_status
from outbox.verbs.status_report import print_status

DONE, FAILED, BAD_USAGE, DATABASE_UNREACHABLE = 0, 1, 2, 3
"""Exit codes of every verb."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Keeps dispatchers' Google calendars in step with the jobs committed in Postgres.

    Settings are environment variables, or files of the same names in $CREDENTIALS_DIRECTORY.
    """


@cli.command()
def run() -> None:
    """Serve until SIGTERM: relay outbox rows, push to Google, keep house.

    Example: calendar-sync run
    """
    settings = _settings()
    stop = _stop_on_signals()
    with open_daemon(settings, stop) as daemon:
        if not daemon.run():
            # Something hangs that nobody can interrupt; its lease ends by itself.
            os._exit(FAILED)


@cli.command()
def drain() -> None:
    """Push what is due now, waiting for quota where there is none, then exit.

    Example: calendar-sync drain
    """
    settings = _settings()
    stop = _stop_on_signals()
    with open_daemon(settings, stop) as daemon:
        if (refusal := daemon.installation.refusal()) is not None:
            _exit(FAILED, f"nothing was pushed: {refusal}")
        with watching("pushing", daemon.count_waiting):
            daemon.drain()
    if stop.is_set():
        _exit(FAILED, "stopped before all that is due was pushed; repeat it")


@cli.command("migrate")
@click.option("--print", "print_only", is_flag=True, help="Show the SQL and change nothing.")
@click.option("--adopt", "adopts", is_flag=True, help="Have a restored or copied database push from now on.")
def migrate_command(*, print_only: bool, adopts: bool) -> None:
    """Bring the database up to date; harmless to repeat, and from several places at once.

    Example: calendar-sync migrate
    """
    if print_only:
        for migration in migrations():
            click.echo(f"-- migration {migration.version}: {migration.name}\n{migration.sql}")
        return
    installation = load(InstallationSettings) if adopts else None
    url = load_database_url()
    applied = migrate(url)
    for migration in applied:
        click.echo(f"applied migration {migration.version}: {migration.name}")
    if not applied:
        click.echo("the database is up to date")
    if installation is not None:
        click.echo(adopt(url, InstallationKey.of(installation)))
    match renew_rights(url):
        case Rights.RENEWED:
            click.echo("renewed the rights of the services' roles")
        case Rights.REFUSED:
            _exit(FAILED, "the services' roles lack rights: run sql/roles.sql as an administrator, then start them")
        case Rights.NO_ROLES:
            pass


@cli.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check_command(*, as_json: bool) -> None:
    """Say what is wrong with settings, database and Google, and how to mend it; changes nothing.

    Example: calendar-sync check
    """
    findings, code = check()
    if as_json:
        click.echo(json.dumps(as_object(findings), ensure_ascii=False))
    else:
        print_findings(Console(), findings)
    sys.exit(code)


@cli.command("rotate-keys")
@click.option("--lost", multiple=True, metavar="KEY_ID", help="A key that nobody has any more; its users reconnect.")
def rotate_keys(*, lost: tuple[str, ...]) -> None:
    """Put everything that is stored encrypted under the first of TOKEN_ENCRYPTION_KEYS, beside running daemons.

    Harmless to stop and to repeat.

    Example: calendar-sync rotate-keys
    """
    settings = load_settings()
    cipher, stop = token_cipher(settings), _stop_on_signals()
    with open_pool(settings.database_url, size=2) as pool:
        keyring = Keyring(pool, cipher)
        with counting("going through tokens", 2 * keyring.count_rows()) as progress:  # and once more to be sure
            try:
                rotation = keyring.rotate(stop=stop, lost=lost, progress=progress)
            except KeyInUseError as reason:
                _exit(BAD_USAGE, str(reason))
    click.echo("\n".join(rotation.told(cipher.key_ids)))
    if (unfinished := rotation.unfinished(cipher.key_ids)) is not None:
        _exit(FAILED, unfinished)


@cli.command()
@click.argument("outbox_ids", nargs=-1, type=int)
def replay(outbox_ids: tuple[int, ...]) -> None:
    """Put rejected rows back into the outbox under their original ids: those named, or all.

    Example: calendar-sync replay 4711 4712
    """
    with open_pool(load_database_url(), size=1) as pool:
        replayed = replay_rejected(pool, list(outbox_ids) or None)
    click.echo(f"{replayed} rows put back; rejected again, they come back with a reason")


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(as_json: bool) -> None:
    """Say what needs somebody, what waits and for how long, and what could not be done.

    Example: calendar-sync status --json
    """
    installation, _ = examine(InstallationSettings)  # without them it is only looked where the database is
    key = None if installation is None else InstallationKey.of(installation)
    with open_pool(load_database_url(), size=1) as pool:
        with pool.connection() as connection:
            held_back = refusal_of(connection, key)
        figures = {"held_back": held_back, **read_status(pool)}
    if as_json:
        click.echo(json.dumps(figures))
    else:
        print_status(Console(), figures)


@cli.command("resync")
@click.option("--tenant", required=True, metavar="ID", help="The tenant's key.")
@click.option("--user", required=True, metavar="ID", help="The user's key.")
def resync_command(tenant: str, user: str) -> None:
    """Have every event of a user's calendar written again or looked at, by the daemon that runs.

    Example: calendar-sync resync --tenant acme --user u_ana
    """
    with open_pool(load_database_url(), size=1) as pool:
        try:
            marked = resync(pool, User(tenant, user))
        except NotActiveError as reason:
            _exit(FAILED, f"the calendar of user {user} of tenant {tenant} cannot be gone through now. {reason}")
    click.echo(f"{marked} jobs will be looked at")


@cli.command("forget")
@click.option("--tenant", required=True, metavar="ID", help="The tenant's key.")
@click.option("--user", metavar="ID", help="The user's key; without it the whole tenant is forgotten.")
@click.option("--remove-events", is_flag=True, help="Remove the events from the calendars first; else they stay.")
@click.option(
    "--wait",
    "seconds",
    type=click.FloatRange(min=0),
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    help="Give the removal so long; if more is left then, nothing is erased.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def forget_command(*, tenant: str, user: str | None, remove_events: bool, seconds: float, as_json: bool) -> None:
    """Revoke what a user, or a whole tenant, granted, erase all that is stored about them, and say what went.

    Harmless to repeat, beside a running daemon or without one.

    Example: calendar-sync forget --tenant acme --user u_ana --remove-events
    """
    settings = load_settings()
    # What is logged would tear the progress on a terminal apart.
    configure_logs("warning" if is_shown() else settings.log_level, settings.log_format)
    stop, whose = _stop_on_signals(), Whose(tenant, user)
    with open_pool(settings.database_url, size=4) as pool:
        with pool.connection() as connection:
            refusal = refusal_of(connection, InstallationKey.of(settings))
        if refusal is not None:  # to revoke a grant would end that of the original, too
            _exit(FAILED, f"{whose} was not forgotten: {refusal}")
        # A revocation that has begun is waited for, whatever comes: Google is asked once.
        grants = Grants(pool, token_cipher(settings), oauth_client(settings, threading.Event()))
        try:
            removal = Removal(pool, grants, whose) if remove_events else None
            if removal is not None and not carry_through(removal, settings, seconds, stop):
                os._exit(FAILED)  # as in `run`
            forgotten = forget(pool, grants, tenant, user, removal=removal, stop=stop)
        except (AccountBusyError, NotForgottenError) as reason:
            _exit(FAILED, f"{whose} was not forgotten: {reason}; repeat it")
    click.echo(json.dumps(asdict(forgotten)) if as_json else "\n".join(forgotten.told(whose)))


@cli.command()
@click.option("--data", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Job traffic to replay.")
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="Replay N times as fast as it happened.")
@click.option("--once", is_flag=True, help="Exit after the comparison; 0 only if every calendar is right.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--daemons", type=click.IntRange(min=1, max=8), default=1, help="Daemons at once.")
@click.option("--kill-daemons", type=click.IntRange(min=0), default=0, help="SIGKILL a daemon so many times.")
@click.option("--cut-one-in", type=click.IntRange(min=0), default=0, help="Google works, then cuts, one request in N.")
@click.option("--seed", type=int, default=1, help="For the random moments of the two options above.")
def demo(
    *,
    data: Path | None,
    speed: float | None,
    once: bool,
    as_json: bool,
    daemons: int,
    kill_daemons: int,
    cut_one_in: int,
    seed: int,
) -> None:
    """Everything on one machine with nothing configured: Postgres, a stand-in for Google, the daemon, job traffic.

    Example: calendar-sync demo --once --json
    """
    from web.demo.show import Script, show  # noqa: PLC0415 - what the demo needs is not installed in production

    script = Script(data, speed, daemons=daemons, kills=kill_daemons, cut_one_in=cut_one_in, seed=seed)
    sys.exit(show(script, stay=not once, as_json=as_json))


def main() -> None:
    """Run a verb; errors are one line on stderr, with the way out."""
    try:
        cli()
    except ConfigurationError as error:
        _exit(BAD_USAGE, str(error))
    except MigrationError as error:
        _exit(FAILED, str(error))
    except (*TENANT_BUSY, psycopg.errors.ObjectInUse) as error:
        _exit(FAILED, f"somebody else is changing the same tenant at this moment; repeat it: {describe(error)}")
    except (psycopg.OperationalError, PoolTimeout) as error:
        _exit(DATABASE_UNREACHABLE, f"the database cannot be reached; check DATABASE_URL: {describe(error)}")
    except psycopg.Error as error:
        _exit(FAILED, f"the database refused: {describe(error)}; is it up to date? calendar-sync migrate")


def _settings() -> Settings:
    settings = load_settings()
    configure_logs(settings.log_level, settings.log_format)
    return settings


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


def _exit(code: int, message: str) -> NoReturn:
    click.echo(f"calendar-sync: {' '.join(message.split())}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
