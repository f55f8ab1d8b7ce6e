"""What is withheld of a stellar grid is not drawn, and alone is drawn where that is asked for."""

from itertools import product

import numpy as np
import pytest
import xarray as xr
from scipy.stats import kstest

from simlib.config import SimulationConfig, load_config
from simlib.errors import InputError
from simlib.parameters import AXES, draw_parameters
from simlib.withheld import lengths_between, place_between, withheld_intervals

NODES = {
    "teff": np.array([3500.0, 3750.0, 4000.0, 4500.0, 5000.0]),
    "logg": np.arange(0.0, 5.5, 1.0),
    "feh": np.arange(-2.5, 0.76, 0.25),
    "alpha": np.array([-0.25, 0.0, 0.25, 0.5]),
}
SHAPE = [len(nodes) for nodes in NODES.values()]
GRID = xr.Dataset({"present": (AXES, np.ones(SHAPE, bool))}, coords=NODES)
Place = tuple[int, tuple[float, ...], int]  # axis, nodes of the others, interval


def config(*overrides: str) -> SimulationConfig:
    return load_config("demo", [f"stellar.{override}" for override in overrides])


def places(table: xr.Dataset) -> list[Place]:
    found = []
    for row in range(table.sizes["spectrum"]):
        axis = int(table["interpolated_axis"][row])
        values = [float(table[name][row]) for name in AXES]
        nodes, along = NODES[AXES[axis]], values.pop(axis)
        found.append((axis, tuple(values), int(np.searchsorted(nodes, along, side="right")) - 1))
    return found


@pytest.mark.parametrize("kind", ["cells", "threads"])
def test_what_is_kept_and_what_is_withheld_have_nothing_in_common(kind: str) -> None:
    kept, out = config(f"withheld={kind}"), config(f"withheld={kind}", "withheld_only=true")
    other = kept.model_copy(update={"dataset": kept.dataset.model_copy(update={"seed": 5})})
    drawn = [set(places(draw_parameters(one, GRID, "train", 0, 1500))) for one in (kept, other)]
    held = set(places(draw_parameters(out, GRID, "test", 0, 1500)))
    assert not (drawn[0] | drawn[1]) & held and len(held) > 50
    if kind == "threads":
        assert not {place[:2] for place in drawn[0]} & {place[:2] for place in held}


@pytest.mark.parametrize("is_cells", [True, False])
def test_about_the_share_is_withheld_that_is_asked_for(is_cells: bool) -> None:
    for share in (0.1, 0.5):
        found = [withheld_intervals(SHAPE, along, share, is_cells).mean() for along in range(4)]
        assert np.mean(found) == pytest.approx(share, rel=0.35)


def test_every_withheld_interval_is_of_a_cell_of_which_nothing_is_left() -> None:
    out = [withheld_intervals(SHAPE, along, 0.2, True) for along in range(4)]

    def edges(cell: tuple[int, ...]) -> set[tuple[int, ...]]:
        """The axis, the nodes of the others and the interval of all 32."""
        return {
            (along, *(cell[n] + c for n, c in zip(others, corner, strict=True)), cell[along])
            for along in range(4)
            for others in [[n for n in range(4) if n != along]]
            for corner in product((0, 1), repeat=3)
        }

    whole = set[tuple[int, ...]]()
    for cell in product(*(range(count - 1) for count in SHAPE)):
        if all(out[along][tuple(rest)] for along, *rest in edges(cell)):
            whole |= edges(cell)
    assert whole == {(n, *map(int, at)) for n in range(4) for at in np.argwhere(out[n])}


def test_stars_are_even_along_what_is_left_of_a_thread() -> None:
    nodes, limits = np.array([0.0, 1.0, 2.0, 4.0]), (0.5, 3.5)
    assert lengths_between(nodes, limits).tolist() == [0.5, 1.0, 1.5]
    lengths = np.tile([0.5, 0.0, 1.5], (4, 1))
    found = place_between(nodes, limits, lengths, np.array([0.0, 0.125, 0.5, 1.0 - 1e-12]))
    assert found.tolist() == pytest.approx([0.5, 0.75, 2.5, 3.5])
    assert lengths_between(nodes, (1.0, 1.0)).tolist() == [0.0, 1.0, 0.0]
    assert lengths_between(nodes, (4.0, 4.0)).tolist() == [0.0, 0.0, 1.0]
    assert place_between(nodes, (1.0, 1.0), np.array([[0.0, 1.0, 0.0]]), np.array([0.7])) == [1.0]
    whole = config("withheld=threads", "teff=[3600, 4900]")
    teff = draw_parameters(whole, GRID, "train", 0, 4000)
    along = teff["teff"].values[teff["interpolated_axis"].values == 0]
    assert kstest((along - 3600.0) / 1300.0, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["withheld_share=0.2"], "withheld_share cannot act where withheld = 'nothing'; set"),
        (["withheld_only=true"], "withheld_only cannot act where withheld = 'nothing'; set"),
        (["withheld=cells", "sampling=continuous"], "leaves out threads, which sampling = 'cont"),
        (["withheld=some"], "'nothing', 'cells' or 'threads'"),
        (["withheld=cells", "withheld_share=1"], "less than 1"),
    ],
)
def test_what_cannot_act_is_refused(overrides: list[str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        config(*overrides)


def test_a_share_that_leaves_nothing_is_refused_with_the_way_out() -> None:
    with pytest.raises(InputError, match=r"'threads' leaves nothing.*widen.*withheld_share"):
        draw_parameters(config("withheld=threads", "withheld_share=0.9999999"), GRID, "train", 0, 9)
