"""`GET /metrics`: what the database says of backlog, connections and problems, for a Prometheus on this machine.

It is the same whichever process of the web app answers. What a process has counted for itself is not here: the next
question would go to another one.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, ClassVar, Literal

import falcon
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from psycopg_pool import ConnectionPool

from outbox.database import Connection
from outbox.metrics_figures import DatabaseFigures
from web.problem import Problem

OF_PROXIES = frozenset({"FORWARDED", "VIA", "X-REAL-IP", "CLIENT-IP", "TRUE-CLIENT-IP"})
"""Besides all X-Forwarded-...: headers that nobody sends who asks directly."""


class Metrics:
    """The figures, for whoever asks from this machine."""

    access: ClassVar[Literal["open"]] = "open"

    def __init__(self, pool: ConnectionPool[Connection]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(DatabaseFigures(pool))

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer."""
        if not is_from_here(req.env.get("REMOTE_ADDR", ""), req.host, req.headers):
            raise Problem(
                403,
                "loopback_only",
                "Metrics are not served to other machines",
                "Ask the web app itself, on the machine that it runs on: http://127.0.0.1:8080/metrics unless WEB_BIND "
                "names another port.",
            )
        resp.content_type = CONTENT_TYPE_LATEST
        resp.data = generate_latest(self._registry)

    on_head = on_get


def is_from_here(peer: str, host: str, headers: Mapping[str, str]) -> bool:
    """Whether somebody on this machine asks us directly. Pure.

    The proxy in front of us is on this machine too, so that the peer's address alone says nothing: whatever it hands on
    has a header that says so, or still the name that the browser asked for. A Unix socket is the proxy's alone.

    Args:
        peer: the address that the connection came from; "" where that was a Unix socket.
        host: the name that was asked for, without a port.
        headers: by names in capitals.
    """
    forwarded = any(name in OF_PROXIES or name.startswith("X-FORWARDED") for name in headers)
    return not forwarded and _is_loopback(peer) and (host == "localhost" or _is_loopback(host.strip("[]")))


def _is_loopback(address: str) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def add_metrics(app: falcon.App[Any, Any], pool: ConnectionPool[Connection]) -> None:
    """Add the route."""
    app.add_route("/metrics", Metrics(pool))
