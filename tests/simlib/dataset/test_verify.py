"""Every byte of a dataset is compared with what was written, also on a copy."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from simlib.dataset.verify import verify_dataset
from simlib.errors import InputError
from simlib.location import Location
from tests.simlib.dataset.made import IDENTITY, make_plan, make_published

PLAN = make_plan("none")  # of which every block has the same size


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_published(tmp_path / "d", PLAN).path


def problems(folder: Path) -> list[str]:
    return list(verify_dataset(folder).problems)


def test_a_whole_dataset_and_its_copy_have_no_problem(folder: Path, tmp_path: Path) -> None:
    copy = Location.of("memory://verify/copy") / IDENTITY
    filesystem, path = copy.filesystem()
    filesystem.put(f"{folder}/", f"{path}/", recursive=True)
    shutil.copytree(folder, tmp_path / "other" / IDENTITY)
    arrays = [p for p in (folder / "spectra.zarr").rglob("*") if p.is_file()]
    for place in (folder, tmp_path / "other" / IDENTITY, copy):
        found = verify_dataset(place)
        assert found.problems == ()
        assert (found.blocks, found.spectra, found.fingerprint) == (4, 27, IDENTITY)
        assert (found.files, found.bytes) == (len(arrays), sum(p.stat().st_size for p in arrays))


@pytest.mark.slow  # of a few files: tests/faults/test_damage.py
def test_a_flipped_bit_in_any_file_is_found(folder: Path) -> None:
    tried = 0
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        content = path.read_bytes()
        bit = 8 * len(content) // 3 if tried % 2 else 8 * len(content) - 9
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        tried += 1
        if path.name == "manifest.json":
            with pytest.raises(InputError, match="manifest.json"):
                problems(folder)
        elif _is_read(path, bytes(changed), content):
            told, *more = problems(folder)
            assert path.name in told or "rows " in told
            describes_a_split = path.name == "zarr.json" and path.parents[1] != folder
            assert len(more) == describes_a_split
        path.write_bytes(content)
    assert tried > 50
    assert problems(folder) == []


def _is_read(path: Path, changed: bytes, content: bytes) -> bool:
    """White space of a record that became other white space, or no other value, is no damage."""
    if path.suffix != ".json" or path.name == "zarr.json":
        return True
    try:
        return bool(json.loads(changed) != json.loads(content))
    except ValueError:
        return True


def gone(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])  # the last is an empty line


@pytest.mark.parametrize("damage", [gone, cut])
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("spectra.zarr/train/flux/c/1/0", "spectra.zarr/train/flux/c/1/0 "),
        ("spectra.zarr/validation/variance/c/0/0", "spectra.zarr/validation/variance/c/0/0 "),
        ("spectra.zarr/train/teff/c/0", "spectra.zarr/train/teff/c/0 is not"),
        ("spectra.zarr/zarr.json", "spectra.zarr/zarr.json is not"),
        ("spectra.zarr/train/wavelength/c/0", "spectra.zarr/train/wavelength/c/0 is not"),
        ("parts/train-00000008.json", "train-00000008.json "),
        ("parts/plan.json", "plan.json "),
    ],
)
def test_what_is_gone_or_cut_is_named(
    damage: Callable[[Path], None], name: str, told: str, folder: Path
) -> None:
    damage(folder / name)
    (problem,) = problems(folder)
    assert told in problem
    assert ("not there" in problem) == (damage is gone)


def test_blocks_that_are_whole_but_not_those_of_the_manifest_are_found(folder: Path) -> None:
    other = make_published(folder.parents[1] / "e", make_plan())
    assert other.path != folder
    one, two = (folder / f"parts/train-0000000{start}.json" for start in (0, 8))
    content = two.read_bytes()
    two.write_bytes(one.read_bytes())
    assert [p.split("train-")[1].split(";")[0] for p in problems(folder)] == [
        "00000008.json is not the record of rows 8 to 15 of 'train' (it says 0 to 7 of 'train')"
    ]
    two.write_bytes(content)
    for name in ("flux", "variance"):
        shards = [folder / f"spectra.zarr/train/{name}/c/{number}/0" for number in (0, 1)]
        first = shards[0].read_bytes()
        shards[0].write_bytes(shards[1].read_bytes())
        shards[1].write_bytes(first)
    assert problems(folder) == [
        "rows 0 to 7 of 'train' are not what was written",
        "rows 8 to 15 of 'train' are not what was written",
    ]


def test_a_file_that_belongs_to_nothing_is_told(folder: Path) -> None:
    (folder / "spectra.zarr/train/flux/c/9").mkdir()
    (folder / "spectra.zarr/train/flux/c/9/0").write_bytes(b"x")
    assert problems(folder) == ["spectra.zarr/train/flux/c/9/0 belongs to nothing"]


def test_a_version_of_another_s_name_is_told_and_a_copy_elsewhere_may_have_any(
    folder: Path, tmp_path: Path
) -> None:
    assert not problems(Path(shutil.copytree(folder, tmp_path / "copy")))
    (problem,) = problems(folder.rename(folder.with_name("f" * 16)))
    assert problem.startswith(f"the folder is named {'f' * 16}, its manifest {IDENTITY}: ")


def test_progress_and_threads_change_nothing(folder: Path) -> None:
    seen: list[tuple[int, int, int]] = []
    verify_dataset(folder, 1, lambda *state: seen.append(state))
    assert seen == [(1, 4, 8), (2, 4, 8), (3, 4, 4), (4, 4, 7)]


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no dataset at .*build it with"):
        verify_dataset(tmp_path)
