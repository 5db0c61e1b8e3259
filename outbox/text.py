"""Text of people, made fit to be shown: cleaned, and clipped between graphemes.

Nothing is normalised: the same input gives the same characters, so that unchanged content keeps its hash.
"""

import re
import unicodedata

_BIDI_CONTROLS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Embeddings, overrides and isolates: left open they turn round the text that follows (UAX #9). Marks stay."""

_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))
"""The general category Cc."""

_UNSEEN = dict.fromkeys([*_BIDI_CONTROLS, *(c for c in _CONTROLS if not chr(c).isspace())])
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_CONTROL_SPACE = re.compile("[\t\x0b\x0c\x1c-\x1f]")

_ELLIPSIS = "…"
_ZERO_WIDTH_JOINER = "\u200d"
_EXTENDERS = frozenset(
    map(
        chr,
        (
            0x0E33,  # Thai and Lao vowels that are letters by category
            0x0EB3,
            0x200C,
            0x200D,
            *range(0x1160, 0x1200),  # Hangul vowels and finals that join the jamo before them
            *range(0xD7B0, 0xD800),
            0xFF9E,  # halfwidth voicing marks
            0xFF9F,
            *range(0x1F3FB, 0x1F400),  # skin tones
            *range(0xE0020, 0xE0080),  # the tags of subdivision flags
        ),
    )
)
"""What extends the grapheme before it, beyond the combining marks (categories Mn, Me, Mc)."""


def clean_line(text: str) -> str:
    """Text for a single line: no control characters, no bidi controls, each run of white space one space."""
    # What is printable throughout has none of them, and no white space but spaces.
    return " ".join((text if text.isprintable() else text.translate(_UNSEEN)).split())


def clean_lines(text: str) -> str:
    """Text whose lines are kept, ended by LF alone; otherwise no control characters and no bidi controls."""
    if text.isprintable():
        return text.strip()
    broken = _LINE_BREAK.sub("\n", text.translate(_UNSEEN))
    return _CONTROL_SPACE.sub(" ", broken).strip()


def is_visible(text: str) -> bool:
    """Whether there is anything to see: a character that is not white space, a control or a format character."""
    return any(unicodedata.category(character) not in {"Cc", "Cf", "Zl", "Zp", "Zs"} for character in text)


def clip(text: str, limit: int) -> str:
    """The text, or its beginning and "…", in at most `limit` characters (code points, at least 1).

    The cut never splits a grapheme: combining marks, joined emoji, skin tones and flags stay whole or go.
    """
    if len(text) <= limit:
        return text
    cut = limit - len(_ELLIPSIS)
    while cut > 0 and _joined(text, cut):
        cut -= 1
    return text[:cut].rstrip() + _ELLIPSIS


def _joined(text: str, at: int) -> bool:
    """Whether a cut before `text[at]` would split a grapheme (the cases of UAX #29 that such text meets)."""
    before, after = text[at - 1], text[at]
    if after in _EXTENDERS or unicodedata.category(after) in {"Mn", "Me", "Mc"}:
        return True
    if before == _ZERO_WIDTH_JOINER:
        return not after.isspace()
    return _is_regional(after) and _regionals_before(text, at) % 2 == 1


def _regionals_before(text: str, at: int) -> int:
    start = at
    while start > 0 and _is_regional(text[start - 1]):
        start -= 1
    return at - start


def _is_regional(character: str) -> bool:
    """Regional indicators: two of them are one flag."""
    return "\U0001f1e6" <= character <= "\U0001f1ff"
