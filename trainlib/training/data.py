"""The spectra a rank holds: clean flux and noise sigma of one split, whole, in memory.

One split of the paper's size is 3.3 GB, which fits a GPU. Larger ones: see `batches`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from simlib.artifact import reading
from simlib.dataset.endless import EndlessSplit, open_endless
from simlib.dataset.open import open_dataset
from simlib.dataset.publish import published_folder
from simlib.errors import InputError
from simlib.fingerprint import checksum, fingerprint
from simlib.location import Location
from trainlib.config import HourglassModel, Model
from trainlib.training.distributed import Ranks
from trainlib.training.shared import shared_arrays

_READ_ROWS = 1024  # at a time: a shard of the store
_REMEDY = "write the store again"  # of a bare one: a dataset checks itself


@dataclass(frozen=True)
class Spectra:
    """Rows of a split, float32 (rows, pixels); `start` is the split's number of the first.

    labels: what was asked for of the parameters, by name, (rows,) on the processor.
    """

    flux: Tensor
    sigma: Tensor
    start: int = 0
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        """Rows held here."""
        return len(self.flux)


def open_split(dataset: Location, split: str) -> xr.Dataset:
    """Return a split of a published dataset, or of a bare Zarr store with the same variables."""
    spectra: xr.Dataset
    if is_bare(dataset):
        with reading(dataset, f"it should hold a group {split!r}"):
            spectra = xr.open_zarr(**dataset.zarr, group=split, chunks=None, consolidated=False)
    else:
        spectra = open_dataset(dataset, split)
    spectra.encoding["source"] = dataset.url
    return spectra


def is_bare(dataset: Location) -> bool:
    """Tell a Zarr store on its own from a dataset's folder."""
    return dataset.name.endswith(".zarr") and dataset.name != "spectra.zarr"


def dataset_identity(dataset: Location, splits: Iterable[str] = ("train", "validation")) -> str:
    """Return the fingerprint of a dataset: its folder's name.

    Of a bare store, which has none, a checksum of all numbers of the splits that are read.
    """
    if is_bare(dataset):
        return fingerprint({split: _checksums(open_split(dataset, split)) for split in splits})
    return published(dataset).name


def published(dataset: Location) -> Location:
    """Return the folder of the version that a dataset's name stands for; a bare store itself."""
    return dataset if is_bare(dataset) else published_folder(dataset)


def _checksums(spectra: xr.Dataset) -> dict[str, list[str]]:
    with reading(_source(spectra), _REMEDY):
        return {
            str(name): [
                checksum(variable[first : first + _READ_ROWS].values)
                for first in range(0, variable.shape[0], _READ_ROWS)
            ]
            for name, variable in spectra.variables.items()
            if variable.ndim and np.issubdtype(variable.dtype, np.number)
        }


def _source(spectra: xr.Dataset) -> Location:
    return Location(str(spectra.encoding.get("source", "the dataset")))


def open_endless_split(dataset: Location) -> EndlessSplit:
    """Return the maker of fresh training spectra; InputError where none can be made."""
    if is_bare(dataset):
        raise InputError(
            f"dataset.mode = 'endless' makes new spectra of a dataset's kind, but {dataset} is a "
            "store of spectra alone, without the config that made them; give a dataset's folder or "
            "set dataset.mode = 'stored'"
        )
    return open_endless(dataset, "train")


def read_spectra(
    spectra: xr.Dataset, start: int, stop: int, device: torch.device, labels: Sequence[str] = ()
) -> Spectra:
    """Return rows start … stop - 1 on a device; InputError where a value cannot be used.

    labels: names of parameters to read beside them.
    """
    flux = np.empty((stop - start, spectra.sizes["wavelength"]), np.float32)
    sigma = np.empty_like(flux)
    read_into(spectra, start, flux, sigma)
    named = {name: read_rows(spectra, name, slice(start, stop)) for name in labels}
    return Spectra(
        torch.from_numpy(flux).to(device), torch.from_numpy(sigma).to(device), start, named
    )


def read_together(spectra: xr.Dataset, ranks: Ranks, labels: Sequence[str] = ()) -> Spectra:
    """Return a whole split, which the ranks read together; those of a host hold one copy of it.

    On a GPU each holds its own. Raises InputError as `read_spectra` does, and where there is no
    room.
    """
    rows = spectra.sizes["spectrum"]
    flux, sigma = shared_arrays(("flux", "sigma"), (rows, spectra.sizes["wavelength"]), ranks)
    mine = ranks.part_here(rows)
    read_into(spectra, mine.start, flux[mine], sigma[mine])
    ranks.wait()
    named = {name: read_rows(spectra, name, slice(0, rows)) for name in labels}
    device = ranks.device
    return Spectra(
        torch.from_numpy(flux).to(device), torch.from_numpy(sigma).to(device), labels=named
    )


def read_into(spectra: xr.Dataset, start: int, flux: np.ndarray, sigma: np.ndarray) -> None:
    """Read rows from one on, as many as the arrays hold; InputError for a value without use."""
    for first in range(0, len(flux), _READ_ROWS):
        here = slice(first, min(first + _READ_ROWS, len(flux)))
        rows = slice(start + here.start, start + here.stop)
        flux[here] = read_rows(spectra, "flux", rows)
        root_of(read_rows(spectra, "variance", rows), out=sigma[here])
        if (bad := first_unusable(flux[here], sigma[here])) is not None:
            raise InputError(
                f"spectrum {rows.start + bad} of {_source(spectra)} holds a flux that is not "
                "finite or a variance that is not positive; make the set again without such spectra"
            )


def read_rows(spectra: xr.Dataset, name: str, rows: slice) -> np.ndarray:
    """Return some rows of a variable; InputError where they are damaged."""
    with reading(_source(spectra), _REMEDY):
        values: np.ndarray = spectra[name][rows].values
    return values


def root_of(variance: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Put the noise sigma into `out`, which may be the variance itself, and return it."""
    with np.errstate(invalid="ignore"):  # of a negative variance: `first_unusable` finds it
        np.sqrt(variance, out=out)
    return out


def first_unusable(flux: np.ndarray, sigma: np.ndarray) -> int | None:
    """Return the first row with a flux that is not finite or a sigma that is not positive."""
    good = np.isfinite(flux).all(axis=1) & (sigma > 0).all(axis=1) & np.isfinite(sigma).all(axis=1)
    return None if good.all() else int(np.argmin(good))


def check_pixels(found: int, model: Model) -> None:
    """Raise InputError where a network's width does not fit the dataset."""
    if isinstance(model, HourglassModel) and model.widths[0] != found:
        raise InputError(
            f"model.widths begins with {model.widths[0]} but the dataset has {found} pixels; "
            f"set model.widths to begin with {found}"
        )
