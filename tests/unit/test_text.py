"""What counts as something to see, and where a text may be cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.text import clean_line, clean_lines, clip, is_visible


@pytest.mark.parametrize(
    "text",
    ["", " ", "\t\n", "\u200b", "\u202e\u00ad", "\u2028", "\u2029", "\u00a0\u3000"],
    ids=[
        "nothing",
        "space",
        "controls",
        "zero width",
        "formats",
        "line separator",
        "paragraph separator",
        "wide spaces",
    ],
)
def test_what_leaves_no_mark_is_not_visible(text: str) -> None:
    assert not is_visible(text)
    assert is_visible(f"{text}.{text}")


@pytest.mark.parametrize(
    ("text", "limit", "clipped"),
    [
        ("abcd", 4, "abcd"),
        ("abcd", 3, "ab…"),
        ("abcd", 1, "…"),
        ("कखा ग", 3, "क…"),  # a vowel sign stays with its letter
        ("e\u0301e\u0301e\u0301", 4, "e\u0301…"),
        ("🇩🇿🇩🇿", 4, "🇩🇿🇩🇿"),
        ("🇩🇿🇩🇿", 3, "🇩🇿…"),
        ("🇩🇿🇩🇿", 2, "…"),
    ],
)
def test_a_cut_splits_nothing_that_is_seen_as_one(text: str, limit: int, clipped: str) -> None:
    assert clip(text, limit) == clipped


EMBEDDINGS, ISOLATES = range(0x202A, 0x202F), range(0x2066, 0x206A)


@pytest.mark.parametrize("code", [*EMBEDDINGS, *ISOLATES, 0x00, 0x08, 0x7F, 0x9F], ids=hex)
def test_what_would_turn_round_or_hide_the_rest_is_taken_out(code: int) -> None:
    assert clean_line(f"a{chr(code)}b") == clean_lines(f"a{chr(code)}b") == "ab"


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(" \t\n\u2028\u202e\u00a0")))
def test_a_control_character_is_as_if_it_had_never_been_there(text: str) -> None:
    assert (clean_line(f"{text}\0"), clean_lines(f"{text}\0")) == (clean_line(text), clean_lines(text))


@pytest.mark.parametrize("code", [0x2030, 0x2065, 0x206A, 0x200E, 0xA1], ids=hex)
def test_what_lies_beside_it_is_kept(code: int) -> None:
    assert clean_line(f"a{chr(code)}b") == f"a{chr(code)}b"


@pytest.mark.parametrize(
    "code",
    [
        *(0x0E33, 0x0EB3, 0x200C, 0x200D, 0x1160, 0x11FF, 0xD7B0, 0xD7FF, 0xFF9E, 0xFF9F),
        *(0x1F3FB, 0x1F3FF, 0xE0020, 0xE007F),
    ],
    ids=hex,
)
def test_a_cut_leaves_what_extends_a_character_with_it(code: int) -> None:
    assert clip(f"ab{chr(code)}cd", 3) == "a…"
