"""Only tokens that the host app made for us, in time and with sound ids, name a user."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from outbox.crypto import generate_key
from outbox.user import User
from web.identity import TOKEN_BYTES, Identity
from web.keys import Algorithm, Key
from web.problem import Problem
from web.settings import WebSettings

SECRET = "0123456789abcdef0123456789abcdef"
ANA = User("acme", "u_ana")


def settings(**changes: Any) -> WebSettings:
    """Settings for a shared key unless `changes` say otherwise."""
    given = {
        "database_url": "postgresql://x@db.example.com/x",
        "google_oauth_client_id": "id",
        "google_oauth_client_secret": "secret",
        "google_oauth_redirect_uri": "https://app.example.com/callback",
        "token_encryption_keys": f"k:{generate_key()}",
        "public_base_url": "https://app.example.com",
        "auth_jwt_key": SECRET,
        **changes,
    }
    return WebSettings.model_validate({name: value for name, value in given.items() if value is not None})


def claims(**changes: Any) -> dict[str, Any]:
    """A good token's claims; None leaves one out."""
    given = {"sub": "u_ana", "tenant_id": "acme", "exp": time.time() + 600, **changes}
    return {name: value for name, value in given.items() if value is not None}


def token(key: Any = SECRET, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm, headers)


def encoded(part: Any) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: Any, payload: Any, key: bytes = SECRET.encode()) -> str:
    """A token signed with HMAC-SHA256, whatever its header says and however strange its parts."""
    head = f"{encoded(header)}.{encoded(payload)}"
    return f"{head}.{encoded(hmac.new(key, head.encode(), hashlib.sha256).digest())}"


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class Keys:
    """Stands for PublicKeys."""

    def __init__(self, *keys: Key) -> None:
        self._keys = keys

    def find(self, kid: str | None, algorithm: Algorithm) -> Key | None:
        return next((key for key in self._keys if (key.kid, key.algorithm) == (kid, algorithm)), None)


@pytest.fixture
def by_key_set(rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey) -> Iterator[Identity]:
    """Identity with an RSA key "r" and an EC key "e"."""
    keys: Any = Keys(Key("r", "RS256", rsa_key.public_key()), Key("e", "ES256", ec_key.public_key()))
    identity = Identity(settings(auth_jwt_key=None, auth_jwks_url="https://app.example.com/jwks"), keys=keys)
    yield identity
    identity.close()


def refused(identity: Identity, text: str) -> str:
    """The title with which it is refused."""
    with pytest.raises(Problem) as caught:
        identity.user_of(text)
    assert (caught.value.status_code, caught.value.code) == (401, "unauthenticated")
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value.title)


def test_a_good_token_names_its_user() -> None:
    assert Identity(settings()).user_of(token()) == ANA


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_the_algorithm_is_ours_to_choose(algorithm: str) -> None:
    assert refused(Identity(settings()), token("k" * 64, algorithm)) == "Your session is not valid"
    longer = Identity(settings(auth_jwt_key="k" * 64))
    assert refused(longer, token("k" * 64, algorithm)) == "Your session is not valid"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "hs256"])
def test_an_unsigned_token_is_refused_whatever_it_calls_itself(algorithm: str, by_key_set: Identity) -> None:
    head = f"{encoded({'alg': algorithm, 'typ': 'JWT'})}.{encoded(claims())}"
    for text in (f"{head}.", f"{head}.{encoded(b'x')}", head, signed({"alg": algorithm}, claims())):
        refused(Identity(settings()), text)
        refused(by_key_set, text)


def test_a_token_signed_with_another_key_is_refused() -> None:
    refused(Identity(settings()), token("another-key-another-key-another-key"))


def test_a_token_that_was_changed_is_refused() -> None:
    head, _, signature = token().split(".")
    refused(Identity(settings()), f"{head}.{encoded(claims(sub='u_bob'))}.{signature}")


@pytest.mark.parametrize("exp", [-11, -3600])
def test_an_expired_token_is_refused_as_such(exp: float) -> None:
    assert refused(Identity(settings()), token(exp=time.time() + exp)) == "Your session has expired"


def test_clocks_may_differ_a_little() -> None:
    assert Identity(settings()).user_of(token(exp=time.time() - 5)) == ANA


@pytest.mark.parametrize("exp", [None, "never", "", True, [], float("inf"), float("-inf"), float("nan"), 1e400])
def test_a_token_without_an_end_is_refused(exp: Any) -> None:
    payload = {**claims(), "exp": exp} if exp is not None else claims(exp=None)
    refused(Identity(settings()), signed({"alg": "HS256"}, payload))


def test_a_token_that_is_not_yet_valid_is_refused() -> None:
    refused(Identity(settings()), token(nbf=time.time() + 60))


@pytest.mark.parametrize("name", ["sub", "tenant_id"])
@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        7,
        True,
        ["acme"],
        {"a": 1},
        "x" * 201,
        "a\x00b",
        "a\nb",
        "\ud800",
        "a\u202eb",
        "a\u200bb",
        "\x7f",
        "a\u2028",
    ],
)
def test_an_id_that_could_do_harm_is_refused(name: str, value: Any) -> None:
    refused(Identity(settings()), signed({"alg": "HS256"}, claims(**{name: value})))


@pytest.mark.parametrize("value", ["x" * 200, "Zoë Müller", "日本", "a b", "../..", "'; --"])
def test_any_printable_id_is_taken_as_it_is(value: str) -> None:
    user = Identity(settings()).user_of(token(sub=value, tenant_id=value))
    assert user == User(tenant_id=value, user_id=value)


def test_audience_and_issuer_are_checked_when_configured() -> None:
    identity = Identity(settings(auth_jwt_audience="calendar", auth_jwt_issuer="https://app.example.com"))
    good: dict[str, Any] = {"aud": "calendar", "iss": "https://app.example.com"}
    assert identity.user_of(token(**good)) == ANA
    assert identity.user_of(token(**{**good, "aud": ["billing", "calendar"]})) == ANA
    for wrong in ({"aud": "billing"}, {"aud": None}, {"iss": "https://evil.example.com"}, {"iss": None}, {"aud": 7}):
        refused(identity, token(**{**good, **wrong}))


def test_without_configuration_audience_and_issuer_do_not_matter() -> None:
    assert Identity(settings()).user_of(token(aud="anything", iss="anybody")) == ANA


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "a.b.c\n",
        "ä.ö.ü",
        "a" * 100,
        f"{encoded('text')}.{encoded({})}.{encoded(b'x')}",
        f"{encoded([])}.{encoded({})}.{encoded(b'x')}",
        f"{encoded(b'[' * 4000)}.{encoded({})}.{encoded(b'x')}",
        f"{encoded(b'{}')}.{encoded(b'x' * 100)}.{encoded(b'x')}",
        f"{encoded({'alg': ['HS256']})}.{encoded({})}.{encoded(b'x')}",
        f"{encoded({'alg': None})}.{encoded({})}.{encoded(b'x')}",
        f"{encoded({'alg': 'RS256', 'kid': 7})}.{encoded({})}.{encoded(b'x')}",
        f"{encoded({'alg': 'RS256', 'kid': {}})}.{encoded({})}.{encoded(b'x')}",
        f"{encoded({'alg': 'HS256', 'b64': False})}.{encoded({})}.{encoded(b'x')}",
        f"{encoded({'alg': 'HS256', 'crit': 7})}.{encoded({})}.{encoded(b'x')}",
    ],
)
def test_what_is_no_token_is_refused_and_harms_nothing(text: str, by_key_set: Identity) -> None:
    assert refused(Identity(settings()), text) == "Your session is not valid"
    assert refused(by_key_set, text) == "Your session is not valid"


@pytest.mark.parametrize("payload", ["text", 7, [], None, b"no json", b"[" * 4000, b'{"exp": 1e999}'])
def test_a_signed_payload_that_holds_no_claims_is_refused(payload: Any) -> None:
    refused(Identity(settings()), signed({"alg": "HS256"}, payload))


def test_a_token_beyond_the_bound_is_not_looked_at() -> None:
    long = token(padding="x" * TOKEN_BYTES)
    refused(Identity(settings()), long)
    assert Identity(settings()).user_of(token(padding="x" * 5000)) == ANA


def test_the_key_set_verifies_both_kinds_of_key(
    by_key_set: Identity, rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    assert by_key_set.user_of(token(rsa_key, "RS256", {"kid": "r"})) == ANA
    assert by_key_set.user_of(token(ec_key, "ES256", {"kid": "e"})) == ANA


def test_a_token_need_not_name_the_only_key(rsa_key: rsa.RSAPrivateKey) -> None:
    keys: Any = Keys(Key(None, "RS256", rsa_key.public_key()))
    identity = Identity(settings(auth_jwt_key=None, auth_jwks_url="https://app.example.com/jwks"), keys=keys)
    assert identity.user_of(token(rsa_key, "RS256")) == ANA
    identity.close()


def test_a_public_key_is_no_shared_secret(by_key_set: Identity, rsa_key: rsa.RSAPrivateKey) -> None:
    published = rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for algorithm in ("HS256", "RS256"):
        refused(by_key_set, signed({"alg": algorithm, "kid": "r"}, claims(), published))


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
def test_with_a_key_set_the_algorithm_is_ours_too(
    by_key_set: Identity, rsa_key: rsa.RSAPrivateKey, algorithm: str
) -> None:
    refused(by_key_set, token(rsa_key, algorithm, {"kid": "r"}))


def test_a_key_that_the_host_app_does_not_publish_is_refused(by_key_set: Identity) -> None:
    foreign = rsa.generate_private_key(65537, 2048)
    refused(by_key_set, token(foreign, "RS256", {"kid": "r"}))
    refused(by_key_set, token(foreign, "RS256", {"kid": "unknown"}))
    # What a token says of its own key counts for nothing.
    inline = {
        "kid": "r",
        "jwk": {"kty": "RSA"},
        "jku": "https://evil.example.com/jwks",
        "x5u": "https://evil.example.com",
    }
    refused(by_key_set, token(foreign, "RS256", inline))


def test_an_asymmetric_token_is_refused_where_the_key_is_shared(rsa_key: rsa.RSAPrivateKey) -> None:
    refused(Identity(settings()), token(rsa_key, "RS256"))


def test_where_no_keys_can_be_fetched_nobody_is_called_a_stranger(rsa_key: rsa.RSAPrivateKey) -> None:
    identity = Identity(settings(auth_jwt_key=None, auth_jwks_url="http://127.0.0.1:1/jwks"))
    with pytest.raises(Problem) as caught:
        identity.user_of(token(rsa_key, "RS256", {"kid": "r"}))
    assert (caught.value.status_code, caught.value.code) == (503, "keys_unavailable")
    assert dict(caught.value.headers or {}) == {"Retry-After": "10"}
    identity.close()
