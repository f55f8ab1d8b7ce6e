"""The training's config sections: the network, the augmentation, the optimisation, the evaluation.

A recipe ("A": the paper's, "B": the fast one, "C": the one that knows of Doppler shifts) gives the
values that a file does not. Some keys act only in a certain mode, e.g. `train.momentum` only with
`train.optimizer = "sgd"`: each mode is a class with its own keys and defaults, and such a key given
in another mode is refused.
"""

import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from simlib.config import AbsolutePath, Section, SimulationConfig, models_in, read_tables, validate
from simlib.errors import InputError, shown

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Recipe = Literal["A", "B", "C"]
RECIPES = ("A", "B", "C")
# of the layer above; no part of a run
FOREIGN_SECTIONS = frozenset({"cluster", "gate", "deploy", "launch"})


class _Network(Section):
    activation: Literal["relu", "gelu"] = "gelu"  # between layers


class _Model(_Network):
    noise_level: bool = True  # the network is told the noise level of each spectrum
    skip: Literal["none", "wiener"] = "wiener"  # a linear filter that the network corrects


class HourglassModel(_Model):
    """A fully connected network; widths are given to the bottleneck and mirrored after it."""

    kind: Literal["hourglass"] = "hourglass"  # a network; see the section
    # of the layers from the input to the narrowest
    widths: Annotated[tuple[PositiveInt, ...], Field(min_length=2)] = (4096, 3136, 2176, 1216, 256)
    input: Literal["flux", "standardized"] = "standardized"  # mean 0, scatter 1 per pixel
    output: Literal["sigmoid", "linear"] = "linear"  # of the last layer

    @model_validator(mode="after")
    def _check(self) -> "HourglassModel":
        if self.skip == "wiener" and (self.input, self.output) != ("standardized", "linear"):
            raise ValueError(
                "skip = 'wiener' acts only with input = 'standardized' and output = 'linear'; "
                "set both or skip = 'none'"
            )
        return self


class ProjectionModel(_Model):
    """A residual network between coefficients of a fixed basis."""

    kind: Literal["projection"] = "projection"
    rank: PositiveInt = 512  # components of the basis
    hidden: PositiveInt = 512  # width of a residual block
    blocks: PositiveInt = 3  # residual blocks


class RestFrameModel(_Network):
    """A residual network between coefficients of a basis in the frame in which the star rests."""

    kind: Literal["restframe"] = "restframe"
    rank: PositiveInt = 224  # components of the basis
    hidden: PositiveInt = 384  # width of a residual block
    blocks: PositiveInt = 2  # residual blocks
    steps: Annotated[int, Field(ge=0, le=100)] = 5  # of conjugate gradients before the network
    scan_rank: PositiveInt = 16  # components that the scan for the redshift knows
    passes: PositiveInt = 8  # epochs that go through the same noisy rows, which are costly to make

    @model_validator(mode="after")
    def _check(self) -> "RestFrameModel":
        if self.scan_rank > self.rank:
            raise ValueError(
                f"scan_rank = {self.scan_rank} is more than the {self.rank} components of rank; "
                "lower it or raise rank"
            )
        return self


Model = Annotated[HourglassModel | ProjectionModel | RestFrameModel, Field(discriminator="kind")]


# keys of `augment` that are off at 0, and that no evaluation knows
WHILE_TRAINING = frozenset({"no_data", "cr", "bad_sky", "partial_snr"})


class _Augment(Section):
    scale_sigma: Annotated[float, Field(ge=0.0, le=0.2)] = (
        0.01  # scatter of a factor on the flux; the paper prints N(1, 1.01)
    )
    offset_sigma: NonNegativeFloat = 0.01  # scatter of an offset, of the normalised flux
    target: Literal["augmented", "original"] = "augmented"  # what the network should return
    # masked in gaps: up to this share of the pixels, in half of the spectra
    no_data: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    # masked cosmic rays: up to so many, of one to three pixels, in half of the spectra
    cr: Annotated[int, Field(ge=0, le=100)] = 0
    # masked lines of the sky: up to this share of the pixels, the noisiest, in half of the spectra
    bad_sky: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    # half of the spectra have fewer exposures, down to this S/N; 0: none have
    partial_snr: NonNegativeFloat = 0.0


class PlainAugment(_Augment):
    """What is done to a clean spectrum beside its noise, at every step (paper, section 3.3)."""

    calibration: Literal["none"] = "none"  # error of the flux calibration: none, or a random walk


class WalkAugment(_Augment):
    """The same and an error of the flux calibration, a low-passed random walk."""

    calibration: Literal["walk"] = "walk"
    calibration_max: Fraction = 0.02  # largest relative error
    calibration_width: Annotated[float, Field(gt=0.01, le=1.0)] = 0.12  # FWHM / range
    calibration_law: Literal["uniform", "fixed"] = "uniform"  # amplitude: U(0, max) or max
    calibration_mean_removed: bool = True  # the error is about zero


Augment = Annotated[PlainAugment | WalkAugment, Field(discriminator="calibration")]


class _Train(Section):
    """How a network is trained: how long, by how many processes, with what steps."""

    recipe: Recipe = "B"  # gives all of model, augment and train that is not set
    ranks: PositiveInt | None = None  # processes; None: one per GPU, else per core up to 4
    threads: PositiveInt | None = None  # per rank on the CPU; None: the cores shared out
    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: GPUs where there are any
    seconds: PositiveFloat | None = None  # wall-clock budget, set-up included; None: `epochs`
    epochs: PositiveInt = 100  # at most
    batch_size: PositiveInt = 256  # of all ranks together
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1  # of weights, order, noise and augmentation
    # of a spectrum, the mean of which is minimised: root mean square error, or mean absolute error
    loss: Literal["rmse", "mae"] = "rmse"
    lr: PositiveFloat = 1e-3  # learning rate, the largest of a schedule
    interval: PositiveInt = 1  # epochs between validations, log lines and checkpoints
    validation_spectra: PositiveInt = 2048  # at most, of the validation split
    join_timeout_s: PositiveFloat = 60.0  # for all ranks to appear
    memory_gb: PositiveFloat | None = None  # of spectra, at most; None: half of what is free
    restarts: Annotated[int, Field(ge=0, le=100)] = 3  # of all ranks, where one is lost
    keep: Annotated[int, Field(ge=1, le=100)] = 2  # the last so many checkpoints, beside the best
    tensorboard: bool = False  # event files in the run's folder tensorboard; needs tensorboardX
    # time a large product first, and tell what share of that speed the network's products reach
    # (MFU); without it the figure of the device's data sheet is taken, where it is known
    measure_peak: bool = False
    # of products inside the network; bfloat16 where the device is fast in it, else float32 too
    precision: Literal["float32", "bfloat16"] = "float32"
    # torch.compile: needs a C++ compiler at hand; graphs: its kernels in CUDA graphs, on GPUs
    compile: Literal["none", "kernels", "graphs"] = "none"
    runs: AbsolutePath | None = None  # folder of the runs; None: <storage.root>/runs


class Sgd(_Train):
    """Plain gradient descent."""

    optimizer: Literal["sgd"] = "sgd"  # plain gradient descent, or AdamW
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0  # share of the last step


class AdamW(_Train):
    """Gradient descent in units of its own recent size."""

    optimizer: Literal["adamw"] = "adamw"
    betas: tuple[Fraction, Fraction] = (0.9, 0.98)  # memory of the mean and of the square
    weight_decay: NonNegativeFloat = 0.0  # decoupled from the gradient


class Constant(_Train):
    """A learning rate that stays."""

    schedule: Literal["constant"] = "constant"  # of the learning rate


class Plateau(_Train):
    """A learning rate that falls where the validation loss does not; it counts epochs."""

    schedule: Literal["plateau"] = "plateau"
    factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5  # of lr, at a plateau
    patience: PositiveInt = 150  # epochs without improvement
    threshold: NonNegativeFloat = 1e-4  # relative improvement that counts
    cooldown: Annotated[int, Field(ge=0)] = 0  # epochs after a change

    @model_validator(mode="after")
    def _check(self) -> "Plateau":
        if self.interval != 1:
            raise ValueError(
                f"schedule = 'plateau' counts epochs and needs interval = 1, not {self.interval}"
            )
        return self


class Cosine(_Train):
    """A learning rate that warms up and falls to the end of the run."""

    schedule: Literal["cosine"] = "cosine"
    warmup: Fraction = 0.04  # share of the run
    final: Fraction = 0.01  # of lr, at the end


class _SgdConstant(Constant, Sgd): ...


class _SgdPlateau(Plateau, Sgd): ...


class _SgdCosine(Cosine, Sgd): ...


class _AdamWConstant(Constant, AdamW): ...


class _AdamWPlateau(Plateau, AdamW): ...


class _AdamWCosine(Cosine, AdamW): ...


_BySchedule = Field(discriminator="schedule")
Train = Annotated[
    Annotated[_SgdConstant | _SgdPlateau | _SgdCosine, _BySchedule]
    | Annotated[_AdamWConstant | _AdamWPlateau | _AdamWCosine, _BySchedule],
    Field(discriminator="optimizer"),
]

# sections that a recipe gives -> their modes, and the keys that select one
MODES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "model": (Model, ("kind",)),
    "augment": (Augment, ("calibration",)),
    "train": (Train, ("optimizer", "schedule")),
}


class Evaluate(Section):
    """How a trained network and the baselines are judged."""

    split: Literal["validation", "test"] = "validation"  # of the dataset, that is judged on
    checkpoint: Literal["last", "best"] = "last"  # best: of the least validation loss
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1  # of the frozen noise and augmentation
    spectra: PositiveInt | None = None  # the first so many; None: all
    smoothing_sigma: PositiveFloat = 2.0  # Gaussian, pixels
    wiener_rank: PositiveInt = 512  # components of the linear baselines, observed and at rest
    flux_floor: Fraction = 0.02  # of the median flux, below which R divides by the floor
    # The first so many are compared with the information limit, which costs some 3 ms each.
    limit_spectra: NonNegativeInt = 2048
    # The first so many are compared with every training star, which costs some 50 ms each.
    template_spectra: NonNegativeInt = 512
    fit_spectra: NonNegativeInt = 0  # the first so many are fitted too, 20 ms each
    # Rows of their own on which errors and limits of verdicts are found, for `denoise` as well.
    trust_spectra: PositiveInt = 12288
    stranger_spectra: NonNegativeInt = 1024  # of each kind that no training star is
    example_snr: PositiveFloat = 10.0  # of the spectrum drawn in the report


class Gate(Section):
    """What a new network has to reach before it takes the place of the released one."""

    margin: NonNegativeFloat = 0.05  # so much larger mean |R| may be in a bin of S/N, relative
    spectra: PositiveInt = 20  # of a bin that is judged, at least


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
    if not all(isinstance(given.setdefault(section, {}), dict) for section in MODES):
        return given  # for the schema to refuse
    recipe = given["train"].get("recipe", "B")
    if recipe not in RECIPES:
        raise InputError(f"train.recipe = {shown(recipe)}: known recipes are {', '.join(RECIPES)}")
    shipped = read_recipe(recipe)
    merged = given | {name: _merge(name, shipped[name], given[name]) for name in MODES}
    optimizer = merged["train"]["optimizer"]
    if optimizer != shipped["train"]["optimizer"] and "lr" not in given["train"]:
        raise InputError(
            f"train.optimizer = {optimizer!r} is not recipe {recipe}'s, whose train.lr = "
            f"{shipped['train']['lr']:g} does not fit it; set train.lr too"
        )
    return merged


def read_recipe(name: str) -> dict[str, dict[str, Any]]:
    """Return the tables of a shipped recipe."""
    text = (resources.files("trainlib") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _plain(table: Any) -> Any:
    if isinstance(table, Section):
        return table.model_dump(exclude_none=True)
    return dict(table) if isinstance(table, Mapping) else table


def _merge(section: str, recipe: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    merged = recipe | given
    modes, selectors = MODES[section]
    for selector in selectors:
        chosen = merged[selector]
        for key in list(merged):
            acts_in = [
                mode.model_fields[selector].default
                for mode in models_in(modes)
                if key in mode.model_fields
            ]
            if not acts_in or chosen in acts_in:
                continue
            if key == selector:
                raise InputError(
                    f"{section}.{key} = {shown(chosen)}: known are {sorted(set(acts_in))}"
                )
            if key in given:
                known = " or ".join(repr(mode) for mode in dict.fromkeys(acts_in))
                raise InputError(
                    f"{section}.{key} acts only with {section}.{selector} = {known}, which "
                    f"is {chosen!r} here; remove it or change {section}.{selector}"
                )
            del merged[key]
    return merged
