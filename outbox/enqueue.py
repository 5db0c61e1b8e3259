"""For producers in Python: one call inside the transaction that changes the job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import psycopg

from outbox.payload import InvalidPayload, parse_payload_text
from outbox.statements import statement

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

EventType = Literal["job.created", "job.updated", "job.cancelled"]

_LONGEST_KEY = 200
"""Characters that a tenant's or a job's key may have; the table holds the same rule."""


def enqueue_job_event(
    connection: psycopg.Connection[Any] | Connection | Session,
    *,
    tenant_id: str,
    job_id: str,
    event_type: EventType,
    payload: Mapping[str, Any],
) -> None:
    """Insert one lifecycle row, in the transaction that `connection` is in. Never commits.

    Lock or change the job's own row first, in the same transaction, and take the payload from it: only then is a later
    row also the newer one. The role needs INSERT on `calendar_sync.outbox` and nothing else.

    Args:
        connection: the caller's psycopg connection, SQLAlchemy Connection or Session.
        tenant_id: the producer's tenant key, 1 to 200 characters.
        job_id: the producer's job key, unique within the tenant, 1 to 200 characters.
        event_type: "job.created", "job.updated" or "job.cancelled".
        payload: the job's whole state after the change; may be empty for "job.cancelled".

    Raises:
        ValueError: a key or the event type is not legal.
        InvalidPayload: the payload breaks the contract; the message begins with the field (a ValueError too).
        TypeError: `connection` is none of the three.
    """
    for name, key in (("tenant_id", tenant_id), ("job_id", job_id)):
        if not isinstance(key, str) or not 1 <= len(key) <= _LONGEST_KEY or not _is_storable(key):
            raise ValueError(f"{name}: must be a string of 1 to {_LONGEST_KEY} characters, got {key!r:.60}")
    if event_type not in get_args(EventType):
        raise ValueError(f"event_type: must be one of {', '.join(get_args(EventType))}, got {event_type!r:.60}")
    text = _dump(payload)
    if event_type != "job.cancelled":
        parse_payload_text(text)
    row = {"tenant_id": tenant_id, "job_id": job_id, "event_type": event_type, "payload": text}
    insert = statement("producer/insert_event")
    if isinstance(connection, psycopg.Connection):
        connection.execute(insert, row)
        return
    # Loaded here: it takes a third of a second, and neither the daemon nor a producer with psycopg alone needs it.
    from sqlalchemy import Connection  # noqa: PLC0415
    from sqlalchemy.orm import Session  # noqa: PLC0415

    if isinstance(connection, Session):
        # The job's change must reach the database, and lock the job's row, before the outbox row gets its id.
        connection.flush()
        connection = connection.connection()
    if not isinstance(connection, Connection):
        raise TypeError(
            "connection: must be a psycopg Connection, a SQLAlchemy Connection or a SQLAlchemy Session, "
            f"got {type(connection).__name__}"
        )
    connection.exec_driver_sql(insert.as_string(), row)


def _is_storable(text: str) -> bool:
    """Whether Postgres can hold it: no NUL, and no half of a surrogate pair."""
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text)


def _dump(payload: Mapping[str, Any]) -> str:
    """The payload as JSON that Postgres takes, so that the caller's transaction cannot fail of it."""
    try:
        text = json.dumps(payload, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidPayload(f"payload: cannot be written as JSON ({error}); send plain JSON values") from None
    if not _is_storable(text) or "\\u0000" in text.replace("\\\\", ""):
        raise InvalidPayload("payload: holds a NUL or half of a surrogate pair, which Postgres cannot store; remove it")
    return text
