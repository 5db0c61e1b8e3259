"""Nobody is sent to another site."""

from urllib.parse import parse_qs, urljoin, urlsplit

from tests.integration.attacks.attacker import COOKIE, EVIL, Departure, attempts, come_back, failed, set_out
from tests.integration.web_client import ORIGIN, Site
from web.api.paths import API

ELSEWHERE = [
    "//evil.example",
    "///evil.example",
    "////evil.example/x",
    "/\\evil.example",
    "\\\\evil.example",
    "/\\/evil.example",
    "https:evil.example",
    "https://evil.example",
    "https:/evil.example",
    "HTTPS://evil.example",
    "http://127.0.0.1@evil.example/",
    f"{ORIGIN}@evil.example/",
    f"{ORIGIN}.evil.example/",
    f"{ORIGIN}/settings",
    "//127.0.0.1@evil.example",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "%2f%2fevil.example",
    "/%2fevil.example",
    "/%2Fevil.example",
    "/%252fevil.example",
    "/%25252fevil.example",
    "/%5cevil.example",
    "/%255cevil.example",
    "/%09/evil.example",
    "/\t/evil.example",
    "/%0a/evil.example",
    "/%0d%0aLocation:%20https://evil.example",
    "/\r\nLocation: https://evil.example",
    "/%E5%98%8A%E5%98%8DLocation:https://evil.example\r\n",
    "/ /evil.example",
    " //evil.example",
    "\t//evil.example",
    "/x/..//evil.example",
    "/./\\evil.example",
    "/.//evil.example",
    "/%2e/%2fevil.example",
    "/\uff0fevil.example",
    "\uff0f\uff0fevil.example",
    "/\u2215evil.example",
    "/\u29f8evil.example",
    "/\u3002evil\u3002example",
    "/\ufefe//evil",
    "evil.example",
    "@evil.example",
    "?next=//evil",
    "#x",
    ".",
    "",
    "/" + "x" * 2000,
    "/" * 2000,
]


def test_nobody_is_sent_to_another_site_by_what_is_asked_for(site: Site) -> None:
    ana = site.user("u_ana")
    for return_to in [*ELSEWHERE, "/\x00", "/x\x00//evil"]:
        answer = site.call("POST", f"{API}/connect", ana, {"return_to": return_to})
        assert answer.status_code in (400, 422), return_to
        assert "evil" not in answer.text
        assert COOKIE not in answer.cookies
    for not_text in (None, 7, ["/jobs"], {"path": "/jobs"}, True):
        assert site.call("POST", f"{API}/connect", ana, {"return_to": not_text}).status_code == 422
    for raw in (b'{"return_to": "/\\ud800"}', b'{"return_to": "/\xff"}', b'{"return_to": "/\xed\xa0\x80"}'):
        assert site.call("POST", f"{API}/connect", ana, raw).status_code in (400, 422)
    assert attempts(site.world) == 0


def test_nobody_is_sent_to_another_site_by_what_is_stored(site: Site) -> None:
    ana = site.user("u_ana")
    for return_to in ELSEWHERE:
        departure = set_out(site, ana)
        site.world.execute("UPDATE calendar_sync.consent_attempt SET return_to = %s", return_to)
        back = {"state": departure.state, "error": "access_denied"}
        for _ in range(2):
            assert come_back(site, back, browser=departure.browser, signed_in=ana) == failed("access_denied"), return_to


def test_what_is_accepted_stays_here_however_it_is_read(site: Site) -> None:
    ana = site.user("u_ana")
    for return_to in (
        "/jobs?next=https://evil.example",
        "/jobs?next=//evil.example#//evil.example",
        "/%EF%BC%8Fevil.example",
        "/@evil.example",
        "/https:evil.example",
        "/javascript:alert(1)",
        "/;evil.example",
        "/jobs?connected=1&error=revoked",
    ):
        start = site.call("POST", f"{API}/connect", ana, {"return_to": return_to})
        if start.status_code != 200:
            continue
        departure = Departure(start.json["authorize_url"], start.cookies[COOKIE].value)
        back = {"state": departure.state, "error": "access_denied"}
        location = come_back(site, back, browser=departure.browser, signed_in=ana)
        assert urljoin(f"{ORIGIN}/a/b", location).startswith(f"{ORIGIN}/")
        assert parse_qs(urlsplit(location).query)["error"] == ["access_denied"]
        assert "connected" not in parse_qs(urlsplit(location).query)


def test_the_way_back_is_decided_by_nothing_in_the_callback(site: Site) -> None:
    ana = site.user("u_ana")
    departure = set_out(site, ana)
    names = ("return_to", "next", "redirect", "redirect_uri", "url", "continue", "RelayState")
    back = {"state": departure.state, "error": "access_denied"} | dict.fromkeys(names, f"{EVIL}/")
    assert come_back(site, back, browser=departure.browser, signed_in=ana, Referer=f"{EVIL}/") == failed(
        "access_denied"
    )
    error = {"state": set_out(site, ana).state, "error": "x\r\nLocation: //evil"}
    assert "evil" not in come_back(site, error, browser=departure.browser, signed_in=ana)
