"""Whatever happens to the files of a finished dataset is told where it is read, and made good."""

import json
import random
import re
import shutil
from pathlib import Path

import pytest
import xarray as xr

from simlib.artifact import write_record
from simlib.dataset import build as building
from simlib.dataset.open import open_dataset
from simlib.dataset.places import latest_in, manifest_in, plan_in
from simlib.dataset.plan import Plan
from simlib.dataset.publish import Latest, published, published_dataset
from simlib.dataset.store import readable, records_of
from simlib.dataset.verify import verify_dataset
from simlib.errors import InputError
from simlib.etc.grid.store import open_terms_grid, terms_folder
from simlib.location import Location
from tests.simlib.dataset.toy_build import OVERRIDES, build, toy_config

SMALL = ("dataset.n_train=20", "dataset.n_validation=5", "dataset.block=8", "dataset.chunk=4")
FLIPS = 60


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with a finished dataset."""
    root = tmp_path_factory.mktemp("built")
    build(root, *SMALL)
    return root


@pytest.fixture
def root(built: Path, tmp_path: Path) -> Path:
    """Return a copy of that root, to be damaged."""
    return Path(shutil.copytree(built, tmp_path / "root"))


def versions(root: Path) -> Path:
    return root / "datasets/tiny"


def folder_of(root: Path) -> Location:
    return next(Location.of(path) for path in versions(root).glob("*/"))


def read_all(root: Path) -> dict[str, xr.Dataset]:
    return {split: open_dataset(versions(root), split).load() for split in ("train", "validation")}


def is_same(found: dict[str, xr.Dataset], expected: dict[str, xr.Dataset]) -> bool:
    return all(found[split].identical(expected[split]) for split in expected)


def files_of(root: Path) -> list[Path]:
    return sorted(path for path in versions(root).rglob("*") if path.is_file())


def terms_of(root: Path) -> list[Path]:
    return sorted(path for path in (root / "terms").rglob("*") if path.is_file())


def arrays_of(root: Path) -> dict[Path, bytes]:
    files = [path for path in files_of(root) if "spectra.zarr" in path.parts]
    return {path.relative_to(root): path.read_bytes() for path in files}


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def unfinish(root: Path) -> Path:
    """Leave a store as it is when all is written but what publishes it; return its folder."""
    folder = folder_of(root).path
    (folder / "manifest.json").unlink()
    (versions(root) / "latest.json").unlink()
    return folder


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the blocks that are simulated from now on."""
    names, good = [], building.block_files

    def counted(*arguments: object) -> object:
        names.append(arguments[1].name)  # type: ignore[attr-defined]
        return good(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(building, "block_files", counted)
    return names


def records_in(root: Path) -> list[object]:
    """Return what the records say, None for one that cannot be used."""
    folder = folder_of(root)
    plan = readable(plan_in(folder), Plan)
    latest = readable(latest_in(folder.parent), Latest)
    blocks = records_of(folder, plan) if plan else {}
    return [plan, latest, manifest_in(folder).read_bytes(), sorted(map(str, blocks.items()))]


def test_one_flipped_bit_is_never_silent(root: Path) -> None:
    """Half of them in files drawn by their number, half by their size."""
    expected, told, dice = read_all(root), records_in(root), random.Random(9)
    files = files_of(root)
    sizes = [path.stat().st_size for path in files]
    chosen = [dice.choice(files) for _ in range(FLIPS // 2)]
    chosen += dice.choices(files, sizes, k=FLIPS - len(chosen))
    read_by_all = 0
    for path in chosen:
        bit = dice.randrange(8 * path.stat().st_size)
        flip(path, bit)
        try:
            found = read_all(root)
        except InputError as error:
            assert "specdenoise build CONFIG" in str(error)
            assert str(versions(root)) in str(error)
            read_by_all += 1
        else:  # a reader does not need it, or white space became other white space
            assert is_same(found, expected)
            assert path.suffix == ".json" and "spectra.zarr" not in path.parts
            is_harmless = records_in(root) == told or path.name.startswith(("train", "validation"))
            assert is_harmless or published(toy_config(root, *SMALL)) is None
        flip(path, bit)
    assert read_by_all > FLIPS // 2
    assert is_same(read_all(root), expected)


def test_a_damaged_block_is_named(root: Path) -> None:
    folder = folder_of(root)
    flip(folder.path / "spectra.zarr/train/flux/c/1/0", 1000)
    flux = open_dataset(versions(root))["flux"]
    assert flux[:8].values.shape == (8, 4096)  # what is not damaged is read
    for rows in (slice(None), 9, [0, 19, 10]):
        with pytest.raises(
            InputError, match="train/flux of rows 8 to 15 is damaged .*checksum.*CONFIG --repair`"
        ):
            _ = flux[rows].values


def test_repair_makes_good_a_flipped_bit_in_every_file(root: Path) -> None:
    whole, expected, dice = arrays_of(root), read_all(root), random.Random(3)
    for path in (*files_of(root), *terms_of(root)):
        flip(path, dice.randrange(8 * path.stat().st_size))
    build(root, *SMALL, repair=True)
    assert arrays_of(root) == whole
    assert is_same(read_all(root), expected)


@pytest.mark.parametrize("repair", [False, True])
def test_what_was_deleted_is_made_again_and_no_more(
    repair: bool, root: Path, made: list[str]
) -> None:
    whole, expected, folder = arrays_of(root), read_all(root), folder_of(root).path
    gone = ["spectra.zarr/train/flux/c/1/0", "spectra.zarr/validation/snr/c/0",
            "spectra.zarr/zarr.json", "spectra.zarr/train/wavelength/c/0",
            "parts/train-00000016.json", "parts/plan.json", "../latest.json"]  # fmt: skip
    for name in gone:
        (folder / name).unlink()
    with pytest.raises(InputError, match="specdenoise build CONFIG"):
        read_all(root)
    build(root, *SMALL, repair=repair)
    assert sorted(made) == ["train-00000008", "train-00000016"]
    assert arrays_of(root) == whole
    assert is_same(read_all(root), expected)


@pytest.mark.parametrize("name", ["flux/c/2/0", "snr/c/0"])
@pytest.mark.parametrize("left", [0, 1, 100, -1])
def test_a_torn_block_without_a_record_is_made_from_nothing(
    name: str, left: int, root: Path
) -> None:
    """The last block of a split is a part of one, which Zarr would read before it wrote it."""
    whole, folder = arrays_of(root), folder_of(root).path
    (folder / "manifest.json").unlink()
    (folder / "parts/train-00000016.json").unlink()
    torn = folder / "spectra.zarr/train" / name
    torn.write_bytes(torn.read_bytes()[:left])
    build(root, *SMALL)
    assert arrays_of(root) == whole


def test_a_shorter_or_longer_file_is_found_without_reading_it(root: Path) -> None:
    config, folder = toy_config(root, *SMALL), folder_of(root).path
    assert published(config) is not None
    shard = folder / "spectra.zarr/validation/variance/c/0/0"
    content = shard.read_bytes()
    for changed in (content[:-1], content + b"x", b""):
        shard.write_bytes(changed)
        assert published(config) is None
        with pytest.raises(InputError, match="specdenoise build CONFIG"):
            read_all(root)
    shard.write_bytes(content)
    assert published(config) is not None


def test_the_advice_of_the_message_is_one_that_works(
    root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from flows.cli import run_program

    whole = arrays_of(root)
    flip(folder_of(root).path / "spectra.zarr/train/variance/c/0/0", 12345)
    flip(next(path for path in terms_of(root) if "/wavelength/c/" in str(path)), 54321)
    with pytest.raises(InputError, match="terms grid at .* is damaged; run `specdenoise build CO"):
        open_terms_grid(terms_folder(toy_config(root, *SMALL)))
    with pytest.raises(InputError) as caught:
        read_all(root)
    (advice,) = re.findall("`specdenoise (.*?)`", str(caught.value))
    arguments = advice.replace("CONFIG", "tiny").split()
    settings = [f"storage.root={root}", *OVERRIDES, *SMALL, "cluster.kind=threads"]
    assert run_program([*arguments, *(f"--set={setting}" for setting in settings)]) == 0
    assert capfd.readouterr().out.strip() == str(folder_of(root))
    assert arrays_of(root) == whole
    read_all(root)


def test_what_is_damaged_before_it_is_published_is_never_published(
    root: Path, made: list[str]
) -> None:
    whole, folder = arrays_of(root), unfinish(root)
    (folder / "parts/validation-00000000.json").unlink()
    flip(folder / "spectra.zarr/train/flux/c/1/0", 54321)
    other = (folder / "parts/train-00000000.json").read_bytes()
    (folder / "parts/train-00000016.json").write_bytes(other)
    build(root, *SMALL)
    assert sorted(made) == ["train-00000008", "train-00000016", "validation-00000000"]
    assert arrays_of(root) == whole
    assert not verify_dataset(folder).problems


CUT_BEFORE = {"parts/plan.json": b"", "manifest.json": b'{"a', "../latest.json": b"{"}


@pytest.mark.parametrize("repair", [False, True])
@pytest.mark.parametrize("before", [{"parts/plan.json": None}, {"parts/plan.json": b"{}"},
                                    CUT_BEFORE])  # fmt: skip
def test_a_lost_plan_is_told_by_the_store_whatever_is_asked_then(
    before: dict[str, bytes | None], repair: bool, root: Path, made: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    whole, folder = arrays_of(root), unfinish(root)
    for name, data in before.items():
        (folder / name).unlink(missing_ok=True)
        if data is not None:
            (folder / name).write_bytes(data)
    caplog.set_level("INFO")
    build(root, *SMALL, "dataset.block=16", "storage.codec=none", repair=repair)
    assert not made and arrays_of(root) == whole
    assert not verify_dataset(folder).problems
    asked = "which only a new dataset would have"
    assert (
        f"dataset {folder}  keeps its own plan: dataset.block = 8 (asked: 16, {asked}), "
        f"storage.codec = lz4 (asked: none, {asked})"
    ) in caplog.messages


def test_a_plan_that_is_not_that_of_the_manifest_is_replaced(root: Path, made: list[str]) -> None:
    folder = folder_of(root)
    plan = readable(plan_in(folder), Plan)
    assert plan is not None
    write_record(plan_in(folder), plan.model_copy(update={"block": 16}))
    assert len(verify_dataset(folder).problems) == 1
    build(root, *SMALL, repair=True)
    assert not made and not verify_dataset(folder).problems


def test_of_two_that_begin_at_once_the_first_plan_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another_comes_first(folder: Location, mine: Plan, _: xr.Dataset) -> None:
        write_record(plan_in(folder), mine.model_copy(update={"block": 16}))

    monkeypatch.setattr(building, "laid_out", another_comes_first)
    folder = build(tmp_path, *SMALL)
    assert published_dataset(folder)[1].plan.block == 16
    assert not verify_dataset(folder).problems


def test_where_nothing_tells_the_plan_all_is_made_as_the_config_says(
    root: Path, made: list[str]
) -> None:
    expected, folder = read_all(root), unfinish(root)
    (folder / "parts/plan.json").write_text("{")
    for split in ("train", "validation"):
        (folder / f"spectra.zarr/{split}/flux/zarr.json").write_text('{"codecs": []}')
    build(root, *SMALL, "dataset.block=24")
    assert sorted(made) == ["train-00000000", "validation-00000000"]
    assert not verify_dataset(folder).problems  # the shards of the other plan are gone
    assert is_same(read_all(root), expected)


def test_a_latest_version_of_the_first_format_is_replaced(root: Path) -> None:
    """As the message says that refuses it."""
    latest = versions(root) / "latest.json"
    latest.write_text(json.dumps({"fingerprint": folder_of(root).name}))
    with pytest.raises(InputError, match="format None.*specdenoise build CONFIG"):
        read_all(root)
    build(root, *SMALL)
    assert published_dataset(versions(root))[0] == folder_of(root)
