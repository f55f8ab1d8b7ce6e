"""An object store on this machine, in memory: S3 as moto plays it, which can be told to refuse."""

import os
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import s3fs
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from simlib.location import Location

KEY, SECRET, WRONG_KEY = "AKIAPLANTEDKEYHUNTER", "planted/Secret+Hunter2/abcdefghijkl", "AKIAWRONG"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": "/dev/null",  # a person's own are left alone
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}
_ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>{}</Message></Error>"
_REFUSALS = {"503 Slow Down": "SlowDown", "500 Internal Server Error": "InternalError"}
Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass
class Server:
    """A store. refused: share of the requests, by lot. at_once: the most that were answered.

    seen: method, path and headers of each request since it was emptied last.
    """

    address: str = ""
    refused: float = 0.0
    refusals: int = 0
    at_once: int = 0
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    _lot: random.Random = field(default_factory=lambda: random.Random(5))
    _answering: int = 0
    _lock: Any = field(default_factory=threading.Lock)
    _inner: Wsgi = field(default_factory=lambda: DomainDispatcherApplication(create_backend_app))

    def __call__(self, request: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        with self._lock:
            self._answering += 1
            self.at_once = max(self.at_once, self._answering)
            headers = {k.removeprefix("HTTP_"): v for k, v in request.items() if k.isupper()}
            self.seen.append((request["REQUEST_METHOD"], request["PATH_INFO"], headers))
            is_refused = self._lot.random() < self.refused
            self.refusals += is_refused
        try:
            if WRONG_KEY in headers.get("AUTHORIZATION", ""):
                return _answer(request, start, "403 Forbidden", "InvalidAccessKeyId")
            if is_refused:
                return _answer(request, start, *self._lot.choice(list(_REFUSALS.items())))
            return self._inner(request, start)
        finally:
            with self._lock:
                self._answering -= 1


def _answer(
    request: dict[str, Any], start: Callable[..., Any], status: str, code: str
) -> Iterable[bytes]:
    request["wsgi.input"].read(int(request.get("CONTENT_LENGTH") or 0))
    start(status, [("Content-Type", "application/xml")])
    return [_ERROR.format(code, "as the test wants it").encode()]


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept, as with a real store

    def log(self, *_: Any) -> None:
        pass


@contextmanager
def served() -> Iterator[Server]:
    """Serve an empty store on a free port of this machine."""
    server = Server()
    http = make_server("127.0.0.1", 0, server, threaded=True, request_handler=_Quiet)
    http.daemon_threads = True  # type: ignore[attr-defined]
    server.address = f"http://127.0.0.1:{http.port}"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()


@contextmanager
def credentials(**more: str) -> Iterator[None]:
    """Give this process and its children what the store asks for."""
    with patch.dict(os.environ, CREDENTIALS | more):
        s3fs.S3FileSystem.clear_instance_cache()  # those that are open know their keys
        yield
    s3fs.S3FileSystem.clear_instance_cache()


@dataclass(frozen=True)
class Bucket:
    """A bucket of a store: where it is, and what a file system needs to reach it."""

    url: str
    server: Server

    @property
    def place(self) -> Location:
        return Location.of(self.url, self.options)

    @property
    def options(self) -> dict[str, Any]:
        return {"endpoint_url": self.server.address}

    @property
    def sets(self) -> list[str]:
        """Return overrides of a config that keeps everything here."""
        return [
            f"storage.root='{self.url}'",
            f"storage.options.endpoint_url='{self.server.address}'",
        ]

    @property
    def words(self) -> list[str]:
        """Return what a verb takes that has no config."""
        return ["--storage-option", f"endpoint_url={self.server.address}"]

    def objects(self) -> dict[str, bytes]:
        """Return all that is kept, by its name from here on."""
        return self.place.read_files(self.place.sizes())


def make_bucket(server: Server, name: str) -> Bucket:
    """Make an empty bucket; the root of what is kept in it is a folder below."""
    s3fs.S3FileSystem(endpoint_url=server.address, skip_instance_cache=True).mkdir(name)
    return Bucket(f"s3://{name}/root", server)
