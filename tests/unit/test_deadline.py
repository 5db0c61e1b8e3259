"""No server can hold a request beyond its deadline, and what was never sent is told from what may have arrived."""

import datetime
import gzip
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from urllib3.util.connection import create_connection

from outbox.google.deadline import NoReplyError, NotSentError, Reply, Transport

Behaviour = Callable[[socket.socket], None]

SHORT = 0.8
LONG = 30.0
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """A loopback server that reads each request's head and then does as it is told, one behaviour a connection."""

    def __init__(self, *behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self.heads: list[bytes] = []
        self.ended = threading.Event()
        self._behaviours = list(behaviours)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/token"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for behaviour in self._behaviours:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(LONG)
            with connection, suppress(OSError):
                if self._tls is None:
                    self._serve(connection, behaviour)
                else:
                    with self._tls.wrap_socket(connection, server_side=True) as secured:
                        self._serve(secured, behaviour)

    def _serve(self, connection: socket.socket, behaviour: Behaviour) -> None:
        head = b""
        while b"\r\n\r\n" not in head and (data := connection.recv(65536)):
            head += data
        self.heads.append(head)
        behaviour(connection)

    def close(self) -> None:
        self.ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(LONG)
        assert not self._thread.is_alive()


def reply(data: bytes) -> Behaviour:
    return lambda connection: connection.sendall(data)


def never_answer(connection: socket.socket) -> None:
    """Hold the connection until the client ends it."""
    while connection.recv(65536):
        pass


def trickle(data: bytes) -> Behaviour:
    """Send byte by byte, fast enough that no read timeout would ever strike, until the client hangs up."""

    def behave(connection: socket.socket) -> None:
        connection.settimeout(0.02)
        for byte in data:
            connection.sendall(bytes([byte]))
            with suppress(TimeoutError):
                if not connection.recv(1):
                    return

    return behave


LONG_HEADERS = b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 5000
LONG_BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"a" * 5000
LONG_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 5000


@pytest.fixture
def transport() -> Iterator[Transport]:
    transport = Transport(user_agent="test")
    yield transport
    transport.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(*behaviours, tls=tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's context whose self-signed certificate our side trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(certificate_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    return context


def send(transport: Transport, url: str, seconds: float = LONG, body: bytes | None = b"{}") -> Reply:
    return transport.send("POST", url, deadline=time.monotonic() + seconds, headers={"X-Ours": "1"}, body=body)


def test_a_reply_in_time_comes_back_whole(transport: Transport, serve: Callable[..., Server]) -> None:
    answer = send(transport, serve(reply(OK)).url)
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"ok", "2")


def test_a_compressed_reply_is_unpacked(transport: Transport, serve: Callable[..., Server]) -> None:
    packed = gzip.compress(b'{"id": 1}')
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    assert send(transport, serve(reply(head + packed)).url).body == b'{"id": 1}'


@pytest.mark.parametrize(
    "behaviour",
    [never_answer, trickle(LONG_HEADERS), trickle(LONG_BODY), trickle(LONG_CHUNKS)],
    ids=["silent", "trickling headers", "trickling body", "trickling chunks"],
)
@pytest.mark.parametrize("secured", [False, True], ids=["plain", "TLS"])
def test_a_server_that_does_not_finish_gives_no_reply(
    transport: Transport,
    serve: Callable[..., Server],
    behaviour: Behaviour,
    secured: bool,
    request: pytest.FixtureRequest,
) -> None:
    server = serve(behaviour, tls=request.getfixturevalue("tls") if secured else None)
    with pytest.raises(NoReplyError, match="deadline"):
        send(transport, server.url, SHORT)
    assert server.heads


def test_the_deadlines_of_requests_under_way_at_once_are_kept_apart(
    transport: Transport, serve: Callable[..., Server]
) -> None:
    released = threading.Event()

    def answer_when_released(connection: socket.socket) -> None:
        released.wait(LONG)
        connection.sendall(OK)

    patient, results = serve(answer_when_released), []
    thread = threading.Thread(target=lambda: results.append(send(transport, patient.url).body))
    thread.start()
    with pytest.raises(NoReplyError):
        send(transport, serve(trickle(LONG_BODY)).url, SHORT)
    released.set()
    thread.join(LONG)
    assert results == [b"ok"]


def test_a_request_whose_deadline_has_passed_is_not_sent(transport: Transport, serve: Callable[..., Server]) -> None:
    server = serve(reply(OK))
    with pytest.raises(NotSentError, match="had passed"):
        send(transport, server.url, -1.0)
    assert server.heads == []


def test_a_connection_made_after_the_deadline_carries_nothing(
    transport: Transport, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(reply(OK))

    def connect_late(*args: Any, **kwargs: Any) -> socket.socket:
        connection = create_connection(*args, **kwargs)
        monkeypatch.setattr("outbox.google.deadline._Guard.remaining", lambda _: -1.0)
        return connection

    monkeypatch.setattr("outbox.google.deadline.create_connection", connect_late)
    with pytest.raises(NotSentError, match="deadline passed"):
        send(transport, server.url)
    monkeypatch.undo()
    server.close()
    assert server.heads in ([], [b""])


def test_a_refused_connection_is_not_sent(transport: Transport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NotSentError, match="ConnectionRefusedError"):
        send(transport, f"http://127.0.0.1:{port}/")


def test_a_name_that_does_not_resolve_is_not_sent(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "no such name")

    monkeypatch.setattr("socket.getaddrinfo", fail)
    with pytest.raises(NotSentError, match="gaierror"):
        send(transport, "http://calendar.example.com/")


def test_the_next_address_is_tried_when_one_refuses(
    transport: Transport, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(reply(OK))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed_port = listener.getsockname()[1]
    stream = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    addresses = [(*stream, ("127.0.0.1", closed_port)), (*stream, ("127.0.0.1", server.port))]
    # Elsewhere the resolver stays what it was: a connection to an address resolves it once more.
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        "socket.getaddrinfo",
        lambda host, port, *rest, **more: (
            addresses if host == "calendar.example.com" else resolve(host, port, *rest, **more)
        ),
    )
    assert send(transport, "http://calendar.example.com/").body == b"ok"


def test_a_certificate_we_do_not_trust_gets_nothing(
    transport: Transport, serve: Callable[..., Server], tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    server = serve(reply(OK), tls=tls)
    with pytest.raises(NotSentError, match="SSL"):
        send(transport, server.url)
    assert server.heads == []


@pytest.mark.parametrize(
    "data",
    [b"", b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"no HTTP at all\r\n\r\n"],
    ids=["nothing", "half a status", "half a body", "no HTTP"],
)
def test_a_connection_cut_after_the_request_gives_no_reply(
    transport: Transport, serve: Callable[..., Server], data: bytes
) -> None:
    with pytest.raises(NoReplyError):
        send(transport, serve(reply(data)).url)


def test_a_reply_without_end_is_not_read_to_its_end(
    transport: Transport, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.google.deadline.MAX_BODY", 1000)
    with pytest.raises(NoReplyError):
        send(transport, serve(reply(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b"a" * 9999)).url)


def test_a_redirect_is_not_followed(transport: Transport, serve: Callable[..., Server]) -> None:
    elsewhere = serve(reply(OK))
    location = elsewhere.url.encode()
    moved = b"HTTP/1.1 307 Moved\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"
    assert send(transport, serve(reply(moved)).url).status == 307
    assert elsewhere.heads == []


def test_cookies_are_not_kept_and_the_environment_has_no_say(
    transport: Transport, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ana password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    setting = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    server = serve(reply(setting), reply(OK))
    send(transport, server.url)
    send(transport, server.url)
    second = server.heads[1].lower()
    assert b"cookie" not in second
    assert b"authorization" not in second
    assert b"x-ours: 1" in second
    assert b"accept-encoding: gzip\r\n" in second
    assert b"user-agent: test\r\n" in second


def test_a_connection_is_used_again_after_a_whole_reply(transport: Transport, serve: Callable[..., Server]) -> None:
    def answer_twice(connection: socket.socket) -> None:
        connection.sendall(OK)
        connection.recv(65536)
        connection.sendall(OK)

    server = serve(answer_twice)
    assert send(transport, server.url, body=None).body == b"ok"
    assert send(transport, server.url, body=None).body == b"ok"


def test_a_connection_used_again_is_under_the_deadline_of_its_new_request(
    transport: Transport, serve: Callable[..., Server]
) -> None:
    def answer_then_trickle(connection: socket.socket) -> None:
        connection.sendall(OK)
        connection.recv(65536)
        trickle(LONG_BODY)(connection)

    server = serve(answer_then_trickle)
    assert send(transport, server.url, body=None).body == b"ok"
    with pytest.raises(NoReplyError, match="deadline"):
        send(transport, server.url, SHORT, body=None)


def test_a_transport_that_gave_up_once_goes_on_working(transport: Transport, serve: Callable[..., Server]) -> None:
    server = serve(never_answer, reply(OK))
    with pytest.raises(NoReplyError):
        send(transport, server.url, SHORT)
    assert send(transport, server.url).body == b"ok"


def test_no_failure_carries_url_headers_or_body(transport: Transport, serve: Callable[..., Server]) -> None:
    with pytest.raises(NoReplyError) as caught:
        transport.send(
            "POST",
            serve(reply(b"")).url + "?id=SECRET",
            deadline=time.monotonic() + LONG,
            headers={"Authorization": "Bearer SECRET"},
            body=b"SECRET",
        )
    error: BaseException | None = caught.value
    while error is not None:
        assert "SECRET" not in repr(error)
        error = error.__cause__ or error.__context__


def test_closing_ends_the_watcher(serve: Callable[..., Server]) -> None:
    before = set(threading.enumerate())
    transport = Transport(user_agent="test")
    send(transport, serve(reply(OK)).url)
    assert any(thread.name == "deadlines" for thread in set(threading.enumerate()) - before)
    transport.close()
    assert not any(thread.name == "deadlines" for thread in set(threading.enumerate()) - before)
