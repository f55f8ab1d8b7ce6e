"""The runner of `make mutants`: its changes are changes, its lot is a lot, its tests are near."""

import ast
import os
import tomllib
from pathlib import Path

import pytest

from tests.mutants.__main__ import EQUIVALENT, PLACE, Mutant, batches, judged, picked
from tests.mutants.mutations import means_something, mutations_of
from tests.mutants.nearest import nearest_tests
from tests.mutants.touched import measure, statement_at, times, touching

ROOT = Path(__file__).resolve().parents[1]
SOURCE = '''"""Words of a docstring stay."""
import os
Rows = dict[str, int]
def mean(values: list[float], at_least: int = 2) -> float:
    """So do these."""
    chosen = [value for value in values if value > 0.5 and not value == 3.0]
    if len(chosen) < at_least:
        raise ValueError(f"{len(chosen)} of {at_least} values")
    with open(os.devnull):
        print(sum(chosen, start=0), "κ")
    return sum(chosen) / len(chosen)
'''
EXPECTED = {  # kind -> one text that it must leave behind
    "comparison": "(value >= 0.5)", "and, or": "value > 0.5 or", "sign": "(value == 3.0)",
    "filter gone": "[value for value in values]", "condition turned": "(not (len(chosen) <",
    "statement gone": "    pass\n", "figure in a text": "f'? of {at_least} values'",
    "without the guard": "if True:\n        print", "argument gone": 'print(sum(chosen), "κ")',
    "arguments swapped": "print('κ', sum(chosen, start=0))", "returns nothing": "return None",
    "arithmetic": "(sum(chosen) * len(chosen))", "call gone": "(chosen) / len(chosen)",
    "value": "at_least: int = 3",
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(EXPECTED))
def test_a_change_is_the_one_it_says(kind: str) -> None:
    changed = [one.applied(SOURCE) for one in mutations_of(SOURCE) if one.kind == kind]
    assert any(EXPECTED[kind] in text for text in changed), changed


def test_every_change_parses_and_leaves_types_and_docstrings() -> None:
    for mutation in mutations_of(SOURCE):
        assert means_something(SOURCE, mutation), mutation
        changed = ast.parse(mutation.applied(SOURCE))
        assert ast.get_docstring(changed) == "Words of a docstring stay."
        assert mutation.line >= 4
    assert not mutations_of('def f(x: "int | None" = None) -> dict[str, int]: ...')


def test_what_no_longer_parses_or_means_the_same_is_no_change() -> None:
    broken, same = (mutations_of("x = 1")[0].__class__("", 1, 4, 5, "1", a) for a in ("+", "(1)"))
    assert not means_something("x = 1", broken) and not means_something("x = 1", same)


@pytest.mark.slow  # reads all of the code
def test_a_seed_picks_the_same_lines_again_and_another_others() -> None:
    first, again, other = (picked("flows", 10, seed) for seed in (1, 1, 2))
    assert first == again and first != other
    assert len({(one.path, one.mutation.line) for one in first}) == 10
    assert picked("flows", 12, 1)[:10] == first  # more of them begin with the same


@pytest.mark.slow  # reads all of the code
def test_what_is_excused_is_a_change_of_a_line_that_there_is() -> None:
    excused = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["equivalent"]
    places = [tuple(one[key] for key in PLACE) for one in excused]
    assert len(set(places)) == len(places) and all(one["reason"] for one in excused)
    for path in {path for path, *_ in places}:
        source = (ROOT / path).read_text(encoding="utf-8")
        lines = [line.strip() for line in source.splitlines()]
        found = {(path, lines[m.line - 1], m.before, m.after) for m in mutations_of(source)}
        assert {place for place in places if place[0] == path} <= found


def test_the_mirror_is_nearest_and_every_test_is_tried_once() -> None:
    near = nearest_tests(ROOT, ROOT / "simlib/retry.py")
    assert near[0] == ROOT / "tests/simlib/test_retry.py"
    names = [str(path) for path in near]
    assert [name for batch in batches(names) for name in batch] == names


@pytest.mark.slow  # a process of tests for each
@pytest.mark.parametrize(("body", "verdict"), [("2", "killed"), ("1", "lived")])
def test_a_mutant_is_judged_in_its_copy_which_is_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, verdict: str
) -> None:
    (tmp_path / "simlib").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "simlib/__init__.py").write_text("")
    (tmp_path / "simlib/one.py").write_text("ONE = 1\n")
    test = "from simlib.one import ONE\ndef test_one(): assert ONE in (1, %s)\n"
    (tmp_path / "tests/test_one.py").write_text(test % ("1" if body == "2" else "2"))
    monkeypatch.setattr("tests.mutants.__main__.ROOT", tmp_path)
    monkeypatch.setattr("tests.mutants.__main__.MARKED", "")
    (mutation,) = mutations_of("ONE = 1\n")
    done = judged(Mutant("simlib/one.py", mutation), tmp_path, tmp_path / "cache", 60.0, set(), [])
    assert done.verdict == verdict
    assert done.by == ("tests/test_one.py::test_one" if verdict == "killed" else "")
    assert (tmp_path / "simlib/one.py").read_text() == "ONE = 1\n"


@pytest.mark.slow
def test_a_test_that_fails_without_the_change_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "simlib").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "simlib/one.py").write_text("ONE = 1\n")
    test = "import simlib.one\ndef test_one(): assert False\n"
    (tmp_path / "tests/test_one.py").write_text(test)
    monkeypatch.setattr("tests.mutants.__main__.ROOT", tmp_path)
    (mutation,) = mutations_of("ONE = 1\n")
    sound: set[str] = set()
    mutant = Mutant("simlib/one.py", mutation)
    assert judged(mutant, tmp_path, tmp_path / "cache", 60.0, sound, []).verdict == "unsound"
    assert not sound


@pytest.mark.parametrize(
    ("line", "span"), [(1, (1, 1)), (3, (3, 4)), (4, (3, 4)), (5, (5, 6)), (6, (5, 6)), (7, (7, 7))]
)
def test_a_line_belongs_to_its_statement_or_to_its_header(line: int, span: tuple[int, int]) -> None:
    source = "import os\n\ndef f(\n    a=1):\n    b = (a +\n         2)\n    return b\n"
    assert statement_at(source, line) == span


@pytest.mark.slow
def test_the_tests_that_run_a_line_are_found_by_running_them(tmp_path: Path) -> None:
    for package in ("simlib", "trainlib", "flows"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "tests").mkdir()
    source = "def one():\n    return 1\n\n\ndef two():\n    return (\n        2)\n"
    (tmp_path / "simlib/one.py").write_text(source)
    (tmp_path / "tests/test_one.py").write_text(
        "import time\nimport pytest\nfrom simlib.one import one, two\n"
        "def test_long(): time.sleep(0.2); assert one() == 1\n"
        "@pytest.mark.parametrize('n', ['a b', 'c'])\ndef test_short(n): assert one() == 1\n"
        "def test_both(): assert one() + two() == 3\n"
    )
    out = tmp_path / "out"
    out.mkdir()
    measure(tmp_path, out, os.environ | {"PYTHONPATH": str(tmp_path)}, "")
    seconds, module = times(out), tmp_path / "simlib/one.py"
    of_one = touching(out, module, "simlib/one.py", 2, seconds)
    assert of_one[-1] == "tests/test_one.py::test_long"
    assert set(of_one) == {f"tests/test_one.py::test_{name}"
                           for name in ("long", "short[a b]", "short[c]", "both")}  # fmt: skip
    assert touching(out, module, "simlib/one.py", 7, seconds) == ["tests/test_one.py::test_both"]
    assert touching(out, module, "simlib/one.py", 4, seconds) == []
