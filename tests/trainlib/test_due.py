"""What is to be made again of a run, and for which of its inputs."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from simlib.dataset.build import build_dataset
from simlib.etc.grid.store import ensure_terms_grid
from simlib.location import Location
from tests.faults.fuzz.store_kinds import few_terms
from tests.simlib.dataset.toy_build import toy_config as simulated
from tests.trainlib.judged_runs import page_without_figures
from tests.trainlib.training_runs import SMALL, train_here
from trainlib import runs
from trainlib.config import TrainingConfig
from trainlib.evaluation import due
from trainlib.evaluation.due import evaluation_due, report_due, training_due
from trainlib.evaluation.evaluate import evaluate
from trainlib.release import releases_in


def config_at(root: Path, **sections: dict[str, object]) -> TrainingConfig:
    size = ("dataset.n_train=60", "dataset.n_validation=24", "dataset.mode=virtual")
    simulation = simulated(root, *size, "terms.tolerance=9", *few_terms(root))
    train = {"epochs": 1, "batch_size": 30, "threads": 1, "device": "cpu"}
    tables = simulation.model_dump() | {"model": SMALL, "train": train}
    for name, changed in sections.items():
        tables[name] = tables.get(name, {}) | changed
    return TrainingConfig.model_validate(tables)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Location]:
    """Return a root with a dataset, a run on it, judged and reported."""
    root = tmp_path_factory.mktemp("whole")
    config = config_at(root)
    folder = build_dataset(config, ensure_terms_grid(config), client=None)  # type: ignore[arg-type]
    run = train_here(config, str(folder), runs.run_directory(config, folder.name).path)
    evaluate(str(run), section=config.evaluate)
    page_without_figures(str(run))
    return root, folder


@pytest.fixture
def copied(whole: tuple[Path, Location], tmp_path: Path) -> tuple[Path, Location]:
    root, folder = whole
    copy = Path(shutil.copytree(root, tmp_path / "root"))
    config, moved = config_at(copy), Location.of(copy / folder.path.relative_to(root))
    assert states(config, moved) == [True, False, False]  # its config names the old root
    runs.write_config(runs.run_directory(config, moved.name).path, config)
    return copy, moved


def states(config: TrainingConfig, folder: Location) -> list[bool]:
    return [one(config, folder).is_due for one in (training_due, evaluation_due, report_due)]


@pytest.mark.slow  # through the verbs: flows/test_refresh.py
def test_nothing_is_due_of_what_was_done(whole: tuple[Path, Location]) -> None:
    root, folder = whole
    assert states(config_at(root), folder) == [False, False, False]
    circumstances = config_at(root, train={"ranks": 1, "threads": 2})
    assert training_due(circumstances, folder).is_due  # its records say otherwise
    assert states(circumstances, folder)[1:] == [False, False]


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [("train", "lr", 0.5), ("model", "hidden", 8), ("augment", "scale_sigma", 0.125)],
)
def test_the_input_that_moved_is_named(
    section: str, key: str, value: object, whole: tuple[Path, Location]
) -> None:
    root, folder = whole
    old = config_at(root).leaves(section)[f"{section}.{key}"]
    due = training_due(config_at(root, **{section: {key: value}}), folder)
    assert due.is_due and "another one was trained last" in due.reason
    assert [(c.section, c.name, c.old, c.new) for c in due.changes] == [
        (section, f"{section}.{key}", old, value)
    ]
    assert due.seconds is not None and due.seconds > 0


def test_another_dataset_is_the_change(whole: tuple[Path, Location]) -> None:
    root, folder = whole
    due = training_due(config_at(root), folder.parent / ("f" * 16))
    assert [(c.name, c.old, c.new) for c in due.changes] == [("fingerprint", folder.name, "f" * 16)]


def test_how_it_is_judged_makes_the_judgement_due(copied: tuple[Path, Location]) -> None:
    root, folder = copied
    config = config_at(root, evaluate={"example_snr": 33.0})
    assert states(config, folder) == [True, True, False]  # its config is written anew
    assert training_due(config, folder).seconds == 0.0


def test_what_is_gone_or_damaged_is_due(copied: tuple[Path, Location]) -> None:
    root, folder = copied
    config = config_at(root)
    run = runs.run_directory(config, folder.name).path
    page = (run / "report.html").read_text()
    (run / "report.html").write_text(page.replace('content="', 'content="0', 3))
    assert states(config, folder) == [False, False, True]
    (run / "report.html").unlink()
    assert states(config, folder) == [False, False, True]
    checksum = next((run / "results.zarr").rglob("c/0*"))
    checksum.write_bytes(b"")
    assert states(config, folder) == [False, True, True]
    (run / "checkpoints/last.pt").unlink()
    assert states(config, folder) == [True, True, True]
    assert training_due(config, folder).reason == "was begun"
    (run / "manifest.json").write_text("{}")
    assert "none of this name" in training_due(config, folder).reason


def test_a_checkpoint_of_other_bytes_is_judged_again(copied: tuple[Path, Location]) -> None:
    root, folder = copied
    config = config_at(root)
    checkpoint = runs.run_directory(config, folder.name).path / "checkpoints/last.pt"
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[:-1] + (b"0" if whole[-1:] != b"0" else b"1"))
    assert states(config, folder) == [False, True, False]
    for short in (whole[:20], whole[:-1]):
        checkpoint.write_bytes(short)
        assert "no network" in evaluation_due(config, folder).reason


OF_RUN = SimpleNamespace(fingerprint="mine")
NONE_YET, NONE_RELEASED = "nothing is judged yet", "nothing of this name is released"


@pytest.mark.parametrize(
    ("changes", "is_due", "reason"),
    [
        ({"_manifest": None}, True, NONE_YET),
        ({"_evaluated": None}, True, NONE_YET),
        ({"read_release": None}, True, NONE_RELEASED),
        ({}, True, "release 7 is of another run"),
        ({"read_release": SimpleNamespace(number=7, run=OF_RUN)}, False, "release 7 is it"),
        ({"read_release": SimpleNamespace(number=7, run=None)}, True, "release 7 is of another"),
        ({"released_runs": {"mine"}}, False, "was released, and taken back"),
        ({"known_judgement": SimpleNamespace(passes=False, reason="worse")}, False,
         "does not pass the gate: worse"),
        ({"known_judgement": SimpleNamespace(passes=True, reason="")}, True, "release 7 is of an"),
    ],
)  # fmt: skip
def test_a_release_is_due_of_what_is_judged_new_and_not_refused(
    changes: dict[str, Any], is_due: bool, reason: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    config, asked = config_at(tmp_path), list[tuple[Any, ...]]()
    usual = {
        "_manifest": OF_RUN, "_evaluated": SimpleNamespace(fingerprint="judged"),
        "read_release": SimpleNamespace(number=7, run=SimpleNamespace(fingerprint="old")),
        "released_runs": {"old"}, "known_judgement": None,
    }  # fmt: skip
    for name, value in (usual | changes).items():
        monkeypatch.setattr(due, name, lambda *given, name=name, value=value: asked.append(
            (name, *given)) or value)  # fmt: skip
    gate: Any = "the gate"
    told = due.release_due(config, gate, Location.of(tmp_path / "abc"))
    assert (told.stage, told.is_due) == ("release", is_due) and told.reason.startswith(reason)
    assert told.place == str(releases_in(config.root, config.dataset.name))
    judged = [given for name, *given in asked if name == "known_judgement"]
    before = "" if getattr(changes.get("read_release"), "run", 1) is None else "old"
    directory = runs.run_directory(config, "abc")
    assert judged in ([], [[directory, "judged", before, gate]])
    assert bool(judged) == (reason.startswith(("release 7 is of", "does not")))
