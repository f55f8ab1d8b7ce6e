"""Two datasets compared: what is told is what their arrays and manifests hold, recomputed here."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from flows.cli import run_program
from simlib.dataset import compare
from simlib.dataset.build import build_dataset
from simlib.dataset.compare import (
    DatasetDifference,
    compare_datasets,
    evenly,
    flattened,
    holm,
    two_samples,
)
from simlib.dataset.layout import ROW_VARIABLES
from simlib.dataset.named import dataset_named
from simlib.dataset.open import open_dataset
from simlib.errors import InputError
from simlib.etc.grid.store import ensure_terms_grid
from simlib.location import Location
from tests.simlib.dataset.made import make_plan, make_published
from tests.simlib.dataset.toy_build import toy_config

FEW = ["terms.seeing_nodes=3", "terms.moon_zenith_nodes=5", "terms.moon_target_nodes=5",
       "terms.moon_phase_nodes=5", "terms.airmass_nodes=3", "terms.tolerance=9",
       "dataset.mode=virtual"]  # fmt: skip


def made(root: Path, *overrides: str) -> Location:
    """Publish a dataset that is computed when it is looked at."""
    config = toy_config(root, *FEW, *overrides)
    return build_dataset(config, ensure_terms_grid(config), client=None)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with datasets that differ in one thing each."""
    root = tmp_path_factory.mktemp("root")
    made(root, "dataset.name=plain")
    made(root, "dataset.name=seed", "dataset.seed=5")
    made(root, "dataset.name=bright", "stellar.magnitude=[17.5, 21]", "dataset.n_test=4",
         "dataset.n_train=260")  # fmt: skip
    return root


def of(root: Path, name: str) -> Location:
    return Location.of(root / "datasets" / name)


@pytest.fixture(scope="module")
def fainter(root: Path) -> DatasetDifference:
    """Return the comparison of a dataset with one of brighter stars."""
    return compare_datasets(of(root, "plain"), of(root, "bright"), most_spectra=128)


def test_a_dataset_does_not_differ_from_itself_nor_from_its_copy(
    root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root, tmp_path / "copy")
    for other in (root, tmp_path / "copy"):
        found = compare_datasets(of(root, "plain"), of(other, "plain"))
        assert found.is_same and found.entries == ()
        for part in found.splits:
            assert part.mean_ratio is not None
            assert (part.mean_ratio.lowest, part.mean_ratio.highest) == (1.0, 1.0)
            assert all(test.statistic == 0.0 for test in part.parameters)


def test_another_seed_is_another_draw_of_the_same_distributions(root: Path) -> None:
    found = compare_datasets(of(root, "plain"), of(root, "seed"))
    told = {entry.key: (entry.a, entry.b) for entry in found.entries}
    assert told.keys() == {"fingerprint", "dataset.name", "dataset.seed"}
    assert told["dataset.seed"] == (1, 5)
    assert told["dataset.name"] == ("plain", "seed")
    assert not found.is_same
    assert not any(test.differs for part in found.splits for test in part.parameters)


def test_brighter_stars_are_found_and_nothing_else(fainter: DatasetDifference) -> None:
    keys = {entry.key for entry in fainter.entries}
    assert {"stellar.magnitude", "dataset.n_test", "dataset.n_train"} < keys
    assert fainter.only_in_b == ("test",) and fainter.only_in_a == ()
    train = fainter.splits[0]
    assert train.rows == train.tested == (300, 260)
    differing = {test.name for test in train.parameters if test.differs}
    assert differing == {"magnitude", "snr", "flux_scale"}


def test_the_numbers_are_those_of_the_arrays(root: Path, fainter: DatasetDifference) -> None:
    a, b = (open_dataset(of(root, name), "train").load() for name in ("plain", "bright"))
    found = fainter.splits[0]
    assert {t.name for t in found.parameters} == set(ROW_VARIABLES) - {"interpolated_axis"}
    for test in found.parameters:
        one, other = np.sort(a[test.name].values), np.sort(b[test.name].values)
        steps = np.concatenate([one, other])
        below = [np.searchsorted(v, steps, side="right") / len(v) for v in (one, other)]
        assert test.statistic == pytest.approx(np.abs(below[0] - below[1]).max(), abs=1e-12)
        expected = stats.kstwobign.sf(test.statistic * np.sqrt(300 * 260 / 560))
        assert test.p_value == pytest.approx(expected, rel=0.2, abs=0.02)
    means = []
    for part in (a, b):  # two runs of 64 rows: the first and the last
        rows = [*range(64), *range(part.sizes["spectrum"] - 64, part.sizes["spectrum"])]
        means.append(part["flux"].values[rows].astype(float).mean(axis=0))
    ratio = means[0] / means[1]
    told = found.mean_ratio
    assert told is not None and told.spectra == (128, 128)
    assert (told.lowest, told.highest) == pytest.approx((ratio.min(), ratio.max()))
    assert told.rms_from_one == pytest.approx(np.sqrt(((ratio - 1) ** 2).mean()))
    farthest = np.abs(ratio - 1).argmax()
    assert told.largest_at_nm == a["wavelength"].values[farthest]
    assert told.largest == pytest.approx(ratio[farthest])


def test_other_wavelengths_are_told(root: Path, tmp_path: Path) -> None:
    other = make_published(tmp_path / "datasets" / "made", make_plan())
    found = compare_datasets(of(root, "plain"), other)
    part = found.splits[0]
    assert part.mean_ratio is None
    assert part.wavelengths == "4096 pixels 710-885 nm | 32 pixels 710-885 nm"
    assert not found.is_same


def test_what_is_no_dataset_is_a_mistake(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no dataset at"):
        compare_datasets(of(root, "plain"), tmp_path)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 1000, 1001, 10**8])
@pytest.mark.parametrize("most", [1, 10, 64, 100, 1024])
def test_rows_are_spread_evenly_in_runs(count: int, most: int) -> None:
    rows = evenly(count, most)
    assert rows[0] == 0 and (np.diff(rows) > 0).all() and rows[-1] < count
    assert len(rows) <= most
    if count <= most:
        assert list(rows) == list(range(count))
    elif most >= 128:
        assert rows[-1] == count - 1
        assert len(rows) > 0.7 * min(count, most - most % 64)
        gaps = np.diff(rows)[np.diff(rows) > 1]
        assert gaps.size == 0 or gaps.max() - gaps.min() <= 1


def test_holm_is_as_it_is_worked_out_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_variable_without_numbers_differs_from_one_with() -> None:
    nothing, some = np.full(3, np.nan), np.arange(3.0)
    assert two_samples("snr", nothing, nothing).differs is False
    assert two_samples("snr", nothing, some).differs is True
    assert two_samples("snr", np.array([*some, np.nan]), some).statistic == 0.0


def test_nested_keys_are_dotted() -> None:
    tables = {"a": {"b": {"c": 1}, "d": [2, {"e": 3}]}, "f": None, "g": {}}
    assert flattened(tables) == {"a.b.c": 1, "a.d": [2, {"e": 3}], "f": None}


def test_many_rows_are_sampled(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "MOST_ROWS", 128)
    part = compare_datasets(of(root, "plain"), of(root, "seed")).splits[0]
    assert part.rows == (300, 300) and part.tested == (128, 128)


def test_a_name_is_one_under_the_root_else_a_path(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").mkdir()
    (tmp_path / "mine").mkdir()
    under = Location.of(root)
    assert dataset_named("plain", under) == of(root, "plain")
    assert dataset_named("./plain", under).path == tmp_path / "plain"
    assert dataset_named("mine", under).path == tmp_path / "mine"
    with pytest.raises(InputError, match=r"no dataset 'plan': .*\(bright, plain, seed\) nor"):
        dataset_named("plan", under)
    secret = Location.of("memory://x", {"door": "open"})
    assert dataset_named("memory://y/z", secret).options == {"door": "open"}


def test_the_verb_prints_what_was_found(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*words: str) -> str:
        assert run_program(["diff", *words, "--root", str(root)]) == 0
        return capsys.readouterr().out

    same = told("plain", str(root / "datasets" / "plain"))
    assert same.splitlines()[-1] == "no difference"
    out = told("plain", "bright", "--spectra", "64")
    assert "stellar.magnitude: [19.0, 22.5] | [17.5, 21.0]" in out
    assert "only B has the split test" in out
    assert "train: 300 of 300 rows of A, 260 of 260 of B, tested" in out
    assert "mean flux A / B of 64 and 64 spectra: " in out
    last = out.splitlines()[-1]
    assert last == "distributions differ: train snr, train flux_scale, train magnitude"
    found = json.loads(told("plain", "bright", "--json"))
    assert found["is_same"] is False and len(found["splits"]) == 2
    assert run_program(["diff", "plain", "none", "--root", str(root)]) == 2
