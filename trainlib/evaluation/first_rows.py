"""Methods that are too dear for all spectra: judged on the first of them, unknown on the rest."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from trainlib.evaluation.metrics import MEASURES, SPREADS, Measures


def with_methods(results: xr.Dataset, judged: Mapping[str, tuple[Measures, float]]) -> xr.Dataset:
    """Return results with further methods: measures of the first spectra, and `cpu_ms` of one."""
    names = np.array([*results["method"].values, *judged], dtype=object)
    wider = results.reindex({"method": names})
    for method, (found, cpu_ms) in judged.items():
        at = {"method": method}
        for name in (*MEASURES, *SPREADS):
            wider[name].loc[at] = padded(getattr(found, name), results.sizes["spectrum"])
        wider["cpu_ms"].loc[at] = cpu_ms
    return wider


def padded(values: np.ndarray, rows: int) -> np.ndarray:
    """Return values (some, …) of the first rows as (rows, …), NaN for the others."""
    out = np.full((rows, *values.shape[1:]), np.nan)
    out[: len(values)] = values
    return out
