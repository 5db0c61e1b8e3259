"""Where the browser goes after Google's consent page: a path of this origin and nothing else. Pure."""

import re
from urllib.parse import unquote, unquote_plus, urlsplit

PAGE = "/settings/integrations/google-calendar"
"""The settings page: where a browser goes when nothing else was asked for."""

LONGEST = 2000
"""Characters; browsers and proxies take longer addresses for an attack."""

_URL_CHARACTERS = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/?#-]|%[0-9A-Fa-f]{2})*")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MOST_DECODINGS = 5


def parse_return_to(value: str | None) -> str:
    """The path (with its query and fragment) as it was given; PAGE for None.

    Anything that some browser, proxy or framework could read as another origin is refused, also where that takes
    decoding it several times.

    Raises:
        ValueError: with a sentence that does not repeat the value.
    """
    if value is None:
        return PAGE
    if len(value) > LONGEST:
        raise ValueError(f"The address to return to is longer than {LONGEST} characters.")
    if not _URL_CHARACTERS.fullmatch(value) or not _stays_here(value):
        raise ValueError('The address to return to must be a path of this site, such as "/settings".')
    return value


def with_outcome(return_to: str, name: str, value: str) -> str:
    """The path with `name=value` ("connected" or "error") put at the end of its query, in place of older ones.

    `value` needs no encoding: it is a word of ours.
    """
    parts = urlsplit(return_to)
    kept = [piece for piece in parts.query.split("&") if piece and not _is_outcome(piece)]
    return parts._replace(query="&".join([*kept, f"{name}={value}"])).geturl()


def _stays_here(value: str) -> bool:
    for _ in range(_MOST_DECODINGS):
        if "\\" in value or _CONTROL.search(value):
            return False
        path = re.split("[?#]", value, maxsplit=1)[0]
        if not path.startswith("/") or "//" in path or not {".", ".."}.isdisjoint(path.split("/")):
            return False
        decoded = unquote(value)
        if decoded == value:
            return True
        value = decoded
    return False


def _is_outcome(piece: str) -> bool:
    return unquote_plus(piece.partition("=")[0]) in ("connected", "error")
