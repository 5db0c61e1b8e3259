"""What the model plays in, from the integration tests."""

from tests.integration.conftest import google, google_process, make_world, world

__all__ = ["google", "google_process", "make_world", "world"]
