"""What `check` asks of Google: whether its endpoints answer and know our client, and what time it is there."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from outbox.google.deadline import NoReplyError, NotSentError, Reply, Transport
from outbox.google.oauth import ClientMisconfigured, GrantRefused, TokenAnswer, Tokens, TokenServerUnavailable
from outbox.runtime import USER_AGENT, oauth_client
from outbox.settings import Settings
from outbox.verbs.check import Finding, failed, ok, unchecked, warning

REQUEST_SECONDS = 10.0

OFF_SECONDS = 10.0
"""A clock that is off by more will mislead somebody who reads logs."""

WRONG_SECONDS = 300.0
"""A clock that is off by more has tokens renewed too late, or all the time."""

NO_TOKEN = "calendar-sync-check"  # noqa: S105 - it is none, and that is what it is for
"""Google refuses it, and by how it does so says whether it knows our client."""


def check_google(settings: Settings) -> Iterator[Finding]:
    """Ask each endpoint something that concerns no user and that counts against no quota of ours."""
    transport = Transport(user_agent=USER_AGENT)
    try:
        ends = {
            "GOOGLE_AUTHORIZE_URL": settings.google_authorize_url,
            "GOOGLE_CALENDAR_URL": f"{settings.google_calendar_url}/users/me/calendarList",
        }
        clock: Finding | None = None
        for name, url in ends.items():
            finding, reply = _ask(transport, name, url)
            yield finding
            if reply is not None and clock is None:
                clock = _judge_date(reply)
        yield clock or unchecked("clock", "Google has not told the time")
    finally:
        transport.close()
    oauth = oauth_client(settings, threading.Event())
    try:
        yield judge_client(oauth.refresh(NO_TOKEN), settings.google_token_url)
    finally:
        oauth.close()


def judge_client(answer: TokenAnswer, url: str) -> Finding:
    """What the token endpoint's answer to something that is no token says of our client. Pure."""
    topic = "OAuth client"
    match answer:
        case GrantRefused(error="unauthorized_client"):
            return failed(
                topic,
                "Google knows it, and does not let it renew tokens",
                "in Google's console the client has to be a web application",
            )
        case GrantRefused() | Tokens():
            return ok(topic, f"{urlsplit(url).hostname} takes GOOGLE_OAUTH_CLIENT_ID with its secret")
        case ClientMisconfigured(error=error):
            return failed(
                topic,
                f"Google refuses it: {error}",
                "compare GOOGLE_OAUTH_CLIENT_ID and GOOGLE_OAUTH_CLIENT_SECRET with Google's console",
            )
        case TokenServerUnavailable(detail=detail, unknown_error=error):
            if error:
                return unchecked(topic, f"the token endpoint answers with an error that is not known here: {error}")
            return failed(topic, f"the token endpoint does not answer: {detail}", f"let this machine reach {url}")


def judge_clock(offset: float, than: str) -> Finding:
    """Whether this machine's clock is right. Pure.

    Args:
        offset: seconds by which it is ahead.
    """
    if abs(offset) < OFF_SECONDS:
        return ok("clock", f"this machine's goes with {than}")
    text = f"this machine's is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} {than}"
    way_out = "have the clocks of this machine and of the database's set by NTP (timedatectl)"
    return failed("clock", text, way_out) if abs(offset) > WRONG_SECONDS else warning("clock", text, way_out)


def _ask(transport: Transport, name: str, url: str) -> tuple[Finding, Reply | None]:
    host = urlsplit(url).hostname
    way_out = f"let this machine reach {host}; {name} says where"
    try:
        reply = transport.send("GET", url, headers={}, deadline=time.monotonic() + REQUEST_SECONDS)
    except (NotSentError, NoReplyError) as failure:
        return failed("Google", f"{host} does not answer: {failure}", way_out), None
    if reply.status >= 500:
        return failed("Google", f"{host} answers with HTTP {reply.status}", "ask again in a few minutes"), reply
    if reply.status == 404:
        return failed("Google", f"nothing is found at {url}", f"correct {name}"), reply
    return ok("Google", f"{host} answers"), reply


def _judge_date(reply: Reply) -> Finding | None:
    try:
        theirs = parsedate_to_datetime(reply.headers["Date"])
    except (KeyError, ValueError):
        return None
    return judge_clock((datetime.now(UTC) - theirs.astimezone(UTC)).total_seconds(), "Google's")
