"""`config show|reference|diff`: what a config means, whence each value is, what may stand there."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from flows.cli import run_program
from flows.config import Config, load_config
from flows.config_reference import config_reference
from flows.terminal.config_text import reference_page
from simlib.config import models_in
from simlib.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SLURM = "[cluster]\nkind = 'slurm'\nslurm = { queue = 'long', prologue = ['a \"b\"'] }\n"
RUNS = "[train]\nrecipe = 'A'\nruns = 'elsewhere'\n[stellar]\nteff = [3600, 4000]\n"


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Any:
    def shown(*words: str) -> str:
        assert run_program(["config", *words]) == 0
        return capsys.readouterr().out

    return shown


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ("", []),
        ("demo", []),
        (
            "paper",
            [
                "dataset.seed=7",
                "storage.options.anon=true",
                "train.seconds=1.23456789e-7",
                "storage.options.'a b'.c=[1]",
                'storage.root=s3://ä/"b"',
            ],
        ),
        (SLURM, ["launch.kind=srun", "launch.nodes=2"]),
        (RUNS, ["train.optimizer=adamw", "train.lr=0.1", "train.schedule=constant"]),
    ],
    ids=["empty", "demo", "paper", "slurm", "runs"],
)
def test_what_is_shown_is_a_file_that_means_the_same(
    text: str, overrides: list[str], show: Any, tmp_path: Path
) -> None:
    source = text
    if text not in ("demo", "paper"):
        (tmp_path / "mine.toml").write_text(text)
        source = str(tmp_path / "mine.toml")
    sets = [word for one in overrides for word in ("--set", one)]
    (tmp_path / "shown.toml").write_text(show("show", source, *sets))
    told, meant = load_config(tmp_path / "shown.toml"), load_config(source, overrides)
    assert told == meant
    assert told.cluster.model_fields_set == meant.cluster.model_fields_set


def test_every_value_has_its_origin(show: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[dataset]\nseed = 1\nn_train = 5\n[model]\nrank = 30\n[train]\nrecipe = 'C'\n")
    sets = ["--set", "dataset.seed=2", "--set", "storage.options.anon=true"]
    told = {one["key"]: one for one in json.loads(show("show", str(file), *sets, "--json"))}
    assert {key: told[key]["value"] for key in ("dataset.seed", "model.rank", "train.lr")} == {
        "dataset.seed": 2, "model.rank": 30, "train.lr": 2.5e-3,
    }  # fmt: skip
    assert {key: one["origin"] for key, one in told.items() if one["origin"] != "default"} == {
        **{key: "recipe C" for key in told if key.startswith(("model.", "augment."))},
        **{f"train.{key}": "recipe C" for key in (
            "epochs", "batch_size", "optimizer", "lr", "betas", "weight_decay", "schedule",
            "warmup", "final", "interval", "validation_spectra", "precision")},
        "dataset.seed": "--set", "storage.options": "--set",
        "dataset.n_train": str(file), "model.rank": str(file), "train.recipe": str(file),
    }  # fmt: skip
    lines = show("show", "demo").splitlines()
    assert f"{'n_train = 49152':40}  # preset demo" in lines
    assert f"{'# seeing = [0.5, 1.5]':40}  # default" in lines
    assert f"{'# tables is not set':40}  # default" in lines


def test_a_table_of_entries_has_the_origins_of_all(show: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[storage.options]\nanon = false\nprofile = 'a'\n")

    def origin(*sets: str) -> str:
        words = [word for one in sets for word in ("--set", one)]
        told = json.loads(show("show", str(file), *words, "--json"))
        return str(next(one["origin"] for one in told if one["key"] == "storage.options"))

    assert origin() == str(file)
    assert origin("storage.options.anon=true") == f"{file}, --set"
    assert origin("storage.options.anon=true", "storage.options.profile=b") == "--set"
    assert origin("storage.options={anon = true}") == "--set"
    assert origin("storage.options={}", "storage.options.anon=true") == "--set"


def test_a_mistake_in_a_config_is_told_as_by_any_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(["config", "show", "demo", "--set", "dataset.sed=1"]) == 2
    assert "nearest known key is 'dataset.seed'" in capsys.readouterr().err


def leaves(model: type[BaseModel], above: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if inner := models_in(field.annotation):
            for one in inner:
                yield from leaves(one, f"{above}{name}.")
        else:
            yield above + name


def test_every_key_is_explained() -> None:
    keys = [key for table in config_reference() for key in table.keys]
    assert {key.name for key in keys} == set(leaves(Config)) and len(keys) > 100
    assert [key.name for key in keys if not (key.meaning and key.takes)] == []
    assert [table.name for table in config_reference() if not table.meaning] == []


def test_the_page_is_of_the_models_that_are_there() -> None:
    page = (ROOT / "flows/config.md").read_text(encoding="utf-8")
    told = reference_page(config_reference())
    assert page.partition("## ")[2] == told.partition("## ")[2], (
        "write it anew: specdenoise config reference > flows/config.md"
    )


@pytest.mark.parametrize(
    ("key", "default", "takes", "unit", "words"),
    [
        ("conditions.seeing", "[0.5, 1.5]", "[number, number] within 0.05 to 10", "arcsec", "FWHM"),
        ("conditions.exposure_time_s", "900.0", "number > 0, ≤ 1e+06", "s", "read-out"),
        ("sky.tables", "", "text", "", "not set: embedded"),
        ("dataset.block", '"auto"', '"auto" or whole number > 0, ≤ 1e+09', "", "together"),
        ("instrument.lsf", '"etc"', '"etc" or "profile" or "table2"', "", "Gaussian"),
        ("cluster.slurm.directives", "[]", "list of text at most 1000, like ^[^\\r\\n]+$", "",
         "#SBATCH"),
        ("noise.sky_subtraction_coherent", "true", "true or false", "", "average"),
        ("launch.nodes", "1", "whole number > 0", "", "share the `train.ranks` processes evenly"),
    ],
)  # fmt: skip
def test_the_reference_tells_default_bounds_unit_and_meaning(
    key: str, default: str, takes: str, unit: str, words: str
) -> None:
    ((found,),) = [table.keys for table in config_reference(key)]
    assert (found.name, found.default, found.takes, found.unit) == (key, default, takes, unit)
    assert words in found.meaning


def test_the_reference_tells_what_recipes_give_and_what_a_key_acts_with() -> None:
    ((factor,),) = [table.keys for table in config_reference("train.factor")]
    assert factor.recipes == {"A": "0.5"} and factor.default == ""
    assert factor.only_with == 'train.schedule = "plateau"'
    ((rank,),) = [table.keys for table in config_reference("model.rank")]
    assert rank.recipes == {"B": "512", "C": "224"}
    assert rank.only_with == 'model.kind = "projection" or "restframe"'


def test_a_section_is_explained_by_what_its_modes_share_or_by_each() -> None:
    means = {table.name: table.meaning for table in config_reference()}
    assert means["train"].startswith("How a network is trained: ")
    assert "residual" in means["model"] and "fully connected" in means["model"]


def test_one_section_or_key_is_shown_alone(show: Any) -> None:
    page = show("reference", "noise")
    assert page.startswith("## [noise]\n") and page.count("\n* ") == 2
    assert [one["name"] for one in json.loads(show("reference", "cluster", "--json"))] == [
        "cluster", "cluster.slurm", "cluster.kubernetes",
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"no section or key 'nois' .* sections are storage, "):
        config_reference("nois")


def test_two_configs_are_compared(show: Any, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        "[dataset]\nname = 'demo'\nmode = 'endless'\nn_train = 9\n"
        "[train]\nrecipe = 'C'\nepochs = 7\nseconds = 240\n"
        "[evaluate]\ntrust_spectra = 4096\nstranger_spectra = 256\n"
    )
    assert show("diff", "demo", str(mine)).splitlines() == ["dataset.n_train: 49152 | 9"]
    assert json.loads(show("diff", str(mine), "demo", "--json")) == [
        {"key": "dataset.n_train", "a": 9, "b": 49152}
    ]
    assert "train.momentum: — | 0.0" in show("diff", "demo", "paper").splitlines()
    assert show("diff", "demo", "demo") == "no difference\n"
