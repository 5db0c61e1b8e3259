"""Serves the metrics on this machine alone, for as long as the daemon runs."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from wsgiref.simple_server import WSGIServer

import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.registry import Collector

from outbox.metrics import REGISTRY

log = structlog.get_logger(__name__)

ADDRESS = "127.0.0.1"


@contextmanager
def serving_metrics(port: int, collectors: Sequence[Collector]) -> Iterator[str]:
    """Serve what this process counts and what the collectors find; yields "", or a sentence that says why not.

    A port that cannot be had stops nobody from pushing.

    Args:
        port: 0 serves nothing.
    """
    if port == 0:
        yield ""
        return
    try:
        server, thread = start_http_server(port, addr=ADDRESS, registry=_together(collectors))
    except OSError as error:
        log.error(
            "metrics_not_served", port=port, error=str(error), way_out="give METRICS_PORT a port of its own, or 0"
        )
        yield f" No metrics: port {port} cannot be had ({error.strerror or error})."
        return
    log.info("metrics_served", address=ADDRESS, port=port)
    try:
        yield ""
    finally:
        _end(server, thread)


def _together(collectors: Sequence[Collector]) -> CollectorRegistry:
    registry = CollectorRegistry()
    for collector in (REGISTRY, *collectors):
        registry.register(collector)
    return registry


def _end(server: WSGIServer, thread: threading.Thread) -> None:
    server.shutdown()
    server.server_close()
    thread.join()
