"""Bodies and headers, however malformed, change nothing and break nothing."""

import itertools
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import pytest

from tests.integration.attacks.attacker import COOKIE, FORM, bodies, come_back, failed, make_victim, on_record, writes
from tests.integration.conftest import job
from tests.integration.web_client import ORIGIN, Site
from web.api.paths import API, PAGE
from web.middleware import BODY_BYTES
from web.sandbox.specs import CalendarSpec

BAD_JSON: tuple[bytes, ...] = (
    b"{",
    b"[]",
    b"null",
    b"7",
    b'""',
    b"{}{}",
    b"\x00",
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf[]",
    b'{"paused": }',
    b'{"paused": NaN}',
    b'{"paused": Infinity}',
    b'{"paused": 1e999}',
    b'{"paused": ' + b"9" * 60_000 + b"}",
    b'{"paused": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b"[" * 60_000,
    b'{"paused": true, "paused": "yes"}',
    b'{"remove_events": false, "remove_events": 1}',
    b'{"remove_events": "false"}',
    b'{"remove_events": 0}',
    b'{"tenant_id": "another-tenant", "remove_events": false}',
    b'{"__proto__": {"remove_events": true}}',
    b'{"\xff": 1}',
    b'{"\\ud800": 1}',
    b'{"\\u0000": 1}',
    b'{"calendar_id": "\\ud800\\udc00"}',
    b'{"calendar_id": "x\\u0000"}',
    b'{"return_to": "\\udc00"}',
    b'{"return_to": "\xc0\xaf\xc0\xafevil.example"}',
    b"{" + b",".join(b'"f%d": 1' % number for number in range(4000)) + b"}",
    b"{'remove_events': true}",
    b'{"remove_events": true,}',
    b'{"remove_events": True}',
    b"<!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]><x>&y;</x>",
    b"x" * BODY_BYTES,
)

BAD_FORMS: tuple[bytes, ...] = (
    b"calendar_id=%00",
    b"calendar_id=%ff%fe",
    b"calendar_id=%ed%a0%80",
    b"calendar_id=%",
    b"calendar_id=a&calendar_id=b",
    b"calendar_id[]=a",
    b"calendar_id",
    b"paused=1&paused=yes",
    b"paused=true",
    b"remove_events=maybe",
    b"job_filter=%C0%AF",
    b"\xff\xfe\x00",
    b"\x00",
    b"=",
    b"&" * 60_000,
    b"a=b&" * 16_000,
    b"{}",
    b"x" * BODY_BYTES,
)


def test_malformed_bodies_are_refused_and_change_nothing(site: Site) -> None:
    victim = make_victim(site)
    before = on_record(site.world)
    harmless = (f"{API}/test-push", f"{API}/resync")  # they take no body, so that none can do anything
    for method, path in writes(site):
        if path in harmless or path in (f"{PAGE}/test-push", f"{PAGE}/resync", f"{PAGE}/connect", f"{PAGE}/feed"):
            continue
        if method == "DELETE":  # takes none either
            continue
        for body in BAD_FORMS if path.startswith(PAGE) else BAD_JSON:
            headers = {"Content-Type": FORM if path.startswith(PAGE) else "application/json"}
            answer = site.call(method, path, victim.user, body, headers=headers)
            assert answer.status_code == 303 or 400 <= answer.status_code < 500, (path, body[:60], answer.text)
            assert "evil" not in answer.text
            assert "passwd" not in answer.text
        assert on_record(site.world) == before, path


def test_where_no_body_is_needed_none_does_any_harm(site: Site) -> None:
    victim = make_victim(site)
    for path, hostile in ((f"{API}/resync", BAD_JSON), (f"{PAGE}/resync", BAD_FORMS)):
        for body in hostile:
            headers = {"Content-Type": FORM if path.startswith(PAGE) else "application/json"}
            assert site.call("POST", path, victim.user, body, headers=headers).status_code < 500, (path, body[:60])


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": "99999999999999999999"},
        {"Content-Length": str(BODY_BYTES + 1)},
        {"Content-Length": "20"},
    ],
)
def test_a_length_that_lies_is_refused(site: Site, headers: dict[str, str]) -> None:
    victim = make_victim(site)
    before = on_record(site.world)
    for method, path in writes(site, problem_id=victim.problem_id):
        kind = FORM if path.startswith(PAGE) else "application/json"
        answer = site.call(method, path, victim.user, b"{}", headers={**headers, "Content-Type": kind})
        assert answer.status_code in (400, 413), path
    assert on_record(site.world) == before


def test_a_body_that_is_too_long_is_refused_everywhere(site: Site) -> None:
    victim = make_victim(site)
    before = on_record(site.world)
    for method, path in writes(site, problem_id=victim.problem_id):
        kind = FORM if path.startswith(PAGE) else "application/json"
        body = b" " * (BODY_BYTES + 1)
        assert site.call(method, path, victim.user, body, headers={"Content-Type": kind}).status_code == 413, path
    assert on_record(site.world) == before


STRANGE_TYPES = (
    "application/json; charset=utf-16",
    "application/json; charset=no-such",
    'application/json; "',
    "application/json;" + "x" * 5000,
    "APPLICATION/JSON",
    f"{FORM}; charset=utf-7",
    f"{FORM}; charset=no-such",
    f"{FORM}; =;;",
    f'{FORM}; boundary="',
    FORM.upper(),
    "*/*",
    "/",
    ";",
    "application/xml",
    "application/x-python-pickle",
    "application/msgpack",
    "application/json, text/plain",
    "\u00ff",
)


def test_a_strange_content_type_breaks_nothing(site: Site) -> None:
    for number, content_type in enumerate(STRANGE_TYPES):
        victim = make_victim(site, f"u_{number}")
        for method, path in writes(site, problem_id=victim.problem_id):
            for body, _ in bodies(path):
                answer = site.call(method, path, victim.user, body, headers={"Content-Type": content_type})
                assert answer.status_code < 500, (content_type, path, answer.text)


HOSTILE = (
    "",
    "\u00ff",
    "x" * 6000,
    "%00",
    '"',
    "=",
    ";",
    ",",
    "\x01",
    "*",
    "W/",
    '"x',
    "-1",
    "bytes=",
    "q=",
    "a;q=x",
    "{}",
)


HEADERS = (
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Authorization",
    "Cookie",
    "Expect",
    "Forwarded",
    "Host",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "Origin",
    "Range",
    "Referer",
    "Transfer-Encoding",
    "X-Forwarded-For",
    "X-Request-ID",
)


def test_a_hostile_header_breaks_nothing(site: Site) -> None:
    ana = site.user("u_ana")
    for name, value in itertools.product(HEADERS, HOSTILE):
        for method, path in (
            ("GET", API),
            ("GET", PAGE),
            ("GET", f"{PAGE}/static/page.css"),
            ("GET", f"{API}/callback?state=x&code=y"),
            ("POST", f"{API}/disconnect"),
            ("GET", "/nowhere"),
        ):
            answer = site.call(method, path, ana, headers={name: value})
            assert answer.status_code < 500, (name, value, method, path, answer.text)


@pytest.mark.parametrize(
    "given", ["x\r\nSet-Cookie: session=evil", "x\nevil: 1", "x\x00", "<script>", "x y", "\u00e9", "x" * 65, ""]
)
def test_a_request_id_injects_nothing(site: Site, given: str) -> None:
    for path in (API, PAGE, "/nowhere", f"{API}/callback"):
        answer = site.call("GET", path, headers={"X-Request-ID": given, "Accept": "text/html"})
        assert len(answer.headers["x-request-id"]) == 32
        assert answer.headers["x-request-id"].isalnum()
        assert "evil" not in f"{answer.headers}{answer.text}"
        assert "<script>" not in answer.text


def test_what_a_caller_says_of_host_and_scheme_is_believed_nowhere(site: Site) -> None:
    ana = site.user("u_ana")
    lies = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Port": "666",
        "X-Forwarded-Prefix": "/evil.example",
        "X-Script-Name": "/evil.example",
        "X-Original-URL": "/evil.example",
        "X-Rewrite-URL": "/evil.example",
        "Forwarded": "host=evil.example;proto=http",
    }
    start = site.call("POST", f"{API}/connect", ana, {}, headers=lies)
    assert parse_qs(urlsplit(start.json["authorize_url"]).query)["redirect_uri"] == [f"{ORIGIN}{API}/callback"]
    cookie = start.cookies[COOKIE]
    assert (cookie.secure, cookie.http_only, cookie.same_site, cookie.path) == (True, True, "Lax", "/")
    assert not cookie.domain
    state = parse_qs(urlsplit(start.json["authorize_url"]).query)["state"][0]
    back = {"state": state, "error": "access_denied"}
    assert come_back(site, back, browser=cookie.value, signed_in=ana, **lies) == failed("access_denied")
    form = site.call("POST", f"{PAGE}/resync", ana, headers=lies)
    assert form.headers["location"].startswith(f"{PAGE}?")
    for answer in (start, form, site.call("GET", PAGE, ana, headers=lies), site.call("GET", "/nowhere", headers=lies)):
        assert "evil" not in f"{answer.headers}{answer.text}"
        assert "strict-transport-security" in answer.headers


def test_what_others_wrote_is_text_on_the_page_and_nothing_more(site: Site) -> None:
    world, ana = site.world, site.user("u_ana")
    script = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}{% raw %}"
    calendar = CalendarSpec(id=f"{uuid4().hex}@group.calendar.google.com", summary=script)
    site.connect(ana, calendars=(calendar,))
    number = "javascript:alert(1)//" + script
    world.commit(script, job(number))
    world.sync()
    world.execute(
        "INSERT INTO calendar_sync.pending_push (tenant_id, calendar_id, job_id, first_marked_at, problem)"
        " VALUES (%s, %s, %s, calendar_sync.now(), %s)",
        world.tenant,
        calendar.id,
        script,
        script,
    )
    world.execute("UPDATE calendar_sync.calendar_connection SET account_email = %s", f"{script}@x")
    for query in ("", "?change=calendar", f"?{urlencode({'error': script, 'notice': script, 'change': script})}"):
        text = site.call("GET", f"{PAGE}{query}", ana).text
        assert "&lt;script&gt;" in text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert 'href="javascript:' not in text
        assert "{{ 7*7 }}" in text
