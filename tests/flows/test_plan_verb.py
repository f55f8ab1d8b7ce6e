"""The verb `plan`: what it prints is what it is given, worked out from what it measured."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from flows import planning
from flows.cli import run_program
from flows.config import load_config
from flows.terminal.plan_text import _print_training, print_plan
from simlib.dataset.measure import measure
from simlib.dataset.scheduler_load import Load
from simlib.errors import InputError
from tests.simlib.dataset.toy_build import OVERRIDES, build
from trainlib.training.cost import training_cost

Plan = Callable[..., dict[str, Any]]
SETS = [part for override in OVERRIDES for part in ("--set", override)]


@pytest.fixture
def plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Plan:
    """Return what gives the object that `plan tiny --json` prints, the dataset below tmp_path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(planning, "scheduler_load", lambda: Load(20_000, 50.0, 40.0))
    monkeypatch.setattr(planning, "measure", lambda config: measure(config, 32))

    def told(*words: str, config: str = "tiny") -> dict[str, Any]:
        assert run_program(["plan", config, *SETS, *words, "--json"]) == 0
        found: dict[str, Any] = json.loads(capfd.readouterr().out)
        return found

    return told


def test_a_plan_follows_what_it_is_given(
    plan: Plan, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    usual = plan()
    assert usual["splits"] == {"train": 300, "validation": 5}
    assert (usual["actual"], usual["scale"]) == (None, None)
    assert usual["plan"]["blocks"] == 11 and usual["plan"]["rows"] == 305
    of_training = {"epochs": 8, "spectra_at_most": 2400, "seconds_at_most": None, "cost": None}
    assert usual["training"] == of_training  # of recipe B nothing is known before its data are
    assert plan("--set", "dataset.block=64")["plan"]["blocks"] == 6
    assert plan("--workers", "7", "--set", "cluster.workers=3")["plan"]["workers"] == 7
    assert plan("--set", "train.seconds=9", config="demo")["training"]["seconds_at_most"] == 9

    (tmp_path / "mine.toml").write_text(
        'currency = "CHF"\ncore_hour = 0\ngb_month = 1000\nthousand_puts = 0\n'
    )
    cost = plan("--prices", "mine.toml")["plan"]
    assert cost["cost"]["currency"] == "CHF" and cost["cost"]["once"] == 0
    assert cost["cost"]["keeping_a_month"] == pytest.approx(cost["bytes"] / 1e6)

    large = plan("--simulate")["scale"]
    assert (large["rows"], large["workers"], large["tasks"]) == (10**8, 1000, 19_532)
    assert large["scheduler_seconds"] == pytest.approx(19_532 * 50.0 / 20_000)
    assert large["spectra_per_s"] == pytest.approx(1e8 / large["seconds"])
    small = plan("--simulate", "--rows", "2048", "--workers", "3")["scale"]
    assert (small["rows"], small["workers"], small["blocks"]) == (2048, 3, 2)

    assert run_program(["plan", "tiny", *SETS, "--rows", "5"]) == 2
    assert "--rows belongs to --simulate" in capfd.readouterr().err
    assert run_program(["plan", "tiny", *SETS, "--simulate"]) == 0
    out = capfd.readouterr().out
    assert "{" not in out  # as without "--json"
    assert "100,000,000 spectra on 1,000 cores" in out
    assert not (tmp_path / "data").exists()


def test_a_plan_is_of_the_workers_that_the_build_has(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.cluster.usable_cores", lambda: 16)
    for gigabytes, expected in ((64.0, 16), (8.0, 7)):  # as many as have the memory for a block
        monkeypatch.setattr("flows.cluster.MEMORY_LIMIT", 1e9 * gigabytes)
        assert plan()["plan"]["workers"] == expected
    assert plan("--set", "cluster.workers=3")["plan"]["workers"] == 3
    many = plan("--set", "cluster.kind=slurm", "--set", "cluster.adaptive=[1, 200]")["plan"]
    assert many["workers"] == 200


def test_a_finished_dataset_stands_beside_its_plan(
    plan: Plan, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = build(tmp_path / "data")
    told = plan("--set", "dataset.block=64")  # the store's own cut is compared
    actual, planned = told["actual"], told["plan"]
    assert told["dataset"] == str(folder)
    assert actual["blocks"] == planned["blocks"] == 11
    assert actual["objects"] == planned["objects"]
    assert actual["bytes"] == pytest.approx(planned["bytes"], rel=0.05)
    assert actual["seconds"] > 0 and actual["core_seconds"] > 0
    (folder / "manifest.json").remove()
    begun = plan("--set", "dataset.block=64")
    assert begun["actual"] is None and begun["plan"]["blocks"] == 11
    print_plan(told | {"actual": actual | {"seconds": 1234.0}})
    out = capfd.readouterr().out
    assert "20.6 min" in out and "actual" in out


def test_the_cost_of_the_papers_training_is_arithmetic(
    capfd: pytest.CaptureFixture[str],
) -> None:
    narrow = ["model.widths=[64, 16]", "train.batch_size=20"]
    cost = training_cost(load_config("paper", narrow), 64, 100_000, 50_000)
    layers = 2 * 64 * 16 + 2 * 16 * 64  # forward; back the same twice, but for the first layer's
    assert cost.parameters == 2 * 64 * 16 + 16 + 64
    assert cost.flops_a_spectrum == 3 * layers - 2 * 64 * 16
    assert cost.flops == 7500 * (100_000 * cost.flops_a_spectrum + 50_000 * layers)
    assert cost.seconds == pytest.approx(cost.flops / cost.flops_a_spectrum / cost.spectra_per_s)
    assert cost.device_seconds == pytest.approx((cost.flops / 66.9e12, cost.flops / 26.76e12))
    told = {"epochs": 7500, "spectra_at_most": 750_000_000, "seconds_at_most": None}
    _print_training(told | {"cost": asdict(cost) | {"seconds": 86400.0 * 9}})
    out = capfd.readouterr().out
    assert "7,500 epochs, 750,000,000 spectra seen\n" in out
    assert "By arithmetic" in out and "here 9 days, from the processor time" in out
    assert "at its 66.9 TFLOP/s" in out and "40 % of them; not measured" in out
    with pytest.raises(InputError, match="begins with 64 but the dataset has 128 pixels"):
        training_cost(load_config("paper", narrow), 128, 10, 10)
