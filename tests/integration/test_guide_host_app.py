"""The guide for the host application names what there is: calls, bodies, errors; its token and its proxy work."""

import json
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import CERT_NONE, PROTOCOL_TLS_CLIENT, SSLContext
from typing import Any, get_args

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import BaseModel

from outbox.connection_view import ConnectionState, ReconnectReason
from tests.conftest import NEEDS
from tests.guides.reading import DOCS, blocks, section
from tests.integration.conftest import World, eventually
from web.api.paths import API, FEEDS, PAGE
from web.api.table import OPERATIONS, REFUSALS, Operation
from web.demo.consent import Caller
from web.outcomes import OUTCOMES

GUIDE = (DOCS / "guide-host-app.md").read_text()
BY_ID = {operation.id: operation for operation in OPERATIONS}


def test_each_call_is_named_and_no_other() -> None:
    named = set(re.findall(r"^\| `([A-Z]+) ([^`]+)` \|", section(GUIDE, "Calls"), re.MULTILINE))
    there = {(operation.method.upper(), operation.path.replace(API, "…", 1)) for operation in OPERATIONS}
    assert named == {(method, path) for method, path in there if path != "/metrics"}


@pytest.mark.parametrize("operation", blocks(GUIDE, "answer"))
def test_an_answer_that_is_shown_is_the_one_of_the_description(operation: str) -> None:
    body = BY_ID[operation].success.body
    assert isinstance(body, BaseModel)
    shown, described = json.loads(blocks(GUIDE, "answer")[operation]), body.model_dump(mode="json")
    assert shown == described


@pytest.mark.parametrize("operation", blocks(GUIDE, "request"))
def test_a_body_that_is_shown_is_taken(operation: str) -> None:
    body = BY_ID[operation].body
    assert body is not None
    body.model_validate_json(blocks(GUIDE, "request")[operation])


def test_each_body_and_each_field_that_may_be_sent_is_in_the_table_of_calls() -> None:
    rows = dict(re.findall(r"^\| `([A-Z]+ [^`]+)` \| ([^|]*) \|", section(GUIDE, "Calls"), re.MULTILINE))
    for operation in OPERATIONS:
        taken = rows.get(row_of(operation), "")
        fields = set(operation.body.model_fields) if operation.body else set()
        assert [field for field in fields if f"`{field}`" not in taken] == []


def row_of(operation: Operation) -> str:
    return f"{operation.method.upper()} {operation.path.replace(API, '…', 1)}"


def test_each_refusal_stands_in_the_table_with_its_status() -> None:
    rows = re.findall(r"^\| (\d{3}) \| (.+?) \|", section(GUIDE, "Errors"), re.MULTILINE)
    named = {code: int(status) for status, codes in rows for code in re.findall(r"`(\w+)`", codes) if code != "errors"}
    assert named == {code: refusal.status for code, refusal in REFUSALS.items()}


def test_each_way_back_from_google_is_named() -> None:
    rows = re.findall(r"^\| (`.+?) \|", section(GUIDE, "Connecting"), re.MULTILINE)
    assert {code for row in rows for code in re.findall(r"`(\w+)`", row)} - {"error"} == set(OUTCOMES)


def test_each_state_is_named_with_what_to_show() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", section(GUIDE, "The connection"), re.MULTILINE)
    assert {state for state, _ in rows} - {"state"} == {*get_args(ConnectionState)}
    assert all(f"`{reason}`" in dict(rows)["needs_reconnect"] for reason in get_args(ReconnectReason))


def test_the_token_lets_in_the_user_whom_it_names_and_the_problem_is_told_as_shown(world: World) -> None:
    namespace: dict[str, Any] = {}
    exec(blocks(GUIDE, "example")["token"], namespace)  # noqa: S102 - it is what a reader would paste
    key = world.stage.web_settings.auth_jwt_key
    assert key is not None
    caller = Caller(world.web, namespace["session_token"](key.get_secret_value(), "u_ana", "acme"))
    assert caller.ask("GET", API)["state"] == "not_connected"
    refusal = json.loads(caller.call("GET", f"{API}/calendars").body)
    shown = json.loads(blocks(GUIDE, "problem")["not_connected"])
    assert {**refusal, "request_id": ""} == {**shown, "request_id": ""}


class Upstream(BaseHTTPRequestHandler):
    """In place of the web app: remembers what the proxy passed on."""

    seen: list[tuple[str, str]]

    def do_GET(self) -> None:
        """Answers anything."""
        type(self).seen.append((self.path, self.headers.get("X-Forwarded-For", "")))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def upstream() -> Iterator[ThreadingHTTPServer]:
    """A server that remembers."""
    handler = type("Remembering", (Upstream,), {"seen": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def self_signed(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app.example.com")])
    now = datetime.now(UTC)
    until = now + timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, until)
    certificate = builder.sign(key, hashes.SHA256())
    (folder / "app.example.com.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "app.example.com.key").write_bytes(key.private_bytes(*form))


@pytest.fixture
def proxy(tmp_path: Path, upstream: ThreadingHTTPServer) -> Iterator[tuple[int, int]]:
    """nginx with the guide's configuration, on ports of this machine: that of TLS and the plain one."""
    binary = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if binary is None:
        pytest.skip(f"{NEEDS}nginx, for the configuration in the guide for the host application")
    self_signed(tmp_path)
    secure, plain = free_port(), free_port()
    servers = blocks(GUIDE, "example")["nginx"]
    for written, here in {
        "listen 443 ssl;": f"listen 127.0.0.1:{secure} ssl;",
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "/etc/ssl/certs": str(tmp_path),
        "/etc/ssl/private": str(tmp_path),
        "127.0.0.1:8080": f"127.0.0.1:{upstream.server_port}",
    }.items():
        assert written in servers
        servers = servers.replace(written, here)
    own = "daemon off; master_process off; pid nginx.pid; error_log error.log; events {}"
    places = " ".join(f"{kind}_temp_path {kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (tmp_path / "nginx.conf").write_text(f"{own}\nhttp {{\naccess_log access.log;\n{places}\n{servers}\n}}\n")
    command = [binary, "-p", str(tmp_path), "-c", "nginx.conf", "-e", "error.log"]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False, timeout=30)
    assert checked.returncode == 0, checked.stderr
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: answers(plain))
        yield secure, plain
    finally:
        process.terminate()
        process.wait(30)


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_the_proxy_passes_on_what_is_ours_and_nothing_else_and_logs_no_feed(
    proxy: tuple[int, int], upstream: ThreadingHTTPServer, tmp_path: Path
) -> None:
    secure, plain = proxy
    context = SSLContext(PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, CERT_NONE
    token = "a" * 43
    open_to_users = [re.sub(r"{\w+}", token, operation.path) for operation in OPERATIONS]
    ours = sorted({path for path in open_to_users if path not in ("/healthz", "/readyz", "/metrics")})
    ours.append(f"{PAGE}/static/page.css")
    others = ["/", "/healthz", "/readyz", "/metrics", "/jobs/1", f"{PAGE}s", f"{API}-other", "/api/v1/jobs"]
    client = HTTPSConnection("127.0.0.1", secure, context=context, timeout=30)
    for path in [*ours, *others]:
        client.request("GET", path, headers={"Host": "app.example.com", "X-Forwarded-For": "203.0.113.9"})
        answer = client.getresponse()
        answer.read()
        assert (path, answer.status) == (path, 204 if path in ours else 404)
    client.close()
    seen: list[tuple[str, str]] = upstream.RequestHandlerClass.seen  # type: ignore[attr-defined]
    assert seen == [(path, "203.0.113.9, 127.0.0.1") for path in ours]
    redirected = HTTPConnection("127.0.0.1", plain, timeout=30)
    redirected.request("GET", f"{FEEDS}/{token}.ics", headers={"Host": "app.example.com"})
    assert redirected.getresponse().getheader("Location") == f"https://app.example.com{FEEDS}/{token}.ics"
    redirected.close()
    logged = (tmp_path / "access.log").read_text() + (tmp_path / "error.log").read_text()
    assert API in logged
    assert f"{FEEDS}/{token}" not in logged
