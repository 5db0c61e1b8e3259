"""The description of the API says what there is: every route, every body, every refusal."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import falcon.inspect
import jsonschema_rs
import pytest
from pydantic import BaseModel

from outbox.crypto import generate_key
from web.api.openapi import describe
from web.api.paths import PAGE
from web.api.table import OPERATIONS, REFUSALS
from web.app import App, create_app
from web.settings import WebSettings

WEB = Path(__file__).parents[2] / "web"

APP_SOURCES = [path for path in WEB.rglob("*.py") if not {"sandbox", "demo"}.intersection(path.relative_to(WEB).parts)]


@pytest.fixture
def app() -> Iterator[App]:
    """The whole app over a database that nobody asks."""
    settings = {
        "database_url": "postgresql://nobody@127.0.0.1:1/nothing",
        "google_oauth_client_id": "client",
        "google_oauth_client_secret": "secret",
        "google_oauth_redirect_uri": "https://app.example.com/api/v1/integrations/google-calendar/callback",
        "token_encryption_keys": f"one:{generate_key()}",
        "public_base_url": "https://app.example.com",
        "auth_jwt_key": "a key that the host app and these tests share",
    }
    app = create_app(WebSettings.model_validate(settings))
    yield app
    app.close()


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The description, as it is served."""
    described: dict[str, Any] = json.loads(json.dumps(describe("session")))
    return described


def test_the_routes_and_the_description_are_the_same_set(app: App, document: dict[str, Any]) -> None:
    routed = {
        (method.method.lower(), route.path)
        for route in falcon.inspect.inspect_routes(app)
        for method in route.methods
        if not method.internal and not route.path.startswith(f"{PAGE}/")
    }
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    heads = {("head", path) for method, path in described if method == "get"}
    assert routed - heads == described


def test_head_answers_wherever_something_is_read_and_nothing_happens(app: App) -> None:
    methods = {
        route.path: {method.method for method in route.methods if not method.internal}
        for route in falcon.inspect.inspect_routes(app)
    }
    ours = {path for path, found in methods.items() if "GET" in found}
    assert ours > {"/healthz", "/readyz", PAGE}
    assert {path for path in ours if "HEAD" not in methods[path]} == {"/api/v1/integrations/google-calendar/callback"}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)))
    assert references
    for reference in references:
        place: Any = document
        for step in reference.split("/"):
            place = place[step]
        assert isinstance(place, dict)


def test_every_example_is_what_its_schema_says(document: dict[str, Any]) -> None:
    seen = 0
    for operation in (operation for methods in document["paths"].values() for operation in methods.values()):
        contents = [answer.get("content", {}) for answer in operation["responses"].values()]
        for content in (content for by_type in contents for content in by_type.values()):
            given = [content["example"]] if "example" in content else []
            given += [example["value"] for example in content.get("examples", {}).values()]
            validator = jsonschema_rs.validator_for({**content["schema"], "components": document["components"]})
            for example in given:
                validator.validate(example)
                seen += 1
    assert seen > 50


def test_every_schema_is_one(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]})


def test_every_code_that_is_raised_is_described_with_its_status() -> None:
    raised = {
        (int(status), code)
        for path in APP_SOURCES
        for status, code in re.findall(r'Problem\(\s*(\d{3}),\s*"(\w+)"', path.read_text(encoding="utf-8"))
    }
    assert raised
    # Unreadable forms of the page have a code of the API with another status.
    assert {code for _, code in raised} <= set(REFUSALS)
    for status, code in raised - {(400, "invalid_body")}:
        assert REFUSALS[code].status == status


def test_every_refusal_in_the_list_is_one_of_some_operation() -> None:
    assert {code for operation in OPERATIONS for code in operation.refusals} == set(REFUSALS)


def test_whatever_is_a_users_can_be_refused_to_strangers() -> None:
    for operation in OPERATIONS:
        assert ("unauthenticated" in operation.refusals) == (operation.access == "user"), operation.id
        if operation.access == "user" and operation.method != "get":
            assert "cross_origin" in operation.refusals, operation.id


def test_operations_have_ids_of_their_own() -> None:
    assert len({operation.id for operation in OPERATIONS}) == len(OPERATIONS)


def test_request_bodies_know_no_other_fields_and_no_nulls(document: dict[str, Any]) -> None:
    bodies = [operation.body for operation in OPERATIONS if operation.body is not None]
    assert bodies
    for body in bodies:
        assert issubclass(body, BaseModel)
        schema = document["components"]["schemas"][body.__name__]
        assert schema["additionalProperties"] is False
        assert all(
            "default" not in field and "anyOf" not in field and field.get("type") != "null"
            for field in schema["properties"].values()
        )
        # A user's words are bounded, or they are one of a few.
        assert all(
            "maxLength" in field or "enum" in field
            for field in schema["properties"].values()
            if field["type"] == "string"
        )


def test_no_request_names_a_tenant_or_a_user(document: dict[str, Any]) -> None:
    fields = {name for operation in OPERATIONS for name in getattr(operation.body, "model_fields", {})}
    parameters = {parameter.name for operation in OPERATIONS for parameter in operation.parameters}
    assert not {name for name in fields | parameters if "tenant" in name or "user" in name}
