"""Everything that can come back from Google's consent page, in words for the person who was there."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Outcome:
    """Why an attempt to connect did not end with a connection.

    Attributes:
        code: what `?error=` carries, for the host app.
        title: what happened.
        detail: the way out.
    """

    code: str
    title: str
    detail: str


OUTCOMES: Mapping[str, Outcome] = MappingProxyType(
    {
        outcome.code: outcome
        for outcome in (
            Outcome(
                "access_denied",
                "Google Calendar was not connected.",
                "You chose Cancel on Google's page, or Google does not let this account use the app. Nothing was "
                "changed. Connect again whenever you like.",
            ),
            Outcome(
                "missing_scope",
                "A box was left unticked on Google's page.",
                "Connect again and tick every box: one lets us put your jobs into your calendar, the other lets us "
                "show you your calendars to choose from.",
            ),
            Outcome(
                "blocked_by_admin",
                "Your organization does not allow this app.",
                "Ask your Google Workspace administrator to allow this app, then connect again.",
            ),
            Outcome(
                "org_internal",
                "Google lets only accounts of one organization use this app.",
                "Connect again and choose your work account. If that is the one you chose, ask whoever runs this site "
                "to open the app to other organizations.",
            ),
            Outcome(
                "attempt_unknown",
                "This sign-in does not belong to anything you started here.",
                "Nothing was changed. Press Connect on this page to start again.",
            ),
            Outcome(
                "attempt_expired",
                "The sign-in took longer than ten minutes.",
                "For your safety it was ended. Connect again and finish within ten minutes.",
            ),
            Outcome(
                "wrong_browser",
                "You came back in another browser than you started in.",
                "Connect again and stay in the same browser until you are back here. Cookies must be allowed.",
            ),
            Outcome(
                "wrong_user",
                "You were signed in here as somebody else when you started.",
                "Nothing was connected. Connect again as the person whose calendar it is.",
            ),
            Outcome(
                "code_refused",
                "Google did not accept the sign-in.",
                "This can happen when the page is loaded twice or left open for long. Connect again.",
            ),
            Outcome(
                "no_refresh_token",
                "Google did not give lasting access.",
                "Without it the connection would end within the hour, so it was not kept. Connect again; if this "
                "happens again, remove this app at myaccount.google.com/permissions first.",
            ),
            Outcome(
                "no_calendar",
                "This Google account has no Google Calendar.",
                "Open calendar.google.com once with this account, or connect again and choose another account.",
            ),
            Outcome(
                "google_unavailable",
                "Google did not answer.",
                "Nothing was changed. Wait a minute, then connect again.",
            ),
            Outcome(
                "not_configured",
                "This site is not set up correctly for Google Calendar.",
                "You can do nothing about it here, and nothing was changed. Tell your administrator.",
            ),
            Outcome(
                "google_refused",
                "Google refused to connect.",
                "Connect again. If it goes on, choose another account or tell whoever runs this site.",
            ),
            Outcome(
                "grant_ended",
                "Access was taken away while you were connecting.",
                "The app was removed from this Google account at the same moment, here or in Google's settings. "
                "Connect again.",
            ),
            Outcome(
                "account_busy",
                "Somebody else was connecting or disconnecting this Google account.",
                "Nothing was changed. Wait a minute, then connect again.",
            ),
            Outcome(
                "still_connecting",
                "Your connection is still being finished.",
                "Look at this page again in a moment.",
            ),
            Outcome(
                "too_many_requests",
                "Too many attempts in a short time.",
                "Wait ten minutes, then connect again.",
            ),
            Outcome(
                "internal_error",
                "Something went wrong on our side.",
                "Connect again. If it goes on, tell whoever runs this site when it happened.",
            ),
        )
    }
)
"""By code: every code that the callback can answer with."""


_OF_GOOGLE: Mapping[str, str] = MappingProxyType(
    {
        "access_denied": "access_denied",
        "admin_policy_enforced": "blocked_by_admin",
        "access_not_configured": "blocked_by_admin",
        "org_internal": "org_internal",
        "temporarily_unavailable": "google_unavailable",
        "server_error": "google_unavailable",
        "invalid_client": "not_configured",
        "deleted_client": "not_configured",
        "unauthorized_client": "not_configured",
        "redirect_uri_mismatch": "not_configured",
        "invalid_scope": "not_configured",
        "invalid_request": "not_configured",
        "unsupported_response_type": "not_configured",
    }
)


def code_of_refusal(error: str) -> str:
    """Our code for the `error` with which Google sent the browser back."""
    return _OF_GOOGLE.get(error, "google_refused")
