"""What the tool needs of a network: arrays in, arrays out; what computes it does not show."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from simlib.errors import InputError


@dataclass(frozen=True, eq=False)
class Known:
    """What a network knows of normalised spectra: (rows, pixels), (rows,), stars (rows, 4).

    error: sigma of `flux`. second_redshift: of the next best peak, NaN where there is none;
    log_odds: of the first against it. stars: teff, logg, feh, alpha. distance: (rows,), of the
    coefficients from the mean of the training spectra, in units of their spread.
    """

    flux: np.ndarray
    error: np.ndarray
    redshift: np.ndarray
    redshift_error: np.ndarray
    second_redshift: np.ndarray
    log_odds: np.ndarray
    stars: np.ndarray
    distance: np.ndarray


class Network(Protocol):
    """A denoiser of normalised flux on its own pixels."""

    @property
    def redshifts(self) -> tuple[float, float]:
        """Return the range of redshifts that it knows."""

    @property
    def typical(self) -> np.ndarray:
        """Return (pixels,) the mean star at rest, normalised."""

    def denoise(self, flux: np.ndarray, variance: np.ndarray) -> Known:
        """Return what is known of (rows, pixels) float32; an infinite variance masks a pixel."""


class TorchNetwork:
    """A network of the rest frame as it was trained, computed by torch."""

    def __init__(self, model: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        import torch  # noqa: PLC0415  (slow to load)

        from trainlib.config import RestFrameModel  # noqa: PLC0415
        from trainlib.models import blank_model  # noqa: PLC0415

        state = {name: torch.tensor(array) for name, array in arrays.items()}
        try:
            network = blank_model(RestFrameModel.model_validate(dict(model)), state)
            network.load_state_dict(state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            told = " ".join(str(error).split())[:200]
            raise InputError(f"it holds no network of this version ({told})") from None
        self._model: Any = network.eval()

    @property
    def redshifts(self) -> tuple[float, float]:
        """Return the range of redshifts that it knows."""
        low, high = self._model.redshifts.tolist()
        return low, high

    @property
    def typical(self) -> np.ndarray:
        """Return (pixels,) the mean star at rest, normalised."""
        frame = self._model.frame
        mean = frame.statistics.mean[None].numpy()
        return np.asarray(frame.axis.gather(mean, np.zeros(1))[0], dtype=np.float64)

    def denoise(self, flux: np.ndarray, variance: np.ndarray) -> Known:
        """Return what is known of spectra; see `Network`."""
        import torch  # noqa: PLC0415

        with torch.inference_mode():
            found = self._model.denoise(torch.from_numpy(flux), torch.from_numpy(variance))
        of_torch = ("flux", "error", "redshift", "redshift_error", "second_redshift", "log_odds",
                    "stars", "distance")  # fmt: skip
        return Known(*(getattr(found, name).numpy() for name in of_torch))
