"""Turn a folder of downloaded files into a store: a plane of nodes a task, resumable.

A plane is all abundances of one (Teff, log g). Its record, written after its data, is what marks
it done; an import that was cut short is run again and does the rest, with the same bits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client, as_completed

from simlib.errors import InputError
from simlib.stellar.import_plan import ImportPlan, continuum_points
from simlib.stellar.releases import find_release
from simlib.stellar.shape import AXES
from simlib.stellar.spectrum_files import BadFileError, ModelSpectrum, Window
from simlib.stellar.store import create_store, finish_store, is_store, open_group, write_plane
from simlib.storage import Options, join, read_json, write_json

WAVELENGTH_TOLERANCE_NM = 1e-5  # two files have the same wavelengths
Progress = Callable[[int, int, int], None]  # planes done, planes in all, files of the last


@dataclass(frozen=True)
class ImportReport:
    """What an import did."""

    store: str
    checksum: str
    nodes: int
    files_read: int  # by this run; the others were there
    planes_kept: int
    holes: list[dict[str, Any]]


def records_folder(store: str) -> str:
    """Return where the records of the finished planes are: beside the store."""
    return f"{store.rstrip('/')}.parts"


def import_grid(
    plan: ImportPlan,
    store: str,
    client: Client,
    *,
    options: Options | None = None,
    on_progress: Progress = lambda done, total, files: None,
) -> ImportReport:
    """Import the planned files into a store on the client's workers; a rerun does the rest.

    Raises InputError where the store is of another import.
    """
    _create(plan, store, options)
    records = {plane: _valid_record(plan, store, plane, options) for plane in plan.planes}
    kept = sum(record is not None for record in records.values())
    futures = {
        client.submit(
            import_plane,
            plan.release.name,
            plan.plane_files(plane),
            plan.window,
            store,
            plane,
            signature=plan.plane_signature(plane),
            options=options,
            pure=False,
            retries=2,
        ): plane
        for plane, record in records.items()
        if record is None
    }
    done, files_read = kept, 0
    on_progress(done, len(records), 0)
    for future, record in as_completed(list(futures), with_results=True):
        records[futures[future]] = record
        files = sum(path is not None for *_, path in plan.plane_files(futures[future]))
        done, files_read = done + 1, files_read + files
        on_progress(done, len(records), files)
    return _finish(plan, store, {k: v for k, v in records.items() if v}, kept, files_read, options)


def import_plane(
    release: str,
    files: list[tuple[int, int, Path | None]],
    window: Window,
    store: str,
    plane: tuple[int, int],
    *,
    signature: str,
    options: Options | None = None,
) -> dict[str, Any]:
    """Read the files of one plane, write them, and return the record that marks it done."""
    group = open_group(store, "r", options)
    wavelength = np.asarray(group["wavelength_model"][...])  # type: ignore[index]
    points = continuum_points(wavelength)
    shape = group["flux_normalized"].shape[2:4]  # type: ignore[union-attr]
    flux = np.full((*shape, len(wavelength)), np.nan, dtype=np.float32)
    continuum = np.full((*shape, len(points)), np.nan, dtype=np.float32)
    reasons = {}
    for k, m, path in files:
        try:
            spectrum = _read(release, path, window, wavelength)
        except BadFileError as error:
            reasons[f"{k},{m}"] = str(error)
            continue
        flux[k, m], continuum[k, m] = spectrum.flux_normalized, spectrum.continuum[points]
    digests = write_plane(store, plane, flux, continuum, options)
    record = {
        "signature": signature,
        "digests": [[str(digest) for digest in row] for row in digests],
        "reasons": reasons,
    }
    write_json(_record(store, plane), record, options)
    return record


def _read(release: str, path: Path | None, window: Window, wavelength: np.ndarray) -> ModelSpectrum:
    if path is None:
        raise BadFileError("there is no file")
    spectrum = find_release(release).read_spectrum(path, window)
    found = spectrum.wavelength_nm
    if found.shape != wavelength.shape:
        raise BadFileError(
            f"{path.name} covers {found[0]:.2f}-{found[-1]:.2f} nm in {len(found)} points, the "
            f"others {wavelength[0]:.2f}-{wavelength[-1]:.2f} nm in {len(wavelength)}"
        )
    if np.abs(found - wavelength).max() > WAVELENGTH_TOLERANCE_NM:
        raise BadFileError(f"{path.name} has other wavelengths than the other files")
    return spectrum


def _record(store: str, plane: tuple[int, int]) -> str:
    return join(records_folder(store), f"plane-{plane[0]:03d}-{plane[1]:03d}.json")


def _valid_record(
    plan: ImportPlan, store: str, plane: tuple[int, int], options: Options | None
) -> dict[str, Any] | None:
    record: dict[str, Any] | None = read_json(_record(store, plane), options)
    is_valid = record is not None and record["signature"] == plan.plane_signature(plane)
    return record if is_valid else None


def _create(plan: ImportPlan, store: str, options: Options | None) -> None:
    coords = {
        **plan.axes,
        "wavelength_model": plan.wavelength_model,
        "wavelength_continuum": plan.wavelength_continuum,
    }
    if is_store(store, options):
        group = open_group(store, "r", options)
        other = [n for n in coords if n in group and not _equal(group[n], coords[n])]
        if other:
            raise InputError(
                f"{store} is there with another {', '.join(other)}; the files found now do not "
                "make that grid: import into a new store, or remove this one and its .parts"
            )
    create_store(store, coords, _attrs(plan), options)


def _equal(array: Any, values: np.ndarray) -> bool:
    return bool(array.shape == values.shape and np.array_equal(array[...], values))


def _attrs(plan: ImportPlan) -> dict[str, Any]:
    return {
        "name": plan.release.name,
        "medium": "vacuum",
        "resolution": float(plan.resolution),
        "broadening": "Gaussian, FWHM = wavelength / resolution",
        "source": plan.release.source,
        "version": plan.release.name,
        "license": plan.release.license,
        "carbon": plan.carbon,
        "microturbulence_km_s": plan.microturbulence,
        "window_nm": list(plan.window),
    }


def _finish(
    plan: ImportPlan,
    store: str,
    records: dict[tuple[int, int], dict[str, Any]],
    kept: int,
    files_read: int,
    options: Options | None,
) -> ImportReport:
    shape = tuple(len(plan.axes[name]) for name in AXES)
    digests = np.zeros(shape, dtype=np.uint64)
    holes = []
    for plane in plan.planes:
        digests[plane] = np.array(records[plane]["digests"]).astype(np.uint64)
        for place, reason in records[plane]["reasons"].items():
            node = (*plane, *(int(i) for i in place.split(",")))
            at = {name: float(plan.axes[name][i]) for name, i in zip(AXES, node, strict=True)}
            holes.append({**at, "reason": reason})
    checksum = finish_store(store, digests, {**_attrs(plan), "holes": holes}, options)
    return ImportReport(
        store=store,
        checksum=checksum,
        nodes=int((digests != 0).sum()),
        files_read=files_read,
        planes_kept=kept,
        holes=holes,
    )
