"""What a run shows on its page; nothing without a server, and no harm where showing fails."""

import logging
from pathlib import Path
from typing import Any

import prefect.artifacts
import pytest

from flows import artifacts, served
from flows.claim import Did, Refresh
from flows.config import load_config
from simlib.location import Location
from trainlib.evaluation.gate import Compared
from trainlib.evaluation.results import Evaluation

DUE = Did(
    stage="train",
    was_due=True,
    reason="another one was trained last",
    changes=("train.lr: 0.1 -> 0.2", "train.seed: 1 -> 2"),
    planned_s=9.04,
    took_s=12.5,
)
REUSED = Did(stage="etc-grid", was_due=False, reason="is there")
RECORD = Refresh(number=1, token="t", host="h", process=1, began="then", renewed=0.0,
                 outcome="release 2: better", stages=(DUE, REUSED))  # fmt: skip


def test_a_stage_says_what_was_due_why_and_what_it_took_against_the_plan() -> None:
    made, reused = artifacts.stages(RECORD)
    assert made == {
        "stage": "train", "was": "made", "why": "another one was trained last",
        "what changed": "train.lr: 0.1 -> 0.2; train.seed: 1 -> 2",
        "last time, in proportion": "9.0 s", "took": "12.5 s",
    }  # fmt: skip
    assert (reused["was"], reused["last time, in proportion"], reused["took"]) == ("reused", "", "")


def test_metrics_stand_beside_those_of_the_released_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(error: float | None) -> dict[str, Any]:
        return {name: {"mean_abs_relative_error": error} for name in ("none", "dae")}

    bins = [{"snr_low": 0.0, "snr_high": 5.0, "count": 7, "methods": of(0.25)},
            {"snr_low": 5.0, "snr_high": None, "count": 0, "methods": of(None)}]  # fmt: skip
    evaluation = Evaluation(
        fingerprint="f", checkpoint="c", dataset="d", split="validation", spectra=7, seconds=1.0,
        cpu_seconds=1.0, bottleneck=1, wiener_rank=1, summary={"bins": bins},
    )  # fmt: skip
    results = type("Results", (), {"evaluation": evaluation})
    monkeypatch.setattr(artifacts, "read_results", lambda _: results)
    before = Compared(0.0, 5.0, 7, 0.125, 0.25, True)
    one, other = artifacts.metrics("run", [before])
    assert one == {"S/N": "0-5", "spectra": 7, "noisy input": "25.00 %", "network": "25.00 %",
                   "released before": "12.50 %", "verdict": "worse"}  # fmt: skip
    assert (other["S/N"], other["network"], other["released before"]) == ("5-…", "", "")


def test_the_tunnel_is_a_line_to_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts.getpass, "getuser", lambda: "ada")
    monkeypatch.setattr(artifacts.platform, "node", lambda: "login1")
    told = artifacts.dashboard("http://127.0.0.1:36951/status")
    assert "    ssh -N -L 36951:127.0.0.1:36951 ada@login1\n" in told
    assert "(http://127.0.0.1:36951/status)" in told


def test_a_picture_is_in_the_text_and_a_key_is_one_that_prefect_takes() -> None:
    assert "](data:image/png;base64,iVBORw==)" in artifacts._picture("loss", b"\x89PNG")
    assert artifacts._key("PFS_red.V2-loss") == "pfs-red-v2-loss"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Return what is put on the page of a run, in its order."""
    shown: list[tuple[Any, ...]] = []
    monkeypatch.setattr(artifacts, "current_run", lambda: "a run")
    monkeypatch.setattr(artifacts, "_table", lambda *told: shown.append(told))
    monkeypatch.setattr(artifacts, "_markdown", lambda *told: shown.append(told))
    for name in ("metrics", "loss_curve", "places", "plan_rows"):
        monkeypatch.setattr(artifacts, name, lambda *given, name=name: (name, *given))
    monkeypatch.setattr(artifacts, "_picture", lambda title, png: f"{title}: {png}")
    monkeypatch.setattr(artifacts, "dataset_pictures", lambda folder: {"spectra": b"s"})
    monkeypatch.setattr(artifacts.runs, "read_run", lambda place: ())
    monkeypatch.setattr(artifacts.runs, "dataset_of", lambda place: Location.of("/d"))
    monkeypatch.setattr(
        prefect.artifacts,
        "create_progress_artifact",
        lambda share, description: shown.append((share, description)) or "id",
    )
    monkeypatch.setattr(
        prefect.artifacts,
        "update_progress_artifact",
        lambda ident, share, description: shown.append((ident, share, description)),
    )
    return shown  # fmt: skip


@pytest.mark.parametrize("has_built", [True, False])
def test_a_page_shows_stages_metrics_loss_places_and_what_was_built(
    has_built: bool, page: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    config = load_config("tiny", [f"storage.root='{tmp_path}'"])
    stages = (DUE, *([Did(stage="build-dataset", was_due=True, reason="new")] * has_built))
    record = RECORD.model_copy(update={"flow_run": "x", "stages": stages})
    place = Location.of("/r")
    artifacts.show(record, config, "/r", ())
    built = [("tiny-spectra", "spectra: b's'")]
    plan = [("tiny-plan", "The dataset, plan against actual", ("plan_rows", config))]
    assert page == [
        ("tiny-stages", "release 2: better. What was due, and what it took",
         artifacts.stages(record)),
        ("tiny-metrics", "mean |R| by S/N. release 2: better", ("metrics", place, ())),
        ("tiny-loss", f"loss: {('loss_curve', place)}"),
        ("tiny-places", ("places", "/d", "/r")),
        *(built if has_built else []), *(plan if has_built else []),
    ]  # fmt: skip


def test_progress_is_on_the_page_now_and_then_and_in_the_end(
    page: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now, inner = [100.0], list[tuple[int, int, int]]()
    monkeypatch.setattr(artifacts.time, "monotonic", lambda: now[0])
    with artifacts.shown_progress(lambda *told: inner.append(told), "blocks") as show:
        for seconds, done in ((0.0, 1), (1.0, 2), (4.9, 3), (5.1, 4), (6.0, 5)):
            now[0] = 100.0 + seconds
            show(done, 5, 7)
    assert inner == [(done, 5, 7) for done in range(1, 6)]
    assert page == [(0.0, "blocks"), *(("id", share, "blocks") for share in (20.0, 80.0, 100.0))]


def test_without_a_server_nothing_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "")
    monkeypatch.setattr(artifacts, "_table", lambda *_: pytest.fail("shown"))
    config = load_config("tiny", [f"storage.root='{tmp_path}'"])
    artifacts.show(RECORD, config, "run")
    artifacts.settle_before(config)
    artifacts.show_dashboard(None, "tiny")  # type: ignore[arg-type]
    seen: list[tuple[int, int, int]] = []
    with artifacts.shown_progress(lambda *some: seen.append(some), "blocks") as show:
        show(1, 2, 3)
    assert seen == [(1, 2, 3)]


def test_what_cannot_be_shown_is_a_warning_and_the_rest_is_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(served, "_told", set())
    shown: list[str] = []

    def table(key: str, *_: object) -> None:
        shown.append(key)
        raise OSError("no server")

    monkeypatch.setattr(artifacts, "_table", table)
    monkeypatch.setattr(artifacts, "_markdown", lambda key, _: shown.append(key))
    monkeypatch.setattr(artifacts, "metrics", lambda *_: [])
    config = load_config("tiny", [f"storage.root='{tmp_path}'"])
    with caplog.at_level(logging.WARNING):
        record = RECORD.model_copy(update={"flow_run": "0" * 32})
        artifacts.show(record, config, str(tmp_path / "no-run"))
    assert shown == [
        "tiny-stages",
        "tiny-metrics",
        "tiny-loss",
    ]  # of the run, which is not there, no more
    assert len(caplog.messages) == 3 and "no server" in caplog.messages[0]
    assert all(text.startswith("not shown on the page of this run: ") for text in caplog.messages)
