"""The sandbox's HTML pages, from templates that escape whatever they are given."""

from functools import lru_cache

import falcon
from jinja2 import Environment, PackageLoader, StrictUndefined


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("web.sandbox"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **values: object) -> str:
    """The HTML of a template."""
    return _environment().get_template(template).render(values)


def answer_page(resp: falcon.Response, template: str, status: int = 200, **values: object) -> None:
    """Answer a page that may load nothing but the sandbox's own files."""
    resp.status = status
    resp.content_type = "text/html; charset=utf-8"
    resp.set_header("Content-Security-Policy", "default-src 'self'")
    resp.set_header("Cache-Control", "no-store")
    resp.text = render(template, **values)
