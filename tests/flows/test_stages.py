"""What a flow hands from stage to stage, and what a stage hands to the work below it."""

from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from flows import building, pipeline, stages
from flows.cluster import threads_or
from flows.config import Cluster, Config, load_config, load_sky_section
from flows.inputs import inputs_of
from simlib.dataset.changes import Due
from simlib.dataset.watch import Patience
from simlib.errors import InputError
from simlib.location import Location
from trainlib.evaluation.gate import Compared, Verdict
from trainlib.evaluation.parts import in_turn
from trainlib.release import Part

Calls = list[tuple[Any, ...]]
SETS = ["dataset.n_train=77", "train.seconds=3.5"]


class Unwritten:
    """Stands for a claim, of which nothing is written."""

    record = "the record"

    def begin(self, found: list[Due]) -> None:
        assert found == ["what is due"]

    def timed(self, name: str, stage: Any, *given: Any) -> Any:
        made = stage(*given)
        assert made == f"what {name.replace('-', '_')} made" or name == "release"
        return made

    def note(self, **changed: str) -> None:
        self.record = changed["outcome"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Put in each stage's place one that only notes what it was given, and returns its name."""
    made: Calls = []

    def noting(name: str) -> Any:
        def stage(config: Config, *given: Any) -> str:
            assert config == load_config("tiny", SETS)
            made.append((name, *given))
            return f"what {name} made"

        return stage

    for name in ("meet_workers", "etc_grid", "build_dataset", "train", "evaluate", "report"):
        monkeypatch.setattr(stages, name, noting(name))
    for name in ("meet_workers", "etc_grid", "build_dataset"):
        monkeypatch.setattr(building, name, noting(name))
    monkeypatch.setattr(pipeline, "dues", lambda _: ["what is due"])
    monkeypatch.setattr(pipeline, "claimed", lambda *_: nullcontext(Unwritten()))
    monkeypatch.setattr(pipeline.artifacts, "show", lambda *_: None)
    return made


def home_of(flow: str) -> ModuleType:
    return building if flow == "building" else pipeline


BEGIN = [("meet_workers",), ("etc_grid",)]
TERMS, DATASET, RUN = ("what etc_grid made", "what build_dataset made", "what train made")


def test_the_workflow_hands_on_what_each_stage_made(calls: Calls) -> None:
    assert pipeline.workflow.fn("tiny", SETS) == "what report made"
    assert calls == [*BEGIN, ("build_dataset", TERMS), ("train", DATASET), ("evaluate", RUN),
                     ("report", RUN)]  # fmt: skip


def test_a_refresh_releases_what_it_made_and_nothing_where_nothing_is_due(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    def release(config: Config, *given: Any) -> stages.Released:
        calls.append(("release", *given))
        return stages.Released("release 3")

    monkeypatch.setattr(stages, "release", release)
    monkeypatch.setattr(Unwritten, "begin", lambda *_: None)
    for is_due in (False, True):
        due = Due("train", "there", is_due, "why")
        monkeypatch.setattr(pipeline, "refresh_dues", lambda _, due=due: [due])
        told = pipeline.refreshing.fn("tiny", SETS)
        assert told == ("release 3" if is_due else "nothing was due")
        assert len(calls) == (7 if is_due else 0)
    assert calls[-1] == ("release", DATASET, RUN)


@pytest.mark.parametrize(
    ("given", "message"),
    [((5, ()), "source = 5: give a preset's name"), (("", ()), "source = ''"),
     (("tiny", "train.lr=1"), "overrides = 'train.lr=1': give a list"),
     (("tiny", [5]), "overrides = .5.: give a list"),
     (("tiny", ["train.lt=1"]), "the nearest known key is")],
)  # fmt: skip
@pytest.mark.parametrize("flow", ["workflow", "refreshing", "building", "training"])
def test_a_mistake_in_a_form_is_told_in_our_words(
    flow: str, given: tuple[Any, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        getattr(home_of(flow), flow).fn(*given)


@pytest.mark.parametrize("repair", [False, True])
def test_building_ends_with_the_dataset(calls: Calls, repair: bool) -> None:
    assert building.building.fn("tiny", SETS, repair) == DATASET
    begin = [("meet_workers",), ("etc_grid", repair)]
    assert calls == [*begin, ("build_dataset", TERMS, repair)]


def test_training_ends_with_the_run(calls: Calls) -> None:
    assert pipeline.training.fn("tiny", SETS) == RUN
    assert calls == [*BEGIN, ("build_dataset", TERMS), ("train", DATASET)]


@pytest.mark.parametrize(
    ("function", "flow", "more"),
    [("specdenoise", "workflow", {}), ("train", "training", {}), ("build", "building", {}),
     ("build", "building", {"repair": True}), ("refresh", "refreshing", {}),
     ("sweep", "sweeping", {"over": ("train.lr=1",), "random": 2, "budget": 3.0, "halving": True,
                            "side_by_side": True})],
)  # fmt: skip
def test_a_function_runs_its_flow_with_what_it_was_given(
    function: str, flow: str, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: Calls = []
    names = {"workflow": "specdenoise", "building": "specdenoise-build",
             "training": "specdenoise-train", "refreshing": "specdenoise-refresh",
             "sweeping": "specdenoise-sweep"}  # fmt: skip
    home = home_of(flow)
    assert getattr(home, flow).name == names[flow]  # schedules find it by this
    monkeypatch.setattr(home, flow, lambda *some: given.append(some) or "its result")
    assert getattr(home, function)("tiny", tuple(SETS), **more) == "its result"
    last = [more.get("repair", False)] if flow == "building" else []
    last = [["train.lr=1"], 2, 3.0, True, True] if flow == "sweeping" else last
    assert given == [("tiny", SETS, *last)]


def test_a_demo_is_what_runs_where_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    given: Calls = []
    monkeypatch.setattr(pipeline, "workflow", lambda *some: given.append(some))
    pipeline.specdenoise()
    assert given == [("demo", [])]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Note what is asked of a cluster's workers, of which there are none here."""
    made: Calls = []

    @contextmanager
    def client(cluster: Cluster) -> Any:
        made.append(("client", cluster))
        yield "the client"
        made.append(("closed",))

    monkeypatch.setattr(building, "dask_client", client)
    monkeypatch.setattr(building, "require_seen", lambda *some: made.append(("seen", *some)))
    return made


def config_of(root: Path, *overrides: str) -> Config:
    return load_config("tiny", [f"storage.root='{root}'", *overrides])


RUNNING = "cluster.address='tcp://10.0.0.1:8786'"


def test_a_running_cluster_is_met_before_the_work_and_only_for_work(
    seen: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    building.meet_workers(config_of(tmp_path))
    assert seen == []  # workers of this machine see what it sees
    config = config_of(tmp_path, RUNNING, "stellar.grid=some/grid")
    monkeypatch.setattr(building, "published", lambda _: None)
    building.meet_workers(config)
    asked = ("seen", "the client", inputs_of(config), {"storage.root": Location.of(tmp_path)})
    assert seen == [("client", config.cluster), asked, ("closed",)]
    seen.clear()
    monkeypatch.setattr(building, "published", lambda _: tmp_path)
    building.meet_workers(config)
    assert seen == []  # nothing to simulate


def test_workers_of_jobs_are_waited_for_and_asked_when_they_are_there(
    seen: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path, "cluster.kind=slurm", "cluster.wait_s=77", "cluster.report=false")
    monkeypatch.setattr(building, "published", lambda _: None)
    monkeypatch.setattr(building.making, "build_dataset", lambda *_: tmp_path / "built")
    building.meet_workers(config)
    assert seen == []  # jobs are not queued to be let go again
    building.build_dataset.fn(config, "terms")
    places = (inputs_of(config), {"storage.root": Location.of(tmp_path)})
    assert seen == [("client", config.cluster), ("seen", "the client", *places, 77.0), ("closed",)]


def test_what_workers_must_see_is_every_path_that_a_config_names(tmp_path: Path) -> None:
    assert inputs_of(config_of(tmp_path)) == {}  # a shipped name is no path
    named = {"stellar.grid": "/a/grid", "stellar.band": "/a/band.ecsv", "sky.tables": "/a/sky",
             "instrument.name": "/a/arm.toml"}  # fmt: skip
    config = config_of(tmp_path, *(f"{key}={path}" for key, path in named.items()))
    assert inputs_of(config) == {key: Location.of(path) for key, path in named.items()}


@pytest.mark.parametrize(("published", "repair"), [(True, False), (True, True), (False, False)])
def test_a_dataset_is_built_unless_it_is_there_and_need_not_be_repaired(
    published: bool, repair: bool, seen: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = ("cluster.hang_factor=7", "cluster.hang_floor_s=90", "cluster.report=false")
    config = config_of(tmp_path, RUNNING, *hangs)

    def build(*given: Any) -> Path:
        config_given, terms, client, progress, repair_given, patience = given
        assert callable(progress)
        assert patience == Patience(7.0, 90.0)
        seen.append(("build", config_given, terms, client, repair_given))
        return tmp_path / "built"

    monkeypatch.setattr(building, "published", lambda _: tmp_path if published else None)
    monkeypatch.setattr(building.making, "build_dataset", build)
    folder = building.build_dataset.fn(config, "terms", *([True] if repair else []))
    if published and not repair:
        assert (folder, seen) == (str(tmp_path), [])
    else:
        assert folder == str(tmp_path / "built")
        assert [call[0] for call in seen] == ["client", "seen", "build", "closed"]
        assert seen[2] == ("build", config, "terms", "the client", repair)


def test_training_evaluation_and_report_get_the_run_and_their_sections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path, "evaluate.seed=9", "train.seconds=4.5")
    made: Calls = []
    bars: list[tuple[float | None, int]] = []
    shown: list[str] = []

    class Picture:
        def __init__(self, run: Location) -> None:
            assert run.parent == Location.of(tmp_path / "runs")

        add = staticmethod(lambda told: shown.append(f"{told} drawn"))
        finish = staticmethod(lambda: shown.append("finished"))

    @contextmanager
    def progress(seconds: float | None, epochs: int) -> Any:
        bars.append((seconds, epochs))
        yield shown.append

    def train(*given: Any, **more: Any) -> None:
        more.pop("progress")("an interval")
        made.append((*given, more))

    monkeypatch.setattr(stages, "LivePicture", Picture)
    monkeypatch.setattr(stages, "epoch_progress", progress)
    monkeypatch.setattr(stages.launch, "train", train)
    monkeypatch.setattr(
        stages, "evaluate_run",
        lambda run, section, spread, progress: {run: section, "by": spread},
    )  # fmt: skip
    monkeypatch.setattr(stages, "write_report", lambda runs: [*runs, "page"])
    dataset = "s3://bucket/datasets/tiny/0123456789abcdef"
    run = stages.train.fn(config, dataset)
    assert Path(run).parent == tmp_path / "runs"
    assert run != stages.train.fn(config, dataset.replace("0", "f"))  # another dataset's run
    assert made[0] == (config, dataset, run, {"on_line": stages._said, "command": None})
    assert shown == ["an interval", "an interval drawn", "finished"] * 2
    assert bars == [(4.5, config.train.epochs)] * 2
    place = Location.of(run)
    assert stages.evaluate.fn(config, run) == {place: config.evaluate, "by": in_turn}
    assert config.evaluate.seed == 9
    assert stages.report.fn(config, run) == [place, "page"]


def test_a_run_is_gone_on_with_only_where_it_was_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [f"storage.root='{tmp_path}'"]
    with pytest.raises(InputError, match="the dataset of this config is not built; leave --resume"):
        pipeline.require_begun("tiny", sets)
    monkeypatch.setattr(pipeline, "published", lambda _: Location.of(tmp_path / "datasets/x/abc"))
    with pytest.raises(InputError, match=f"{tmp_path}/runs/tiny-[0-9a-f]* has no checkpoint"):
        pipeline.require_begun("tiny", sets)
    run = Path(pipeline.run_directory(config_of(tmp_path), "abc"))
    (run / pipeline.CHECKPOINT).parent.mkdir(parents=True)
    (run / pipeline.CHECKPOINT).write_bytes(b"")
    pipeline.require_begun("tiny", sets)


def test_work_without_a_cluster_gets_threads_and_with_one_takes_it() -> None:
    assert threads_or(None, 3) == Cluster(kind="threads", workers=3)
    assert threads_or("tcp://10.0.0.1:8786", 3) == Cluster(address="tcp://10.0.0.1:8786")


@pytest.mark.parametrize("idle", ["kind=threads", "workers=2", "dashboard='127.0.0.1:1'"])
def test_what_cannot_act_on_a_running_cluster_is_named(idle: str) -> None:
    name = idle.split("=", 1)[0]
    with pytest.raises(InputError, match=rf"{name} cannot act .* at tcp://10.0.0.1:8786; remove"):
        load_config("tiny", [RUNNING, f"cluster.{idle}"])


def test_the_sky_of_the_calculator_takes_its_own_keys_alone(tmp_path: Path) -> None:
    sky = load_sky_section(["sky.water_mm=2.25"], tmp_path)
    assert (sky.water_mm, sky.tables) == (2.25, str(tmp_path))
    assert load_sky_section() == load_config("demo").sky
    with pytest.raises(InputError, match=r"--set 'noise\.sky_subtraction=0': `etc` takes keys of"):
        load_sky_section(["sky.water_mm=2.25", "noise.sky_subtraction=0"])


BINS = (Compared(0.0, 5.0, 7, 0.125, 0.25, True),)
PASSES, FAILS = Verdict(True, "better", BINS), Verdict(False, "worse", BINS)


@pytest.mark.parametrize(
    ("is_due", "holds", "found", "outcome", "compared", "made"),
    [
        (False, True, PASSES, "as it is", (), 0),
        (True, False, FAILS, "release 8: nothing to compare with was released before", (), 1),
        (True, True, PASSES, "release 8: better", BINS, 1),
        (True, True, FAILS, "not released: worse", BINS, 0),
    ],
    ids=["not due", "the first", "better", "worse"],
)
def test_a_release_follows_what_is_due_and_the_gate(
    is_due: bool, holds: bool, found: Verdict, outcome: str, compared: Any, made: int,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    config = load_config("tiny", [f"storage.root='{tmp_path}'"])
    told: list[tuple[Any, ...]] = []
    run = Part(place="../../runs/old", fingerprint="a" * 16)
    before = SimpleNamespace(number=7, run=run) if holds else None
    results = SimpleNamespace(evaluation=SimpleNamespace(fingerprint="judged"))

    def passes(new: Location, old: Location, gate: Any) -> Verdict:
        assert (new.name, old.name, gate) == ("new", "old", config.gate)
        return found

    def make(*given: Any) -> Any:
        told.append(given)
        return SimpleNamespace(number=8)

    due = Due("release", "", is_due, "as it is")
    kept: list[tuple[Any, ...]] = []
    monkeypatch.setattr(stages, "release_due", lambda *given: due)
    monkeypatch.setattr(stages, "read_release", lambda root, name: before)
    monkeypatch.setattr(stages, "pass_gate", passes)
    monkeypatch.setattr(stages, "read_results", lambda place: results)
    monkeypatch.setattr(stages, "write_judgement", lambda place, *given: kept.append(given))
    monkeypatch.setattr(stages, "make_release", make)
    caplog.set_level("INFO")
    dataset, new = str(tmp_path / "datasets/d"), str(tmp_path / "runs/new")
    assert stages.release.fn(config, dataset, new) == stages.Released(outcome, compared)
    assert told == made * [(config.root, "tiny", config.place(dataset), config.place(new))]
    assert kept == (is_due and holds) * [("judged", run.fingerprint, config.gate, found)]
    said = {0: "release 7 of tiny stays: worse", 1: f"release 8 of tiny: {outcome[11:]}"}
    assert caplog.messages == ([said[made]] if is_due else [])
