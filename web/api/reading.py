"""Reading a JSON body into its model; what is wrong with it is said by field, and no value is repeated."""

import re
from typing import TypeVar

import falcon
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from web.api.bodies import Request
from web.problem import Problem

R = TypeVar("R", bound=Request)

MOST_ERRORS = 10
"""As many as one answer names; whoever mends these sees the next."""

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def read_body(req: falcon.Request, model: type[R]) -> R:
    """The request's body; an empty one is taken as `{}`.

    Raises:
        Problem: 400 "invalid_json": it is no JSON in UTF-8; 422 "invalid_body": it does not fit, `errors` says why.
    """
    raw: bytes = req.bounded_stream.read()
    try:
        return model.model_validate_json(raw or b"{}")
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False, include_context=False, include_input=False)
    if errors[0]["type"] == "json_invalid":
        raise Problem(400, "invalid_json", "The body is not valid JSON")
    raise Problem(
        422,
        "invalid_body",
        "The body does not fit this request",
        "The errors name the fields that are wrong, missing or unknown.",
        errors=[_tell(error) for error in errors[:MOST_ERRORS]],
    )


def _tell(error: ErrorDetails) -> dict[str, str]:
    name = str(error["loc"][0]) if error["loc"] else ""
    # A field's name may come from the sender too; only one that could be a name is repeated.
    return {
        "field": name if _FIELD.fullmatch(name) else "",
        "message": error["msg"].removeprefix("Value error, "),
    }
