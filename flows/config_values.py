"""Every value of a config by its key, with its origin: a file, `--set`, a recipe, a default.

No checks of its own: a config is loaded as any verb loads it, and then looked at.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefinedType

from flows.config import load_config
from simlib.config import presets, read_tables
from trainlib.config import MODES, read_recipe

DEFAULT = "default"


@dataclass(frozen=True)
class ConfigValue:
    """One value. origin: `default`, `recipe B`, `preset demo`, the file, or `--set`.

    Of a table whose entries are from several, all of them.
    """

    key: str
    value: Any
    origin: str


def config_values(source: str, overrides: Sequence[str] = ()) -> list[ConfigValue]:
    """Return all values of a preset or file in the order of the sections; InputError as `load`."""
    config = load_config(source, overrides)
    origin = f"preset {source}" if source in presets() else source
    recipe = config.train.recipe
    shipped = {name: table for name, table in read_recipe(recipe).items() if name in MODES}
    origins = dict.fromkeys(_keys(shipped), f"recipe {recipe}")
    origins |= dict.fromkeys(_keys(read_tables(source)), origin)
    for text in overrides:
        said = text.partition("=")[0].strip()
        origins = {key: who for key, who in origins.items() if not f"{key}.".startswith(f"{said}.")}
        origins[said] = "--set"
    return [ConfigValue(key, value, _origin(key, origins)) for key, value in _leaves(config, ())]


def _leaves(model: BaseModel, above: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name in type(model).model_fields:
        value, keys = getattr(model, name), (*above, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, keys)
        else:
            yield ".".join(keys), value


def _keys(table: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _keys(value, f"{above}{name}.")
        else:
            yield above + name


def _origin(key: str, origins: Mapping[str, str]) -> str:
    """Return who says a value: last of the key or a table that it is in, then of its entries."""
    of_all = [who for said, who in origins.items() if f"{key}.".startswith(f"{said}.")]
    of_entries = [who for said, who in origins.items() if said.startswith(f"{key}.")]
    return ", ".join(dict.fromkeys([*of_all[-1:], *of_entries])) or DEFAULT


@dataclass(frozen=True)
class ConfigDifference:
    """A key whose value differs; None on the side that has no such key or does not set it."""

    key: str
    a: Any
    b: Any


def config_difference(a: str, b: str) -> list[ConfigDifference]:
    """Return the keys in which two configs differ, whoever gave the values."""
    left, right = ({one.key: one.value for one in config_values(source)} for source in (a, b))
    return [
        ConfigDifference(key, left.get(key), right.get(key))
        for key in dict.fromkeys([*left, *right])
        if left.get(key) != right.get(key)
    ]


def toml_text(value: Any) -> str:
    """Return a value as TOML has it; nothing for what is not set."""
    match value:
        case None | PydanticUndefinedType():
            return ""
        case tuple() | list():
            return f"[{', '.join(map(toml_text, value))}]"
        case dict():
            entries = (f"{json.dumps(key)} = {toml_text(one)}" for key, one in value.items())
            return f"{{{', '.join(entries)}}}"
        case float():
            return repr(value)
        case _:
            return json.dumps(value, ensure_ascii=False)
