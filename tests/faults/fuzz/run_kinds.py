"""Runs: their config, manifest, log, checkpoint and results."""

import hashlib
import io
import json
from pathlib import Path
from random import Random

import torch

from tests.faults.fuzz.harness import Attempt, Kind
from tests.faults.fuzz.mutate import altered, as_json, damaged
from tests.faults.fuzz.standing import Standing, broken_json, broken_record
from tests.faults.fuzz.text_kinds import broken_toml
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import toy_config, train_here
from trainlib import runs
from trainlib.evaluation.evaluate import evaluate
from trainlib.evaluation.results import read_results
from trainlib.evaluation.trained import load_trained
from trainlib.training.log import LOG, read_log
from trainlib.training.seal import DIGITS, MARK

ODD_TENSORS = (
    torch.tensor(float("nan")), torch.zeros(0), torch.zeros(3, dtype=torch.int8), torch.ones(1, 1),
    torch.zeros(2, 2, dtype=torch.complex64), torch.full((64,), float("inf")),
)  # fmt: skip


def _prepare(folder: Path) -> tuple[Path, Standing]:
    """Train and judge a small run."""
    write_toy(folder, train=32, validation=24, pixels=32)
    config = toy_config(folder, model={"rank": 4, "hidden": 4, "blocks": 1}, epochs=2)
    run = train_here(config, str(folder / "toy.zarr"), folder / "runs" / "toy")
    evaluate(run)
    return run, Standing.of(run)


def _use(run: Path) -> None:
    """Read all that a report reads."""
    load_trained(run)
    read_log(run)
    read_results(run)


def _record(prepared: tuple[Path, Standing], draw: Random, _: Path, valid: bool) -> Attempt:
    run, standing = prepared
    standing.mend()
    name = draw.choice((runs.CONFIG, runs.MANIFEST, LOG))
    path, data = run / name, standing.files[run / name]
    if not valid:
        match name:
            case runs.CONFIG:
                path.write_bytes(broken_toml(data.decode(), draw))
            case runs.MANIFEST:
                path.write_bytes(broken_record(data, draw))
            case _:
                path.write_bytes(_broken_log(data, draw))
    if draw.random() < 0.3:
        return Attempt(["evaluate", str(run), "--json"], name)
    return Attempt(lambda: _use(run), name)


def _broken_log(data: bytes, draw: Random) -> bytes:
    if draw.random() < 0.4:
        return damaged(data, draw, data)
    first, *others = data.splitlines()
    broken = as_json(altered(json.loads(first), draw)).replace(b"\n", b"")
    return b"\n".join([broken, *others]) + b"\n"


def _checkpoint(prepared: tuple[Path, Standing], draw: Random, _: Path, valid: bool) -> Attempt:
    """Break the bytes, or what is in them, with the digest that belongs to it."""
    run, standing = prepared
    standing.mend()
    path = run / runs.CHECKPOINT
    data = standing.files[path]
    inside = draw.random() < 0.6
    if not valid:
        path.write_bytes(_altered_state(data, draw) if inside else damaged(data, draw, data[::-1]))
    return Attempt(lambda: load_trained(run), f"checkpoint {'inside' if inside else 'bytes'}")


def _altered_state(data: bytes, draw: Random) -> bytes:
    body = data[: -len(MARK) - DIGITS]
    if draw.random() < 0.3:
        return _signed(damaged(body, draw, body[::-1]))
    state = torch.load(io.BytesIO(body), weights_only=True)
    if draw.random() < 0.5:
        weights = state["model"]
        weights[draw.choice(list(weights))] = draw.choice(ODD_TENSORS)
    else:
        state = altered(state, draw)
    return _signed(_saved(state))


def _saved(state: object) -> bytes:
    file = io.BytesIO()
    try:
        torch.save(state, file)
    except (RecursionError, UnicodeEncodeError):
        torch.save([], file)
    return file.getvalue()


def _signed(body: bytes) -> bytes:
    return body + MARK + hashlib.sha256(body).hexdigest().encode()


def _results(prepared: tuple[Path, Standing], draw: Random, _: Path, valid: bool) -> Attempt:
    run, standing = prepared
    standing.mend()
    path, data = standing.chosen(draw, draw.choice(("zarr.json", "zarr.json", "c/*", "c/*/*")))
    if not valid:
        is_metadata = path.name == "zarr.json"
        path.write_bytes(
            broken_json(data, draw) if is_metadata else damaged(data, draw, data[::-1])
        )
    return Attempt(lambda: read_results(run), str(path.relative_to(run)))


KINDS = {
    "run-record": Kind(50, _prepare, _record),
    "checkpoint": Kind(60, _prepare, _checkpoint),
    "results": Kind(30, _prepare, _results),
}
