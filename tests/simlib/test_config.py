"""The config: presets, overrides, and one clear message for every mistake."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from simlib.config import SimulationConfig, load_config, presets
from simlib.errors import InputError
from simlib.fingerprint import fingerprint


def test_every_preset_loads() -> None:
    assert sorted(presets()) == ["demo", "paper", "survey", "tiny"]
    for name in presets():
        assert load_config(name).dataset.n_train > 0


def test_a_file_and_an_override_change_their_values_only(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[stellar]\nteff = [4000, 4500]\n[train]\nrecipe = 'B'\n")
    config = load_config(path, ["dataset.name=mine", "conditions.exposure_count=3"])
    assert config.stellar.teff == (4000.0, 4500.0)
    assert (config.dataset.name, config.conditions.exposure_count) == ("mine", 3)
    assert config.stellar.logg == SimulationConfig().stellar.logg


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stellar.tef=[4000, 4500]", "unknown key 'stellar.tef'; the nearest .* 'stellar.teff'"),
        ("stelar.teff=1", "unknown key 'stelar'; the nearest known key is 'stellar'"),
        ("stellar.teff=[5000, 3500]", r"range \[5000, 3500\] is reversed; write \[3500, 5000\]"),
        ("conditions.zenith_angle=[0, 95]", r"range \[0, 95\] leaves \[0, 75\]"),
        ("conditions.exposure_count=0", "conditions.exposure_count = 0: .*greater than 0"),
        ("stellar.r_v=nan", "stellar.r_v = nan"),
        ("dataset.name=../up", "dataset.name = '../up'"),
        ("instrument.lsf=other", "'etc', 'profile' or 'table2'"),
        ("stellar", "not of the form section.key=value"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message_with_the_value(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_config("demo", [override])


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="demo, paper, survey, tiny"):
        load_config("dem")


def test_broken_toml_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("[stellar\n")
    with pytest.raises(InputError, match="broken.toml is not valid TOML.*line 1"):
        load_config(path)


def test_config_is_frozen() -> None:
    with pytest.raises(ValidationError):
        load_config("demo").stellar.teff = (1.0, 2.0)  # type: ignore[misc]


def test_a_fingerprint_knows_values_not_their_spelling() -> None:
    one = load_config("demo", ["stellar.teff=[4000, 4500]"]).stellar
    same = load_config("demo", ["stellar.teff=[4.0e3, 4500.0]"]).stellar
    other = load_config("demo", ["stellar.teff=[4000, 4501]"]).stellar
    assert fingerprint(one) == fingerprint(same) != fingerprint(other)
    assert len(fingerprint(one)) == 16


def test_survey_and_paper_simulate_the_same_data() -> None:
    survey, paper = load_config("survey"), load_config("paper")
    assert survey == paper
