"""The network without torch is the one that torch trained."""

import numpy as np
import pytest
import torch

from simlib.errors import InputError
from tests.trainlib.rest.toy_frame import observed, statistics
from trainlib.config import RestFrameModel
from trainlib.models import build_model
from trainlib.models.restframe import RestFrameNetwork
from trainlib.onsky.network import network_of

RANK = 6


def trained(section: RestFrameModel) -> tuple[RestFrameNetwork, dict[str, np.ndarray]]:
    """Return a network of random weights, and its arrays."""
    torch.manual_seed(4)
    network = build_model(section, statistics(RANK)).eval()
    assert isinstance(network, RestFrameNetwork)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network, {name: one.numpy() for name, one in network.state_dict().items()}


@pytest.mark.parametrize("kind", ["gelu", "relu"])
@pytest.mark.parametrize("blocks", [1, 3])
def test_both_make_the_same_of_spectra(kind, blocks):
    section = RestFrameModel(rank=RANK, hidden=15, blocks=blocks, activation=kind, scan_rank=4)
    network, arrays = trained(section)
    flux, variance, _, _ = observed(40, 0.05)
    variance[::3, 50:60] = np.inf
    found = network_of(section.model_dump(), arrays).denoise(flux, variance)
    with torch.inference_mode():
        expected = network.denoise(torch.from_numpy(flux), torch.from_numpy(variance))
    for name in ("flux", "error", "stars", "redshift"):
        one, other = getattr(found, name), getattr(expected, name)
        assert one.dtype == other.dtype and np.abs(one - other).max() < 1e-5, name
    assert np.ptp(expected.stars, axis=0).min() > 0.1  # the network is heard


SECTION = RestFrameModel(rank=RANK, hidden=8, blocks=1, scan_rank=4)


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("last.bias", None, "last.bias"),
        ("vectors", lambda one: one[:, 1:], r"vectors is float32 \(6, 479\).*\(6, 480\) was"),
        ("first.weight", lambda one: one.astype(float), "first.weight is float64"),
        ("mean", lambda one: one * np.nan, "mean holds what is no number"),
        ("noise_shape", lambda one: np.ones(481, np.float32), "481 pixels on an axis of 480"),
        ("redshifts", lambda one: 10.0 * one, "leave the rest axis of 480 points"),
        ("redshifts", lambda one: one[::-1].copy(), "redshifts from 0.0006 to -0.0006"),
        ("axis", lambda one: 0.0 * one, "axis"),
        ("eigenvalues", lambda one: -one, "eigenvalues"),
    ],
)
def test_arrays_that_are_no_network_are_refused(name, change, told):
    _, arrays = trained(SECTION)
    if change is None:
        del arrays[name]
    else:
        arrays[name] = change(arrays[name])
    with pytest.raises(InputError, match=told):
        network_of(SECTION.model_dump(), arrays)


def test_a_section_of_another_kind_is_refused_and_other_arrays_are_left_alone():
    _, arrays = trained(SECTION)
    with pytest.raises(InputError, match="it holds no network of this version"):
        network_of(SECTION.model_dump() | {"kind": "projection"}, arrays)
    with pytest.raises(InputError, match="it holds no network of this version"):
        network_of(SECTION.model_dump() | {"hidden": 9}, arrays)
    assert network_of(SECTION.model_dump(), arrays | {"calibration": np.ones(3)})
