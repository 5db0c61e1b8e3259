"""The cookie that ties a consent attempt to the browser which started it."""

import falcon

from web.consent import ATTEMPT_SECONDS


def read_browser(req: falcon.Request, public_base_url: str) -> str | None:
    """The cookie's value, if it came exactly once."""
    values = req.get_cookie_values(cookie_name(public_base_url)) or []
    return values[0] if len(values) == 1 else None


def keep_browser(resp: falcon.Response, public_base_url: str, browser: str) -> None:
    """Set the cookie for as long as an attempt lives. Lax, so that it comes along when Google redirects back."""
    resp.set_cookie(
        cookie_name(public_base_url),
        browser,
        max_age=ATTEMPT_SECONDS,
        path="/",
        secure=public_base_url.startswith("https://"),
        http_only=True,
        same_site="Lax",
    )


def cookie_name(public_base_url: str) -> str:
    """`__Host-` keeps other hosts of the domain from setting it; browsers grant it over https only."""
    return "__Host-calendar_sync_connect" if public_base_url.startswith("https://") else "calendar_sync_connect"
