"""The page's own style and script, at addresses that change with their content, so that browsers may keep them."""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import ClassVar, Literal

import falcon

from web.api.paths import PAGE

CONTENT_TYPES = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
"""Every file that is served; nothing else in the folder is."""

_FOR_GOOD = "public, max-age=31536000, immutable"
_ASK_EACH_TIME = "no-cache"


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is sent; `version` is made of its content."""

    content: bytes
    content_type: str
    version: str


@lru_cache(maxsize=1)
def static_files() -> dict[str, StaticFile]:
    """All of them by name, read once."""
    folder = files("web.page") / "static"
    held = {}
    for name, content_type in CONTENT_TYPES.items():
        content = (folder / name).read_bytes()
        held[name] = StaticFile(content, content_type, sha256(content).hexdigest()[:16])
    return held


def address(name: str) -> str:
    """Where a page finds this version of a file."""
    return f"{PAGE}/static/{name}?v={static_files()[name].version}"


class Static:
    """GET PAGE/static/{name}."""

    access: ClassVar[Literal["user", "open"]] = "open"

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """The file; 304 if the browser has it; 404 if there is none of that name."""
        file = static_files().get(name)
        if file is None:
            raise falcon.HTTPNotFound
        resp.etag = file.version
        is_this_version = req.get_param("v", default="") == file.version
        resp.set_header("Cache-Control", _FOR_GOOD if is_this_version else _ASK_EACH_TIME)
        if any(tag == file.version for tag in req.if_none_match or ()):
            resp.status = falcon.HTTP_304
            return
        resp.content_type, resp.data = file.content_type, file.content

    on_head = on_get
