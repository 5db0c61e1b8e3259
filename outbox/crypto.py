"""Encryption of stored tokens: AES-GCM, the key's id in the clear, the row and column bound as associated data.

A blob is: version byte, length of the key id, key id, 12-byte nonce, ciphertext with its 16-byte tag.
"""

import base64
import binascii
import json
import re
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = 1
_SCHEME = "calendar-sync/token/1"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_EXAMPLE = "2026-11:$(openssl rand -base64 32)"


class UnreadableToken(Exception):  # noqa: N818 - it names the state of the stored token
    """A stored token cannot be decrypted: its key is not configured, it was moved to another row, or it was altered."""


class MissingKey(UnreadableToken):
    """The key is not among ours, which says nothing of the token: another configuration may have it."""


class TokenCipher:
    """Encrypts under the first key, decrypts under any."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        """`keys`: 32-byte keys by id, the encrypting one first; `from_keys` reads and checks them."""
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self.current_key_id = next(iter(keys))

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Of all keys, the encrypting one first."""
        return tuple(self._ciphers)

    @classmethod
    def from_keys(cls, text: str) -> "TokenCipher":
        """Read `kid:base64key[,kid:base64key…]`. ValueError says which entry is wrong and how, and shows no key."""
        keys: dict[str, bytes] = {}
        for number, entry in enumerate(text.split(","), start=1):
            key_id, colon, encoded = entry.strip().partition(":")
            if not colon:
                raise _malformed(number, "has no colon between key id and key")
            if not _KEY_ID.fullmatch(key_id):
                raise _malformed(
                    number, "has a key id that is not 1 to 32 letters, digits, dots, dashes or underscores"
                )
            if key_id in keys:
                raise _malformed(number, "repeats the key id of an earlier one")
            try:
                key = base64.b64decode(encoded, validate=True)
            except binascii.Error:
                raise _malformed(number, "has a key that is not base64") from None
            if len(key) != _KEY_BYTES:
                raise _malformed(number, f"has a key of {len(key)} bytes instead of {_KEY_BYTES}")
            keys[key_id] = key
        return cls(keys)

    def encrypt(self, plaintext: str, *, tenant_id: str, user_id: str, column: str) -> bytes:
        """Encrypt a token for one column of one user's row."""
        header = bytes([_VERSION, len(self.current_key_id)]) + self.current_key_id.encode()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        place = _place(header, tenant_id, user_id, column)
        return header + nonce + self._ciphers[self.current_key_id].encrypt(nonce, plaintext.encode(), place)

    def decrypt(self, blob: bytes, *, tenant_id: str, user_id: str, column: str) -> str:
        """The token again; UnreadableToken unless encrypted for this very place, MissingKey if under another key."""
        header, rest = _split(blob)
        cipher = self._ciphers.get(key_id(blob))
        if cipher is None:
            raise MissingKey("the key it was encrypted with is not configured")
        try:
            plaintext = cipher.decrypt(
                rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], _place(header, tenant_id, user_id, column)
            )
        except (InvalidTag, ValueError):
            raise UnreadableToken("it was altered, or encrypted for another row or column") from None
        return plaintext.decode()


def key_id(blob: bytes) -> str:
    """The id of the key that encrypted a blob (read, not verified); UnreadableToken if this is no blob of ours."""
    header, _ = _split(blob)
    name = header[2:].decode("ascii", "replace")
    if not _KEY_ID.fullmatch(name):  # operators are told it, and what to do about it
        raise UnreadableToken("it names no key that could be configured")
    return name


def generate_key() -> str:
    """A fresh key in base64, to be configured as `kid:key`."""
    return base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def _split(blob: bytes) -> tuple[bytes, bytes]:
    """Header and the rest."""
    if len(blob) < 2 or blob[0] != _VERSION or len(blob) < 2 + blob[1] + _NONCE_BYTES:
        raise UnreadableToken("it is not in a form that this version knows")
    end = 2 + blob[1]
    return blob[:end], blob[end:]


def _place(header: bytes, tenant_id: str, user_id: str, column: str) -> bytes:
    """Associated data; the header tells its own length and JSON quotes the rest, so no two places read the same."""
    return header + json.dumps([_SCHEME, tenant_id, user_id, column]).encode()


def _malformed(number: int, what: str) -> ValueError:
    return ValueError(f"entry {number} {what}; the form is kid:base64key[,kid:base64key], for example {_EXAMPLE}")
