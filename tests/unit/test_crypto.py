"""Stored tokens: readable in their own place with our keys, and nowhere else."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.crypto import TokenCipher, UnreadableToken, generate_key, key_id

FIRST = f"k1:{base64.b64encode(bytes(range(32))).decode()}"
SECOND = f"k2:{base64.b64encode(bytes(range(32, 64))).decode()}"
PLACE = {"tenant_id": "acme", "user_id": "u_ana", "column": "refresh_token"}
names = st.text(max_size=20)


@given(plaintext=st.text(max_size=600).filter(lambda text: text.isprintable()), tenant=names, user=names, column=names)
def test_a_token_comes_back_as_it_was(plaintext: str, tenant: str, user: str, column: str) -> None:
    cipher = TokenCipher.from_keys(FIRST)
    blob = cipher.encrypt(plaintext, tenant_id=tenant, user_id=user, column=column)
    assert cipher.decrypt(blob, tenant_id=tenant, user_id=user, column=column) == plaintext


@given(here=st.tuples(names, names, names), there=st.tuples(names, names, names))
def test_a_token_moved_to_any_other_place_is_unreadable(
    here: tuple[str, str, str], there: tuple[str, str, str]
) -> None:
    cipher = TokenCipher.from_keys(FIRST)
    blob = cipher.encrypt("secret", tenant_id=here[0], user_id=here[1], column=here[2])
    if here == there:
        assert cipher.decrypt(blob, tenant_id=there[0], user_id=there[1], column=there[2]) == "secret"
    else:
        with pytest.raises(UnreadableToken):
            cipher.decrypt(blob, tenant_id=there[0], user_id=there[1], column=there[2])


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"tenant_id": "other"},
        {"user_id": "u_bob"},
        {"column": "access_token"},
        {"tenant_id": "acmeu_", "user_id": "ana"},
        {"tenant_id": 'acme","u_ana', "user_id": ""},
    ],
)
def test_a_token_of_another_tenant_user_or_column_is_unreadable(elsewhere: dict[str, str]) -> None:
    cipher = TokenCipher.from_keys(FIRST)
    blob = cipher.encrypt("secret", **PLACE)
    with pytest.raises(UnreadableToken, match="another row"):
        cipher.decrypt(blob, **(PLACE | elsewhere))


def test_every_single_flipped_bit_is_noticed() -> None:
    cipher = TokenCipher.from_keys(f"{FIRST},{SECOND},k3:{generate_key()}")
    blob = cipher.encrypt("1//secret", **PLACE)
    for bit in range(len(blob) * 8):
        altered = bytearray(blob)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(UnreadableToken):
            cipher.decrypt(bytes(altered), **PLACE)


@given(blob=st.binary(max_size=80) | st.binary(max_size=80).map(lambda rest: b"\x01\x02k1" + rest))
def test_bytes_that_are_no_ciphertext_are_only_unreadable(blob: bytes) -> None:
    with pytest.raises(UnreadableToken):
        TokenCipher.from_keys(FIRST).decrypt(blob, **PLACE)


def test_every_cut_of_a_ciphertext_is_unreadable() -> None:
    cipher = TokenCipher.from_keys(FIRST)
    blob = cipher.encrypt("secret", **PLACE)
    for length in range(len(blob)):
        with pytest.raises(UnreadableToken):
            cipher.decrypt(blob[:length], **PLACE)


def test_what_an_earlier_version_stored_stays_readable() -> None:
    stored = "01026b316be57ed2fe6410e77a09e9a028092013f5b603900e424bcfe0b66b908b51a383a0c1e6955b"
    assert TokenCipher.from_keys(FIRST).decrypt(bytes.fromhex(stored), **PLACE) == "1//secret"


def test_the_same_token_never_looks_the_same_twice() -> None:
    cipher = TokenCipher.from_keys(FIRST)
    assert len({cipher.encrypt("secret", **PLACE) for _ in range(50)}) == 50


def test_the_first_key_encrypts_and_all_keys_decrypt() -> None:
    old = TokenCipher.from_keys(FIRST).encrypt("secret", **PLACE)
    rotated = TokenCipher.from_keys(f"{SECOND}, {FIRST}")
    assert rotated.decrypt(old, **PLACE) == "secret"
    assert (key_id(old), rotated.current_key_id) == ("k1", "k2")
    assert key_id(rotated.encrypt("secret", **PLACE)) == "k2"


def test_a_token_under_a_key_that_is_gone_says_so() -> None:
    blob = TokenCipher.from_keys(FIRST).encrypt("secret", **PLACE)
    with pytest.raises(UnreadableToken, match="not configured"):
        TokenCipher.from_keys(SECOND).decrypt(blob, **PLACE)


@pytest.mark.parametrize("name", [b"", b"k 1", b"k1\n", b"\x1b[2J", b"k1;reboot", b"-k", b"k" * 33])
def test_what_could_be_no_key_id_is_told_to_nobody(name: bytes) -> None:
    blob = TokenCipher.from_keys(FIRST).encrypt("secret", **PLACE)
    planted = blob[:1] + bytes([len(name)]) + name + blob[4:]
    for read in (key_id, lambda blob: TokenCipher.from_keys(FIRST).decrypt(blob, **PLACE)):
        with pytest.raises(UnreadableToken, match="no key that could be configured"):
            read(planted)


def test_a_key_under_the_same_id_with_other_bytes_does_not_read() -> None:
    blob = TokenCipher.from_keys(FIRST).encrypt("secret", **PLACE)
    with pytest.raises(UnreadableToken):
        TokenCipher.from_keys(f"k1:{generate_key()}").decrypt(blob, **PLACE)


def test_a_ciphertext_cannot_be_passed_off_as_made_under_another_key_id() -> None:
    key = generate_key()
    cipher = TokenCipher.from_keys(f"k1:{key},k2:{key}")
    blob = cipher.encrypt("secret", **PLACE)
    with pytest.raises(UnreadableToken):
        cipher.decrypt(blob.replace(b"k1", b"k2", 1), **PLACE)


def test_a_generated_key_has_32_bytes() -> None:
    assert len(base64.b64decode(generate_key())) == 32


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "entry 1 has no colon"),
        ("SECRETSECRETSECRET", "entry 1 has no colon"),
        (f"{FIRST},", "entry 2 has no colon"),
        (f":{'A' * 43}=", "entry 1 has a key id"),
        (f"ké:{'A' * 43}=", "entry 1 has a key id"),
        (f"{'k' * 33}:{'A' * 43}=", "entry 1 has a key id"),
        (f"{FIRST},k1:{'A' * 43}=", "entry 2 repeats"),
        ("k1:SECRET!", "entry 1 has a key that is not base64"),
        ("k1:SECRET", "entry 1 has a key that is not base64"),
        (f"k1:{'A' * 20}!{'A' * 23}=", "entry 1 has a key that is not base64"),
        (f"{FIRST},k2:c2hvcnQ=", "entry 2 has a key of 5 bytes instead of 32"),
    ],
)
def test_malformed_keys_are_named_with_an_example_and_without_the_key(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        TokenCipher.from_keys(text)
    shown = str(caught.value)
    assert "kid:base64key" in shown
    assert "for example" in shown
    assert "SECRET" not in shown
    assert "c2hvcnQ" not in shown
    assert FIRST.split(":")[1] not in shown
