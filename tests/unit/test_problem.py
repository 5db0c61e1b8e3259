"""Every error comes out as a problem with a stable type, or as a small page, and gives nothing away."""

import falcon
import psycopg
import pytest
from falcon.testing import TestClient
from psycopg_pool import PoolTimeout
from structlog.testing import capture_logs

from outbox.tracebacks import outline
from web.middleware import RequestLog
from web.problem import Problem, add_error_handlers

SECRET = "ya29.very-secret"


class Failing:
    """Raises what it was given."""

    def __init__(self, error: Exception, *, html: bool = False) -> None:
        self._error = error
        self._html = html

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        req.context.html = self._html
        resp.text = SECRET
        raise self._error

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = req.get_media()


def client(error: Exception, *, html: bool = False) -> TestClient:
    app: falcon.App[falcon.Request, falcon.Response] = falcon.App(middleware=[RequestLog()])
    add_error_handlers(app)
    app.add_route("/failing", Failing(error, html=html))
    return TestClient(app, headers={"X-Request-ID": "r-1"})


def test_a_problem_tells_its_code_and_the_way_out() -> None:
    problem = Problem(409, "not_connected", "Nothing is connected", "Connect first.", headers={"X-Way": "out"}, n=1)
    answer = client(problem).simulate_get("/failing")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-way"] == "out"
    assert answer.json == {
        "type": "urn:calendar-sync:problem:not_connected",
        "title": "Nothing is connected",
        "status": 409,
        "detail": "Connect first.",
        "request_id": "r-1",
        "n": 1,
    }


def test_no_text_in_a_problem_can_break_the_answer() -> None:
    answer = client(Problem(409, "x", "Jobs → “Main”", "\ud800", name="\x00")).simulate_get("/failing")
    assert (answer.json["title"], answer.json["name"]) == ("Jobs → “Main”", "\x00")


def test_an_error_on_a_page_is_a_page_and_every_text_in_it_is_escaped() -> None:
    answer = client(Problem(409, "x", "<b>Title</b>", '<script>"1"</script>'), html=True).simulate_get("/failing")
    assert answer.headers["content-type"].startswith("text/html")
    assert "&lt;b&gt;Title&lt;/b&gt;" in answer.text
    assert "<script>" not in answer.text
    assert "Reference: r-1" in answer.text


def test_an_unexpected_error_says_nothing_of_itself_and_is_logged_with_its_places_alone() -> None:
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as inner:
            raise ValueError(f"code={SECRET}") from inner
    except ValueError as error:
        raised = error
    with capture_logs() as logs:
        answer = client(raised).simulate_get("/failing")
    assert answer.status_code == 500
    assert answer.json["type"] == "urn:calendar-sync:problem:internal_error"
    assert SECRET not in answer.text
    failure = next(entry for entry in logs if entry["event"] == "a request failed")
    assert "builtins.ValueError" in failure["traceback"]
    assert "caused by builtins.KeyError" in failure["traceback"]
    assert "test_problem.py" in failure["traceback"]
    assert SECRET not in str(logs)


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("connection to host failed"),
        PoolTimeout("no connection"),
        psycopg.errors.QueryCanceled(),
    ],
)
def test_a_database_that_does_not_answer_is_a_passing_trouble(error: Exception) -> None:
    answer = client(error).simulate_get("/failing")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json["type"] == "urn:calendar-sync:problem:database_unavailable"


def test_a_database_that_refuses_a_statement_is_our_fault() -> None:
    assert client(psycopg.errors.UndefinedTable()).simulate_get("/failing").status_code == 500


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("DELETE", "/failing", 405, "method_not_allowed"),
        ("SPEAK", "/failing", 400, "bad_request"),
    ],
)
def test_what_the_framework_refuses_is_a_problem_too(method: str, path: str, status: int, code: str) -> None:
    with pytest.warns() if method == "SPEAK" else capture_logs():
        answer = client(ValueError()).simulate_request(method, path)
    assert (answer.status_code, answer.json["type"]) == (status, f"urn:calendar-sync:problem:{code}")


def test_a_method_that_is_not_allowed_is_told_which_are() -> None:
    assert "GET" in client(ValueError()).simulate_delete("/failing").headers["allow"]


@pytest.mark.parametrize("body", ["{", "", '{"a": "\x00'])
def test_an_unreadable_body_is_refused_and_not_repeated(body: str) -> None:
    answer = client(ValueError()).simulate_post("/failing", body=body, content_type="application/json")
    assert (answer.status_code, answer.json["type"]) == (400, "urn:calendar-sync:problem:bad_request")
    assert "line" not in answer.text


def test_a_person_who_is_lost_gets_a_page() -> None:
    answer = client(ValueError()).simulate_get("/nowhere", headers={"Accept": "text/html,*/*;q=0.8"})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


def test_an_outline_of_a_long_chain_ends() -> None:
    error: Exception = ValueError()
    for _ in range(100):
        following = ValueError()
        following.__cause__ = error
        error = following
    assert outline(error).count("caused by") == 7
