"""The preset `paper` holds the paper's tables 1-3 and section 3, value by value."""

import numpy as np
import pytest

from flows.config import load_config
from simlib.instrument import load_instrument

PAPER = load_config("paper")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seeing", (0.5, 1.5)),
        ("zenith_angle", (0.0, 45.0)),
        ("field_angle", (0.0, 0.65)),
        ("moon_zenith_angle", (30.0, 90.0)),
        ("moon_target_angle", (60.0, 180.0)),
        ("moon_phase", (0.0, 0.25)),
        ("exposure_time_s", 15 * 60.0),
        ("exposure_count", 20),
    ],
)
def test_table_1_observing_conditions(key: str, value: object) -> None:
    assert getattr(PAPER.conditions, key) == value


def test_table_2_spectrograph_with_its_two_exceptions() -> None:
    instrument = load_instrument(PAPER.instrument.name)
    edges = instrument.wavelength_edges
    assert (edges[0], edges[-1]) == (710.0, 885.0)
    assert len(instrument.wavelength) == 4096
    # Exception 1: 4096 pixels over that range are 0.427 Angstrom wide; the table prints 0.4.
    assert np.allclose(np.diff(edges), 175.0 / 4096)
    # Exception 2: the lines are the calculator's own; the table's 1.6 Angstrom is the other choice.
    assert PAPER.instrument.lsf == "etc"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("teff", (3500.0, 5000.0)),
        ("logg", (0.0, 5.0)),
        ("feh", (-2.5, 0.75)),
        ("alpha", (-0.25, 0.5)),
        ("redshift", (-0.003, 0.003)),
        ("magnitude", (19.0, 22.5)),
        ("ebv", (0.0, 0.1)),
    ],
)
def test_table_3_stars(key: str, value: object) -> None:
    assert getattr(PAPER.stellar, key) == value


def test_section_2_2_normalization() -> None:
    assert PAPER.normalize.median == 0.5
    assert PAPER.normalize.window_nm == (650.0, 950.0)


def test_section_3_1_network() -> None:
    assert PAPER.model.widths == (4096, 3136, 2176, 1216, 256)
    assert PAPER.model.activation == "relu"
    assert PAPER.model.output == "sigmoid"
    assert PAPER.model.input == "flux"
    assert PAPER.model.skip == "none"
    assert not PAPER.model.noise_level


def test_section_3_2_data_sets() -> None:
    assert (PAPER.dataset.n_train, PAPER.dataset.n_validation) == (100_000, 100_000)


def test_section_3_3_augmentation() -> None:
    assert PAPER.augment.calibration_max == 0.02
    # The paper prints N(1, 1.01), a misprint, and N(0, 0.01).
    assert (PAPER.augment.scale_sigma, PAPER.augment.offset_sigma) == (0.01, 0.01)
    assert PAPER.augment.target == "augmented"


def test_section_3_5_training() -> None:
    train = PAPER.train
    assert (train.batch_size, train.lr, train.patience, train.factor) == (250, 100.0, 150, 0.5)
    assert (train.optimizer, train.momentum, train.schedule) == ("sgd", 0.0, "plateau")
    assert train.epochs == 7500
