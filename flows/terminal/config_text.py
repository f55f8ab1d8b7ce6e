"""How configs are put into words: values as a file that can be used, the reference as Markdown."""

from collections.abc import Iterable, Sequence

from flows.config_reference import Key, Table
from flows.config_values import DEFAULT, ConfigDifference, ConfigValue, toml_text

_WIDTH = 40  # of what stands before a comment, where it is not longer


def config_file(values: Iterable[ConfigValue]) -> str:
    """Return values as TOML, each with its origin; defaults as comments, so that they stay such."""
    sections: dict[str, list[ConfigValue]] = {}
    for one in values:
        sections.setdefault(one.key.rpartition(".")[0], []).append(one)
    return "\n".join(_section(name, inside) for name, inside in sections.items())


def _section(name: str, values: Sequence[ConfigValue]) -> str:
    return "\n".join([f"[{name}]", *map(_line, values), ""])


def _line(one: ConfigValue) -> str:
    key, text = one.key.rpartition(".")[2], toml_text(one.value)
    if not text:
        return f"{f'# {key} is not set':{_WIDTH}}  # {one.origin}"
    start = "# " if one.origin == DEFAULT else ""
    return f"{f'{start}{key} = {text}':{_WIDTH}}  # {one.origin}"


def reference_page(tables: Iterable[Table]) -> str:
    """Return the reference as Markdown."""
    return "\n".join(_table(one) for one in tables)


def _table(table: Table) -> str:
    return "\n".join([f"## [{table.name}]", "", table.meaning, "", *map(_key, table.keys), ""])


def _key(key: Key) -> str:
    name = key.name.rpartition(".")[2]
    recipes = ", ".join(f"{value} (recipe {who})" for who, value in key.recipes.items())
    default = f"`{name} = {key.default}`" if key.default else f"`{name}`"
    meaning = f"{key.meaning[:1].upper()}{key.meaning[1:]}".rstrip(".")
    said = [
        f"{meaning}{f', in {key.unit}' if key.unit else ''}",
        f"Takes: {key.takes}",
        f"By recipe: {recipes}" if recipes else "" if key.default else "Not set by default",
        f"Acts only with {key.only_with}" if key.only_with else "",
    ]
    return f"* {default}  \n  {'. '.join(filter(None, said))}."


def print_config_difference(found: Sequence[ConfigDifference]) -> None:
    """Print a line a key."""
    for one in found:
        print(f"{one.key}: {toml_text(one.a) or '—'} | {toml_text(one.b) or '—'}")
    if not found:
        print("no difference")
