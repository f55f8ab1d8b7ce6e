"""A stored split in an order by lot: every row once, with its own values, few held at a time."""

from pathlib import Path

import numpy as np
import pytest

from simlib.dataset.open import open_dataset
from simlib.dataset.places import arrays_in
from simlib.dataset.publish import publish, published_dataset
from simlib.dataset.shuffled import shuffled
from simlib.errors import InputError
from simlib.location import Location
from tests.simlib.dataset.made import make_plan, make_published


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Location:
    return make_published(tmp_path_factory.mktemp("made"), make_plan())


@pytest.mark.parametrize("batch", [1, 3, 8, 20, 100])
@pytest.mark.parametrize("held", [1, 2, 5, 99])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_every_row_comes_once_with_its_values(
    split: str, held: int, batch: int, made: Location
) -> None:
    whole = open_dataset(made, split)
    rows: list[int] = []
    batches = list(shuffled(made, split, batch, seed=4, held=held))
    for number, some in enumerate(batches):
        for name in ("flux", "variance"):
            assert np.array_equal(some[name], whole[name].values[some["rows"]])
        is_last = number == len(batches) - 1
        assert len(some["rows"]) == (batch if not is_last else len(whole["snr"]) - len(rows))
        rows += some["rows"].tolist()
    assert sorted(rows) == list(range(whole.sizes["spectrum"]))


def order_of(made: Location, seed: int, held: int = 3) -> list[int]:
    return [row for some in shuffled(made, "train", 4, seed, held) for row in some["rows"].tolist()]


def test_the_seed_makes_the_order(made: Location) -> None:
    assert order_of(made, 1) == order_of(made, 1)
    assert order_of(made, 1) != order_of(made, 2)
    assert order_of(made, 1) != sorted(order_of(made, 1))


def test_rows_of_all_held_chunks_are_mixed(made: Location) -> None:
    chunks = np.array(order_of(made, 5, held=5)) // 4
    assert max(len(set(chunks[n : n + 4])) for n in range(0, 20, 4)) > 1


def test_batches_are_ones_own(made: Location) -> None:
    first, *others = shuffled(made, "train", 4, seed=1, held=1)
    kept = first["flux"].copy()
    assert others and np.array_equal(first["flux"], kept)
    assert not any(np.shares_memory(first["flux"], other["flux"]) for other in others)


def test_damage_is_told_with_its_rows(tmp_path: Path) -> None:
    made = make_published(tmp_path, make_plan())
    path = (arrays_in(made) / "train/flux/c/1/0").path
    data = bytearray(path.read_bytes())
    data[9] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"train/flux of rows 8 to 15 is damaged .*--repair"):
        list(shuffled(made, "train", 4, seed=1))
    path.unlink()
    with pytest.raises(InputError, match=r"rows 8 to 15 is damaged .*is not there"):
        list(shuffled(made, "train", 4, seed=1))


def test_a_dataset_without_stored_spectra_is_told_with_the_way_out(made: Location) -> None:
    manifest = published_dataset(made)[1].model_copy(update={"mode": "virtual"})
    place = made.parent.parent / "virtual" / made.name
    publish(place, manifest)
    with pytest.raises(
        InputError, match=r"holds no spectra.*'virtual'\); build it with .*'stored'"
    ):
        list(shuffled(place, "train", 4, seed=1))


def test_a_split_that_is_not_there_is_told(made: Location) -> None:
    with pytest.raises(InputError, match="no split 'test'; it has train, validation"):
        list(shuffled(made, "test", 4, seed=1))
