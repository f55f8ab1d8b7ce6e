import pytest

from simlib.errors import InputError
from trainlib import runs
from trainlib.config import TrainingConfig, lay_on_recipe, load_config


def config_of(**sections: dict) -> TrainingConfig:
    return TrainingConfig.model_validate(sections)


def test_recipe_a_is_the_papers_section_3_value_by_value():
    config = config_of(train={"recipe": "A"})
    model, augment, train = config.model, config.augment, config.train
    assert model.kind == "hourglass"
    assert model.widths == (4096, 3136, 2176, 1216, 256)
    assert (model.activation, model.input, model.output) == ("relu", "flux", "sigmoid")
    assert (model.skip, model.noise_level) == ("none", False)
    assert (augment.calibration_max, augment.scale_sigma, augment.offset_sigma) == (
        0.02,
        0.01,
        0.01,
    )
    assert (train.optimizer, train.lr, train.momentum, train.batch_size) == ("sgd", 100.0, 0.0, 250)
    assert (train.schedule, train.factor, train.patience) == ("plateau", 0.5, 150)
    assert train.epochs == 7500


def test_a_files_keys_win_over_the_recipe():
    config = config_of(train={"recipe": "A", "lr": 3.0}, model={"widths": [64, 16]})
    assert config.train.lr == 3.0
    assert config.model.widths == (64, 16)
    assert config.train.patience == 150


def test_overrides_win_over_a_preset():
    config = load_config("demo", ["train.recipe=B", "train.lr=0.5", "train.ranks=3"])
    assert (config.train.lr, config.train.ranks) == (0.5, 3)


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"model": {"widths": [8, 4]}}, r"model\.widths acts only with model\.kind = 'hourglass'"),
        ({"train": {"momentum": 0.9}}, r"train\.momentum acts only with train\.optimizer = 'sgd'"),
        ({"train": {"patience": 3}}, r"train\.patience acts only with train\.schedule = 'plateau'"),
        (
            {"augment": {"calibration": "none", "calibration_max": 0.1}},
            r"augment\.calibration_max acts only with augment\.calibration = 'walk'",
        ),
        ({"train": {"recipe": "Z"}}, r"known recipes are A, B"),
        ({"train": {"optimizer": "sgd"}}, r"set train\.lr too"),
    ],
)
def test_a_key_without_effect_is_refused_with_the_way_out(tables, told):
    with pytest.raises(InputError, match=told):
        lay_on_recipe(tables)


def test_a_recipes_idle_keys_give_way_to_a_chosen_mode():
    config = config_of(train={"optimizer": "sgd", "lr": 1.0, "schedule": "constant"})
    assert config.train.betas is None
    assert config.train.warmup is None
    assert config.train.momentum == 0.0


def test_plateau_counts_epochs_and_refuses_longer_intervals():
    with pytest.raises(InputError, match="needs interval = 1, not 4"):
        load_config("demo", ["train.recipe=A", "train.interval=4"])


def test_a_skip_that_could_not_act_is_refused():
    with pytest.raises(InputError, match="input = 'standardized' and output = 'linear'"):
        load_config("demo", ["train.recipe=A", "model.skip=wiener"])


def test_an_unknown_key_names_the_nearest():
    with pytest.raises(InputError, match=r"'train\.batchsize'.*'train\.batch_size'"):
        load_config("demo", ["train.batchsize=3"])


def test_the_resolved_config_reads_back_as_itself(tmp_path):
    for recipe in ("A", "B"):
        config = config_of(train={"recipe": recipe})
        runs.write_config(tmp_path, config)
        assert runs.read_config(tmp_path) == config
