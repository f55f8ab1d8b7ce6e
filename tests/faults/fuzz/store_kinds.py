"""What the program itself wrote: records and Zarr stores of datasets and of terms."""

import json
from pathlib import Path
from random import Random

from simlib.config import load_config
from simlib.dataset.open import open_dataset
from simlib.dataset.publish import published_dataset
from simlib.dataset.rows import recipe_of
from simlib.dataset.store import missing_blocks, records_of
from simlib.etc.grid.build import build_terms_grid
from simlib.etc.grid.store import open_terms_grid, publish_terms_grid
from simlib.fingerprint import digest
from simlib.location import Location
from tests.faults.fuzz.harness import Attempt, Kind
from tests.faults.fuzz.mutate import damaged
from tests.faults.fuzz.standing import Standing, broken_json, broken_record, signed
from tests.faults.fuzz.text_kinds import write_arm
from tests.simlib.dataset.made import make_plan, make_published


def _prepare_dataset(folder: Path) -> Standing:
    sets = folder / "sets"
    make_published(sets, make_plan())
    return Standing.of(sets)


def _read_dataset(sets: Path, split: str = "train", name: str = "snr") -> None:
    """Open a split and read one variable of it."""
    data = open_dataset(sets, split)
    data.get(name, data["wavelength"]).load()


def _read_records(sets: Path) -> None:
    _read_dataset(sets)
    folder, manifest = published_dataset(sets)
    missing_blocks(folder, manifest.plan, records_of(folder, manifest.plan))


def _dataset_record(standing: Standing, draw: Random, folder: Path, valid: bool) -> Attempt:
    standing.mend()
    sets = folder / "sets"
    names = ("latest.json", "manifest.json", "manifest.json", "plan.json", "train-0*.json")
    path, data = standing.chosen(draw, draw.choice(names))
    if valid:
        return Attempt(lambda: _read_records(sets), "a whole dataset")
    path.write_bytes(broken_record(data, draw))
    if path.name == "manifest.json" and draw.random() < 0.5:
        return Attempt(lambda: recipe_of(*published_dataset(sets)), "recipe of manifest.json")
    return Attempt(lambda: _read_records(sets), path.name)


def _dataset_arrays(standing: Standing, draw: Random, folder: Path, valid: bool) -> Attempt:
    """Break metadata or a chunk; of the metadata half are made to look as published."""
    standing.mend()
    pattern = draw.choice(("zarr.json", "zarr.json", "c/*", "c/*/*"))
    path, data = standing.chosen(draw, pattern)
    _, _, *inside = path.relative_to(folder / "sets").parts  # identity, spectra.zarr
    split = inside[0] if inside[0] in ("train", "validation") else "train"
    name = inside[1] if len(inside) > 2 else "snr"
    attempt = Attempt(lambda: _read_dataset(folder / "sets", split, name), str(path))
    if valid:
        return attempt
    if draw.random() < 0.1:
        path.unlink()
        return attempt
    is_metadata = path.name == "zarr.json"
    broken = broken_json(data, draw) if is_metadata else damaged(data, draw, data[::-1])
    path.write_bytes(broken)
    if is_metadata and draw.random() < 0.6:
        _publish_as_it_is(standing, path, broken)
    return attempt


def _publish_as_it_is(standing: Standing, path: Path, data: bytes) -> None:
    manifest = next(p for p in standing.files if p.name == "manifest.json")
    value = json.loads(standing.files[manifest])
    name = str(path.relative_to(manifest.parent / "spectra.zarr"))
    value["template"][name] = digest(data)
    manifest.write_bytes(signed(json.dumps(value).encode()))


def few_terms(folder: Path) -> list[str]:
    """Return what makes a config's grid of terms a small one, kept in the folder."""
    write_arm(folder)
    places = [f"storage.root='{folder / 'data'}'", f"instrument.name='{folder / 'arm.toml'}'"]
    names = ("airmass", "seeing", "moon_zenith", "moon_target", "moon_phase")
    return [*places, *(f"terms.{name}_nodes=2" for name in names)]


def _prepare_terms(folder: Path) -> tuple[Location, Standing]:
    config = load_config("tiny", few_terms(folder))
    published = publish_terms_grid(build_terms_grid(config), config)
    return published, Standing.of(folder / "data")


def _terms(terms: tuple[Location, Standing], draw: Random, _: Path, valid: bool) -> Attempt:
    published, standing = terms
    standing.mend()
    pattern = draw.choice(("manifest.json", "zarr.json", "zarr.json", "c/*"))
    path, data = standing.chosen(draw, pattern)
    attempt = Attempt(lambda: open_terms_grid(published), str(path))
    if valid:
        return attempt
    match path.name:
        case "manifest.json":
            broken = broken_record(data, draw)
        case "zarr.json":
            broken = broken_json(data, draw)
        case _:
            broken = damaged(data, draw, data[::-1])
    path.write_bytes(broken)
    return attempt


KINDS = {
    "dataset-record": Kind(70, _prepare_dataset, _dataset_record),
    "dataset-arrays": Kind(150, _prepare_dataset, _dataset_arrays),
    "terms": Kind(60, _prepare_terms, _terms),
}
