"""The app keeps to its own description, whatever is sent to it: statuses, headers and bodies, and never a 5xx."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from tests.integration.conftest import World
from tests.integration.web_client import Site, open_site, token_of
from web.api.paths import DESCRIPTION
from web.api.table import OPERATIONS, Operation
from web.limits import LIMITS, Limit

EXAMPLES = 20
"""Made up for each operation, beyond those at the bounds: what fits the description and what does not."""


@pytest.fixture
def site(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    # To be told to wait is an answer too, but after a few of them there would be no other.
    monkeypatch.setattr("web.limits.LIMITS", dict.fromkeys(LIMITS, Limit(burst=1_000_000, period=1)))
    with open_site(world) as site:
        yield site


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_the_app_keeps_to_its_description(site: Site, operation: Operation) -> None:
    schema = schemathesis.openapi.from_wsgi(DESCRIPTION, site.app)
    described = schema[operation.path][operation.method]
    site.connect(site.user("u_ana"))
    token = {"Authorization": f"Bearer {token_of(site.user('u_ana'))}"}

    # One by one: each bound of each field, each field missing, other types, other methods.
    for case in schema.iter_coverage_cases(
        described, generation_modes=list(GenerationMode), generation_config=schema.config.generation
    ):
        case.call_and_validate(headers=token)

    fitting, misfit = (described.as_strategy(generation_mode=mode) for mode in GenerationMode)

    @settings(max_examples=EXAMPLES, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=fitting | misfit)
    def ask(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(headers=token)

    ask()
