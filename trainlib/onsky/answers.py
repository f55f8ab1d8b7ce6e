"""One row a spectrum: what is told of it in a file's table and in the table over all files."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from simlib.errors import InputError
from simlib.spectra.frames import UNKNOWN as UNKNOWN_WORD
from simlib.spectra.frames import at_barycentre
from simlib.spectra.observed import Observed
from trainlib.onsky.denoise import UNKNOWN, Denoised

REFUSED = "refused"
# name -> unit and meaning
COLUMNS: dict[str, tuple[str, str]] = {
    "spectrum": ("", "name within its file"),
    "product": ("", "kind of file"),
    "verdict": ("", "good, or what speaks against the answer"),
    "redshift": ("", "Doppler, in the frame of the file"),
    "redshift_barycentric": ("", "as the barycentre of the solar system sees it, where known"),
    "redshift_error": ("", "half width that holds it with 68 %"),
    "redshift_error_95": ("", "with 95 %"),
    "error_95": ("", "so many errors hold 95 % of pixels; one holds 68 %"),
    "second_redshift": ("", "of the next best peak"),
    "log_odds": ("", "of the first peak against the second"),
    "snr": ("", "median denoised flux over sigma, of a pixel"),
    "covered": ("", "share of the network's pixels that were seen"),
    "misfit": ("", "scatter of the data about the denoised flux, in sigma"),
    "suspects": ("", "pixels five sigma from the denoised flux"),
    "features": ("", "where no training star has such, with sigma, below 0 where absorbed"),
    "shared": ("", "correlation of neighbours' noise that resampling made"),
    "convolved_nm": ("nm", "sigma of what brought finer lines to the network's, 0: as they were"),
    "teff": ("K", "where to start a fit from"),
    "logg": ("", "likewise, log10 of cm s-2"),
    "feh": ("", "likewise"),
    "alpha": ("", "likewise, of [alpha/Fe]"),
    "teff_error": ("K", "half width that holds it with 68 %"),
    "logg_error": ("", "likewise"),
    "feh_error": ("", "likewise"),
    "alpha_error": ("", "likewise"),
    "source": ("", "of spectrum, redshift and star: network, or polish: a fit that is likelier"),
    "ebv": ("", "reddening of the fit"),
    "ebv_error": ("", "likewise"),
    "covariance": ("", "6 x 6 of teff, logg, feh, alpha, redshift and ebv of the fit"),
    "resolution": ("", "of the file, where it says it"),
    "frame": ("", "of the redshift: topocentric, barycentric, heliocentric, rest or unknown"),
    "to_barycentre_km_s": ("km/s", "velocity that brings the redshift to the barycentre"),
    "telluric": ("", "lines of the air: corrected, uncorrected or unknown"),
    "notes": ("", "what was assumed"),
    "message": ("", "why there is no answer"),
}
_FOUND = tuple(field.name for field in fields(Denoised) if field.name in COLUMNS)
_COUNTS = ("suspects",)
_TEXTS = (
    "spectrum", "product", "verdict", "source", "features", "frame", "telluric", "notes", "message"
)  # fmt: skip
_EMPTY: dict[str, Any] = {
    **{name: float("nan") for name in COLUMNS},
    **dict.fromkeys(_TEXTS, ""),
    **dict.fromkeys(_COUNTS, 0),
    "verdict": REFUSED,
    "covariance": UNKNOWN,
}


@dataclass(frozen=True, eq=False)
class Answer:
    """A spectrum and what was made of it; denoised: None where nothing was, message says why."""

    observed: Observed
    denoised: Denoised | None
    message: str = ""

    @classmethod
    def of(cls, observed: Observed, found: Denoised | InputError) -> "Answer":
        """Return the answer of what `Bundle.denoise_observed` yields."""
        if isinstance(found, InputError):
            return cls(observed, None, str(found))
        return cls(observed, found)

    @cached_property
    def row(self) -> dict[str, Any]:
        """Return what is told of the spectrum, by the names of `COLUMNS`."""
        seen = self.observed
        told: dict[str, Any] = empty_row() | {
            "spectrum": seen.name,
            "product": seen.product,
            "resolution": float("nan") if seen.resolution is None else seen.resolution,
            "frame": seen.frame or UNKNOWN_WORD,
            "to_barycentre_km_s": seen.to_barycentre_km_s,
            "telluric": seen.telluric or UNKNOWN_WORD,
            "notes": "; ".join(seen.notes),
        }
        if self.denoised is None:
            return told | {"message": self.message}
        found = {name: getattr(self.denoised, name) for name in _FOUND}
        here = self.denoised.redshift
        return told | found | {
            "redshift_barycentric": at_barycentre(here, seen.to_barycentre_km_s),
            "features": "; ".join(map(str, self.denoised.features)),
        }  # fmt: skip


def empty_row() -> dict[str, Any]:
    """Return the row of what was refused."""
    return dict(_EMPTY)


def table_of(answers: Sequence[Answer]) -> dict[str, list[Any]]:
    """Return the columns of all answers."""
    return {name: [answer.row[name] for answer in answers] for name in COLUMNS}
