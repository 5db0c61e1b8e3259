"""A page of another site gets nothing done."""

from urllib.parse import urlencode

import pytest

from tests.integration.attacks.attacker import EVIL, FIELDS, FORM, attempts, bodies, make_victim, on_record, writes
from tests.integration.web_client import ORIGIN, Site
from web.api.paths import PAGE

FOREIGN: tuple[dict[str, str], ...] = (
    {"Origin": EVIL},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": f"{ORIGIN}.evil.example"},
    {"Origin": "https://127.0.0.1@evil.example"},
    {"Origin": f"{EVIL}#{ORIGIN}"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": f"{ORIGIN}:8443"},
    {"Origin": f"{EVIL}, {ORIGIN}"},
    {"Origin": f"{ORIGIN}, {EVIL}"},
    {"Origin": EVIL, "Referer": f"{ORIGIN}{PAGE}", "Sec-Fetch-Site": "same-origin"},
    {"Origin": "null", "Referer": f"{ORIGIN}{PAGE}"},
    {"Origin": EVIL, "Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "cross-site", "Referer": f"{ORIGIN}{PAGE}"},
    {"Referer": f"{EVIL}/{ORIGIN}/"},
    {"Referer": f"{ORIGIN}.evil.example/"},
    {"Referer": "https://127.0.0.1@evil.example/"},
    {"Referer": "about:blank"},
    {"Referer": "127.0.0.1"},
    {},
)
"""What browsers send, or can be made to send, from a page that is not ours."""


def test_no_write_is_done_for_a_page_of_another_site(site: Site) -> None:
    victim = make_victim(site)
    before, begun = on_record(site.world), attempts(site.world)
    for method, path in writes(site, problem_id=victim.problem_id):
        for body, content_type in bodies(path):
            for headers in FOREIGN:
                given = {"Cookie": victim.cookie, "Content-Type": content_type, **headers}
                answer = site.call(method, path, body=body, headers=given)
                assert answer.status_code == 403, (method, path, headers)
                assert "set-cookie" not in answer.headers
        assert on_record(site.world) == before, path
    assert attempts(site.world) == begun
    # The same requests do something when they come from our own page, so the origin was the reason.
    done = [
        (
            path,
            site.call(
                method, path, body=body, headers={"Cookie": victim.cookie, "Content-Type": kind, "Origin": ORIGIN}
            ),
        )
        for method, path in sorted(
            writes(site, problem_id=victim.problem_id), key=lambda write: "disconnect" in write[1]
        )
        for body, kind in bodies(path)
    ]
    assert {answer.status_code for _, answer in done} <= {200, 201, 202, 204, 303, 404, 409}
    assert on_record(site.world) != before


@pytest.mark.parametrize(
    "content_type", ["text/plain", "multipart/form-data; boundary=x", "", FORM, "text/plain;application/json"]
)
def test_the_api_takes_nothing_that_a_form_of_another_site_could_send(site: Site, content_type: str) -> None:
    """A second fence: even where an origin were believed, a page can send only these types without being asked."""
    victim = make_victim(site)
    before = on_record(site.world)
    for method, path in writes(site, problem_id=victim.problem_id):
        if path.startswith(PAGE):
            continue
        for body in (b"{}", *(body for body, _ in bodies(path))):
            headers = {"Cookie": victim.cookie, "Content-Type": content_type, "Origin": ORIGIN}
            assert site.call(method, path, body=body, headers=headers).status_code == 415, path
    assert on_record(site.world) == before


def test_reading_changes_nothing_whatever_method_it_claims_to_be(site: Site) -> None:
    victim = make_victim(site)
    before, begun = on_record(site.world), attempts(site.world)
    query = urlencode({"_method": "POST", **{name: str(value) for name, value in FIELDS.items()}})
    for _, path in writes(site, problem_id=victim.problem_id):
        for method in ("GET", "HEAD", "OPTIONS"):
            headers = {"Cookie": victim.cookie, "X-HTTP-Method-Override": "POST", "X-HTTP-Method": "DELETE"}
            answer = site.call(method, f"{path}?{query}", headers=headers)
            assert answer.status_code in (200, 204, 303, 405), (method, path)
            assert "access-control-allow-origin" not in answer.headers
    assert (on_record(site.world), attempts(site.world)) == (before, begun)
