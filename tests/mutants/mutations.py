"""The changes that a careless hand makes, found in the syntax tree and spliced into the text.

Left alone: annotations, docstrings, imports and prose (strings with a blank), since no behaviour
hangs on them.
"""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip


@dataclass(frozen=True)
class Mutation:
    """One change: bytes `start` to `end` of a file become `after`."""

    kind: str
    line: int
    start: int
    end: int
    before: str
    after: str

    def applied(self, source: str) -> str:
        """Return the file's text with the change in it."""
        data = source.encode()
        return (data[: self.start] + self.after.encode() + data[self.end :]).decode()


def mutations_of(source: str) -> list[Mutation]:
    """Return every change of a file's text, in its order; `means_something` sorts them out."""
    tree = ast.parse(source)
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node, kind, after in _changes(tree):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        if isinstance(node, ast.With):  # the header alone; what it guarded stays
            end = starts[node.body[0].lineno - 1] + node.body[0].col_offset
        before = source.encode()[start:end].decode()
        found.append(Mutation(kind, node.lineno, start, end, before, after))
    return sorted(found, key=lambda mutation: (mutation.start, mutation.end, mutation.after))


def means_something(source: str, mutation: Mutation) -> bool:
    """Tell whether the changed text still parses, and to something else."""
    try:
        changed = ast.parse(mutation.applied(source))
    except SyntaxError:
        return False
    return ast.dump(changed) != ast.dump(ast.parse(source))


Change = tuple[ast.stmt | ast.expr, str, str]


def _changes(tree: ast.AST) -> Iterator[Change]:
    for node in _code_below(tree):
        if isinstance(node, ast.stmt):
            yield from _of_statement(node)
        elif isinstance(node, ast.expr):
            yield from _of_expression(node)


def _code_below(node: ast.AST) -> Iterator[ast.AST]:
    """Walk all that runs; a part of an f-string has no place of its own before Python 3.12."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, (ast.Import, ast.ImportFrom)):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue  # a docstring
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            if isinstance(node, ast.Module) and _names_a_type(child):
                continue
            yield child
            if not isinstance(child, ast.JoinedStr):
                yield from _code_below(child)


def _names_a_type(node: ast.AST) -> bool:
    """Tell `Rows = Callable[[int], Array]` from a value: a subscript at the top of a module."""
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript)


def _of_statement(node: ast.stmt) -> Iterator[Change]:
    match node:
        case ast.Expr(value=ast.Call() | ast.Await() | ast.Yield()) | ast.AugAssign() | ast.Raise():
            yield node, "statement gone", "pass"
        case ast.Delete() | ast.Continue() | ast.Break():
            yield node, "statement gone", "pass"
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield node, "returns nothing", "return None"
        case ast.If() | ast.While():
            yield node.test, "condition turned", f"(not ({ast.unparse(node.test)}))"
        case ast.With(items=items) if not any(item.optional_vars for item in items):
            if node.body[0].lineno > node.lineno:
                yield node, "without the guard", "if True:\n" + " " * node.body[0].col_offset


def _of_expression(node: ast.expr) -> Iterator[Change]:  # noqa: PLR0912 - one case a kind
    match node:
        case ast.Compare(ops=ops):
            for place, op in enumerate(ops):
                other = copy.deepcopy(node)
                other.ops[place] = COMPARISONS[type(op)]()
                yield node, "comparison", f"({ast.unparse(other)})"
        case ast.BinOp(op=op) if type(op) in ARITHMETIC:
            changed = ast.BinOp(node.left, ARITHMETIC[type(op)](), node.right)
            yield node, "arithmetic", f"({ast.unparse(changed)})"
        case ast.BoolOp(op=op, values=values):
            other_op = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield node, "and, or", f"({ast.unparse(ast.BoolOp(other_op, values))})"
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield node, "sign", f"({ast.unparse(operand)})"
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield node, "condition turned", f"({ast.unparse(ast.IfExp(test, orelse, body))})"
        case ast.Constant(value=value):
            yield from ((node, "value", after) for after in _other_values(value))
        case ast.Call(args=args, keywords=keywords):
            for place in range(len(keywords)):
                other = copy.deepcopy(node)
                del other.keywords[place]
                yield node, "argument gone", ast.unparse(other)
            for place, (one, two) in enumerate(pairwise(args)):
                other = copy.deepcopy(node)
                other.args[place : place + 2] = [two, one]
                yield node, "arguments swapped", ast.unparse(other)
            alone = len(args) == 1 and not keywords
            if alone and not isinstance(args[0], ast.Starred | ast.GeneratorExp):
                yield node, "call gone", f"({ast.unparse(args[0])})"
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items) if len(items) > 1:
            loaded = isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
            for place in range(len(items) if loaded else 0):
                other = copy.deepcopy(node)
                del other.elts[place]
                yield node, "element gone", _in_parentheses(other)
        case ast.Dict(keys=keys) if len(keys) > 1:
            for place in range(len(keys)):
                other = copy.deepcopy(node)
                del other.keys[place], other.values[place]
                yield node, "element gone", ast.unparse(other)
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            for place, generator in enumerate(node.generators):
                for condition in range(len(generator.ifs)):
                    other = copy.deepcopy(node)
                    del other.generators[place].ifs[condition]
                    yield node, "filter gone", ast.unparse(other)
        case ast.JoinedStr(values=parts):
            for place, part in enumerate(parts):
                if isinstance(part, ast.FormattedValue):
                    other = copy.deepcopy(node)
                    other.values[place] = ast.Constant("?")
                    yield node, "figure in a text", ast.unparse(other)


def _other_values(value: object) -> list[str]:
    match value:
        case bool():
            return [repr(not value)]
        case int():
            return [repr(value + 1)]
        case float():
            return [repr(value * 1.25 if value else 1.0)]
        case str() if value and not any(map(str.isspace, value)):
            return [repr(value + "_")]
        case _:
            return []


def _in_parentheses(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if text[0] in "([{" else f"({text})"


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
