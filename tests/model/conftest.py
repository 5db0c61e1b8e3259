"""What the model plays in, from the integration tests. `make model` runs it; the test command does not."""

import os

from tests.integration.conftest import google, google_process, make_world, world

__all__ = ["collect_ignore_glob", "google", "google_process", "make_world", "world"]

collect_ignore_glob = [] if "CALENDAR_SYNC_MODEL_STORIES" in os.environ else ["test_*.py"]
