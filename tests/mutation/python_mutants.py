"""The mutants of a Python module: each decision, constant and effect, changed or left out one at a time."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from tests.mutation.mutant import Mutant, distinct

TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
SWAPPED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
}
RENAMED = {"min": "max", "max": "min", "any": "all", "all": "any"}
LONGEST_SHOWN = 90


@dataclass(frozen=True, slots=True)
class Edit:
    """What is done (in words, empty: shown by the node before and after), how, how it is taken back, and where."""

    done: str
    apply: Callable[[], object]
    undo: Callable[[], object]
    line: int | None = None


def python_mutants(path: str, source: str) -> list[Mutant]:
    """Every mutant of the module, in the order of its lines; comments are lost, which no test minds."""
    tree = ast.parse(source)
    original = ast.unparse(tree)
    mutants = []
    for node in _judged(tree):
        for edit in _edits(node):
            shown = "" if edit.done else ast.unparse(node)
            edit.apply()
            try:
                text = ast.unparse(ast.fix_missing_locations(tree))
                change = edit.done or f"`{_short(shown)}` → `{_short(ast.unparse(node))}`"
            finally:
                edit.undo()
            line = edit.line or int(getattr(node, "lineno", 1))
            mutants.append(Mutant(path, line, change, text))
    return sorted(distinct(mutants, original), key=lambda mutant: mutant.line)


def _judged(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that do something: not annotations, decorators, texts, names of types or calls of the log."""
    if isinstance(node, ast.JoinedStr) or _is_text(node) or (isinstance(node, ast.Expr) and _logs(node.value)):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases"):
            continue
        if isinstance(node, ast.ExceptHandler) and name == "type":
            continue
        if isinstance(node, ast.Subscript) and name == "slice" and isinstance(node.value, ast.Name):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _judged(child)


def _edits(node: ast.AST) -> Iterator[Edit]:  # noqa: PLR0912 - a table: one kind of node after another
    match node:
        case ast.Compare():
            for position, operator in enumerate(node.ops):
                yield _put(node.ops, position, TURNED[type(operator)]())
                if isinstance(operator, ast.In | ast.NotIn) and isinstance(
                    options := node.comparators[position], ast.Tuple | ast.Set | ast.List
                ):
                    yield from _each_left_out(options.elts)
        case ast.BoolOp():
            yield from _each_left_out(node.values)
        case ast.BinOp() if type(node.op) in SWAPPED and not _is_string(node.left) and not _is_string(node.right):
            yield _set(node, "op", SWAPPED[type(node.op)]())
        case ast.Call():
            yield from _edits_of_call(node)
        case ast.Set():
            yield from _each_left_out(node.elts)
        case ast.Dict():
            for position, key in enumerate(node.keys):
                yield _entry_left_out(node, position, ast.unparse(key) if key else "**")
        case ast.Constant():
            yield from _edits_of_constant(node)
        case ast.IfExp() | ast.If() | ast.While() | ast.Assert():
            yield from _edits_of_condition(node)
        case ast.comprehension():
            for position, condition in enumerate(node.ifs):
                done = f"the filter `if {_short(ast.unparse(condition))}` left out"
                yield _left_out(node.ifs, position, done, condition.lineno)
        case ast.Match():
            yield from _edits_of_match(node)
        case ast.Try():
            for handler in node.handlers:
                yield from _edits_of_handler(handler)
    yield from _statements_left_out(node)


def _edits_of_call(node: ast.Call) -> Iterator[Edit]:
    if isinstance(node.func, ast.Name) and node.func.id in RENAMED:
        yield _set(node.func, "id", RENAMED[node.func.id])
    if not (isinstance(node.func, ast.Name) and node.func.id in ("field", "dataclass")):
        called = _short(ast.unparse(node.func))
        for position, keyword in enumerate(node.keywords):
            yield _left_out(node.keywords, position, f"`{_short(ast.unparse(keyword))}` left out of `{called}(…)`")


def _edits_of_constant(node: ast.Constant) -> Iterator[Edit]:
    match node.value:
        case bool():
            yield _set(node, "value", not node.value)
        case int() | float():
            yield _set(node, "value", node.value + 1)
        case str() if node.value and not any(character.isspace() for character in node.value):
            yield _set(node, "value", f"{node.value}_")
        case bytes() if node.value:
            yield _set(node, "value", node.value + b"_")


def _edits_of_condition(node: ast.IfExp | ast.If | ast.While | ast.Assert) -> Iterator[Edit]:
    """A condition the other way round, where it is not made of parts that are changed themselves."""
    if isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not):
        turned: ast.expr = node.test.operand
    elif isinstance(node.test, ast.Compare) and len(node.test.ops) == 1:
        return
    else:
        turned = ast.UnaryOp(ast.Not(), node.test)
    done = f"`{_short(ast.unparse(node.test))}` → `{_short(ast.unparse(turned))}`"
    yield _set(node, "test", turned, done)


def _edits_of_match(node: ast.Match) -> Iterator[Edit]:
    for position, case in enumerate(node.cases):
        shown = _short(ast.unparse(case.pattern) + (f" if {ast.unparse(case.guard)}" if case.guard else ""))
        line = case.pattern.lineno
        if len(node.cases) > 1:
            yield _left_out(node.cases, position, f"`case {shown}` left out", line)
        if case.guard is not None:
            yield replace(_set(case, "guard", None, f"the guard of `case {shown}` left out"), line=line)
        if isinstance(case.pattern, ast.MatchOr):
            for number, option in enumerate(case.pattern.patterns):
                done = f"`{ast.unparse(option)}` left out of `case {shown}`"
                yield _left_out(case.pattern.patterns, number, done, line)


def _edits_of_handler(handler: ast.ExceptHandler) -> Iterator[Edit]:
    if handler.type is None:
        return
    shown, line = _short(ast.unparse(handler.type)), handler.lineno
    nothing = _set(handler, "type", ast.Tuple([], ast.Load()), f"`except {shown}` catches nothing")
    yield replace(nothing, line=line)
    if isinstance(handler.type, ast.Tuple):
        names = handler.type.elts
        for position, name in enumerate(names):
            yield _left_out(names, position, f"`{ast.unparse(name)}` left out of `except {shown}`", line)


def _statements_left_out(node: ast.AST) -> Iterator[Edit]:
    for block in ("body", "orelse", "finalbody"):
        statements = getattr(node, block, None)
        if isinstance(node, ast.ClassDef | ast.Module) or not isinstance(statements, list):
            continue
        for position, statement in enumerate(statements):
            if _has_an_effect(statement):
                done = f"`{_short(ast.unparse(statement))}` left out"
                yield replace(_put(statements, position, ast.Pass()), done=done, line=statement.lineno)


def _has_an_effect(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Call() as call):
            return not _logs(call)
        case ast.Raise() | ast.AugAssign() | ast.Continue() | ast.Break() | ast.Delete():
            return True
        case ast.Return():
            return statement.value is not None
        case ast.Assign():
            return any(isinstance(target, ast.Attribute | ast.Subscript) for target in statement.targets)
    return False


def _each_left_out(parts: list[ast.expr]) -> Iterator[Edit]:
    if len(parts) > 1:
        for position in range(len(parts)):
            yield _left_out(parts, position)


def _left_out(parts: list[Any], position: int, done: str = "", line: int | None = None) -> Edit:
    part = parts[position]
    return Edit(done, lambda: parts.pop(position), lambda: parts.insert(position, part), line)


def _entry_left_out(node: ast.Dict, position: int, key: str) -> Edit:
    keys, values = node.keys, node.values

    def apply() -> None:
        node.keys = [*keys[:position], *keys[position + 1 :]]
        node.values = [*values[:position], *values[position + 1 :]]

    def undo() -> None:
        node.keys, node.values = keys, values

    return Edit(f"the entry `{_short(key)}` left out", apply, undo)


def _put(parts: list[Any], position: int, value: ast.AST) -> Edit:
    before = parts[position]
    return Edit("", lambda: parts.__setitem__(position, value), lambda: parts.__setitem__(position, before))


def _set(node: ast.AST, name: str, value: object, done: str = "") -> Edit:
    before = getattr(node, name)
    return Edit(done, lambda: setattr(node, name, value), lambda: setattr(node, name, before))


def _is_text(node: ast.AST) -> bool:
    """A docstring, of whatever it may be."""
    return isinstance(node, ast.Expr) and _is_string(node.value)


def _is_string(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _logs(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).startswith("log.")


def _short(text: str) -> str:
    line = " ".join(text.split()).replace("|", "¦").replace("`", "'")
    return line if len(line) <= LONGEST_SHOWN else line[: LONGEST_SHOWN - 1] + "…"
