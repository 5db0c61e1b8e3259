"""The mutants of a statement: a condition left out, a comparison turned, a branch swapped, an assignment forgotten."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.mutation.mutant import Mutant, distinct

TOKEN = re.compile(
    r"--[^\n]*|IS (?:NOT )?DISTINCT FROM|'(?:[^']|'')*'|%\(\w+\)s|::|<>|<=|>=|=>|[A-Za-z_][\w.]*|\d+(?:\.\d+)?|\S",
)
TURNED = {
    "IS DISTINCT FROM": "IS NOT DISTINCT FROM",
    "IS NOT DISTINCT FROM": "IS DISTINCT FROM",
    "=": "<>",
    "<>": "=",
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
}
RENAMED = {"least": "greatest", "greatest": "least", "true": "false", "false": "true", "min": "max", "max": "min"}
OPENERS = {"WHERE", "ON", "AND", "OR", "WHEN", "HAVING", "("}
CLOSERS = {
    *("AND", "OR", "THEN", "RETURNING", "ORDER", "GROUP", "FOR", "LIMIT", "JOIN", "LEFT", "CROSS", "WHERE", "ON"),
    *("UNION", "ELSE", "END", "DO", "HAVING", "SELECT", ",", ";", "AS"),
}
LEFT_OUT = (
    *(r"FOR (?:NO KEY )?UPDATE(?: OF \w+)?(?: SKIP LOCKED)?", r"FOR (?:KEY )?SHARE(?: OF \w+)?(?: SKIP LOCKED)?"),
    *(
        r"SKIP LOCKED",
        r"ORDER BY [\w., ]+(?: DESC)?",
        r"LIMIT \S+",
        r"\bNOT (?!NULL)",
        r"\bDISTINCT\b(?! FROM)",
        r" DESC\b",
    ),
)


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    start: int
    end: int
    depth: int

    @property
    def word(self) -> str:
        return self.text.upper()


def sql_mutants(path: str, source: str) -> list[Mutant]:
    """Every mutant of the statement, in the order of its lines."""
    found = [
        Mutant(path, source.count("\n", 0, start) + 1, change, source[:start] + text + source[end:])
        for start, end, text, change in (
            *_conditions(source),
            *_comparisons(source),
            *_branches(source),
            *_assignments(source),
            *_clauses(source),
        )
    ]
    return sorted(distinct(found, source), key=lambda mutant: mutant.line)


Edit = tuple[int, int, str, str]
"""From, to, the text instead, and the change in words."""


def _tokens(source: str) -> list[_Token]:
    tokens, depth = [], 0
    for match in TOKEN.finditer(source):
        text = match.group()
        if text.startswith("--"):
            continue
        depth -= text == ")"
        tokens.append(_Token(text, match.start(), match.end(), depth))
        depth += text == "("
    return tokens


def _conditions(source: str) -> Iterator[Edit]:
    """Each part of a condition taken as true between ANDs and as false between ORs, and a lone one as true."""
    tokens = _tokens(source)
    for position, opener in enumerate(tokens):
        following = tokens[position + 1] if position + 1 < len(tokens) else None
        if opener.word not in OPENERS or following is None or following.word in ("CONFLICT", "SELECT"):
            continue
        depth = opener.depth + (opener.text == "(")
        part = []
        for token in tokens[position + 1 :]:
            if token.depth < depth or (token.depth == depth and token.word in CLOSERS):
                break
            part.append(token)
        closer = tokens[position + 1 + len(part)].word if position + 1 + len(part) < len(tokens) else ""
        if not part or (opener.text == "(" and closer not in ("AND", "OR")):
            continue
        start, end = part[0].start, part[-1].end
        neutral = "false" if "OR" in (opener.word, closer) and "AND" not in (opener.word, closer) else "true"
        yield start, end, neutral, f"`{_short(source[start:end])}` taken as {neutral}"


def _comparisons(source: str) -> Iterator[Edit]:
    tokens = _tokens(source)
    deciding: dict[int, bool] = {}
    for position, token in enumerate(tokens):
        if token.word in ("WHERE", "ON", "WHEN", "AND", "OR", "HAVING", "EXISTS"):
            deciding[token.depth] = True
        elif token.word in ("SET", "SELECT", "THEN", "ELSE", "VALUES", "RETURNING", "CONFLICT") or token.text == ",":
            deciding[token.depth] = False
        elif token.text == "(":
            deciding[token.depth + 1] = deciding.get(token.depth, False)
        elif token.text in TURNED and (deciding.get(token.depth, False) or token.text != "="):
            turned = TURNED[token.text]
            left, right = tokens[position - 1].text, tokens[position + 1].text
            yield token.start, token.end, turned, f"`{left} {token.text} {right}` → `{left} {turned} {right}`"
        elif token.text in RENAMED:
            yield token.start, token.end, RENAMED[token.text], f"`{token.text}` → `{RENAMED[token.text]}`"
    for match in re.finditer(r"\bIS (NOT )?NULL\b|\bNOT IN\b|\bNOT EXISTS\b", source):
        instead = {"IS NULL": "IS NOT NULL", "IS NOT NULL": "IS NULL", "NOT IN": "IN", "NOT EXISTS": "EXISTS"}
        text = instead[match.group()]
        yield match.start(), match.end(), text, f"`{match.group()}` → `{text}` in `{_short(_line_of(source, match))}`"
    for match in re.finditer(r"(?<=IN \()('[^()]*')(?=\))", source):
        names = match.group().split(", ")
        for name in names:
            if len(names) > 1:
                kept = ", ".join(other for other in names if other != name)
                yield match.start(), match.end(), kept, f"`{name}` left out of `IN ({match.group()})`"


def _branches(source: str) -> Iterator[Edit]:
    for match in re.finditer(
        r"\bTHEN\s+((?:(?!\b(?:WHEN|ELSE|END)\b).)+?)\s+ELSE\s+((?:(?!\bEND\b).)+?)\s+END\b", source, re.S
    ):
        text = match.group()
        first, second = match.span(1), match.span(2)
        swapped = (
            source[match.start() : first[0]]
            + match[2]
            + source[first[1] : second[0]]
            + match[1]
            + source[second[1] : match.end()]
        )
        yield match.start(), match.end(), swapped, f"branches swapped in `{_short(text)}`"
    for match in re.finditer(r"\bcoalesce\(([^,()]+), ([^()]+)\)", source):
        yield match.start(), match.end(), match[1], f"`{match.group()}` → `{match[1]}`"
        yield match.start(), match.end(), match[2], f"`{match.group()}` → `{match[2]}`"


def _assignments(source: str) -> Iterator[Edit]:
    """Each `column = value` of a SET forgotten, where another is left."""
    tokens = _tokens(source)
    for position, opener in enumerate(tokens):
        if opener.word != "SET":
            continue
        parts: list[list[_Token]] = [[]]
        for token in tokens[position + 1 :]:
            if token.depth < opener.depth or (
                token.depth == opener.depth and token.word in ("FROM", "WHERE", "RETURNING")
            ):
                break
            if token.text == "," and token.depth == opener.depth:
                parts.append([])
            else:
                parts[-1].append(token)
        spans = [(part[0].start, part[-1].end) for part in parts if part]
        for number, (start, end) in enumerate(spans):
            if len(spans) > 1:
                span = (start, spans[1][0]) if number == 0 else (spans[number - 1][1], end)
                yield *span, "", f"`SET {_short(source[start:end])}` forgotten"


def _clauses(source: str) -> Iterator[Edit]:
    for pattern in LEFT_OUT:
        for match in re.finditer(pattern, source):
            if not source[source.rfind("\n", 0, match.start()) + 1 : match.start()].lstrip().startswith("--"):
                change = f"`{match.group().strip()}` left out in `{_short(_line_of(source, match))}`"
                yield match.start(), match.end(), "", change


def _line_of(source: str, match: re.Match[str]) -> str:
    start = source.rfind("\n", 0, match.start()) + 1
    end = source.find("\n", match.end())
    return source[start : end if end >= 0 else len(source)]


def _short(text: str) -> str:
    line = " ".join(text.split()).replace("|", "¦").replace("`", "'")
    return line if len(line) <= 90 else line[:89] + "…"
