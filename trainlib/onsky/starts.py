"""Where fits of other programs may start, in the form that they take.

rvspecfit takes a dictionary of teff, logg, feh and alpha, and a velocity in km/s; the survey's
pipeline for stars takes limits (`rv`) and priors (`…_dist`, a normal's mean and sigma) among the
arguments of its fit of templates.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from simlib.units import SPEED_OF_LIGHT_M_S

STARTS = "starts.json"
_KM_S = 1e-3 * SPEED_OF_LIGHT_M_S
_SURVEY = {"teff": "T_eff", "logg": "log_g", "feh": "M_H", "alpha": "a_M", "ebv": "ebv"}
_WIDE = 5.0  # sigma, of the velocities that are tried


def starting_values(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return JSON of where to start, a line for each spectrum that was denoised."""
    told = [json.dumps(_start(row), allow_nan=False)
            for row in rows if math.isfinite(row["redshift"])]  # fmt: skip
    return ("[" + ",\n ".join(told) + "]\n").encode()


def _start(row: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: row[name] for name in _SURVEY if math.isfinite(row[name])}
    spread = {name: row[f"{name}_error"] for name in values
              if math.isfinite(row[f"{name}_error"])}  # fmt: skip
    velocity, error = _KM_S * row["redshift"], _KM_S * row["redshift_error"]
    survey: dict[str, Any] = {
        f"{_SURVEY[name]}_dist": ["normal", values[name], width] for name, width in spread.items()
    }
    if math.isfinite(error):
        spread |= {"vel": error}
        survey |= {"rv": [velocity - _WIDE * error, velocity + _WIDE * error]}
    return {
        **{name: row[name] for name in ("file", "spectrum", "source", "verdict")},
        "rvspecfit": {name: values[name] for name in values if name != "ebv"} | {"vel": velocity},
        "spread": spread,
        "tempfit_args": survey,
    }
