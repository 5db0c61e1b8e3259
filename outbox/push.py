"""One push of one lane: compare what is due with what stands there, send the difference, settle the answers."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import psycopg
import structlog
from psycopg_pool import PoolTimeout
from tenacity import Retrying, retry_if_exception_type, sleep_using_event, wait_exponential, wait_random

from outbox.access import Access
from outbox.batching import BatchSizes
from outbox.budget import Budget, Ration
from outbox.dialogue import Dialogue, Unspoken
from outbox.findings import Findings
from outbox.google.client import GoogleCalendar
from outbox.lane import DueJob, Intent, Lease, LeaseLostError, Settlement
from outbox.lane_store import Begun, Drawing, LaneStore, Look
from outbox.metrics import COMMIT_TO_PUSH, LIMITED, count_push
from outbox.payload import InvalidPayload
from outbox.plan import Impossible, TryLater, Unchanged, needs_call
from outbox.quota import Priority
from outbox.rehearsal import Rehearsal, is_test
from outbox.rendering import Rendering, rendering_of
from outbox.rendering_cache import RenderingCache
from outbox.speakers import Speakers
from outbox.todo import Todo, first_known, known_of
from outbox.turn import Begin, Pushed, Turn, no_turn, with_turn
from outbox.wish import wish_for

log = structlog.get_logger(__name__)

MOST_JOBS = 50
"""Jobs in one push, so that a long backlog gives way to other lanes in between."""

MOST_BACKLOG_JOBS = 20
"""The same for jobs that are not live and cannot go together, so that a live edit that comes meanwhile waits a second
or two.
"""

MOST_SECONDS = 15.0
"""No call of a push starts later than this after its first, for the same reason."""

LEAST_CALL_SECONDS = 3.0
"""A call is not started with less time than this."""

QUICK_BYTES = 100_000
"""Payloads that are read in some milliseconds, for which others may be kept waiting."""

SETTLE_SECONDS = 3.0
"""Settling is tried again until so long after the last moment for a call, which is still before the lease ends."""

QUOTA_GRACE_SECONDS = 2.0
"""A lane that waited for quota is leased within this after there is some, unless something else holds it up."""


class LanePusher:
    """Pushes leased lanes; one instance serves all threads."""

    def __init__(
        self,
        store: LaneStore,
        access: Access,
        calendar: GoogleCalendar,
        budget: Budget,
        *,
        job_url_template: str,
        renderings: RenderingCache,
        sizes: BatchSizes,
        stop: threading.Event,
    ) -> None:
        self._store = store
        self._access = access
        self._calendar = calendar
        self._budget = budget
        self._job_url_template = job_url_template
        self._renderings = renderings
        self._sizes = sizes
        self._stop = stop
        self._quota_at: dict[tuple[str, str], float] = {}

    def push(self, lease: Lease, progress: Callable[[], None] = lambda: None) -> Mapping[str, int]:
        """Push what is due on the lane, settle, release; as `open` and `carry_out`."""
        return self.carry_out(self.open(lease), progress).outcomes

    def open(self, lease: Lease) -> Turn:
        """Begin a turn, in a transaction of its own.

        Raises:
            LeaseLostError, psycopg.Error: as `carry_out`.
        """
        turn = None
        try:
            with self._store.looking(lease) as look:
                turn = self.begin(look)
        except psycopg.errors.DeadlockDetected:
            if turn is None:
                raise
            turn.drawn = None  # it was told at the commit: nothing of what was begun stands
        return turn

    def begin(self, look: Look) -> Turn:
        """Begin a turn, in the transaction of whoever looks: it has to be committed before anything else."""
        turn = self._read(look)
        turn.drawn = self._begin_at_once(look, turn)
        return turn

    def carry_out(
        self,
        turn: Turn,
        progress: Callable[[], None] = lambda: None,
        begin: Begin = no_turn,
    ) -> Pushed:
        """Push what is due on the lane, settle, release.

        Args:
            progress: called before each job, to tell a long push from one that waits.
            begin: begins another lane's turn in the transaction that settles this one.

        Raises:
            LeaseLostError: the lease ended on the way; nothing more was written, and the next holder looks again.
            psycopg.Error: the database failed; the lease runs out by itself, and what was called is in doubt.
        """
        lease, drawn = turn.lease, turn.drawn
        starts_until = min(time.monotonic() + MOST_SECONDS, lease.last_call_ends_by - LEAST_CALL_SECONDS)

        def out_of_time() -> bool:
            return self._stop.is_set() or time.monotonic() >= starts_until

        found, speakers, ration = turn.found, turn.speakers, turn.ration
        dialogue = Dialogue(
            lease, self._store, self._calendar, speakers, ration=ration, sizes=self._sizes, out_of_time=out_of_time
        )
        try:
            begun = drawn.take_up() if drawn is not None else 0
            if drawn is not None and not begun and (speaker := speakers.at_hand()):
                speakers.pass_over(speaker)
            if turn.todo is None:
                turn.todo = self._sort(lease, turn, self._without_tests(lease, turn, out_of_time))
            todo = turn.todo
            begun = begun or self._begin(lease, todo, speakers, ration)
            for portion in self._portions(lease, todo[:begun]):
                if found.in_vain or out_of_time() or not speakers.current():
                    for job in portion:
                        found.put_back(job.due, unasked=True)
                else:
                    progress()
                    self._push_portion(lease, found, dialogue, portion)
        finally:
            ration.close()
        left_undone = begun < len(todo) or bool(found.settlement.undone)
        found.settlement.gone_retired_ids = dialogue.gone_retired_ids
        found.conclude(failures=lease.failures, exhausted=speakers.exhausted, asked=dialogue.asked, left=left_undone)
        quota_at = -math.inf
        if left_undone and speakers.alone and (wait := ration.wait) > 0:
            # Nobody else could have gone on: the lane comes back when there is something to go on with.
            found.wait_for_quota(wait, live=ration.priority is Priority.LIVE)
            quota_at = time.monotonic() + wait
            LIMITED["budget"].inc()
        next_turn = self._settle(lease, found.settlement, begin)
        _count(found, time.monotonic() - turn.read_at)
        self._note_quota(lease, quota_at)
        return Pushed(found.outcomes, next_turn)

    def seconds_without_budget(self, priority: Priority) -> float:
        """How long it is no use to begin such a push, because the project has nothing left."""
        return self._budget.seconds_without(priority)

    def seconds_until_quota(self) -> float | None:
        """Until the first of the lanes that wait for quota, and for nothing else, has some; None if none waits.

        A lane that was not pushed again soon after it could have been waits for something else by now.
        """
        now = time.monotonic()
        waits = [at - now for at in list(self._quota_at.values()) if at + QUOTA_GRACE_SECONDS > now]
        return max(0.0, min(waits)) if waits else None

    def _note_quota(self, lease: Lease, at: float) -> None:
        if at > time.monotonic():
            self._quota_at[_lane(lease)] = at
        else:
            self._quota_at.pop(_lane(lease), None)

    def _read(self, look: Look) -> Turn:
        lease = look.lease
        rendered = self._renderings.of_tenant(lease.tenant_id)
        due, connections = look.read(limit=MOST_JOBS, without=list(rendered))
        due = _of_one_priority(due, together=self._sizes.of(_lane(lease)))
        ration = self._budget.ration(lease, Priority(due[0].priority) if due else Priority.LIVE)
        speakers = Speakers(self._access, lease, connections)
        return Turn(lease, due, connections, rendered, Findings(self._stop.is_set), speakers, ration, time.monotonic())

    def _begin_at_once(self, look: Look, turn: Turn) -> Begun | None:
        """Decide and begin where that takes nobody else, in the transaction that has read what is due."""
        if look.in_passing and sum(len(job.payload or "") for job in turn.due) > QUICK_BYTES:
            return None
        if any(map(is_test, turn.due)) or not (speaker := turn.speakers.at_hand()):
            return None
        turn.todo = self._sort(turn.lease, turn, turn.due)
        affordable = turn.ration.affordable_at_hand([job.units for job in turn.todo])
        if not turn.todo or not affordable:
            return None
        intents = [job.intent for job in turn.todo[:affordable]]
        return look.begin(intents, turn.ration.of(speaker.connection))

    def _begin(self, lease: Lease, todo: list[Todo], speakers: Speakers, ration: Ration) -> int:
        """Put on record what is about to be tried through the first speaker whose account has units for it."""
        while todo and (speaker := speakers.current()):
            affordable = ration.affordable([job.units for job in todo])
            if affordable:
                intents = [job.intent for job in todo[:affordable]]
                begun = self._store_intents(lease, intents, ration.of(speaker.connection))
                if begun:
                    return begun
            speakers.pass_over(speaker)
        return 0

    def _store_intents(self, lease: Lease, intents: list[Intent], drawing: Drawing) -> int:
        """A deadlock costs another try: nothing is sent yet."""
        try:
            return self._store.begin(lease, intents, drawing)
        except psycopg.errors.DeadlockDetected:
            return self._store.begin(lease, intents, drawing)

    def _settle(self, lease: Lease, settlement: Settlement, begin: Begin) -> Turn | None:
        """A connection that broke costs another try, not what was found out; the lease fences each."""
        ends = lease.last_call_ends_by + SETTLE_SECONDS
        for attempt in Retrying(
            retry=retry_if_exception_type((psycopg.OperationalError, PoolTimeout)),
            stop=lambda _: self._stop.is_set() or time.monotonic() >= ends,
            wait=wait_exponential(multiplier=0.1, max=1.0) + wait_random(0, 0.1),
            sleep=sleep_using_event(self._stop),
            reraise=True,
        ):
            with attempt:
                return with_turn(partial(self._store.settle, lease, settlement), begin)[1]
        return None

    def _sort(self, lease: Lease, turn: Turn, due: Sequence[DueJob]) -> list[Todo]:
        """Settle what needs no call; return the rest with what is wished and known."""
        found, connections, todo = turn.found, turn.connections, []
        for job in due:
            known = known_of(job)
            try:
                wish = wish_for(
                    job.job_id,
                    self._rendering(job, turn.rendered),
                    tenant_id=lease.tenant_id,
                    calendar_id=lease.calendar_id,
                    cancelled=bool(job.cancelled),
                    known=known,
                    wishers=connections,
                )
            except InvalidPayload as invalid:
                found.note(job, Impossible(str(invalid)))
                continue
            except Exception:  # a job that finds a fault in our rendering must not hold up the others
                log.exception("job_not_rendered")
                found.note(job, Impossible("The event could not be made, through a fault of calendar-sync."))
                continue
            # What was there before a job was forgotten stays, unless everybody wants all of it gone.
            ours = job.job_exists or is_test(job) or all(connection.emptying for connection in connections)
            if ours and (needs_call(wish, known) or job.retired_event_ids):
                todo.append(Todo(job, wish, known or first_known(lease, job), lone=len(due) == 1))
            else:
                found.note(job, Unchanged())
        return todo

    def _rendering(self, due: DueJob, rendered: Mapping[int, Rendering]) -> Rendering | None:
        if due.version is None or due.cancelled:
            return None
        if due.payload is None:
            return rendered[due.version]
        return rendering_of(due.job_id, due.payload, job_url_template=self._job_url_template)

    def _without_tests(self, lease: Lease, turn: Turn, out_of_time: Callable[[], bool]) -> list[DueJob]:
        """What is due, but for the test pushes, which are carried out."""
        rehearsal = Rehearsal(
            lease, self._store, self._access, self._calendar, turn.connections, turn.ration, out_of_time
        )
        return [job for job in turn.due if not (is_test(job) and self._rehearse(turn.found, rehearsal, job, lease))]

    def _rehearse(self, found: Findings, rehearsal: Rehearsal, test: DueJob, lease: Lease) -> bool:
        """Carry out a test push; False if nothing is left of it but an event that must not be there."""
        try:
            return rehearsal.carry_out(test, known_of(test) or first_known(lease, test), found.settlement)
        except (LeaseLostError, psycopg.Error, PoolTimeout):
            raise
        except Exception:  # as below
            log.exception("test_push_failed")
            rehearsal.give_up(test, found.settlement)
            return True

    def _portions(self, lease: Lease, todo: Sequence[Todo]) -> Iterator[Sequence[Todo]]:
        """What goes to Google together: as many as may, at the moment; but one whose former event has to go first goes
        by itself.
        """
        left = deque(todo)
        while left:
            portion = [left.popleft()]
            most = self._sizes.of(_lane(lease))
            while left and len(portion) < most and not (portion[0].alone or left[0].alone):
                portion.append(left.popleft())
            yield portion

    def _push_portion(self, lease: Lease, found: Findings, dialogue: Dialogue, jobs: Sequence[Todo]) -> None:
        try:
            if len(jobs) == 1:
                said = [dialogue.talk(jobs[0].topic, lone=jobs[0].lone)]
            else:
                said = dialogue.talk_together([job.topic for job in jobs])
        except (LeaseLostError, psycopg.Error, PoolTimeout):
            raise
        except Exception:  # a job that finds a fault of ours must not hold up the others: it waits, in doubt
            log.exception("push_of_jobs_failed", jobs=len(jobs))
            self._sizes.cannot_go_together(_lane(lease))
            for job in jobs:
                found.note(job.due, TryLater("a fault of calendar-sync"))
            return
        for job, spoken in zip(jobs, said, strict=True):
            if isinstance(spoken, Unspoken):
                found.put_back(job.due, unasked=not spoken.wrote)
            else:
                found.note(job.due, spoken.outcome, spoken)
        if len(jobs) == 1 and not found.in_vain:
            self._sizes.went_well(_lane(lease))


def _count(found: Findings, seconds_since_read: float) -> None:
    """What came of a push that has settled."""
    count_push(found.counts)
    answered = {standing.job_id for standing in found.settlement.standing}
    for job in found.settlement.done:
        if job.priority == Priority.LIVE and job.job_id in answered:
            COMMIT_TO_PUSH.observe(job.seconds_since_marked + seconds_since_read)


def _lane(lease: Lease) -> tuple[str, str]:
    return lease.tenant_id, lease.calendar_id


def _of_one_priority(due: list[DueJob], *, together: int) -> list[DueJob]:
    """Those as urgent as the first: what is less so uses less of the quota, and waits for another turn."""
    most = MOST_JOBS if not due or due[0].priority == Priority.LIVE else max(together, MOST_BACKLOG_JOBS)
    return [job for job in due if job.priority == due[0].priority][:most]
