"""HTTP requests with a total deadline.

A read timeout starts anew with every byte, so a trickling server could hold a caller for ever. Here one watcher thread
keeps the deadlines of all requests in a heap and, when one passes, shuts that request's connection down from outside;
the blocked read then fails. What remains outside our power is the resolver's own time limit; a request whose name was
resolved too late is not sent.
"""

import contextlib
import heapq
import itertools
import os
import socket
import threading
import time
import weakref
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import requests.adapters
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

CONNECT_TIMEOUT = 5.0
"""Seconds for one address of the server to accept a connection."""

MAX_BODY = 8 * 1024 * 1024
"""Bytes (decompressed) of the longest reply that is read; an event is a few kB."""

_FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError)
"""What the layers below raise when an exchange fails."""


class NotSentError(Exception):
    """No byte of the request left this process; the text names the class of failure and nothing else."""


class NoReplyError(Exception):
    """The request may have arrived, but no whole reply came back; the text names the class of failure."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply; its body is decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Transport:
    """Sends requests, each under a total deadline; one pooled session per thread.

    No redirects are followed, no cookies kept, nothing is repeated, and no environment variable or netrc file has a
    say.
    """

    def __init__(self, *, user_agent: str) -> None:
        self._user_agent = user_agent
        self._watcher = _Watcher()
        self._local = threading.local()
        self._lock = threading.Lock()  # guards _sessions
        self._sessions: weakref.WeakSet[requests.Session] = weakref.WeakSet()

    def send(
        self, method: str, url: str, *, deadline: float, headers: Mapping[str, str], body: bytes | None = None
    ) -> Reply:
        """Make one request that is over by `deadline` (a `time.monotonic` value).

        Raises NotSentError or NoReplyError; neither carries headers, body or URL.
        """
        guard = _Guard(deadline)
        if guard.remaining() <= 0:
            raise NotSentError("the deadline had passed")
        token = _current.set(guard)
        self._watcher.watch(guard)
        failure: Exception | None = None
        try:
            reply = self._exchange(method, url, headers, body, guard)
        except _FAILURES as error:
            failure = error
        finally:
            guard.finish()
            _current.reset(token)
        # A connection cut amid the headers can look like a short success, hence the look at the guard.
        if failure is None and not guard.expired:
            return reply
        # The socket's own timeout may strike a moment before the watcher.
        if failure is None or guard.expired or guard.remaining() <= 0:
            kind = "the deadline passed"
        else:
            kind = type(_root(failure)).__name__
        raise (NoReplyError(kind) if guard.sent else NotSentError(kind))

    def close(self) -> None:
        """Close the connections of all threads and end the watcher."""
        with self._lock:
            for session in list(self._sessions):
                session.close()
        self._watcher.close()

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, guard: "_Guard"
    ) -> Reply:
        remaining = max(guard.remaining(), 0.001)
        with self._session().request(
            method,
            url,
            headers=dict(headers),
            data=body,
            timeout=(min(remaining, CONNECT_TIMEOUT), remaining),
            stream=True,
        ) as response:
            content = bytearray()
            for chunk in response.iter_content(65536):
                content += chunk
                if len(content) > MAX_BODY:
                    raise HTTPException("reply too long")
            return Reply(response.status_code, response.headers, bytes(content))

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = _Session()
            session.trust_env = False
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
            session.headers.update({"User-Agent": self._user_agent, "Accept-Encoding": "gzip"})
            for scheme in ("https://", "http://"):
                session.mount(scheme, _Adapter())
            self._local.session = session
            with self._lock:
                self._sessions.add(session)
        return session


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: nothing is followed. With `allow_redirects` off requests would still read the whole body first."""


class _Guard:
    """One request's deadline and the connection it is on."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.sent = False
        self.expired = False
        self._lock = threading.Lock()  # guards expired, _finished and _twin
        self._finished = False
        self._twin: socket.socket | None = None

    def remaining(self) -> float:
        return self.deadline - time.monotonic()

    def hold(self, sock: socket.socket) -> None:
        """Take the connection under watch; raises TimeoutError if it is too late for it."""
        with self._lock:
            if self.expired or self.remaining() <= 0:
                raise TimeoutError
            self._drop()
            # A descriptor of our own: the owner may close his at any moment and its number be given to another. It
            # is a plain socket also over TLS, whose own shutdown() would pull the session from under the reader.
            self._twin = socket.socket(sock.family, sock.type, sock.proto, fileno=os.dup(sock.fileno()))

    def expire(self) -> None:
        with self._lock:
            if self._finished:
                return
            self.expired = True
            if self._twin is not None:
                with contextlib.suppress(OSError):  # the peer was faster
                    self._twin.shutdown(socket.SHUT_RDWR)

    def finish(self) -> None:
        with self._lock:
            self._finished = True
            self._drop()

    def _drop(self) -> None:
        if self._twin is not None:
            self._twin.close()
            self._twin = None


_current: ContextVar[_Guard] = ContextVar("current_guard")
"""The guard of the request that this thread is making; urllib3 offers no other way down to its connections."""


class _Watcher:
    """The thread that ends requests at their deadlines; started by the first one, so after any fork."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards all below
        self._heap: list[tuple[float, int, _Guard]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    def watch(self, guard: _Guard) -> None:
        with self._changed:
            heapq.heappush(self._heap, (guard.deadline, next(self._numbers), guard))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            elif self._heap[0][2] is guard:
                self._changed.notify()

    def close(self) -> None:
        with self._changed:
            thread, self._thread = self._thread, None
            self._changed.notify()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while (guard := self._next()) is not None:
            guard.expire()

    def _next(self) -> _Guard | None:
        """Wait for the next deadline to pass; None once closed."""
        with self._changed:
            while self._thread is threading.current_thread():
                wait = self._heap[0][0] - time.monotonic() if self._heap else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._heap)[2]
                self._changed.wait(wait)
            return None


class _GuardedConnection(HTTPConnection):
    """A connection that is under its request's guard whenever bytes go out."""

    def _new_conn(self) -> socket.socket:
        """Connect within the deadline, however many addresses the name has; urllib3 allows each the whole timeout."""
        guard = _current.get()
        try:
            addresses = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        failure: OSError | None = None
        for *_, address in addresses:
            timeout = min(guard.remaining(), CONNECT_TIMEOUT)
            if timeout <= 0:
                raise ConnectTimeoutError(self, "the deadline passed") from failure
            try:
                sock = create_connection(
                    (str(address[0]), int(address[1])), timeout, socket_options=self.socket_options
                )
            except OSError as error:
                failure = error
                continue
            try:
                guard.hold(sock)
            except TimeoutError:
                sock.close()
                raise
            return sock
        raise NewConnectionError(self, "no address accepted the connection") from failure

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        guard = _current.get()
        guard.hold(self.sock)
        guard.sent = True
        super().send(data)


class _GuardedTLSConnection(_GuardedConnection, HTTPSConnection):
    """The same over TLS."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _GuardedConnection


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _GuardedTLSConnection


class _Adapter(requests.adapters.HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}


def _root(error: BaseException) -> BaseException:
    """The failure at the bottom: requests and urllib3 wrap it several times."""
    while isinstance(deeper := error.__cause__ or error.__context__, _FAILURES):
        error = deeper
    return error
