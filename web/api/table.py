"""Every operation of the API, once: what it takes, what it answers, and each way in which it can be refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel

from web.api import examples
from web.api.bodies import ChangeRequest, ConnectRequest, DisconnectRequest, Request
from web.api.feed_bodies import FeedRequest
from web.api.paths import API, DESCRIPTION, FEED, FEEDS, PAGE

Schema = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A problem that can be answered: its HTTP status, and when it comes."""

    status: int
    when: str


REFUSALS: Mapping[str, Refusal] = MappingProxyType(
    {
        "invalid_json": Refusal(400, "The body is not JSON."),
        "invalid_return_to": Refusal(400, "return_to is no path on this site."),
        "unauthenticated": Refusal(401, "The token is missing, expired or not valid."),
        "cross_origin": Refusal(403, "The session came in a cookie, and the request from another site."),
        "loopback_only": Refusal(403, "It is not asked on the machine that the web app runs on."),
        "unknown_calendar": Refusal(404, "The account's list has no such calendar."),
        "unknown_test_push": Refusal(404, "The user has no such test push."),
        "unknown_problem": Refusal(404, "The user has no such problem, or has it no more."),
        "unknown_feed": Refusal(404, "There is no feed at that address, or no more."),
        "not_connected": Refusal(409, "No Google account is connected."),
        "not_active": Refusal(409, "The connection is not active, so that nothing would be pushed."),
        "grant_changed": Refusal(409, "The account was connected anew meanwhile; ask again."),
        "reconnect_needed": Refusal(409, "Google no longer accepts the grant; the user has to connect again."),
        "body_timeout": Refusal(408, "The body did not arrive in time."),
        "body_too_large": Refusal(413, "The body is larger than 64 kB."),
        "unsupported_media_type": Refusal(415, "The body is not sent as application/json."),
        "invalid_body": Refusal(422, "The body does not fit; `errors` says which fields and why."),
        "calendar_not_writable": Refusal(422, "The account may only read that calendar."),
        "calendar_refused": Refusal(422, "Google does not let us use that calendar."),
        "no_calendar": Refusal(422, "Google Calendar is switched off for the account."),
        "too_many_requests": Refusal(429, "Asked too often; Retry-After says how long to wait."),
        "google_unavailable": Refusal(503, "Google did not answer; Retry-After says how long to wait."),
        "account_busy": Refusal(503, "Somebody else is connecting or disconnecting the account; ask again."),
        "not_configured": Refusal(503, "Google refuses our client or a key is missing: a matter for the operator."),
        "feed_busy": Refusal(503, "Too many feeds are being made at once; Retry-After says how long to wait."),
        "keys_unavailable": Refusal(503, "The key set that tokens are checked with cannot be fetched."),
        "database_unavailable": Refusal(503, "The database cannot be reached; Retry-After says how long to wait."),
        "schema_outdated": Refusal(503, "The database lacks migrations of this release."),
    }
)

SIGNED_IN = ("unauthenticated", "keys_unavailable", "database_unavailable")
WRITING = (*SIGNED_IN, "cross_origin", "body_timeout", "body_too_large")
WITH_BODY = (*WRITING, "unsupported_media_type", "invalid_json", "invalid_body")
ASKING_GOOGLE = (
    *("not_connected", "reconnect_needed", "no_calendar", "too_many_requests", "not_configured", "google_unavailable"),
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter in the path or in the query."""

    name: str
    where: Literal["path", "query"]
    description: str
    schema: Schema


@dataclass(frozen=True, slots=True)
class Success:
    """The answer where nothing is wrong; `headers` names those that matter, with their meanings."""

    status: int
    description: str
    body: BaseModel | Schema | None = None
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `body` is the request's model; `body_required` false where `{}` goes without saying;
    `html` where a person looks at what is refused.
    """

    id: str
    method: Literal["get", "post", "patch", "delete"]
    path: str
    summary: str
    success: Success
    refusals: tuple[str, ...]
    body: type[Request] | None = None
    body_required: bool = True
    parameters: tuple[Parameter, ...] = ()
    access: Literal["user", "open"] = "user"
    html: bool = False


_RETRY_ID = Parameter("problem_id", "path", "The problem's id.", {"type": "string", "pattern": "^[0-9]{1,20}$"})
_FEED_TOKEN = Parameter(
    "token", "path", "What the address is known by.", {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}
)
_TEST_PUSH_ID = Parameter("test_push_id", "path", "The test push's id.", {"type": "string", "format": "uuid"})

_STATUS: Schema = {"type": "object", "required": ["status"], "properties": {"status": {"enum": ["ok", "ready"]}}}


def _from_google(name: str, description: str) -> Parameter:
    return Parameter(name, "query", description, {"type": "string"})


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        id="readConnection",
        method="get",
        path=API,
        summary="The user's connection",
        success=Success(200, "The connection as it is.", examples.CONNECTION),
        refusals=SIGNED_IN,
    ),
    Operation(
        id="changeConnection",
        method="patch",
        path=API,
        summary="Choose the calendar, which jobs it shows, and whether it is paused",
        body=ChangeRequest,
        body_required=False,
        success=Success(200, "The connection as it is after the change.", examples.CONNECTION),
        refusals=(
            *(*WITH_BODY, *ASKING_GOOGLE),
            *("grant_changed", "unknown_calendar", "calendar_not_writable", "calendar_refused"),
        ),
    ),
    Operation(
        id="connect",
        method="post",
        path=f"{API}/connect",
        summary="Start to connect a Google account",
        body=ConnectRequest,
        body_required=False,
        success=Success(
            200,
            "Where to send the browser. The attempt is good for ten minutes, in this browser alone.",
            examples.DEPARTURE,
            headers={"Set-Cookie": "What the callback knows this browser by."},
        ),
        refusals=(*WITH_BODY, "invalid_return_to", "too_many_requests"),
    ),
    Operation(
        id="finishConnect",
        method="get",
        path=f"{API}/callback",
        summary="Google's redirect after consent",
        parameters=(
            _from_google("state", "What the attempt is known by."),
            _from_google("code", "What Google gave for the user's consent."),
            _from_google("error", "Why it gave none."),
        ),
        success=Success(
            302,
            "Back to return_to, with `connected=1` or `error=<code>` in its query.",
            headers={"Location": "The page to go on to."},
        ),
        refusals=("database_unavailable",),
        access="open",
        html=True,
    ),
    Operation(
        id="listCalendars",
        method="get",
        path=f"{API}/calendars",
        summary="The calendars that can be chosen",
        success=Success(200, "The account's writable calendars as Google lists them now.", examples.CALENDARS),
        refusals=(*SIGNED_IN, *ASKING_GOOGLE),
    ),
    Operation(
        id="disconnect",
        method="post",
        path=f"{API}/disconnect",
        summary="End the connection",
        body=DisconnectRequest,
        success=Success(200, "What became of our access.", examples.DISCONNECTED),
        refusals=(*WITH_BODY, "too_many_requests", "account_busy", "google_unavailable"),
    ),
    Operation(
        id="startTestPush",
        method="post",
        path=f"{API}/test-push",
        summary="Send a test event the whole way: written, read back, removed",
        success=Success(
            202, "It has begun.", examples.TEST_PUSH, headers={"Location": "Where its steps can be followed."}
        ),
        refusals=(*WRITING, "not_active", "too_many_requests"),
    ),
    Operation(
        id="readTestPush",
        method="get",
        path=f"{API}/test-push/{{test_push_id}}",
        summary="How far a test push has come",
        parameters=(_TEST_PUSH_ID,),
        success=Success(200, "Its steps.", examples.TEST_PUSH),
        refusals=(*SIGNED_IN, "unknown_test_push"),
    ),
    Operation(
        id="resync",
        method="post",
        path=f"{API}/resync",
        summary="Push every upcoming job again",
        success=Success(202, "The jobs are marked.", examples.RESYNCED),
        refusals=(*WRITING, "not_active", "too_many_requests"),
    ),
    Operation(
        id="listProblems",
        method="get",
        path=f"{API}/problems",
        summary="The jobs that could not be pushed",
        success=Success(200, "The jobs and the reasons.", examples.PROBLEMS),
        refusals=SIGNED_IN,
    ),
    Operation(
        id="retryProblem",
        method="post",
        path=f"{API}/problems/{{problem_id}}/retry",
        summary="Try a job again",
        parameters=(_RETRY_ID,),
        success=Success(204, "The job is back in the queue."),
        refusals=(*WRITING, "unknown_problem"),
    ),
    Operation(
        id="readFeed",
        method="get",
        path=FEED,
        summary="Whether the user has an iCalendar feed, since when, and when it was fetched; never its address",
        success=Success(200, "The feed, or that there is none.", examples.FEED),
        refusals=SIGNED_IN,
    ),
    Operation(
        id="renewFeed",
        method="post",
        path=FEED,
        summary="Make the user's iCalendar feed, or another address for it; the former one stops working",
        body=FeedRequest,
        body_required=False,
        success=Success(201, "The address, this once.", examples.NEW_FEED),
        refusals=(*WITH_BODY, "too_many_requests"),
    ),
    Operation(
        id="revokeFeed",
        method="delete",
        path=FEED,
        summary="End the user's iCalendar feed",
        success=Success(204, "There is none any more."),
        refusals=WRITING,
    ),
    Operation(
        id="fetchFeed",
        method="get",
        path=f"{FEEDS}/{{token}}.ics",
        summary="The feed itself, for calendar apps: the address is the secret. If-None-Match is answered with 304",
        parameters=(_FEED_TOKEN,),
        success=Success(
            200,
            "The jobs as iCalendar.",
            {"type": "string"},
            media_type="text/calendar",
            headers={"ETag": "What to ask with the next time."},
        ),
        refusals=("unknown_feed", "too_many_requests", "feed_busy", "database_unavailable"),
        access="open",
    ),
    Operation(
        id="showSettings",
        method="get",
        path=PAGE,
        summary="The settings page, for people; what its forms post to is its own affair",
        success=Success(200, "The page.", {"type": "string"}, media_type="text/html"),
        refusals=SIGNED_IN,
        html=True,
    ),
    Operation(
        id="describe",
        method="get",
        path=DESCRIPTION,
        summary="This description",
        success=Success(200, "OpenAPI 3.1.", {"type": "object"}),
        refusals=(),
        access="open",
    ),
    Operation(
        id="isAlive",
        method="get",
        path="/healthz",
        summary="Whether this process lives",
        success=Success(200, "It does.", _STATUS),
        refusals=(),
        access="open",
    ),
    Operation(
        id="isReady",
        method="get",
        path="/readyz",
        summary="Whether it can serve: the database answers and is up to date",
        success=Success(200, "It can.", _STATUS),
        refusals=("database_unavailable", "schema_outdated"),
        access="open",
    ),
    Operation(
        id="metrics",
        method="get",
        path="/metrics",
        summary="Backlog, connections and problems for Prometheus; to this machine alone",
        success=Success(200, "The Prometheus text format.", {"type": "string"}, media_type="text/plain"),
        refusals=("loopback_only",),
        access="open",
    ),
)
