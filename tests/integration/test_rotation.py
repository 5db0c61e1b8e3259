"""Keys are rotated beside running daemons, and a key that is lost for good ends in "please reconnect"."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from outbox import rotation
from outbox.crypto import TokenCipher, generate_key, key_id
from outbox.database import Connection, open_pool
from outbox.grants import Grants
from outbox.leaving import Leaving
from outbox.rotation import Census, KeyInUseError, Keyring
from outbox.runtime import oauth_client
from tests.integration.conftest import World, eventually, job
from tests.integration.steps import cipher_of, connection, grant, reconnect
from web.sandbox.specs import AccountSpec

NEW = f"new:{generate_key()}"
TITLE = "J-1 · Dallas → Memphis"


class Watched(TokenCipher):
    """Has something happen just after it has decrypted for the first time."""

    meanwhile: Callable[[], object] | None = None

    def decrypt(self, blob: bytes, *, tenant_id: str, user_id: str, column: str) -> str:
        token = super().decrypt(blob, tenant_id=tenant_id, user_id=user_id, column=column)
        if (meanwhile := self.meanwhile) is not None:
            self.meanwhile = None
            meanwhile()
        return token


def both(world: World) -> str:
    """The keys of a rotation under way."""
    return f"{NEW},{world.stage.settings.token_encryption_keys.get_secret_value()}"


@contextmanager
def pool_of(world: World) -> Iterator[ConnectionPool[Connection]]:
    with open_pool(world.stage.settings.database_url, size=2) as pool:
        yield pool


def keys(world: World, name: str) -> list[str]:
    """Under which keys a user's tokens are."""
    return [key_id(bytes(blob)) for blob in connection(world, name, "refresh_token", "access_token")]


def change_account(world: World, name: str) -> None:
    """The user takes another account; the former grant waits for its revocation."""
    email = f"other-{world.tenant}@example.com"
    world.google.add_account(AccountSpec(email=email))
    grant(world, name, email)


def test_everything_is_put_under_the_first_key_and_goes_on_working(world: World) -> None:
    calendar = world.connect("u_ana")
    world.connect("u_bo")
    change_account(world, "u_bo")
    with pool_of(world) as pool:
        keyring = Keyring(pool, TokenCipher.from_keys(both(world)))
        done = keyring.rotate(stop=Event())
        assert (done.rewritten, done.given_up) == (5, 0)
        assert done.census == Census(Counter({"new": 5}), Counter(), Counter())
        assert done.told(("new", "demo"))[-1].startswith("no longer needed: demo; ")
        assert done.unfinished(("new", "demo")) is None
        assert keyring.rotate(stop=Event()).rewritten == 0
        assert Keyring(pool, TokenCipher.from_keys(NEW)).survey().missing == Counter()
    world.stage.environment["TOKEN_ENCRYPTION_KEYS"] = NEW
    world.commit("job_1", job())
    with world.stage.start_daemon() as daemon:
        eventually(lambda: world.titles(calendar) == [TITLE])
        assert daemon.stop() == 0


def test_a_token_renewed_meanwhile_is_not_replaced_by_the_one_before(world: World) -> None:
    world.connect("u_ana")
    cipher = Watched.from_keys(both(world))
    assert isinstance(cipher, Watched)

    def renew() -> None:
        fresh = cipher_of(world).encrypt("fresh", tenant_id=world.tenant, user_id="u_ana", column="access_token")
        world.execute("UPDATE calendar_sync.calendar_connection SET access_token = %s", fresh)

    cipher.meanwhile = renew
    with pool_of(world) as pool:
        Keyring(pool, cipher).rotate(stop=Event())
    [stored] = connection(world, "u_ana", "access_token")
    assert cipher.decrypt(bytes(stored), tenant_id=world.tenant, user_id="u_ana", column="access_token") == "fresh"
    assert keys(world, "u_ana") == ["new", "new"]


def test_who_reconnects_meanwhile_keeps_the_new_grant(world: World) -> None:
    world.connect("u_ana")
    cipher = Watched.from_keys(both(world))
    assert isinstance(cipher, Watched)
    cipher.meanwhile = lambda: reconnect(world, "u_ana")
    with pool_of(world) as pool:
        assert Keyring(pool, cipher).rotate(stop=Event()).census.readable == Counter({"new": 2})
    assert connection(world, "u_ana", "grant_version", "state") == (2, "active")


def test_it_can_be_stopped_and_goes_on_where_it_stopped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "PAGE", 1)
    for name in ("u_ana", "u_bo"):
        world.connect(name)
    stop = Event()
    with pool_of(world) as pool:
        keyring = Keyring(pool, TokenCipher.from_keys(both(world)))
        stopped = keyring.rotate(stop=stop, progress=lambda _: stop.set())
        assert (stopped.rewritten, stopped.census.readable) == (2, Counter({"new": 2, "demo": 2}))
        assert stopped.unfinished(("new", "demo")) is not None
        assert keyring.rotate(stop=Event()).rewritten == 2


def test_a_key_lost_for_good_ends_in_please_reconnect_and_hurts_nobody_else(world: World) -> None:
    for name in ("u_ana", "u_bo", "u_cy"):
        world.connect(name)
    change_account(world, "u_cy")
    with pool_of(world) as pool:
        Keyring(pool, TokenCipher.from_keys(both(world))).rotate(stop=Event())
        left = TokenCipher.from_keys(f"third:{generate_key()}")
        # Bo's grant is under a key that is there, his access token and all else under the lost one.
        refresh = left.encrypt("bos", tenant_id=world.tenant, user_id="u_bo", column="refresh_token")
        world.execute("UPDATE calendar_sync.calendar_connection SET refresh_token = %s WHERE user_id = 'u_bo'", refresh)

        keyring = Keyring(pool, left)
        found = keyring.rotate(stop=Event())
        assert found.census.missing == Counter({"new": 6})
        assert "6 tokens are under key new, which is not in TOKEN_ENCRYPTION_KEYS" in str(found.unfinished(("third",)))
        assert "rotate-keys --lost new" in str(found.unfinished(("third",)))
        assert connection(world, "u_ana", "state") == ("active",)
        # Nor is a grant forgotten that is to be revoked.
        Leaving(pool, Grants(pool, left, oauth_client(world.stage.settings, Event()))).work()
        assert world.execute("SELECT count(*) FROM calendar_sync.abandoned_grant") == [(1,)]

        with pytest.raises(KeyInUseError):
            keyring.rotate(stop=Event(), lost=["third"])
        given_up = keyring.rotate(stop=Event(), lost=["new"])
        assert (given_up.given_up, given_up.census.missing) == (3, Counter())
        assert given_up.unfinished(left.key_ids) is None
    assert connection(world, "u_ana", "state", "reconnect_reason") == ("needs_reconnect", "key_lost")
    assert connection(world, "u_cy", "state", "reconnect_reason") == ("needs_reconnect", "key_lost")
    assert connection(world, "u_bo", "state", "access_token") == ("active", None)
    assert world.execute("SELECT count(*) FROM calendar_sync.abandoned_grant") == [(0,)]
    told = world.execute("SELECT user_id, kind, reason FROM calendar_sync.notification ORDER BY user_id")
    assert told == [("u_ana", "broken", "key_lost"), ("u_cy", "broken", "key_lost")]
    reconnect(world, "u_ana")
    assert connection(world, "u_ana", "state") == ("active",)


def test_who_is_asked_to_reconnect_already_does_not_keep_a_lost_key_from_being_done_with(world: World) -> None:
    world.connect("u_ana")
    world.execute(
        "UPDATE calendar_sync.calendar_connection SET state = 'needs_reconnect', reconnect_reason = 'missing_scope'"
    )
    with pool_of(world) as pool:
        keyring = Keyring(pool, TokenCipher.from_keys(NEW))
        assert keyring.survey().missing == Counter(), "nobody needs what is under it"
        assert keyring.rotate(stop=Event(), lost=["demo"]).unfinished(["new"]) is None
        assert Keyring(pool, TokenCipher.from_keys(both(world))).rotate(stop=Event()).rewritten == 2
    assert connection(world, "u_ana", "state", "reconnect_reason") == ("needs_reconnect", "missing_scope")


def test_a_grant_saved_by_somebody_who_has_the_lost_key_after_all_is_not_given_up(world: World) -> None:
    world.connect("u_ana")
    world.connect("u_bo")
    change_account(world, "u_bo")
    left = TokenCipher.from_keys(NEW)
    with pool_of(world) as pool:
        saves = Keyring(pool, TokenCipher.from_keys(both(world)))

        gives_up = Keyring(pool, left)
        write = gives_up._write

        def write_too_late(*arguments: Any) -> tuple[int, int]:
            saves.rotate(stop=Event())
            return write(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gives_up, "_write", write_too_late)
            given_up = gives_up.rotate(stop=Event(), lost=["demo"])
    assert (given_up.given_up, given_up.census.readable) == (0, Counter({"new": 5}))
    assert connection(world, "u_ana", "state") == ("active",)
    assert world.execute("SELECT count(*) FROM calendar_sync.abandoned_grant") == [(1,)]


def test_a_rotation_with_another_key_of_the_same_name_says_so_and_changes_nothing(world: World) -> None:
    world.connect("u_ana")
    before = connection(world, "u_ana", "refresh_token", "access_token", "state")
    wrong = TokenCipher.from_keys(f"{NEW},demo:{generate_key()}")
    with pool_of(world) as pool:
        done = Keyring(pool, wrong).rotate(stop=Event())
    assert "another key of the same name" in str(done.unfinished(wrong.key_ids))
    assert connection(world, "u_ana", "refresh_token", "access_token", "state") == before
