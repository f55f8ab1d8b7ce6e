"""Whatever fails during a write: the whole old thing is there, the whole new one or none.

Every writer meets every failure: of each thing done to a file in turn, of a file that is torn, of
bytes that change on their way. Run again it ends well.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from distributed import Client
from matplotlib.figure import Figure

from simlib import retry
from simlib.artifact import create_bytes, read_record, write_bytes, write_record
from simlib.config import SimulationConfig, load_config
from simlib.dataset.build import build_dataset
from simlib.dataset.open import open_dataset
from simlib.dataset.publish import published_dataset
from simlib.dataset.replay_figure import save_replay
from simlib.errors import InputError
from simlib.etc import terms_file
from simlib.etc.grid.build import build_terms_grid
from simlib.etc.grid.store import (
    is_published,
    open_terms_grid,
    publish_terms_grid,
    terms_folder,
)
from simlib.etc.terms_file import write_terms
from simlib.figure_file import save_figure
from simlib.kept import open_arrays, write_arrays
from simlib.location import Location
from simlib.parameters import AXES
from simlib.simulation.spectra_file import write_spectra
from simlib.stellar import open_grid
from simlib.stellar.store import is_store, write_grid
from tests.faults.failing_disk import Twisted, Watcher, cut, flip, flipped, torn_at, watching
from tests.faults.killed_builder import OVERRIDES
from tests.simlib.dataset.toy_build import here, toy_config
from tests.simlib.test_artifact import Note
from trainlib.evaluation.metrics import MEASURES
from trainlib.evaluation.results import Evaluation, Results, read_results, write_results
from trainlib.training.checkpoint import load_checkpoint, save_checkpoint

MOST = 60  # points of failure tried of each writer by the longer test: all, where there are fewer
MOST_SLOW = 40  # the same of a writer that takes a second
QUICK = 1  # points of failure tried of each writer beside its last ones
EVALUATION = Evaluation(
    fingerprint="a", checkpoint="b", dataset="c", split="validation", spectra=6, seconds=1.0,
    cpu_seconds=1.0, bottleneck=2, wiener_rank=2, summary={"x": 1},
)  # fmt: skip


class Site:
    """What building a dataset needs beside its folder: made once."""

    client: Client
    terms: Location


SITE = Site()


@pytest.fixture(autouse=True, scope="module")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    config = terms_config(tmp_path_factory.mktemp("terms"))
    SITE.terms = publish_terms_grid(terms_grid(), config)
    with here(threads=1) as SITE.client:
        yield


@dataclass(frozen=True)
class Writer:
    """Writes version 0 or 1 of something into a folder, and reads what is there; None: nothing.

    target: what gets its name last, from the folder on. replaces: the new takes the old's place.
    is_slow: few of its failures are tried in the quick tests.
    """

    write: Callable[[Path, int], object]
    read: Callable[[Path], Any]
    target: str
    replaces: bool = True
    is_slow: bool = False


def rows(version: int) -> xr.Dataset:
    """Return a few made-up terms, or results."""
    values = 100.0 * version + np.arange(12.0).reshape(3, 4)
    return xr.Dataset(
        {"a": (("condition", "wavelength"), values), "b": ("condition", values[:, 0])},
        coords={"wavelength": np.arange(4.0)},
    )


def loaded(path: Path) -> xr.Dataset | None:
    if not path.exists():
        return None
    opened = (
        xr.open_zarr(path, consolidated=False) if path.suffix == ".zarr" else xr.open_dataset(path)
    )
    with opened:
        return opened.load()


def terms_writer(name: str) -> Writer:
    def write(folder: Path, version: int) -> None:
        table = xr.Dataset({"row": ("condition", np.arange(3))})
        pieces = write_terms(folder / name, table, lambda some: rows(version).isel(
            condition=slice(int(some["row"][0]), int(some["row"][-1]) + 1)))  # fmt: skip
        list(pieces)

    return Writer(write, lambda folder: loaded(folder / name), name)


def results_of(version: int) -> Results:
    values = 100.0 * version + np.arange(6.0).reshape(2, 3)
    both = xr.Dataset(
        {name: (("method", "spectrum"), values) for name in MEASURES}
        | {name: ("spectrum", values[0]) for name in ("snr", *AXES)},
        coords={"method": ["none", "dae"]},
    )
    return Results(both, both + 1.0, both[["snr"]], xr.Dataset(), EVALUATION)


def read_evaluation(folder: Path) -> Any:
    if not (folder / "results.zarr").exists():
        return None
    found = read_results(folder)
    return found.on.drop_attrs().merge((found.off - 1.0).drop_attrs(), compat="equals")


def checkpoint(folder: Path) -> Any:
    place = folder / "last.pt"
    return load_checkpoint(place, torch.device("cpu"))[0]["w"].tolist() if place.exists() else None


def drawn(folder: Path, version: int) -> Path:
    figure = Figure(figsize=(1.0, 1.0))
    figure.subplots().plot([version, 1])
    return save_figure(figure, folder / "f.png")


def held(*names: str) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        found = {n: (folder / n).read_bytes() for n in names if (folder / n).exists()}
        return found or None

    return read


def spectra(form: str) -> Writer:
    config = load_config("tiny")
    made: list[xr.Dataset] = []

    def write(folder: Path, version: int) -> None:
        if form == "zarr":
            write_spectra(rows(version), folder / "s.zarr", form, config)
            return
        if not made:
            made.append(pfs_targets())
        write_spectra(made[0].isel(spectrum=[0, 1]), folder / "s", form, config)

    def read(folder: Path) -> Any:
        if form == "zarr":
            return loaded(folder / "s.zarr")
        return {p.name: p.read_bytes() for p in (folder / "s").glob("*")} or None

    return Writer(write, read, "s.zarr" if form == "zarr" else "s", replaces=False,
                  is_slow=form == "pfs")  # fmt: skip


def pfs_targets() -> xr.Dataset:
    from simlib.parameters import as_table
    from simlib.simulation.targets import simulate_targets
    from tests.simlib.simulation.test_pfs_object import TARGETS, TOY

    columns = {name: np.array(values) for name, values in TARGETS.items()}
    columns["interpolated_axis"] = np.full(2, -1, dtype=np.int8)
    return simulate_targets(as_table(columns, np.arange(2)), load_config("tiny", TOY))


def terms_config(root: Path | str) -> SimulationConfig:
    return toy_config(root, *OVERRIDES)


GRIDS: list[xr.Dataset] = []


def terms_grid() -> xr.Dataset:
    if not GRIDS:
        GRIDS.append(build_terms_grid(terms_config("/nowhere")))
    return GRIDS[0]


def some_terms(root: Path | str, version: int = 1) -> None:
    """Publish a few arrays of a grid: it is their number that takes time."""
    few = terms_grid()[["area_m2", "ln_moon_path", "factor_lines"]].isel(wavelength=slice(0, 64))
    publish_terms_grid(few, terms_config(root))


def published_terms(root: Path | str) -> Any:
    folder = terms_folder(terms_config(root))
    return open_terms_grid(folder) if is_published(folder) else None


def stellar(folder: Path, version: int) -> None:
    grid = open_grid("toy").isel(teff=slice(0, 2), logg=[0], feh=[0, 1], alpha=[0])
    place = Location.of(folder / "g.zarr")
    if place.exists() and not is_store(place):
        place.remove()  # as the message advises
    write_grid(place, grid.isel(wavelength_model=slice(None, None, 50)))


def read_stellar(folder: Path) -> Any:
    return open_grid(folder / "g.zarr").load() if is_store(Location.of(folder / "g.zarr")) else None


def dataset(folder: Path | str, version: int) -> None:
    build_dataset(terms_config(folder), SITE.terms, SITE.client)


def read_dataset(folder: Path | str) -> Any:
    try:
        place, _ = published_dataset(Location.of(folder) / "datasets/tiny")
    except InputError as error:
        if "no dataset at" in str(error) or "is not complete" in str(error):
            return None
        raise
    return [open_dataset(place, split).load() for split in ("train", "validation")]


WRITERS = {
    "bytes": Writer(lambda f, v: write_bytes(Location.of(f / "x"), b"%d" % v), held("x"), "x"),
    "created bytes": Writer(
        lambda f, v: create_bytes(Location.of(f / "x"), b"%d" % v), held("x"), "x", replaces=False),
    "record": Writer(
        lambda f, v: write_record(Location.of(f / "n.json"), Note(rows=v)),
        lambda f: read_record(Location.of(f / "n.json"), Note), "n.json"),
    "etc, Zarr": terms_writer("t.zarr"),
    "etc, NetCDF": terms_writer("t.nc"),
    "simulate, Zarr": spectra("zarr"),
    "simulate, pfs": spectra("pfs"),
    "results": Writer(lambda f, v: write_results(f, results_of(v)), read_evaluation,
                      "results.zarr"),
    "checkpoint": Writer(
        lambda f, v: save_checkpoint(f / "last.pt", {"w": torch.full((300,), float(v))}),
        checkpoint, "last.pt"),
    "figure": Writer(drawn, held("f.png"), "f.png"),
    "kept arrays": Writer(
        lambda f, v: write_arrays(f / "k.safetensors", {"a": np.full(300, float(v))}),
        lambda f: (found := open_arrays(f / "k.safetensors")) and found["a"].tolist(),
        "k.safetensors"),
    "terms": Writer(some_terms, published_terms, "manifest.json", replaces=False),
    "stellar grid": Writer(stellar, read_stellar, "g.zarr/zarr.json", replaces=False),
    "dataset": Writer(dataset, read_dataset, "manifest.json", replaces=False, is_slow=True),
    "replayed steps": Writer(
        lambda f, v: save_replay(rows(v).assign_attrs(split="train", index=3), f),
        lambda f: loaded(f / "train-00000003.nc"), "train-00000003.nc"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(retry, "sleep", lambda seconds: None)
    monkeypatch.setattr(terms_file, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr("simlib.dataset.replay_figure.draw_replay", lambda steps: Figure((1, 1)))


def is_same(found: Any, expected: Any) -> bool:
    if found is None or expected is None:
        return found is expected
    if isinstance(found, list) and found and isinstance(found[0], xr.Dataset):
        return all(map(xr.Dataset.identical, found, expected))
    if isinstance(found, xr.Dataset):
        return isinstance(expected, xr.Dataset) and found.equals(expected)
    return bool(found == expected)


def undisturbed(writer: Writer, folder: Path) -> tuple[Any, Any, int]:
    """Return what is read of both versions, and the events of writing one over the other."""
    folder.mkdir()
    old = None
    if writer.replaces:
        writer.write(folder, 0)
        old = writer.read(folder)
        assert old is not None
    with watching(Watcher(folder)) as watcher:
        writer.write(folder, 1)
    new = writer.read(folder)
    assert new is not None and not is_same(new, old)
    return old, new, watcher.seen


def fails_once(
    writer: Writer, folder: Path, old: Any, new: Any, attempt: Callable[[], object]
) -> bool:
    """Attempt to write what may fail; look at what is there, write again. Return if it failed."""
    folder.mkdir()
    if writer.replaces:
        writer.write(folder, 0)
    has_failed = False
    try:
        attempt()
    except (OSError, InputError):
        has_failed = True
    found = writer.read(folder)
    assert is_same(found, new) or (has_failed and is_same(found, old))
    assert not [p for p in folder.rglob("*") if p.name.endswith((".writing", ".partial"))]
    if writer.replaces or found is None:
        writer.write(folder, 1)
    assert is_same(writer.read(folder), new)
    return has_failed


def sweep(name: str, tmp_path: Path, points: int) -> None:
    writer = WRITERS[name]
    old, new, events = undisturbed(writer, tmp_path / "undisturbed")
    some = random.Random(name).sample(range(1, events + 1), min(points, events))
    failed = 0
    for number in sorted({events, *some}):  # the last one is of those that publish
        folder = tmp_path / str(number)

        def attempt(folder: Path = folder, number: int = number) -> None:
            with watching(Watcher(folder, fail_at=number)):
                writer.write(folder, 1)

        failed += fails_once(writer, folder, old, new, attempt)
    assert failed


@pytest.mark.parametrize("name", WRITERS)
def test_a_failure_of_anything_done_to_a_file_leaves_old_new_or_nothing(
    name: str, tmp_path: Path
) -> None:
    sweep(name, tmp_path, 1 if WRITERS[name].is_slow else QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_a_failure_of_each_thing_done_to_a_file_leaves_old_new_or_nothing(
    name: str, tmp_path: Path
) -> None:
    sweep(name, tmp_path, MOST_SLOW if WRITERS[name].is_slow else MOST)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if w.is_slow else n for n, w in WRITERS.items()],
)
def test_a_torn_file_leaves_old_new_or_nothing(name: str, tmp_path: Path) -> None:
    writer = WRITERS[name]
    old, new, _ = undisturbed(writer, tmp_path / "undisturbed")
    sizes = [p.stat().st_size for p in (tmp_path / "undisturbed").rglob("*") if p.is_file()]
    for number, size in enumerate({max(sizes) - 1, max(sizes) // 2}):
        folder = tmp_path / str(number)

        def attempt(folder: Path = folder, size: int = size) -> None:
            with torn_at(size):
                writer.write(folder, 1)

        assert fails_once(writer, folder, old, new, attempt)


@pytest.mark.parametrize("name", WRITERS)
def test_all_is_on_the_disk_before_it_gets_its_name(name: str, tmp_path: Path) -> None:
    """What is published is flushed, files and folders, and then the name that publishes it."""
    writer, named = WRITERS[name], []
    folder = tmp_path / "x"
    folder.mkdir()
    if writer.replaces:
        writer.write(folder, 0)
    flushed: set[int] = set()

    def on_move(source: Path, target: Path) -> None:
        if not str(target).endswith(f"/{writer.target}") or target.parent.name == "parts":
            return
        named.append(target)
        beside = [p for p in target.parent.rglob("*") if writer.target.endswith(".json")]
        for path in {source, *source.rglob("*"), *beside} - {target, source.parent}:
            assert path.stat().st_ino in watcher.flushed or path.name == "lock", path
        flushed.update(watcher.flushed)
        watcher.flushed.clear()

    watcher = Watcher(folder, on_move=on_move)
    with watching(watcher):
        writer.write(folder, 1)
    assert named, "nothing was put in its place in one step"
    for target in named:
        assert target.parent.stat().st_ino in watcher.flushed, target


@pytest.mark.parametrize("number", range(6))
def test_results_that_change_on_their_way_take_no_place(number: int, tmp_path: Path) -> None:
    """A chunk is altered on the disk: the writer reads back, and keeps the results before."""
    write_results(tmp_path, results_of(0))
    chunks = []

    def on_move(source: Path, target: Path) -> None:
        if "c" in target.parts:
            chunks.append(target)
            if len(chunks) == number + 1:
                flip(source)

    with watching(Watcher(tmp_path, on_move=on_move)), pytest.raises(InputError, match="damaged"):
        write_results(tmp_path, results_of(1))
    assert len(chunks) > number
    assert read_results(tmp_path).on.drop_attrs().equals(results_of(0).on)
    assert [path.name for path in tmp_path.iterdir()] == ["results.zarr"]


@pytest.mark.parametrize(
    ("name", "how"),
    [("terms", flipped), ("terms", cut), ("dataset", flipped),
     pytest.param("dataset", cut, marks=pytest.mark.slow)],
)  # fmt: skip
def test_nothing_is_published_that_does_not_read_back(
    name: str, how: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through fsspec: some chunks of arrays in turn are kept other than they were given."""
    root, write, read = "twisted://disk", *_remote(name)
    monkeypatch.setattr(Twisted, "how", staticmethod(how))
    Twisted.store.clear()
    monkeypatch.setattr(Twisted, "at", 0)
    Twisted.written = 0
    write(root)
    expected, count = read(root), Twisted.written
    dice = random.Random(name)
    for number in dice.sample(range(1, count + 1), 3):
        Twisted.store.clear()
        Twisted.written = 0
        monkeypatch.setattr(Twisted, "at", number)
        try:
            write(root)
        except (OSError, InputError):
            assert read(root) is None
        assert Twisted.written >= number
        monkeypatch.setattr(Twisted, "at", 0)
        write(root)  # which is nothing where the first attempt came to its end
        assert is_same(read(root), expected)


def _remote(name: str) -> tuple[Callable[[str], object], Callable[[str], Any]]:
    if name == "dataset":
        return (lambda root: dataset(root, 1)), read_dataset
    return some_terms, published_terms
