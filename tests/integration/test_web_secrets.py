"""No secret leaves the web app: not in its log, not in an answer, whatever Google or the database does meanwhile."""

import base64
import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit
from uuid import uuid4

import pytest
import requests
from falcon.testing import Result
from structlog.testing import capture_logs

from outbox.crypto import UnreadableToken
from outbox.user import User
from tests.integration.conftest import World
from tests.integration.steps import cipher_of
from tests.integration.web_client import JWT_KEY, ORIGIN, Site, acting, open_site, token_of
from web.api.paths import API, PAGE
from web.sandbox.specs import AccountSpec

COOKIE = "__Host-calendar_sync_connect"

CLIENT_SECRET = "sandbox-secret"


@dataclass
class Secrets:
    """What has to stay secret, by name, and all that was seen of the app meanwhile."""

    known: dict[str, str] = field(default_factory=dict)
    answers: list[tuple[str, str]] = field(default_factory=list)
    """What was answered, with the secrets that the answer is there to hand over taken out."""
    log: list[MutableMapping[str, Any]] = field(default_factory=list)

    def keep(self, name: str, value: str) -> str:
        """From here on it is a secret."""
        assert len(value) >= 12, name
        self.known[f"{name} {len(self.known)}"] = value
        return value

    def spellings(self) -> Iterator[tuple[str, str]]:
        """Each secret in the forms that would give it away, or let somebody recognise it."""
        for name, value in self.known.items():
            raw, digest = value.encode(), hashlib.sha256(value.encode()).digest()
            yield name, value
            yield f"the end of {name}", value[-10:]
            if len(value) > 30 and " " not in value:
                yield f"the beginning of {name}", value[5:17]
            yield f"{name} in a URL", quote(value, safe="")
            yield f"{name} in hex", raw.hex()
            yield f"a hash of {name}", digest.hex()[:8]
            yield f"an MD5 of {name}", hashlib.md5(raw, usedforsecurity=False).hexdigest()[:8]
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                yield f"{name} in base64", encode(raw).decode().rstrip("=")[:-2]
                yield f"a hash of {name} in base64", encode(digest).decode()[:8]

    def found_in(self, text: str) -> list[str]:
        return [name for name, spelling in self.spellings() if spelling in text]


class RepeatingGoogle:
    """A Google out of its mind: it says back all that it is told, secrets first, in the form of `mode`."""

    def __init__(self) -> None:
        self.mode = ""
        self.asked = 0
        self.told: set[str] = set()
        google = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                google.asked += 1
                length = int(self.headers.get("Content-Length") or 0)
                form = dict(parse_qsl(self.rfile.read(length).decode()))
                bearer = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
                told = [form[name] for name in ("code", "refresh_token", "token", "code_verifier") if name in form]
                said = [*([bearer] if bearer else []), *told, *form.values()]
                google.told |= {*told, bearer} - {""}
                self.close_connection = True
                self.wfile.write(google.answer(said[0], " ".join(said)))

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_arguments: object) -> None:
                """Tests are quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def answer(self, secret: str, everything: str) -> bytes:
        return ANSWERS[self.mode](secret, everything)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _http(
    status: int, body: object, *, reason: str = "Told", kind: str = "application/json", headers: str = ""
) -> bytes:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {len(raw)}\r\nConnection: close\r\n"
    return f"{head}{headers}\r\n".encode() + raw


def _oauth(status: int, error: str) -> Callable[[str, str], bytes]:
    """An error of the token endpoint; `error` "echo" is the secret itself."""

    def answer(secret: str, everything: str) -> bytes:
        body = {
            "error": secret if error == "echo" else error,
            "error_subtype": secret,
            "error_description": everything,
            "error_uri": f"https://google.example/{secret}",
        }
        return _http(status, body)

    return answer


def _api(status: int, reason: str) -> Callable[[str, str], bytes]:
    """An error of the Calendar API; `reason` "echo" is the secret itself."""

    def answer(secret: str, everything: str) -> bytes:
        word = secret if reason == "echo" else reason
        error = {"domain": "global", "reason": word, "message": everything, "location": secret}
        return _http(status, {"error": {"code": status, "message": everything, "status": word, "errors": [error]}})

    return answer


ANSWERS: dict[str, Callable[[str, str], bytes]] = {
    "oauth invalid_grant": _oauth(400, "invalid_grant"),
    "oauth admin_policy_enforced": _oauth(400, "admin_policy_enforced"),
    "oauth invalid_client": _oauth(401, "invalid_client"),
    "oauth invalid_token": _oauth(400, "invalid_token"),
    "oauth echo": _oauth(400, "echo"),
    "oauth 500": _oauth(500, "echo"),
    "api authError": _api(401, "authError"),
    "api insufficientPermissions": _api(403, "insufficientPermissions"),
    "api accessNotConfigured": _api(403, "accessNotConfigured"),
    "api rateLimitExceeded": _api(403, "rateLimitExceeded"),
    "api notFound": _api(404, "notFound"),
    "api echo 400": _api(400, "echo"),
    "api echo 403": _api(403, "echo"),
    "api 503": _api(503, "echo"),
    "html": lambda secret, everything: _http(502, f"<p>{everything}</p>", reason=secret, kind="text/html"),
    "garbage": lambda _, everything: _http(200, f"{{{everything}"),
    "a success that is none": lambda secret, everything: _http(200, {"access_token": [secret], "scope": everything}),
    "a list that is none": lambda secret, everything: _http(
        200, {"items": [secret, {"id": everything}], "id": [secret]}
    ),
    "a redirect": lambda secret, _: _http(302, "", headers=f"Location: http://127.0.0.1:1/{secret}\r\n"),
    "strange headers": lambda secret, _: _http(503, "", headers=f"Retry-After: {secret}\r\nDate: {secret}\r\n"),
    "no HTTP": lambda secret, everything: f"{secret} {everything}\r\n\r\n".encode(),
    "no status": lambda secret, _: f"HTTP/1.1 {secret}\r\n\r\n".encode(),
    "a strange length": lambda secret, _: f"HTTP/1.1 200 OK\r\nContent-Length: {secret}\r\n\r\n".encode(),
    "a strange coding": lambda secret, _: _http(200, secret, headers=f"Content-Encoding: gzip\r\nX: {secret}\r\n"),
    "strange chunks": lambda secret, _: f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{secret}\r\n".encode(),
}

OF_TOKENS = [mode for mode in ANSWERS if not mode.startswith("api ")]
OF_CALENDARS = [mode for mode in ANSWERS if not mode.startswith("oauth ")]


@pytest.fixture
def repeating() -> Iterator[RepeatingGoogle]:
    google = RepeatingGoogle()
    yield google
    google.close()


@pytest.fixture
def secrets(world: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[Secrets]:
    """All that is logged or printed, looked through at the end together with all that was answered."""
    kept = Secrets()
    kept.keep("the client's secret", CLIENT_SECRET)
    kept.keep("the key of sessions", JWT_KEY)
    kept.keep("the encryption key", world.stage.settings.token_encryption_keys.get_secret_value().partition(":")[2])
    caplog.set_level(logging.DEBUG)
    with capture_logs() as entries:
        kept.log = entries
        yield kept
    written = [json.dumps(entry, default=repr) for entry in entries]
    foreign = [record for record in caplog.records if not _is_about_http(record)]
    written += [f"{record.getMessage()} {record.__dict__}" for record in foreign]
    written += list(capfd.readouterr())
    assert [entry for entry in entries if entry["event"] == "request"], "the log was looked at"
    leaks = {(text[:300], *kept.found_in(text)) for text in written if kept.found_in(text)}
    assert not leaks
    assert not [entry for entry in entries if "exc_info" in entry or "stack_info" in entry]
    assert not [(where, kept.found_in(text)) for where, text in kept.answers if kept.found_in(text)]
    for entry in entries:
        if entry["event"] == "request":
            assert set(entry) <= {"event", "log_level", "method", "route", "status", "ms", "request_id"}
            assert "?" not in str(entry["route"])


def _is_about_http(record: logging.LogRecord) -> bool:
    """Lines that outbox.logs lets nobody see, whatever the level: they tell of every address that is called."""
    return record.levelno < logging.WARNING and record.name.partition(".")[0] in (
        "urllib3",
        "requests_oauthlib",
        "oauthlib",
        "psycopg",
    )


class Walk:
    """A user at the app, all of whose secrets are known."""

    def __init__(self, site: Site, secrets: Secrets, name: str = "u_ana") -> None:
        self.site, self.secrets = site, secrets
        self.user = User(site.world.tenant, name)
        self.session = secrets.keep("the session", token_of(self.user))
        secrets.keep("the session's signature", self.session.rpartition(".")[2])
        self.email = f"{name}-{uuid4().hex[:8]}@example.com"
        site.world.google.add_account(AccountSpec(email=self.email))

    def ask(self, method: str, target: str, body: object = None, *handed_over: str, **headers: str) -> Result:
        """Ask with the session in the cookie. `handed_over`: what this very answer is there to give."""
        given = {"Origin": ORIGIN, "Cookie": f"session={self.session}", **headers}
        answer = self.site.call(method, target, None, body, headers=given)
        text = f"{answer.headers} {answer.text}"
        for secret in handed_over:
            text = text.replace(secret, "…")
        self.secrets.answers.append((f"{method} {target.partition('?')[0]} {answer.status_code}", text))
        return answer

    def set_out(self) -> tuple[str, str, str]:
        """Start a consent; returns the address at Google, the state and the browser's cookie."""
        start = self.site.call(
            "POST", f"{API}/connect", None, {}, headers={"Origin": ORIGIN, "Cookie": f"session={self.session}"}
        )
        url, browser = start.json["authorize_url"], start.cookies[COOKIE].value
        query = parse_qs(urlsplit(url).query)
        [state], [challenge] = query["state"], query["code_challenge"]
        shown = f"{start.headers} {start.text}"
        for handed_over in (state, browser, challenge):
            shown = shown.replace(handed_over, "…")
        self.secrets.answers.append(("the start", shown))
        self.secrets.keep("state", state)
        self.secrets.keep("the browser's cookie", browser)
        [[blob]] = self.site.world.execute(
            "SELECT code_verifier FROM calendar_sync.consent_attempt WHERE state_hash = %s",
            hashlib.sha256(state.encode()).digest(),
        )
        self.secrets.keep("verifier", self._decrypt(blob, "code_verifier"))
        return url, state, browser

    def come_back(self, url: str, state: str, browser: str, *, code: str | None = None) -> str:
        """With Google's code, or with this one; returns the outcome that the address tells."""
        code = code or self.secrets.keep("code", _code(url, self.email))
        cookie = f"session={self.session}; {COOKIE}={browser}"
        query = urlencode({"state": state, "code": code, "scope": "x"})
        answer = self.ask("GET", f"{API}/callback?{query}", Cookie=cookie)
        return answer.headers.get("location", "").partition("?")[2]

    def connect(self) -> None:
        assert self.come_back(*self.set_out()) == "connected=1"
        self.learn_tokens()
        assert self.ask("PATCH", API, {"calendar_id": "primary"}).status_code == 200

    def learn_tokens(self) -> None:
        """Whatever tokens are stored, they are secret."""
        for access_token, refresh_token in self.site.world.execute(
            "SELECT access_token, refresh_token FROM calendar_sync.calendar_connection WHERE user_id = %s",
            self.user.user_id,
        ):
            for column, blob in (("access_token", access_token), ("refresh_token", refresh_token)):
                if blob is not None:
                    self.secrets.keep(column, self._decrypt(blob, column))

    def look_around(self) -> None:
        """Everything that can be read, and what does not exist."""
        for path in (API, PAGE, f"{PAGE}?change=calendar", f"{API}/calendars", f"{API}/problems"):
            self.ask("GET", path)
        for path in ("/nowhere", f"{API}/test-push/{uuid4()}", f"/{self.session}", f"{API}/{self.session}"):
            self.ask("GET", path)

    def _decrypt(self, blob: bytes, column: str) -> str:
        key = {"tenant_id": self.user.tenant_id, "user_id": self.user.user_id}
        return cipher_of(self.site.world).decrypt(blob, **key, column=column)


def _code(url: str, email: str) -> str:
    """The code with which Google sends somebody back who allows everything."""
    asked = urlsplit(url)
    scopes = parse_qs(asked.query)["scope"][0].split()
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(
            asked._replace(path=f"{asked.path}/consent", query="").geturl(),
            data={"request": asked.query, "account": email, "scope": scopes, "decision": "allow"},
            allow_redirects=False,
            timeout=30,
        )
    return parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]


def test_the_whole_way_tells_no_secret(world: World, secrets: Secrets) -> None:
    with open_site(world) as site:
        walk = Walk(site, secrets)
        walk.connect()
        walk.look_around()
        url, state, browser = walk.set_out()
        code = secrets.keep("code", _code(url, walk.email))
        assert walk.come_back(url, state, "x" * 43, code=code) == "error=wrong_browser"
        assert walk.come_back(url, "x" * 43, browser, code=code) == "error=attempt_unknown"
        assert walk.come_back(url, state, browser, code=code) == "connected=1"
        assert walk.come_back(url, state, browser, code=code) == "connected=1"
        walk.learn_tokens()
        world.advance(3500)
        walk.look_around()
        walk.learn_tokens()
        for path in ("/test-push", "/resync"):
            assert walk.ask("POST", API + path).status_code == 202
        world.sync()
        walk.ask("GET", PAGE)
        walk.ask("POST", f"{API}/disconnect", {"remove_events": False})
        walk.look_around()


def test_a_page_that_leads_to_google_shows_only_what_google_is_to_be_told(world: World, secrets: Secrets) -> None:
    with open_site(world) as site:
        walk = Walk(site, secrets)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        page = site.call("POST", f"{PAGE}/connect", walk.user, b"x=y", headers=form)
        [[blob]] = world.execute("SELECT code_verifier FROM calendar_sync.consent_attempt")
        secrets.keep("verifier", walk._decrypt(blob, "code_verifier"))
        secrets.keep("the browser's cookie", page.cookies[COOKIE].value)
        assert page.status_code == 200
        challenge = hashlib.sha256(list(secrets.known.values())[-2].encode()).digest()
        shown = page.text.replace(base64.urlsafe_b64encode(challenge).decode().rstrip("="), "…")
        secrets.answers.append(("the page", shown))


def test_secrets_that_are_refused_are_not_repeated(world: World, secrets: Secrets) -> None:
    with open_site(world) as site:
        walk = Walk(site, secrets)
        walk.connect()
        stolen = secrets.keep("a token of another", f"ey{uuid4().hex}.ey{uuid4().hex}.{uuid4().hex}")
        for headers in (
            {"Authorization": f"Bearer {stolen}"},
            {"Authorization": stolen},
            {"Cookie": f"session={stolen}; {COOKIE}={stolen}"},
            {"X-Request-ID": f"{stolen}={'x' * 64}"},
            {"Content-Type": stolen},
            {"Accept": stolen},
            {"Origin": f"https://{stolen}"},
        ):
            for method, path in (
                ("GET", API),
                ("GET", PAGE),
                ("PATCH", API),
                ("POST", f"{PAGE}/disconnect"),
                ("GET", "/x"),
            ):
                walk.ask(method, path, b"{}" if method != "GET" else None, **headers)
        for body in (
            {stolen: 1},
            {"calendar_id": stolen},
            {"calendar_id": [stolen]},
            {"job_filter": stolen},
            {"return_to": f"//{stolen}"},
            {"remove_events": stolen},
            [stolen],
        ):
            for method, path in (("PATCH", API), ("POST", f"{API}/connect"), ("POST", f"{API}/disconnect")):
                # A field's own name is repeated to its sender, and to nobody else.
                walk.ask(method, path, body, *([stolen] if isinstance(body, dict) and stolen in body else []))


@pytest.mark.parametrize("mode", OF_TOKENS)
def test_a_token_endpoint_that_repeats_secrets_is_not_quoted(
    world: World, secrets: Secrets, repeating: RepeatingGoogle, mode: str
) -> None:
    with open_site(world) as sound:
        Walk(sound, secrets, "u_bo").connect()
    repeating.mode = mode
    endpoints = {"GOOGLE_TOKEN_URL": f"{repeating.url}/token", "GOOGLE_REVOKE_URL": f"{repeating.url}/revoke"}
    with open_site(world, **endpoints) as site:
        site.app.services.stop.set()  # no waits between tries
        ana, bo = Walk(site, secrets), Walk(site, secrets, "u_bo")
        assert ana.come_back(*ana.set_out()).startswith("error=")
        exchanged = repeating.asked
        world.advance(3500)
        bo.ask("GET", f"{API}/calendars")
        bo.ask("GET", PAGE)
        assert repeating.asked > exchanged > 0
        before_revocation = repeating.asked
        bo.ask("POST", f"{API}/disconnect", {"remove_events": False})
        assert repeating.asked > before_revocation
        bo.look_around()
        for value in repeating.told:
            secrets.keep("what Google was told", value)


@pytest.mark.parametrize("mode", OF_CALENDARS)
def test_a_calendar_list_that_repeats_secrets_is_not_quoted(
    world: World, secrets: Secrets, repeating: RepeatingGoogle, mode: str
) -> None:
    with open_site(world) as sound:
        Walk(sound, secrets, "u_bo").connect()
    repeating.mode = mode
    with open_site(world, GOOGLE_CALENDAR_URL=f"{repeating.url}/calendar/v3") as site:
        site.app.services.stop.set()
        ana, bo = Walk(site, secrets), Walk(site, secrets, "u_bo")
        assert ana.come_back(*ana.set_out()).startswith("error=")
        asked = repeating.asked
        bo.ask("GET", f"{API}/calendars")
        bo.ask("PATCH", API, {"calendar_id": "primary"})
        bo.ask("GET", f"{PAGE}?change=calendar")
        assert repeating.asked > asked > 0
        bo.look_around()
        for value in repeating.told:
            secrets.keep("what Google was told", value)


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE calendar_sync.{table} ADD CONSTRAINT broken CHECK (tenant_id = 'x') NOT VALID",
        "ALTER TABLE calendar_sync.{table} RENAME TO moved",
        "REVOKE ALL ON calendar_sync.{table} FROM calendar_sync_web",
        "CREATE UNIQUE INDEX broken ON calendar_sync.{table} ((1))",
    ],
)
@pytest.mark.parametrize("table", ["consent_attempt", "calendar_connection"])
def test_a_database_that_fails_is_not_quoted(world: World, secrets: Secrets, table: str, damage: str) -> None:
    """Postgres tells of a row that it refuses with all that is in it."""
    with open_site(world) as site:
        ana, bo = Walk(site, secrets), Walk(site, secrets, "u_bo")
        if "UNIQUE" in damage:
            if table == "calendar_connection":
                bo.connect()
            url, state, browser = ana.set_out()
        else:
            bo.connect()
            url, state, browser = ana.set_out()
        world.execute(damage.format(table=table))
        ana.come_back(url, state, browser)
        for walk in (ana, bo):
            walk.ask("POST", f"{API}/connect", {})
            walk.ask("PATCH", API, {"paused": True})
            walk.look_around()
        bo.ask("POST", f"{API}/disconnect", {"remove_events": False})
    assert [entry for entry in secrets.log if entry["log_level"] in ("error", "warning")]


def test_an_unreachable_database_tells_no_password(world: World, secrets: Secrets) -> None:
    password = secrets.keep("the database's password", f"hunter2-{uuid4().hex}")
    with open_site(world, DATABASE_URL=f"postgresql://nobody:{password}@127.0.0.1:1/nothing?connect_timeout=1") as site:
        site.app.services.pool.timeout = 0.2
        walk = Walk(site, secrets)
        for method, path in (
            ("GET", API),
            ("GET", PAGE),
            ("GET", "/readyz"),
            ("GET", f"{API}/callback?state=x&code=y"),
        ):
            assert walk.ask(method, path).status_code == 503


def test_what_holds_secrets_does_not_show_them_when_it_is_printed(world: World, secrets: Secrets) -> None:
    """A traceback with locals, a debugger or a careless log line prints objects."""
    with open_site(world) as site:
        walk = Walk(site, secrets)
        walk.connect()
        walk.ask("GET", API)
        services = site.app.services
        grant = acting(services.operations)._grant(walk.user)
        started = acting(services.consent).start(walk.user, return_to=None, browser=None)
        secrets.keep("the browser's cookie", started.browser)
        secrets.keep("state", parse_qs(urlsplit(started.authorize_url).query)["state"][0])
        printed = f"{services!r} {services.settings!r} {services.settings} {grant!r} {started!r} {services.consent!r}"
        secrets.answers.append(("what is printed", printed))
        for blob in (grant.access_token, grant.refresh_token):
            assert blob is not None
            assert repr(blob) not in printed
            with pytest.raises(UnreadableToken) as failure:
                cipher_of(world).decrypt(blob, tenant_id="x", user_id="y", column="access_token")
            secrets.answers.append(("the failure", repr(failure.value)))
