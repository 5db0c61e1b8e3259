"""What one push of a lane asks of Google and writes down, job by job and connection by connection, over stand-ins."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from outbox.batching import BatchSizes
from outbox.google.calls import Call, Delete, Insert, Read, Update
from outbox.google.client import Together
from outbox.google.meaning import Answer, Meaning
from outbox.google.metering import FREE, Meter
from outbox.google.resource import content_hash, event_id
from outbox.lane import DueJob, Intent, LaneConnection, Lease, LeaseLostError, Settlement, Standing, Undone
from outbox.lane_store import TakenTestPush
from outbox.plan import LATE_ARRIVAL_SECONDS, Wish
from outbox.push import MOST_BACKLOG_JOBS, LanePusher
from outbox.quota import Priority
from outbox.rendering import rendering_of
from outbox.rendering_cache import RenderingCache
from outbox.testpush import JOB_PREFIX
from outbox.trouble import OPERATOR_REST_SECONDS, Broken, Resting, Trouble
from outbox.turn import Turn
from outbox.wish import wish_for

LANE = {"tenant_id": "acme", "calendar_id": "cal-1"}
ID_1, ID_2 = (event_id("acme", "cal-1", "job_1", generation) for generation in (1, 2))
MARKED = {"private": {"calendarSync": "1"}}
LIVE = {"id": ID_1, "etag": '"2"', "status": "confirmed", "extendedProperties": MARKED}
CANCELLED = {"id": ID_1, "etag": '"3"', "status": "cancelled"}
URL = "https://app.example.com/jobs/{job_id}"
PAYLOAD = {
    "schema_version": 1,
    "job_number": "J-1",
    "timezone": "America/Chicago",
    "legs": [
        {
            "summary": "Dallas → Memphis",
            "dispatch_window": {"start": "2027-03-01T08:00:00-06:00", "end": None},
            "delivery_window": {"start": None, "end": "2027-03-01T18:00:00-06:00"},
            "stops": [],
        }
    ],
}


def due(job_id: str = "job_1", **changes: Any) -> DueJob:
    """A job that is new on the calendar."""
    new: dict[str, Any] = {
        "generation": 7,
        "attempts": 0,
        "priority": int(Priority.LIVE),
        "seconds_since_marked": 2.0,
        "version": 1,
        "cancelled": False,
        "payload": json.dumps(PAYLOAD),
        "event_id": None,
        "id_generation": None,
        "in_doubt": None,
        "etag": None,
        "content_hash": None,
        "users_fields": None,
        "seen_by": None,
        "ever_confirmed": False,
        "seconds_since_write": None,
        "unsettled_starts": 0,
        "retired_event_ids": [],
    }
    return DueJob(job_id, **(new | changes))


def standing(job_id: str = "job_1", **changes: Any) -> DueJob:
    """A job whose event stands in the calendar, as connection 1 saw it, with other content than it should have."""
    known = {"event_id": event_id("acme", "cal-1", job_id, 1), "id_generation": 1, "in_doubt": False, "etag": '"1"'}
    seen = {"content_hash": b"old", "users_fields": "{}", "seen_by": 1, "ever_confirmed": True}
    return due(job_id, **(known | seen | changes))


def connection(number: int = 1, **changes: Any) -> LaneConnection:
    """Somebody who has chosen the calendar and can push."""
    able: dict[str, Any] = {
        "tenant_id": "acme",
        "connection_id": number,
        "user_id": f"u_{number}",
        "account_id": f"{number}@example.com",
        "state": "active",
        "job_filter": "all",
        "grant_version": 1,
        "refresh_token": b"",
        "access_token": b"",
        "emptying": False,
        "may_push": True,
        "access_token_seconds_left": 3600.0,
        "cooling_seconds_left": None,
    }
    return LaneConnection(**(able | changes))


TEST = due(f"{JOB_PREFIX}1", version=None, cancelled=None, payload=None)


def body_of(job: DueJob) -> Any:
    """What should stand in the calendar for a job that everybody wants."""
    wish = wish_for(
        job.job_id,
        rendering_of(job.job_id, job.payload or "", job_url_template=URL),
        **LANE,
        cancelled=False,
        known=None,
        wishers=[connection()],
    )
    assert wish.body is not None
    return wish.body


def answer(meaning: Meaning, resource: Any = None, **more: Any) -> Answer:
    return Answer(meaning, resource=resource, requests=1, **more)


DONE = answer(Meaning.DONE, LIVE)
REFUSED = answer(Meaning.EVENT_REFUSED, message="No")
OUT_OF_BUDGET = Answer(Meaning.OUT_OF_BUDGET)
SILENCE = answer(Meaning.NO_ANSWER, message="no answer")


class Google:
    """Answers in turn; what is a function or an error happens instead."""

    def __init__(self, *answers: Answer | Exception | Callable[[], Answer]) -> None:
        self.answers = list(answers)
        self.calls: list[Call] = []
        self.batches: list[int] = []
        self.crowded: list[bool] = []
        self.tokens: list[str] = []
        self.calendars: set[str] = set()

    def call(self, call: Call, *, calendar_id: str, access_token: str, deadline: float) -> Answer:
        assert deadline <= time.monotonic() + 10.0
        self.calls.append(call)
        self.tokens.append(access_token)
        self.calendars.add(calendar_id)
        following = self.answers.pop(0)
        if isinstance(following, Exception):
            raise following
        return following if isinstance(following, Answer) else following()

    def call_together(self, calls: Sequence[Call], *, calendar_id: str, access_token: str, deadline: float) -> Together:
        assert deadline <= time.monotonic() + 20.0
        self.batches.append(len(calls))
        where = {"calendar_id": calendar_id, "access_token": access_token}
        answers = [self.call(call, **where, deadline=time.monotonic()) for call in calls]
        return Together(answers, crowded=bool(self.crowded and self.crowded.pop(0)))


class Tokens:
    """Stands for Access: tokens or troubles by connection, the later ones for renewals; remembers what was recorded."""

    def __init__(self, given: dict[int, list[str | Trouble]] | None = None) -> None:
        self._given = given or {}
        self.recorded: list[tuple[int, Trouble, str | None]] = []
        self.asked: list[tuple[int, bool]] = []

    def token_at_hand(self, grant: LaneConnection) -> str | None:
        if grant.connection_id in self._given:
            return None
        self.asked.append((grant.connection_id, False))
        return f"token-{grant.connection_id}"

    def access_token(self, grant: LaneConnection, *, refused: bool = False) -> str | Trouble:
        self.asked.append((grant.connection_id, refused))
        given = self._given.get(grant.connection_id)
        return given.pop(0) if given else f"token-{grant.connection_id}"

    def record_trouble(self, grant: LaneConnection, trouble: Trouble, *, calendar_id: str | None = None) -> None:
        self.recorded.append((grant.connection_id, trouble, calendar_id))


class Store:
    """Stands for the tables: what is due and who is there; remembers what was written."""

    def __init__(self, jobs: Sequence[DueJob], connections: Sequence[LaneConnection]) -> None:
        self._jobs = list(jobs)
        self._connections = list(connections)
        self.most_begun = 1000
        self.begun: list[Intent] = []
        self.next_ids: list[dict[str, Any]] = []
        self.settled: list[Settlement] = []
        self.failures: list[Exception] = []
        self.test: TakenTestPush | Exception | None = None
        self.steps: list[str | None] = []

    @contextmanager
    def looking(self, lease: Lease) -> Iterator["Look"]:
        assert lease.key == LANE
        yield Look(self, lease)

    def begin(self, lease: Lease, intents: Sequence[Intent], drawing: object = FREE) -> int:
        assert (lease.key, drawing) == (LANE, FREE)
        self.begun += intents[: self.most_begun]
        return min(len(intents), self.most_begun)

    def take_next_id(self, lease: Lease, job_id: str, **written: Any) -> None:
        assert lease.key == LANE
        if self.failures:
            raise self.failures.pop(0)
        self.next_ids.append({"job_id": job_id, **written})

    def take_test_push(self, lease: Lease, job_id: str) -> TakenTestPush | None:
        assert (lease.key, job_id) == (LANE, TEST.job_id)
        if isinstance(self.test, Exception):
            raise self.test
        return self.test

    def record_test_step(self, lease: Lease, job_id: str, *, step: str | None, failure: str | None) -> None:
        assert (lease.key, job_id) == (LANE, TEST.job_id)
        self.steps.append(step or failure)

    def settle(self, lease: Lease, settlement: Settlement, then: Callable[[Any], None] = lambda _: None) -> None:
        assert lease.key == LANE
        if self.failures:
            raise self.failures.pop(0)
        then(None)
        self.settled.append(settlement)


@dataclass(frozen=True)
class Look:
    """Stands for the transaction that a push begins with."""

    store: Store
    lease: Lease
    in_passing: bool = False

    def read(self, *, limit: int, without: Sequence[int] = ()) -> tuple[list[DueJob], list[LaneConnection]]:
        jobs = [job._replace(payload=None) if job.version in without else job for job in self.store._jobs[:limit]]
        return jobs, self.store._connections

    def begin(self, intents: Sequence[Intent], drawing: object) -> "Begun":
        assert drawing == FREE
        return Begun(self.store, intents)


@dataclass(frozen=True)
class Begun:
    """Stands for what is committed with it."""

    store: Store
    intents: Sequence[Intent]

    def take_up(self) -> int:
        self.store.begun += self.intents[: self.store.most_begun]
        return min(len(self.intents), self.store.most_begun)


class Ration:
    """Stands for a push's share of the quota; `poor`: which of those who ask in turn have none."""

    def __init__(self, priority: Priority, wait: float) -> None:
        self.priority = priority
        self.wait = wait
        self.closed = False
        self.poor: list[bool] = []

    def of(self, _connection: LaneConnection) -> Meter:
        return FREE

    def affordable(self, units: Sequence[int]) -> int:
        return 0 if self.poor and self.poor.pop(0) else len(units)

    def affordable_at_hand(self, units: Sequence[int]) -> int:
        return 0 if self.poor and self.poor[0] else self.affordable(units)

    def close(self) -> None:
        self.closed = True


class Push:
    """One push over stand-ins."""

    def __init__(self, *jobs: DueJob, google: Google, connections: Sequence[LaneConnection] = (connection(),)) -> None:
        self.google = google
        self.tokens = Tokens()
        self.store = Store(jobs, connections)
        self.stop = threading.Event()
        self.lease = Lease("acme", "cal-1", UUID(int=1), 0, time.monotonic() + 60.0)
        self.rations: list[Ration] = []
        self.poor: list[bool] = []
        self.wait = 0.0
        self.progressed = 0
        self.together = 1
        self.renderings = RenderingCache()

    def ration(self, lease: Lease, priority: Priority) -> Ration:
        assert lease is self.lease
        ration = Ration(priority, self.wait)
        ration.poor = self.poor
        self.rations.append(ration)
        return ration

    @cached_property
    def pusher(self) -> LanePusher:
        parts: list[Any] = [self.store, self.tokens, self.google, self]
        return LanePusher(
            *parts,
            job_url_template=URL,
            renderings=self.renderings,
            sizes=BatchSizes(self.together),
            stop=self.stop,
        )

    def __call__(self) -> Settlement:
        self.outcomes = dict(self.pusher.push(self.lease, self._progress))
        [settlement] = self.store.settled
        assert all(ration.closed for ration in self.rations)
        assert self.google.answers == []
        assert self.google.calendars <= {"cal-1"}
        return settlement

    def _progress(self) -> None:
        self.progressed += 1


def kinds(google: Google) -> list[str]:
    return [type(call).__name__ for call in google.calls]


def test_a_new_job_goes_on_record_then_to_google_then_into_the_settlement() -> None:
    job = due()
    push = Push(job, google=Google(DONE))
    settlement = push()
    assert push.store.begun == [Intent(job, ID_1, 1, present=True, units=1)]
    assert kinds(push.google) == ["Insert"]
    assert settlement == Settlement(done=[job], standing=[Standing("job_1", content_hash(body_of(job)), LIVE, 1)])
    assert (push.outcomes, push.progressed) == ({"Stands": 1}, 1)


def test_what_stands_as_it_should_costs_no_request_and_no_record() -> None:
    job = standing()
    job = job._replace(content_hash=content_hash(body_of(job)))
    push = Push(job, google=Google())
    assert push() == Settlement(done=[job])
    assert (push.store.begun, push.outcomes) == ([], {"Unchanged": 1})


def test_an_event_that_nobody_wants_any_more_is_removed() -> None:
    job = standing(cancelled=True)
    push = Push(job, google=Google(answer(Meaning.DONE)))
    assert push() == Settlement(done=[job], standing=[Standing("job_1", None, None, 1)])
    assert push.google.calls == [Delete(ID_1, '"1"')]
    assert push.store.begun == [Intent(job, ID_1, 1, present=False, units=3)]


def test_a_mark_of_a_job_that_is_forgotten_is_answered_by_leaving_its_event_alone() -> None:
    job = standing(version=None, cancelled=None, payload=None)
    push = Push(job, google=Google())
    assert push() == Settlement(done=[job])


@pytest.mark.parametrize(("jobs", "first"), [(1, "Read"), (2, "Update")])
def test_only_a_lone_edit_looks_before_it_writes(jobs: int, first: str) -> None:
    google = Google(*[DONE] * (2 if jobs == 1 else jobs))
    push = Push(*[standing(f"job_{number + 1}") for number in range(jobs)], google=google)
    push()
    assert kinds(google)[0] == first
    assert push.store.begun[0].units == (3 if jobs == 1 else 1)


@pytest.mark.parametrize(
    ("job", "units"),
    [
        (due(), 1),
        (due(event_id=ID_1, id_generation=1, in_doubt=True), 3),
        (due(retired_event_ids=["old"]), 3),
        (standing(etag=None), 3),
    ],
)
def test_what_may_have_to_be_looked_at_is_given_more_of_the_quota(job: DueJob, units: int) -> None:
    push = Push(job, standing("job_2"), google=Google(*[SILENCE] * 2))
    push()
    assert push.store.begun[0].units == units


def test_a_job_that_cannot_be_shown_is_parked_with_the_reason_and_holds_up_nobody() -> None:
    broken, job = due("job_2", payload="{}"), due()
    push = Push(broken, job, google=Google(DONE))
    settlement = push()
    [parked] = settlement.undone
    assert (parked.due, parked.wait_seconds, parked.charged) == (broken, None, True)
    assert parked.problem is not None
    assert "schema_version" in parked.problem
    assert settlement.done == [job]


def test_a_refusal_for_good_parks_the_job_in_googles_words() -> None:
    job = due()
    settlement = Push(job, google=Google(REFUSED))()
    assert settlement == Settlement(undone=[Undone(job, None, "Google refused this event. (Google: No)", charged=True)])


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 5.0), (2, 45.0)])
def test_a_job_without_an_answer_waits_longer_each_time_and_the_lane_counts_as_troubled(
    attempts: int, seconds: float
) -> None:
    job = due(attempts=attempts)
    settlement = Push(job, google=Google(SILENCE))()
    [undone] = settlement.undone
    assert undone == Undone(job, undone.wait_seconds, None, charged=True)
    assert undone.wait_seconds is not None
    assert seconds * 0.75 <= undone.wait_seconds <= seconds * 1.25
    assert (settlement.troubled, settlement.rest_seconds) == (True, 0.0)


@pytest.mark.parametrize(("failures", "rest"), [(0, 1.0), (3, 8.0), (6, 64.0), (9, 64.0)])
def test_two_silences_in_a_row_end_the_push_and_let_the_lane_rest(failures: int, rest: float) -> None:
    jobs = [due(f"job_{number}") for number in range(4)]
    push = Push(*jobs, google=Google(SILENCE, SILENCE))
    push.lease = replace(push.lease, failures=failures)
    settlement = push()
    assert rest <= settlement.rest_seconds < rest + 1.0
    assert settlement.unasked == jobs[2:]
    assert [row for row in settlement.undone if row.due in jobs[2:]] == [
        Undone(job, 0.0, None, charged=False) for job in jobs[2:]
    ]
    assert (settlement.troubled, push.outcomes, push.progressed) == (True, {"TryLater": 2}, 2)


def test_an_answer_in_between_means_that_it_is_not_google() -> None:
    push = Push(*[due(f"job_{number}") for number in range(4)], google=Google(SILENCE, DONE, SILENCE, DONE))
    settlement = push()
    assert (settlement.rest_seconds, settlement.troubled) == (0.0, False)
    assert push.outcomes == {"TryLater": 2, "Stands": 2}


def test_what_is_not_out_yet_is_asked_again_without_a_charge() -> None:
    job = due(
        cancelled=True, event_id=ID_1, id_generation=1, in_doubt=True, ever_confirmed=True, seconds_since_write=20.0
    )
    settlement = Push(job, google=Google(answer(Meaning.DONE, CANCELLED)))()
    assert settlement == Settlement(undone=[Undone(job, 40.0, None, charged=False)])


def test_a_daemon_that_stops_leaves_the_rest_as_it_was_at_once() -> None:
    job, behind = due(), due("job_2")
    push = Push(job, behind, google=Google())

    def stopped() -> Answer:
        push.stop.set()
        return SILENCE

    push.google.answers = [stopped]
    settlement = push()
    assert settlement.undone == [Undone(row, 0.0, None, charged=False) for row in (job, behind)]
    assert settlement.unasked == [behind]


def test_a_conversation_that_runs_out_of_time_is_taken_up_again_at_once() -> None:
    job = standing()
    push = Push(job, google=Google())

    def stopped() -> Answer:
        push.stop.set()
        return DONE

    push.google.answers = [stopped]
    assert push() == Settlement(undone=[Undone(job, 0.0, None, charged=False)])
    assert push.outcomes == {"AskAgain": 1}


@pytest.mark.parametrize("seconds_left", [2.9, -1.0])
def test_without_time_for_a_call_none_is_begun(seconds_left: float) -> None:
    job = due()
    push = Push(job, google=Google())
    push.lease = replace(push.lease, last_call_ends_by=time.monotonic() + seconds_left)
    put_back = [Undone(job, 0.0, None, charged=False)]
    assert push() == Settlement(undone=put_back, unasked=[job], troubled=None)


def test_a_fault_of_ours_in_one_job_holds_up_no_other() -> None:
    job, other = due(), due("job_2")
    settlement = Push(job, other, google=Google(RuntimeError("a fault"), DONE))()
    assert [row.due for row in settlement.undone] == [job]
    assert settlement.undone[0].charged
    assert settlement.done == [other]


def test_a_job_that_cannot_be_rendered_through_a_fault_of_ours_is_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, job = due("job_2"), due()

    def render(job_id: str, *given: Any, **more: Any) -> Wish:
        if job_id == "job_2":
            raise RuntimeError("a fault")
        return wish_for(job_id, *given, **more)

    monkeypatch.setattr("outbox.push.wish_for", render)
    settlement = Push(broken, job, google=Google(DONE))()
    fault = "The event could not be made, through a fault of calendar-sync."
    assert settlement.undone == [Undone(broken, None, fault, charged=True)]
    assert settlement.done == [job]


def test_a_fault_of_ours_in_a_test_push_ends_it_and_nothing_else() -> None:
    job = due()
    push = Push(TEST, job, google=Google(DONE))
    push.store.test = RuntimeError("a fault")
    settlement = push()
    assert settlement.undone == [Undone(TEST, 5.0, None, charged=False)]
    assert settlement.done == [job]
    assert push.store.steps == ["This failed through a fault of calendar-sync. Tell your administrator."]


@pytest.mark.parametrize("failure", [LeaseLostError(), psycopg.OperationalError(), PoolTimeout()])
def test_a_lost_lease_or_database_is_no_fault_of_a_test_push(failure: Exception) -> None:
    push = Push(TEST, google=Google())
    push.store.test = failure
    with pytest.raises(type(failure)):
        push()
    assert push.store.steps == []


def test_a_test_push_that_is_forgotten_is_answered() -> None:
    push = Push(TEST, google=Google())
    assert push() == Settlement(done=[TEST])


def test_a_test_push_without_quota_to_look_waits_for_it_and_has_not_failed() -> None:
    test = TEST._replace(event_id="e9", id_generation=9, in_doubt=True)
    push = Push(test, google=Google(DONE, OUT_OF_BUDGET))
    push.store.test = TakenTestPush("u_1", datetime(2026, 12, 1, tzinfo=UTC), over=False, age_seconds=1.0)
    push.wait = 9.0
    assert push().undone == [Undone(test, 9.0, None, charged=False)]
    assert push.store.steps == ["access", "written"]
    assert [(intent.event_id, intent.id_generation) for intent in push.store.begun] == [("e9", 9)]


@pytest.mark.parametrize("failure", [LeaseLostError(), psycopg.OperationalError(), PoolTimeout()])
def test_a_lost_lease_or_database_ends_the_push_with_nothing_written(failure: Exception) -> None:
    push = Push(standing(), standing("job_2"), google=Google(REFUSED))
    push.store.failures = [failure]
    with pytest.raises(type(failure)):
        push()
    assert push.store.settled == []
    assert all(ration.closed for ration in push.rations)


def test_a_settlement_is_tried_again_over_another_connection() -> None:
    job = due()
    push = Push(job, google=Google(DONE))
    push.store.failures = [psycopg.OperationalError()]
    assert push().done == [job]


@pytest.mark.parametrize("failure", [LeaseLostError(), psycopg.DataError()])
def test_a_settlement_that_cannot_succeed_is_not_repeated(failure: Exception) -> None:
    push = Push(due(), google=Google(DONE))
    push.store.failures = [failure]
    with pytest.raises(type(failure)):
        push()
    assert push.store.settled == []


def test_a_settlement_is_not_tried_beyond_the_lease() -> None:
    push = Push(due(), google=Google())
    push.lease = replace(push.lease, last_call_ends_by=time.monotonic() - 4.0)
    push.store.failures = [psycopg.OperationalError()]
    with pytest.raises(psycopg.OperationalError):
        push()
    assert push.store.settled == []


@pytest.mark.parametrize("failure", [psycopg.DataError(), psycopg.errors.DeadlockDetected(), KeyError("our fault")])
def test_what_was_found_out_is_settled_also_where_no_other_turn_can_be_begun_with_it(failure: Exception) -> None:
    job = due()
    push = Push(job, google=Google(DONE))

    def never(_: object) -> Turn | None:
        raise failure

    pushed = push.pusher.carry_out(push.pusher.open(push.lease), begin=never)
    assert pushed.next_turn is None
    assert [settlement.done for settlement in push.store.settled] == [[job]]


def test_a_turn_that_is_begun_with_a_settlement_comes_after_it() -> None:
    push = Push(due(), google=Google(DONE))
    other = push.pusher.open(push.lease)
    assert push.pusher.carry_out(push.pusher.open(push.lease), begin=lambda _: other).next_turn is other


SCOPE_MISSING = answer(Meaning.SCOPE_MISSING)
TWO = (connection(1), connection(2))


def test_where_one_connection_is_refused_the_next_one_goes_on_and_the_refusal_is_on_record() -> None:
    job = due()
    push = Push(job, google=Google(SCOPE_MISSING, DONE), connections=TWO)
    settlement = push()
    assert push.google.tokens == ["token-1", "token-2"]
    assert push.tokens.recorded == [(1, Broken("needs_reconnect", "missing_scope"), "cal-1")]
    assert [row.seen_by for row in settlement.standing] == [2]
    assert not settlement.troubled


def test_once_everybody_is_refused_the_lane_is_troubled_and_the_job_waits_unharmed() -> None:
    job, behind = due(), due("job_2")
    push = Push(job, behind, google=Google(SCOPE_MISSING, SCOPE_MISSING), connections=TWO)
    settlement = push()
    assert [number for number, _, _ in push.tokens.recorded] == [1, 2]
    assert settlement.undone == [Undone(row, 0.0, None, charged=False) for row in (job, behind)]
    assert settlement.troubled
    assert settlement.unasked == [behind]


def test_who_may_not_push_or_has_to_rest_is_not_even_asked_for_a_token() -> None:
    others = (connection(1, may_push=False), connection(2, cooling_seconds_left=5.0))
    ready = connection(3, cooling_seconds_left=-5.0)
    push = Push(due(), google=Google(DONE), connections=(*others, ready))
    push()
    assert push.tokens.asked == [(3, False)]


def test_where_nobody_can_speak_nothing_is_begun() -> None:
    push = Push(due(), google=Google(), connections=(connection(may_push=False),))
    assert push() == Settlement(troubled=True)
    assert push.store.begun == []


def test_a_connection_without_a_token_gives_way_to_the_next_one() -> None:
    trouble = Resting(OPERATOR_REST_SECONDS, "no key", operators_matter=True)
    push = Push(due(), google=Google(DONE), connections=TWO)
    push.tokens = Tokens({1: [trouble]})
    push()
    assert push.google.tokens == ["token-2"]
    assert push.tokens.recorded == [(1, trouble, "cal-1")]


def test_a_refused_token_is_renewed_and_the_call_repeated() -> None:
    unauthorized = answer(Meaning.UNAUTHORIZED)
    push = Push(due(), due("job_2"), google=Google(unauthorized, DONE, unauthorized, DONE))
    push.tokens = Tokens({1: ["old", "new", "newer"]})
    settlement = push()
    assert push.google.tokens == ["old", "new", "new", "newer"]
    assert push.tokens.asked == [(1, False), (1, True), (1, True)]
    assert push.tokens.recorded == []
    assert len(settlement.standing) == 2


def test_a_new_token_that_is_refused_too_ends_the_connections_part() -> None:
    unauthorized = answer(Meaning.UNAUTHORIZED)
    push = Push(due(), google=Google(unauthorized, unauthorized))
    push.tokens = Tokens({1: ["old", "new"]})
    settlement = push()
    assert push.google.tokens == ["old", "new"]
    assert push.tokens.recorded == [(1, Broken("needs_reconnect", "revoked"), "cal-1")]
    assert settlement.troubled


def test_where_a_token_cannot_be_renewed_its_trouble_is_what_counts() -> None:
    trouble = Broken("needs_reconnect", "blocked_by_admin")
    push = Push(due(), google=Google(answer(Meaning.UNAUTHORIZED), DONE), connections=TWO)
    push.tokens = Tokens({1: ["old", trouble]})
    push()
    assert push.tokens.recorded == [(1, trouble, "cal-1")]
    assert push.google.tokens == ["old", "token-2"]


def test_rests_grow_with_the_failures_of_the_lane() -> None:
    push = Push(due(), google=Google(answer(Meaning.RATE_LIMITED)))
    push.lease = replace(push.lease, failures=2)
    push()
    assert push.tokens.recorded == [(1, Resting(60.0, ""), "cal-1")]


LATER = Settlement(undone=[Undone(standing(), LATE_ARRIVAL_SECONDS, None, charged=False)])


def test_a_write_that_may_still_arrive_is_remembered_when_the_token_is_renewed() -> None:
    unauthorized = answer(Meaning.UNAUTHORIZED, earlier_unknown=True)
    push = Push(standing(), google=Google(DONE, unauthorized, REFUSED))
    assert push() == LATER


def test_a_write_that_may_still_arrive_is_remembered_by_whoever_speaks_next() -> None:
    refused = replace(SCOPE_MISSING, earlier_unknown=True)
    push = Push(standing(), google=Google(DONE, refused, DONE, REFUSED), connections=TWO)
    assert push() == LATER
    assert kinds(push.google) == ["Read", "Update", "Read", "Update"]


def test_an_id_that_google_refuses_goes_on_record_and_its_event_goes_before_the_next_one_comes() -> None:
    job = standing()
    new = answer(Meaning.DONE, {"id": ID_2, "etag": '"1"'})
    push = Push(job, google=Google(DONE, REFUSED, DONE, answer(Meaning.DONE), new))
    settlement = push()
    expected = {"retired": ID_1, "seen_cancelled": False, "event_id": ID_2, "id_generation": 2}
    assert push.store.next_ids == [{"job_id": "job_1", **expected}]
    assert kinds(push.google) == ["Read", "Update", "Read", "Delete", "Insert"]
    inserted = push.google.calls[-1]
    assert isinstance(inserted, Insert)
    assert (inserted.event_id, inserted.body["id"]) == (ID_2, ID_2)
    assert settlement.gone_retired_ids == [ID_1]
    assert [row.resource for row in settlement.standing] == [{"id": ID_2, "etag": '"1"'}]


def test_no_event_comes_under_the_next_id_while_the_old_one_may_stand() -> None:
    job = standing()
    push = Push(job, google=Google(DONE, REFUSED, SILENCE))
    settlement = push()
    assert [row.due for row in settlement.undone] == [job]
    assert (settlement.gone_retired_ids, job.retired_event_ids) == ([], [ID_1])
    assert kinds(push.google) == ["Read", "Update", "Read"]


def test_an_id_whose_event_was_seen_deleted_leaves_nothing_to_remove() -> None:
    push = Push(due(), google=Google(answer(Meaning.GONE), answer(Meaning.DONE, {"id": ID_2, "etag": '"1"'})))
    settlement = push()
    assert [row["seen_cancelled"] for row in push.store.next_ids] == [True]
    assert kinds(push.google) == ["Insert", "Insert"]
    assert settlement.gone_retired_ids == []


def test_events_under_ids_given_up_earlier_go_first_and_once() -> None:
    job = standing(retired_event_ids=["old", "older"])
    job = job._replace(content_hash=content_hash(body_of(job)))
    gone = answer(Meaning.DONE, CANCELLED)
    push = Push(job, google=Google(gone, gone))
    settlement = push()
    assert push.google.calls == [Read("old"), Read("older")]
    assert settlement == Settlement(done=[job], unasked=[job], gone_retired_ids=["old", "older"])


def test_what_is_gone_already_is_not_looked_at_again_by_the_next_one() -> None:
    job = due(retired_event_ids=["old"])
    push = Push(job, google=Google(answer(Meaning.DONE, CANCELLED), SCOPE_MISSING, DONE), connections=TWO)
    push()
    assert kinds(push.google) == ["Read", "Insert", "Insert"]


def test_the_more_urgent_jobs_have_the_push_to_themselves() -> None:
    urgent, backlog = due(), due("job_2", priority=int(Priority.BACKFILL))
    push = Push(urgent, backlog, google=Google(DONE))
    assert push().done == [urgent]
    assert push.outcomes == {"Stands": 1}
    assert [ration.priority for ration in push.rations] == [Priority.LIVE]


def test_a_backlog_gives_way_to_live_edits_in_between() -> None:
    jobs = [due(f"job_{number}", priority=int(Priority.BACKFILL)) for number in range(MOST_BACKLOG_JOBS + 5)]
    push = Push(*jobs, google=Google(*[DONE] * MOST_BACKLOG_JOBS))
    assert push().done == jobs[:MOST_BACKLOG_JOBS]
    assert [ration.priority for ration in push.rations] == [Priority.BACKFILL]


@pytest.mark.parametrize(("priority", "rests"), [(Priority.LIVE, (9.0, 0.0)), (Priority.BACKFILL, (0.0, 9.0))])
def test_without_quota_the_lane_waits_for_it_and_is_in_no_trouble(
    priority: Priority, rests: tuple[float, float]
) -> None:
    push = Push(due(priority=int(priority)), google=Google())
    push.poor, push.wait = [True], 9.0
    settlement = push()
    assert (settlement.rest_seconds, settlement.backlog_rest_seconds) == rests
    assert (settlement.troubled, settlement.undone, push.store.begun) == (None, [], [])
    seconds = push.pusher.seconds_until_quota()
    assert seconds is not None
    assert 0.0 < seconds <= 9.0


def test_an_account_without_quota_gives_way_to_one_that_has_some() -> None:
    push = Push(due(), google=Google(DONE), connections=TWO)
    push.poor = [True, False]
    assert [row.seen_by for row in push().standing] == [2]
    assert push.tokens.recorded == []


@pytest.mark.parametrize(("connections", "rest"), [(TWO[:1], 9.0), (TWO, 0.0)])
def test_a_lane_waits_for_quota_only_if_nobody_else_could_go_on(
    connections: tuple[LaneConnection, ...], rest: float
) -> None:
    push = Push(due(), due("job_2"), google=Google(DONE), connections=connections)
    push.wait, push.store.most_begun = 9.0, 1
    assert push().rest_seconds == rest


def test_a_lane_on_which_everything_was_done_waits_for_nothing() -> None:
    push = Push(due(), google=Google(DONE))
    push.wait = 9.0
    settlement = push()
    assert (settlement.rest_seconds, settlement.troubled) == (0.0, False)
    assert push.pusher.seconds_until_quota() is None


def test_only_as_many_jobs_are_tried_as_there_is_quota_for() -> None:
    jobs = [due(f"job_{number}") for number in range(3)]
    push = Push(*jobs, google=Google(DONE, DONE))
    push.store.most_begun = 2
    settlement = push()
    assert (settlement.done, settlement.undone) == (jobs[:2], [])


def test_quota_that_ends_before_a_write_leaves_the_job_as_certain_as_it_was() -> None:
    job = standing()
    push = Push(job, google=Google(DONE, OUT_OF_BUDGET))
    settlement = push()
    assert settlement == Settlement(unasked=[job], undone=[Undone(job, 0.0, None, charged=False)])
    assert push.tokens.recorded == []


def test_what_was_written_for_one_job_puts_no_other_in_doubt() -> None:
    written, job = due(), due("job_2")
    push = Push(written, job, google=Google(DONE, OUT_OF_BUDGET))
    settlement = push()
    assert (settlement.done, settlement.unasked) == ([written], [job])


def test_quota_that_ends_after_a_write_leaves_the_job_in_doubt() -> None:
    job = standing()
    push = Push(job, google=Google(DONE, answer(Meaning.CHANGED), OUT_OF_BUDGET))
    settlement = push()
    assert settlement == Settlement(undone=[Undone(job, 0.0, None, charged=False)])
    assert isinstance(push.google.calls[1], Update)


# Several jobs in one request


def together(*jobs: DueJob, google: Google, **more: Any) -> Push:
    push = Push(*jobs, google=google, **more)
    push.together = 50
    return push


def test_what_is_due_together_goes_together() -> None:
    jobs = [due(f"job_{number}") for number in range(1, 4)]
    push = together(*jobs, google=Google(DONE, DONE, DONE))
    settlement = push()
    assert (push.google.batches, kinds(push.google)) == ([3], ["Insert"] * 3)
    assert settlement.done == jobs
    assert (push.outcomes, push.progressed) == ({"Stands": 3}, 1)


def test_a_single_change_goes_as_a_plain_request() -> None:
    push = together(due(), google=Google(DONE))
    push()
    assert (push.google.batches, kinds(push.google)) == ([], ["Insert"])


def test_conversations_go_on_together_in_rounds_and_the_last_one_by_itself() -> None:
    changed = answer(Meaning.CHANGED)
    # Of three updates two are refused: they are read together and written again; one of them is refused once more.
    google = Google(DONE, changed, changed, DONE, DONE, DONE, changed, DONE, DONE)
    push = together(*[standing(f"job_{number}") for number in range(1, 4)], google=google)
    push()
    assert google.batches == [3, 2, 2]
    assert kinds(google) == ["Update"] * 3 + ["Read"] * 2 + ["Update"] * 2 + ["Read", "Update"]
    assert push.outcomes == {"Stands": 3}


def test_what_becomes_of_one_job_is_no_other_ones_affair() -> None:
    refused, silent, gone = (due(f"job_{number}") for number in (1, 2, 3))
    google = Google(answer(Meaning.INVALID, message="No"), SILENCE, DONE)
    settlement = together(refused, silent, gone, google=google)()
    assert settlement.done == [gone]
    assert [(row.due, row.problem is None, row.charged) for row in settlement.undone] == [
        (refused, False, True),
        (silent, True, True),
    ]


def test_a_calendar_is_asked_once_what_it_says_of_itself_however_many_want_to_know() -> None:
    missing = answer(Meaning.NOT_FOUND)
    jobs = [standing(f"job_{number}", cancelled=True) for number in range(1, 4)]
    google = Google(missing, missing, missing, answer(Meaning.DONE, {"accessRole": "owner"}))
    push = together(*jobs, google=google)
    settlement = push()
    assert kinds(google) == ["Delete"] * 3 + ["Probe"]
    assert settlement.done == jobs


def test_whoever_is_refused_in_a_batch_is_followed_by_the_next_who_begins_anew() -> None:
    jobs = [due(f"job_{number}") for number in range(1, 4)]
    google = Google(DONE, answer(Meaning.RATE_LIMITED), answer(Meaning.CONFLICT), DONE)
    push = together(*jobs, google=google, connections=[connection(1), connection(2)])
    settlement = push()
    assert google.tokens == ["token-1"] * 3 + ["token-2"]
    assert [standing.seen_by for standing in settlement.standing] == [1, 2]
    assert [row.due.job_id for row in settlement.undone] == ["job_3"]
    assert [number for number, _, _ in push.tokens.recorded] == [1]


def test_a_refused_token_is_renewed_for_the_calls_that_it_was_refused_for() -> None:
    jobs = [due(f"job_{number}") for number in range(1, 4)]
    unauthorized = answer(Meaning.UNAUTHORIZED)
    google = Google(DONE, unauthorized, unauthorized, DONE, DONE)
    push = together(*jobs, google=google)
    settlement = push()
    assert google.batches == [3, 2]
    assert settlement.done == jobs


def test_a_new_id_is_taken_amid_the_others() -> None:
    jobs = [due("job_1"), due("job_2")]
    google = Google(answer(Meaning.GONE), DONE, DONE)
    push = together(*jobs, google=google)
    settlement = push()
    assert [taken["event_id"] for taken in push.store.next_ids] == [ID_2]
    assert [type(call).__name__ for call in google.calls] == ["Insert"] * 3
    assert [call.event_id for call in google.calls if isinstance(call, Insert)][2] == ID_2
    assert settlement.done == jobs


def test_a_job_with_an_event_under_a_former_id_goes_by_itself() -> None:
    jobs = [due("job_1"), due("job_2", retired_event_ids=["old"]), due("job_3"), due("job_4")]
    google = Google(DONE, answer(Meaning.NOT_FOUND), answer(Meaning.DONE, {"accessRole": "owner"}), DONE, DONE, DONE)
    push = together(*jobs, google=google)
    settlement = push()
    assert google.batches == [2]
    assert settlement.gone_retired_ids == ["old"]
    assert push.outcomes == {"Stands": 4}


def test_calls_go_fewer_at_once_after_they_were_too_many() -> None:
    jobs = [due(f"job_{number}") for number in range(1, 8)]
    google = Google(*[DONE] * 7)
    google.crowded = [True]
    push = together(*jobs, google=google)
    push.together = 4
    push()
    assert google.batches == [4, 2]
    assert push.outcomes == {"Stands": 7}


def test_a_batch_that_cannot_be_made_is_tried_job_by_job_the_next_time() -> None:
    jobs = [due("job_1"), due("job_2")]
    google = Google(RuntimeError("a fault of ours"))
    push = together(*jobs, google=google)
    settlement = push()
    assert [row.due for row in settlement.undone] == jobs
    google.answers, push.store.settled = [DONE, DONE], []
    push.pusher.push(push.lease)
    assert google.batches == [2]


def test_a_write_sent_with_others_leaves_its_job_in_doubt_if_nobody_could_go_on() -> None:
    jobs = [due("job_1"), due("job_2")]
    google = Google(answer(Meaning.RATE_LIMITED), OUT_OF_BUDGET)
    settlement = together(*jobs, google=google)()
    assert settlement.unasked == [jobs[1]]
    assert [row.due for row in settlement.undone] == jobs


# What a job looks like


def test_what_the_relay_has_rendered_is_pushed_without_reading_it_again() -> None:
    job = due(version=7)
    rendering = rendering_of("job_1", json.dumps({**PAYLOAD, "job_number": "J-rendered"}), job_url_template=URL)
    push = Push(job, google=Google(DONE))
    push.renderings.remember({("acme", 7): rendering, ("other", 8): rendering})
    settlement = push()
    [call] = push.google.calls
    assert isinstance(call, Insert)
    assert str(call.body["summary"]).startswith("J-rendered")
    assert settlement.done == [job._replace(payload=None)]


def test_a_cancelled_job_is_not_even_read() -> None:
    job = standing(cancelled=True, payload="{}")
    push = Push(job, google=Google(answer(Meaning.DONE)))
    assert push().done == [job]
