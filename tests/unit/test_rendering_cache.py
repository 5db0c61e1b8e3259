"""What jobs look like, and what is remembered of it."""

from outbox.rendering import Rendering, rendering_of
from outbox.rendering_cache import ENTRY_BYTES, MOST_OF_A_TENANT, RenderingCache

LOOK = Rendering((), None, None)
TWO_AND_A_HALF = ENTRY_BYTES * 5 // 2
"""Bytes that are enough for two that look like next to nothing."""


def rendering(notes: str) -> Rendering:
    """Of a job with these notes."""
    window = '{"start": "2027-03-01T08:00:00-06:00", "end": "2027-03-01T10:00:00-06:00"}'
    job = f'"job_number": "J-1", "legs": [{{"delivery_window": {window}}}], "manifest": {{"notes": "{notes}"}}'
    return rendering_of("j", f'{{"schema_version": 1, {job}}}', job_url_template="https://app.example.com/{job_id}")


def test_what_was_made_is_found_by_tenant_and_version() -> None:
    renderings = RenderingCache()
    other, full = Rendering(("u_ana",), None, None), rendering("Ring twice – по-русски")
    renderings.remember({("acme", 1): LOOK, ("acme", 2): full, ("other", 1): other})
    assert dict(renderings.of_tenant("acme")) == {1: LOOK, 2: full}
    assert dict(renderings.of_tenant("other")) == {1: other}
    assert dict(renderings.of_tenant("nobody")) == {}


def test_the_oldest_are_forgotten_for_new_ones() -> None:
    renderings = RenderingCache(most_bytes=TWO_AND_A_HALF)
    renderings.remember({("acme", version): LOOK for version in (1, 2)})
    renderings.remember({("other", 3): LOOK})
    assert (list(renderings.of_tenant("acme")), list(renderings.of_tenant("other"))) == ([2], [3])
    renderings.remember({("other", version): LOOK for version in (4, 5)})
    assert list(renderings.of_tenant("acme")) == []
    assert set(renderings.of_tenant("other")) == {4, 5}


def test_long_texts_leave_room_for_fewer() -> None:
    renderings = RenderingCache(most_bytes=10_000)
    renderings.remember({("acme", version): rendering("x" * 400) for version in range(100)})
    assert 5 < len(renderings.of_tenant("acme")) < 15


def test_what_is_relayed_once_more_after_a_fault_is_kept_once() -> None:
    renderings = RenderingCache(most_bytes=TWO_AND_A_HALF)
    for _ in range(3):
        renderings.remember({("acme", 1): LOOK, ("acme", 2): LOOK})
    assert set(renderings.of_tenant("acme")) == {1, 2}


def test_of_a_large_tenant_the_latest_are_offered() -> None:
    renderings = RenderingCache()
    renderings.remember({("acme", version): LOOK for version in range(MOST_OF_A_TENANT + 10)})
    assert set(renderings.of_tenant("acme")) == set(range(10, MOST_OF_A_TENANT + 10))


def test_what_was_given_out_stays_whatever_is_forgotten() -> None:
    renderings = RenderingCache(most_bytes=ENTRY_BYTES * 3 // 2)
    renderings.remember({("acme", 1): LOOK})
    given = renderings.of_tenant("acme")
    renderings.remember({("acme", 2): LOOK})
    assert dict(given) == {1: LOOK}
