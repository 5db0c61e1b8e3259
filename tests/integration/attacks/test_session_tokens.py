"""Tokens of sessions: only what the host app signed, for us and for now, is anybody."""

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from falcon.testing import Result
from jwt.algorithms import RSAAlgorithm

from outbox.user import User
from tests.integration.attacks.attacker import COOKIE, EVIL, FORM, on_record
from tests.integration.conftest import World
from tests.integration.web_client import JWT_KEY, ORIGIN, Site, open_site, token_of
from web.api.paths import API, PAGE

RSA_KEY, OTHER_RSA_KEY = rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


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
