"""The host app's public keys (RFC 7517), kept for minutes and fetched again when it turns to new ones."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from outbox.google.deadline import NoReplyError, NotSentError, Transport

log = structlog.get_logger(__name__)

Algorithm = Literal["RS256", "ES256"]

PublicKey = RSAPublicKey | EllipticCurvePublicKey

FETCH_SECONDS = 5.0
"""For one fetch in total."""

FRESH_SECONDS = 300.0
"""A set so old is fetched again; what the host app withdrew is refused after this."""

STALE_SECONDS = 3600.0
"""So long a set goes on serving while none can be fetched."""

PAUSE_SECONDS = 10.0
"""Between two fetches, whatever tokens ask for."""

WAIT_SECONDS = 1.0
"""How long a request whose key is unknown waits for a fetch that another one is making."""

RSA_BITS = 2048
"""Shorter keys are not used (RFC 7518, 3.3)."""

_DOCUMENT_BYTES = 512 * 1024
_KEYS = 200


class KeysUnavailableError(Exception):
    """There are no keys to judge a token by: they cannot be fetched."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key and the one algorithm that it is for."""

    kid: str | None
    algorithm: Algorithm
    public: PublicKey


@dataclass(frozen=True, slots=True)
class _KeySet:
    keys: tuple[Key, ...]
    fetched_at: float


class PublicKeys:
    """The keys behind a URL. Threads share one set, and one of them at a time fetches.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, url: str, transport: Transport, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._transport = transport
        self._clock = clock
        self._fetching = threading.Lock()  # held while fetching, so that one thread does
        self._set: _KeySet | None = None
        self._tried_at: float | None = None

    def find(self, kid: str | None, algorithm: Algorithm) -> Key | None:
        """The key of that id for that algorithm; without an id the only one for the algorithm. None: there is none.

        Raises:
            KeysUnavailableError: there is no set to look in.
        """
        held = self._set
        if held is None or self._age(held) > FRESH_SECONDS:
            # Whoever has keys does not wait for newer ones that another thread is fetching.
            held = self._refresh(held, wait=0.0 if held and self._age(held) <= STALE_SECONDS else FETCH_SECONDS)
        if held is None or self._age(held) > STALE_SECONDS:
            raise KeysUnavailableError
        key = _pick(held.keys, kid, algorithm)
        if key is None and (newer := self._refresh(held, wait=WAIT_SECONDS)) is not None:
            key = _pick(newer.keys, kid, algorithm)
        return key

    def _age(self, held: _KeySet) -> float:
        return self._clock() - held.fetched_at

    def _refresh(self, seen: _KeySet | None, *, wait: float) -> _KeySet | None:
        """Fetch unless another thread did since `seen`, or a fetch was tried a moment ago; returns the set there is."""
        if not self._fetching.acquire(blocking=wait > 0, timeout=wait if wait > 0 else -1):
            return self._set
        try:
            tried_lately = self._tried_at is not None and self._clock() - self._tried_at < PAUSE_SECONDS
            if self._set is seen and not tried_lately:
                self._tried_at = self._clock()
                keys = self._fetch()
                if keys is not None:
                    self._set = _KeySet(keys, self._clock())
            return self._set
        finally:
            self._fetching.release()

    def _fetch(self) -> tuple[Key, ...] | None:
        try:
            reply = self._transport.send(
                "GET",
                self._url,
                deadline=time.monotonic() + FETCH_SECONDS,
                headers={"Accept": "application/jwk-set+json, application/json"},
            )
        except (NotSentError, NoReplyError) as failure:
            log.warning("the key set could not be fetched", reason=str(failure))
            return None
        if reply.status != 200:
            log.warning("the key set could not be fetched", reason=f"status {reply.status}")
            return None
        try:
            keys = parse_key_set(reply.body)
        except ValueError as malformed:
            log.warning("the key set cannot be read", reason=str(malformed))
            return None
        if not keys:
            log.warning("the key set has no key that can be used, so nobody is let in")
        return keys


def parse_key_set(document: bytes) -> tuple[Key, ...]:
    """The keys of a JWKS that verify RS256 or ES256; others, and symmetric ones, are passed over.

    Raises:
        ValueError: it is no key set; the text says why and repeats nothing of it.
    """
    if len(document) > _DOCUMENT_BYTES:
        raise ValueError("it is too long")
    try:
        members = json.loads(document)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None
    entries = members.get("keys") if isinstance(members, dict) else None
    if not isinstance(entries, list):
        raise ValueError("it has no list of keys")
    found = (_key(entry) for entry in entries[:_KEYS] if isinstance(entry, dict))
    return tuple(key for key in found if key is not None)


def _key(entry: Mapping[str, Any]) -> Key | None:
    kid, use, operations = entry.get("kid"), entry.get("use", "sig"), entry.get("key_ops", ["verify"])
    fits = use == "sig" and isinstance(operations, list) and "verify" in operations
    # A private key that is published vouches for nobody.
    if not fits or "d" in entry or not (kid is None or isinstance(kid, str)):
        return None
    try:
        match entry.get("kty"):
            case "RSA":
                public = _strong(RSAAlgorithm.from_jwk(dict(entry)))
            case "EC":
                public = _strong(ECAlgorithm.from_jwk(dict(entry)))
            case _:
                return None
    except (PyJWTError, ValueError, TypeError, ArithmeticError):
        return None
    algorithm: Algorithm = "RS256" if isinstance(public, RSAPublicKey) else "ES256"
    if public is None or entry.get("alg", algorithm) != algorithm:
        return None
    return Key(kid, algorithm, public)


def _strong(key: object) -> PublicKey | None:
    """The key if it is one that RS256 or ES256 can be trusted with."""
    if isinstance(key, RSAPublicKey):
        return key if key.key_size >= RSA_BITS else None
    return key if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1) else None


def _pick(keys: tuple[Key, ...], kid: str | None, algorithm: Algorithm) -> Key | None:
    fitting = [key for key in keys if key.algorithm == algorithm and kid in (None, key.kid)]
    return fitting[0] if fitting and (kid is not None or len(fitting) == 1) else None
