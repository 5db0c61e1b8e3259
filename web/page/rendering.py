"""The page's HTML, from templates that escape whatever they are given."""

import json
from datetime import datetime
from functools import lru_cache

import falcon
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from web.api.paths import API, PAGE
from web.page import wording
from web.page.progress import SCRIPT_WORDS
from web.page.static_files import address

_TEXTS = {"ago": wording.moment, "moment": wording.moment, "clock": wording.clock, "seconds": wording.clock_seconds}


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("web.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        api=API, page_path=PAGE, static=address, counted=wording.counted, test_words=json.dumps(SCRIPT_WORDS)
    )
    environment.filters.update(time=time_element, machine=wording.machine)
    return environment


def time_element(time: datetime, style: str = "ago") -> Markup:
    """A `<time>` that reads well as it is, and that the script turns into the reader's own time zone.

    Args:
        style: "ago" for how long ago it was, "moment" for date and time, "clock" for a time of day, "seconds" for one
            to the second.
    """
    return Markup('<time datetime="{}" data-style="{}">{}</time>').format(
        wording.machine(time), style, _TEXTS[style](time)
    )


def render(template: str, **values: object) -> str:
    """The HTML of a template."""
    return _environment().get_template(template).render(values)


def answer_html(resp: falcon.Response, template: str, **values: object) -> None:
    """Answer with a page that nobody may keep: it is one user's own."""
    resp.content_type = "text/html; charset=utf-8"
    resp.set_header("Cache-Control", "no-store")
    resp.text = render(template, **values)
