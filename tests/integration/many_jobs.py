"""A tenant with very many jobs, put there in one statement: the relay's work is not what these tests are about."""

import psycopg
from psycopg.types.json import Jsonb

PAYLOAD = {
    "schema_version": 1,
    "status": "scheduled",
    "timezone": "America/Chicago",
    "manifest": {
        "items": [
            {"description": "Palletised paint", "quantity": 12, "unit": "pallet", "weight_kg": 5400},
            {"description": "Thinner, 20 l drums", "quantity": 40, "unit": "drum", "weight_kg": 720.5},
        ],
        "notes": "Liftgate. Call the yard half an hour ahead.",
    },
    "crew": [{"name": "A driver", "email": "driver@example.com", "role": "driver"}],
}

INSERT = """
    INSERT INTO calendar_sync.job (tenant_id, job_id, version, cancelled, payload, ends_at, updated_at)
    SELECT %(tenant)s, 'job_' || number, number, false,
           %(payload)s::jsonb || jsonb_build_object(
               'job_number', 'J-' || number,
               'assigned_user_ids', jsonb_build_array('u_' || number %% 10),
               'legs', jsonb_build_array(jsonb_build_object(
                   'summary', 'Dallas → Memphis',
                   'dispatch_window', jsonb_build_object('start', ends_at - interval '8 hours', 'end', NULL),
                   'delivery_window', jsonb_build_object('start', NULL, 'end', ends_at),
                   'stops', jsonb_build_array(
                       jsonb_build_object('name', 'Warehouse 4', 'address', '1201 Main St, Dallas, TX 75202'),
                       jsonb_build_object('name', 'River Depot', 'address', '88 Union Ave, Memphis, TN 38103')
                   )
               ))
           ),
           ends_at, calendar_sync.now()
    FROM generate_series(1, %(count)s) AS number,
         date_trunc('second', calendar_sync.now()) AS moment (now),
         LATERAL (SELECT now + make_interval(mins => 30 * (number - %(past)s))) AS end_of (ends_at)
"""


def insert_jobs(connection: psycopg.Connection[tuple[object, ...]], tenant: str, count: int, *, past: int) -> None:
    """Jobs J-1 to J-`count`, half an hour apart, the first `past` over; each is assigned to one of u_0 to u_9."""
    connection.execute(INSERT, {"tenant": tenant, "count": count, "past": past, "payload": Jsonb(PAYLOAD)})
    connection.execute("ANALYZE calendar_sync.job")
