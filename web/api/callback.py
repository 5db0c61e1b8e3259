"""Google's redirect: the browser comes back with a code or a refusal, and goes on to the page it started from."""

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import ClassVar, Literal

import falcon

from web.api.browser import read_browser
from web.api.paths import PAGE
from web.consent import CallbackAnswer
from web.problem import Problem
from web.return_to import with_outcome
from web.services import Services

LONGEST_PARAMETER = 2048
"""Characters. Google's codes have at most 256, our states 43."""

TOO_MANY = with_outcome(PAGE, "error", "too_many_requests")
"""Where a browser goes that came back too often without an attempt of its own."""


class Callback:
    """GET /callback. Never JSON, because a person sees it; no HEAD, because an attempt is finished once."""

    access: ClassVar[Literal["user", "open"]] = "open"
    html: ClassVar[bool] = True

    def __init__(self, services: Services) -> None:
        self._services = services

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Finish the attempt and send the browser back."""
        resp.status = falcon.HTTP_302
        resp.set_header("Location", self._destination(req))
        resp.set_header("Cache-Control", "no-store")
        resp.set_header("Referrer-Policy", "no-referrer")

    def _destination(self, req: falcon.Request) -> str:
        answer = CallbackAnswer(
            state=_parameter(req, "state"), code=_parameter(req, "code"), error=_parameter(req, "error")
        )
        browser = read_browser(req, self._services.settings.public_base_url)
        finished = self._services.consent.finish(answer, browser=browser, session_user=req.context.user)
        # Whoever has begun an attempt in this browser was counted then; many may share an address with a stranger.
        if not finished.of_this_browser and not self._is_within_limits(req):
            return TOO_MANY
        return finished.return_to

    def _is_within_limits(self, req: falcon.Request) -> bool:
        try:
            self._services.limits.take("callback", client_address(req.remote_addr, req.get_header("X-Forwarded-For")))
        except Problem as refusal:
            if refusal.code != "too_many_requests":
                raise
            return False
        return True


def client_address(peer: str, forwarded_for: str | None) -> str:
    """Whom to count a request for: a network address, of IPv6 the /64 that one customer has.

    Args:
        peer: the address that the connection came from; "" where that was a Unix socket.
        forwarded_for: the X-Forwarded-For header. Only a proxy on this machine is believed, and of what it hands on
            only the last entry, which it has added itself; some add the port too.
    """
    address = _parse(peer)
    if forwarded_for is not None and (peer == "" or (address is not None and address.is_loopback)):
        address = _parse(_without_port(forwarded_for.rpartition(",")[2].strip())) or address
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address), 64), strict=False))
    return peer if address is None else str(address)


_WITH_PORT = re.compile(r"\[([^\[\]]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")
"""[2001:db8::1]:443, [2001:db8::1] and 203.0.113.5:41234."""


def _without_port(text: str) -> str:
    found = _WITH_PORT.fullmatch(text)
    return text if found is None else found[1] or found[2]


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _parameter(req: falcon.Request, name: str) -> str | None:
    """A parameter that is there once and can be one of Google's; anything else counts as missing."""
    values = req.get_param_as_list(name) or []
    if len(values) != 1 or not 0 < len(values[0]) <= LONGEST_PARAMETER:
        return None
    [value] = values
    return value if value.isascii() and value.isprintable() else None
