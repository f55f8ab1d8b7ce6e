"""CSV tables: what is read, and that a mistake is told with its own row, line and figures."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from simlib.bounds import FINITE, FRACTION, WAVELENGTH, Bound, refuse_out_of_bounds
from simlib.errors import InputError
from simlib.tables import file_digests, read_columns, read_curve, read_table

GOOD = (
    "# unit: nm\n#\n\n wavelength_nm, share ,name\n 710.5 , 0.25,one\n\n"
    "# Version: 12\n885, 1 , two\n"
)


def table(folder: Path, text: str) -> Path:
    path = folder / "some.csv"
    path.write_text(text)
    return path


def test_columns_are_read_as_text_and_as_numbers_with_their_lines(tmp_path: Path) -> None:
    path = table(tmp_path, GOOD)
    found = read_columns(path, "table", ("share",))
    assert (found.names, found.lines) == (["wavelength_nm", "share", "name"], [5, 8])
    assert found.texts("name") == ["one", "two"]
    assert list(found.numbers("share", FRACTION)) == [0.25, 1.0]
    assert [found.place(row) for row in (0, 1)] == [
        f"{path}, row 1 (line 5)", f"{path}, row 2 (line 8)",
    ]  # fmt: skip
    read = read_table(path, ("wavelength_nm", "share"))
    assert list(read["wavelength_nm"]) == [710.5, 885.0] and read["share"].dtype == np.float64
    assert (read.stated("unit"), read.stated("version"), read.stated("share")) == ("nm", "12", None)


ROWS = "a,b\n1,2\n\n# c\n3,4\n5,6\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# a\n\na,b\n", ": no rows; a header line and rows below it were expected"),
        (ROWS.replace("3,4", "3,4,9"), ", line 5: 3 values, the header names 2"),
        (ROWS.replace("5,6", "5"), ", line 6: 1 values, the header names 2"),
        (ROWS.replace("3,4", '3,"4'), ", line 5: a quote begins that does not end"),
        (ROWS.replace("a,b", "a,x,y").replace("1,2", "1,2,7").replace("3,4", "3,4,8")
         .replace("5,6", "5,6,9"), ", line 1: missing column b; found a, x, y; needed a, b"),
        (ROWS.replace("a,b", "a,b,b").replace("1,2", "1,2,7").replace("3,4", "3,4,8")
         .replace("5,6", "5,6,9"), ", line 1: column b twice"),
        (ROWS.replace("5,6", "5,six"), ", row 3 (line 6): b is 'six', not a number"),
        (ROWS.replace("3,4", "3,"), ", row 2 (line 5): b is not a number; it must lie in [0, 40]"),
        (ROWS.replace("3,4", "3,41").replace("5,6", "5,-17"),
         ", row 2 (line 5) (and 1 more): b is 41 mag; it must lie in [0, 40] mag"),
    ],
    ids=range(9),
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_figures(
    text: str, message: str, tmp_path: Path
) -> None:
    path = table(tmp_path, text)
    with pytest.raises(InputError) as error:
        read_table(path, {"a": FINITE, "b": Bound(0.0, 40.0, "mag")})
    assert str(error.value).startswith(f"{path}{message}")


def test_a_curve_may_run_downwards_and_nothing_else(tmp_path: Path) -> None:
    path = table(tmp_path, "# seen: 14\nwavelength_nm,b\n730,3\n720,12\n710,5\n")
    found = read_curve(path, "b")
    assert list(found["wavelength_nm"]) == [710, 720, 730] and list(found["b"]) == [5, 12, 3]
    assert found.stated("seen") == "14"
    for rows, message in (
        ("710,1\n730,2\n725,3\n740,4\n", r"at row 3 \(725 after 730\)"),
        ("710,1\n720,2\n720,3\n", r"at row 3 \(720 after 720\)"),
    ):
        with pytest.raises(InputError, match=f"some.csv: wavelength_nm .* {message}"):
            read_curve(table(tmp_path, f"wavelength_nm,b\n{rows}"), "b")
    with pytest.raises(InputError, match=r"row 1 .*wavelength_nm is 0.5 nm; .* \[1, 1e\+06\] nm"):
        read_curve(table(tmp_path, "wavelength_nm,b\n0.5,1\n2,2\n"), "b")
    with pytest.raises(InputError, match=r"row 2 .*b is 1.5; it must lie in \[0, 1\]"):
        read_curve(table(tmp_path, "wavelength_nm,b\n710,1\n720,1.5\n"), "b", FRACTION)


def test_files_are_known_by_name_and_content(tmp_path: Path) -> None:
    for name, text in (("b_2.csv", "two"), ("b_1.csv", "one"), ("c.csv", "three")):
        (tmp_path / name).write_text(text)
    (tmp_path / "b_3.csv").mkdir()
    digests = [hashlib.sha256(text).hexdigest() for text in (b"one", b"two")]
    assert file_digests(tmp_path, "b_*.csv") == tuple(
        zip(("b_1.csv", "b_2.csv"), digests, strict=True)
    )


@pytest.mark.parametrize(
    ("bound", "inside", "outside", "written"),
    [
        (Bound(2.0, 31.0, "deg"), [2.0, 31.0], [1.9, 31.1, np.nan, np.inf], "[2, 31] deg"),
        (Bound(2.0, 31.0, low_is_allowed=False), [2.1, 31.0], [2.0, 31.1], "(2, 31]"),
        (FINITE, [-1e30, 1e30], [-np.inf, np.inf, np.nan, 1.1e30], "[-1e+30, 1e+30]"),
        (FRACTION, [0.0, 1.0], [-1e-9, 1.001], "[0, 1]"),
        (WAVELENGTH, [1.0, 1e6], [0.99, 1.1e6], "[1, 1e+06] nm"),
    ],
    ids=range(5),
)
def test_a_bound_holds_its_ends_and_says_them(
    bound: Bound, inside: list[float], outside: list[float], written: str
) -> None:
    assert bound.holds(np.array(inside)).all() and not bound.holds(np.array(outside)).any()
    assert str(bound) == written
    refuse_out_of_bounds("width", np.array(inside), bound)
    with pytest.raises(InputError) as error:
        refuse_out_of_bounds("width", np.array([*inside, *outside]), bound)
    more = f" (and {len(outside) - 1} more)" if len(outside) > 1 else ""
    found = f"{outside[0]:g} {bound.unit}".rstrip()
    assert str(error.value) == f"row 2{more}: width is {found}; it must lie in {written}"


def test_no_number_is_told_as_such_with_its_row() -> None:
    with pytest.raises(InputError, match=r"^line 40: width is not a number; .* \[0, 1\]"):
        values = np.array([0.5, np.nan])
        refuse_out_of_bounds("width", values, FRACTION, lambda row: f"line {39 + row}")


@pytest.mark.parametrize("text", ["1_2e2", "\u0663", "0x10", "1e", "--1", "1 2", "1,5"])
def test_what_only_python_takes_for_a_number_is_none(text: str, tmp_path: Path) -> None:
    path = table(tmp_path, f'a,b\n1,"{text}"\n')
    with pytest.raises(InputError, match=r"row 1 \(line 2\): b is .*, not a number"):
        read_table(path, ("a", "b"))


@pytest.mark.parametrize("text", ["1", "+1.", ".5", "-1.5E+2", "1e-3", " 7 "])
def test_a_number_may_be_written_in_every_usual_way(text: str, tmp_path: Path) -> None:
    assert read_table(table(tmp_path, f"a\n{text}\n"), ("a",))["a"][0] == float(text)


def test_a_row_that_is_longer_than_its_header_hints_at_decimal_commas(tmp_path: Path) -> None:
    path = table(tmp_path, "a,b\n1,2\n0,25,3\n")
    with pytest.raises(InputError, match=r"line 3: 3 values, the header names 2.*0\.25, not 0,25"):
        read_table(path, ("a", "b"))
    with pytest.raises(InputError, match=r"b is '0,25', not a number; .* decimal point: 0\.25"):
        read_table(table(tmp_path, 'a,b\n1,"0,25"\n'), ("a", "b"))


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("utf-16", "UTF-16"), ("utf-16-le", "UTF-16"), ("utf-16-be", "UTF-16"), ("utf-32", "UTF-32"),
     ("latin-1", r"'.' in Latin-1"), ("cp1252", r"'.' in Latin-1")],
)  # fmt: skip
def test_another_encoding_is_told_by_its_name(encoding: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_bytes("a,b\n1,\u00e9\n".encode(encoding))
    with pytest.raises(InputError, match=rf"{name}.*; save the file as UTF-8"):
        read_table(path, ("a",))
