"""Google's refusals: the Calendar error envelope and the flat OAuth error, as exceptions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

REALM = 'Bearer realm="https://accounts.google.com/"'
"""The challenge Google sends in WWW-Authenticate."""

MESSAGES: Mapping[str, str] = {
    "authError": "Invalid Credentials",
    "backendError": "Backend Error",
    "conditionNotMet": "Precondition Failed",
    "conflict": "Conflict",
    "dailyLimitExceeded": "Daily Limit Exceeded",
    "deleted": "Resource has been deleted",
    "duplicate": "The requested identifier already exists.",
    "forbidden": "Forbidden",
    "forbiddenForNonOrganizer": "Shared properties can only be changed by the organizer of the event.",
    "fullSyncRequired": "Sync token is no longer valid, a full sync is required.",
    "notACalendarUser": "The user must be signed up for Google Calendar.",
    "notFound": "Not Found",
    "quotaExceeded": "Calendar usage limits exceeded.",
    "rateLimitExceeded": "Rate Limit Exceeded",
    "requiredAccessLevel": "You need to have writer access to this calendar.",
    "timeRangeEmpty": "The specified time range is empty.",
    "updatedMinTooLongAgo": "The requested minimum modification time lies too far in the past.",
    "userRateLimitExceeded": "User Rate Limit Exceeded",
}
"""What Google prints for a reason; a reason not listed prints itself."""

DOMAINS: Mapping[str, str] = {
    "dailyLimitExceeded": "usageLimits",
    "forbiddenForNonOrganizer": "calendar",
    "fullSyncRequired": "calendar",
    "notACalendarUser": "calendar",
    "quotaExceeded": "usageLimits",
    "rateLimitExceeded": "usageLimits",
    "requiredAccessLevel": "calendar",
    "timeRangeEmpty": "calendar",
    "updatedMinTooLongAgo": "calendar",
    "userRateLimitExceeded": "usageLimits",
}
"""The domain of a reason; `global` where none is listed."""


@dataclass(slots=True, eq=False)
class ApiError(Exception):
    """A Calendar API refusal: HTTP status, reason and, where Google names one, the place of the fault.

    `extra` is merged into the `error` object (`status`, `details` of the newer front end); `headers` go with it.
    """

    code: int
    reason: str
    message: str = ""
    location_type: str = ""
    location: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    item_message: str = ""

    def envelope(self) -> dict[str, Any]:
        """The JSON body Google answers."""
        message = self.message or MESSAGES.get(self.reason, self.reason)
        item = {
            "domain": DOMAINS.get(self.reason, "global"),
            "reason": self.reason,
            "message": self.item_message or message,
        }
        if self.location:
            item |= {"locationType": self.location_type, "location": self.location}
        return {"error": {"errors": [item], "code": self.code, "message": message, **self.extra}}


@dataclass(slots=True, eq=False)
class OAuthError(Exception):
    """A refusal of the token or revoke endpoint: flat JSON, told apart by `error`."""

    code: int
    error: str
    description: str = ""

    def envelope(self) -> dict[str, Any]:
        """The JSON body Google answers."""
        body = {"error": self.error}
        return body | {"error_description": self.description} if self.description else body


def invalid(message: str) -> ApiError:
    """400: a value Google does not take."""
    return ApiError(400, "invalid", message)


def required(message: str) -> ApiError:
    """400: something that must be there is not."""
    return ApiError(400, "required", message)


def invalid_parameter(name: str, value: str) -> ApiError:
    """400: a query parameter Google cannot use."""
    return ApiError(400, "invalidParameter", f"Invalid value '{value}' for {name}.", "parameter", name)


def not_found() -> ApiError:
    """404: the calendar or the event is not there for this account."""
    return ApiError(404, "notFound")


def time_range_empty() -> ApiError:
    """400: the end is not after the start."""
    return ApiError(400, "timeRangeEmpty", location_type="parameter", location="timeMax")


def precondition_failed() -> ApiError:
    """412: the resource no longer has the etag named by If-Match."""
    return ApiError(412, "conditionNotMet", location_type="header", location="If-Match")


def invalid_credentials() -> ApiError:
    """401: the access token is unknown, expired or revoked."""
    challenge = {"WWW-Authenticate": f'{REALM}, error="invalid_token"'}
    return ApiError(401, "authError", location_type="header", location="Authorization", headers=challenge)


def login_required() -> ApiError:
    """401: no access token at all."""
    return ApiError(
        401,
        "required",
        "Request is missing required authentication credential.",
        "header",
        "Authorization",
        extra={"status": "UNAUTHENTICATED"},
        headers={"WWW-Authenticate": REALM},
    )


def insufficient_scope(method: str, needed: str) -> ApiError:
    """403: the token's scopes do not allow the method (`calendar.v3.Events.Insert`); `needed` is space-delimited."""
    return ApiError(
        403,
        "insufficientPermissions",
        "Request had insufficient authentication scopes.",
        item_message="Insufficient Permission",
        extra={
            "status": "PERMISSION_DENIED",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
                    "domain": "googleapis.com",
                    "metadata": {"service": "calendar-json.googleapis.com", "method": method},
                }
            ],
        },
        headers={"WWW-Authenticate": f'{REALM}, error=insufficient_scope, scope="{needed}"'},
    )
