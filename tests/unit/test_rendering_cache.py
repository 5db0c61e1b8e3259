"""What jobs look like, and what is remembered of it."""

from outbox.rendering import Rendering
from outbox.rendering_cache import MOST_OF_A_TENANT, RenderingCache

LOOK = Rendering((), None, None)


def test_what_was_made_is_found_by_tenant_and_version() -> None:
    renderings = RenderingCache()
    other = Rendering(("u_ana",), None, None)
    renderings.remember({("acme", 1): LOOK, ("other", 1): other})
    assert renderings.of_tenant("acme") == {1: LOOK}
    assert renderings.of_tenant("other") == {1: other}
    assert renderings.of_tenant("nobody") == {}


def test_the_oldest_are_forgotten_for_new_ones() -> None:
    renderings = RenderingCache(most=3)
    renderings.remember({("acme", version): LOOK for version in (1, 2)})
    renderings.remember({("other", 3): LOOK, ("acme", 4): LOOK})
    assert list(renderings.of_tenant("acme")) == [2, 4]
    renderings.remember({("other", version): LOOK for version in (5, 6, 7)})
    assert renderings.of_tenant("acme") == {}
    assert list(renderings.of_tenant("other")) == [5, 6, 7]


def test_of_a_large_tenant_the_latest_are_offered() -> None:
    renderings = RenderingCache()
    renderings.remember({("acme", version): LOOK for version in range(MOST_OF_A_TENANT + 10)})
    assert list(renderings.of_tenant("acme")) == list(range(10, MOST_OF_A_TENANT + 10))


def test_what_was_given_out_stays_whatever_is_forgotten() -> None:
    renderings = RenderingCache(most=1)
    renderings.remember({("acme", 1): LOOK})
    given = renderings.of_tenant("acme")
    renderings.remember({("acme", 2): LOOK})
    assert given == {1: LOOK}
