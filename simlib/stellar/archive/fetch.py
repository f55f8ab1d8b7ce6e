"""Fetch one file: resume what is there, retry what may pass, check what came.

A file is written as `.part` and renamed when it is whole and its content is what its name says.
Counting, backing off and what the server asks to wait are urllib3's Retry; the loop is ours, since
Retry does not go on with a body that broke off, and its waiting cannot be stopped.
"""

import bz2
import gzip
import hashlib
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Literal

import urllib3
from pydantic import BaseModel, ConfigDict, ValidationError

from simlib.spectra.fits_file import BLOCK, START
from simlib.stellar.archive.download_plan import Target

CHUNK_BYTES = 1 << 16
ABSENT = {404, 410}
PASSING = {408, 425, 429, 500, 502, 503, 504}  # may be different in a while
LONGEST_WAIT_S = 120.0


@dataclass(frozen=True)
class Policy:
    """How hard to try, and how politely."""

    connections: int = 4
    attempts: int = 6  # in a row without a new byte
    back_off_s: float = 1.0  # doubles with each attempt
    timeout_s: float = 30.0  # for a connection, and between two pieces of a body
    slowest_bytes_per_s: float = 1000.0  # over `slow_after_s`; below, connect anew
    slow_after_s: float = 60.0


class FetchRecord(BaseModel):
    """How fetching one file ended: a line of the download's records."""

    model_config = ConfigDict(frozen=True, strict=True)

    path: str
    url: str
    status: Literal["done", "absent", "failed"]
    bytes: int
    sha256: str
    attempts: int
    reason: str
    finished: str  # UTC


class Validator(BaseModel):
    """What tells whether a file changed on the server meanwhile; "" where nothing does."""

    model_config = ConfigDict(frozen=True, strict=True)

    validator: str = ""


class TryAgainError(Exception):
    """A fault that may pass; `after_s` is what the server asks to wait."""

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        """Keep both."""
        super().__init__(reason)
        self.after_s = after_s


class GiveUpError(Exception):
    """A fault that will not pass."""


def fetch(
    target: Target, folder: Path, http: urllib3.PoolManager, policy: Policy, stop: Event
) -> FetchRecord:
    """Fetch one file into the folder; never raises for what the server does."""
    path = folder / target.path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    patience = fresh = urllib3.Retry(
        total=policy.attempts - 1, backoff_factor=policy.back_off_s, backoff_max=LONGEST_WAIT_S
    )
    tried, most = 0, _size(part)
    while not stop.is_set():
        tried += 1
        try:
            if not _attempt(target, part, http, policy, stop):
                return _record(target, "absent", None, tried, "the archive does not have it")
            check_content(part, path.name)
            part.replace(path)
            _validator_file(part).unlink(missing_ok=True)
            return _record(target, "done", path, tried, "")
        except GiveUpError as error:
            return _record(target, "failed", None, tried, str(error))
        except WrongContentError as error:
            part.unlink(missing_ok=True)
            fault = TryAgainError(f"wrong content: {error}")
        except TryAgainError as error:
            fault = error
        has_grown, most = _size(part) > most, max(most, _size(part))
        try:
            patience = fresh if has_grown else patience.increment("GET", target.url, error=fault)
        except urllib3.exceptions.MaxRetryError:
            return _record(target, "failed", None, tried, f"{fault} ({tried} attempts)")
        wait = max(fault.after_s, policy.back_off_s, patience.get_backoff_time())
        stop.wait(min(wait, LONGEST_WAIT_S))
    return _record(target, "failed", None, tried, f"stopped ({tried} attempts)")


def _attempt(
    target: Target, part: Path, http: urllib3.PoolManager, policy: Policy, stop: Event
) -> bool:
    """Bring `part` to its full size; False where the server has no such file."""
    have, validator = _size(part), _read_validator(part)
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if validator:
            headers["If-Range"] = validator
    try:
        response = http.request(
            "GET", target.url, headers=headers, preload_content=False, timeout=policy.timeout_s,
            retries=urllib3.Retry(  # else an answer that asks to wait is taken for none
                connect=0, read=0, status=0, other=0, redirect=5, respect_retry_after_header=False),
        )  # fmt: skip
    except urllib3.exceptions.HTTPError as error:
        raise TryAgainError(f"no answer ({error})") from None
    try:
        if response.status in ABSENT:
            return False
        start, total = _place(response, part, have)
        _write_validator(part, response)
        _receive(response, part, start, policy, stop)
    finally:
        response.close()
        response.release_conn()  # closing alone keeps its place in the pool
    if total is not None and _size(part) != total:
        raise TryAgainError(f"{_size(part)} of {total} bytes came")
    return True


def _place(response: urllib3.BaseHTTPResponse, part: Path, have: int) -> tuple[int, int | None]:
    """Return where the body begins in the file, and how long the file will be, if known."""
    if response.status in PASSING:
        raise TryAgainError(f"status {response.status}", asked_wait(response))
    if response.status == 416:
        part.unlink(missing_ok=True)
        raise TryAgainError("the part that was there is longer than the file")
    length = response.headers.get("Content-Length", "")
    size = int(length) if length.isdigit() else None
    if response.status == 200:
        return 0, size
    if response.status == 206:
        described = response.headers.get("Content-Range", "")
        span, _, total = described.removeprefix("bytes ").partition("/")
        if span.partition("-")[0] != str(have):
            part.unlink(missing_ok=True)
            raise TryAgainError(f"asked from byte {have}, got {described!r}")
        return have, int(total) if total.isdigit() else None if size is None else have + size
    raise GiveUpError(f"status {response.status}")


def _receive(
    response: urllib3.BaseHTTPResponse, part: Path, start: int, policy: Policy, stop: Event
) -> None:
    with part.open("r+b" if part.exists() else "wb") as out:
        out.seek(start)
        out.truncate()
        begun, received = time.monotonic(), 0
        while not stop.is_set():
            try:
                piece = response.read1(CHUNK_BYTES, decode_content=False)
            except urllib3.exceptions.HTTPError as error:
                raise TryAgainError(f"the body broke off ({error})") from None
            if not piece:
                return
            out.write(piece)
            received += len(piece)
            elapsed = time.monotonic() - begun
            if elapsed > policy.slow_after_s:
                if received < policy.slowest_bytes_per_s * elapsed:
                    raise TryAgainError(f"{received / elapsed:.0f} bytes/s is too slow")
                begun, received = time.monotonic(), 0
    raise TryAgainError("stopped")


def asked_wait(response: urllib3.BaseHTTPResponse) -> float:
    """Return how long the server asks to wait, in seconds; 0 where it says nothing usable."""
    try:
        return urllib3.Retry().get_retry_after(response) or 0.0
    except urllib3.exceptions.InvalidHeader:
        return 0.0


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _validator_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_validator(part: Path) -> str:
    try:
        return Validator.model_validate_json(_validator_file(part).read_bytes()).validator
    except (FileNotFoundError, ValidationError):
        return ""


def _write_validator(part: Path, response: urllib3.BaseHTTPResponse) -> None:
    """Keep what tells whether the file changed on the server between two attempts."""
    tag = response.headers.get("ETag", "")
    strong = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    kept = Validator(validator=strong).model_dump_json()
    _validator_file(part).write_text(kept, encoding="utf-8")


class WrongContentError(Exception):
    """A whole file that is not what its name says."""


def check_content(path: Path, name: str) -> None:
    """Raise WrongContentError where a file cannot be what its name says; unpacks it all."""
    if name.endswith(".fits"):
        with path.open("rb") as stream:
            if stream.read(len(START)) != START or path.stat().st_size % BLOCK:
                raise WrongContentError("no whole FITS file")
        return
    try:
        with bz2.open(path) if name.endswith(".bz2") else gzip.open(path) as stream:
            while stream.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise WrongContentError(str(error)) from None


def _record(
    target: Target,
    status: Literal["done", "absent", "failed"],
    path: Path | None,
    attempts: int,
    reason: str,
) -> FetchRecord:
    return FetchRecord(
        path=target.path,
        url=target.url,
        status=status,
        bytes=path.stat().st_size if path else 0,
        sha256=sha256_of(path) if path else "",
        attempts=attempts,
        reason=reason,
        finished=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def sha256_of(path: Path) -> str:
    """Return the checksum of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def record_of_present(target: Target, folder: Path) -> FetchRecord | None:
    """Return a record of a file that is there without one; None, and no file, where it is bad."""
    path = folder / target.path
    try:
        check_content(path, path.name)
    except WrongContentError:
        path.unlink()
        return None
    return _record(target, "done", path, 0, "was there")
