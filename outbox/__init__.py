"""The road from an outbox row to an event in a dispatcher's Google calendar.

A producer needs one name of this package: `enqueue_job_event`.
"""

from outbox.enqueue import enqueue_job_event
from outbox.payload import InvalidPayload

__all__ = ["InvalidPayload", "enqueue_job_event"]
