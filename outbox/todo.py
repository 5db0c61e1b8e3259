"""What a push has to do for one job: what is wished, what is known, and what it will probably cost. Pure."""

import json
from dataclasses import dataclass

from outbox.dialogue import Topic
from outbox.google.resource import event_id
from outbox.lane import DueJob, Intent, Lease
from outbox.plan import Known, Wish

SUSPICIOUS_STARTS = 3
"""So many pushes of a job in a row that never came to an end are no accident any more."""


@dataclass(frozen=True, slots=True)
class Todo:
    """A job that needs a call; `lone` if nothing else is to be done, so that there is time to look before an update."""

    due: DueJob
    wish: Wish
    known: Known
    lone: bool

    @property
    def intent(self) -> Intent:
        """What goes on record before it is tried."""
        known, present = self.known, self.wish.body is not None
        return Intent(self.due, known.event_id, known.id_generation, present=present, units=self.units)

    @property
    def topic(self) -> Topic:
        """What there is to be talked about."""
        return Topic(self.due, self.wish, self.known)

    @property
    def alone(self) -> bool:
        """Whether it cannot go with others: an event under an id that was given up has to go first; or it may be what
        ends each push that it is in.
        """
        return bool(self.due.retired_event_ids) or self.due.unsettled_starts >= SUSPICIOUS_STARTS

    @property
    def units(self) -> int:
        """Of quota that it usually takes: one for a write, and two more where it may have to be looked at before."""
        known = self.known
        sure = not self.due.in_doubt and (not known.ever_confirmed or (known.etag is not None and not self.lone))
        return 1 if sure and not self.due.retired_event_ids else 3


def known_of(due: DueJob) -> Known | None:
    """What is on record for the job; None if nothing was ever begun for it here."""
    if due.event_id is None or due.id_generation is None:
        return None
    return Known(
        due.event_id,
        due.id_generation,
        in_doubt=bool(due.in_doubt),
        etag=due.etag,
        content_hash=due.content_hash,
        users_fields=None if due.users_fields is None else json.loads(due.users_fields),
        seen_by=due.seen_by,
        ever_confirmed=due.ever_confirmed,
        seconds_since_write=due.seconds_since_write,
    )


def first_known(lease: Lease, due: DueJob) -> Known:
    """What will be on record once something is begun for it here for the first time."""
    return Known(event_id(lease.tenant_id, lease.calendar_id, due.job_id, 1), 1, in_doubt=True)
