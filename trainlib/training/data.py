"""The spectra a rank holds: clean flux and noise sigma of one split, whole, in memory.

One split of the paper's size is 3.3 GB: it fits a GPU, so there are no loader workers.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from simlib.dataset.endless import EndlessSplit, open_endless
from simlib.dataset.open import open_dataset
from simlib.dataset.publish import published_dataset
from simlib.errors import InputError
from simlib.fingerprint import checksum
from simlib.location import Location

_READ_ROWS = 1024  # at a time: a shard of the store


@dataclass(frozen=True)
class Spectra:
    """Rows of a split, float32 (rows, pixels); `start` is the split's number of the first."""

    flux: Tensor
    sigma: Tensor
    start: int = 0

    def __len__(self) -> int:
        """Rows held here."""
        return len(self.flux)


def open_split(url: str, split: str, options: dict[str, Any] | None = None) -> xr.Dataset:
    """Return a split of a published dataset, or of a bare Zarr store with the same variables."""
    if is_bare(url):
        try:
            spectra: xr.Dataset = xr.open_zarr(
                **Location.of(url, options).zarr, group=split, chunks=None, consolidated=False
            )
            return spectra
        except (FileNotFoundError, KeyError, ValueError) as error:
            raise InputError(f"{url} has no readable group {split!r}: {error}") from None
    return open_dataset(Location.of(url, options), split)


def is_bare(url: str) -> bool:
    """Tell a Zarr store on its own from a dataset's folder."""
    return url.endswith(".zarr") and not url.endswith("spectra.zarr")


def dataset_identity(url: str, options: dict[str, Any] | None = None) -> str:
    """Return the fingerprint of a dataset; of a bare store, a checksum."""
    if is_bare(url):
        return checksum(*(open_split(url, "train", options)[name].values for name in ("snr",)))
    return published_dataset(Location.of(url, options))[1].fingerprint


def open_endless_split(url: str, options: dict[str, Any] | None = None) -> EndlessSplit:
    """Return the maker of fresh training spectra; InputError where none can be made."""
    if is_bare(url):
        raise InputError(
            f"dataset.mode = 'endless' makes new spectra of a dataset's kind, but {url} is a store "
            "of spectra alone, without the config that made them; give a dataset's folder or set "
            "dataset.mode = 'stored'"
        )
    return open_endless(Location.of(url, options), "train")


def read_spectra(spectra: xr.Dataset, start: int, stop: int, device: torch.device) -> Spectra:
    """Return rows start … stop - 1 on a device; InputError where a value cannot be used."""
    flux = np.empty((stop - start, spectra.sizes["wavelength"]), np.float32)
    sigma = np.empty_like(flux)
    for first in range(start, stop, _READ_ROWS):
        rows = slice(first, min(first + _READ_ROWS, stop))
        here = slice(rows.start - start, rows.stop - start)
        flux[here] = spectra["flux"][rows].values
        root_of(spectra["variance"][rows].values, out=sigma[here])
        if (bad := first_unusable(flux[here], sigma[here])) is not None:
            raise InputError(
                f"spectrum {first + bad} of the dataset holds a flux that is not "
                "finite or a variance that is not positive; build the dataset again"
            )
    return Spectra(torch.from_numpy(flux).to(device), torch.from_numpy(sigma).to(device), start)


def root_of(variance: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Put the noise sigma into `out`, which may be the variance itself, and return it."""
    with np.errstate(invalid="ignore"):  # of a negative variance: `first_unusable` finds it
        np.sqrt(variance, out=out)
    return out


def first_unusable(flux: np.ndarray, sigma: np.ndarray) -> int | None:
    """Return the first row with a flux that is not finite or a sigma that is not positive."""
    good = np.isfinite(flux).all(axis=1) & (sigma > 0).all(axis=1) & np.isfinite(sigma).all(axis=1)
    return None if good.all() else int(np.argmin(good))


def check_pixels(found: int, expected: int | None) -> None:
    """Raise InputError where a network's width does not fit the dataset."""
    if expected is not None and found != expected:
        raise InputError(
            f"model.widths begins with {expected} but the dataset has {found} pixels; "
            f"set model.widths to begin with {found}"
        )
