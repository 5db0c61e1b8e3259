"""The description of the API in OpenAPI 3.1, made of the table of operations and the models of the bodies."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar, Literal

import falcon
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from web.api.bodies import Request
from web.api.table import OPERATIONS, REFUSALS, Operation, Success
from web.problem import TYPE_PREFIX

_PROBLEM_SCHEMA: Mapping[str, object] = {
    "type": "object",
    "description": "What went wrong (RFC 9457). Decide by `type`; the words may change.",
    "required": ["type", "title", "status", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What it means here, and what to do."},
        "request_id": {"type": "string", "description": "By which the logs know the request."},
        "errors": {
            "type": "array",
            "description": "With `invalid_body`: what is wrong with which field.",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}

_ABOUT = (
    "The settings of one user's connection to Google Calendar. The caller is always the user of the token: nothing in "
    "a request names a tenant or a user. Times are RFC 3339 in UTC. Unknown query parameters are ignored. What GET "
    "reads, HEAD reads too, except for the callback. There is no CORS."
)


class Description:
    """GET /api/v1/openapi.json; anybody may read it."""

    access: ClassVar[Literal["user", "open"]] = "open"

    def __init__(self, cookie_name: str) -> None:
        self._document = json.dumps(describe(cookie_name), ensure_ascii=False).encode()

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:  # noqa: ARG002 - Falcon's form
        """The document."""
        resp.content_type = falcon.MEDIA_JSON
        resp.data = self._document

    on_head = on_get


def describe(cookie_name: str) -> dict[str, Any]:
    """The whole document. `cookie_name`: of the host app's session."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Google Calendar connection", "version": "1", "description": _ABOUT},
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": {**_schemas(), "ProblemDetails": _PROBLEM_SCHEMA},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": cookie_name,
                    "description": "The same token in the host app's cookie. Writes must then come from this site.",
                },
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "responses": {str(operation.success.status): _success(operation.success), **_refusals(operation)},
    }
    if operation.access == "open":
        described["security"] = []
    if operation.parameters:
        described["parameters"] = [
            {
                "name": parameter.name,
                "in": parameter.where,
                "required": parameter.where == "path",
                "description": parameter.description,
                "schema": parameter.schema,
            }
            for parameter in operation.parameters
        ]
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.body_required,
            "content": {"application/json": {"schema": _reference(operation.body)}},
        }
    return described


def _success(success: Success) -> dict[str, Any]:
    described: dict[str, Any] = {"description": success.description}
    if success.headers:
        described["headers"] = {
            name: {"description": meaning, "required": True, "schema": {"type": "string"}}
            for name, meaning in success.headers.items()
        }
    match success.body:
        case BaseModel():
            content = {"schema": _reference(type(success.body)), "example": success.body.model_dump(mode="json")}
            described["content"] = {success.media_type: content}
        case Mapping():
            described["content"] = {success.media_type: {"schema": success.body}}
    return described


def _refusals(operation: Operation) -> dict[str, Any]:
    """The problems by status: which types each can have, and when."""
    by_status: dict[int, list[str]] = {}
    for code in operation.refusals:
        by_status.setdefault(REFUSALS[code].status, []).append(code)
    return {str(status): _refusal(status, codes, operation) for status, codes in sorted(by_status.items())}


def _refusal(status: int, codes: list[str], operation: Operation) -> dict[str, Any]:
    description = " ".join(REFUSALS[code].when for code in codes)
    if operation.html:
        return {"description": description, "content": {"text/html": {"schema": {"type": "string"}}}}
    types = [TYPE_PREFIX + code for code in codes]
    schema = {
        "allOf": [{"$ref": "#/components/schemas/ProblemDetails"}],
        "properties": {"type": {"enum": types}, "status": {"const": status}},
    }
    examples = {code: {"summary": REFUSALS[code].when, "value": _example(code)} for code in codes}
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": schema, "examples": examples}},
    }


def _example(code: str) -> dict[str, Any]:
    status = REFUSALS[code].status
    example: dict[str, Any] = {
        "type": TYPE_PREFIX + code,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "request_id": "3f0c9a1e",
    }
    if code == "invalid_body":
        example["errors"] = [{"field": "paused", "message": "Input should be a valid boolean"}]
    return example


class _Schemas(GenerateJsonSchema):
    """Without what says nothing here: titles made of names, and defaults that stand for "left out"."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - pydantic's form
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def _schemas() -> dict[str, Any]:
    models: dict[type[BaseModel], JsonSchemaMode] = {}
    for operation in OPERATIONS:
        if operation.body is not None:
            models[operation.body] = "validation"
        if isinstance(operation.success.body, BaseModel):
            models[type(operation.success.body)] = "serialization"
    _, document = models_json_schema(
        list(models.items()), ref_template="#/components/schemas/{model}", schema_generator=_Schemas
    )
    definitions: dict[str, Any] = document["$defs"]
    return definitions


def _reference(model: type[BaseModel] | type[Request]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
