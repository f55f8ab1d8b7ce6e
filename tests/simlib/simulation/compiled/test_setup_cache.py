"""Prepared tables on disk: one file, mapped, whole or absent, made once by many."""

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simlib import kept
from simlib.config import Stellar, load_config
from simlib.photometry import band_file
from simlib.simulation.compiled import setup_cache
from simlib.simulation.compiled.templates import Templates, make_templates
from simlib.simulation.line_spread import LineSpread, Profile
from tests.simlib.simulation.grids import RESOLUTION, same_everywhere

PIXELS = 710.0 + 175.0 / 4096 * (np.arange(4096) + 0.5)
SPREAD = LineSpread(PIXELS, np.full(4096, 0.0565), RESOLUTION)
STELLAR = load_config("demo").stellar

MAKE = """
import sys
from tests.simlib.simulation.compiled.test_setup_cache import *
setup_cache.make_templates = lambda *given: print("made") or make_templates(*given)
templates = setup_cache.templates_for(same_everywhere(np.ones_like), SPREAD, STELLAR)
print(templates.coefficients.sum(dtype=float))
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPECDENOISE_CACHE", str(tmp_path))
    return tmp_path / "templates"


def made() -> Templates:
    return setup_cache.templates_for(same_everywhere(np.ones_like), SPREAD, STELLAR)


def test_what_is_read_back_is_what_was_made_and_it_is_mapped(cache: Path) -> None:
    kept = made()
    fresh = make_templates(same_everywhere(np.ones_like), SPREAD, STELLAR)
    for name, array in vars(fresh).items():
        again = getattr(kept, name)
        assert again.dtype == array.dtype and np.array_equal(again, array)
        assert not again.flags.writeable and not again.flags.owndata
    assert [path.suffix for path in sorted(cache.iterdir())] == [".safetensors", ".lock"]


def test_another_set_up_gets_another_file(cache: Path) -> None:
    made()
    wider = LineSpread(PIXELS, SPREAD.lsf_sigma * 1.01, RESOLUTION)
    setup_cache.templates_for(same_everywhere(np.ones_like), wider, STELLAR)
    assert len(list(cache.glob("*.safetensors"))) == 2


def identity(spread: LineSpread = SPREAD, stellar: Stellar = STELLAR) -> str:
    return setup_cache.setup_identity(same_everywhere(np.ones_like), spread, stellar)


PROFILE = Profile(PIXELS[:2], np.linspace(-1, 1, 3), np.ones((2, 3)))
# Of [stellar]: what a set-up is made for. It serves all stars of the grid and all reddenings.
SHAPING = {"r_v": 3.0, "redshift": (0.0, 0.001), "band": "sdss2010-i"}
SERVED = {"grid": "other", "sampling": "continuous", "teff": (4000.0, 4500.0), "logg": (1.0, 2.0),
          "feh": (-1.0, 0.0), "alpha": (0.0, 0.25), "magnitude": (20.0, 21.0),
          "ebv": (0.0, 0.2), "withheld": "cells", "withheld_share": 0.3,
          "withheld_only": True}  # fmt: skip


def moved(value: Any) -> Any:
    """Return the same but for one last bit."""
    if isinstance(value, np.ndarray):
        value = value.astype(float)
        value.flat[-1] = np.nextafter(value.flat[-1], np.inf)
        return value
    return np.nextafter(value, np.inf)


@pytest.mark.parametrize("spread", [SPREAD, replace(SPREAD, profile=PROFILE)])
def test_the_identity_moves_with_each_figure_of_a_line_spread(spread: LineSpread) -> None:
    found = [identity(spread)]
    for field in fields(LineSpread):
        if field.name != "profile":
            changed = moved(getattr(spread, field.name))
            found.append(identity(replace(spread, **{field.name: changed})))
    if spread.profile is None:
        found.append(identity(replace(spread, profile=PROFILE)))
    else:
        for field in fields(Profile):
            other = replace(PROFILE, **{field.name: moved(getattr(PROFILE, field.name))})
            found.append(identity(replace(spread, profile=other)))
    assert len(set(found)) == len(found) == (5 if spread.profile is None else 7)


def test_the_identity_moves_with_what_a_set_up_is_made_for_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {*SHAPING, *SERVED} == set(Stellar.model_fields)
    for name, value in SERVED.items():
        assert identity(stellar=STELLAR.model_copy(update={name: value})) == identity(), name
    curve = tmp_path / "curve.ecsv"
    shipped = band_file("hsc2017-i2").read_text()
    curve.write_text(shipped)
    own = STELLAR.model_copy(update={"band": str(curve)})
    assert identity(stellar=own) == identity()  # the same curve under another name
    found = [
        identity(),
        setup_cache.setup_identity(same_everywhere(np.zeros_like), SPREAD, STELLAR),
        *(identity(stellar=STELLAR.model_copy(update={k: v})) for k, v in SHAPING.items()),
    ]
    curve.write_text(shipped.replace("6900.0 0.0032", "6900.0 0.0033"))
    found.append(identity(stellar=own))  # another under the same name
    for name in ("PHYSICS_VERSION", "_VERSION"):
        monkeypatch.setattr(setup_cache, name, -1)
        found.append(identity())
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("end", [0, 1])
def test_the_identity_moves_with_either_end_of_the_redshifts(end: int) -> None:
    redshift = list(STELLAR.redshift)
    redshift[end] *= 0.5
    assert identity(stellar=STELLAR.model_copy(update={"redshift": tuple(redshift)})) != identity()


@pytest.mark.slow
def test_processes_that_need_it_at_once_share_one_file(cache: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", MAKE], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [process.communicate(timeout=200)[0].split() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert sorted(words[:-1] for words in said) == [[], [], ["made"]]
    assert len({words[-1] for words in said}) == 1
    assert len(list(cache.glob("*.safetensors"))) == 1
    assert not list(cache.glob(".*"))


def test_what_is_kept_is_not_made_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made()
    kept._mapped.cache_clear()
    monkeypatch.setattr(setup_cache, "make_templates", lambda *_: pytest.fail("made again"))
    made()
