"""One spectrum: run the program on a structure, broaden it, sample it, keep it."""

import os
import subprocess
import threading
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from infra.grids.recipe import (
    MICROTURBULENCE,
    RESOLUTION,
    SAMPLING,
    STEP,
    WINDOW,
    Node,
    continuum_air,
    exact,
    line_lists_for,
    output_air,
)
from infra.grids.sources import program_data, program_folder
from infra.grids.structures import format_structure, structure_of

# Shares of alpha that the structure, not the composition, keeps: the extrapolated structure of one
# alpha-poor node breaks the program's molecular equilibrium, and moves towards alpha = 0.
ALPHA_SHARES = (1.0, 0.4, 0.0)
GRID_FOLDER = "nodes"


def run_node(work: Path, node: Node, folder: str = GRID_FOLDER) -> str:
    """Compute a node unless its file is there; return what was done."""
    target = node_file(work, node, folder)
    if target.exists():
        return f"{node.name} there"
    wavelength, normalised, flux = synthesise(work, scratch_folder(work), node)
    part = target.with_suffix(".part.npz")
    np.savez(
        part,
        p=np.array([node.teff, node.logg, node.feh, node.alpha]),
        n=broaden(wavelength, normalised).astype("f4"),
        cw=continuum_air(),
        c=np.interp(continuum_air(), wavelength, flux / normalised),
    )
    part.rename(target)
    return node.name


def node_file(work: Path, node: Node, folder: str = GRID_FOLDER) -> Path:
    """Return where a node's spectrum is kept."""
    return work / folder / f"{node.name}.npz"


def scratch_folder(work: Path) -> Path:
    """Return this thread's folder for the program, with its data and the lists linked."""
    scratch = work / "scratch" / f"{os.getpid()}-{threading.get_ident()}"
    scratch.mkdir(parents=True, exist_ok=True)
    lists = {path.name: path for path in (work / "lists").glob("*.list")}
    for name, source in {"DATA": program_data(work), **lists}.items():
        if not (scratch / name).is_symlink():
            (scratch / name).symlink_to(source.resolve())
    return scratch


def synthesise(
    work: Path, scratch: Path, node: Node, microturbulence: float = MICROTURBULENCE
) -> np.ndarray:
    """Return wavelength (A, air), flux over continuum, flux (erg s-1 cm-2 A-1), (3, n)."""
    for share in ALPHA_SHARES:
        layers = structure_of(work, node, share)
        (scratch / "m.mod").write_text(format_structure(node, layers), encoding="utf-8")
        spectrum = run_program(work, scratch, node, microturbulence)
        if spectrum.size and np.isfinite(spectrum).all():
            return spectrum
    raise RuntimeError(f"no spectrum for node {node}")


def run_program(work: Path, scratch: Path, node: Node, microturbulence: float) -> np.ndarray:
    """Run opacities, then transfer; return what the program wrote, (3, n), empty if it failed."""
    result = scratch / "s.spec"
    result.unlink(missing_ok=True)
    controls = {
        "babsma_lu": opacity_control(node, microturbulence),
        "bsyn_lu": transfer_control(node),
    }
    for program, control in controls.items():
        subprocess.run(
            [program_folder(work) / program],
            input=control,
            text=True,
            capture_output=True,
            cwd=scratch,
            check=False,  # it reports failure by a spectrum that is absent or full of stars
        )
    text = result.read_text(encoding="utf-8") if result.exists() else "*"
    return np.array([] if "*" in text else text.split(), dtype=float).reshape(-1, 3).T


def _window() -> str:
    return (
        f"'LAMBDA_MIN:'  '{WINDOW[0]:.3f}'\n'LAMBDA_MAX:'  '{WINDOW[1]:.3f}'\n"
        f"'LAMBDA_STEP:' '{STEP:.4f}'\n"
    )


def _abundances(node: Node) -> str:
    return (
        f"'METALLICITY:' '{exact(node.feh, '.3f')}'\n"
        f"'ALPHA/Fe   :' '{exact(node.alpha, '.3f')}'\n"
        "'HELIUM     :' '0.00'\n'R-PROCESS  :' '0.00'\n'S-PROCESS  :' '0.00'\n"
        "'INDIVIDUAL ABUNDANCES:' '0'\n"
    )


def opacity_control(node: Node, microturbulence: float) -> str:
    """Return the control text of the opacity program."""
    return (
        f"{_window()}'MODELINPUT:' 'm.mod'\n'MARCS-FILE:' '.false.'\n'MODELOPAC:' 's.opac'\n"
        f"{_abundances(node)}'XIFIX:' 'T'\n{microturbulence:.2f}\n"
    )


def transfer_control(node: Node) -> str:
    """Return the control text of the transfer program: flux, plane-parallel."""
    lists = line_lists_for(node)
    return (
        f"'NLTE :' '.false.'\n{_window()}'INTENSITY/FLUX:' 'Flux'\n'MODELOPAC:' 's.opac'\n"
        f"'RESULTFILE :' 's.spec'\n{_abundances(node)}'ISOTOPES : ' '0'\n"
        f"'NFILES   :' '{len(lists)}'\n" + "".join(f"{name}\n" for name in lists)
        + "'SPHERICAL:' 'F'\n  30\n  300.00\n  15\n  1.30\n"
    )  # fmt: skip


def broaden(wavelength_air: np.ndarray, normalised: np.ndarray) -> np.ndarray:
    """Return the spectrum at RESOLUTION on the output wavelengths, float64."""
    fine = np.arange(np.log(WINDOW[0] + 1), np.log(WINDOW[1] - 1), 1 / (4 * SAMPLING))
    sigma = 4 * SAMPLING / RESOLUTION / 2.35482
    broad = gaussian_filter1d(np.interp(np.exp(fine), wavelength_air, normalised), sigma)
    return np.asarray(np.interp(output_air(), fine, broad))
