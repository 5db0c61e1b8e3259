"""What every request passes: ids, one log line without secrets, headers, bounds, and the question who asks."""

import io
from collections.abc import Iterator
from typing import Any, ClassVar

import falcon
import pytest
import structlog
from falcon.testing import StartResponseMock, TestClient, create_environ
from structlog.testing import capture_logs

from outbox.user import User
from web.identity import unauthenticated
from web.middleware import BODY_BYTES, Authentication, Bodies, RequestLog, SecurityHeaders
from web.problem import add_error_handlers

ANA = User("acme", "u_ana")
BASE = "https://app.example.com"


class KnownTokens:
    """Stands for Identity: knows one token."""

    def user_of(self, token: str) -> User:
        if token != "good":
            raise unauthenticated("invalid")
        return ANA


class Private:
    """Declares nothing, so only users may come."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"user": req.context.user.user_id, "by_cookie": req.context.by_cookie}

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"body": req.get_media(default_when_empty=None)}


class NeverEnding(io.RawIOBase):
    """A body of which nothing comes, until the server has waited long enough."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def read(self, size: int = -1) -> bytes:  # noqa: ARG002 - the base's form
        self.reads += 1
        raise TimeoutError


class Open(Private):
    """For everybody."""

    access: ClassVar[str] = "open"

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.set_header("Cache-Control", "public, max-age=60")
        resp.media = {"user": None if req.context.user is None else req.context.user.user_id}


class Page(Private):
    """What people look at."""

    html: ClassVar[bool] = True


@pytest.fixture
def client() -> Iterator[TestClient]:
    """An application with all of the middleware."""
    identity: Any = KnownTokens()
    app: falcon.App[falcon.Request, falcon.Response] = falcon.App(
        middleware=[
            RequestLog(),
            SecurityHeaders(secure=True),
            Authentication(identity, cookie_name="session", public_base_url=BASE),
            Bodies(),
        ]
    )
    add_error_handlers(app)
    app.add_route("/private/{name}", _Named())
    app.add_route("/private", Private())
    app.add_route("/open", Open())
    app.add_route("/page", Page())
    yield TestClient(app)
    assert structlog.contextvars.get_contextvars() == {}


class _Named:
    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:  # noqa: ARG002 - Falcon's form
        resp.media = {"bound": structlog.contextvars.get_contextvars()["request_id"], "name": name}


BEARER = {"Authorization": "Bearer good"}
COOKIE = {"Cookie": "session=good"}


def test_a_resource_that_declares_nothing_is_closed(client: TestClient) -> None:
    answer = client.simulate_get("/private")
    assert answer.status_code == 401
    assert answer.json["type"] == "urn:calendar-sync:problem:unauthenticated"
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_no_method_of_a_closed_resource_answers_a_stranger(client: TestClient, method: str) -> None:
    assert client.simulate_request(method, "/private").status_code == 401


def test_a_token_in_the_header_lets_in(client: TestClient) -> None:
    assert client.simulate_get("/private", headers=BEARER).json == {"user": "u_ana", "by_cookie": False}


def test_a_token_in_the_cookie_lets_in(client: TestClient) -> None:
    assert client.simulate_get("/private", headers=COOKIE).json == {"user": "u_ana", "by_cookie": True}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_changes_nothing_may_be_asked_from_anywhere(client: TestClient, method: str) -> None:
    assert client.simulate_request(method, "/private", headers=COOKIE).status_code != 403


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer bad", "Basic good", "good", "Bearer good good"])
def test_a_bad_header_is_refused_whatever_the_cookie_says(client: TestClient, header: str) -> None:
    assert client.simulate_get("/private", headers={**COOKIE, "Authorization": header}).status_code == 401


def test_two_different_sessions_at_once_are_none(client: TestClient) -> None:
    answer = client.simulate_get("/private", headers={"Cookie": "session=good; session=other"})
    assert answer.status_code == 401
    assert client.simulate_get("/private", headers={"Cookie": "session=good; session=good"}).status_code == 200


def test_an_open_resource_knows_its_user_and_takes_everybody(client: TestClient) -> None:
    assert client.simulate_get("/open").json == {"user": None}
    assert client.simulate_get("/open", headers=COOKIE).json == {"user": "u_ana"}
    assert client.simulate_get("/open", headers={"Cookie": "session=bad"}).json == {"user": None}


def test_a_page_without_a_session_is_a_page_that_says_so(client: TestClient) -> None:
    answer = client.simulate_get("/page")
    assert answer.status_code == 401
    assert answer.headers["content-type"].startswith("text/html")
    assert "You are not signed in" in answer.text


@pytest.mark.parametrize("path", ["/private", "/open", "/page"])
@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "null"}, {"Origin": "https://evil.example.com"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_a_write_from_another_site_with_the_users_cookie_is_refused(
    client: TestClient, path: str, headers: dict[str, str]
) -> None:
    answer = client.simulate_post(path, headers={**COOKIE, **headers})
    assert answer.status_code == 403


@pytest.mark.parametrize("headers", [{"Origin": BASE}, {"Sec-Fetch-Site": "same-origin"}, {"Referer": f"{BASE}/x"}])
def test_a_write_from_our_own_pages_is_taken(client: TestClient, headers: dict[str, str]) -> None:
    assert client.simulate_post("/private", headers={**COOKIE, **headers}).status_code == 200


def test_a_write_with_a_header_needs_no_origin_because_no_site_can_forge_it(client: TestClient) -> None:
    assert client.simulate_post("/private", headers=BEARER).status_code == 200


def test_every_answer_has_the_security_headers_errors_too(client: TestClient) -> None:
    for path in ("/open", "/private", "/nowhere", "/page"):
        headers = client.simulate_get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["strict-transport-security"].startswith("max-age=")
        assert "access-control-allow-origin" not in headers


def test_nothing_is_stored_unless_the_resource_says_otherwise(client: TestClient) -> None:
    assert client.simulate_get("/private", headers=BEARER).headers["cache-control"] == "no-store"
    assert client.simulate_get("/open").headers["cache-control"] == "public, max-age=60"


@pytest.mark.parametrize("given", ["abc-1._Z", "x" * 64])
def test_the_callers_request_id_is_taken_over(client: TestClient, given: str) -> None:
    answer = client.simulate_get("/private/x", headers={**BEARER, "X-Request-ID": given})
    assert answer.headers["x-request-id"] == answer.json["bound"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a;b", "<script>"])
def test_a_request_id_in_another_form_is_replaced(client: TestClient, given: str) -> None:
    answer = client.simulate_get("/open", headers={"X-Request-ID": given})
    assert len(answer.headers["x-request-id"]) == 32


def test_the_log_has_the_route_and_neither_path_nor_query(client: TestClient) -> None:
    with capture_logs() as logs:
        client.simulate_get("/private/secret-name", params={"code": "secret-code"}, headers=BEARER)
        client.simulate_get("/nowhere/secret-path")
    lines = [entry for entry in logs if entry["event"] == "request"]
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("GET", "/private/{name}", 200),
        ("GET", None, 404),
    ]
    assert all(line["ms"] >= 0 for line in lines)
    assert "secret" not in str(logs)


def test_what_the_framework_refuses_before_any_of_this_is_answered_all_the_same(client: TestClient) -> None:
    environment = create_environ("/private", method="WEBSOCKET", headers=BEARER)
    response = StartResponseMock()
    client.app(environment, response)
    assert response.status == "400 Bad Request"
    assert response.headers_dict["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_within_the_bound_is_read_whether_its_length_is_stated_or_not(client: TestClient, chunked: bool) -> None:
    body = b'"' + b"x" * (BODY_BYTES - 2) + b'"'
    answer = post(client, body, chunked=chunked)
    assert answer.status_code == 200
    assert len(answer.json["body"]) == BODY_BYTES - 2


def slow(client: TestClient, method: str, path: str) -> tuple[StartResponseMock, NeverEnding]:
    """Send a body that does not arrive."""
    body, response = NeverEnding(), StartResponseMock()
    environment = create_environ(
        path, method=method, headers={**BEARER, "Content-Length": "20", "Content-Type": "application/json"}
    )
    client.app(environment | {"wsgi.input": body}, response)
    return response, body


def test_a_body_that_does_not_arrive_in_time_is_refused(client: TestClient) -> None:
    response, _ = slow(client, "POST", "/private")
    assert response.status == "408 Request Timeout"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", "/private"), ("HEAD", "/private"), ("OPTIONS", "/private"), ("GET", "/open")),
        *(("POST", "/nowhere"), ("PUT", "/private"), ("DELETE", "/open"), ("POST", "/private/x")),
    ],
)
def test_a_body_that_nobody_looks_at_is_not_waited_for(client: TestClient, method: str, path: str) -> None:
    response, body = slow(client, method, path)
    assert body.reads == 0
    assert response.status != "408 Request Timeout"


def test_a_form_is_read_too(client: TestClient) -> None:
    answer = client.simulate_post("/page", body="a=1", headers=BEARER, content_type="application/x-www-form-urlencoded")
    assert answer.json == {"body": {"a": "1"}}


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_bound_is_refused_unparsed(client: TestClient, chunked: bool) -> None:
    answer = post(client, b"{" * (BODY_BYTES + 1), chunked=chunked)
    assert (answer.status_code, answer.json["type"]) == (413, "urn:calendar-sync:problem:body_too_large")


def test_a_body_that_breaks_off_is_refused(client: TestClient) -> None:
    answer = client.simulate_post(
        "/private", body=b"{}", headers={**BEARER, "Content-Length": "50"}, content_type="application/json"
    )
    assert (answer.status_code, answer.json["type"]) == (400, "urn:calendar-sync:problem:bad_request")


@pytest.mark.parametrize("length", ["-1", "x", "1e3"])
def test_a_length_that_is_none_is_refused(client: TestClient, length: str) -> None:
    environment = create_environ("/private", method="POST", headers=BEARER)
    response = StartResponseMock()
    client.app(environment | {"CONTENT_LENGTH": length}, response)
    assert response.status == "400 Bad Request"


@pytest.mark.parametrize(
    ("path", "content_type", "status"),
    [
        ("/private", "application/json", 200),
        ("/private", "application/json; charset=utf-8", 200),
        ("/private", "text/plain", 415),
        ("/private", "application/x-www-form-urlencoded", 415),
        ("/private", None, 415),
        ("/page", "application/x-www-form-urlencoded", 200),
        ("/page", "application/json", 415),
        ("/page", "multipart/form-data; boundary=x", 415),
    ],
)
def test_a_body_of_another_type_is_refused(
    client: TestClient, path: str, content_type: str | None, status: int
) -> None:
    answer = client.simulate_post(path, body=b"{}", headers=BEARER, content_type=content_type)
    assert answer.status_code == status


def test_without_a_body_no_type_is_asked_for(client: TestClient) -> None:
    assert client.simulate_post("/private", headers=BEARER).json == {"body": None}


def post(client: TestClient, body: bytes, *, chunked: bool) -> Any:
    """The framework's test client always states a length; a chunked request has none."""
    if not chunked:
        return client.simulate_post("/private", body=body, headers=BEARER, content_type="application/json")
    return client.simulate_post(
        "/private",
        body=body,
        headers={**BEARER, "Transfer-Encoding": "chunked"},
        content_type="application/json",
        extras={"CONTENT_LENGTH": ""},
    )
