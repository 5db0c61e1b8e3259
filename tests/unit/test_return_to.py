"""The address to return to: a path of this site, whatever a browser or proxy makes of it."""

import re
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.return_to import LONGEST, PAGE, parse_return_to, with_outcome


def test_without_an_address_it_is_the_settings_page() -> None:
    assert parse_return_to(None) == PAGE


@pytest.mark.parametrize(
    "value",
    [
        "/",
        PAGE,
        "/jobs/12?tab=calendar&next=%2Fhome",
        "/jobs?link=https://example.com/a",
        "/settings#integrations",
        "/a%20b/~c;d=e,f@g:h",
        "/jobs/..almost/.hidden/...",
        "/%E2%9C%93",
        "/100%25",
        "/" + "a" * (LONGEST - 1),
    ],
)
def test_a_path_of_this_site_is_kept_as_it_is(value: str) -> None:
    assert parse_return_to(value) == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        "jobs",
        "https://evil.example",
        "HTTPS://evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "///evil.example",
        "/jobs//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "\\/evil.example",
        "/%5cevil.example",
        "/%5Cevil.example",
        "/%255cevil.example",
        "/%25255cevil.example",
        "/%2fevil.example",
        "/%2Fevil.example",
        "/%252fevil.example",
        "%2f%2fevil.example",
        "/%252525252525252fevil.example",
        "/jobs?next=%5c%5cevil.example",
        "/./evil.example",
        "/..//evil.example",
        "/jobs/../../evil.example",
        "/%2e%2e/evil.example",
        "/jobs/%252e%252e/x",
        "/\t/evil.example",
        "/ /evil.example",
        " /jobs",
        "/jobs ",
        "/jobs\n",
        "/jobs\r\nSet-Cookie: a=b",
        "/jobs%0d%0aSet-Cookie:%20a=b",
        "/jobs?x=%250d%250aSet-Cookie",
        "/jobs%00",
        "/jobs\x00",
        "/jobs\x7f",
        "/jobs\u2028",
        "/jobs%E2%80%A8",
        "/jobs\ud800",
        "/jöbs",
        "/jobs%",
        "/jobs%zz",
        "/jobs<script>",
        '/jobs"',
        "/[::1]",
        "/" + "a" * LONGEST,
    ],
)
def test_everything_else_is_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(ValueError, match=r"^The address to return to .*\.$") as refusal:
        parse_return_to(value)
    assert "evil" not in str(refusal.value)


@given(st.text(alphabet="/\\.%25cCfF2eE0dD?#@:a \t\r\n;&=", max_size=24))
def test_whatever_is_accepted_leads_to_this_site_also_when_decoded(tail: str) -> None:
    value = f"/{tail}"
    try:
        accepted = parse_return_to(value)
    except ValueError:
        return
    while True:
        target = urlsplit(urljoin("https://app.example.com/a/b", accepted))
        assert (target.scheme, target.netloc) == ("https", "app.example.com")
        assert not re.search(r"[\\\x00-\x1f]", accepted)
        if unquote(accepted) == accepted:
            return
        accepted = unquote(accepted)


@pytest.mark.parametrize(
    ("return_to", "name", "value", "expected"),
    [
        ("/jobs", "connected", "1", "/jobs?connected=1"),
        ("/jobs?tab=2", "connected", "1", "/jobs?tab=2&connected=1"),
        ("/jobs?error=old&tab=2&connected=1", "error", "access_denied", "/jobs?tab=2&error=access_denied"),
        ("/jobs?%65rror=old", "connected", "1", "/jobs?connected=1"),
        ("/jobs?terror=kept&a=%2F&b", "connected", "1", "/jobs?terror=kept&a=%2F&b&connected=1"),
        ("/jobs?", "connected", "1", "/jobs?connected=1"),
        ("/jobs#part", "connected", "1", "/jobs?connected=1#part"),
    ],
)
def test_the_outcome_joins_the_query_in_place_of_older_ones(
    return_to: str, name: str, value: str, expected: str
) -> None:
    assert with_outcome(return_to, name, value) == expected
