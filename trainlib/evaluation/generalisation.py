"""What a network makes of spectra unlike a training set: the record, `generalisation.json`."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from simlib.artifact import Record, read_record, write_record
from simlib.errors import InputError
from simlib.location import Location, Place

GENERALISATION = "generalisation.json"  # `generalisation-as-….json`: as if trained like a run


class _Row(BaseModel):
    """identity: 16 hex digits of the network, of what was tested and how. reason: why nothing."""

    model_config = ConfigDict(frozen=True, strict=True)
    identity: str
    name: str
    text: str
    spectra: int = 0
    cpu_seconds: float = 0.0
    reason: str = ""


class OnSpectra(_Row):
    """A network on one kind of spectra: means over them, shares of the flux.

    snr: its 10, 50 and 90 %. error, noisy: mean |R| of what is denoised, and of what is given.
    bias: mean R. worst: median over spectra of max |R|. floor: information limit; eta: error over
    it, with its standard error.
    """

    snr: tuple[float, float, float] | None = None
    noisy: float | None = None
    error: float | None = None
    bias: float | None = None
    worst: float | None = None
    floor: float | None = None
    eta: float | None = None
    eta_error: float | None = None


class OnLines(_Row):
    """A network on lines that no star has, at one S/N: medians over spectra.

    new_line, deeper_line: share of each that comes back. error: mean |R| of the same spectra
    without them; penalty: what it grows by away from the lines.
    """

    snr: float
    new_line: float | None = None
    deeper_line: float | None = None
    error: float | None = None
    penalty: float | None = None


class Generalisation(Record):
    """All that was tested so far. checkpoint: digest of the network's file."""

    remedy: ClassVar[str] = "remove it and run `specdenoise generalise` again"
    checkpoint: str
    dataset: str
    rows: tuple[OnSpectra, ...]
    lines: tuple[OnLines, ...]
    provenance: dict[str, Any]


def _place(run_directory: Place, usual: str | None) -> Location:
    name = GENERALISATION if usual is None else GENERALISATION.replace(".", f"-as-{usual}.")
    return Location.of(run_directory) / name


def write_generalisation(
    run_directory: Place, found: Generalisation, usual: str | None = None
) -> None:
    """Put a record in place of the one that is there; usual: see `read_generalisation`."""
    write_record(_place(run_directory, usual), found)


def read_generalisation(
    run_directory: Place, checkpoint: str, usual: str | None = None
) -> Generalisation | None:
    """Return what was found of a network; None where nothing was, of another one, or damaged.

    usual: fingerprint of another run whose training set the spectra are unlike; None for its own.
    """
    try:
        found = read_record(_place(run_directory, usual), Generalisation)
    except InputError:  # made again when it is asked for
        return None
    return found if found is not None and found.checkpoint == checkpoint else None
