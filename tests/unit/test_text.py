"""What counts as something to see, and where a text may be cut."""

import pytest

from outbox.text import clip, is_visible


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
