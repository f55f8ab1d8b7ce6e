"""A store for the tests of a file, and an empty bucket for each."""

from collections.abc import Iterator

import pytest

from tests.storage.object_store import Bucket, Server, credentials, make_bucket, served


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with credentials(), served() as started:
        yield started


@pytest.fixture
def bucket(server: Server, request: pytest.FixtureRequest) -> Iterator[Bucket]:
    yield make_bucket(server, f"b{abs(hash(request.node.nodeid))}")
    server.refused = 0.0
    server.seen.clear()
