from pathlib import Path

import pytest

from tests.trainlib.onsky.toy_bundle import write_toy_bundle


@pytest.fixture(scope="session")
def bundle_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_bundle(tmp_path_factory.mktemp("bundle") / "toy")
