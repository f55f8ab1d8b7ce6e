"""Imports go one way: flows -> trainlib -> simlib, down the floors and never in a circle.

Found by parsing, not by importing: an import inside a function, one for the type checker alone and
a module named by a string (`import_module`, a table of promised names, `python -m`) all count.
"""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "simlib": {"torch", "prefect", "infra", "tests"},
    "trainlib": {"prefect", "infra", "tests"},
    "flows": {"infra", "tests"},
}
# From the ground up; the longest name that fits a module says on which floor it is. A package's
# `__init__` that lists what it promises is as high as the highest thing it names.
FLOORS = (
    ("simlib",),
    ("simlib.etc", "simlib.stellar"),
    ("simlib.simulation",),
    ("simlib.dataset", "simlib.export", "simlib.fit", "simlib.plots", "simlib.__init__"),
    ("trainlib",),
    ("trainlib.models",),
    ("trainlib.training",),
    ("trainlib.evaluation", "trainlib.onsky", "trainlib.__init__"),
    ("flows",),
)
Arrows = dict[tuple[str, str], str]  # (importer, imported) -> file:line of one such statement


def modules_below(root: Path) -> dict[str, Path]:
    """The project's modules by dotted name; that of a package's own file ends in `__init__`."""
    return {
        ".".join(path.relative_to(root).with_suffix("").parts): path
        for package in FORBIDDEN
        for path in sorted((root / package).rglob("*.py"))
    }


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of all that a file imports, whenever it does so."""
    for node in nodes_of(path):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names):
                start = "." * node.level + (module or "")
                yield from ((node.lineno, f"{start}.{alias.name}") for alias in names)
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__")
                | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def strings_of(path: Path) -> Iterator[tuple[int, str]]:
    for node in nodes_of(path):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def arrows_between(modules: dict[str, Path]) -> Arrows:
    """Who imports whom. A string counts where it names a module; a package holds data as well."""
    arrows: Arrows = {}
    for module, path in modules.items():
        found = [(line, name) for line, name in strings_of(path) if name in modules]
        for line, name in imports_of(path):
            holder = name.rpartition(".")[0]  # of a function or a class, where it is one
            places = (name, f"{name}.__init__", holder, f"{holder}.__init__")
            found += [(line, place) for place in places if place in modules][:1]
        for line, target in found:
            if target != module:
                arrows.setdefault((module, target), f"{path}:{line}")
    return arrows


def floor_of(module: str) -> int:
    """The floor whose name fits best."""
    fits = {
        name: floor
        for floor, names in enumerate(FLOORS)
        for name in names
        if f"{module}.".startswith(f"{name}.")
    }
    return fits[max(fits, key=len)]


def arrows_up(arrows: Arrows) -> list[str]:
    return [
        f"{place}: {importer} is below {imported}"
        for (importer, imported), place in arrows.items()
        if floor_of(importer) < floor_of(imported)
    ]


def circles(arrows: Arrows) -> list[list[str]]:
    """A circle, as its statements, from every package that has one among its parts.

    Its parts are its modules and its sub-packages: two folders that import each other are a
    circle, even if no module is in one.
    """
    found = []
    names = {name for pair in arrows for name in pair}
    for package in sorted({name[: end + 1] for name in names for end in _package_ends(name)}):
        graph: dict[str, set[str]] = {}
        places = {}
        for pair, place in arrows.items():
            if all(name.startswith(package) for name in pair):
                user, used = (name.removeprefix(package).partition(".")[0] for name in pair)
                if user != used:
                    graph.setdefault(used, set()).add(user)
                    places[user, used] = place
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            found.append(
                [f"{places[pair]}: {' -> '.join(pair)}" for pair in pairwise(error.args[1])]
            )
    return found


def _package_ends(name: str) -> list[int]:
    """Where the packages around a module end in its name; -1: the whole project has no name."""
    return [-1, *(place for place, letter in enumerate(name) if letter == ".")]


MODULES = modules_below(ROOT)
ARROWS = arrows_between(MODULES)


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_a_layer_imports_nothing_that_is_kept_from_it(layer: str) -> None:
    files = [path for module, path in MODULES.items() if module.startswith(f"{layer}.")]
    assert files
    wrong = [
        f"{path}:{line} imports {name}"
        for path in files
        for line, name in imports_of(path)
        if name.partition(".")[0] in FORBIDDEN[layer]
    ]
    assert wrong == []


def test_no_relative_import_hides_a_direction() -> None:
    relative = [
        f"{path}:{line}"
        for path in MODULES.values()
        for line, name in imports_of(path)
        if name.startswith(".")
    ]
    assert relative == []


def test_no_import_runs_up() -> None:
    assert len(ARROWS) > len(MODULES)
    assert arrows_up(ARROWS) == []


def test_no_circle() -> None:
    assert circles(ARROWS) == []


@pytest.mark.parametrize(
    "statement",
    [
        "from simlib.dataset import store",
        "from simlib.dataset.store import open_dataset",
        "def later():\n    import simlib.dataset.store",
        "if TYPE_CHECKING:\n    from simlib.dataset.store import Store",
        "store = import_module('simlib.dataset.store')",
        "HOMES = {'open_dataset': 'simlib.dataset.store'}",
    ],
)
def test_every_way_to_import_is_seen(tmp_path: Path, statement: str) -> None:
    """Here up from the ground, and round between two folders through no circle of modules."""
    sources = {
        "simlib/units.py": statement,
        "simlib/etc/terms.py": "from simlib.units import metre",
        "simlib/etc/figures.py": "import simlib.stellar.grid",
        "simlib/stellar/grid.py": "",
        "simlib/stellar/archive/fetch.py": "import simlib.etc.terms",
        "simlib/dataset/store.py": "",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    arrows = arrows_between(modules_below(tmp_path))
    line = statement.count("\n") + 1
    assert arrows_up(arrows) == [
        f"{tmp_path}/simlib/units.py:{line}: simlib.units is below simlib.dataset.store"
    ]
    assert [len(circle) for circle in circles(arrows)] == [2]
