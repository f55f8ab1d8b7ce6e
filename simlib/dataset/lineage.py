"""Where a dataset comes from: terms, stellar grid, instrument, sky, config, code.

A step says what its maker recorded and what stands there now. A parent that is gone, was replaced
or cannot be read is told in its step: whoever asks for the lineage wants to know just that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from simlib.artifact import read_record
from simlib.config import Sky, validate
from simlib.dataset.manifest import Manifest, config_tables
from simlib.dataset.places import arrays_in, manifest_in
from simlib.dataset.publish import published_dataset
from simlib.errors import InputError
from simlib.etc.grid.store import TermsManifest, open_terms_grid
from simlib.etc.sky.model import load_sky
from simlib.fingerprint import fingerprint
from simlib.instrument import load_instrument
from simlib.location import Location
from simlib.physics import PHYSICS_VERSION
from simlib.provenance import provenance
from simlib.stellar.default import read_index
from simlib.stellar.grid import KNOWN_GRIDS, open_grid

# unusable: there, but damaged, not complete, or behind what does not answer
State = Literal["there", "missing", "replaced", "unusable"]


@dataclass(frozen=True)
class Step:
    """One thing on the way back, and what it was made from.

    fingerprint: as recorded by what was made from it, else its own; None where none was recorded.
    made: when, in UTC where it tells the hour. version, commit: of this program, that made it.
    """

    kind: str
    place: str
    fingerprint: str | None
    state: State = "there"
    note: str = ""
    made: str | None = None
    version: str | None = None
    commit: str | None = None
    parents: tuple["Step", ...] = ()


def made_by(step: Step, recorded: Mapping[str, Any]) -> Step:
    """Return a step with what the provenance in a manifest says of its maker."""
    return replace(
        step,
        made=recorded.get("written"),
        version=recorded.get("versions", {}).get("specdenoise"),
        commit=recorded.get("commit"),
    )


def failed(step: Step, place: Location, error: Exception) -> Step:
    """Return the step of what could not be read: missing where nothing is there, else unusable."""
    try:
        state: State = "unusable" if place.exists() else "missing"
    except (OSError, InputError):  # behind a network that does not answer
        state = "unusable"
    return replace(step, state=state, note="nothing is there" if state == "missing" else str(error))


def compared(step: Step, found: str) -> Step:
    """Return a step, replaced where what is found has another fingerprint than was recorded."""
    if step.fingerprint in (None, found):
        return replace(step, fingerprint=found)
    note = "; ".join(filter(None, (f"what is there has {found}", step.note)))
    return replace(step, state="replaced", note=note)


def dataset_step(place: Location, recorded: str | None = None) -> Step:
    """Return the step of a dataset, and all that it was made from.

    place: a version's folder, or that of its name. recorded: its fingerprint, by its user.
    """
    step = Step("dataset", str(place), recorded)
    try:
        folder, manifest = published_dataset(place)
        lacks_arrays = manifest.mode == "stored" and not arrays_in(folder).exists()
    except (InputError, OSError) as error:
        return failed(step, place, error)
    rows = ", ".join(f"{count} {split}" for split, count in manifest.plan.rows.items())
    parents = tuple(_made_from(folder, manifest))
    step = Step("dataset", str(folder), recorded, note=f"{manifest.mode}: {rows}", parents=parents)
    step = made_by(step, manifest.provenance)
    if lacks_arrays:
        return replace(step, state="unusable", note=f"{arrays_in(folder)} is gone")
    return compared(step, manifest.fingerprint)


def _made_from(folder: Location, manifest: Manifest) -> list[Step]:
    tables = config_tables(manifest, folder)
    steps = []
    if manifest.terms:
        terms = folder.follow(manifest.terms)
        steps.append(terms_step(terms, terms.name, tables))
    if name := tables.get("stellar", {}).get("grid"):
        recorded = manifest.stellar_grid.get("checksum")
        steps.append(
            stellar_grid_step(name, None if recorded is None else str(recorded), folder.options)
        )
    config = Step("config", str(manifest_in(folder)), fingerprint(manifest.config))
    code = code_step(manifest.provenance, "physics", manifest.physics_version, PHYSICS_VERSION)
    return [*steps, config, code]


def terms_step(
    place: Location, recorded: str | None = None, tables: Mapping[str, Any] | None = None
) -> Step:
    """Return the step of a grid of terms, its instrument and its sky.

    tables: the config of the dataset that they were made for: its paths move with the root, and it
    says what the terms are of where they are gone.
    """
    step = Step("terms", str(place), recorded)
    try:
        manifest = read_record(place / "manifest.json", TermsManifest)
    except (InputError, OSError) as error:
        return replace(failed(step, place, error), parents=tuple(_of_the_sky(tables or {}, {})))
    if manifest is None:
        parents = tuple(_of_the_sky(tables or {}, {}))
        return replace(
            step, state="missing", note="made again where they are needed", parents=parents
        )
    code = code_step(manifest.provenance, "calculator", None, None)
    parents = (*_of_the_sky(tables or manifest.config, manifest.inputs), code)
    step = made_by(replace(step, parents=parents), manifest.provenance)
    try:
        return compared(step, str(open_terms_grid(place).attrs["fingerprint"]))
    except (InputError, OSError) as error:
        return failed(step, place, error)


def _of_the_sky(tables: Mapping[str, Any], inputs: Mapping[str, str]) -> list[Step]:
    """Return the steps of the instrument and the sky that a config names."""
    steps = []
    if name := tables.get("instrument", {}).get("name"):
        steps.append(instrument_step(name, inputs.get("instrument")))
    if "sky" in tables:
        steps.append(_sky_step(tables["sky"], inputs.get("sky")))
    return steps


def instrument_step(name: str, recorded: str | None = None) -> Step:
    """Return the step of an instrument: a shipped one, or a file."""
    step = Step("instrument", name, recorded)
    try:
        return compared(step, load_instrument(name).checksum)
    except (InputError, OSError) as error:
        return failed(step, Location.of(name), error)


def _sky_step(section: Mapping[str, Any], recorded: str | None) -> Step:
    tables = section.get("tables")
    step = Step("sky", tables or "embedded", recorded)
    try:
        return compared(step, load_sky(validate(Sky, section)).checksum)
    except (InputError, OSError) as error:
        return failed(step, Location.of(tables or "."), error)


def stellar_grid_step(
    name: str, recorded: str | None = None, options: Mapping[str, Any] | None = None
) -> Step:
    """Return the step of a stellar grid: a known one, or a store.

    recorded: the checksum in the manifest of what was made from it.
    """
    step = Step("stellar grid", name, recorded)
    place = Location.of(name, options)
    try:
        attrs = _attributes(name, place)
    except (InputError, OSError) as error:
        return failed(step, place, error)
    note = f"{attrs.get('name', 'grid')} version {attrs['version']}: {attrs['source']}"
    return compared(replace(step, note=note, made=attrs.get("date")), str(attrs["checksum"]))


def _attributes(name: str, place: Location) -> Mapping[str, Any]:
    """Return a grid's attributes; of the embedded one without expanding it."""
    if name == "default":
        attrs: Mapping[str, Any] = read_index()["attrs"]
        return attrs
    return open_grid(name if name in KNOWN_GRIDS else place).attrs


@cache
def _here() -> dict[str, Any]:
    return provenance()


def code_step(recorded: Mapping[str, Any], what: str, then: int | None, now: int | None) -> Step:
    """Return the step of the program that made something.

    what, then, now: the version of its results, as recorded and in this program, where it has one.
    """
    made, here = (made_by(Step("code", "", None), told) for told in (recorded, _here()))
    notes = [] if then is None else [f"{what} version {then}"]
    if then != now:
        notes.append(f"this program's is {now}: it would make something else")
    if made.commit != here.commit:
        notes.append(f"here {here.commit or here.version}")
    return replace(
        made,
        place=f"specdenoise {made.version}",
        fingerprint=made.commit,
        state="there" if then == now else "replaced",
        note="; ".join(notes),
    )
