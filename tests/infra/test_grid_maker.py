"""The grid maker's steps on small samples, and one node against the shipped spectrum."""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from infra.grids import line_lists, structures, synthesis
from infra.grids.embed import embed
from infra.grids.pack import compress_source, decompress_source, digests, pack, to_source_steps
from infra.grids.recipe import Node, all_nodes, continuum_air, line_lists_for, output_air
from infra.grids.sources import prepare_sources
from simlib.air_wavelengths import air_to_vacuum
from simlib.stellar import open_grid
from simlib.stellar.default import package_files
from simlib.stellar.packed import compress, decompress, from_steps, to_steps
from tests.paths import shared_data_folder

GES = """\
'  1.000000            '    1         3
'H I     NLTE'
  6562.797  10.199   0.710 1234.100    8.0  6.49E+08 'x' 'p'  0.0  0.0 'H'
  7000.000  10.199   0.700  990.000    8.0  6.49E+08 'x' 'p'  0.0  0.0 'H'
  7100.000   1.000 -10.000  990.000    8.0  6.49E+08 'x' 'p'  0.0  0.0 'H'
' 26.000000            '    1         2
'Fe I    NLTE'
  8688.624   2.176  -1.211  253.246    5.0  5.01E+07 's' 'p'  0.0  1.0 'Fe'
  9999.000   2.176  -1.211  253.246    5.0  5.01E+07 's' 'p'  0.0  1.0 'Fe'
' 90.000000            '    1         1
'Th I    LTE'
  5000.000   0.000   0.000    2.500    1.0  1.00E+05 's' 'p'  0.0  1.0 'Th'
"""


def test_atomic_blocks_keep_the_windows_strong_lines_as_lte() -> None:
    assert line_lists.convert_atoms(GES, 6670.0, 9140.0) == (
        "' 26.000000            '    1   1\n'Fe I    LTE'\n"
        "   8688.624   2.176  -1.211   253.246    5.0  5.01E+07\n"
    )
    wider = line_lists.convert_atoms(GES, 6500.0, 10000.0)
    assert wider.splitlines()[0] == "' 26.000000            '    1   2"


def test_a_strong_excited_line_is_judged_by_its_strength_not_its_gf() -> None:
    kept = line_lists.convert_atoms(GES.replace("10.199", "0.0000"), 6500.0, 6600.0)
    assert kept.count("6562.797") == 1


def test_linemake_lines_are_read_by_species(tmp_path: Path) -> None:
    path = tmp_path / "moogtio.gz"
    rows = (
        "  7054.123 822.01648 0.100 -1.500\n  7055.000 822.01646 0.200 -2.000\n  9999.0   1.0 0 0\n"
    )
    path.write_bytes(gzip.compress(rows.encode()))
    found = line_lists.read_linemake(path, 7000.0, 9000.0)
    assert set(found) == {"822.01648", "822.01646"}
    np.testing.assert_array_equal(found["822.01648"], [[7054.123, 0.1, -1.5]])


def test_culling_keeps_the_decades_asked_for() -> None:
    lines = np.array([[7000.0, 0.0, -1.0], [7001.0, 0.0, -3.9], [7002.0, 0.0, -4.1], [7003, 1, -1]])
    kept = line_lists.cull(lines, 3.0)
    np.testing.assert_array_equal(kept[:, 0], [7000.0, 7001.0, 7003.0])  # 1 eV costs 1.44


def test_missing_48tio_lies_halfway_between_its_neighbours() -> None:
    tio47 = np.array([[7050.0, 0.100, -1.0], [7200.0, 0.300, -1.2]])
    tio49 = np.array([[7050.6, 0.102, -1.0], [8000.0, 0.900, -1.2]])
    made = line_lists.substitute_48tio(tio47, tio49)
    np.testing.assert_allclose(made, [[7050.3, 0.101, -1.0], [7200.0, 0.300, -1.2]])


def test_rare_isotopes_are_cut_at_the_common_strength() -> None:
    line = np.array([[7050.0, 0.0, 0.0], [7060.0, 0.0, -2.5]])
    lists = {f"822.016{isotope}": line.copy() for isotope in ("46", "47", "49", "50")}
    counts = {code: len(lines) for code, _, lines in line_lists.titanium_oxide(lists, 3.0)}
    assert counts["0822.000048"] == 2
    assert counts["0822.000046"] == 1  # a tenth of 48Ti: its second line is 3.45 decades down


def test_molecular_blocks_are_sorted_and_counted() -> None:
    lines = np.array([[7060.0, 0.5, -2.5], [7050.0, 0.25, -1.0]])
    assert line_lists.format_molecules([("0607.012014", "CN1214", lines)]) == (
        "'0607.012014 '   1   2\n'CN1214'\n"
        "   7050.000  0.250  -1.000   0.00   1.0  1.00E+07\n"
        "   7060.000  0.500  -2.500   0.00   1.0  1.00E+07\n"
    )


def linear_table() -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    axes = (
        np.array([3500.0, 4000.0]),
        np.array([0.0, 1.0, 2.0]),
        np.array([-1.0, 0.0]),
        np.array([0.0, 0.4]),
    )
    mesh = np.meshgrid(*axes, indexing="ij")
    plane = mesh[0] / 1000 + 2 * mesh[1] - mesh[2] + 3 * mesh[3]
    return axes, plane[..., None, None] * np.ones((2, 5))


@pytest.mark.parametrize(
    "node", [(3500, 0, -1, 0), (3600, 1.3, -0.2, 0.1), (4000, 2, 0.75, -0.25), (3700, 0.5, -1, 0.5)]
)
def test_structures_are_linear_inside_and_beyond_the_models(node: tuple[float, ...]) -> None:
    axes, table = linear_table()
    expected = node[0] / 1000 + 2 * node[1] - node[2] + 3 * node[3]
    np.testing.assert_allclose(structures.interpolate_structure(table, axes, node), expected)


def test_a_missing_model_is_the_mean_of_its_neighbours_in_gravity() -> None:
    _, table = linear_table()
    holed = table.copy()
    holed[1, 1, 0, 1] = np.nan
    np.testing.assert_allclose(structures.fill_missing(holed), table)


def printed_model(layers: int) -> list[str]:
    rows = [
        f"{1e-3 * (i + 1):15.8E}{3000.0 + i:9.1f}" + "".join(f"{x * (i + 1):10.3E}" for x in
                                                            (2.0, 3e9, 1e-4, 5e-2, 2e5))
        for i in range(layers)
    ]  # fmt: skip
    return ["TEFF   3500.", f"READ DECK6 {layers} RHOX,T,P,XNE", *rows, "PRADK 1.0"]


def test_a_printed_model_is_read_by_its_columns() -> None:
    layers = structures.read_layers(printed_model(72))
    assert layers is not None
    assert layers.shape == (72, 5)
    np.testing.assert_allclose(layers[3], [np.log(4e-3), 3003.0, np.log(8.0), np.log(1.2e10),
                                           np.log(4e-4)], rtol=1e-3)  # fmt: skip
    assert structures.read_layers(printed_model(71)) is None


def test_a_structure_is_written_as_it_was_read() -> None:
    layers = structures.read_layers(printed_model(72))
    assert layers is not None
    text = structures.format_structure(Node(3500.0, 0.5, 0.0, 0.0), layers)
    head, *_ = text.splitlines()
    assert head == "TEFF   3500.  GRAVITY 0.50000 LTE "
    fields = np.array([line.split() for line in text.splitlines()[3:]], dtype=float)
    np.testing.assert_allclose(np.log(fields[:, 2]), layers[:, 2], atol=1e-3)
    np.testing.assert_allclose(fields[:, 1], layers[:, 1], atol=0.05)


def test_control_texts_state_composition_and_lists() -> None:
    node = Node(3500.0, 0.0, -0.5, 0.25)
    assert "'METALLICITY:' '-0.500'\n'ALPHA/Fe   :' '0.250'" in synthesis.opacity_control(node, 2.0)
    control = synthesis.transfer_control(node)
    assert "'NFILES   :' '6'\natoms.list\n" in control
    assert control.endswith("'SPHERICAL:' 'F'\n  30\n  300.00\n  15\n  1.30\n")


def test_titanium_oxide_is_left_out_of_hot_poor_stars() -> None:
    assert not any("tio" in name for name in line_lists_for(Node(4750.0, 2.0, -1.0, 0.0)))
    assert "tio30.list" in line_lists_for(Node(4750.0, 2.0, -0.5, 0.0))
    assert "tio35.list" in line_lists_for(Node(4250.0, 2.0, -2.0, 0.0))


def test_broadening_gives_the_resolution_and_keeps_the_line() -> None:
    wavelength = np.arange(6700.0, 9110.0, 0.05)
    line = np.where(np.abs(wavelength - 8000.0) < 0.06, 0.0, 1.0)
    air, broad = np.exp(output_air()), synthesis.broaden(wavelength, line)
    depth = 1 - broad
    width = np.sqrt(np.sum(depth * (air - 8000.0) ** 2) / depth.sum()) * 2.35482
    assert width == pytest.approx(8000 / 20000, rel=0.05)
    assert np.trapezoid(depth, air) == pytest.approx(np.trapezoid(1 - line, wavelength), rel=0.02)


def test_recipe_has_every_shipped_node_once() -> None:
    nodes = list(all_nodes())
    assert len(set(nodes)) == len(nodes) == open_grid()["present"].size
    np.testing.assert_allclose(
        air_to_vacuum(np.exp(output_air()) / 10), open_grid()["wavelength_model"], rtol=1e-12
    )
    assert len(continuum_air()) == open_grid().sizes["wavelength_continuum"]


def test_source_and_package_forms_give_their_steps_back() -> None:
    flux = np.random.default_rng(5).random((3, 2, 2, 500))
    steps = to_source_steps(flux)
    assert np.array_equal(decompress_source(compress_source(steps), steps.shape), steps)
    coarse = to_steps(steps / 40_000)
    assert np.array_equal(decompress(compress(coarse), coarse.shape), coarse)
    assert np.abs(from_steps(coarse) - steps / 40_000).max() <= 1 / 16_000 + 1e-7


def test_packing_takes_what_is_there_and_tells_what_is_not(tmp_path: Path) -> None:
    node = Node(3500.0, 2.0, 0.5, 0.25)
    (tmp_path / "nodes").mkdir()
    spectrum = np.linspace(0.2, 0.9, len(output_air()))
    np.savez(synthesis.node_file(tmp_path, node), n=spectrum, c=np.full(25, 7.0))
    index = pack(tmp_path, tmp_path / "out")
    assert index["present"] == 1
    arrays = np.load(tmp_path / "out" / "axes.npz")
    assert np.argwhere(arrays["present"]).tolist() == [[0, 2, 6, 2]]
    assert arrays["continuum"][0, 2, 6, 2, 0] == 7.0
    embedded = embed(tmp_path / "out", tmp_path / "package")
    assert embedded["sha256"] == digests(tmp_path / "package")


def test_a_damaged_source_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(json.dumps({"sha256": {"axes.npz": "0"}, "step": 1}))
    (tmp_path / "axes.npz").write_bytes(b"x")
    with pytest.raises(ValueError, match="axes.npz are not the files of index.json"):
        embed(tmp_path, tmp_path / "out")


@pytest.mark.slow
def test_package_data_are_made_from_the_source_folder(tmp_path: Path) -> None:
    index = embed(shared_data_folder("grid"), tmp_path)
    shipped = json.loads((package_files() / "index.json").read_text("utf-8"))
    assert index["attrs"] == shipped["attrs"]  # the checksum of every node is in there


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_synthesised_node_is_the_shipped_one(tmp_path: Path) -> None:
    if shutil.which("gfortran") is None or shutil.which("make") is None:
        pytest.skip("needs gfortran and make (Debian: apt install gfortran make)")
    prepare_sources(tmp_path)
    line_lists.write_lists(tmp_path)
    (tmp_path / "nodes").mkdir()
    node = Node(5000.0, 2.0, -1.5, 0.25)  # without TiO: the quickest kind
    assert synthesis.run_node(tmp_path, node) == node.name
    assert synthesis.run_node(tmp_path, node) == f"{node.name} there"
    computed = np.load(synthesis.node_file(tmp_path, node))
    stored = from_steps(to_steps(to_source_steps(computed["n"]) / 40_000))
    shipped = open_grid().sel(teff=5000, logg=2, feh=-1.5, alpha=0.25)
    np.testing.assert_allclose(stored, shipped["flux_normalized"], atol=1e-6)
    np.testing.assert_allclose(computed["c"], shipped["continuum"], rtol=1e-6)
