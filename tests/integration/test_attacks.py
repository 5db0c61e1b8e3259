"""What an attacker tries first, tried on the real app with a real Postgres and the sandbox: every attack is refused."""

import base64
import hashlib
import hmac
import itertools
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit
from uuid import uuid4

import falcon.inspect
import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from falcon.testing import Result
from jwt.algorithms import RSAAlgorithm

from outbox.user import User
from tests.integration.conftest import World, job
from tests.integration.steps import connection, requests_for
from tests.integration.web_client import JWT_KEY, ORIGIN, Site, open_site, token_of
from web.api.paths import API, PAGE
from web.limits import LIMITS, Limit
from web.middleware import BODY_BYTES
from web.sandbox.model import Role
from web.sandbox.specs import AccountSpec, CalendarSpec

COOKIE = "__Host-calendar_sync_connect"

FORM = "application/x-www-form-urlencoded"

EVIL = "https://evil.example"

RSA_KEY, OTHER_RSA_KEY = rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(autouse=True)
def no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attack that is refused because it is tried too often would prove nothing."""
    monkeypatch.setattr("web.limits.LIMITS", dict.fromkeys(LIMITS, Limit(burst=1_000_000, period=1)))


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    with open_site(world) as opened:
        yield opened


@dataclass(frozen=True, slots=True)
class Departure:
    """A browser that has set out for Google."""

    authorize_url: str
    browser: str

    @property
    def state(self) -> str:
        return parse_qs(urlsplit(self.authorize_url).query)["state"][0]


def set_out(site: Site, user: User, **body: str) -> Departure:
    start = site.call("POST", f"{API}/connect", user, body)
    assert start.status_code == 200, start.text
    return Departure(start.json["authorize_url"], start.cookies[COOKIE].value)


def consent(authorize_url: str, email: str) -> dict[str, str]:
    """What Google sends the browser of somebody back with who allows everything."""
    asked = urlsplit(authorize_url)
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(
            asked._replace(path=f"{asked.path}/consent", query="").geturl(),
            data={
                "request": asked.query,
                "account": email,
                "scope": parse_qs(asked.query)["scope"][0].split(),
                "decision": "allow",
            },
            allow_redirects=False,
            timeout=30,
        )
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}


def come_back(
    site: Site, back: Mapping[str, object], *, browser: str | None, signed_in: User | None = None, **headers: str
) -> str:
    """Where the app sends a browser that comes back so."""
    cookies = {COOKIE: browser, "session": None if signed_in is None else token_of(signed_in)}
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items() if value is not None)
    answer = site.call(
        "GET",
        f"{API}/callback?{urlencode(back, doseq=True)}",
        headers={"Cookie": cookie, **headers} if cookie else headers,
    )
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def new_account(site: Site) -> str:
    email = f"somebody-{uuid4().hex[:8]}@example.com"
    site.world.google.add_account(AccountSpec(email=email))
    return email


def on_record(world: World) -> list[tuple[Any, ...]]:
    """All that a user could have changed, whoever it belongs to."""
    tables = ("calendar_connection", "pending_push", "departure", "test_push", "lane", "outbox", "calendar_feed")
    return [
        (table, row)
        for table in tables
        for (row,) in world.execute(f"SELECT to_jsonb(t)::text FROM calendar_sync.{table} AS t ORDER BY 1")
    ]


def exchanges(world: World) -> int:
    return sum(1 for entry in world.google.control("GET", "requests")["entries"] if entry["path"] == "/token")


def attempts(world: World) -> int:
    [[count]] = world.execute("SELECT count(*) FROM calendar_sync.consent_attempt")
    return int(count)


def failed(code: str) -> str:
    return f"{PAGE}?error={code}"


CONNECTED = f"{PAGE}?connected=1"


# --- tokens of sessions ---------------------------------------------------------------------------------------------


def encoded(part: object) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: object, payload: object, key: bytes, digest: str = "sha256") -> str:
    """A token with an HMAC, whatever the header says and however strange the parts."""
    head = f"{encoded(header)}.{encoded(payload)}"
    return f"{head}.{encoded(hmac.new(key, head.encode(), digest).digest())}"


def claims(user: User, **changes: object) -> dict[str, Any]:
    """Good claims; None leaves one out."""
    given = {
        "sub": user.user_id,
        "tenant_id": user.tenant_id,
        "exp": int(time.time()) + 3600,
        "aud": "calendar-sync",
        "iss": "https://host.example",
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}


HS256 = {"alg": "HS256", "typ": "JWT"}


def forged(user: User) -> Iterator[tuple[str, str]]:
    """Tokens that somebody made who does not have the shared key."""
    good = signed(HS256, claims(user), JWT_KEY.encode())
    head, payload, signature = good.split(".")
    yield "another key", jwt.encode(claims(user), "another key, and long enough to be one", algorithm="HS256")
    yield "the empty key", signed(HS256, claims(user), b"")
    yield "another payload", f"{head}.{encoded(claims(user, sub='another'))}.{signature}"
    yield "no signature", f"{head}.{payload}."
    yield "no third part", f"{head}.{payload}"
    yield "half a signature", f"{head}.{payload}.{signature[:20]}"
    yield "a key named by a path", signed({**HS256, "kid": "../../../../../dev/null"}, claims(user), b"")
    for name in ("none", "None", "NONE", "nOnE", ""):
        unsigned = f"{encoded({'alg': name, 'typ': 'JWT'})}.{payload}"
        yield f"alg {name!r}", f"{unsigned}."
        yield f"alg {name!r} with the old signature", f"{unsigned}.{signature}"
    yield "no alg", signed({"typ": "JWT"}, claims(user), JWT_KEY.encode())
    yield "RS256", jwt.encode(claims(user), RSA_KEY, algorithm="RS256")
    yield "ES256", jwt.encode(claims(user), EC_KEY, algorithm="ES256")
    own_key = RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True)
    yield "RS256 with its key", jwt.encode(claims(user), RSA_KEY, algorithm="RS256", headers={"jwk": own_key})
    yield "RS256 that is an HMAC", signed({"alg": "RS256"}, claims(user), JWT_KEY.encode())


def unfit(user: User) -> Iterator[tuple[str, str]]:
    """Tokens with the right key that are not for us, not for now, or name nobody."""

    def token(**changes: object) -> str:
        return signed(HS256, claims(user, **changes), JWT_KEY.encode())

    for algorithm in ("HS384", "HS512"):
        yield algorithm, signed({"alg": algorithm}, claims(user), JWT_KEY.encode(), f"sha{algorithm[2:]}")
    now = int(time.time())
    untimely: list[tuple[str, object]] = [("exp", now - 60), ("nbf", now + 600), ("exp", 0), ("exp", -1)]
    elsewhere: list[tuple[str, object]] = [("aud", "another-app"), ("aud", ["another-app"]), ("iss", EVIL)]
    for name, value in (*untimely, *elsewhere):
        yield f"{name} {value}", token(**{name: value})
    yield "no exp", token(exp=None)
    strange: list[object] = ["never", "", float("inf"), float("nan"), float("-inf"), [], {}, True]
    for value in strange:
        yield f"exp {value!r}", token(exp=value)
    for name in ("aud", "iss", "sub", "tenant_id"):
        yield f"no {name}", token(**{name: None})
    unlike: list[object] = [
        7,
        1.5,
        True,
        ["u_ana"],
        {"id": "u_ana"},
        "",
        "x" * 201,
        "u\x00ana",
        "u\nana",
        "\ud800",
        "\u202eu",
    ]
    for name in ("sub", "tenant_id"):
        for value in unlike:
            yield f"{name} {value!r}"[:40], token(**{name: value})
        yield f"{name} null", signed(HS256, {**claims(user), name: None}, JWT_KEY.encode())
    payloads: list[object] = [[], "u_ana", 7, None, b"\xff\xfe", b"{", b""]
    for payload in payloads:
        yield f"payload {payload!r}", signed(HS256, payload, JWT_KEY.encode())
    yield "nothing but brackets", signed(HS256, b"[" * 5000, JWT_KEY.encode())


def asks_as(site: Site, token: str) -> list[Result]:
    """Ask with the token wherever one is taken."""
    bearer = {"Authorization": f"Bearer {token}"}
    cookie = {"Cookie": f"session={token}", "Origin": ORIGIN}
    return [
        site.call(method, path, body=body, headers=headers)
        for headers in (bearer, cookie)
        for method, path, body in (
            ("GET", API, None),
            ("GET", PAGE, None),
            ("POST", f"{API}/disconnect", {"remove_events": False}),
        )
    ]


def assert_nobody(site: Site, tokens: Iterator[tuple[str, str]]) -> None:
    before = on_record(site.world)
    for name, token in tokens:
        assert [answer.status_code for answer in asks_as(site, token)] == [401] * 6, name
    assert on_record(site.world) == before


@pytest.fixture
def strict_site(world: World) -> Iterator[Site]:
    """Audience and issuer are configured."""
    with open_site(world, AUTH_JWT_AUDIENCE="calendar-sync", AUTH_JWT_ISSUER="https://host.example") as opened:
        yield opened


def test_a_token_that_the_host_app_did_not_sign_is_nobodys(strict_site: Site) -> None:
    ana = strict_site.user("u_ana")
    assert_nobody(strict_site, forged(ana))
    good = signed(HS256, claims(ana), JWT_KEY.encode())
    assert [answer.status_code for answer in asks_as(strict_site, good)] == [200] * 6


def test_a_token_that_is_not_for_us_not_for_now_or_names_nobody_is_refused(strict_site: Site) -> None:
    assert_nobody(strict_site, unfit(strict_site.user("u_ana")))


@dataclass(frozen=True, slots=True)
class Publisher:
    """A web server that gives the same to everybody, and notes who asks."""

    url: str
    asked: list[str] = field(default_factory=list)


@contextmanager
def publish(content: Mapping[str, object]) -> Iterator[Publisher]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            publisher.asked.append(self.path)
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    publisher = Publisher(f"http://127.0.0.1:{server.server_port}/jwks")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield publisher
    server.shutdown()
    thread.join()
    server.server_close()


def public_entry(key: rsa.RSAPrivateKey, kid: str) -> dict[str, Any]:
    entry = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {name: value for name, value in entry.items() if name != "key_ops"} | {"kid": kid, "alg": "RS256"}


def public_key_as_secret() -> Iterator[bytes]:
    """Every spelling of the public key that a careless verifier could take for a shared secret."""
    public = RSA_KEY.public_key()
    for encoding in (Encoding.PEM, Encoding.DER):
        for form in (PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1):
            spelled = public.public_bytes(encoding, form)
            yield spelled
            yield spelled.strip()
    entry = public_entry(RSA_KEY, "current")
    yield str(entry["n"]).encode()
    yield base64.urlsafe_b64decode(f"{entry['n']}==")
    yield json.dumps(entry).encode()


def test_what_the_host_app_publishes_signs_nothing(world: World) -> None:
    with (
        publish({"keys": [public_entry(OTHER_RSA_KEY, "mallory")]}) as mallorys,
        publish({"keys": [public_entry(RSA_KEY, "current")]}) as published,
    ):
        settings: Any = {"AUTH_JWT_KEY": None, "AUTH_JWKS_URL": published.url}
        with open_site(world, **settings) as site:
            ana = site.user("u_ana")

            def wrong() -> Iterator[tuple[str, str]]:
                for algorithm in ("HS256", "RS256", "none"):
                    for secret in public_key_as_secret():
                        yield algorithm, signed({"alg": algorithm, "kid": "current"}, claims(ana), secret)
                yield "a key of another", jwt.encode(claims(ana), OTHER_RSA_KEY, "RS256", {"kid": "current"})
                yield "a key not published", jwt.encode(claims(ana), OTHER_RSA_KEY, "RS256", {"kid": "mallory"})
                for header in ("jku", "x5u"):
                    headers = {"kid": "mallory", header: mallorys.url}
                    yield header, jwt.encode(claims(ana), OTHER_RSA_KEY, "RS256", headers)
                jwk = {"jwk": public_entry(OTHER_RSA_KEY, "current"), "kid": "current"}
                yield "jwk", jwt.encode(claims(ana), OTHER_RSA_KEY, "RS256", jwk)
                for algorithm in ("RS384", "RS512", "PS256"):
                    yield algorithm, jwt.encode(claims(ana), RSA_KEY, algorithm, {"kid": "current"})
                yield "ES256", jwt.encode(claims(ana), EC_KEY, "ES256", {"kid": "current"})
                yield "the shared key", token_of(ana)
                for kid in (7, ["current"], {"kid": "current"}, None):
                    # (The library would not write such a header.)
                    yield f"kid {kid}", f"{encoded({'alg': 'HS256', 'kid': kid})}.{encoded(claims(ana))}.AAAA"

            assert_nobody(site, wrong())
            good = jwt.encode(claims(ana), RSA_KEY, "RS256", {"kid": "current"})
            assert [answer.status_code for answer in asks_as(site, good)] == [200] * 6
        assert mallorys.asked == []


def test_a_token_counts_in_the_header_and_in_its_cookie_and_nowhere_else(site: Site) -> None:
    ana = site.user("u_ana")
    token = token_of(ana)
    query = urlencode(
        dict.fromkeys(("session", "token", "access_token", "jwt", "Authorization", "authorization"), token)
    )
    assert site.call("GET", f"{API}?{query}").status_code == 401
    assert site.call("GET", f"{PAGE}?{query}").status_code == 401
    assert site.call("POST", f"{API}/disconnect?{query}", body={"remove_events": False}).status_code == 401
    form = {"Content-Type": FORM, "Origin": ORIGIN}
    assert site.call("POST", f"{PAGE}/disconnect", body=query.encode(), headers=form).status_code == 401
    for headers in (
        {"Authorization": token},
        {"Authorization": f"Token {token}"},
        {"Authorization": "Basic " + base64.b64encode(f"x:{token}".encode()).decode()},
        {"Authorization": f"Bearer {token}, Bearer {token}"},
        {"X-Authorization": f"Bearer {token}"},
        {"Proxy-Authorization": f"Bearer {token}"},
        {"Cookie": f"token={token}; Session={token}; {COOKIE}={token}; __Host-session={token}"},
        {"Cookie": f"session={token}; session={token_of(site.user('u_bo'))}"},
        {"X-User-Id": "u_ana", "X-Tenant-Id": ana.tenant_id, "X-Remote-User": "u_ana", "Remote-User": "u_ana"},
    ):
        assert site.call("GET", API, headers=headers).status_code == 401, headers


# --- the way to Google and back -------------------------------------------------------------------------------------


def test_a_state_is_good_once(site: Site) -> None:
    ana, email = site.user("u_ana"), new_account(site)
    departure = set_out(site, ana)
    back = consent(departure.authorize_url, email)
    again = consent(departure.authorize_url, email)
    assert come_back(site, back, browser=departure.browser, signed_in=ana) == CONNECTED
    before, asked = on_record(site.world), exchanges(site.world)
    for replayed in (back, again, {**back, "code": "4/another"}, {"state": back["state"], "error": "access_denied"}):
        assert come_back(site, replayed, browser=departure.browser, signed_in=ana) == CONNECTED
        assert come_back(site, replayed, browser=set_out(site, ana).browser) == failed("wrong_browser")
    assert (on_record(site.world), exchanges(site.world)) == (before, asked)


def test_a_state_that_failed_cannot_be_used_for_another_try(site: Site) -> None:
    ana, email = site.user("u_ana"), new_account(site)
    departure = set_out(site, ana)
    back = consent(departure.authorize_url, email)
    refused = {"state": back["state"], "error": "access_denied"}
    assert come_back(site, refused, browser=departure.browser, signed_in=ana) == failed("access_denied")
    asked = exchanges(site.world)
    assert come_back(site, back, browser=departure.browser, signed_in=ana) == failed("access_denied")
    assert (on_record(site.world), exchanges(site.world)) == ([], asked)


def test_an_expired_state_is_refused(site: Site) -> None:
    ana = site.user("u_ana")
    departure = set_out(site, ana)
    back = consent(departure.authorize_url, new_account(site))
    asked = exchanges(site.world)
    site.world.advance(601)
    assert come_back(site, back, browser=departure.browser, signed_in=ana) == failed("attempt_expired")
    assert (on_record(site.world), exchanges(site.world)) == ([], asked)


def test_a_state_that_is_missing_made_up_or_given_twice_is_refused(site: Site) -> None:
    ana = site.user("u_ana")
    departure = set_out(site, ana)
    back = consent(departure.authorize_url, new_account(site))
    asked = exchanges(site.world)
    state_hash = hashlib.sha256(departure.state.encode()).digest()
    for state in (
        (),
        "",
        "x" * 43,
        departure.state[:-1],
        departure.state + "=",
        departure.state.swapcase(),
        state_hash.hex(),
        base64.urlsafe_b64encode(state_hash).rstrip(b"=").decode(),
        (departure.state, departure.state),
        ("x" * 43, departure.state),
        "\x00" + departure.state,
        "\ud7ff" * 43,
        "' OR '1'='1",
        "x" * 100_000,
    ):
        assert come_back(site, {**back, "state": state}, browser=departure.browser, signed_in=ana) == failed(
            "attempt_unknown"
        ), state
    assert (on_record(site.world), exchanges(site.world)) == ([], asked)
    assert come_back(site, back, browser=departure.browser, signed_in=ana) == CONNECTED


def test_a_state_belongs_to_its_user_and_to_its_browser(site: Site) -> None:
    ana, bo = site.user("u_ana"), site.user("u_bo")
    departure, bos = set_out(site, ana), set_out(site, bo)
    back = consent(departure.authorize_url, new_account(site))
    asked = exchanges(site.world)
    for signed_in in (None, ana, bo):
        for browser in (None, bos.browser, departure.browser[:-1], "", "x" * 43, departure.state):
            assert come_back(site, back, browser=browser, signed_in=signed_in) == failed("wrong_browser")
    for another in (bo, User("another-tenant", "u_ana"), User(ana.tenant_id, "U_ANA"), User(ana.tenant_id, "u_ana ")):
        assert come_back(site, back, browser=departure.browser, signed_in=another) == failed("wrong_user")
    # Two cookies of that name, of which one was planted.
    planted = f"{departure.browser}; {COOKIE}={bos.browser}"
    assert come_back(site, back, browser=planted, signed_in=ana) == failed("wrong_browser")
    assert (on_record(site.world), exchanges(site.world)) == ([], asked)
    assert come_back(site, back, browser=departure.browser, signed_in=ana) == CONNECTED


def test_a_victim_who_is_lured_to_the_attackers_way_back_connects_nothing(site: Site) -> None:
    """The attacker's Google account would get the victim's jobs, or the attacker the victim's calendar."""
    ana, mallory = site.user("u_ana"), site.user("u_mallory")
    mallorys, anas = set_out(site, mallory), set_out(site, ana)
    attackers_answer = consent(mallorys.authorize_url, new_account(site))
    victims_answer = consent(mallorys.authorize_url, new_account(site))
    asked = exchanges(site.world)
    for lure in (attackers_answer, victims_answer):
        for browser in (None, anas.browser):
            for signed_in in (None, ana):
                assert come_back(site, lure, browser=browser, signed_in=signed_in) == failed("wrong_browser")
    assert (on_record(site.world), exchanges(site.world)) == ([], asked)


def test_a_code_is_of_no_use_in_another_attempt(site: Site) -> None:
    ana, mallory = site.user("u_ana"), site.user("u_mallory")
    for thief, owner in ((mallory, ana), (ana, mallory)):
        stolen = consent(set_out(site, owner).authorize_url, new_account(site))["code"]
        own = set_out(site, thief)
        asked = exchanges(site.world)
        back = {"state": own.state, "code": stolen}
        assert come_back(site, back, browser=own.browser, signed_in=thief) == failed("code_refused")
        assert exchanges(site.world) == asked + 1, "it was Google that refused, for the verifier"
    # Nor in another attempt of the same user.
    first, second = set_out(site, ana), set_out(site, ana)
    back = {**consent(first.authorize_url, new_account(site)), "state": second.state}
    assert come_back(site, back, browser=second.browser, signed_in=ana) == failed("code_refused")
    assert on_record(site.world) == []


ALTERED = "set_byte({column}, length({column}) - 1, get_byte({column}, length({column}) - 1) # 1)"


@pytest.mark.parametrize(
    ("swap", "outcome"),
    [
        ("(SELECT code_verifier FROM calendar_sync.consent_attempt WHERE user_id = 'u_mallory')", "internal_error"),
        ("(SELECT code_verifier FROM calendar_sync.consent_attempt WHERE return_to = '/other')", "code_refused"),
        ("(SELECT refresh_token FROM calendar_sync.calendar_connection WHERE user_id = 'u_ana')", "internal_error"),
        (ALTERED.format(column="code_verifier"), "internal_error"),
        ("''", "internal_error"),
    ],
)
def test_a_verifier_that_was_swapped_redeems_nothing(site: Site, swap: str, outcome: str) -> None:
    ana = site.user("u_ana")
    site.connect(ana)
    set_out(site, site.user("u_mallory"))
    set_out(site, ana, return_to="/other")
    departure = set_out(site, ana, return_to="/mine")
    site.world.execute(f"UPDATE calendar_sync.consent_attempt SET code_verifier = {swap} WHERE return_to = '/mine'")
    before = on_record(site.world)
    back = consent(departure.authorize_url, new_account(site))
    assert come_back(site, back, browser=departure.browser, signed_in=ana) == f"/mine?error={outcome}"
    assert on_record(site.world) == before


# --- stored tokens --------------------------------------------------------------------------------------------------

SWAPS = {
    "another user's": "(SELECT {column} FROM calendar_sync.calendar_connection WHERE user_id = 'u_ana')",
    "another tenant's": "(SELECT {column} FROM calendar_sync.calendar_connection WHERE tenant_id = 'another-tenant')",
    "another column's": "CASE '{column}' WHEN 'access_token' THEN refresh_token ELSE access_token END",
    "an altered one": ALTERED,
    "a cut one": "substring({column} FROM 1 FOR 20)",
    "an empty one": "''",
    "a token in the clear": "'ya29.token'",
}


@pytest.mark.parametrize("column", ["access_token", "refresh_token"])
@pytest.mark.parametrize("swap", SWAPS)
def test_a_stored_token_that_was_swapped_is_never_used(site: Site, column: str, swap: str) -> None:
    world, bo = site.world, site.user("u_bo")
    victims = {user: site.connect(user) for user in (site.user("u_ana"), User("another-tenant", "u_bo"))}
    own = site.connect(bo)
    world.execute(
        f"UPDATE calendar_sync.calendar_connection SET {column} = {SWAPS[swap].format(column=column)}"
        " WHERE (tenant_id, user_id) = (%s, %s)",
        *bo.key.values(),
    )
    # The refresh token is used once the access token is about to expire.
    world.advance(3500 if column == "refresh_token" else 0)
    asked = {email: requests_for(world, email) for email in (own, *victims.values())}
    exchanged = exchanges(world)
    answer = site.call("GET", f"{API}/calendars", bo)
    assert (answer.status_code, answer.json["type"]) == (409, "urn:calendar-sync:problem:reconnect_needed")
    assert connection(world, "u_bo", "state", "reconnect_reason") == ("needs_reconnect", "key_lost")
    world.commit("job_1", job())
    assert site.call("POST", f"{API}/test-push", bo).status_code == 409
    assert {email: requests_for(world, email) for email in asked} == asked
    assert exchanges(world) == exchanged
    # Nor is it given back to Google: that would end the grant of the one whose it is.
    left = site.call("POST", f"{API}/disconnect", bo, {"remove_events": False})
    assert left.json["revocation"] == ("refused" if column == "refresh_token" else "revoked")
    for victim, email in victims.items():
        offered = site.call("GET", f"{API}/calendars", victim).json["calendars"]
        assert [calendar["id"] for calendar in offered] == [email]


# --- addresses to return to -----------------------------------------------------------------------------------------

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


# --- other sites ----------------------------------------------------------------------------------------------------

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

FIELDS: dict[str, object] = {
    "calendar_id": "primary",
    "job_filter": "assigned",
    "paused": True,
    "remove_events": False,
    "return_to": "/jobs",
}


def writes(site: Site, **parameters: str) -> list[tuple[str, str]]:
    """Every method and path that can change something, as the router has them."""
    found = [
        (method.method, route.path.format(name="page.css", test_push_id=uuid4(), **{"problem_id": "1", **parameters}))
        for route in falcon.inspect.inspect_routes(site.app)
        for method in route.methods
        if not method.internal and method.method not in {"GET", "HEAD", "OPTIONS"}
    ]
    assert len(found) >= 13
    assert {path.startswith(PAGE) for _, path in found} == {True, False}
    return found


def bodies(path: str) -> list[tuple[bytes, str]]:
    """What does something at that path: a form for a page's form, otherwise JSON with the fields of each operation."""
    if path.startswith(PAGE):
        form = {"calendar_id": "primary", "job_filter": "assigned", "paused": "yes", "remove_events": "no"}
        return [(urlencode(form).encode(), FORM), (b"", FORM)]
    by_path = {API: ("job_filter", "paused"), f"{API}/disconnect": ("remove_events",)}
    return [(json.dumps({name: FIELDS[name] for name in by_path.get(path, ())}).encode(), "application/json")]


@dataclass(frozen=True, slots=True)
class Victim:
    """A user with a connection that works and a problem to retry."""

    user: User
    cookie: str
    problem_id: str


def make_victim(site: Site, name: str = "u_ana") -> Victim:
    world, ana = site.world, site.user(name)
    calendar = site.connect(ana)
    world.commit("job_1", job())
    world.sync()
    world.execute(
        "INSERT INTO calendar_sync.pending_push (tenant_id, calendar_id, job_id, first_marked_at, problem)"
        " VALUES (%s, %s, 'job_1', calendar_sync.now(), 'It does not fit.')",
        world.tenant,
        calendar,
    )
    [problem] = site.call("GET", f"{API}/problems", ana).json["problems"]
    return Victim(ana, f"session={token_of(ana)}", problem["id"])


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


# --- calendars ------------------------------------------------------------------------------------------------------


def choose_both_ways(site: Site, user: User, calendar_id: str) -> tuple[Result, Result]:
    """By the API and by the page's form."""
    form = {"Content-Type": FORM}
    return (
        site.call("PATCH", API, user, {"calendar_id": calendar_id}),
        site.call("POST", f"{PAGE}/calendar", user, urlencode({"calendar_id": calendar_id}).encode(), headers=form),
    )


def test_a_calendar_that_is_not_the_users_cannot_be_chosen(site: Site) -> None:
    world, ana, bo = site.world, site.user("u_ana"), site.user("u_bo")
    others = CalendarSpec(id=f"team-{uuid4().hex}@group.calendar.google.com", summary="Bo's")
    readable = CalendarSpec(id=f"read-{uuid4().hex}@group.calendar.google.com", summary="To look at", role=Role.READER)
    bos = site.connect(bo, calendars=(others,))
    email = f"ana-{uuid4().hex[:8]}@example.com"
    own = CalendarSpec(id=f"own-{uuid4().hex}@group.calendar.google.com", summary="Own")
    site.connect(ana, email=email, calendars=(own, readable))
    before = on_record(world)
    [bos_email] = connection(world, "u_bo", "account_email")
    for calendar_id in (
        bos,
        str(bos_email),
        "u_bo",
        f"../{own.id}",
        f"..%2f{own.id}",
        "%2e%2e",
        "%2e%2e%2f",
        f"x/../{own.id}",
        "a/../b",
        f"{own.id}/../{bos}",
        f"{own.id}%2f..%2f{bos}",
        f"{own.id}?key=1",
        f"{own.id}#",
        f"{own.id}\n",
        f" {own.id}",
        f"{own.id}\x00",
        f"\x00{own.id}",
        ".",
        "..",
        "...",
        "",
        "/",
        "\\",
        "x" * 1024,
        "x" * 1025,
        "x" * 50_000,
        "%00",
        "*",
        "' OR '1'='1",
        "\u202e",
        "primary/",
        "primary%20",
        "calendarList",
        "{calendar_id}",
    ):
        api, form = choose_both_ways(site, ana, calendar_id)
        assert api.status_code in (404, 422), calendar_id
        assert form.status_code == 303, calendar_id
        assert form.headers["location"] in (f"{PAGE}?notice=unknown_calendar", f"{PAGE}?notice=invalid_form"), (
            calendar_id
        )
        assert on_record(world) == before, calendar_id
    api, form = choose_both_ways(site, ana, readable.id)
    assert (api.status_code, form.headers["location"]) == (422, f"{PAGE}?notice=calendar_not_writable")
    for raw in (
        b'{"calendar_id": "\\ud800"}',
        b'{"calendar_id": null}',
        b'{"calendar_id": ["x"]}',
        b'{"calendar_id": 7}',
    ):
        assert site.call("PATCH", API, ana, raw).status_code in (400, 422)
    assert on_record(world) == before
    requested = {entry["path"].partition("?")[0] for entry in requests_for(world, email)}
    assert {path for path in requested if "/calendarList" not in path} == {"/token"}


def test_primary_is_stored_as_the_calendar_that_it_is_for_this_user(site: Site) -> None:
    ana = site.user("u_ana")
    email = f"ana-{uuid4().hex[:8]}@example.com"
    site.connect(
        ana, email=email, calendars=(CalendarSpec(id=f"{uuid4().hex}@group.calendar.google.com", summary="x"),)
    )
    for answer in choose_both_ways(site, ana, "primary"):
        assert answer.status_code in (200, 303)
        assert connection(site.world, "u_ana", "calendar_id") == (email,)


# --- bodies and headers ---------------------------------------------------------------------------------------------

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
