"""An HTTP server on loopback that serves a folder and misbehaves as told, per file."""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


class Archive:
    """What the server does: faults by file name, each for its number of requests."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.requests: list[tuple[str, str, str]] = []  # method, path, Range
        self.raw_paths: list[str] = []
        self.active = 0
        self.most_active = 0
        self.gate: threading.Event | None = None  # requests wait for it
        self.lock = threading.Lock()
        self.pace = threading.Event()  # never set: what a crawling body waits for
        self.url = ""
        self.knows_head = True

    def count(self, path: str) -> int:
        return Counter(p for method, p, _ in self.requests if method == "GET")[path]


@contextmanager
def serve(files: dict[str, bytes]) -> Iterator[Archive]:
    archive = Archive(files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            if archive.knows_head:
                self.answer(with_body=False)
            else:
                self.plain(501)

        def do_GET(self) -> None:
            with archive.lock:
                archive.active += 1
                archive.most_active = max(archive.most_active, archive.active)
            try:
                if archive.gate is not None:
                    archive.gate.wait(20)
                self.answer(with_body=True)
            finally:
                with archive.lock:
                    archive.active -= 1

        def answer(self, with_body: bool) -> None:
            path = unquote(self.path).lstrip("/")
            asked = self.headers.get("Range", "")
            with archive.lock:
                archive.requests.append((self.command, path, asked))
                archive.raw_paths.append(self.path)
                faults = archive.faults[path]
                fault = faults.pop(0) if with_body and faults else ""
            if path not in archive.files or fault == "404":
                self.plain(404)
            elif fault[:3].isdigit():  # a status; "503 after 7": asks to wait
                self.plain(int(fault[:3]), fault.partition(" after ")[2])
            elif fault == "html":
                self.body(200, b"<html>maintenance</html>", {})
            else:
                self.file(archive.files[path], asked, fault, with_body)

        def file(self, data: bytes, asked: str, fault: str, with_body: bool) -> None:
            start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
            end = asked.partition("-")[2]
            if fault == "no-range":
                start = 0
            if start >= len(data):
                self.plain(416)
                return
            stop = min(len(data), int(end) + 1) if end else len(data)
            is_part = bool(asked) and fault != "no-range"
            headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"} if is_part else {}
            body = data[start:stop]
            if not with_body:
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                return
            self.body(206 if is_part else 200, body, headers, fault)

        def body(self, status: int, body: bytes, headers: dict[str, str], fault: str = "") -> None:
            self.send_response(status)
            for name, value in {"ETag": '"1"', **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if fault == "cut":
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
            elif fault == "slow":  # a few bytes, then nothing until the client goes away
                self.wfile.write(body[: len(body) // 3])
                self.wfile.flush()
                self.connection.settimeout(20)
                with suppress(OSError):
                    self.connection.recv(1)
                self.close_connection = True
            elif fault == "crawl":  # until the client has had enough
                with suppress(OSError):
                    for at in range(0, len(body), 50):
                        self.wfile.write(body[at : at + 50])
                        self.wfile.flush()
                        archive.pace.wait(0.02)
                self.close_connection = True
            else:
                self.wfile.write(body)

        def plain(self, status: int, wait: str = "") -> None:
            self.send_response(status)
            if wait or status == 429:
                self.send_header("Retry-After", wait or "0")
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    archive.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield archive
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
