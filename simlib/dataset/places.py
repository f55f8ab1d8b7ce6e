"""Where a dataset and its parts are: `<root>/datasets/<name>/<fingerprint>/`.

A dataset's folder holds `spectra.zarr`, `manifest.json`, `parts/`, and Dask's report of its build;
`latest.json` beside the folders of all its versions says which is published.
"""

from simlib.config import SimulationConfig
from simlib.dataset.plan import Block
from simlib.location import Location


def versions_of(config: SimulationConfig) -> Location:
    """Return the folder of all versions of a config's dataset."""
    return config.root / "datasets" / config.dataset.name


def latest_in(versions: Location) -> Location:
    """Return the record of which version is published."""
    return versions / "latest.json"


def manifest_in(folder: Location) -> Location:
    """Return the record by which a dataset is complete."""
    return folder / "manifest.json"


def arrays_in(folder: Location) -> Location:
    """Return the Zarr store of a dataset."""
    return folder / "spectra.zarr"


def dask_report_in(folder: Location) -> Location:
    """Return the page of what Dask's workers did."""
    return folder / "dask-report.html"


def plan_in(folder: Location) -> Location:
    """Return the record of a dataset's plan."""
    return folder / "parts" / "plan.json"


def begun_in(folder: Location) -> Location:
    """Return the record of the config that a store is made of."""
    return folder / "parts" / "config.json"


def record_in(folder: Location, block: Block) -> Location:
    """Return the record of a finished block."""
    return folder / "parts" / f"{block.name}.json"
