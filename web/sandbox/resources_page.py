"""The page on which a person watches events arrive, and the files it is made of."""

import json
from importlib.resources import files

import falcon

from web.sandbox.agenda import agenda
from web.sandbox.pages import answer_page, render
from web.sandbox.state import Sandbox

_CONTENT_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


class Page:
    """GET / and the JSON with which it keeps itself fresh."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:  # noqa: ARG002 - Falcon's form
        """The page as it stands now."""
        with self._sandbox.lock:
            version = self._sandbox.calendars.version
            cards = agenda(self._sandbox.calendars, self._sandbox.clock())
        answer_page(resp, "page.html", cards=cards, version=version)

    def on_get_fragment(self, req: falcon.Request, resp: falcon.Response) -> None:
        """`version`, and `html` of the agenda; null where the caller's version (`known`) is still right."""
        known = req.get_param_as_int("known")
        with self._sandbox.lock:
            version = self._sandbox.calendars.version
            cards = None if version == known else agenda(self._sandbox.calendars, self._sandbox.clock())
        html = None if cards is None else render("agenda.html", cards=cards)
        resp.data = json.dumps({"version": version, "html": html}).encode()


class Static:
    """GET /static/{name}: the page's own style and script."""

    def __init__(self) -> None:
        folder = files("web.sandbox") / "static"
        self._files = {file.name: file.read_bytes() for file in folder.iterdir() if "." in file.name}

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:  # noqa: ARG002 - Falcon's form
        """The file, or 404."""
        content_type = _CONTENT_TYPES.get(name.rpartition(".")[2])
        if name not in self._files or content_type is None:
            raise falcon.HTTPNotFound
        resp.content_type, resp.data = content_type, self._files[name]
