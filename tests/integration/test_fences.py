"""What the holder of a lane, of a grant or of a state writes reaches its own rows, and none that lies beside them."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from outbox.access import Access, UserGrant
from outbox.connections import Account, store_grant
from outbox.crypto import TokenCipher, generate_key
from outbox.database import Connection, open_pool
from outbox.google.oauth import TokenAnswer, Tokens
from outbox.lane import DueJob, Intent, Lease, LeaseLostError, Settlement, Standing, Undone
from outbox.lane_store import LaneStore
from outbox.ledger import Draw, Page
from outbox.statements import statement
from outbox.testpush import JOB_PREFIX
from outbox.trouble import Broken, Resting, Trouble
from outbox.user import User
from tests.integration.conftest import job
from tests.integration.interleaving import relay_batch
from tests.integration.steps import read_due
from web.attempts import ATTEMPT_SECONDS, Attempts
from web.limits import LIMITS, RateLimits
from web.problem import Problem

Owner = psycopg.Connection[Any]
Pool = ConnectionPool[Connection]
Row = tuple[str, ...]
Rows = dict[Row, Any]

MINE = ("acme", "cal-1", "job_1")
MY_LANE = MINE[:2]
NEIGHBOURHOOD = tuple(product(("acme", "other"), ("cal-1", "cal-2"), ("job_1", "job_2")))
"""Another job, another calendar of the tenant, another tenant on a calendar of that name: alike in all but the key."""

TEST = f"{JOB_PREFIX}{UUID(int=1)}"
LIVE = {"id": "e-1", "etag": '"9"', "htmlLink": "https://calendar.example/e-1", "colorId": "5"}
KEYS = {
    "lane": ("tenant_id", "calendar_id"),
    "pending_push": ("tenant_id", "calendar_id", "job_id"),
    "pushed_event": ("tenant_id", "calendar_id", "job_id"),
    "retired_event": ("tenant_id", "calendar_id", "job_id"),
    "calendar_connection": ("tenant_id", "user_id"),
    "consent_attempt": ("tenant_id", "user_id"),
    "job": ("tenant_id", "job_id"),
    "test_push": ("tenant_id", "job_id"),
    "departure": ("tenant_id", "calendar_id"),
}


@pytest.fixture
def pool(database_url: str) -> Iterator[Pool]:
    with open_pool(database_url, size=3) as pool:
        yield pool


@pytest.fixture
def owner(database_url: str) -> Iterator[Owner]:
    """The database's owner, with the clock stopped."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.moment AS SELECT timestamptz '2026-12-01 12:00:00+00' AS now")
        connection.execute(
            "CREATE OR REPLACE FUNCTION calendar_sync.now() RETURNS timestamptz LANGUAGE sql STABLE"
            " AS 'SELECT now FROM public.moment'"
        )
        yield connection


def advance(owner: Owner, seconds: float) -> None:
    owner.execute("UPDATE public.moment SET now = now + make_interval(secs => %s)", [seconds])


def rows(owner: Owner, table: str) -> Rows:
    """All rows of a table as JSON, by their keys."""
    found = owner.execute(f"SELECT {', '.join(KEYS[table])}, to_jsonb({table}) FROM calendar_sync.{table}").fetchall()
    assert len({row[:-1] for row in found}) == len(found)
    return {row[:-1]: row[-1] for row in found}


def touched(owner: Owner, act: Callable[[], object]) -> dict[str, set[Row]]:
    """The keys of the rows that an act wrote, removed or added, by table."""
    before = {table: rows(owner, table) for table in KEYS}
    act()
    after = {table: rows(owner, table) for table in KEYS}
    changes = {
        table: {key for key in before[table] | after[table] if before[table].get(key) != after[table].get(key)}
        for table in KEYS
    }
    return {table: keys for table, keys in changes.items() if keys}


@pytest.fixture
def lease(owner: Owner) -> Lease:
    """A lease of one lane, beside lanes that others hold, all with the same jobs on them."""
    token = uuid4()
    # Through whom is settled; who was erased meanwhile has seen nothing.
    owner.execute(
        "INSERT INTO calendar_sync.calendar_connection (connection_id, tenant_id, user_id, state)"
        " OVERRIDING SYSTEM VALUE VALUES (5, 'acme', 'u_5', 'not_connected'), (6, 'acme', 'u_6', 'not_connected')"
    )
    for lane in product(("acme", "other"), ("cal-1", "cal-2")):
        owner.execute(
            "INSERT INTO calendar_sync.lane (tenant_id, calendar_id, due_at, lease_token, lease_expires_at)"
            " VALUES (%s, %s, calendar_sync.now(), %s, calendar_sync.now() + interval '60 s')",
            [*lane, token if lane == MY_LANE else uuid4()],
        )
    for number, key in enumerate(NEIGHBOURHOOD):
        owner.execute(
            "INSERT INTO calendar_sync.pushed_event (tenant_id, calendar_id, job_id, event_id, id_generation, in_doubt,"
            " write_sent_by, etag, content_hash, users_fields, seen_by, pushed_at) VALUES"
            " (%s, %s, %s, 'e-1', 1, true, calendar_sync.now(), 'old', 'old', 'old', 1, '2026-01-01')",
            key,
        )
        owner.execute(
            "INSERT INTO calendar_sync.pending_push (tenant_id, calendar_id, job_id, generation, first_marked_at,"
            " due_at, attempts) VALUES (%s, %s, %s, %s, calendar_sync.now(), calendar_sync.now(), 2)",
            [*key, 10 * number],
        )
        owner.execute(
            "INSERT INTO calendar_sync.retired_event (tenant_id, calendar_id, job_id, event_id)"
            " VALUES (%s, %s, %s, %s)",
            [*key, f"retired-{key[2]}"],
        )
    return Lease(*MY_LANE, token, 0, time.monotonic() + 30.0)


def due_on(store: LaneStore, lease: Lease) -> DueJob:
    """The job `MINE` as the lane's holder reads it."""
    due, _ = read_due(store, lease, limit=10)
    assert {job.job_id for job in due} == {"job_1", "job_2"}
    return next(job for job in due if job.job_id == "job_1")


SETTLEMENTS: dict[str, tuple[Callable[[DueJob], Settlement], dict[str, set[Row]]]] = {
    "answered": (lambda due: Settlement(done=[due]), {"pending_push": {MINE}}),
    "standing": (lambda _: Settlement(standing=[Standing("job_1", b"new", LIVE, 5)]), {"pushed_event": {MINE}}),
    "gone": (lambda _: Settlement(standing=[Standing("job_1", None, None, 5)]), {"pushed_event": {MINE}}),
    "parked": (lambda due: Settlement(undone=[Undone(due, None, "No.", charged=True)]), {"pending_push": {MINE}}),
    "put off": (lambda due: Settlement(undone=[Undone(due, 60.0, None, charged=False)]), {"pending_push": {MINE}}),
    "not asked for": (
        lambda due: Settlement(unasked=[due._replace(in_doubt=False)]),
        {"pushed_event": {MINE}},
    ),
    "seen gone": (lambda _: Settlement(gone_retired_ids=["retired-job_1"]), {"retired_event": {MINE}}),
}


@pytest.mark.parametrize("name", SETTLEMENTS)
def test_a_settlement_is_about_its_own_jobs_on_its_own_calendar(
    pool: Pool, owner: Owner, lease: Lease, name: str
) -> None:
    settlement, expected = SETTLEMENTS[name]
    store = LaneStore(pool)
    due = due_on(store, lease)
    assert touched(owner, lambda: store.settle(lease, settlement(due))) == {"lane": {MY_LANE}, **expected}
    assert rows(owner, "lane")[MY_LANE]["lease_token"] is None


def test_a_definite_answer_is_recorded_whole_and_ends_the_doubt(pool: Pool, owner: Owner, lease: Lease) -> None:
    LaneStore(pool).settle(lease, Settlement(standing=[Standing("job_1", b"new", LIVE, 5)]))
    row = rows(owner, "pushed_event")[MINE]
    assert (row["in_doubt"], row["write_sent_by"], row["etag"], row["seen_by"]) == (False, None, '"9"', 5)
    assert (row["unsettled_starts"], row["content_hash"]) == (0, r"\x6e6577")
    assert '"colorId": "5"' in row["users_fields"]
    assert row["pushed_at"] == "2026-12-01T12:00:00+00:00"


def test_what_was_never_asked_for_is_as_certain_as_before(pool: Pool, owner: Owner, lease: Lease) -> None:
    store = LaneStore(pool)
    due = due_on(store, lease)
    store.settle(lease, Settlement(unasked=[due._replace(in_doubt=False)]))
    row = rows(owner, "pushed_event")[MINE]
    assert (row["in_doubt"], row["write_sent_by"], row["etag"]) == (False, None, "old")


def test_a_doubt_of_an_earlier_push_outlives_one_that_asked_for_nothing(pool: Pool, owner: Owner, lease: Lease) -> None:
    store = LaneStore(pool)
    due = due_on(store, lease)
    assert due.in_doubt
    assert touched(owner, lambda: store.settle(lease, Settlement(unasked=[due]))) == {"lane": {MY_LANE}}


@pytest.mark.parametrize("case", [(60.0, None, True, 3), (60.0, None, False, 2), (None, "No.", True, 3)], ids=str)
def test_what_was_not_pushed_is_put_back_or_parked(
    pool: Pool, owner: Owner, lease: Lease, case: tuple[float | None, str | None, bool, int]
) -> None:
    wait, problem, charged, attempts = case
    store = LaneStore(pool)
    store.settle(lease, Settlement(undone=[Undone(due_on(store, lease), wait, problem, charged=charged)]))
    row = rows(owner, "pending_push")[MINE]
    assert (row["problem"], row["attempts"]) == (problem, attempts)
    assert row["due_at"] == (None if wait is None else "2026-12-01T12:01:00+00:00")
    assert row["last_tried_at"] == ("2026-12-01T12:00:00+00:00" if charged else None)


def test_of_several_jobs_each_is_settled_as_it_ended_itself(pool: Pool, owner: Owner, lease: Lease) -> None:
    store = LaneStore(pool)
    one, two = sorted(read_due(store, lease, limit=10)[0], key=lambda job: job.job_id)
    marked_anew = two._replace(generation=two.generation - 1)
    changed = touched(
        owner,
        lambda: store.settle(
            lease,
            Settlement(
                standing=[Standing("job_1", b"1", LIVE, 5), Standing("job_2", b"2", LIVE, 6)],
                done=[one, marked_anew],
            ),
        ),
    )
    assert changed == {"lane": {MY_LANE}, "pending_push": {MINE}, "pushed_event": {MINE, (*MY_LANE, "job_2")}}
    assert [row["seen_by"] for key, row in sorted(rows(owner, "pushed_event").items()) if key[:2] == MY_LANE] == [5, 6]


def test_of_several_jobs_each_is_put_back_for_its_own_time(pool: Pool, owner: Owner, lease: Lease) -> None:
    store = LaneStore(pool)
    one, two = sorted(read_due(store, lease, limit=10)[0], key=lambda job: job.job_id)
    undone = [Undone(one, 60.0, None, charged=False), Undone(two, None, "No.", charged=True)]
    store.settle(lease, Settlement(undone=undone))
    found = rows(owner, "pending_push")
    assert (found[MINE]["problem"], found[MINE]["attempts"]) == (None, 2)
    assert (found[*MY_LANE, "job_2"]["problem"], found[*MY_LANE, "job_2"]["attempts"]) == ("No.", 3)


def test_pushes_that_never_come_to_an_end_are_counted_until_one_does(pool: Pool, owner: Owner, lease: Lease) -> None:
    store = LaneStore(pool)
    intent = Intent(due_on(store, lease), "e-1", 1, present=True)
    for _ in range(3):
        store.begin(lease, [intent])
    due = due_on(store, lease)
    assert due.unsettled_starts == 3
    store.settle(lease, Settlement(undone=[Undone(due, 60.0, None, charged=True)]))
    assert rows(owner, "pushed_event")[MINE]["unsettled_starts"] == 0


@pytest.mark.parametrize("newer_by", [-1, 1])
@pytest.mark.parametrize("name", ["answered", "parked", "put off"])
def test_a_mark_of_another_generation_is_not_settled(
    pool: Pool, owner: Owner, lease: Lease, name: str, newer_by: int
) -> None:
    store = LaneStore(pool)
    due = due_on(store, lease)
    due = due._replace(generation=due.generation + newer_by)
    assert touched(owner, lambda: store.settle(lease, SETTLEMENTS[name][0](due))) == {"lane": {MY_LANE}}


@pytest.mark.parametrize("name", ["answered", "put off"])
def test_a_settlement_waits_for_nobody_who_marks_a_job_anew(
    pool: Pool, owner: Owner, database_url: str, lease: Lease, name: str
) -> None:
    store = LaneStore(pool)
    due = due_on(store, lease)
    with psycopg.connect(database_url) as relay:
        relay.execute("SELECT FROM calendar_sync.pending_push WHERE job_id = 'job_1' FOR UPDATE")
        assert touched(owner, lambda: store.settle(lease, SETTLEMENTS[name][0](due))) == {"lane": {MY_LANE}}


def test_an_intent_is_about_its_own_job_on_its_own_calendar(pool: Pool, owner: Owner, lease: Lease) -> None:
    store = LaneStore(pool)
    owner.execute("UPDATE calendar_sync.pushed_event SET in_doubt = false, write_sent_by = NULL")
    intent = Intent(due_on(store, lease), "e-1", 1, present=True)
    assert touched(owner, lambda: store.begin(lease, [intent])) == {"pushed_event": {MINE}}
    row = rows(owner, "pushed_event")[MINE]
    assert (row["in_doubt"], row["unsettled_starts"]) == (True, 1)
    assert "2026-12-01T12:00:2" <= row["write_sent_by"] < "2026-12-01T12:00:31"


@pytest.mark.parametrize("seen_cancelled", [True, False])
def test_a_new_id_begins_with_a_clean_record_in_doubt(
    pool: Pool, owner: Owner, lease: Lease, seen_cancelled: bool
) -> None:
    store = LaneStore(pool)
    owner.execute("UPDATE calendar_sync.pushed_event SET in_doubt = false, write_sent_by = NULL")
    owner.execute("DELETE FROM calendar_sync.retired_event")

    def take_next_id() -> None:
        store.take_next_id(
            lease, "job_1", retired="e-1", seen_cancelled=seen_cancelled, event_id="e-2", id_generation=2
        )

    changed = touched(owner, take_next_id)
    assert changed == {"pushed_event": {MINE}} | ({} if seen_cancelled else {"retired_event": {MINE}})
    row = rows(owner, "pushed_event")[MINE]
    assert (row["event_id"], row["id_generation"], row["in_doubt"]) == ("e-2", 2, True)
    assert row["write_sent_by"] > "2026-12-01T12:00:2"
    columns = ("etag", "content_hash", "users_fields", "seen_by", "pushed_at")
    assert [row[column] for column in columns] == [None] * 5


def test_a_test_push_is_told_of_as_it_goes_and_no_other(pool: Pool, owner: Owner, lease: Lease) -> None:
    for number, tenant_id in enumerate(("acme", "acme", "other")):
        owner.execute(
            "INSERT INTO calendar_sync.test_push (test_push_id, tenant_id, user_id, calendar_id, job_id)"
            " VALUES (%s, %s, %s, 'cal-1', %s)",
            [UUID(int=number), tenant_id, f"u_{number}", f"{JOB_PREFIX}{UUID(int=number)}"],
        )
    advance(owner, 5.0)
    store = LaneStore(pool)
    assert store.take_test_push(lease, f"{JOB_PREFIX}{UUID(int=2)}") is None
    for step, failure, over in (("access", None, False), (None, "No.", True)):
        told = touched(owner, partial(tell, store, lease, step, failure))
        assert told == {"test_push": {("acme", TEST)}}
        taken = store.take_test_push(lease, TEST)
        assert taken is not None
        assert (taken.user_id, taken.over, taken.age_seconds) == ("u_1", over, 5.0)
    row = rows(owner, "test_push")["acme", TEST]
    assert (row["access_at"], row["failure"]) == ("2026-12-01T12:00:05+00:00", "No.")
    with pytest.raises(LeaseLostError):
        tell(store, replace(lease, token=UUID(int=7)), "written", None)


def tell(store: LaneStore, lease: Lease, step: str | None, failure: str | None) -> None:
    store.record_test_step(lease, TEST, step=step, failure=failure)


class Purse:
    """Stands for who draws on an account's quota: it is enough for so many jobs."""

    scope = "account:ana@example.com"

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self.taken_up = False

    def draw_for(self, page: Page, asked_at: float, needs: Sequence[int]) -> tuple[Draw, int]:
        assert page.scope == self.scope
        return Draw(sum(needs), 0, 0.0, asked_at, page.now), self._jobs

    def take_up(self, _draw: Draw) -> None:
        self.taken_up = True


def test_only_jobs_that_there_is_quota_for_go_on_record_and_only_under_the_lease(
    pool: Pool, owner: Owner, lease: Lease
) -> None:
    owner.execute("UPDATE calendar_sync.pushed_event SET in_doubt = false, write_sent_by = NULL")
    store = LaneStore(pool)
    jobs = sorted(read_due(store, lease, limit=10)[0], key=lambda job: job.job_id)
    intents = [Intent(job, "e-1", 1, present=True) for job in jobs]
    assert touched(owner, partial(store.begin, lease, intents, Purse(0))) == {}
    changed = touched(owner, partial(store.begin, lease, intents, Purse(1)))
    assert changed == {"pushed_event": {MINE}}
    for lost in (replace(lease, token=UUID(int=7)), replace(lease, tenant_id="other")):
        purse = Purse(2)
        with pytest.raises(LeaseLostError):
            store.begin(lost, intents, purse)
        assert not purse.taken_up


LOST: dict[str, Callable[[Lease, Owner], Lease]] = {
    "under another token": lambda lease, _: replace(lease, token=UUID(int=7)),
    "on a lane of another tenant": lambda lease, _: replace(lease, tenant_id="other"),
    "on another calendar": lambda lease, _: replace(lease, calendar_id="cal-2"),
    "at its end": lambda lease, owner: advance(owner, 60.0) or lease,  # type: ignore[func-returns-value]
}


@pytest.mark.parametrize("how", LOST)
def test_a_lease_is_good_for_one_lane_under_one_token_until_its_end(
    pool: Pool, owner: Owner, lease: Lease, how: str
) -> None:
    store = LaneStore(pool)
    due = due_on(store, lease)
    lost = LOST[how](lease, owner)

    def settle() -> None:
        with pytest.raises(LeaseLostError):
            store.settle(lost, Settlement(done=[due]))

    assert touched(owner, settle) == {}


def test_a_lease_is_good_up_to_its_end(pool: Pool, owner: Owner, lease: Lease) -> None:
    advance(owner, 59.999)
    LaneStore(pool).settle(lease, Settlement())
    assert rows(owner, "lane")[MY_LANE]["lease_token"] is None


def test_the_next_lane_is_waited_for_as_long_as_it_is_not_due(pool: Pool, owner: Owner, lease: Lease) -> None:
    store = LaneStore(pool)
    assert store.seconds_until_due(troubled=True) is None
    owner.execute(
        "UPDATE calendar_sync.lane SET lease_token = NULL, lease_expires_at = NULL,"
        " due_at = calendar_sync.now() + interval '30 s' WHERE (tenant_id, calendar_id) = (%s, %s)",
        MY_LANE,
    )
    assert store.seconds_until_due(troubled=False) == 30.0
    owner.execute("UPDATE calendar_sync.lane SET failures = 1")
    assert [store.seconds_until_due(troubled=troubled) for troubled in (False, True)] == [None, 30.0]


def test_a_lane_that_is_being_settled_is_nobody_elses(pool: Pool, owner: Owner, lease: Lease) -> None:
    with pool.connection() as connection, connection.transaction():
        held = connection.execute(statement("push/lock_lane"), {**lease.key, "lease_token": lease.token})
        assert held.fetchone() is not None
        free = "SELECT tenant_id, calendar_id FROM calendar_sync.lane FOR NO KEY UPDATE SKIP LOCKED"
        assert set(owner.execute(free).fetchall()) == set(product(("acme", "other"), ("cal-1", "cal-2"))) - {MY_LANE}


ANA, BOB, NAMESAKE = User("acme", "u_ana"), User("acme", "u_bob"), User("other", "u_ana")
ANAS = ("acme", "u_ana")
CIPHER = TokenCipher.from_keys(f"k:{generate_key()}")
SCOPES = frozenset({"https://www.googleapis.com/auth/calendar"})


class TokenServer:
    """Stands for Google's token endpoint: one answer to everybody, and something that happens before it."""

    def __init__(self, answer: TokenAnswer, before: Callable[[], object] = lambda: None) -> None:
        self._answer = answer
        self._before = before

    def refresh(self, _refresh_token: str) -> TokenAnswer:
        """Whatever it is, the same answer."""
        self._before()
        return self._answer


def access_to(pool: Pool, server: TokenServer | None = None) -> Access:
    oauth: Any = server
    return Access(pool, CIPHER, oauth)


@pytest.fixture
def grant(pool: Pool, owner: Owner) -> UserGrant:
    """Ana's grant, beside a colleague's and that of a namesake of another tenant; all have chosen a calendar."""
    for number, user in enumerate((BOB, ANA, NAMESAKE)):
        account = Account(f"{number}@example.com", f"{number}@example.com")
        store_grant(pool, CIPHER, user, account, Tokens(f"access-{number}", f"refresh-{number}", 60.0, SCOPES))
    owner.execute("UPDATE calendar_sync.calendar_connection SET state = 'active', calendar_id = 'cal-1'")
    found = access_to(pool).read_grant(ANA)
    assert found is not None
    assert (found.tenant_id, found.user_id, found.account_id) == ("acme", "u_ana", "1@example.com")
    return found


def test_everybody_has_one_grant_and_without_a_refresh_token_none(pool: Pool, owner: Owner, grant: UserGrant) -> None:
    access = access_to(pool)
    found = {user: access.read_grant(user) for user in (BOB, ANA, NAMESAKE)}
    assert {user: seen and seen.account_id for user, seen in found.items()} == {
        BOB: "0@example.com",
        ANA: "1@example.com",
        NAMESAKE: "2@example.com",
    }
    assert grant == found[ANA]
    owner.execute("UPDATE calendar_sync.calendar_connection SET refresh_token = NULL WHERE user_id = 'u_bob'")
    assert access.read_grant(BOB) is None


def test_a_rest_is_everybodys_on_the_account_and_is_never_shortened(pool: Pool, owner: Owner, grant: UserGrant) -> None:
    owner.execute("UPDATE calendar_sync.calendar_connection SET account_id = '1@example.com' WHERE user_id = 'u_bob'")
    access = access_to(pool)
    for seconds, until in ((60.0, "2026-12-01T12:01:00+00:00"), (10.0, "2026-12-01T12:01:00+00:00")):
        access.record_trouble(grant, Resting(seconds, "slow"))
        found = rows(owner, "calendar_connection")
        assert [found[key]["cooling_until"] for key in (ANAS, ("acme", "u_bob"))] == [until, until]
        assert found["other", "u_ana"]["cooling_until"] is None
    access.record_trouble(grant, Resting(90.0, "slow"))
    assert rows(owner, "calendar_connection")[ANAS]["cooling_until"] == "2026-12-01T12:01:30+00:00"


OURS, UNANSWERED = Resting(60.0, "m", operators_matter=True), Resting(60.0, "m", everybodys=True)


def test_a_rest_that_google_did_not_ask_the_account_for_is_one_connections(
    pool: Pool, owner: Owner, grant: UserGrant
) -> None:
    owner.execute("UPDATE calendar_sync.calendar_connection SET account_id = '1@example.com' WHERE user_id = 'u_bob'")
    access = access_to(pool)
    for trouble in (OURS, replace(UNANSWERED, seconds=90.0)):
        assert touched(owner, partial(access.record_trouble, grant, trouble)) == {"calendar_connection": {ANAS}}
        assert rows(owner, "calendar_connection")[ANAS]["cooling_reason"] == trouble.why


@pytest.mark.parametrize(("seconds", "reason"), [(59.0, "ours"), (60.0, "ours"), (61.0, "no_answer")])
def test_of_two_rests_the_longer_one_is_what_the_user_is_told_of(
    pool: Pool, owner: Owner, grant: UserGrant, seconds: float, reason: str
) -> None:
    access = access_to(pool)
    access.record_trouble(grant, OURS)
    access.record_trouble(grant, replace(UNANSWERED, seconds=seconds))
    assert rows(owner, "calendar_connection")[ANAS]["cooling_reason"] == reason


@pytest.mark.parametrize(
    ("trouble", "state"),
    [(Broken("calendar_lost", None), "calendar_lost"), (Broken("needs_reconnect", None), "active")],
)
def test_a_new_consent_of_the_account_brings_back_no_calendar_that_is_lost(
    pool: Pool, owner: Owner, grant: UserGrant, trouble: Broken, state: str
) -> None:
    access_to(pool).record_trouble(grant, trouble, calendar_id="cal-1")
    found = rows(owner, "calendar_connection")[ANAS]
    assert (found["state"], found["lost_calendar_id"]) == (
        trouble.state,
        "cal-1" if trouble.state == "calendar_lost" else None,
    )
    again = Tokens("access", "refresh", 60.0, SCOPES)
    assert store_grant(pool, CIPHER, ANA, Account("1@example.com", "1@example.com"), again) == state


RENEWED = Tokens("access-new", None, 3600.0, SCOPES)


def test_a_renewed_token_is_kept_for_its_own_connection(pool: Pool, owner: Owner, grant: UserGrant) -> None:
    before = rows(owner, "calendar_connection")[ANAS]
    access = access_to(pool, TokenServer(RENEWED))
    assert touched(owner, lambda: access.access_token(grant)) == {"calendar_connection": {ANAS}}
    kept = access.read_grant(ANA)
    assert kept is not None
    assert access.access_token(kept) == "access-new"
    assert kept.access_token_seconds_left == 3600.0
    assert rows(owner, "calendar_connection")[ANAS]["refresh_token"] == before["refresh_token"]


def test_a_new_refresh_token_takes_the_place_of_the_old_one(pool: Pool, owner: Owner, grant: UserGrant) -> None:
    access = access_to(pool, TokenServer(replace(RENEWED, refresh_token="refresh-new")))
    access.access_token(grant)
    kept = access.read_grant(ANA)
    assert kept is not None
    assert kept.refresh_token is not None
    place = {"tenant_id": "acme", "user_id": "u_ana", "column": "refresh_token"}
    assert CIPHER.decrypt(kept.refresh_token, **place) == "refresh-new"


@pytest.mark.parametrize("trouble", [Broken("needs_reconnect", "revoked"), Resting(60.0, "slow")], ids=repr)
def test_what_is_learnt_of_a_grant_is_written_about_that_grant_alone(
    pool: Pool, owner: Owner, grant: UserGrant, trouble: Trouble
) -> None:
    access = access_to(pool)
    older = replace(grant, grant_version=grant.grant_version - 1)
    assert touched(owner, lambda: access.record_trouble(older, trouble)) == {}
    newer = replace(grant, grant_version=grant.grant_version + 1)
    assert touched(owner, lambda: access.record_trouble(newer, trouble)) == {}
    assert touched(owner, lambda: access.record_trouble(grant, trouble)) == {"calendar_connection": {ANAS}}


def test_a_token_that_comes_after_a_new_grant_is_not_kept(pool: Pool, owner: Owner, grant: UserGrant) -> None:
    reconnect = "UPDATE calendar_sync.calendar_connection SET grant_version = grant_version + 1"
    access = access_to(pool, TokenServer(RENEWED, before=lambda: owner.execute(reconnect)))
    before = rows(owner, "calendar_connection")[ANAS]["access_token"]
    access.access_token(grant)
    assert rows(owner, "calendar_connection")[ANAS]["access_token"] == before


REVOKED, LOST_CALENDAR = Broken("needs_reconnect", "revoked"), Broken("calendar_lost", None)


@pytest.mark.parametrize(
    "case",
    [
        ("active", False, REVOKED, None, ("needs_reconnect", "revoked", False)),
        ("choose_calendar", False, REVOKED, None, ("needs_reconnect", "revoked", False)),
        ("calendar_lost", False, REVOKED, None, ("needs_reconnect", "revoked", False)),
        ("needs_reconnect", False, Broken("needs_reconnect", "key_lost"), None, ("needs_reconnect", None, False)),
        ("not_connected", False, REVOKED, None, ("not_connected", None, False)),
        ("disconnecting", False, REVOKED, None, ("disconnecting", "revoked", True)),
        ("active", False, LOST_CALENDAR, "cal-1", ("calendar_lost", None, False)),
        ("active", False, LOST_CALENDAR, "cal-2", ("active", None, False)),
        ("choose_calendar", False, LOST_CALENDAR, "cal-1", ("choose_calendar", None, False)),
        ("disconnecting", False, LOST_CALENDAR, "cal-1", ("disconnecting", None, False)),
        ("disconnecting", True, LOST_CALENDAR, "cal-1", ("disconnecting", None, True)),
    ],
    ids=str,
)
def test_only_a_connection_that_still_does_something_breaks(
    pool: Pool, owner: Owner, grant: UserGrant, case: tuple[str, bool, Broken, str | None, tuple[str, str | None, bool]]
) -> None:
    state, cannot_empty, trouble, calendar, after = case
    owner.execute("UPDATE calendar_sync.calendar_connection SET state = %s, cannot_empty = %s", [state, cannot_empty])
    access_to(pool).record_trouble(grant, trouble, calendar_id=calendar)
    row = rows(owner, "calendar_connection")[ANAS]
    assert (row["state"], row["reconnect_reason"], row["cannot_empty"]) == after


def test_a_calendar_that_is_lost_while_it_is_left_is_not_emptied_any_more(
    pool: Pool, owner: Owner, grant: UserGrant
) -> None:
    for calendar_id, user_id in (("cal-8", "u_ana"), ("cal-9", "u_ana"), ("cal-7", "u_bob")):
        owner.execute(
            "INSERT INTO calendar_sync.departure (tenant_id, calendar_id, connection_id)"
            " SELECT tenant_id, %s, connection_id FROM calendar_sync.calendar_connection"
            " WHERE (tenant_id, user_id) = ('acme', %s)",
            [calendar_id, user_id],
        )
    access = access_to(pool)
    older = replace(grant, grant_version=grant.grant_version - 1)
    assert touched(owner, lambda: access.record_trouble(older, LOST_CALENDAR, calendar_id="cal-9")) == {}
    assert touched(owner, lambda: access.record_trouble(grant, LOST_CALENDAR, calendar_id="cal-7")) == {}
    left = touched(owner, lambda: access.record_trouble(grant, LOST_CALENDAR, calendar_id="cal-9"))
    assert left == {"departure": {("acme", "cal-9")}}
    left = touched(owner, lambda: access.record_trouble(grant, REVOKED, calendar_id="cal-8"))
    assert left == {"calendar_connection": {ANAS}}


def test_the_same_account_goes_on_where_it_was_and_another_one_begins_anew(
    pool: Pool, owner: Owner, grant: UserGrant
) -> None:
    owner.execute(
        "UPDATE calendar_sync.calendar_connection SET state = 'needs_reconnect', reconnect_reason = 'revoked',"
        " calendar_name = 'Jobs', cooling_until = calendar_sync.now(), cooling_reason = 'limit',"
        " cannot_empty = true, revocation = 'revoked',"
        " events_left = 3"
    )
    advance(owner, 100.0)
    new = Tokens("access-new", "refresh-new", 60.0, frozenset({"calendar"}))

    def connect(email: str) -> dict[str, Any]:
        act: Callable[[], object] = lambda: store_grant(pool, CIPHER, ANA, Account(email, email), new)  # noqa: E731
        assert touched(owner, act)["calendar_connection"] == {ANAS}
        row: dict[str, Any] = rows(owner, "calendar_connection")[ANAS]
        return row

    before = rows(owner, "calendar_connection")[ANAS]
    row = connect("1@example.com")
    assert (row["state"], row["calendar_id"], row["calendar_name"]) == ("active", "cal-1", "Jobs")
    cleared = ("reconnect_reason", "cooling_until", "cooling_reason", "revocation", "events_left")
    assert [row[column] for column in cleared] == [None] * 5
    assert (row["cannot_empty"], row["scopes"]) == (False, ["calendar"])
    assert row["grant_version"] == before["grant_version"] + 1
    assert row["access_token_expires_at"] == "2026-12-01T12:02:40+00:00"
    assert row["connected_at"] == "2026-12-01T12:01:40+00:00"
    kept = access_to(pool).read_grant(ANA)
    assert kept is not None
    assert kept.access_token is not None
    assert kept.refresh_token is not None
    place = {"tenant_id": "acme", "user_id": "u_ana"}
    assert CIPHER.decrypt(kept.access_token, **place, column="access_token") == "access-new"
    assert CIPHER.decrypt(kept.refresh_token, **place, column="refresh_token") == "refresh-new"
    row = connect("else@example.com")
    assert (row["state"], row["calendar_id"], row["calendar_name"]) == ("choose_calendar", None, None)
    assert (row["account_id"], row["account_email"]) == ("else@example.com", "else@example.com")


def test_the_same_account_without_a_calendar_still_has_to_choose(pool: Pool, owner: Owner, grant: UserGrant) -> None:
    owner.execute("UPDATE calendar_sync.calendar_connection SET state = 'choose_calendar', calendar_id = NULL")
    again = Tokens("access", "refresh", 60.0, SCOPES)
    assert store_grant(pool, CIPHER, ANA, Account("1@example.com", "1@example.com"), again) == "choose_calendar"


@pytest.fixture
def attempts(pool: Pool, owner: Owner) -> Attempts:
    """An attempt of Ana's under the key `mine`, beside a colleague's and a namesake's."""
    attempts = Attempts(pool)
    for key, user in ((b"bobs", BOB), (b"mine", ANA), (b"namesakes", NAMESAKE)):
        attempts.add(key, user, browser_hash=key, code_verifier=key, return_to=f"/{key.decode()}")
    return attempts


def test_an_attempt_is_found_and_used_up_under_its_own_state_alone(owner: Owner, attempts: Attempts) -> None:
    found = attempts.find(b"mine")
    assert found is not None
    assert (found.user, found.browser_hash, found.code_verifier, found.return_to) == (ANA, b"mine", b"mine", "/mine")
    assert (found.taken, found.expired, found.outcome) == (False, False, None)
    assert attempts.find(b"nobodys") is None
    assert touched(owner, lambda: attempts.record(b"mine", "connected")) == {}
    assert touched(owner, lambda: attempts.take(b"mine")) == {"consent_attempt": {ANAS}}
    assert not attempts.take(b"mine")
    assert attempts.take(b"bobs")
    assert touched(owner, lambda: attempts.record(b"mine", "connected")) == {"consent_attempt": {ANAS}}
    found = attempts.find(b"mine")
    assert found is not None
    assert (found.taken, found.outcome) == (True, "connected")


def test_an_attempt_may_be_used_up_to_its_end_and_not_at_it(owner: Owner, attempts: Attempts) -> None:
    advance(owner, ATTEMPT_SECONDS - 0.001)
    found = attempts.find(b"mine")
    assert found is not None
    assert not found.expired
    assert attempts.take(b"mine")
    advance(owner, 0.001)
    found = attempts.find(b"bobs")
    assert found is not None
    assert found.expired
    assert not attempts.take(b"bobs")


def test_a_user_is_on_the_way_until_the_last_attempt_is_used_or_over(owner: Owner, attempts: Attempts) -> None:
    assert attempts.unfinished(ANA) is not None
    attempts.take(b"bobs")
    assert attempts.unfinished(BOB) is None
    assert attempts.unfinished(User("other", "u_bob")) is None
    attempts.take(b"namesakes")
    assert attempts.unfinished(NAMESAKE) is None
    assert attempts.unfinished(ANA) is not None
    advance(owner, 1.0)
    attempts.add(b"second", ANA, browser_hash=b"", code_verifier=b"", return_to="/")
    attempts.take(b"second")
    assert attempts.unfinished(ANA) is None
    advance(owner, 1.0)
    attempts.add(b"third", ANA, browser_hash=b"", code_verifier=b"", return_to="/")
    started = attempts.unfinished(ANA)
    assert started is not None
    assert started.second == 2
    advance(owner, ATTEMPT_SECONDS - 0.001)
    assert attempts.unfinished(ANA) is not None
    advance(owner, 0.001)
    assert attempts.unfinished(ANA) is None


Person = tuple[str, str, str, str | None]
"""Tenant, user, state and chosen calendar."""


@pytest.mark.parametrize(
    "case",
    [
        ("cal-1", (), [], False),
        ("cal-1", (), [("acme", "u_bob", "active", "cal-1")], True),
        ("cal-1", (), [("acme", "u_bob", "needs_reconnect", "cal-1")], True),
        ("cal-1", (), [("acme", "u_bob", "active", "cal-2")], False),
        ("cal-1", (), [("acme", "u_bob", "disconnecting", "cal-1")], False),
        ("cal-1", (), [("acme", "u_bob", "not_connected", "cal-1")], False),
        ("cal-1", (), [("other", "u_bob", "active", "cal-1")], False),
        ("cal-1", (), [("acme", "u_bob", "active", "cal-2"), ("acme", "u_zoe", "active", "cal-2")], False),
        ("cal-1", (), [("other", "u_ana", "active", "cal-3"), ("other", "u_zoe", "active", "cal-3")], False),
        ("cal-1", ("u_ana", "cal-2"), [("acme", "u_bob", "active", "cal-2")], False),
        (None, ("u_ana", "cal-2"), [("acme", "u_bob", "active", "cal-2")], True),
        (None, ("u_ana", "cal-2"), [("acme", "u_bob", "active", "cal-1")], False),
        (None, ("u_bob", "cal-2"), [("acme", "u_bob", "active", "cal-2")], False),
    ],
    ids=str,
)
def test_a_colleague_stays_only_on_the_very_calendar_that_is_left(
    pool: Pool, owner: Owner, case: tuple[str | None, tuple[str, ...], list[Person], bool]
) -> None:
    calendar, departed, others, stays = case
    me = ("acme", "u_ana", "choose_calendar" if calendar is None else "active", calendar)
    for person in (me, *others):
        owner.execute(
            "INSERT INTO calendar_sync.calendar_connection (tenant_id, user_id, state, calendar_id)"
            " VALUES (%s, %s, %s, %s)",
            person,
        )
    if departed:
        owner.execute(
            "INSERT INTO calendar_sync.departure (tenant_id, calendar_id, connection_id)"
            " SELECT tenant_id, %s, connection_id FROM calendar_sync.calendar_connection"
            " WHERE (tenant_id, user_id) = ('acme', %s)",
            [departed[1], departed[0]],
        )
    with pool.connection() as connection:
        assert connection.execute(statement("web/colleague_on_calendar"), ANA.key).fetchone() == (stays,)


def relayed(pool: Pool, owner: Owner, *changes: tuple[str, str, str, dict[str, Any] | None, int]) -> Rows:
    """The jobs after these rows (tenant, job, event type, payload, id) were relayed together."""
    for tenant_id, job_id, event_type, payload, row_id in changes:
        owner.execute(
            "INSERT INTO calendar_sync.outbox (id, tenant_id, job_id, event_type, payload) OVERRIDING SYSTEM VALUE"
            " VALUES (%s, %s, %s, %s, %s)",
            [row_id, tenant_id, job_id, event_type, Jsonb(payload or {})],
        )
    relay_batch(pool)
    return rows(owner, "job")


FIRST, SECOND = job("J-1"), job("J-2", legs=[])
JOB_1 = ("acme", "job_1")


def test_a_jobs_newest_row_is_its_state_and_nobody_elses(pool: Pool, owner: Owner) -> None:
    created = relayed(
        pool,
        owner,
        ("acme", "job_1", "job.created", FIRST, 100),
        ("acme", "job_2", "job.created", SECOND, 101),
        ("other", "job_1", "job.created", FIRST, 102),
    )
    assert {key: row["payload"] for key, row in created.items()} == {
        JOB_1: FIRST,
        ("acme", "job_2"): SECOND,
        ("other", "job_1"): FIRST,
    }
    assert (created[JOB_1]["version"], created[JOB_1]["cancelled"]) == (100, False)
    assert created[JOB_1]["ends_at"] == "2027-03-02T00:00:00+00:00"
    assert created[JOB_1]["updated_at"] == "2026-12-01T12:00:00+00:00"
    advance(owner, 1.0)
    updated = relayed(pool, owner, ("acme", "job_1", "job.updated", SECOND, 103))
    assert {key for key in updated if updated[key] != created[key]} == {JOB_1}
    assert (updated[JOB_1]["payload"], updated[JOB_1]["version"]) == (SECOND, 103)
    assert (updated[JOB_1]["ends_at"], updated[JOB_1]["updated_at"]) == (None, "2026-12-01T12:00:01+00:00")


def test_an_older_row_changes_nothing_even_if_it_cancels(pool: Pool, owner: Owner) -> None:
    before = relayed(pool, owner, ("acme", "job_1", "job.created", FIRST, 100))
    advance(owner, 1.0)
    assert relayed(pool, owner, ("acme", "job_1", "job.cancelled", None, 99)) == before
    assert relayed(pool, owner, ("acme", "job_1", "job.updated", SECOND, 100)) == before


def test_a_cancelled_job_keeps_its_last_state(pool: Pool, owner: Owner) -> None:
    [before] = relayed(pool, owner, ("acme", "job_1", "job.created", FIRST, 100)).values()
    [after] = relayed(pool, owner, ("acme", "job_1", "job.cancelled", SECOND, 101)).values()
    assert after == {**before, "version": 101, "revision": before["revision"] + 1, "cancelled": True}
    [revived] = relayed(pool, owner, ("acme", "job_1", "job.updated", SECOND, 102)).values()
    assert (revived["cancelled"], revived["payload"]) == (False, SECOND)


def test_a_job_first_heard_of_when_it_is_cancelled_has_no_state(pool: Pool, owner: Owner) -> None:
    [job_1] = relayed(pool, owner, ("acme", "job_1", "job.cancelled", SECOND, 100)).values()
    assert (job_1["cancelled"], job_1["payload"], job_1["ends_at"]) == (True, {}, None)


def test_a_batch_ends_once_it_holds_enough(pool: Pool, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outbox.relay.PORTION_STORED_BYTES", 1)
    monkeypatch.setattr("outbox.relay.MAX_BATCH_BYTES", len(json.dumps(FIRST)) + 1)
    relayed(pool, owner, *[("acme", f"job_{number}", "job.created", FIRST, 100 + number) for number in range(5)])
    assert owner.execute("SELECT count(*) FROM calendar_sync.outbox").fetchone() == (3,)


def test_the_last_token_of_a_bucket_may_be_taken_and_no_other(pool: Pool, owner: Owner) -> None:
    limits = RateLimits(pool)
    for _ in range(LIMITS["resync"].burst):
        limits.take("resync", "ana")
    with pytest.raises(Problem):
        limits.take("resync", "ana")
    advance(owner, LIMITS["resync"].retry_after)
    limits.take("resync", "ana")
