"""Whether a write that a cookie vouches for comes from our own pages, and not from somebody else's."""

from urllib.parse import urlsplit

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, so that it does not matter which page asked."""

_DEFAULT_PORTS = {"https": 443, "http": 80}


def is_same_origin(public_base_url: str, *, origin: str | None, fetch_site: str | None, referer: str | None) -> bool:
    """Whether the headers Origin, Sec-Fetch-Site or Referer, the first that is there, say that it is ours.

    Browsers send at least one of them with every write; without any it is refused, and so is `Origin: null`.
    """
    ours = origin_of(public_base_url)
    if origin is not None:
        return origin_of(origin) == ours
    if fetch_site is not None:
        return fetch_site == "same-origin"
    return referer is not None and origin_of(referer) == ours


def origin_of(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an http(s) URL; None for anything else, "null" too."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, _DEFAULT_PORTS[parts.scheme] if port is None else port
