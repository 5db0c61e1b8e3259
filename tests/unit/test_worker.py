"""Connections that are there when a process of the web app begins to end."""

import socket
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.workers import gthread  # type: ignore[import-untyped]

from web import worker as module
from web.worker import DeadlineWorker


class Worker(DeadlineWorker):
    """One with a single connection, and without anything else."""

    def __init__(self) -> None:
        self.alive = True
        self.nr_conns = 1
        self.begun: list[Any] = []

    def enqueue_req(self, conn: Any) -> None:
        self.begun.append(conn)


class Connection(gthread.TConn):  # type: ignore[misc]
    """One whose client, `far`, has said nothing yet."""

    def __init__(self) -> None:
        near, self.far = socket.socketpair()
        super().__init__(SimpleNamespace(is_ssl=False), near, ("127.0.0.1", 1), ("127.0.0.1", 2))


def done(result: object) -> Future[object]:
    future: Future[object] = Future()
    future.set_result(result)
    return future


@pytest.fixture
def connection() -> Connection:
    return Connection()


def test_a_request_that_comes_just_when_the_end_begins_is_looked_for_once_more(connection: Connection) -> None:
    worker = Worker()
    looked = worker.handle(connection)
    worker.alive = False
    worker.finish_request(connection, done(looked))
    assert worker.begun == [connection]
    assert worker.nr_conns == 1
    connection.far.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert connection.wait_for_data(0)
    connection.close()
    connection.far.close()


def test_a_client_who_says_nothing_until_the_end_is_hung_up_on(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.0)
    worker = Worker()
    worker.alive = False
    worker.finish_request(connection, done(worker.handle(connection)))
    assert worker.begun == []
    assert worker.nr_conns == 0
    assert connection.far.recv(1) == b""
    connection.far.close()
