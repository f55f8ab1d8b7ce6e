"""Open a published dataset, its spectra read from the store or computed when they are looked at."""

import xarray as xr

from simlib.dataset.publish import published_dataset, require_split
from simlib.dataset.stored import open_stored
from simlib.location import Place


def open_dataset(place: Place, split: str = "train", virtual: bool = False) -> xr.Dataset:
    """Return one split of a published dataset, lazily; dims `spectrum`, `wavelength`.

    place: a dataset's own folder, or the folder of its name, whose latest version is taken.
    virtual: compute the spectra on access instead of reading them: the same bits where the
    arithmetic is the same, else the same to 1e-6.
    Raises InputError when there is none, it is not complete, or it has no such split; and, when
    values are looked at, where they are not those that were written.
    """
    folder, manifest = published_dataset(place)
    require_split(folder, manifest, split)
    if manifest.mode == "stored" and not virtual:
        return open_stored(folder, manifest, split)
    from simlib.dataset.virtual import open_virtual  # noqa: PLC0415  (a reader needs no kernel)

    return open_virtual(folder, manifest, split)
