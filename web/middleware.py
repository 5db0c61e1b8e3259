"""What every request passes: an id and a line in the log, security headers, bounds, and who is asking."""

import io
import re
import time
from typing import Literal, Protocol
from uuid import uuid4

import falcon
import structlog
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]

from outbox.acting import act_for
from outbox.user import User
from web.identity import Identity, unauthenticated
from web.problem import Problem
from web.same_origin import SAFE_METHODS, is_same_origin

log = structlog.get_logger(__name__)

BODY_BYTES = 64 * 1024
"""Of the longest body that is read."""

HSTS_SECONDS = 180 * 24 * 3600

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "font-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""Only what is ours is run or shown. Nobody may frame it: Google's pages, to which it leads, work in no frame."""

SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: with that, browsers send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer, unless the resource has set the header itself."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_BEARER = re.compile(r"bearer +([^\s]+)", re.IGNORECASE)


class RequestLog:
    """An id for each request, and one line in the log: the route, never path or query, and nobody's name."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Give the request its id, the caller's if it has one."""
        given = req.get_header("X-Request-ID") or ""
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
        req.context.request_id = request_id
        req.context.started_at = time.monotonic()
        resp.set_header("X-Request-ID", request_id)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)

    def process_response(self, req: falcon.Request, resp: falcon.Response, resource: object, ok: bool) -> None:  # noqa: ARG002 - Falcon's form
        """Write the line."""
        started_at = getattr(req.context, "started_at", None)
        log.info(
            "request",
            # A method that nobody knows is a text of the caller's own choosing.
            method=req.method if req.method in falcon.COMBINED_METHODS else "other",
            route=req.uri_template,
            status=resp.status_code,
            ms=None if started_at is None else round((time.monotonic() - started_at) * 1000, 1),
        )
        structlog.contextvars.clear_contextvars()


class SecurityHeaders:
    """What browsers are told to do with any answer of ours.

    Args:
        secure: whether users reach us over TLS.
    """

    def __init__(self, *, secure: bool) -> None:
        self._headers = dict(SECURITY_HEADERS)
        if secure:
            self._headers["Strict-Transport-Security"] = f"max-age={HSTS_SECONDS}"

    def process_response(self, req: falcon.Request, resp: falcon.Response, resource: object, ok: bool) -> None:  # noqa: ARG002 - Falcon's form
        """Add the headers that the resource left open."""
        for name, value in self._headers.items():
            if resp.get_header(name) is None:
                resp.set_header(name, value)


class Resource(Protocol):
    """What a resource declares: who may use it, and whether people look at it.

    `access` is "user" unless it says otherwise; an "open" one still gets the user if there is one. With `html` it takes
    forms and its errors are pages; otherwise it takes JSON and its errors are JSON.
    """

    access: Literal["user", "open"]
    html: bool


class Authentication:
    """Finds out who asks, for whom the database is used then; lets nobody else than a user at a resource that is not
    declared open.
    """

    def __init__(self, identity: Identity, *, cookie_name: str, public_base_url: str) -> None:
        self._identity = identity
        self._cookie_name = cookie_name
        self._public_base_url = public_base_url

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:  # noqa: ARG002 - Falcon's form
        """Nobody, until somebody is found."""
        req.context.user, req.context.by_cookie = None, False
        act_for(None)

    def process_response(self, req: falcon.Request, resp: falcon.Response, resource: object, ok: bool) -> None:  # noqa: ARG002 - Falcon's form
        """Nobody again: the thread goes on to other requests."""
        act_for(None)

    def process_resource(
        self,
        req: falcon.Request,
        resp: falcon.Response,  # noqa: ARG002 - Falcon's form
        resource: object,
        params: object,  # noqa: ARG002 - Falcon's form
    ) -> None:
        """Set `user` and `by_cookie` of the request's context."""
        req.context.html = bool(getattr(resource, "html", False))
        is_open = getattr(resource, "access", "user") == "open"
        try:
            user, by_cookie = self._caller(req)
        except Problem:
            if not is_open:
                raise
            user, by_cookie = None, False
        if by_cookie and req.method not in SAFE_METHODS and not self._is_ours(req):
            raise Problem(
                403,
                "cross_origin",
                "This came from another site",
                "For your safety, changes are accepted from our own pages only. Open the settings page and try there.",
            )
        req.context.user, req.context.by_cookie = user, by_cookie
        act_for(user)

    def _caller(self, req: falcon.Request) -> tuple[User, bool]:
        """The user, and whether a cookie says so; an Authorization header beats it, a bad one too."""
        header = req.get_header("Authorization")
        if header is not None:
            bearer = _BEARER.fullmatch(header.strip())
            if bearer is None:
                raise unauthenticated("invalid")
            return self._identity.user_of(bearer[1]), False
        tokens = set(req.get_cookie_values(self._cookie_name) or ())
        if not tokens:
            raise unauthenticated("missing")
        if len(tokens) > 1:
            # One of them may have been planted by a neighbouring site, and nothing tells which.
            raise unauthenticated("invalid")
        return self._identity.user_of(tokens.pop()), True

    def _is_ours(self, req: falcon.Request) -> bool:
        return is_same_origin(
            self._public_base_url,
            origin=req.get_header("Origin"),
            fetch_site=req.get_header("Sec-Fetch-Site"),
            referer=req.get_header("Referer"),
        )


class Bodies:
    """Bounds bodies before anything parses them, and takes only the form that the resource expects."""

    def process_resource(
        self,
        req: falcon.Request,
        resp: falcon.Response,  # noqa: ARG002 - Falcon's form
        resource: object,
        params: object,  # noqa: ARG002 - Falcon's form
    ) -> None:
        """Read it and refuse what is too long, incomplete, too slow or of another type.

        Nobody waits for a body that nobody looks at: with a method that only reads, or that the resource does not have.
        """
        body = _read(req) if _takes_bodies(resource, req.method) else b""
        # The framework takes a body of unstated length for none, so it is told the length and given the bytes.
        req.env["CONTENT_LENGTH"] = str(len(body))
        req.stream = req.env["wsgi.input"] = io.BytesIO(body)
        if not body:
            return
        expected = falcon.MEDIA_URLENCODED if req.context.html else falcon.MEDIA_JSON
        if (req.content_type or "").partition(";")[0].strip().lower() != expected:
            raise Problem(
                415,
                "unsupported_media_type",
                "The body has another form than expected",
                f"Send it with Content-Type: {expected}.",
            )


def _takes_bodies(resource: object, method: str) -> bool:
    """Whether the resource does something with that method at some of its routes."""
    name = f"on_{method.lower()}"
    return method not in SAFE_METHODS and any(has == name or has.startswith(f"{name}_") for has in dir(resource))


def _read(req: falcon.Request) -> bytes:
    length = req.content_length
    if length is None and req.get_header("Transfer-Encoding") is None:
        return b""
    if length is not None and length > BODY_BYTES:
        raise _too_large()
    try:
        body: bytes = req.stream.read(BODY_BYTES + 1 if length is None else length)
    except TimeoutError:
        raise Problem(
            408, "body_timeout", "The request took too long to arrive", "Send it again over a better connection."
        ) from None
    except (OSError, ParseException):
        raise falcon.HTTPBadRequest from None
    if len(body) > BODY_BYTES:
        raise _too_large()
    if length is not None and len(body) < length:
        raise falcon.HTTPBadRequest
    return body


def _too_large() -> Problem:
    return Problem(413, "body_too_large", "The request is too long", f"At most {BODY_BYTES // 1024} kB are accepted.")
