"""Which column of a list is what: the names that people give, and their units.

Upper case, blanks and signs do not count: `T_eff`, `TEFF` and `Teff (K)` are one name.
"""

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import astropy.units as u

from simlib.bounds import Bound
from simlib.errors import InputError, shown
from simlib.lists.cells import Cells

_UNIT = re.compile(r"(.*?)\s*[\[(]([^\])]*)[\])]\s*")  # a name with its unit behind it
_NO_UNIT = re.compile(r"(?:|1|-+|dex.*|log.*|\[.*|mag|ab|ab\s?mag|mag\(ab\))", re.IGNORECASE)


@dataclass(frozen=True)
class Known:
    """A quantity that a list may hold."""

    name: str  # as the program calls it
    bound: Bound | None  # None: text or a number, kept as it is
    spellings: tuple[str, ...] = ()
    unit: str = ""  # of a column that states none
    written: str = ""  # as documented, where that is not the name

    def spelled(self) -> list[str]:
        """Return what its columns may be called, the first the most."""
        names = (self.written or self.name, self.name, *self.spellings)
        return list(dict.fromkeys(map(_key, names)))


@dataclass
class Understood:
    """Which column holds what (name -> number), what is left over, and what is wrong with that."""

    columns: dict[str, int] = field(default_factory=dict)
    factors: dict[str, float] = field(default_factory=dict)
    others: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _split(name: str, known: set[str]) -> tuple[str, str]:
    """Return the key of a column's name, and the unit that the name states."""
    key, match = _key(name), _UNIT.fullmatch(name)
    if key in known or match is None or not match[1]:
        return key, ""
    return _key(match[1]), match[2].strip()


def understand(
    cells: Cells,
    known: Iterable[Known],
    needed: Iterable[str],
    said: Mapping[str, str] | None = None,
    one_of_many: Iterable[str] = (),
) -> Understood:
    """Return what the columns of a list are.

    needed: names that have to be there. said: name -> the column that holds it, before all
    guessing; None where that cannot be said. one_of_many: names of which the best of several
    columns is taken; of another name, two columns are a problem.
    """
    known = tuple(known)
    result, can_say, said = Understood(), said is not None, dict(said or {})
    keys = {key for quantity in known for key in quantity.spelled()}
    parts = [_split(name, keys) for name in cells.names]
    taken = {_column(cells, theirs) for theirs in said.values()}
    for theirs in said.values():
        if _column(cells, theirs) is None:
            result.problems.append(
                f"there is no column {shown(theirs)}; found {', '.join(cells.names)[:200]}"
            )
    for quantity in known:
        places = [
            number
            for key in quantity.spelled()
            for number, (name, _) in enumerate(parts)
            if name == key and number not in taken
        ]
        if quantity.name in said:
            column = _column(cells, said[quantity.name])
            places = [] if column is None else [column]
        elif not places and quantity.name in needed:
            result.problems.append(_missing(cells, quantity, can_say))
        if len(places) > 1 and quantity.name not in one_of_many:
            both = ", ".join(cells.names[number] for number in places)
            option = f"say which with --column {quantity.name}={cells.names[places[0]]}"
            way_out = option if can_say else "remove one"
            result.problems.append(f"column {quantity.name} twice: {both}; {way_out}")
        if places:
            result.columns[quantity.name] = places[0]
            stated = cells.units[places[0]] or parts[places[0]][1]
            _put_factor(result, quantity, cells.names[places[0]], stated)
    result.others = [n for n in range(len(parts)) if n not in set(result.columns.values())]
    return result


def _missing(cells: Cells, quantity: Known, can_say: bool) -> str:
    name = quantity.written or quantity.name
    option = f"say which it is with --column {quantity.name}=NAME"
    way_out = option if can_say else "add it, or rename the one that is it"
    if len(cells.names) == 1 and len(cells.names[0].split()) > 1:
        way_out = "put commas, semicolons or tabs between the columns"
    return f"missing column {name}; found {', '.join(cells.names)[:200]}; {way_out}"


def _column(cells: Cells, name: str) -> int | None:
    if name in cells.names:
        return cells.names.index(name)
    alike = [n for n, theirs in enumerate(cells.names) if theirs.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else None


def _put_factor(result: Understood, quantity: Known, column: str, stated: str) -> None:
    """Note by what a column's numbers are multiplied, or that its unit is none."""
    if quantity.bound is None:
        return
    unit = quantity.unit
    if not unit and _NO_UNIT.fullmatch(stated):
        result.factors[quantity.name] = 1.0
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            factor = float(u.Unit(stated or unit).to(u.Unit(unit)))
        result.factors[quantity.name] = factor
    except (ValueError, TypeError):
        result.problems.append(
            f"column {column} is in {stated!r}; {quantity.name} is in {unit or 'no unit'}"
        )


def said_columns(given: Iterable[str], known: Iterable[Known]) -> dict[str, str]:
    """Return name -> column of options NAME=COLUMN; NAME may be any spelling.

    Raises InputError for what is no such pair, or a name that is not known.
    """
    known = tuple(known)
    names = {key: quantity.name for quantity in known for key in quantity.spelled()}
    said: dict[str, str] = {}
    for text in given:
        name, equals, theirs = text.partition("=")
        ours = names.get(_key(name))
        if not equals or not theirs.strip() or ours is None:
            raise InputError(
                f"--column {shown(text)}: write NAME=COLUMN, for example teff=Teff_phot; "
                f"known names: {', '.join(quantity.name for quantity in known)}"
            )
        if ours in said:
            raise InputError(f"--column {ours} is given twice: {said[ours]} and {theirs}")
        said[ours] = theirs.strip()
    return said
