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
        ("stellar", "--set 'stellar' is not of the form section.key=value"),
        (".teff=1", "--set '.teff' is not of the form section.key=value"),
        ("dataset.seed.more.deep=12", "--set 'dataset.seed.more.deep': 'seed' is a value"),
        ("stellar.ebv=[0.01, 5.25]", r"stellar.ebv = .*: range \[0.01, 5.25\] leaves \[0, 5\]"),
        ("stellar.ebv=[-0.5, 1.5]", r"range \[-0.5, 1.5\] leaves \[0, 5\]"),
        ("dataset.chunks=12", r"key 'dataset.chunks'.* 'dataset.chunk' \(known: block, chunk, "
         r"mode, n_test, n_train, n_validation, name, seed\)"),
        ("sky.o2_scale=1001", "sky.o2_scale = 1001: .*less than or equal to 1000"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message_with_the_value(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_config("demo", [override])


def test_of_many_mistakes_five_are_told_and_the_rest_counted() -> None:
    wrong = [f"conditions.{name}=[-31, 200]" for name in (
        "seeing", "zenith_angle", "field_angle", "moon_zenith_angle", "moon_target_angle",
        "moon_phase",
    )] + ["stellar.r_v=17"]  # fmt: skip
    with pytest.raises(InputError) as error:
        load_config("demo", wrong)
    told = str(error.value)
    assert told.startswith("config demo: ") and told.endswith("; and 2 more")
    assert told.count("range [-31, 200] leaves [") == 5
    with pytest.raises(InputError) as error:
        load_config("demo", wrong[:5])
    assert "more" not in str(error.value)


def test_a_value_outside_every_section_is_named(tmp_path: Path) -> None:
    path = tmp_path / "flat.toml"
    path.write_text("seed = 37\n")
    with pytest.raises(InputError, match=r"flat.toml: seed = 37 stands in no section; \[seed"):
        load_config(path)


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


# What is simulated where nothing is said. Where one differs because a default is meant to be
# another: say so in the changelog, and put the new digest here.
DEFAULTS = {
    "instrument": "20f1b3110251d7b3", "sky": "5b1246b1e7305995", "conditions": "8db86d9ec1492f72",
    "terms": "0dc2c07150222c5e", "stellar": "4dd6b10d5bc564ab", "noise": "7c833c3c51140bff",
    "normalize": "8cd745274ac0d69f", "dataset": "7f41403ed4a42d5d",
}  # fmt: skip


@pytest.mark.parametrize("section", DEFAULTS)
def test_a_default_is_not_changed_unawares(section: str) -> None:
    assert fingerprint(SimulationConfig().leaves(section)) == DEFAULTS[section]


def test_every_section_that_shapes_spectra_has_its_defaults_watched() -> None:
    assert set(DEFAULTS) == set(SimulationConfig.model_fields) - {"storage"}
    assert SimulationConfig().leaves("storage", but={"root"}) == {
        "storage.codec": "lz4", "storage.options": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    "override",
    ["dataset.n_train=true", "dataset.block=true", "dataset.seed=false",
     "stellar.magnitude=[true, 20]"],
)  # fmt: skip
def test_true_and_false_are_no_numbers(override: str) -> None:
    with pytest.raises(InputError, match=rf"{override.partition('=')[0]} = .*not true or false"):
        load_config("tiny", [override])
    coherent = load_config("tiny", ["noise.sky_subtraction_coherent=false"]).noise
    assert not coherent.sky_subtraction_coherent


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes("[dataset]\nn_train = 7\n".encode("utf-8-sig"))
    assert load_config(path).dataset.n_train == 7


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ("0.7,1.1", (0.7, 1.1)),
        ("1.2", (1.2, 1.2)),
        ("[1.2]", (1.2, 1.2)),
        ("[0.7, 1.1]", (0.7, 1.1)),
    ],
)
def test_a_range_may_be_given_without_brackets_or_as_one_number(
    given: str, limits: tuple[float, float]
) -> None:
    assert load_config("tiny", [f"conditions.seeing={given}"]).conditions.seeing == limits


@pytest.mark.parametrize("given", ["low,high", "1,2,3", "", "true"])
def test_what_is_no_range_is_refused(given: str) -> None:
    with pytest.raises(InputError, match=r"conditions\.seeing"):
        load_config("tiny", [f"conditions.seeing={given}"])
