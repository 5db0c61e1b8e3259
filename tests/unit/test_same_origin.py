"""Only our own pages may write with a cookie's authority."""

import pytest

from web.same_origin import is_same_origin, origin_of

OURS = "https://app.example.com"


@pytest.mark.parametrize(
    ("origin", "fetch_site", "referer", "expected"),
    [
        (OURS, None, None, True),
        ("https://app.example.com:443", None, None, True),
        ("https://evil.example.com", None, None, False),
        ("https://app.example.com.evil.com", None, None, False),
        ("https://example.com", None, None, False),
        ("http://app.example.com", None, None, False),
        ("https://app.example.com:8443", None, None, False),
        ("null", None, None, False),
        ("", None, None, False),
        ("https://app.example.com, https://evil.example.com", None, None, False),
        ("https://evil.example.com@app.example.com", None, None, False),
        # Origin is the strongest word: no other header makes up for a wrong one.
        ("null", "same-origin", f"{OURS}/settings", False),
        ("https://evil.example.com", "same-origin", f"{OURS}/settings", False),
        (OURS, "cross-site", "https://evil.example.com/", True),
        (None, "same-origin", None, True),
        (None, "same-site", None, False),
        (None, "cross-site", f"{OURS}/settings", False),
        (None, "none", None, False),
        (None, "", f"{OURS}/settings", False),
        (None, None, f"{OURS}/settings?x=1", True),
        (None, None, OURS, True),
        (None, None, f"https://evil.example.com/{OURS}", False),
        (None, None, f"https://evil.example.com/?{OURS}/", False),
        (None, None, f"{OURS}@evil.example.com/", False),
        (None, None, "", False),
        (None, None, None, False),
    ],
)
def test_the_first_header_that_is_there_decides(
    origin: str | None, fetch_site: str | None, referer: str | None, expected: bool
) -> None:
    assert is_same_origin(OURS, origin=origin, fetch_site=fetch_site, referer=referer) is expected


@pytest.mark.parametrize(
    "url", ["null", "", "app.example.com", "ftp://app.example.com", "https://", "http://[", "http://h:x"]
)
def test_what_is_no_web_address_has_no_origin(url: str) -> None:
    assert origin_of(url) is None


def test_an_app_on_this_machine_has_a_port_in_its_origin() -> None:
    assert is_same_origin("http://127.0.0.1:8080", origin="http://127.0.0.1:8080", fetch_site=None, referer=None)
    assert not is_same_origin("http://127.0.0.1:8080", origin="http://127.0.0.1", fetch_site=None, referer=None)


def test_a_port_that_goes_without_saying_may_be_said() -> None:
    assert is_same_origin("http://127.0.0.1", origin="http://127.0.0.1:80", fetch_site=None, referer=None)
    assert not is_same_origin("http://127.0.0.1", origin="http://127.0.0.1:443", fetch_site=None, referer=None)
