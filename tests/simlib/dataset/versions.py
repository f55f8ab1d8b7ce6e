"""Versions of datasets, finished and not, of any age, and runs that were trained on them."""

import os
import shutil
import tempfile
import time
from functools import cache
from pathlib import Path

from simlib.artifact import read_record, write_record
from simlib.dataset.manifest import Manifest
from simlib.dataset.places import dask_report_in, latest_in, manifest_in
from simlib.dataset.publish import Latest
from simlib.location import Location
from tests.simlib.dataset.made import make_plan, make_published, make_store
from trainlib.runs import MANIFEST, Origin, RunManifest

HOUR = 3600.0
_HOME = tempfile.TemporaryDirectory(prefix="specdenoise-versions-")


@cache
def _pattern(kind: str) -> Path:
    """Make a store once, to be copied."""
    plan, place = make_plan(), Path(_HOME.name) / kind
    if kind == "whole":
        return make_published(place, plan).path
    return make_store(place, plan, list(plan.blocks())[:1]).path


def finished(root: Path, letter: str, day: int = 1, name: str = "demo") -> Path:
    """Make a whole version, finished on that day, and publish it."""
    versions = root / "datasets" / name
    folder = versions / (letter * 16)
    shutil.copytree(_pattern("whole"), folder)
    dask_report_in(Location.of(folder)).path.write_text("what the workers did")
    place = Location.of(folder)
    manifest = read_record(manifest_in(place), Manifest)
    assert manifest is not None
    told = {"fingerprint": folder.name, "provenance": {"written": f"2026-01-{day:02}T00:00:00"}}
    write_record(manifest_in(place), manifest.model_copy(update=told))
    write_record(latest_in(Location.of(versions)), Latest(fingerprint=folder.name))
    return folder


def unfinished(root: Path, letter: str, hours: float, name: str = "demo") -> Path:
    """Make a version whose newest file is so old."""
    folder = root / "datasets" / name / (letter * 16)
    shutil.copytree(_pattern("begun"), folder)
    aged(folder, hours)
    return folder


def aged(folder: Path, hours: float) -> None:
    """Let all that is in a folder be so old."""
    when = time.time() - hours * HOUR
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (when, when))


def trained_on(run: Path, fingerprint: str) -> None:
    """Write the manifest of a run that was trained on a version."""
    manifest = RunManifest(
        fingerprint="0" * 16, inputs={}, recipe="B",
        dataset=Origin(place="there", fingerprint=fingerprint),
        started="", provenance={},
    )  # fmt: skip
    run.mkdir(parents=True)
    write_record(Location.of(run / MANIFEST), manifest)
