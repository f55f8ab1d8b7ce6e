"""Line lists of the window in the program's format, from the Gaia-ESO and linemake lists.

Lines of a molecule are arrays with the columns wavelength (A, air), excitation (eV), log gf.
"""

import gzip
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from infra.grids import sources
from infra.grids.recipe import LIST_MARGIN, WINDOW

TI_FRACTION = {"46": 0.0825, "47": 0.0744, "48": 0.7372, "49": 0.0541, "50": 0.0518}
COOLEST, TYPICAL = 3500.0, 4500.0  # K: at which molecules and atoms are judged weak
WEAKEST_ATOM = -9.0  # log gf - excitation × 5040/T

Lines = np.ndarray
Species = tuple[str, str, Lines]  # code, label, lines


def write_lists(work: Path) -> None:
    """Write all lists of the window."""
    out = work / "lists"
    out.mkdir(exist_ok=True)
    low, high = WINDOW[0] - LIST_MARGIN, WINDOW[1] + LIST_MARGIN
    text = sources.atomic_list(work).read_text(encoding="utf-8")
    (out / "atoms.list").write_text(convert_atoms(text, low, high), encoding="utf-8")
    folder = sources.molecular_lists(work)
    molecules = {
        name: read_linemake(folder / f"moog{name}.gz", low, high)
        for name in ("tio", "cn", "feh", "c2")
    }
    for name, depth in (("tio30", 3.0), ("tio35", 3.5)):
        _write(out / f"{name}.list", titanium_oxide(molecules["tio"], depth))
    cn = molecules["cn"]
    _write(
        out / "cn.list",
        [
            ("0607.012014", "CN1214", cull(cn["607.01214"], 3.5)),
            ("0607.013014", "CN1314", cull(cn["607.01314"], 2.5)),
        ],
    )
    iron_hydride, carbon = molecules["feh"]["126.0"], molecules["c2"]["606.01212"]
    _write(out / "feh.list", [("0126.001056", "FeH", cull(iron_hydride, 4.0))])
    _write(out / "c2.list", [("0606.012012", "C2", cull(carbon, 3.5))])


def convert_atoms(text: str, low: float, high: float) -> str:
    """Return the species blocks of the Gaia-ESO list with the lines of the window, as LTE.

    A block is a quoted species, a quoted label, and its lines.
    """
    lines = text.splitlines(keepends=True)
    heads = [i for i, line in enumerate(lines) if line.startswith("'")][::2]
    ends = [*heads[1:], len(lines)]
    return "".join(
        _atomic_block(lines[head], lines[head + 1], lines[head + 2 : end], low, high)
        for head, end in zip(heads, ends, strict=True)
    )


def _atomic_block(head: str, label: str, lines: list[str], low: float, high: float) -> str:
    kept = []
    for line in lines:
        fields = line.split("'")[0].split()[:6]
        wavelength, excitation, log_gf = (float(x) for x in fields[:3])
        if low <= wavelength <= high and log_gf - excitation * 5040 / TYPICAL > WEAKEST_ATOM:
            kept.append(" {:>10} {:>7} {:>7} {:>9} {:>6} {:>9}\n".format(*fields))
    if not kept:
        return ""
    _, species, rest = head.split("'")
    title = f"'{species}'    {rest.split()[0]}   {len(kept)}\n{label.replace('NLTE', 'LTE')}"
    return title + "".join(kept)


def read_linemake(path: Path, low: float, high: float) -> dict[str, Lines]:
    """Return the lines of a linemake file inside the window, by species."""
    found = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        for line in stream:
            wavelength = float(line[:11])
            if low <= wavelength <= high:
                fields = line.split()
                found[fields[1]].append((wavelength, float(fields[2]), float(fields[3])))
    return {species: np.array(rows) for species, rows in found.items()}


def strength(lines: Lines) -> np.ndarray:
    """Return log10 of the strength at the coolest temperature."""
    return np.asarray(lines[:, 2] - 5040 / COOLEST * lines[:, 1])


def cull(lines: Lines, depth: float) -> Lines:
    """Return the lines within `depth` decades of the strongest."""
    return np.asarray(lines[strength(lines) > strength(lines).max() - depth])


def titanium_oxide(lists: dict[str, Lines], depth: float) -> list[Species]:
    """Return the isotopes of TiO, 48TiO made up, cut at a common strength on Earth's mixture."""
    tio = {**lists, "822.01648": substitute_48tio(lists["822.01647"], lists["822.01649"])}
    strongest = max(strength(lines).max() for lines in tio.values())
    species = []
    for code, lines in sorted(tio.items()):
        share = np.log10(TI_FRACTION[code[-2:]] / TI_FRACTION["48"])
        kept = lines[strength(lines) + share > strongest - depth]
        species.append((f"0822.0000{code[-2:]}", f"TiO{code[-2:]}", kept))
    return species


def substitute_48tio(tio47: Lines, tio49: Lines) -> Lines:
    """Return 48TiO, which the lists lack: halfway between matching 47TiO and 49TiO lines.

    Two lines match where wavelength, excitation and log gf agree within a few times (2 A, 0.008
    eV, 0.002). The result is a few 0.1 A off; a line without a match stays where 47TiO has it.
    """
    a, b = cull(tio47, 4.5), cull(tio49, 4.6)
    scale = (2.0, 0.008, 0.002)
    distance, match = cKDTree(b / scale).query(a / scale)
    near = distance < 2.5
    result = a.copy()
    result[near] = 0.5 * (a[near] + b[match[near]])
    result[:, 2] = a[:, 2]
    return result


def format_molecules(species: list[Species]) -> str:
    """Return molecular lines as the program reads them: a block a species, by wavelength."""
    blocks = []
    for code, label, lines in species:
        blocks.append(f"'{code} '   1   {len(lines)}\n'{label}'\n")
        blocks += [
            f" {wavelength:10.3f} {excitation:6.3f} {log_gf:7.3f}   0.00   1.0  1.00E+07\n"
            for wavelength, excitation, log_gf in lines[np.argsort(lines[:, 0])]
        ]
    return "".join(blocks)


def _write(path: Path, species: list[Species]) -> None:
    path.write_text(format_molecules(species), encoding="utf-8")
