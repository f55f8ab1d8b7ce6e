"""What the choices of a run are worth: the same training with one thing otherwise, all compared.

Each variant is an ordinary run with the same budget. All are tested on the same noisy spectra, of
stars that none was trained on, and of some whose surroundings were withheld from one of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from simlib.artifact import Record, read_record, write_record
from simlib.errors import InputError
from simlib.fingerprint import plain
from simlib.location import Location, Place
from trainlib.config import TrainingConfig, read_recipe
from trainlib.evaluation.circumstances import AS_TRAINED, Circumstance
from trainlib.evaluation.generalisation import OnSpectra
from trainlib.evaluation.generalise import tested_on
from trainlib.evaluation.gradients import FirstLayer, first_layer
from trainlib.evaluation.trained import load_trained

ABLATION = "ablation.json"
USUAL = "as configured"
_NARROWER = 8  # of the widths of the paper's network
_RECIPE = ("model", "augment", "train")  # sections that a recipe gives
_OWN = ("cells", "threads")  # of the stellar grid, that may be withheld


@dataclass(frozen=True)
class Variant:
    """A training with one thing otherwise. changes: of the config, by `section.key`.

    with_recipe: another one, whose values take the place of the run's.
    """

    name: str
    text: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    with_recipe: str | None = None

    def tables(self, config: TrainingConfig, minutes: float, root: Location) -> dict[str, Any]:
        """Return the tables of its config, for one core and so many minutes at most.

        Of a dataset of its own name, whose rows are computed as they are needed. root: of it all.
        """
        tables: dict[str, Any] = plain(config.model_dump(exclude_none=True))
        if self.with_recipe:
            tables |= {name: {} for name in _RECIPE} | {"train": {"recipe": self.with_recipe}}
        mode = config.dataset.mode if config.dataset.mode == "endless" else "virtual"
        budget = {"seconds": 60.0 * minutes, "ranks": 1, "threads": 1, "device": "cpu"}
        tables["train"] |= budget
        tables["train"].pop("runs", None)
        tables["storage"] |= {"root": root.url, "options": root.options}
        tables["dataset"] |= {"name": f"{config.dataset.name}-ablation", "mode": mode}
        for leaf, value in self.changes.items():
            section, key = leaf.split(".")
            tables[section][key] = value
        return tables


def variants(config: TrainingConfig, pixels: int) -> list[Variant]:
    """Return what a run is compared with; the first is itself, trained as long as the others."""
    loss = "mae" if config.train.loss == "rmse" else "rmse"
    words = {"mae": "mean absolute error", "rmse": "root mean square error"}
    layers = read_recipe("A")["model"]["widths"][1:]
    widths = [pixels, *(max(1, width // _NARROWER) for width in layers)]
    return [
        Variant(USUAL, "as the run, for as long as the others"),
        Variant(loss, f"the {words[loss]} is minimised", {"train.loss": loss}),
        *(
            Variant(f"without {part}", f"some {part} of the stellar grid are withheld",
                    {"stellar.withheld": part, "stellar.withheld_only": False})
            for part in _OWN
        ),
        Variant("recipe A", f"the paper's network, its layers {_NARROWER} times narrower",
                {"model.widths": widths,
                 "train.validation_spectra": config.train.validation_spectra}, with_recipe="A"),
    ]  # fmt: skip


def kinds() -> list[Circumstance]:
    """Return what all are tested on."""
    return [
        Circumstance(AS_TRAINED, "other stars and conditions, drawn as those of the run"),
        *(
            Circumstance(f"withheld {part}", f"in the {part} that are withheld",
                         {"stellar.withheld": part, "stellar.withheld_only": True})
            for part in _OWN
        ),
    ]  # fmt: skip


def bears_on(name: str) -> str:
    """Return the kind of spectra on which a variant, by its name, may differ from the run."""
    part = name.removeprefix("without ")
    return f"withheld {part}" if part in _OWN else AS_TRAINED


class Ablated(BaseModel):
    """A variant, how it was trained, and what it makes of each kind of spectra.

    reason: why it could not be trained. first_layer: of the paper's network, its gradients.
    """

    model_config = ConfigDict(frozen=True, strict=True)
    name: str
    text: str
    run: str = ""
    epochs: int = 0
    samples: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    reason: str = ""
    tests: tuple[OnSpectra, ...] = ()
    first_layer: FirstLayer | None = None


class Ablation(Record):
    """All that was trained and tested so far, `ablation.json`. minutes: of one core, for each."""

    remedy: ClassVar[str] = "remove it and run `specdenoise ablate` again: what is trained stays"
    minutes: float
    spectra: int
    rows: tuple[Ablated, ...]


def read_ablation(run: Place) -> Ablation | None:
    """Return what is kept in a run; None where nothing is, or it is damaged."""
    try:
        return read_record(Location.of(run) / ABLATION, Ablation)
    except InputError:  # made again when it is asked for
        return None


Train = Callable[[dict[str, Any]], Location]  # tables of a config -> the finished run


def ablate(
    run: Location, config: TrainingConfig, pixels: int, minutes: float, spectra: int,
    root: Location, train: Train,
) -> Ablation:  # fmt: skip
    """Train and test every variant as far as it is not, keep what was found in the run, return it.

    train: returns the run of a config, trained where it is not yet; a variant for which it raises
    InputError is told with the reason, the first one apart.
    """
    known = read_ablation(run)
    found = {test.identity: test for row in (known.rows if known else ()) for test in row.tests}
    if known and (known.minutes, known.spectra) != (minutes, spectra):
        known = None
    rows: list[Ablated] = []
    usual: Location | None = None
    for variant in variants(config, pixels):
        row = Ablated(name=variant.name, text=variant.text)
        try:
            place = train(variant.tables(config, minutes, root))
        except InputError as error:
            if usual is None:
                raise
            rows.append(row.model_copy(update={"reason": str(error)}))
            continue
        usual = usual or place
        row = row.model_copy(update=_told(place))
        for tests in _so_far(tested_on(place, usual, spectra, kinds(), found)):
            row = row.model_copy(update={"tests": tests})
            _keep(run, minutes, spectra, [*rows, row], known)
        rows.append(row)
    return _keep(run, minutes, spectra, rows, None)


def _told(place: Location) -> dict[str, Any]:
    """Return what is told of a finished run, and of its first layer where it is the paper's."""
    trained = load_trained(place)
    state = trained.state
    return {
        "run": place.name,
        "epochs": state.epoch,
        "samples": state.samples,
        "seconds": state.seconds,
        "cpu_seconds": state.cpu_seconds,
        "first_layer": first_layer(trained),
    }


def _so_far(tests: Iterable[OnSpectra]) -> Iterable[tuple[OnSpectra, ...]]:
    done: tuple[OnSpectra, ...] = ()
    for test in tests:
        done = (*done, test)
        yield done


def _keep(
    run: Location, minutes: float, spectra: int, rows: Sequence[Ablated], known: Ablation | None
) -> Ablation:
    """Write what there is; of what was known before, the rows that were not come to yet stay."""
    names = {row.name for row in rows}
    later = [row for row in (known.rows if known else ()) if row.name not in names]
    record = Ablation(minutes=minutes, spectra=spectra, rows=(*rows, *later))
    write_record(run / ABLATION, record)
    return record
