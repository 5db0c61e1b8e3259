"""The daemon as a whole: its parts put together, started, watched and stopped in order."""

import gc
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import structlog
from psycopg_pool import ConnectionPool, PoolTimeout

from outbox.access import Access
from outbox.audit import Audit
from outbox.batching import BatchSizes
from outbox.budget import Budget
from outbox.crypto import TokenCipher
from outbox.database import Connection, describe, open_pool
from outbox.google.client import GoogleCalendar
from outbox.google.oauth import GoogleOAuth
from outbox.grants import Grants
from outbox.installation import Installation, InstallationGauge, InstallationKey, OwnLanes
from outbox.janitor import LEASES_EVERY_SECONDS, Janitor
from outbox.leaving import LEAVING_EVERY_SECONDS, Leaving
from outbox.loops import Loop, jittered
from outbox.metrics_figures import DatabaseFigures, LoopAges
from outbox.metrics_server import serving_metrics
from outbox.migrations import MigrationError, missing_migrations
from outbox.push import LanePusher
from outbox.pusher import Pusher
from outbox.refresher import Refresher
from outbox.relay import Relay
from outbox.rendering_cache import RenderingCache
from outbox.settings import Settings
from outbox.statements import statement
from outbox.status_line import StatusLine
from outbox.systemd import extend_timeout, is_managed, notify, watchdog_seconds
from outbox.wakeup import Listener

log = structlog.get_logger(__name__)

RELAY_POLL_SECONDS = 1.0
"""How late an outbox row is noticed whose notification was lost."""

HELD_BACK_SECONDS = 0.05
"""Until a tenant's rows are tried again whose wishes were just being changed."""

GATHERED_SHARE = 0.05
"""Of the debounce: what comes so soon after rows were relayed goes with what comes until then, in one transaction."""

MOST_GATHERED_SECONDS = 0.1
"""For which no row waits longer, whatever the debounce."""

STUCK_SECONDS = 90.0
"""A loop without progress for this long is stuck: all that a round waits for is bounded well below it."""

STUCK_SHARE = 0.75
"""Of the time in which systemd wants to hear from us, where it has set one: STUCK_SECONDS of the unit's."""

PUSH_STUCK_SECONDS = 120.0
"""A push that has been at one job for this long hangs: its calls end with its lease, and settling soon after."""

STOP_SECONDS = 25.0
"""Within this after SIGTERM everything in flight has ended: a call takes 10 s at most, settling less."""

CLOSING_SECONDS = 5.0
"""After that, for the end of the process itself."""

TOKEN_REQUEST_SECONDS = 5.0
"""Three of them, with the waits between, fit well into a lease."""

FOREIGN_SECONDS = 2.0
"""How late it is noticed that a database of another installation was taken over."""

ASK_SECONDS = 0.5
"""How late it is noticed that what was served for is done."""

GARBAGE_OBJECTS = 20_000
"""Objects made and not yet freed between two searches for cycles among them."""

USER_AGENT = "google-calendar-sync/0.1"


class Daemon:
    """Relay, pusher, janitor, leaving and listener over one pool."""

    def __init__(self, settings: Settings, pool: ConnectionPool[Connection], stop: threading.Event) -> None:
        self._stop = stop
        self._pool = pool
        oauth = oauth_client(settings, stop)
        self.installation = Installation(pool, InstallationKey.of(settings), completes=True)
        store = OwnLanes(pool, self.installation)
        self.budget = Budget(
            pool,
            user_per_minute=settings.google_user_quota_per_minute,
            project_per_minute=settings.google_project_quota_per_minute,
        )
        renderings = RenderingCache()
        self.relay = Relay(
            pool,
            debounce_seconds=settings.push_debounce_seconds,
            max_wait_seconds=settings.push_max_wait_seconds,
            job_url_template=settings.job_url_template,
            renderings=renderings,
        )
        self._janitor = Janitor(
            pool, Audit(pool, job_url_template=settings.job_url_template), retention_days=settings.job_retention_days
        )
        cipher = token_cipher(settings)
        access = Access(pool, cipher, oauth)
        self._leaving = Leaving(pool, Grants(pool, cipher, oauth))
        lanes = LanePusher(
            store,
            access,
            GoogleCalendar(settings.google_calendar_url, stop=stop, user_agent=USER_AGENT),
            self.budget,
            job_url_template=settings.job_url_template,
            renderings=renderings,
            sizes=BatchSizes(),
            stop=stop,
        )
        self.pusher = Pusher(store, lanes, concurrency=settings.push_concurrency, stop=stop)
        self._begins_at_once = settings.push_debounce_seconds == 0
        self._gathers_seconds = min(settings.push_debounce_seconds * GATHERED_SHARE, MOST_GATHERED_SECONDS)
        self._gathers_until = -math.inf
        self._relay_loop = Loop("relay", self._relay_round, stop)
        self._listener = Listener(settings.database_url, self._relay_loop.wake)
        self._loops = [
            self._relay_loop,
            self.pusher.loop,
            Loop("budget", self.budget.work, stop),
            Loop("janitor", self._if_ours(self._janitor_round), stop),
            Loop("leaving", self._if_ours(self._leaving_round), stop),
            Loop("refresher", self._if_ours(Refresher(pool, access, stop).work), stop),
            Loop("listener", self._listener.listen, stop),
        ]
        self._metrics_port = settings.metrics_port
        self._collectors = (DatabaseFigures(pool), LoopAges(self._loops), InstallationGauge(self.installation))

    def run(self) -> bool:
        """Serve until `stop` is set, then finish or release what is in flight; False if something would not end."""
        with serving_metrics(self._metrics_port, self._collectors) as no_metrics:
            collect_garbage_seldom()
            for loop in self._loops:
                loop.start()
            notify(READY="1", STATUS=f"Serving.{no_metrics}")
            log.info("daemon_ready")
            if is_managed():
                # Nobody watches it or waits for it: it may fail, or hang.
                Loop("status", StatusLine(self._pool, no_metrics, self.installation.refusal).work, self._stop).start()
            self._watch()
            notify(STOPPING="1", STATUS="Finishing what is in flight.")
            return self._finish()

    def _watch(self) -> None:
        """Until `stop` is set: systemd hears that we are alive for as long as every loop and every push gets on."""
        watched = watchdog_seconds()
        stuck_after = watched * STUCK_SHARE if watched else STUCK_SECONDS
        while not self._stop.wait((watched or STUCK_SECONDS) / 4):
            stuck = [loop.name for loop in self._loops if loop.seconds_since_progress > stuck_after]
            if self.pusher.seconds_at_one_job > PUSH_STUCK_SECONDS:
                stuck.append("push")
            if stuck:
                log.error("loop_stuck", loops=stuck)
            else:
                notify(WATCHDOG="1")

    def serve_until(self, done: Callable[[], bool]) -> bool:
        """Serve until `done`, which is asked now and then, or `stop`; then finish as `run` does."""
        for loop in self._loops:
            loop.start()
        try:
            while not self._stop.is_set() and not done():
                self._stop.wait(ASK_SECONDS)
        finally:
            self._stop.set()
            in_time = self._finish()
        return in_time

    def drain(self, *, wait_for_quota: bool = True) -> None:
        """Relay every row and push every lane that is due, unless `stop` comes first.

        Args:
            wait_for_quota: stay until what waits for quota, and for nothing else, is pushed too.
        """
        while not self._stop.is_set():
            relayed = self.relay.relay_batch(thorough=True)
            if not relayed.claimed and not relayed.held_back:
                break
            if not relayed.claimed:
                self._stop.wait(HELD_BACK_SECONDS)
        self.pusher.drain(wait_for_quota=wait_for_quota)
        while not self._stop.is_set() and self.installation.refusal() is None and self._leaving.work():
            self.pusher.drain(wait_for_quota=wait_for_quota)
        self.budget.give_back()

    def count_waiting(self) -> int:
        """Rows and marks that a drain has to do with."""
        with self._pool.connection() as connection:
            row = connection.execute(statement("metrics/read_figures")).fetchone()
        return 0 if row is None else int(row[0]) + int(row[2])

    def _finish(self) -> bool:
        ends = time.monotonic() + STOP_SECONDS
        for loop in self._loops:
            loop.wake()
        ended = []
        for wait in (*(loop.join for loop in self._loops), self.pusher.finish):
            # Each part that has ended is progress, for which systemd gives the rest the time that they may take.
            extend_timeout(ends - time.monotonic() + CLOSING_SECONDS)
            ended.append(wait(max(0.0, ends - time.monotonic())))
            if not ended[-1]:
                break
        self._give_back()
        self._listener.close()
        log.info("daemon_stopped", lost_leases=self.pusher.lost_leases, in_time=all(ended))
        return all(ended)

    def _give_back(self) -> None:
        """So that whoever comes next need not wait until what this daemon might have sent no longer counts."""
        try:
            self.budget.give_back()
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("quota_not_given_back", error=describe(error))

    def _if_ours(self, work: Callable[[], float]) -> Callable[[], float]:
        """A round of what tells Google or people something, or forgets: not to be done in a copied database."""

        def round_if_ours() -> float:
            return jittered(FOREIGN_SECONDS) if self.installation.refusal() is not None else work()

        return round_if_ours

    def _relay_round(self) -> float:
        """Relay a batch, unless that would be soon after another: while rows come, few transactions take many."""
        asked_at, begun = time.monotonic(), False
        if (gathers := self._gathers_until - asked_at) > 0:
            return gathers
        if self._begins_at_once:
            # In one transaction: a lone change waits for one commit.
            relayed, begun = self.pusher.begin_with(lambda then: self.relay.relay_batch(then=then))
        else:
            relayed = self.relay.relay_batch()
        if relayed.claimed:
            self.pusher.rows_come()
            self._gathers_until = -math.inf if relayed.more else asked_at + self._gathers_seconds
        all_begun = begun and relayed.scheduled <= 1
        if (relayed.changed_jobs or not relayed.more) and not all_begun:
            self.pusher.relayed(more=relayed.more)
        if relayed.claimed:
            log.info("rows_relayed", rows=relayed.claimed, rejected=relayed.rejected, changed_jobs=relayed.changed_jobs)
        if relayed.more:
            return 0.0
        return HELD_BACK_SECONDS if relayed.held_back else jittered(RELAY_POLL_SECONDS)

    def _leaving_round(self) -> float:
        if self._leaving.work():
            self.pusher.loop.wake()
        return jittered(LEAVING_EVERY_SECONDS)

    def _janitor_round(self) -> float:
        if self._janitor.work():
            self.pusher.loop.wake()
        return jittered(LEASES_EVERY_SECONDS)


@contextmanager
def open_daemon(settings: Settings, stop: threading.Event) -> Iterator[Daemon]:
    """A daemon with its pool: a connection for each slot of the pusher, and a few for the loops.

    Raises:
        psycopg.OperationalError: the database cannot be reached.
        MigrationError: its schema is not this release's.
    """
    with open_pool(settings.database_url, size=settings.push_concurrency + 6) as pool:
        with pool.connection() as connection:
            missing = missing_migrations(connection)
        if missing:
            raise MigrationError(f"the database lacks migration {missing[0].version}; run: calendar-sync migrate")
        yield Daemon(settings, pool, stop)


def collect_garbage_seldom() -> None:
    """What is there by now stays; what comes is mostly freed without a search, and is searched for cycles now and then.

    Else a sixth of a busy daemon's time goes into walking over the jobs that wait for their push.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS)


def token_cipher(settings: Settings) -> TokenCipher:
    """What tokens are encrypted with, as configured."""
    return TokenCipher.from_keys(settings.token_encryption_keys.get_secret_value())


def oauth_client(settings: Settings, stop: threading.Event) -> GoogleOAuth:
    """Our client at Google's OAuth, as configured."""
    return GoogleOAuth(
        settings.google_oauth_client_id,
        settings.google_oauth_client_secret.get_secret_value(),
        settings.google_oauth_redirect_uri,
        authorize_url=settings.google_authorize_url,
        token_url=settings.google_token_url,
        revoke_url=settings.google_revoke_url,
        stop=stop,
        request_timeout=TOKEN_REQUEST_SECONDS,
    )
