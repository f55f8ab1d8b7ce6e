"""TOML and CSV: configs, instruments, conditions, targets, spectra, sky tables."""

import shutil
import tomllib
from pathlib import Path
from random import Random
from typing import Any

import tomli_w

from flows.config import load_config
from simlib.config import presets
from simlib.instrument import FOLDER, load_instrument
from simlib.simulation.target_list import read_targets
from tests.faults.fuzz.harness import Attempt, Kind
from tests.faults.fuzz.mutate import ODD_NUMBERS, altered, damaged, recoded, with_odd_number
from tests.simlib.etc.made import write_conditions, write_sky_tables

NAME = "pfs-redmr-2016-02-29"
GOOD = "0.8,30,0.3,45,60,0.2,900,20"
CONDITIONS = {
    "seeing_arcsec": (0.5, 1.5),
    "zenith_angle_deg": (0, 60),
    "field_angle_deg": (0, 0.65),
    "moon_zenith_angle_deg": (0, 180),
    "moon_target_angle_deg": (0, 180),
    "moon_phase": (0, 1),
    "exposure_time_s": (1, 1e5),
    "exposure_count": (1, 100),
}
TARGETS = CONDITIONS | {
    "teff": (3500, 5000),
    "logg": (0, 5),
    "feh": (-2.5, 0.5),
    "alpha": (-0.25, 0.5),
    "redshift": (-0.003, 0.003),
    "ebv": (0, 0.1),
    "magnitude": (19, 22.5),
}
SPECTRUM = {"wavelength_nm": (0, 0), "flux": (0, 1e4)}
LINES = {"wavelength_air_nm": (600, 1000), "intensity_1e-16_cgs": (-1, 1e3)}
OVERRIDES = (
    "dataset.n_train=100", "dataset.name=mine", "train.recipe=A", "stellar.teff=[4000, 4500]",
    "sky.oh_scale=1.0", "storage.options.endpoint_url=http://localhost", "dataset.mode='virtual'",
    "conditions.exposure_count=3", "train.epochs = 5", "cluster.workers=1", "storage.codec=zstd",
)  # fmt: skip


def as_written(
    columns: dict[str, tuple[float, float]],
    draw: Random,
    rows: int,
    increasing: tuple[float, float] | None = None,
) -> bytes:
    """Return a table that is right, in one of the ways in which people write them.

    increasing: range of the first column, where it must increase.
    """
    names = list(columns) if increasing else draw.sample(list(columns), len(columns))
    lines = [draw.choice((",", ", ")).join(names)]
    for row in range(rows):
        values = {name: draw.uniform(*columns[name]) for name in names}
        if increasing:
            low, high = increasing
            values[names[0]] = low + (high - low) * row / (rows - 1)
        lines.append(",".join(f"{values[name]:.6g}" for name in names))
    if draw.random() < 0.5:
        notes = ("HD 1", '"HD 1, a"', "x # y", "é", '"a ""b"""', "", "7" * 140_000)
        texts = ["note", *draw.choices(notes, (30, 3, 3, 3, 3, 3, 1), k=rows)]
        lines = [f"{text},{line}" for text, line in zip(texts, lines, strict=True)]
    for _ in range(draw.randrange(3)):
        lines.insert(draw.randrange(len(lines) + 1), draw.choice(("# a comment", "", "  ", "#")))
    text = draw.choice(("\n", "\r\n")).join(lines) + draw.choice(("", "\n", "\n\n"))
    return draw.choice((b"", b"\xef\xbb\xbf")) + text.encode()


def broken(data: bytes, draw: Random, other: bytes) -> bytes:
    """Return a text in another encoding, with an odd number, or with damaged bytes."""
    match draw.randrange(4):
        case 0:
            return recoded(data, draw)
        case 1:
            return with_odd_number(data, draw)
        case _:
            return damaged(data, draw, other)


def as_toml(record: dict[str, Any]) -> bytes:
    """Return the record as TOML, what TOML cannot say left out or said wrongly."""
    try:
        return tomli_w.dumps(_without_none(record)).encode()
    except (RecursionError, ValueError, TypeError):
        return b"a = " + b"[" * 5000 + b"]" * 5000


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value if v is not None] if isinstance(value, list) else value


def broken_toml(text: str, draw: Random) -> bytes:
    """Return a TOML file whose values or bytes are wrong."""
    if draw.random() < 0.5:
        return as_toml(altered(tomllib.loads(text), draw))
    return broken(text.encode(), draw, text.encode())


def _prepare_configs(folder: Path) -> dict[str, str]:
    return {name: path.read_text(encoding="utf-8") for name, path in presets().items()}


def _config(texts: dict[str, str], draw: Random, folder: Path, valid: bool) -> Attempt:
    path, name = folder / "mine.toml", draw.choice(list(texts))
    fitting = [text for text in OVERRIDES if not (name == "tiny" and "recipe" in text)]
    overrides = draw.sample(fitting, draw.choice((0, 0, 1, 2)))
    if not valid and draw.random() < 0.3:
        key, value = draw.choice(OVERRIDES).split("=", 1)
        odd = draw.choice((*ODD_NUMBERS, "[" * 4000, value[:-1], "{a=1}", "[1,2]", "2024-01-01"))
        overrides.append(draw.choice((f"{key}={odd}", f"{key[:-1]}={value}", f"{key}.x={odd}")))
        path.write_text(texts[name], encoding="utf-8")
        return Attempt(lambda: _use_config(path, overrides), f"{name} --set {overrides[-1][:80]}")
    text = texts[name].encode()
    path.write_bytes(text if valid else broken_toml(texts[name], draw))
    return Attempt(lambda: _use_config(path, overrides), f"{name} {overrides}")


def _use_config(path: Path, overrides: list[str]) -> None:
    config = load_config(path, overrides)
    load_instrument(config.instrument.name)


def write_arm(folder: Path) -> None:
    """Write an instrument of few pixels, `arm.toml`."""
    text = (FOLDER / f"{NAME}.toml").read_text(encoding="utf-8")
    for old, new in (
        (f'"{NAME}.csv"', '"arm.csv"'),
        ("wavelength_min_nm = 710.0", "wavelength_min_nm = 800.0"),
        ("wavelength_max_nm = 885.0", "wavelength_max_nm = 801.4"),
        ("pixel_count = 4096", "pixel_count = 32"),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "arm.toml").write_text(text, encoding="utf-8")
    shutil.copy(FOLDER / f"{NAME}.csv", folder / "arm.csv")


def _prepare_etc(folder: Path) -> Path:
    """Write a small arm, a list of conditions and sky tables that are right; return the folder."""
    write_arm(folder)
    write_conditions(folder / "good.csv", GOOD)
    write_sky_tables(folder / "sky", step_nm=2.0)
    return folder


def _etc(folder: Path, conditions: str = "good.csv", **options: str) -> list[str]:
    given = {"instrument": str(folder / "arm.toml")} | options
    flags = [text for name, value in given.items() for text in (f"--{name}", value)]
    return ["etc", str(folder / conditions), "--out", str(folder / "terms.nc"), "--json", *flags]


def _conditions(folder: Path, draw: Random, _: Path, valid: bool) -> Attempt:
    data, other = (as_written(CONDITIONS, draw, draw.randint(1, 3)) for _ in range(2))
    (folder / "mine.csv").write_bytes(data if valid else broken(data, draw, other))
    return Attempt(_etc(folder, "mine.csv"), "conditions")


def _targets(folder: Path, draw: Random, _: Path, valid: bool) -> Attempt:
    data, other = (as_written(TARGETS, draw, draw.randint(1, 5)) for _ in range(2))
    (folder / "mine.csv").write_bytes(data if valid else broken(data, draw, other))
    return Attempt(lambda: read_targets(folder / "mine.csv"), "targets")


def _spectrum(folder: Path, draw: Random, _: Path, valid: bool) -> Attempt:
    span = draw.choice(((700.0, 900.0), (900.0, 700.0)))
    data, other = (as_written(SPECTRUM, draw, draw.randint(2, 30), span) for _ in range(2))
    (folder / "star.csv").write_bytes(data if valid else broken(data, draw, other))
    return Attempt(_etc(folder, spectrum=str(folder / "star.csv")), "spectrum")


def _sky(folder: Path, draw: Random, _: Path, valid: bool) -> Attempt:
    write_sky_tables(folder / "sky", airmass=draw.choice((None, 1.2)), step_nm=2.0)
    name = draw.choice(("telluric_one.csv", "sky_lines_one.csv"))
    path = folder / "sky" / name
    good = path.read_bytes()
    if name == "sky_lines_one.csv":
        good = as_written(LINES, draw, 10)
    path.write_bytes(good if valid else broken(good, draw, as_written(LINES, draw, 10)))
    return Attempt(_etc(folder, **{"sky-tables": str(folder / "sky")}), name)


def _instrument(folder: Path, draw: Random, _: Path, valid: bool) -> Attempt:
    text = (folder / "arm.toml").read_text(encoding="utf-8").replace("arm.csv", "mine-arm.csv")
    curve = (folder / "arm.csv").read_bytes()
    which = draw.choice(("toml", "toml", "csv"))
    if valid:
        text = text.replace("radius_um = 63.5", f"radius_um = {draw.uniform(50, 80):.3f}")
    toml = text.encode() if valid or which == "csv" else broken_toml(text, draw)
    (folder / "mine.toml").write_bytes(toml)
    (folder / "mine-arm.csv").write_bytes(
        curve if valid or which == "toml" else broken(curve, draw, curve)
    )
    return Attempt(_etc(folder, instrument=str(folder / "mine.toml")), f"instrument {which}")


KINDS = {
    "config": Kind(350, _prepare_configs, _config),
    "conditions": Kind(60, _prepare_etc, _conditions),
    "targets": Kind(200, _prepare_etc, _targets),
    "spectrum": Kind(60, _prepare_etc, _spectrum),
    "sky": Kind(60, _prepare_etc, _sky),
    "instrument": Kind(70, _prepare_etc, _instrument),
}
