"""The training's config sections: the network, the augmentation, the optimisation, the evaluation.

A recipe ("A": the paper's, "B": the fast one) gives the values that a file does not. Some keys act
only in a certain mode, e.g. `train.momentum` only with `train.optimizer = "sgd"`: `MODES` lists
them with their defaults, and such a key given in another mode is refused.
"""

import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from simlib.config import Section, SimulationConfig, read_tables, validate
from simlib.errors import InputError

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Recipe = Literal["A", "B"]
RECIPES = ("A", "B")
RECIPE_SECTIONS = ("model", "augment", "train")
FOREIGN_SECTIONS = frozenset({"cluster"})  # of the layer above

# section -> selecting key -> its value -> the keys that act then, with their defaults
MODES: dict[str, dict[str, dict[str, dict[str, Any]]]] = {
    "model": {
        "kind": {
            "hourglass": {
                "widths": [4096, 3136, 2176, 1216, 256],
                "input": "flux",
                "output": "sigmoid",
            },
            "projection": {"rank": 512, "hidden": 512, "blocks": 3},
        },
    },
    "augment": {
        "calibration": {
            "none": {},
            "walk": {
                "calibration_max": 0.02,
                "calibration_width": 0.12,
                "calibration_law": "uniform",
                "calibration_mean_removed": True,
            },
        },
    },
    "train": {
        "optimizer": {
            "sgd": {"momentum": 0.0},
            "adamw": {"betas": [0.9, 0.98], "weight_decay": 0.0},
        },
        "schedule": {
            "constant": {},
            "plateau": {"factor": 0.5, "patience": 150, "threshold": 1e-4, "cooldown": 0},
            "cosine": {"warmup": 0.04, "final": 0.01},
        },
    },
}


class Model(Section):
    """The network."""

    kind: Literal["hourglass", "projection"] = "projection"
    activation: Literal["relu", "gelu"] = "gelu"
    noise_level: bool = True  # the network is told the noise level of each spectrum
    skip: Literal["none", "wiener"] = "wiener"  # a linear filter that the network corrects
    # hourglass: fully connected, widths given to the bottleneck and mirrored after it
    widths: Annotated[tuple[PositiveInt, ...], Field(min_length=2)] | None = None
    input: Literal["flux", "standardized"] | None = None
    output: Literal["sigmoid", "linear"] | None = None
    # projection: a residual network between coefficients of a fixed basis
    rank: PositiveInt | None = None
    hidden: PositiveInt | None = None
    blocks: PositiveInt | None = None

    @model_validator(mode="after")
    def _check(self) -> "Model":
        _refuse_idle("model", self)
        ends = (self.input, self.output)
        if (
            self.kind == "hourglass"
            and self.skip == "wiener"
            and ends != ("standardized", "linear")
        ):
            raise ValueError(
                "skip = 'wiener' acts only with input = 'standardized' and output = 'linear'; "
                "set both or skip = 'none'"
            )
        return self


class Augment(Section):
    """What is done to a clean spectrum beside its noise, at every step (paper, section 3.3)."""

    calibration: Literal["walk", "none"] = "walk"  # a low-passed random walk, or no error
    calibration_max: Fraction | None = None  # largest relative error
    calibration_width: Annotated[float, Field(gt=0.01, le=1.0)] | None = None  # FWHM / range
    calibration_law: Literal["uniform", "fixed"] | None = None  # amplitude: U(0, max) or max
    calibration_mean_removed: bool | None = None
    scale_sigma: Annotated[float, Field(ge=0.0, le=0.2)] = 0.01  # paper prints N(1, 1.01)
    offset_sigma: NonNegativeFloat = 0.01  # of the normalised flux
    target: Literal["augmented", "original"] = "augmented"  # what the network should return

    @model_validator(mode="after")
    def _check(self) -> "Augment":
        _refuse_idle("augment", self)
        return self


class Train(Section):
    """The optimisation and where it runs."""

    recipe: Recipe = "B"
    ranks: PositiveInt | None = None  # processes; None: one per GPU, else per core up to 4
    threads: PositiveInt | None = None  # per rank on the CPU; None: the cores shared out
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seconds: PositiveFloat | None = None  # wall-clock budget, set-up included; None: `epochs`
    epochs: PositiveInt = 100  # at most
    batch_size: PositiveInt = 256  # of all ranks together
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    optimizer: Literal["sgd", "adamw"] = "adamw"
    lr: PositiveFloat = 1e-3
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    betas: tuple[Fraction, Fraction] | None = None
    weight_decay: NonNegativeFloat | None = None
    schedule: Literal["constant", "plateau", "cosine"] = "cosine"
    factor: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None  # of lr, at a plateau
    patience: PositiveInt | None = None  # epochs without improvement
    threshold: NonNegativeFloat | None = None  # relative improvement that counts
    cooldown: Annotated[int, Field(ge=0)] | None = None  # epochs after a change
    warmup: Fraction | None = None  # share of the run
    final: Fraction | None = None  # of lr, at the end
    interval: PositiveInt = 1  # epochs between validations, log lines and checkpoints
    validation_spectra: PositiveInt = 2048  # at most, of the validation split
    join_timeout_s: PositiveFloat = 60.0  # for all ranks to appear
    runs: str | None = None  # folder of the runs; None: <storage.root>/runs

    @model_validator(mode="after")
    def _check(self) -> "Train":
        _refuse_idle("train", self)
        if self.schedule == "plateau" and self.interval != 1:
            raise ValueError(
                f"schedule = 'plateau' counts epochs and needs interval = 1, not {self.interval}"
            )
        return self


class Evaluate(Section):
    """How a trained network and the baselines are judged."""

    split: Literal["validation", "test"] = "validation"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1  # of the frozen noise and augmentation
    spectra: PositiveInt | None = None  # the first so many; None: all
    smoothing_sigma: PositiveFloat = 2.0  # Gaussian, pixels
    wiener_rank: PositiveInt = 512  # components of the Wiener baseline
    flux_floor: Fraction = 0.02  # of the median flux, below which R divides by the floor
    example_snr: PositiveFloat = 10.0  # of the spectrum drawn in the report


class TrainingConfig(SimulationConfig):
    """All sections that shape a dataset, a run and its evaluation."""

    model: Model
    augment: Augment
    train: Train
    evaluate: Evaluate = Evaluate()

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, tables: Any) -> Any:
        return lay_on_recipe(tables) if isinstance(tables, Mapping) else tables


def load_config(source: str | Path, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Return the sections of a preset (by name) or TOML file, laid on its recipe.

    overrides: `section.key=value` each. Sections of the layer above are ignored.
    Raises InputError for unknown keys, values out of bounds and keys without effect.
    """
    tables = lay_on_recipe(read_tables(source, overrides))
    own = {name: table for name, table in tables.items() if name not in FOREIGN_SECTIONS}
    return validate(TrainingConfig, own, f"config {source}")


def lay_on_recipe(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables completed by the recipe that `train.recipe` names; idempotent.

    Keys in the tables win. A recipe's key that cannot act in the mode they select is left out; one
    of theirs is refused with InputError.
    """
    given = {name: _plain(table) for name, table in tables.items()}
    recipe = given.get("train", {}).get("recipe", "B")
    if recipe not in RECIPES:
        raise InputError(f"train.recipe = {recipe!r}: known recipes are {', '.join(RECIPES)}")
    shipped = read_recipe(recipe)
    optimizer = given.get("train", {}).get("optimizer", shipped["train"]["optimizer"])
    if optimizer != shipped["train"]["optimizer"] and "lr" not in given["train"]:
        raise InputError(
            f"train.optimizer = {optimizer!r} is not recipe {recipe}'s, whose train.lr = "
            f"{shipped['train']['lr']:g} does not fit it; set train.lr too"
        )
    for section in RECIPE_SECTIONS:
        given[section] = _merge(section, shipped[section], given.get(section, {}))
    return given


def read_recipe(name: str) -> dict[str, dict[str, Any]]:
    """Return the tables of a shipped recipe."""
    text = (resources.files("trainlib") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _plain(table: Any) -> Any:
    return table.model_dump(exclude_none=True) if isinstance(table, Section) else dict(table)


def _merge(section: str, recipe: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    merged = recipe | given
    for selector, choices in MODES[section].items():
        chosen = merged.get(selector)
        for mode, keys in choices.items():
            for key, default in keys.items():
                if mode == chosen:
                    merged.setdefault(key, default)
                elif key in given and key not in choices.get(str(chosen), {}):
                    raise InputError(_idle(section, key, selector, mode, str(chosen)))
                elif key not in choices.get(str(chosen), {}):
                    merged.pop(key, None)
    return merged


def _refuse_idle(section: str, table: Section) -> None:
    for selector, choices in MODES[section].items():
        chosen = getattr(table, selector)
        for mode, keys in choices.items():
            for key in keys:
                value = getattr(table, key)
                if mode == chosen and value is None:
                    raise ValueError(f"{key} is needed with {selector} = {mode!r}")
                if mode != chosen and key not in choices[chosen] and value is not None:
                    raise ValueError(_idle(section, key, selector, mode, chosen))


def _idle(section: str, key: str, selector: str, mode: str, chosen: str) -> str:
    return (
        f"{section}.{key} acts only with {section}.{selector} = {mode!r}, which is {chosen!r} "
        f"here; remove it or change {section}.{selector}"
    )
