"""Errors as every caller sees them: `application/problem+json` (RFC 9457), or a small page where a person looks."""

import json
from collections.abc import Mapping
from html import escape
from http import HTTPStatus
from typing import Any

import falcon
import psycopg
import structlog

from outbox.database import describe
from outbox.tracebacks import outline
from web.page.static_files import address

log = structlog.get_logger(__name__)

TYPE_PREFIX = "urn:calendar-sync:problem:"
"""What a problem's `type` begins with; its code follows."""

RETRY_SECONDS = 5
"""When to ask again while the database cannot be reached."""

_KNOWN: Mapping[int, tuple[str, str, str]] = {
    400: ("bad_request", "The request cannot be understood", "Something in it is not well formed."),
    404: ("not_found", "There is nothing here", "Check the address."),
    405: ("method_not_allowed", "This cannot be done here", "The Allow header names the methods that can be used."),
    406: ("not_acceptable", "There is no such form", "This is answered in JSON alone."),
    413: ("body_too_large", "The request is too long", "Send less."),
    414: ("uri_too_long", "The address is too long", "Send a shorter one."),
    415: ("unsupported_media_type", "The body has another form than expected", "Send another Content-Type."),
    500: ("internal_error", "Something went wrong on our side", "Try again. If it happens again, tell support."),
    503: ("unavailable", "We cannot do this right now", "Try again in a moment."),
}
"""Code, title and detail of what the framework refuses, by status; its own words might repeat what was sent."""


class Problem(falcon.HTTPError):
    """A refusal with a stable code, for example `Problem(409, "not_connected", "No Google account is connected")`.

    `title` and `detail` are sentences for the user; `extra` are further members of the body.
    """

    code: str  # type: ignore[assignment] # the framework's is a number, which nobody here sends

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **extra: object,
    ) -> None:
        super().__init__(status, title=title, description=detail, headers=dict(headers or {}))
        self.code = code
        self.detail = detail
        self.extra = extra

    def body(self, request_id: str | None) -> dict[str, Any]:
        """The members of the answer."""
        members = {
            "type": TYPE_PREFIX + self.code,
            "title": self.title,
            "status": self.status_code,
            "detail": self.detail,
            "request_id": request_id,
        }
        return {name: value for name, value in members.items() if value is not None} | self.extra


def database_unavailable() -> Problem:
    """What is said while the database cannot be reached or answers too late."""
    return Problem(
        503,
        "database_unavailable",
        "We cannot reach our database right now",
        "Nothing was lost. Try again in a moment.",
        headers={"Retry-After": str(RETRY_SECONDS)},
    )


def add_error_handlers(app: falcon.App[Any, Any]) -> None:
    """Have every error of that application answered as a problem."""
    app.add_error_handler(Exception, _on_unexpected)
    app.add_error_handler(psycopg.OperationalError, _on_database_lost)
    # A server that takes no writes is being moved or repaired: the next try may meet another one.
    app.add_error_handler(psycopg.errors.ReadOnlySqlTransaction, _on_database_lost)
    app.add_error_handler(falcon.HTTPError, _on_http_error)


def answer(req: falcon.Request, resp: falcon.Response, problem: Problem) -> None:
    """Put the problem into the response: as a page where the resource is one, otherwise as JSON."""
    request_id = getattr(req.context, "request_id", None)
    resp.status = problem.status
    resp.set_headers(problem.headers or {})
    if _is_page(req):
        resp.content_type = falcon.MEDIA_HTML
        resp.text = _page(problem, request_id)
    else:
        resp.content_type = "application/problem+json"
        resp.text = json.dumps(problem.body(request_id))


def _is_page(req: falcon.Request) -> bool:
    """A page by its resource; where there is none, as browsers ask for one."""
    html = getattr(req.context, "html", None)
    return bool("text/html" in req.accept if html is None else html)


def _page(problem: Problem, request_id: str | None) -> str:
    title = escape(problem.title or "")
    detail = f"<p>{escape(problem.detail)}</p>\n" if problem.detail else ""
    reference = f"<p><small>Reference: {escape(request_id)}</small></p>\n" if request_id else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<link rel="stylesheet" href="{escape(address("page.css"))}">\n<link rel="icon" href="data:,">\n'
        f'<title>{title}</title>\n</head>\n<body>\n<main class="page">\n<div class="card">\n'
        f"<h1>{title}</h1>\n{detail}{reference}</div>\n</main>\n</body>\n</html>\n"
    )


def _known(status: int) -> tuple[str, str, str]:
    if status in _KNOWN:
        return _KNOWN[status]
    return _KNOWN[500] if status >= 500 else (f"http_{status}", HTTPStatus(status).phrase, _KNOWN[400][2])


def _on_http_error(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, _params: object) -> None:
    if isinstance(error, Problem):
        return answer(req, resp, error)
    code, title, detail = _known(error.status_code)
    headers = {name: value for name, value in dict(error.headers or {}).items() if name.lower() in ("allow",)}
    return answer(req, resp, Problem(error.status_code, code, title, detail, headers=headers))


def _on_database_lost(req: falcon.Request, resp: falcon.Response, error: psycopg.Error, _params: object) -> None:
    log.warning("the database did not serve a request", reason=describe(error), route=req.uri_template)
    answer(req, resp, database_unavailable())


def _on_unexpected(req: falcon.Request, resp: falcon.Response, error: Exception, _params: object) -> None:
    log.error("a request failed", route=req.uri_template, traceback=outline(error))
    code, title, detail = _KNOWN[500]
    answer(req, resp, Problem(500, code, title, detail))
