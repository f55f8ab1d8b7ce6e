"""A small dataset with the variables of the real one: a few lines, a slope, a Doppler shift."""

from pathlib import Path

import numpy as np
import xarray as xr


def toy_split(rows: int, pixels: int, seed: int) -> xr.Dataset:
    """Return `rows` spectra of `pixels` pixels, median flux 0.5, S/N 5 to 60."""
    draw = np.random.default_rng(seed)
    wavelength = np.linspace(710.0, 885.0, pixels)
    centre = np.linspace(715.0, 880.0, 24) + 2.0 * np.sin(np.arange(24.0) ** 2)
    strength = 0.2 + 0.5 * np.abs(np.sin(np.arange(24.0)))
    teff, feh = draw.uniform(3500, 5000, rows), draw.uniform(-2.5, 0.75, rows)
    redshift = draw.uniform(-0.001, 0.001, rows)
    depth = strength * 10 ** (0.2 * feh[:, None]) * (1.2 - (teff[:, None] - 3500) / 4000)
    shifted = centre * (1 + redshift[:, None])
    profile = np.exp(-0.5 * ((wavelength - shifted[:, :, None]) / 0.8) ** 2)
    slope = 1 + (teff[:, None] - 4250) / 3000 * np.linspace(-0.3, 0.3, pixels)
    flux = slope * (1 - np.clip(depth, 0, 0.8)[:, :, None] * profile).prod(axis=1)
    flux *= 0.5 / np.median(flux, axis=1, keepdims=True)
    sky = 1 + 4 * (np.sin(np.arange(pixels) * 1.7) > 0.97)
    sigma = 0.5 / draw.uniform(5, 60, (rows, 1)) * np.sqrt(sky)
    variables = {
        "flux": (("spectrum", "wavelength"), flux.astype(np.float32)),
        "variance": (("spectrum", "wavelength"), (sigma**2).astype(np.float32)),
        "snr": ("spectrum", np.median(flux / sigma, axis=1).astype(np.float32)),
        "teff": ("spectrum", teff.astype(np.float32)),
        "feh": ("spectrum", feh.astype(np.float32)),
        "redshift": ("spectrum", redshift.astype(np.float32)),
        "wavelength": ("wavelength", wavelength),
    }
    for name, low, high in (("logg", 0.0, 5.0), ("alpha", -0.25, 0.5), ("magnitude", 19.0, 22.5)):
        variables[name] = ("spectrum", draw.uniform(low, high, rows).astype(np.float32))
    return xr.Dataset(variables).set_coords("wavelength")


def write_toy(folder: Path, train: int = 192, validation: int = 96, pixels: int = 128) -> str:
    """Write a store with both splits; return its path."""
    path = folder / "toy.zarr"
    for seed, (split, rows) in enumerate({"train": train, "validation": validation}.items()):
        toy_split(rows, pixels, seed).to_zarr(path, group=split, mode="a", consolidated=False)
    return str(path)
