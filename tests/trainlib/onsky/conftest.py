from pathlib import Path

import pytest

import trainlib
from flows.cli import run_program
from tests.trainlib.onsky.toy_bundle import write_toy_bundle
from trainlib.onsky.bundle import SHIPPED
from trainlib.onsky.denoise import Bundle


@pytest.fixture(scope="session")
def bundle_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_bundle(tmp_path_factory.mktemp("bundle") / "toy")


@pytest.fixture(scope="session")
def real_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return the package's own bundle, or train a small one, some minutes of a core."""
    if SHIPPED.exists():
        return trainlib.load_bundle()
    root = tmp_path_factory.mktemp("real")
    sets = (
        "train.recipe=C", "dataset.mode=virtual", "dataset.n_train=6144",
        "dataset.n_validation=512", "cluster.kind=threads", "cluster.workers=1",
        "train.ranks=1", "train.threads=1", f"storage.root='{root}'", "model.rank=128",
        "model.hidden=256", "model.blocks=2", "train.seconds=600",
    )  # fmt: skip
    assert run_program(["train", "demo", *(word for one in sets for word in ("--set", one))]) == 0
    (run,) = (root / "runs").iterdir()
    return trainlib.load_bundle(trainlib.export(run, root / "bundle"))
