"""The host app's key set: kept, renewed, never fetched on a stranger's command, and read with suspicion."""

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from outbox.google.deadline import Transport
from web.keys import (
    FRESH_SECONDS,
    PAUSE_SECONDS,
    STALE_SECONDS,
    KeysUnavailableError,
    PublicKeys,
    parse_key_set,
)

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def rsa_entry(kid: object = "r", key: rsa.RSAPrivateKey = RSA_KEY, **changes: Any) -> dict[str, Any]:
    return _entry(RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), kid, changes)


def ec_entry(kid: str | None = "e", key: ec.EllipticCurvePrivateKey = EC_KEY, **changes: Any) -> dict[str, Any]:
    return _entry(ECAlgorithm.to_jwk(key.public_key(), as_dict=True), kid, changes)


def _entry(jwk: Mapping[str, Any], kid: object, changes: Mapping[str, Any]) -> dict[str, Any]:
    # `key_ops` and `use` say the same thing twice; a host app gives one or none.
    members = {name: value for name, value in jwk.items() if name != "key_ops"}
    return members | ({} if kid is None else {"kid": kid}) | dict(changes)


def document(*entries: object) -> bytes:
    return json.dumps({"keys": entries}).encode()


class Host:
    """A host app that publishes `body`, on a real socket, and counts who asks."""

    def __init__(self) -> None:
        self.body = document(rsa_entry())
        self.status = 200
        self.asked = 0
        self.arrived = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked += 1
                host.arrived.release()
                host.gate.wait(10)
                self.send_response(host.status)
                self.send_header("Content-Length", str(len(host.body)))
                self.end_headers()
                self.wfile.write(host.body)

            def log_message(self, *args: object) -> None:
                """Nothing: the test says what it saw."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks"


class Clock:
    """Seconds that the test lets pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def host() -> Iterator[Host]:
    """The host app, serving."""
    host = Host()
    thread = threading.Thread(target=host.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield host
    host.gate.set()
    host.server.shutdown()
    thread.join()
    host.server.server_close()


@pytest.fixture
def clock() -> Clock:
    """A clock of this test's own."""
    return Clock()


@pytest.fixture
def keys(host: Host, clock: Clock) -> Iterator[PublicKeys]:
    """The host's keys."""
    transport = Transport(user_agent="test")
    yield PublicKeys(host.url, transport, clock=clock)
    transport.close()


def test_a_set_is_fetched_once_and_kept(host: Host, keys: PublicKeys, clock: Clock) -> None:
    assert host.asked == 0
    for _ in range(5):
        key = keys.find("r", "RS256")
        assert key is not None
        assert key.public == RSA_KEY.public_key()
    clock.now += FRESH_SECONDS
    keys.find("r", "RS256")
    assert host.asked == 1


def test_a_set_that_is_old_is_fetched_again_and_what_was_withdrawn_is_gone(
    host: Host, keys: PublicKeys, clock: Clock
) -> None:
    assert keys.find("r", "RS256")
    host.body = document(rsa_entry("new"))
    clock.now += FRESH_SECONDS + 1
    assert keys.find("r", "RS256") is None
    assert keys.find("new", "RS256")
    assert host.asked == 2


def test_a_new_key_is_known_at_once(host: Host, keys: PublicKeys, clock: Clock) -> None:
    assert keys.find("r", "RS256")
    host.body = document(rsa_entry(), ec_entry("new"))
    clock.now += PAUSE_SECONDS
    assert keys.find("new", "ES256")


def test_unknown_keys_do_not_make_us_ask_more_often(host: Host, keys: PublicKeys, clock: Clock) -> None:
    for number in range(100):
        assert keys.find(f"made-up-{number}", "RS256") is None
    assert host.asked == 1
    clock.now += PAUSE_SECONDS
    for number in range(100):
        assert keys.find(f"made-up-{number}", "RS256") is None
    assert host.asked == 2


def test_a_key_serves_one_algorithm_alone(keys: PublicKeys) -> None:
    assert keys.find("r", "ES256") is None


def test_without_an_id_there_must_be_no_choice(host: Host, keys: PublicKeys, clock: Clock) -> None:
    host.body = document(rsa_entry(None), ec_entry())
    key = keys.find(None, "RS256")
    assert key is not None
    assert key.kid is None
    host.body = document(rsa_entry("a"), rsa_entry("b"))
    clock.now += FRESH_SECONDS + 1
    assert keys.find(None, "RS256") is None


@pytest.mark.parametrize(("status", "body"), [(500, b"{}"), (302, b""), (200, b"<html>"), (200, b"[]"), (404, b"")])
def test_while_no_set_can_be_fetched_the_old_one_serves_for_an_hour(
    host: Host, keys: PublicKeys, clock: Clock, status: int, body: bytes
) -> None:
    assert keys.find("r", "RS256")
    host.status, host.body = status, body
    clock.now += STALE_SECONDS
    assert keys.find("r", "RS256")
    clock.now += 1
    with pytest.raises(KeysUnavailableError):
        keys.find("r", "RS256")


def test_without_any_set_nobody_is_judged_and_the_host_is_left_in_peace(
    host: Host, keys: PublicKeys, clock: Clock
) -> None:
    host.status = 503
    for _ in range(20):
        with pytest.raises(KeysUnavailableError):
            keys.find("r", "RS256")
    assert host.asked == 1
    host.status = 200
    clock.now += PAUSE_SECONDS
    assert keys.find("r", "RS256")


def test_a_host_that_refuses_connections_is_no_error_of_ours(clock: Clock) -> None:
    transport = Transport(user_agent="test")
    with pytest.raises(KeysUnavailableError):
        PublicKeys("http://127.0.0.1:1/jwks", transport, clock=clock).find("r", "RS256")
    transport.close()


def test_many_at_once_make_one_request(host: Host, keys: PublicKeys) -> None:
    host.gate.clear()
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(keys.find("r", "RS256"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    host.gate.set()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert None not in found
    assert host.asked == 1


def test_whoever_has_keys_does_not_wait_for_newer_ones(host: Host, keys: PublicKeys, clock: Clock) -> None:
    assert keys.find("r", "RS256")
    assert host.arrived.acquire(timeout=10)
    clock.now += FRESH_SECONDS + 1
    host.gate.clear()
    slow = threading.Thread(target=keys.find, args=("r", "RS256"))
    slow.start()
    assert host.arrived.acquire(timeout=10)
    assert keys.find("r", "RS256")
    assert slow.is_alive()
    host.gate.set()
    slow.join()
    assert host.asked == 2


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "kid": "s", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"},
        {"kty": "oct", "kid": "s", "k": "c2VjcmV0", "alg": "RS256"},
        {"kty": "OKP", "kid": "o", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        rsa_entry(use="enc"),
        rsa_entry(alg="RS512"),
        rsa_entry(alg="HS256"),
        rsa_entry(alg="none"),
        rsa_entry(kid=7),
        rsa_entry(key_ops=["encrypt"]),
        rsa_entry(key_ops="verify"),
        rsa_entry(key=rsa.generate_private_key(65537, 1024)),  # noqa: S505 - it is what must be passed over
        rsa_entry(n="!"),
        rsa_entry(e="AA"),
        rsa_entry(e=None),
        rsa_entry(n=7),
        rsa_entry(d="AQAB"),
        RSAAlgorithm.to_jwk(RSA_KEY, as_dict=True),
        ECAlgorithm.to_jwk(EC_KEY, as_dict=True),
        ec_entry(alg="RS256"),
        ec_entry(key=ec.generate_private_key(ec.SECP384R1())),
        ec_entry(crv="P-384"),
        ec_entry(x="AAAA"),
        ec_entry(x=7),
        {"kty": "RSA"},
        {},
        [],
        "text",
        None,
    ],
)
def test_an_entry_that_no_signature_should_be_trusted_by_is_passed_over(entry: object) -> None:
    assert [key.kid for key in parse_key_set(document(entry, rsa_entry("good")))] == ["good"]


@pytest.mark.parametrize("entry", [rsa_entry(use="sig", alg="RS256"), rsa_entry(key_ops=["verify"]), rsa_entry()])
def test_an_entry_may_say_what_it_is_for(entry: object) -> None:
    assert len(parse_key_set(document(entry))) == 1


@pytest.mark.parametrize(
    "text", [b"", b"null", b"[]", b"{}", b'{"keys": {}}', b"\xff", b"[" * 100_000, b'{"keys": []}' + b" " * 600_000]
)
def test_what_is_no_key_set_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        parse_key_set(text)


def test_a_set_without_usable_keys_lets_nobody_in() -> None:
    assert parse_key_set(document()) == ()
