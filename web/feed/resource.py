"""A feed over HTTP: no sign-in, because calendar apps have none; the address is the secret."""

import gzip
from typing import ClassVar, Literal

import falcon

from web.api.callback import client_address
from web.api.paths import FEEDS
from web.problem import Problem
from web.services import Services

KEPT_SECONDS = 300
"""How long a client may go on with what it has without asking."""

GZIP_LEVEL = 5

_GZIPPED = "-gzip"
"""The end of the tag of a text that is compressed: tags stand for bytes."""


def add_routes(app: falcon.App[falcon.Request, falcon.Response], services: Services) -> None:
    """Add the feeds."""
    app.add_route(f"{FEEDS}/{{token}}.ics", Feed(services))


class Feed:
    """GET /calendar-feeds/{token}.ics."""

    access: ClassVar[Literal["user", "open"]] = "open"

    def __init__(self, services: Services) -> None:
        self._feeds = services.feeds
        self._limits = services.limits

    def on_get(self, req: falcon.Request, resp: falcon.Response, token: str) -> None:
        """The feed; 304 if the client has it, without a look at any job."""
        known = {str(tag).removesuffix(_GZIPPED) for tag in req.if_none_match or ()}

        def is_known(tag: str) -> bool:
            return not known.isdisjoint({tag, "*"})

        visit = self._feeds.visit(token, wants=lambda tag: not is_known(tag))
        if visit is None:
            # Whoever guesses is slowed down; who asks for a feed that there is, is counted by the feed.
            self._limits.take("feed_miss", client_address(req.remote_addr, req.get_header("X-Forwarded-For")))
            raise Problem(404, "unknown_feed", "There is no such calendar", "Its owner may have changed the address.")
        zipped = accepts_gzip(req.get_header("Accept-Encoding"))
        if visit.tag is None:
            resp.set_header("Cache-Control", "no-store")
        else:
            resp.etag = visit.tag + (_GZIPPED if zipped else "")
            resp.set_header("Cache-Control", f"private, max-age={KEPT_SECONDS}")
        resp.set_header("Vary", "Accept-Encoding")
        resp.set_header("X-Robots-Tag", "noindex")
        if visit.text is None:
            resp.status = falcon.HTTP_304
            return
        resp.content_type = "text/calendar; charset=utf-8"
        resp.set_header("Content-Disposition", 'inline; filename="jobs.ics"')
        if zipped:
            resp.set_header("Content-Encoding", "gzip")
        resp.data = gzip.compress(visit.text, GZIP_LEVEL, mtime=0) if zipped else visit.text

    on_head = on_get
    """What GET says, and so at the same cost: it is counted alike."""


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Whether the header Accept-Encoding names gzip, and not to refuse it. Pure."""
    for part in (accept_encoding or "").lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "").rstrip("0") not in {"q=", "q=0", "q=0."}
    return False
