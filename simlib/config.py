"""The simulation's config sections: frozen, every bound checked, each with a fingerprint.

The later layers add their own sections to the same file (`trainlib.config`, `flows.config`); this
one only knows their names, so that a typing error is still told from a section that is not ours.
"""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    ValidationError,
    model_validator,
)

from simlib.errors import InputError, require_kind, shown
from simlib.location import Location, Place, absolute
from simlib.secrets import entry, refuse_secrets
from simlib.text_files import number, read_toml, refuse_odd_values

LARGEST_REDSHIFT, LARGEST_EBV = 0.01, 5.0  # of any star, drawn or a person's own
LATER_SECTIONS = frozenset(
    {"model", "augment", "train", "evaluate", "cluster", "gate", "deploy", "launch"}
)
MOST_TOLD = 5  # mistakes in one message
NEWEST_INSTRUMENT = "pfs-redmr-2024-07-14"  # of a person's own targets; presets name theirs
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"  # of a dataset, which is also that of a folder


def _limits(given: Any) -> Any:
    """A range may be one number, which is fixed then, or text `low,high` as on a command line."""
    if isinstance(given, str):
        try:
            given = [number(part.strip()) for part in given.split(",")]
        except ValueError:
            raise ValueError("a range is low,high or one number") from None
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return given, given
    return [*given, *given] if isinstance(given, list) and len(given) == 1 else given


def _ordered(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    if low > high:
        raise ValueError(f"range [{low:g}, {high:g}] is reversed; write [{high:g}, {low:g}]")
    return limits


@dataclass(frozen=True)
class Within:
    """Refuses a range that leaves this one."""

    low: float
    high: float

    def __call__(self, limits: tuple[float, float]) -> tuple[float, float]:
        """Return the range; ValueError where it leaves this one."""
        if limits[0] < self.low or limits[1] > self.high:
            raise ValueError(
                f"range [{limits[0]:g}, {limits[1]:g}] leaves [{self.low:g}, {self.high:g}]; "
                "narrow it"
            )
        return limits


def _within(low: float, high: float) -> AfterValidator:
    return AfterValidator(Within(low, high))


def _absolute_unless_a_name(text: str) -> str:
    """A plain word is the name of something shipped; all else is a path, kept absolute."""
    is_path = "/" in text or text.startswith("~") or text.endswith((".zarr", ".toml", ".ecsv"))
    return absolute(text) if is_path else text


# Made absolute once, when a config is read: no later change of folder moves what it means.
AbsolutePath = Annotated[str, AfterValidator(absolute)]
PathOrName = Annotated[str, AfterValidator(_absolute_unless_a_name)]
Range = Annotated[tuple[float, float], BeforeValidator(_limits), AfterValidator(_ordered)]
Angle90 = Annotated[Range, _within(0.0, 90.0)]
Angle180 = Annotated[Range, _within(0.0, 180.0)]
Scale = Annotated[float, Field(ge=0.0, le=1000.0)]
Rows = Annotated[int, Field(gt=0, le=10**9)]


class Section(BaseModel):
    """One table of the config file: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Storage(Section):
    """Where things are kept and how; no part of any fingerprint."""

    root: AbsolutePath = Field("./data", validate_default=True)  # a folder or any fsspec URL
    codec: Literal["lz4", "zstd", "none"] = "lz4"  # compression of stored spectra, without loss
    # to fsspec, e.g. endpoint_url; no secrets
    options: Annotated[dict[str, Any], AfterValidator(refuse_secrets)] = Field(default_factory=dict)


class Instrument(Section):
    """The arm that is simulated."""

    name: PathOrName = "pfs-redmr-2016-02-29"  # a shipped one, or a .toml file
    lsf: Literal["etc", "profile", "table2"] = "etc"  # fitted Gaussian, whole, or table 2's


class Sky(Section):
    """Night sky and atmosphere: the embedded figures and their scales, or a folder of tables."""

    tables: AbsolutePath | None = None  # folder of CSV tables; None: embedded
    continuum: Literal["formula", "skycalc"] = "formula"  # closed formula, or SkyCalc's table
    continuum_scale: Scale = 1.0  # of the continuum's brightness
    oh_scale: Scale = 1.36  # of the OH lines; 1: SkyCalc's level
    o2_scale: Scale = 1.36  # of the O2 lines; 1: SkyCalc's level
    water_mm: Annotated[float, Field(ge=0.0, le=100.0)] = 1.5  # precipitable water


class Conditions(Section):
    """Ranges of the observing conditions (paper, table 1)."""

    seeing: Annotated[Range, _within(0.05, 10.0)] = (0.5, 1.5)  # FWHM at 800 nm [arcsec]
    zenith_angle: Annotated[Range, _within(0.0, 75.0)] = (0.0, 45.0)  # of the target [deg]
    field_angle: Annotated[Range, _within(0.0, 0.65)] = (0.0, 0.65)  # from the field's centre [deg]
    moon_zenith_angle: Angle180 = (30.0, 90.0)  # beyond 90: it is down [deg]
    moon_target_angle: Angle180 = (60.0, 180.0)  # between both [deg]
    moon_phase: Annotated[Range, _within(0.0, 1.0)] = (0.0, 0.25)  # 0 new, 0.5 full
    exposure_time_s: Annotated[float, Field(gt=0.0, le=1e6)] = 900.0  # of one read-out
    exposure_count: Annotated[int, Field(gt=0, le=10**6)] = 20  # read-outs in the stack
    # independent: the moon's angles drawn as the paper prints, many of them impossible together
    geometry: Literal["independent", "consistent"] = "independent"


class Terms(Section):
    """How the exposure time calculator's terms are made and brought to a condition."""

    source: Literal["grid", "direct"] = "grid"  # interpolated, or computed at every condition
    # centred: exact at pixel centres; modified, upstream: as those tools do it
    convention: Literal["centred", "modified", "upstream"] = "centred"
    # of the light in a fibre: to convergence, or with the nodes of the official tool
    quadrature: Literal["converged", "reference"] = "converged"
    airmass_nodes: Annotated[int, Field(ge=2, le=101)] = 7  # of the grid, along this axis
    seeing_nodes: Annotated[int, Field(ge=2, le=201)] = 21  # the same
    moon_zenith_nodes: Annotated[int, Field(ge=2, le=401)] = 61  # the same
    moon_target_nodes: Annotated[int, Field(ge=2, le=401)] = 61  # the same
    moon_phase_nodes: Annotated[int, Field(ge=2, le=401)] = 61  # the same
    tolerance: PositiveFloat = 0.005  # largest relative error of interpolation allowed


class Stellar(Section):
    """The stellar grid and the ranges drawn from it (paper, table 3)."""

    grid: PathOrName = "default"  # a known name, or a store's path
    teff: Range = (3500.0, 5000.0)  # effective temperature [K]
    logg: Range = (0.0, 5.0)  # of the surface gravity in cgs [dex]
    feh: Range = (-2.5, 0.75)  # metallicity [M/H] against the sun's [dex]
    alpha: Range = (-0.25, 0.5)  # alpha elements against metals [dex]
    # threads: three of the four on nodes, as in the paper; continuous: none
    sampling: Literal["threads", "continuous"] = "threads"
    # Doppler shift, signed
    redshift: Annotated[Range, _within(-LARGEST_REDSHIFT, LARGEST_REDSHIFT)] = (-0.003, 0.003)
    magnitude: Annotated[Range, _within(0.0, 40.0)] = (19.0, 22.5)  # apparent, in `band` [AB mag]
    band: PathOrName = "hsc2017-i2"  # a filter's name in speclite, or its .ecsv file
    ebv: Annotated[Range, _within(0.0, LARGEST_EBV)] = (0.0, 0.1)  # E(B-V) of the dust [mag]
    r_v: Annotated[float, Field(ge=2.0, le=6.0)] = 3.1  # of the dust's extinction curve
    # left out of what is drawn: threads, or these where cells of the grid that are left out begin
    withheld: Literal["nothing", "cells", "threads"] = "nothing"
    withheld_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1  # of the threads, about
    withheld_only: bool = False  # what is left out is drawn, and nothing else

    @model_validator(mode="after")
    def _withholds_from_threads(self) -> "Stellar":
        idle = [name for name in ("withheld_share", "withheld_only")
                if getattr(self, name) != type(self).model_fields[name].default]  # fmt: skip
        if self.withheld == "nothing" and idle:
            raise ValueError(
                f"{' and '.join(idle)} cannot act where withheld = 'nothing'; set withheld = "
                "'cells' or 'threads', or remove it"
            )
        if self.withheld != "nothing" and self.sampling != "threads":
            raise ValueError(
                f"withheld = {self.withheld!r} leaves out threads, which sampling = "
                f"{self.sampling!r} has none of; set sampling = 'threads' or remove withheld"
            )
        return self


class Noise(Section):
    """What goes into the variance beside the counts."""

    sky_subtraction: Annotated[float, Field(ge=0.0, le=1.0)] = 0.01  # error, as a share of the sky
    sky_subtraction_coherent: bool = True  # the error does not average out


class Normalize(Section):
    """The scale of the stored flux."""

    median: Annotated[float, Field(ge=1e-6, le=1e6)] = 0.5  # of the flux in the window
    window_nm: Range = (650.0, 950.0)  # the arm's own pixels inside it


class Dataset(Section):
    """What is simulated: how many rows, from which seed, in which blocks."""

    name: Annotated[str, Field(pattern=NAME)] = "demo"  # of its folder, and of runs on it
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 20240607  # of all that is drawn
    n_train: Rows = 8192  # spectra to learn from
    n_validation: Rows = 2048  # spectra to judge and select with
    n_test: Annotated[int, Field(ge=0, le=10**9)] = (
        0  # spectra that nothing looks at before the end
    )
    block: Literal["auto"] | Rows = "auto"  # rows simulated and written together
    chunk: Rows = 128  # rows read together, divides block
    # virtual: spectra are computed when read; endless: so too, and training never sees one twice
    mode: Literal["stored", "virtual", "endless"] = "stored"


class SimulationConfig(Section):
    """All sections that shape a dataset."""

    storage: Storage = Field(default_factory=Storage)  # now: the folder one is in may change
    instrument: Instrument = Instrument()
    sky: Sky = Sky()
    conditions: Conditions = Conditions()
    terms: Terms = Terms()
    stellar: Stellar = Stellar()
    noise: Noise = Noise()
    normalize: Normalize = Normalize()
    dataset: Dataset = Dataset()

    @property
    def root(self) -> Location:
        """Return where everything is kept."""
        return self.place(self.storage.root)

    @property
    def grid(self) -> Place:
        """Return the stellar grid: the name of a known one, or where its store is."""
        name = self.stellar.grid
        return self.place(name) if "/" in name else name  # a path is absolute by now

    def leaves(self, section: str, but: Set[str] = frozenset()) -> dict[str, Any]:
        """Return the values of a section by `section.key`, some keys left out."""
        values: dict[str, Any] = getattr(self, section).model_dump(exclude=set(but))
        return {f"{section}.{key}": value for key, value in values.items()}

    def place(self, path: str) -> Location:
        """Return the location of a path or URL, with the options of this config's storage."""
        return Location.of(path, self.storage.options)


ConfigModel = TypeVar("ConfigModel", bound=BaseModel)


def load_config(source: str | Path, overrides: Sequence[str] = ()) -> SimulationConfig:
    """Return the simulation's sections of a preset (by name) or of a TOML file (by path).

    overrides: `section.key=value` each, as given to `--set`.
    Raises InputError for an unknown preset or key, or a value out of its bounds.
    """
    tables = read_tables(source, overrides)
    own = {name: table for name, table in tables.items() if name not in LATER_SECTIONS}
    return validate(SimulationConfig, own, f"config {source}")


def presets() -> dict[str, Path]:
    """Return the shipped presets, name to file."""
    folder = Path(str(resources.files("simlib"))) / "presets"
    return {path.stem: path for path in folder.glob("*.toml")}


def read_tables(source: str | Path, overrides: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Return the tables of a preset or TOML file with the overrides put in, not yet validated.

    Raises InputError for a file that is no TOML of such tables, or an override that is none.
    """
    require_kind("a config", source, (str, os.PathLike), "a preset's name or a file's path")
    shipped = presets()
    path = shipped.get(str(source), Path(source))
    if str(source) not in shipped and not os.path.lexists(path):
        raise InputError(
            f"no config {shown(str(source))}: neither a preset ({', '.join(sorted(shipped))}) "
            "nor a file"
        )
    tables = read_toml(path, "config")
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise InputError(
                f"config {source}: {name} = {shown(table)} stands in no section; "
                f"[{name}] begins one, with its keys below"
            )
    for override in overrides:
        _put(tables, override)
    return tables


def _put(tables: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    keys = name.strip().split(".")
    if not equals or len(keys) < 2 or not all(keys):
        raise InputError(f"--set {shown(name.strip())} is not of the form section.key=value")
    place = f"--set {shown(name)}"
    table = tables
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise InputError(f"{place}: {shown(key)} is a value, not a section")
    table[keys[-1]] = _value(text.strip())
    refuse_odd_values(tables, place)


def _value(text: str) -> Any:
    """Return a value as TOML has it; what is no TOML is text that was spared its quotes."""
    try:
        tables = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return tables["value"] if len(tables) == 1 else text


def validate(
    model: type[ConfigModel], tables: Mapping[str, Any], source: str = "config"
) -> ConfigModel:
    """Return the model made from the tables; InputError names every wrong key and value.

    source: where the tables come from, for the message.
    """
    try:
        made = model.model_validate(dict(tables))
    except ValidationError as error:
        problems = error.errors(include_url=False)
        told = [_explain(model, dict(problem)) for problem in problems[:MOST_TOLD]]
        more = [f"and {len(problems) - MOST_TOLD} more"] if len(problems) > MOST_TOLD else []
        raise InputError(f"{source}: {'; '.join(told + more)}") from None
    if truths := list(_misread_truths(tables, made.model_dump())):
        raise InputError(f"{source}: {'; '.join(truths[:MOST_TOLD])}")
    return made


def _misread_truths(given: Any, taken: Any, keys: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield where true or false was given and a number was made of it, as Python would."""
    if isinstance(given, bool) and not isinstance(taken, bool):
        yield f"{entry('.'.join(keys), given)}: a number, not true or false, was expected"
    elif isinstance(given, Mapping) and isinstance(taken, Mapping):
        for key in given.keys() & taken.keys():
            yield from _misread_truths(given[key], taken[key], (*keys, key))
    elif isinstance(given, (list, tuple)) and isinstance(taken, (list, tuple)):
        for item, made in zip(given, taken, strict=False):
            yield from _misread_truths(item, made, keys)


def _explain(model: type[BaseModel], problem: dict[str, Any]) -> str:
    place = [str(part) for part in problem["loc"]]
    if problem["type"] not in ("missing", "extra_forbidden"):
        name = ".".join(_models_at(model, place)[1])
        text = problem["msg"].removeprefix("Value error, ")
        return f"{entry(name, problem['input'])}: {text}" if name else text
    *parents, key = place
    models, above = _models_at(model, parents)
    name = ".".join([*above, key])
    if problem["type"] == "missing":
        return f"{name} is missing"
    known = sorted({field for found in models for field in found.model_fields})
    near = difflib.get_close_matches(key[:100], known, n=1, cutoff=0.0)[0]
    nearest = ".".join([*above, near])
    return (
        f"unknown key {shown(name)}; the nearest known key is {nearest!r} "
        f"(known: {', '.join(known)})"
    )


def _models_at(
    model: type[BaseModel], parents: Sequence[str]
) -> tuple[list[type[BaseModel]], list[str]]:
    """Return the models that may stand there, and the keys that lead there.

    pydantic also names the branch of a union on the way, which is no key of the file.
    """
    models, keys = [model], []
    for part in parents:
        fields = [found.model_fields[part] for found in models if part in found.model_fields]
        if fields or len(models) < 2:
            keys.append(part)
            models = [inner for field in fields for inner in models_in(field.annotation)]
    return models, keys


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models of an annotation: the branches of a union, however nested, or the one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]
