"""A network on spectra unlike its training set: what is tested, kept, gone on with, and shown."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

from flows.cli import run_program
from simlib.config import load_config
from simlib.dataset.rows import Recipe
from simlib.errors import InputError
from simlib.etc.grid.store import ensure_terms_grid
from simlib.location import Location
from tests.simlib.dataset.toy_build import build
from tests.simlib.dataset.toy_build import toy_config as dataset_config
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import toy_config, train_here
from trainlib.config import Evaluate, PlainAugment, WalkAugment
from trainlib.evaluation import generalise as module
from trainlib.evaluation.circumstances import Circumstance, circumstances, mask_runs, strike
from trainlib.evaluation.evaluate import evaluate
from trainlib.evaluation.generalisation import (
    GENERALISATION,
    Generalisation,
    OnLines,
    OnSpectra,
    read_generalisation,
    write_generalisation,
)
from trainlib.evaluation.generalise import generalise, generalise_all
from trainlib.evaluation.page_numbers import _tested_alike
from trainlib.evaluation.report import write_report
from trainlib.training.augment import Batch

ROWS = 12


def named(config, name: str) -> Circumstance:
    (one,) = (one for one in circumstances(config) if one.name == name)
    return one


def test_what_lies_beyond_the_trained_ranges_begins_where_they_end():
    config = load_config("survey", ["conditions.seeing=[0.4, 0.9]", "stellar.magnitude=[18, 21]"])
    names = [one.name for one in circumstances(config)]
    assert names[0] == "as trained" and len(set(names)) == len(names) == 15
    worse = named(config, "worse seeing").config(config)
    assert worse.conditions.seeing == (0.9, 1.9) and worse.terms.source == "direct"
    assert named(config, "fainter stars").config(config).stellar.magnitude == (21.0, 22.5)
    assert named(config, "fewer exposures").config(config).conditions.exposure_count == 5
    assert named(config, "faintest").config(config).conditions.exposure_count == 12
    assert named(config, "as trained").config(config) == config
    assert named(config, "continuous").config(config).stellar.sampling == "continuous"
    full = load_config("survey", ["conditions.moon_phase=[0, 0.5]", "stellar.sampling=continuous",
                                  "instrument.lsf=table2"])  # fmt: skip
    names = [one.name for one in circumstances(full)]
    assert "brighter moon" not in names and "threads" in names
    assert named(full, "other lines").config(full).instrument.lsf == "etc"


def test_each_kind_has_an_identity_of_its_own():
    kinds = circumstances(load_config("survey"))
    assert len({one.identity for one in kinds}) == len(kinds)
    other = circumstances(load_config("survey", ["conditions.seeing=[0.5, 1.4]"]))
    moved = [a.name for a, b in zip(kinds, other, strict=True) if a.identity != b.identity]
    assert moved == ["worse seeing"]


def test_the_calibration_is_as_wrong_as_it_says():
    trained = WalkAugment(calibration_width=0.3, scale_sigma=0.03)
    config = load_config("survey")
    five = named(config, "calibration 5%").augment(trained)
    assert isinstance(five, WalkAugment)
    assert (five.calibration_max, five.calibration_width, five.scale_sigma) == (0.05, 0.3, 0.03)
    none = named(config, "calibration 0%").augment(trained)
    assert isinstance(none, PlainAugment) and none.scale_sigma == 0.03
    plain = named(config, "calibration 1%").augment(PlainAugment(offset_sigma=0.5))
    assert isinstance(plain, WalkAugment) and plain.offset_sigma == 0.5
    assert named(config, "masked").augment(trained) is trained


def test_masked_pixels_lose_their_flux_and_weight_and_struck_ones_only_shine():
    ones = torch.ones(6, 400)
    batch = Batch(ones, ones + 0.0, 0.01 * ones)
    masked = mask_runs(batch)
    hidden = ~masked.variance.isfinite()
    assert 0.05 <= float(hidden.float().mean()) < 0.2
    assert bool((masked.noisy[hidden] == 0.0).all()) and bool((masked.noisy[~hidden] == 1.0).all())
    struck = strike(batch)
    lifted = (struck.noisy - batch.noisy) / 0.1
    assert bool(((lifted > 4.9).sum(dim=1) <= 3).all()) and bool((lifted > 4.9).any(dim=1).all())
    assert torch.equal(struck.variance, batch.variance)
    assert torch.equal(batch.noisy, ones)  # the given spectra stay


def row(**told) -> OnSpectra:
    return OnSpectra(identity="0" * 16, name="as trained", text="stars", **told)


def test_a_record_is_of_one_network_and_a_damaged_one_is_none(tmp_path: Path):
    tested = row(spectra=3, snr=(1.0, 2.0, 3.0))
    found = Generalisation(checkpoint="abc", dataset="d", rows=(tested,), lines=(), provenance={})
    assert read_generalisation(tmp_path, "abc") is None
    write_generalisation(tmp_path, found)
    assert read_generalisation(tmp_path, "abc") == found
    assert read_generalisation(tmp_path, "other") is None
    path = tmp_path / GENERALISATION
    path.write_text(path.read_text().replace("stars", "moons"))
    assert read_generalisation(tmp_path, "abc") is None


def test_what_all_runs_make_of_the_same_spectra_stands_side_by_side(tmp_path: Path):
    def shown(name, usual, etas):
        folder = Location.of(tmp_path / name)
        rows = tuple(OnSpectra(identity="", name=kind, text=f"on {kind}", eta=eta)
                     for kind, eta in etas.items())  # fmt: skip
        record = Generalisation(checkpoint=name, dataset="d", rows=rows, lines=(), provenance={})
        write_generalisation(folder, record, usual)
        manifest = SimpleNamespace(fingerprint=f"run-{name}")
        trained = SimpleNamespace(directory=folder, checkpoint=name, manifest=manifest)
        return SimpleNamespace(trained=trained)

    first = shown("a", None, {"moon": 1.5, "faint": 1.25})
    other = shown("b", "run-a", {"faint": 2.0})
    own = shown("c", None, {"moon": 9.0})  # tested on kinds unlike its own training set alone
    assert _tested_alike([first, other, own]) == [
        {"text": "on moon", "eta": [1.5, None, None]},
        {"text": "on faint", "eta": [1.25, 2.0, None]},
    ]
    assert _tested_alike([first]) == _tested_alike([first, own]) == []
    assert _tested_alike([other, first]) == []


def test_a_run_on_spectra_alone_is_refused_with_the_way_out(tmp_path: Path):
    run = train_here(toy_config(tmp_path, epochs=1), write_toy(tmp_path, 40, 8), tmp_path / "run")
    with pytest.raises(InputError, match="store of spectra alone.*dataset's folder"):
        generalise(run)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is tested, by name, of a network that stands for any."""
    network = SimpleNamespace(
        directory=Location.of(tmp_path), dataset=Location.of(tmp_path / "dataset"),
        checkpoint="abc", pixels=1,
        config=SimpleNamespace(evaluate=Evaluate(), augment=PlainAugment()),
        manifest=SimpleNamespace(fingerprint="f", dataset=SimpleNamespace(fingerprint="d")),
    )  # fmt: skip
    recipe = SimpleNamespace(config=load_config("survey"))
    names: list[str] = []

    def tested(test, one, identity):
        names.append(one.name)
        if names == ["as trained", "continuous", "worse seeing"]:
            raise KeyboardInterrupt
        return OnSpectra(identity=identity, name=one.name, text="")

    monkeypatch.setattr(module, "load_trained", lambda run: network)
    monkeypatch.setattr(module, "published_dataset", lambda place: (place, None))
    monkeypatch.setattr(module, "recipe_of", lambda *given: (recipe, None))
    monkeypatch.setattr(module, "_tested", tested)
    monkeypatch.setattr(
        module, "_lines", lambda test, snr, identity: names.append(f"{snr:g}")
        or OnLines(identity=identity, name="", text="", snr=snr))  # fmt: skip
    return names


def test_what_was_cut_off_goes_on_where_it_was_and_is_not_made_twice(made, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        generalise(tmp_path, 5)
    assert [one.name for one in read_generalisation(tmp_path, "abc").rows] == made[:2]
    found = generalise(tmp_path, 5)
    names = [one.name for one in circumstances(load_config("survey"))]
    assert made[3:] == [*names[2:], "5", "10", "20", "50", "100"]
    assert [one.name for one in found.rows] == names and len(found.lines) == 5
    done = len(made)
    assert generalise(tmp_path, 5) == found and len(made) == done
    generalise(tmp_path, 6)
    assert made[done:] == [*names, "5", "10", "20", "50", "100"]


def test_one_kind_that_changed_is_made_anew_alone(made, tmp_path, monkeypatch):
    made.append("")  # no interruption
    before = generalise(tmp_path, 5)
    done, good = len(made), module.circumstances
    moved = [one if one.name != "masked" else replace(one, text="anew") for one in
             good(load_config("survey"))]  # fmt: skip
    monkeypatch.setattr(module, "circumstances", lambda config: moved)
    after = generalise(tmp_path, 5)
    assert made[done:] == ["masked"] and len(after.rows) == len(before.rows)


def test_the_verb_is_told_run_storage_and_how_many(tmp_path, monkeypatch, capsys):
    told = []

    def stand_in(places, spectra):
        told.append(([(str(place), place.options) for place in places], spectra))
        lines = OnLines(identity="", name="lines", text="a line", snr=5.0, spectra=3, new_line=0.25)
        rows = (row(spectra=3, snr=(1.0, 2.0, 3.0), noisy=0.2, error=0.0375, bias=0.0, floor=0.03,
                    eta=1.25), row(reason="too dark"))  # fmt: skip
        found = Generalisation(checkpoint="abc", dataset="d", rows=rows, lines=(lines,),
                               provenance={})  # fmt: skip
        return [{"run": "mine"} | found.model_dump(mode="json")]

    module_told = SimpleNamespace(generalise_all=stand_in)
    monkeypatch.setitem(sys.modules, "trainlib.evaluation.generalise", module_told)
    for name in ("mine", "other"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    words = [
        "generalise",
        "mine",
        "other",
        "--root",
        str(tmp_path),
        "--storage-option",
        "door=open",
    ]
    assert run_program(words) == 0
    out = capsys.readouterr().out
    assert "as trained (stars): 3  S/N 2.0  noisy 20.00 %  mean |R| 3.75 %  limit 3.00 %" in out
    assert "η 1.25\nas trained (stars): not tested, too dark\nlines: 3  new line 25.00 %" in out
    assert run_program([*words, "--spectra", "7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["rows"][0]["eta"] == 1.25
    places = [(str(tmp_path / "runs" / name), {"door": "open"}) for name in ("mine", "other")]
    assert told == [(places, 512), (places, 7)]


def test_another_network_is_tested_on_the_spectra_of_the_first(made, tmp_path, monkeypatch):
    made.append("")  # no interruption
    first = module.load_trained("")
    other = SimpleNamespace(**vars(first) | {"checkpoint": "of-other", "manifest": SimpleNamespace(
        fingerprint="g", dataset=SimpleNamespace(fingerprint="e"))})  # fmt: skip
    usual = []
    monkeypatch.setattr(module, "load_trained", lambda run: other if run == "other" else first)
    monkeypatch.setattr(module, "_tested", lambda test, one, identity: usual.append(
        test.usual.checkpoint) or OnSpectra(identity=identity, name=one.name, text=""))  # fmt: skip
    mine, theirs = generalise_all(["first", "other"], 5)
    assert (mine["checkpoint"], theirs["checkpoint"]) == ("abc", "of-other")
    assert set(usual) == {"abc"} and len(usual) == 30
    assert read_generalisation(tmp_path, "of-other", "f") is not None
    assert read_generalisation(tmp_path, "abc") is not None
    other.pixels = 2
    with pytest.raises(InputError, match="other is of 2 pixels, .* of 1: they cannot"):
        other.directory = "other"
        generalise("other", 5, "first")


class Echo(torch.nn.Module):
    """A network that gives back what it is given."""

    def forward(self, noisy: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
        return noisy


def test_who_changes_nothing_keeps_the_noise_and_every_line(tmp_path, monkeypatch):
    settings = SimpleNamespace(evaluate=Evaluate(), augment=PlainAugment())
    network = SimpleNamespace(model=Echo(), config=settings)
    simulated = dataset_config(tmp_path)
    recipe = Recipe(simulated, ensure_terms_grid(simulated))
    test = module._Test(network, network, recipe, ROWS)
    monkeypatch.setattr(module, "_limit", lambda *given: np.full(ROWS, 0.001))
    usual = module._tested(test, named(test.recipe.config, "as trained"), "abc")
    assert usual.reason == ""
    assert (usual.identity, usual.name, usual.spectra) == ("abc", "as trained", ROWS)
    assert usual.error == usual.noisy and usual.floor == pytest.approx(0.001)
    assert usual.eta == pytest.approx(usual.error / 0.001)
    assert usual.snr == tuple(sorted(usual.snr)) and usual.worst > usual.error > abs(usual.bias)
    few, many = (module._lines(test, snr, "abc") for snr in (10.0, 100.0))
    assert (few.name, many.name) == ("lines at S/N 10", "lines at S/N 100")
    for one, snr in ((few, 10.0), (many, 100.0)):
        assert (one.snr, one.spectra, one.identity) == (snr, ROWS, "abc")
        assert one.new_line == pytest.approx(1.0, abs=1e-3) == one.deeper_line
        assert abs(one.penalty) < 1e-3 * one.error
    assert few.error == pytest.approx(10.0 * many.error, rel=0.01)
    OnLines.model_validate_json(few.model_dump_json())  # as it is kept


def test_kinds_that_are_known_are_not_tested_again(monkeypatch):
    asked = []
    test = SimpleNamespace(identity=lambda one: f"id of {one}")
    monkeypatch.setattr(module, "load_trained", lambda run: f"network of {run}")
    monkeypatch.setattr(module, "_test_of", lambda *given: asked.append(given) or test)
    monkeypatch.setattr(module, "_tested", lambda of, one, identity: asked.append(one.name)
                        or OnSpectra(identity=identity, name=one.name, text="new"))  # fmt: skip
    kinds = [SimpleNamespace(name=name, identity=name) for name in ("a", "b", "c")]
    known = {"id of b": OnSpectra(identity="id of b", name="b", text="old")}
    rows = list(module.tested_on("run", "usual", 5, kinds, known))
    assert [(row.name, row.text, row.identity) for row in rows] == [
        ("a", "new", "id of a"), ("b", "old", "id of b"), ("c", "new", "id of c"),
    ]  # fmt: skip
    assert asked == [("network of run", "network of usual", 5), "a", "c"]
    assert rows[1] is known["id of b"] and all(row.cpu_seconds >= 0.0 for row in rows)


def of_a_network(model) -> SimpleNamespace:
    """Return what is tested of a network, its training set being no matter."""
    config = SimpleNamespace(augment=PlainAugment(), evaluate=Evaluate())
    return SimpleNamespace(recipe="as trained", usual=SimpleNamespace(config=config),
                           trained=SimpleNamespace(model=model))  # fmt: skip


def test_a_network_that_gives_no_numbers_is_told_as_such(monkeypatch):
    batch = Batch(torch.ones(3, 8), torch.ones(3, 8), torch.ones(3, 8))
    monkeypatch.setattr(module, "_simulated", lambda test, one: ("rows", "recipe"))
    monkeypatch.setattr(module, "_batch", lambda test, rows, augment: batch)
    monkeypatch.setattr(module, "_limit", lambda *_: np.ones(3))
    test = of_a_network(lambda noisy, variance: noisy.masked_fill(noisy > 0, torch.nan))
    row = module._tested(test, Circumstance("odd", "an odd kind"), "7")
    assert row == OnSpectra(identity="7", name="odd", text="an odd kind",
                            reason="the network gives values that are not finite")  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "made_by"),
    [({}, "as trained"), ({"conditions.seeing": (2.0, 2.5)}, "as trained"),
     ({"instrument.lsf": "tabulated"}, "otherwise")],
)  # fmt: skip
def test_a_limit_is_of_what_makes_such_lines(changes, made_by, monkeypatch):
    asked = []

    def limit(rows, recipe, augment, flux_floor):
        asked.append((recipe, rows["variance"].values.tolist()))
        return (SimpleNamespace(whole="the limit"),)

    monkeypatch.setattr(module, "information_floor", limit)
    rows = xr.Dataset({"variance": (("spectrum", "wavelength"), np.full((1, 3), 2.0))})
    masked = torch.tensor([[1.0, torch.inf, 1.0]])
    batch = Batch(torch.ones(1, 3), torch.ones(1, 3), masked)
    one = Circumstance("a", "b", changes=changes)
    assert module._limit(of_a_network(None), one, rows, "otherwise", batch) == "the limit"
    assert asked == [(made_by, [[2.0, np.inf, 2.0]])]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("generalised")
    rows = ("dataset.n_train=70", "dataset.n_validation=24")
    place = build(root, "dataset.mode=virtual", *rows)
    model = {"kind": "restframe", "rank": 16, "hidden": 16, "blocks": 1, "passes": 2}
    config = toy_config(root, model, recipe="C", batch_size=16, epochs=6)
    return train_here(config, str(place), root / "run")


@pytest.mark.slow
def test_a_network_is_tested_on_every_kind_and_shown(trained, monkeypatch, capfd):
    kinds = module.circumstances
    hot = Circumstance("too hot", "Teff 100,000 K", columns={"teff": 1e5})
    monkeypatch.setattr(module, "circumstances", lambda config: [*kinds(config), hot])
    assert run_program(["generalise", str(trained), "--spectra", str(ROWS), "--json"]) == 0
    (told,) = json.loads(capfd.readouterr().out)["runs"]
    assert told.pop("run") == str(trained)
    by_name = {one["name"]: one for one in told["rows"]}
    missing = {name for name, one in by_name.items() if one["reason"]}
    assert missing == {"too hot"} and "100000" in by_name["too hot"]["reason"]
    for name in by_name.keys() - missing:
        one = by_name[name]
        assert one["spectra"] == ROWS and one["snr"] == sorted(one["snr"])
        assert 0 < one["error"] < one["noisy"] and 0 < one["floor"] < one["noisy"]
        assert one["eta"] == pytest.approx(one["error"] / one["floor"])
    usual = by_name["as trained"]
    assert by_name["worse seeing"]["snr"][1] < usual["snr"][1]
    assert by_name["fainter stars"]["snr"][1] < 0.5 * usual["snr"][1]
    assert by_name["fewer exposures"]["snr"][1] < usual["snr"][1]
    assert usual["snr"][1] < by_name["more exposures"]["snr"][1]
    assert by_name["masked"]["floor"] > usual["floor"] > by_name["calibration 0%"]["floor"]
    assert by_name["cosmic rays"]["floor"] == usual["floor"]
    assert by_name["other lines"]["floor"] != usual["floor"]
    assert [one["snr"] for one in told["lines"]] == [5.0, 10.0, 20.0, 50.0, 100.0]
    assert all(abs(one["new_line"]) < 0.9 for one in told["lines"])

    # what is there is not made again, and what is asked otherwise is
    monkeypatch.setattr(module, "_simulated", None)
    assert generalise(trained, ROWS).model_dump(mode="json") == told
    with pytest.raises(TypeError):
        generalise(trained, ROWS + 1)

    evaluate(trained)
    page = write_report(trained).read_text()
    texts = ("Unlike its training set", by_name["worse seeing"]["text"], "not tested: ")
    assert [text for text in texts if text not in page] == []
    assert run_program(["generalise", str(trained), "--spectra", str(ROWS)]) == 0
    assert "worse seeing (seeing 1.5 to 2.5 arcsec): 12  S/N " in capfd.readouterr().out
