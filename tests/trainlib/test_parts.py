"""An evaluation in parts: cut off, gone on with, shared out, damaged; it comes out the same."""

import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from flows import spreading
from flows.cli import run_program
from flows.cluster_config import Cluster
from flows.spreading import spread_over
from simlib.errors import InputError
from simlib.location import Location
from tests.simlib.dataset.toy_build import build
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import toy_config, train_here
from trainlib import runs
from trainlib.config import Evaluate
from trainlib.evaluation import making, parts
from trainlib.evaluation.evaluate import evaluate
from trainlib.evaluation.judging import FIT, FLOOR, JUDGE, LEARN, TEMPLATE, TRY, Judging
from trainlib.evaluation.results import RESULTS, read_results
from trainlib.training.checkpoint import load_checkpoint, save_checkpoint

ROWS = 600  # three batches, the last one not full
Made = list[tuple[str, int, int]]
SECTION = Evaluate(
    limit_spectra=300, template_spectra=20, fit_spectra=10, trust_spectra=300, stranger_spectra=5
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    url = write_toy(folder, train=60, validation=ROWS, pixels=48)
    torch.manual_seed(0)
    model = {"rank": 8, "hidden": 8, "blocks": 1}
    return train_here(toy_config(folder, model, epochs=1), url, folder / "toy-run")


@pytest.fixture(scope="module")
def undisturbed(trained: Path) -> dict[str, Any]:
    return judged(trained)


@pytest.fixture
def run(trained: Path) -> Path:
    """A run that is not judged."""
    shutil.rmtree(trained / RESULTS, ignore_errors=True)
    shutil.rmtree(trained / parts.PARTS, ignore_errors=True)
    return trained


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "BLOCK", parts.BATCH)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    """What is made, in order."""
    seen: Made = []
    good = Judging._made

    def watch(self: Judging, *what: Any) -> parts.Arrays:
        seen.append(what)
        return good(self, *what)

    monkeypatch.setattr(Judging, "_made", watch)
    yield seen


def bits(run: Path) -> dict[str, Any]:
    """All that is in the results but for times, values as bytes."""
    found = read_results(run)
    groups = {name: getattr(found, name) for name in ("on", "off", "examples", "trust")}
    told = {
        (group, str(name)): (one.dims, str(one.dtype), one.values.tobytes()
                             if one.dtype != object else one.values.tolist())
        for group, part in groups.items() for name, one in part.variables.items()
        if name != "cpu_ms"
    }  # fmt: skip
    summary = dict(found.evaluation.summary)
    for start in summary.get("fit", {"starts": {}})["starts"].values():
        for name in [name for name in start if name.endswith("ms")]:
            del start[name]
    return told | {"summary": summary}


def judged(run: Path, **more: Any) -> dict[str, Any]:
    evaluate(run, **more)
    return bits(run)


def cut_off(run: Path, after: int, monkeypatch: pytest.MonkeyPatch, **more: Any) -> list[Path]:
    """Cut an evaluation off after some parts; return what it left."""
    good, left = Judging._made, iter(range(after))

    def stop(self: Judging, *what: Any) -> parts.Arrays:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return good(self, *what)

    with monkeypatch.context() as patch:
        patch.setattr(Judging, "_made", stop)
        with pytest.raises(KeyboardInterrupt):
            evaluate(run, **more)
    return sorted((run / parts.PARTS).rglob("*.part"))


def test_what_was_cut_off_goes_on_with_what_is_there(
    run: Path, undisturbed: dict[str, Any], made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = cut_off(run, 2, monkeypatch)
    assert len(kept) == 2 and not (run / RESULTS).exists()
    before = len(made)
    assert judged(run) == undisturbed
    assert len(made) - before == 2 == len({what for what in made[before:] if what[0] == JUDGE})
    assert not (run / parts.PARTS).exists()


def test_the_size_of_blocks_and_their_order_change_no_value(
    run: Path, undisturbed: dict[str, Any], made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "BLOCK", 2 * parts.BATCH)
    monkeypatch.setattr(parts.random, "shuffle", lambda tasks: tasks.reverse())
    assert judged(run) == undisturbed
    assert [start for kind, start, _ in made if kind == JUDGE] == [2 * parts.BATCH, 0]


def damage(path: Path, how: str, other: Path) -> None:
    data = bytearray(path.read_bytes())
    if how == "flipped":
        data[len(data) // 2] ^= 4
    path.write_bytes({"flipped": data, "cut": data[:-3], "another": other.read_bytes()}[how])


def test_damaged_parts_are_made_again(
    run: Path, undisturbed: dict[str, Any], made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spread(does: parts.Does, tasks: Any, done: Callable[[int], None]) -> None:
        parts.in_turn(does, tasks, done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(run, spread=spread)
    learnt, *kept = sorted((run / parts.PARTS).rglob("*.part"), reverse=True)
    assert learnt.name.startswith(LEARN) and len(kept) == 3
    for path, how in zip(kept, ("flipped", "cut", "another"), strict=True):
        damage(path, how, learnt)
    before = len(made)
    assert judged(run) == undisturbed
    assert [kind for kind, *_ in made[before:]] == [JUDGE] * 3


@pytest.mark.parametrize("other", ["section", "checkpoint", "TRUST_VERSION", "PARTS_VERSION"])
def test_parts_of_another_judgement_are_not_taken(
    other: str, run: Path, made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mine = Path(shutil.copytree(run.parent, tmp_path / "mine")) / run.name
    assert len(cut_off(mine, 3, monkeypatch)) == 3
    before, section = len(made), None
    if other == "section":
        section = Evaluate(smoothing_sigma=3.0)
    elif other.endswith("VERSION"):
        monkeypatch.setattr(f"trainlib.evaluation.evaluate.{other}", 99)
    else:
        state, _ = load_checkpoint(mine / runs.CHECKPOINT, torch.device("cpu"))
        state["model"]["last.1.bias"].add_(0.5)
        save_checkpoint(mine / runs.CHECKPOINT, state)
    assert len(cut_off(mine, 2, monkeypatch, section=section)) == 5
    assert [kind for kind, *_ in made[before:]] == [LEARN, JUDGE]


def test_parts_that_nobody_adds_to_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = (parts.Parts(Location.of(tmp_path), name, 256) for name in ("mine", "other"))
    for one in (mine, other):
        one.write(JUDGE, 0, 9, {"a": np.arange(9)})
    mine.clear()
    assert mine.read(JUDGE, 0, 9) is None and other.read(JUDGE, 0, 9) is not None
    monkeypatch.setattr(parts, "_STALE_S", -1.0)
    mine.clear()
    assert list(tmp_path.iterdir()) == []
    mine.clear()


def test_of_two_evaluations_at_once_the_first_to_end_is_the_result(
    run: Path, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    good, ended = Judging._made, []

    def other_in_between(self: Judging, kind: str, *rows: int) -> parts.Arrays:
        if kind == JUDGE and not ended:
            ended.append("begun")
            ended[:] = [evaluate(run), read_results(run).evaluation]
        return good(self, kind, *rows)

    monkeypatch.setattr(Judging, "_made", other_in_between)
    assert evaluate(run) == ended[0]
    assert read_results(run).evaluation == ended[1] and bits(run) == undisturbed
    assert not (run / parts.PARTS).exists()


def test_a_run_that_is_trained_on_meanwhile_is_not_judged_in_part(run: Path) -> None:
    where = parts.Parts(Location.of(run), "0", parts.BATCH)
    work = Judging(where, Location.of(run), Evaluate(), "of another", {LEARN: 1})
    with pytest.raises(InputError, match="trained further while it was judged.*evaluate` again"):
        pickle.loads(pickle.dumps(work))(LEARN, (0,))


def test_a_disk_that_keeps_nothing_is_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts.Parts, "write", lambda *_: None)
    with pytest.raises(InputError, match="do not read back as they were written.*disk"):
        evaluate(run)


def test_a_reason_speaks_for_all_parts_and_sums_are_added_up() -> None:
    one = {"a": np.arange(3), "n_sum": np.array(2.0)}
    other = {"a": np.arange(2), "n_sum": np.array(5.0)}
    both = parts.joined([one, other])
    assert both["a"].tolist() == [0, 1, 2, 0, 1] and both["n_sum"] == 7.0
    reason = {parts.REASON: np.array("no grid")}
    assert parts.said(parts.joined([one, reason])) == "no grid" and parts.said(both) is None


def test_only_a_cluster_that_is_asked_for_is_used(run: Path) -> None:
    place = Location.of(run)
    for told in (Cluster(), Cluster(kind="threads", workers=2), Cluster(memory_gb=1.0)):
        with spread_over(told, place) as spread:
            assert spread is parts.in_turn
    for told in (Cluster(workers=2), Cluster(adaptive=(1, 2)), Cluster(address="tcp://x:1")):
        with spread_over(told, place) as spread:
            assert spread is not parts.in_turn


def test_a_worker_has_room_for_what_an_evaluation_learns(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Cluster] = []

    @contextmanager
    def client(cluster: Cluster) -> Iterator[None]:
        yield asked.append(cluster)

    monkeypatch.setattr("flows.cluster.MEMORY_LIMIT", 20e9)
    monkeypatch.setattr(spreading, "dask_client", client)
    monkeypatch.setattr(spreading, "fan_out", lambda *given: None)
    for told in (Cluster(workers=2), Cluster(workers=2, memory_gb=1.5), Cluster(workers=9)):
        with spread_over(told, Location.of(run)) as spread:
            spread(lambda split, starts: 0, [], print)
    share = 0.5 + (0.9 * 20 - 0.5) / 9  # of this machine's, and what all share
    assert [one.memory_gb for one in asked] == [4.0, 1.5, pytest.approx(share)]


def test_the_verb_asks_for_the_workers_that_it_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    @contextmanager
    def spread(cluster: Cluster, run: Location) -> Iterator[str]:
        yield asked.append((cluster, str(run))) or "a way"

    def judge(run: Location, **more: Any) -> dict[str, list[str]]:
        assert more["spread"] == "a way"
        return {"bins": []}

    monkeypatch.setattr(spreading, "spread_over", spread)
    stand_in = SimpleNamespace(evaluate=judge)
    monkeypatch.setitem(sys.modules, "trainlib.evaluation.evaluate", stand_in)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    words, address = ["evaluate", "mine", "--root", str(tmp_path)], "tcp://here:1"
    for more in ([], ["--workers", "3"], ["--address", address]):
        assert run_program([*words, *more]) == 0
    clusters = [Cluster(), Cluster(workers=3), Cluster(address=address)]
    assert asked == [(one, str(tmp_path / "runs/mine")) for one in clusters]
    assert run_program([*words, "--workers", "3", "--address", address]) == 2
    assert "workers cannot act on the running cluster" in capsys.readouterr().err


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose network tells errors: every kind of part is made of it."""
    root = tmp_path_factory.mktemp("knowing")
    rows = ("dataset.n_train=70", "dataset.n_validation=300")
    place = build(root, "dataset.mode=virtual", *rows)
    model = {"kind": "restframe", "rank": 16, "hidden": 16, "blocks": 1, "passes": 2}
    config = toy_config(root, model, recipe="C", batch_size=16, epochs=2)
    return train_here(config, str(place), root / "run")


@pytest.fixture(scope="module")
def known(knowing: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Its results, undisturbed."""
    return judged(copied(knowing, tmp_path_factory.mktemp("known")), section=SECTION)


def copied(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run.parent, folder / "root", dirs_exist_ok=True)) / run.name


KILLED = """
import os, signal, sys
from simlib.location import Location
from trainlib.evaluation import making, parts
from trainlib.evaluation.evaluate import evaluate
from trainlib.evaluation.judging import Judging
from tests.trainlib.test_parts import SECTION
making.BLOCK = parts.BATCH
write, left = parts.Parts.write, int(sys.argv[2])
def writing(self, *given):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    write(self, *given)
parts.Parts.write = writing
evaluate(sys.argv[1], section=SECTION)
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", [3, 9])
def test_a_killed_evaluation_goes_on_and_ends_with_the_same_bits(
    after: int, knowing: Path, known: dict[str, Any], tmp_path: Path, made: Made
) -> None:
    run = copied(knowing, tmp_path)
    words = [sys.executable, "-c", KILLED, str(run), str(after)]
    killed = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list((run / parts.PARTS).rglob("*.part"))) == after
    assert judged(run) == known
    kinds = 12  # learn, 2 judge, 2 floor, template, fit, 2 try, 2 errors, strangers
    assert len(made) == kinds - after and not (run / parts.PARTS).exists()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_of_a_cluster_find_the_same(
    workers: int, knowing: Path, known: dict[str, Any], tmp_path: Path, made: Made
) -> None:
    run, shown = copied(knowing, tmp_path), []
    cluster = Cluster(workers=workers, dashboard="127.0.0.1:0")
    with spread_over(cluster, Location.of(run)) as spread:
        found = judged(
            run, section=SECTION, spread=spread, progress=lambda *told: shown.append(told)
        )
    assert found == known
    assert [kind for kind, *_ in made] == [LEARN]  # here; all else there
    assert [done for done, *_ in shown] == list(range(1, 13)) and {t for _, t, _ in shown} == {12}
    seconds = read_results(run).evaluation
    assert seconds.cpu_seconds > 0.0 and seconds.seconds > 0.0


@pytest.mark.slow
def test_every_kind_that_was_cut_off_is_gone_on_with(
    knowing: Path, known: dict[str, Any], tmp_path: Path, made: Made,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run = copied(knowing, tmp_path)
    kept = cut_off(run, 7, monkeypatch, section=SECTION)
    assert len(kept) == 7
    before = len(made)
    assert judged(run) == known and len(made) - before == 5
    assert {kind for kind, *_ in made} >= {FLOOR, TEMPLATE, FIT, TRY}
