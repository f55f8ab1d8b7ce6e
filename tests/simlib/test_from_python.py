"""From Python: names that can be found, and one message for what is of the wrong kind."""

import pydoc
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import xarray as xr

import simlib
import trainlib
from simlib.errors import InputError
from simlib.rng import Split

NO = "no table"


@pytest.mark.parametrize("package", ["simlib", "trainlib", "flows"])
def test_all_public_names_are_listed(package: str) -> None:
    module = import_module(package)
    assert set(module.__all__) <= set(dir(module)) and "__doc__" in dir(module)


def test_help_shows_the_public_names_with_what_they_are_for() -> None:
    page = pydoc.plain(pydoc.render_doc(simlib))
    functions = set(simlib.__all__) - {"etc", "stellar", "InputError"}
    for name in functions:
        assert f"    {name}(" in page
        text = getattr(simlib, name).__doc__.partition("\n")[0]
        assert text in page
    assert {"load_instrument", "load_sky", "plot", "simulate"} <= functions


def config() -> Any:
    return simlib.load_config("tiny")


def grid() -> xr.Dataset:
    return simlib.open_grid("toy")


def stars() -> xr.Dataset:
    return simlib.draw_parameters(config(), simlib.open_grid("default"), Split.train, 0, 1)


def arm() -> Any:
    return simlib.load_instrument("pfs-redmr-2024-07-14")


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: simlib.load_config(3), r"a config is of the type int \(3\); give a preset's name"),
        (lambda: simlib.open_grid(None), r"a place is of the type NoneType \(None\); give a path"),
        (lambda: simlib.open_dataset(["a"]), r"a place is of the type list \(\['a'\]\)"),
        (lambda: simlib.replay(3.0, "train", 0), "a place is of the type float"),
        (lambda: simlib.draw_parameters("tiny", grid(), "train", 0, 1),
         "config is of the type str .*; give what `load_config` returns"),
        (lambda: simlib.draw_parameters(config(), "toy", "train", 0, 1),
         "grid is of the type str .*; give what `open_grid` returns"),
        (lambda: simlib.draw_parameters(config(), grid().drop_vars("present"), "train", 0, 1),
         r"grid lacks present \(it holds .*teff"),
        (lambda: simlib.draw_parameters(config(), grid(), "trian", 0, 1),
         "no split 'trian'; known: train, validation, test"),
        (lambda: simlib.simulate({}, grid(), arm()), "parameters is of the type dict"),
        (lambda: simlib.simulate(stars().drop_vars(["ebv", "teff"]), grid(), arm()),
         "parameters lacks teff, ebv .*; give a table as `draw_parameters` returns it"),
        (lambda: simlib.simulate(stars(), "default", arm()), "grid is of the type str"),
        (lambda: simlib.simulate(stars(), stars(), arm()), "grid lacks flux_normalized"),
        (lambda: simlib.simulate(stars(), grid(), "pfs"),
         "terms is of the type str .*; give what `load_instrument` returns, or a stored grid"),
        (lambda: simlib.simulate(stars(), grid(), arm(), "tiny"), "config is of the type str"),
        (lambda: simlib.run_etc(NO, arm(), None), "conditions is of the type str"),
        (lambda: simlib.run_etc(stars(), "pfs", None), "instrument is of the type str"),
        (lambda: simlib.run_etc(stars(), arm(), config().sky), "sky is of the type Sky .*load_sky"),
        (lambda: trainlib.train("tiny", "data"), "config is of the type str .*`trainlib.load"),
        (lambda: trainlib.evaluate(7), "a place is of the type int"),
    ],
)  # fmt: skip
def test_a_wrong_kind_is_told_in_one_message(call: Callable[[], object], told: str) -> None:
    with pytest.raises(InputError, match=told) as error:
        call()
    assert "\n" not in str(error.value) and len(str(error.value)) < 700
