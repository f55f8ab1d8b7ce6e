"""What may stand in a config: every key with its meaning, unit, bounds and default.

Made from the models. What a key means is the comment beside it in its class, so that who reads the
code and who reads the reference are told the same; a unit stands there in [brackets].
"""

import ast
import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Len, Lt, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from flows.config import Config
from flows.config_values import toml_text
from simlib.config import Within, models_in
from simlib.errors import InputError, shown
from trainlib.config import MODES, RECIPES, read_recipe

_WORDS = {float: "number", int: "whole number", str: "text", bool: "true or false", dict: "table"}
_UNIT = re.compile(r"\s*\[([^\]]+)\]\s*$")
_OF_NAMES = {"_s": "s", "_nm": "nm", "_gb": "GB", "_mm": "mm"}


@dataclass(frozen=True)
class Key:
    """One key. default: as TOML has it, empty where it is not set. takes: its type and bounds.

    recipes: the values that recipes give in its stead, by name. only_with: what it acts with.
    """

    name: str
    default: str
    takes: str
    unit: str
    meaning: str
    recipes: dict[str, str]
    only_with: str


@dataclass(frozen=True)
class Table:
    """One section: its name, what it is for, and its keys."""

    name: str
    meaning: str
    keys: tuple[Key, ...]


def config_reference(wanted: str | None = None) -> list[Table]:
    """Return all sections, one of them, or one key alone. Raises InputError for an unknown name."""
    tables = list(_tables(Config, ""))
    if wanted is None:
        return tables
    if found := [one for one in tables if f"{one.name}.".startswith(f"{wanted}.")]:
        return found
    keys = [(table, key) for table in tables for key in table.keys if key.name == wanted]
    if keys:
        return [Table(table.name, table.meaning, (key,)) for table, key in keys]
    names = ", ".join(table.name for table in tables)
    raise InputError(f"no section or key {shown(wanted)} of a config; sections are {names}")


def _tables(model: type[BaseModel], above: str) -> Iterator[Table]:
    for name, field in model.model_fields.items():
        if inner := models_in(field.annotation):
            path = f"{above}{name}"
            yield Table(path, _means(inner), tuple(_keys(path, inner)))
            for one in inner:
                yield from _tables(one, f"{path}.")


def _means(modes: list[type[BaseModel]]) -> str:
    """Return the first line of what all modes of a section are, else that of each."""
    shared = next(one for one in modes[0].__mro__ if all(issubclass(mode, one) for mode in modes))
    told = [shared] if shared.__doc__ else modes
    texts = (inspect.getdoc(one) or "" for one in told)
    return " ".join(dict.fromkeys(text.partition("\n")[0] for text in texts if text))


def _keys(path: str, modes: list[type[BaseModel]]) -> Iterator[Key]:
    recipes = {name: read_recipe(name).get(path, {}) for name in RECIPES} if path in MODES else {}
    for name in dict.fromkeys(name for mode in modes for name in mode.model_fields):
        holders = [mode for mode in modes if name in mode.model_fields]
        fields = [mode.model_fields[name] for mode in holders]
        if models_in(fields[0].annotation):
            continue
        text = _meaning(holders[0], name)
        meaning, unit = _UNIT.sub("", text), _UNIT.search(text)
        of_name = next((u for end, u in _OF_NAMES.items() if name.endswith(end)), "")
        kinds = dict.fromkeys(_takes(field) for field in fields)
        yield Key(
            name=f"{path}.{name}",
            default=""
            if any(name in said for said in recipes.values())
            else toml_text(fields[0].get_default(call_default_factory=True)),
            takes=" or ".join(kinds),
            unit=unit[1] if unit else of_name,
            meaning=meaning.replace("None:", "not set:"),
            recipes={who: toml_text(said[name]) for who, said in recipes.items() if name in said},
            only_with=_only_with(path, modes, holders) if len(holders) < len(modes) else "",
        )


def _only_with(path: str, modes: list[type[BaseModel]], holders: list[type[BaseModel]]) -> str:
    """Return the values of a selector that a key acts with, of the one that tells them apart."""
    for selector in MODES[path][1]:
        having, known = (
            list(dict.fromkeys(mode.model_fields[selector].default for mode in some))
            for some in (holders, modes)
        )
        if len(having) < len(known):
            return f"{path}.{selector} = {' or '.join(map(toml_text, having))}"
    return ""


def _takes(field: FieldInfo) -> str:
    return _type(field.annotation, tuple(field.metadata))


def _type(annotation: Any, rules: tuple[Any, ...]) -> str:
    """Return in words what a type with its rules takes."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0], (*inner[1:], *rules))
    if origin in (Union, UnionType):
        return " or ".join(_type(one, rules) for one in inner if one is not NoneType)
    if origin is Literal:
        return " or ".join(map(toml_text, inner))
    said = _rules(rules)
    if origin is tuple:
        each = [one for one in inner if one is not Ellipsis]
        words = list(dict.fromkeys(_type(one, ()) for one in each))
        text = f"list of {words[0]}" if Ellipsis in inner else f"[{words[0]}, {words[0]}]"
        return " ".join(filter(None, [text, said]))
    word = _WORDS.get(origin or annotation, "text")
    return " ".join(filter(None, [word, said]))


def _rules(rules: tuple[Any, ...]) -> str:
    """Return bounds in words."""
    flat: list[Any] = []
    for rule in rules:
        flat += rule.metadata if isinstance(rule, FieldInfo) else [rule]
    words = []
    for rule in flat:
        match getattr(rule, "func", rule):
            case Within(low=low, high=high):
                words.append(f"within {low:g} to {high:g}")
            case Ge(ge=limit):
                words.append(f"≥ {limit:g}")
            case Gt(gt=limit):
                words.append(f"> {limit:g}")
            case Le(le=limit):
                words.append(f"≤ {limit:g}")
            case Lt(lt=limit):
                words.append(f"< {limit:.10g}")
            case MinLen(min_length=least) | Len(min_length=least):
                words.append(f"at least {least}")
            case MaxLen(max_length=most):
                words.append(f"at most {most}")
            case other if pattern := getattr(other, "pattern", None):
                words.append(f"like {pattern}")
    return ", ".join(words)


def _meaning(model: type[BaseModel], name: str) -> str:
    """Return the comment beside a field, in the class that first says what it means."""
    for one in model.__mro__:
        if one in (BaseModel, object) or name not in getattr(one, "__annotations__", {}):
            continue
        if text := _comments(one).get(name, ""):
            return text
    return ""


@cache
def _comments(model: type[BaseModel]) -> dict[str, str]:
    """Return the comments of a class by field: of the lines before it, and at its end."""
    source = inspect.cleandoc("\n" + inspect.getsource(model))
    lines = {
        token.start[0]: (token.string.lstrip("# ").strip(), token.line.lstrip().startswith("#"))
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    body = ast.parse(source).body[0]
    found = {}
    for node in body.body if isinstance(body, ast.ClassDef) else []:
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        first = node.lineno
        while lines.get(first - 1, ("", False))[1]:
            first -= 1
        span = range(first, (node.end_lineno or first) + 1)
        told = [lines[line][0] for line in span if line in lines]
        found[node.target.id] = " ".join(told)
    return found
