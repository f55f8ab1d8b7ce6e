import pytest

from simlib.config import validate
from simlib.errors import InputError
from trainlib import runs
from trainlib.config import (
    RECIPES,
    PlainAugment,
    RestFrameModel,
    TrainingConfig,
    WalkAugment,
    lay_on_recipe,
    load_config,
    read_recipe,
)


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


@pytest.mark.parametrize("preset", ["demo", "survey"])
def test_a_preset_trains_the_network_at_rest_and_the_others_are_a_flag_away(preset):
    kinds = {"A": "hourglass", "B": "projection", "C": "restframe"}
    assert load_config(preset).train.recipe == "C"
    for recipe, kind in kinds.items():
        config = load_config(preset, [f"train.recipe={recipe}"])
        assert config.model.kind == kind
        assert config.model == config_of(train={"recipe": recipe}).model


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ({"model": {"widths": [8, 4]}}, r"model\.widths acts only with model\.kind = 'hourglass'"),
        (
            {"train": {"recipe": "C"}, "model": {"skip": "none"}},
            r"model\.skip acts only with model\.kind = 'hourglass' or 'projection', which is",
        ),
        ({"model": {"passes": 2}}, r"model\.passes acts only with model\.kind = 'restframe'"),
        ({"train": {"momentum": 0.9}}, r"train\.momentum acts only with train\.optimizer = 'sgd'"),
        ({"train": {"patience": 3}}, r"train\.patience acts only with train\.schedule = 'plateau'"),
        (
            {"augment": {"calibration": "none", "calibration_max": 0.1}},
            r"augment\.calibration_max acts only with augment\.calibration = 'walk'",
        ),
        ({"train": {"recipe": "Z"}}, r"known recipes are A, B, C"),
        (
            {"train": {"optimizer": "sgd"}},
            r"train\.optimizer = 'sgd' is not recipe B's, whose train\.lr = 0\.003 .* train\.lr",
        ),
    ],
)
def test_a_key_without_effect_is_refused_with_the_way_out(tables, told):
    with pytest.raises(InputError, match=told):
        lay_on_recipe(tables)


def test_a_scan_knows_no_more_than_the_basis_holds():
    with pytest.raises(InputError, match=r"scan_rank = 16 is more than the 8 .* or raise rank"):
        load_config("demo", ["train.recipe=C", "model.rank=8"])


def test_a_recipes_idle_keys_give_way_to_a_chosen_mode():
    config = config_of(train={"optimizer": "sgd", "lr": 1.0, "schedule": "constant"})
    assert not hasattr(config.train, "betas")
    assert not hasattr(config.train, "warmup")
    assert config.train.momentum == 0.0


@pytest.mark.parametrize(
    ("recipe", "section", "chosen", "brought"),
    [
        ("B", "train", {"optimizer": "sgd", "lr": 1.0}, {"momentum": 0.0}),
        ("A", "train", {"optimizer": "adamw", "lr": 1.0},
         {"betas": (0.9, 0.98), "weight_decay": 0.0}),
        ("B", "train", {"schedule": "plateau", "interval": 1},
         {"factor": 0.5, "patience": 150, "threshold": 1e-4, "cooldown": 0}),
        ("A", "train", {"schedule": "cosine"}, {"warmup": 0.04, "final": 0.01}),
        ("B", "model", {"kind": "hourglass"},
         {"widths": (4096, 3136, 2176, 1216, 256), "input": "standardized", "output": "linear"}),
        ("A", "model", {"kind": "projection"}, {"rank": 512, "hidden": 512, "blocks": 3}),
        ("B", "model", {"kind": "restframe"}, {"steps": 5, "scan_rank": 16, "passes": 8}),
        ("A", "augment", {"calibration": "none"}, {}),
    ],
)  # fmt: skip
def test_a_mode_chosen_alone_brings_its_own_defaults(recipe, section, chosen, brought):
    tables = {"train": {"recipe": recipe}}
    tables[section] = tables.get(section, {}) | chosen
    found, before = (getattr(config_of(**given), section).model_dump()
                     for given in (tables, {"train": {"recipe": recipe}}))  # fmt: skip
    assert {key: found[key] for key in found.keys() - before.keys()} == brought
    kept = found.keys() & before.keys() - chosen.keys()
    assert {key: found[key] for key in kept} == {key: before[key] for key in kept}


def test_a_file_that_says_nothing_trains_recipe_b_value_by_value():
    config = config_of()
    assert config.train.model_dump() == {
        "recipe": "B", "ranks": None, "threads": None, "device": "auto", "seconds": None,
        "epochs": 100, "batch_size": 256, "seed": 1, "loss": "rmse", "lr": 3e-3, "interval": 4,
        "validation_spectra": 2048, "join_timeout_s": 60.0, "restarts": 3, "keep": 2,
        "memory_gb": None, "tensorboard": False, "measure_peak": False,
            "precision": "float32", "compile": "none",
        "runs": None, "optimizer": "adamw",
        "betas": (0.9, 0.98), "weight_decay": 0.0, "schedule": "cosine", "warmup": 0.04,
        "final": 0.01,
    }  # fmt: skip
    assert config.model.model_dump() == {
        "kind": "projection", "rank": 512, "hidden": 512, "blocks": 3, "activation": "gelu",
        "noise_level": True, "skip": "wiener",
    }  # fmt: skip
    assert config.evaluate.model_dump() == {
        "split": "validation", "checkpoint": "last", "seed": 1, "spectra": None,
        "smoothing_sigma": 2.0, "wiener_rank": 512, "flux_floor": 0.02, "limit_spectra": 2048,
        "template_spectra": 512, "fit_spectra": 0, "trust_spectra": 12288, "stranger_spectra": 1024,
        "example_snr": 10.0,
    }  # fmt: skip


def test_recipe_c_is_the_defaults_of_its_network():
    written = read_recipe("C")
    assert RestFrameModel().model_dump() == written["model"]
    config = config_of(train={"recipe": "C"})
    assert config.model == RestFrameModel()
    assert (config.train.optimizer, config.train.schedule, config.train.lr) == (
        "adamw", "cosine", 2.5e-3,
    )  # fmt: skip


def test_the_defaults_of_the_augmentation_are_the_papers():
    papers = read_recipe("A")["augment"]
    assert papers == read_recipe("C")["augment"]
    assert WalkAugment().model_dump() == papers
    assert PlainAugment().model_dump().items() <= (papers | {"calibration": "none"}).items()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("train = 5", r"train = 5 stands in no section"),
        ("model = [1]", r"model = \[1\] stands in no section"),
        ("[[augment]]", r"augment = \[{}\] stands in no section"),
        ("evaluate = 'x'", r"evaluate = 'x' stands in no section"),
        ("[nothing]", r"unknown key 'nothing'"),
        ("[train]\nrecipe = []", r"train\.recipe = \[\]: known recipes are A, B, C"),
        ("[train]\noptimizer = []", r"train\.optimizer = \[\]: known are \['adamw', 'sgd'\]"),
        ("[train]\noptimizer = 'adam'", r"train\.optimizer = 'adam': known are"),
        ("[train]\nschedule = {a = 1}", r"train\.schedule = {'a': 1}: known are"),
        (
            "[model]\nkind = 3",
            r"model\.kind = 3: known are \['hourglass', 'projection', 'restframe'\]",
        ),
        ("[train]\nbetas = 'x'", r"train\.betas = 'x': Input should be a valid tuple"),
        ("[train]\nbetas = [0.5, 7]", r"train\.betas\.1 = 7: Input should be less"),
        ("[model]\nrank = {}", r"model\.rank = {}: Input should be a valid integer"),
        ("[model]\nsize = 3", r"unknown key 'model\.size'; the nearest known key is 'model\."),
    ],
)
def test_a_value_of_a_wrong_type_is_told_with_its_place(text, told, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        load_config(path)


def test_plateau_counts_epochs_and_refuses_longer_intervals():
    with pytest.raises(InputError, match="needs interval = 1, not 4"):
        load_config("demo", ["train.recipe=A", "train.interval=4"])


def test_a_skip_that_could_not_act_is_refused():
    with pytest.raises(InputError, match="input = 'standardized' and output = 'linear'"):
        load_config("demo", ["train.recipe=A", "model.skip=wiener"])


@pytest.mark.parametrize("section", ["model", "augment", "train", "storage"])
def test_a_section_that_is_none_is_told(section):
    with pytest.raises(InputError, match=f"{section} = 5: Input should be a valid dictionary"):
        validate(TrainingConfig, {section: 5})


def test_an_unknown_key_names_the_nearest():
    with pytest.raises(InputError, match=r"'train\.batchsize'.*'train\.batch_size'"):
        load_config("demo", ["train.batchsize=3"])


def test_the_resolved_config_reads_back_as_itself(tmp_path):
    for recipe in RECIPES:
        config = config_of(train={"recipe": recipe})
        runs.write_config(tmp_path, config)
        assert runs.read_config(tmp_path) == config
