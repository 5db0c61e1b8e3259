"""The whole engine against a model: random stories over the real code, a real Postgres and the sandbox over HTTP.

A story is what producers, users, two daemons, Google and time do, in any order (`machine.py`, `choices.py`). The model
knows what must come of it without asking the engine (`expected.py`). Google's own records are looked at after every
step: no job stands twice in a calendar, nothing older follows something newer, nothing shows that was not
committed, and no grant is used where its user has not chosen, nor while he pauses or is disconnected (`watch.py`).
In between and at the end everything heals and comes to rest (`rest.py`), and then every calendar has to show exactly
what is wanted, with its owner's colours.

It was checked that the model finds these faults when they are planted:

FOUND

`make model` runs many more and longer stories; the seed that it prints repeats them.
"""

import os

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from structlog.testing import capture_logs
from tenacity import wait_none

from tests.integration.conftest import World
from tests.model.daemons import open_backstage
from tests.model.machine import Story

SHARDS = 2
"""Of one run, told at once where there is room."""

STORIES, STEPS, SEED = 40, 40, 1
"""Of all shards together, in the test command."""


@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_story_ends_as_the_model_says(world: World, monkeypatch: pytest.MonkeyPatch, shard: int) -> None:
    stories = int(os.environ.get("CALENDAR_SYNC_MODEL_STORIES", STORIES)) // SHARDS
    steps = int(os.environ.get("CALENDAR_SYNC_MODEL_STEPS", STEPS))
    chosen_seed = int(os.environ.get("CALENDAR_SYNC_MODEL_SEED", SEED))
    print(f"{stories} stories of up to {steps} steps, shard {shard} of seed {chosen_seed}")
    monkeypatch.setattr("outbox.google.client._BACKOFF", wait_none())  # the clock stands still meanwhile
    with capture_logs() as log, open_backstage(world) as backstage:

        class ThisStory(Story):
            def __init__(self) -> None:
                super().__init__(backstage, log)

        run_state_machine_as_test(
            seed(chosen_seed * SHARDS + shard)(ThisStory),
            settings=settings(
                max_examples=stories,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
    print(*(f"{count:7} {name}" for name, count in sorted(backstage.happened.items())), sep="\n")
