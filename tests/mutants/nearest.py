"""Which tests are nearest to a module: its mirror first, then by steps of imports."""

import ast
from collections import deque
from functools import cache
from pathlib import Path

from tests.test_layers import imports_of


def nearest_tests(root: Path, module: Path) -> list[Path]:
    """Return all test files that reach a module by imports, the nearest first.

    Files named after the module come first; equally near ones stand by how often they speak of it
    (a test that runs the program names a verb) and then by how little else they reach.
    """
    arrows = _arrows(root)
    ranked = []
    for test in sorted((root / "tests").rglob("test_*.py")):
        steps = _steps_from(test, arrows)
        is_named = module.stem != "__init__" and module.stem in test.stem
        if module in steps or is_named:
            spoken = test.read_text(encoding="utf-8").count(module.stem)
            ranked.append((not is_named, steps.get(module, 0), -spoken, len(steps), test))
    return [test for *_, test in sorted(ranked)]


def _steps_from(start: Path, arrows: dict[Path, set[Path]]) -> dict[Path, int]:
    steps = {start: 0}
    waiting = deque([start])
    while waiting:
        here = waiting.popleft()
        for there in arrows.get(here, ()):
            if there not in steps:
                steps[there] = steps[here] + 1
                waiting.append(there)
    return steps


@cache
def _arrows(root: Path) -> dict[Path, set[Path]]:
    files = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for package in ("flows", "simlib", "trainlib", "tests")
        for path in (root / package).rglob("*.py")
    }
    return {path: _imported(path, files) for path in files.values()}


def _imported(path: Path, files: dict[str, Path]) -> set[Path]:
    found = set()
    for _, imported in imports_of(path):
        name = imported
        while name and name not in files:
            name = name.rpartition(".")[0]
        if name:
            found.add(files[name])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and node.value in files:
            found.add(files[node.value])  # `python -m module`, a table of names
    return found - {path}
