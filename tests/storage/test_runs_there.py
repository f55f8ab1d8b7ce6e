"""A run behind a URL: trained in a folder of this machine, sent, gone on with anywhere, judged."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from flows.lineage import lineage
from simlib import cache, retry
from simlib.artifact import write_bytes, write_files
from simlib.errors import InputError
from simlib.location import Location
from tests.storage.object_store import Bucket
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import losses, toy_config, train_here
from trainlib import runs
from trainlib.config import TrainingConfig
from trainlib.evaluation.evaluate import evaluate
from trainlib.evaluation.report import write_report
from trainlib.evaluation.results import RESULTS, read_results
from trainlib.training import train as loop
from trainlib.training.data import dataset_identity
from trainlib.training.distributed import Ranks
from trainlib.training.launch import prepare_run
from trainlib.training.mirror import Mirror, mirrored
from trainlib.training.seal import sealed_digest

ALONE = Ranks(0, 1, torch.device("cpu"))


class Killed(BaseException):
    """The process ends."""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(write_toy(tmp_path_factory.mktemp("toy")))


@pytest.fixture(scope="module")
def whole(toy: Path) -> Path:
    """Return the same run, trained on a disk and never broken off."""
    return train_here(toy_config(toy.parent), str(toy), toy.parent / "whole")


@pytest.fixture
def there(
    bucket: Bucket, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[TrainingConfig, Location, Location]:
    """Return a config that keeps its runs behind a URL, its dataset, and its run."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "this machine"))
    config = toy_config(bucket.url, options=bucket.options)  # type: ignore[arg-type]
    dataset = Location.of(toy, bucket.options)
    return config, dataset, runs.run_directory(config, dataset_identity(dataset))


@contextmanager
def training(config: TrainingConfig, dataset: Location, run: Location) -> Iterator[Mirror]:
    """Train as the launcher does, without processes; what comes in between may send."""
    identity = dataset_identity(dataset)
    with mirrored(run, runs.run_fingerprint(config, identity)) as mirror:
        prepare_run(mirror.folder, config, dataset, identity, place=run)
        mirror.send()
        yield mirror
        loop.train_rank(mirror.folder, config, ALONE, run)
        mirror.send()


def killed_after(saves: int, monkeypatch: pytest.MonkeyPatch) -> None:
    good, done = loop.save_state, []

    def save(*arguments: object) -> None:
        good(*arguments)  # type: ignore[arg-type]
        done.append(1)
        if len(done) == saves:
            raise Killed

    monkeypatch.setattr(loop, "save_state", save)


def test_a_run_there_is_the_run_that_it_would_be_here(
    there: tuple[TrainingConfig, Location, Location], whole: Path
) -> None:
    config, dataset, run = there
    with training(config, dataset, run) as mirror:
        assert runs.find_manifest(run) is not None  # of a run that has begun
    assert not mirror.folder.exists()
    assert losses(run) == losses(whole)  # type: ignore[arg-type]
    manifest = runs.read_manifest(run)
    assert manifest.outcome is not None and manifest.outcome.is_finished


def test_a_store_that_is_busy_in_the_end_is_told_of_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retry, "sleep", lambda seconds: None)
    mirror = Mirror(Location.of("memory://runs/mine"), tmp_path, threading.Event())
    errors = [OSError("busy")]
    monkeypatch.setattr(mirror, "send", lambda: [raise_(errors.pop()) for _ in errors[:1]])
    with mirror.sending():
        assert mirror.folder == tmp_path
    assert caplog.messages == ["the run memory://runs/mine: busy; once more in 0.5 s"]


def test_a_store_that_does_not_answer_is_asked_more_and_more_seldom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pauses: list[float] = []

    class Ended:
        def wait(self, pause: float) -> bool:
            pauses.append(pause)
            return len(pauses) == 11

    mirror = Mirror(Location.of("memory://runs/mine"), tmp_path, threading.Event())
    errors = iter([*(OSError("gone") for _ in range(7)), None, OSError("again"), None])
    monkeypatch.setattr(mirror, "send", lambda: raise_(e) if (e := next(errors)) else None)
    mirror._send_until(Ended())  # type: ignore[arg-type]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 1.0, 2.0, 1.0]
    told = [f"{mirror.run} was not sent: gone; once more in {pause:g} s" for pause in pauses[1:8]]
    assert caplog.messages == [*told, f"{mirror.run} was not sent: again; once more in 2 s"]


def raise_(error: Exception) -> None:
    raise error


@pytest.mark.slow
def test_a_run_there_is_judged_shown_and_traced(
    there: tuple[TrainingConfig, Location, Location], bucket: Bucket, toy: Path
) -> None:
    config, _, run = there
    files = {str(at.relative_to(toy)): at.read_bytes() for at in toy.rglob("*") if at.is_file()}
    dataset = bucket.place / "datasets/toy.zarr"
    write_files(dataset, files)
    with training(config, dataset, run):
        pass
    assert runs.read_manifest(run).dataset.place == "../../datasets/toy.zarr"
    summary = evaluate(run)
    assert read_results(run).evaluation.summary == summary
    page = write_report(run)
    assert page == run / "report.html"
    assert "<html" in (page.read_bytes() or b"").decode()
    assert len((run / "figures").names()) >= 11
    step, kinds = lineage(f"{run}/report.html", run.parent.parent), []
    while step.parents:
        assert step.state == "there" and step.place.startswith("s3://")
        kinds.append(step.kind)
        step = step.parents[0]
    assert [*kinds, step.kind, step.state] == [
        "report", "results", "checkpoint", "run", "dataset", "there",
    ]  # fmt: skip
    (run / RESULTS / "zarr.json").remove()  # what a kill leaves
    with pytest.raises(InputError, match="run `specdenoise evaluate"):
        read_results(run)
    assert evaluate(run) == summary


@pytest.mark.parametrize("is_here", [True, False])
def test_a_killed_run_goes_on_from_the_newest_checkpoint_there_is(
    is_here: bool, there: tuple[TrainingConfig, Location, Location], whole: Path,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    """Here one is that was never sent; on another machine there is one of an interval before."""
    config, dataset, run = there
    with monkeypatch.context() as patched:
        killed_after(1, patched)
        with pytest.raises(Killed), training(config, dataset, run):
            pass
    folder = next((tmp_path / "this machine/runs").iterdir())
    Mirror(run, folder, there_is_no_other()).send()
    with monkeypatch.context() as patched:
        killed_after(1, patched)
        with pytest.raises(Killed), training(config, dataset, run):
            pass
    assert sealed_digest(run / runs.CHECKPOINT) != sealed_digest(folder / runs.CHECKPOINT)
    if not is_here:
        monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "another machine"))
    intervals: list[int] = []
    good = loop.save_state
    monkeypatch.setattr(loop, "save_state", lambda *a: (intervals.append(1), good(*a)))
    with training(config, dataset, run):
        pass
    assert len(intervals) == (1 if is_here else 2)
    assert losses(run) == losses(whole)  # type: ignore[arg-type]


def there_is_no_other() -> threading.Event:
    return threading.Event()


def test_a_run_that_was_removed_begins_anew(
    there: tuple[TrainingConfig, Location, Location], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, dataset, run = there
    with monkeypatch.context() as patched:
        killed_after(2, patched)
        with pytest.raises(Killed), training(config, dataset, run):
            pass
    run.remove()
    with training(config, dataset, run) as mirror:
        assert not (mirror.folder / runs.CHECKPOINT).exists()


def test_a_damaged_checkpoint_there_is_told_by_its_place_there(
    there: tuple[TrainingConfig, Location, Location],
) -> None:
    config, dataset, run = there
    with training(config, dataset, run):
        pass
    write_bytes(run / runs.CHECKPOINT, b"")
    with pytest.raises(InputError, match="s3://.*last.pt is not a checkpoint"), training(*there):
        pass


def test_a_run_is_trained_by_one_at_a_time(
    there: tuple[TrainingConfig, Location, Location],
) -> None:
    run = there[2]
    with mirrored(run, "x") as mirror:
        with pytest.raises(InputError, match="is held by process"), mirrored(run, "x"):
            pass
        mirror.is_lost.set()
        (mirror.folder / runs.CONFIG).write_text("")
        with pytest.raises(InputError, match="was taken over by another process"):
            mirror.send()
    assert not (run / runs.CONFIG).exists()
