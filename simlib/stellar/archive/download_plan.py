"""What a download will fetch, how big it is and how long it may take, decided before it starts."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from urllib.parse import quote

import urllib3

from simlib.errors import InputError
from simlib.parameters import AXES
from simlib.stellar.archive.releases import Release
from simlib.stellar.archive.spectrum_files import ModelName

PROBED_FILES = 5
PROBED_BYTES = 1 << 20
PROBE_SECONDS = 5.0
NO_HEAD = {405, 501}  # answers of a server that does not know HEAD


@dataclass(frozen=True)
class Target:
    """One file to fetch."""

    url: str
    path: str  # below the folder of the download, as in the archive


@dataclass(frozen=True)
class Estimate:
    """Size and time of a download, and what they rest on."""

    files: int
    bytes: float
    basis: str
    bytes_per_s: float | None  # of one connection; None where nothing could be measured
    seconds: float | None  # if every connection gets that speed


def plan_targets(
    release: Release,
    *,
    resolution: int = 20000,
    kind: str | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    base_url: str | None = None,
) -> list[Target]:
    """Return the files of all nodes in a box at [C/M] = 0 and microturbulence 2 km/s.

    kind: one of the release's kinds of file, by default its preferred one. ranges: by axis, the
    ends included. Raises InputError for an unknown kind or a box without nodes.
    """
    kind = kind or next(iter(release.suffixes))
    if kind not in release.suffixes:
        raise InputError(
            f"no kind {kind!r} in {release.name}; it has {', '.join(release.suffixes)}"
        )
    nodes = []
    for name in AXES:
        low, high = (ranges or {}).get(name, (-math.inf, math.inf))
        inside = [value for value in release.box[name] if low <= value <= high]
        if not inside:
            box = release.box[name]
            raise InputError(
                f"{release.name} has no {name} in [{low:g}, {high:g}]; it goes from {min(box):g} "
                f"to {max(box):g}"
            )
        nodes.append(inside)
    base = (base_url or release.base_url).rstrip("/")
    return [
        _target(
            base,
            release,
            ModelName(
                **dict(zip(AXES, node, strict=True)),
                carbon=0.0,
                microturbulence=2.0,
                resolution=resolution,
                suffix=release.suffixes[kind],
            ),
        )
        for node in product(*nodes)
    ]


def _target(base: str, release: Release, name: ModelName) -> Target:
    path = release.relative_path(name)
    return Target(f"{base}/{quote(path, safe='/' if release.encode_plus else '/+')}", path)


def estimate(
    targets: list[Target],
    release: Release,
    resolution: int,
    http: urllib3.PoolManager,
    connections: int,
) -> Estimate:
    """Return size and time of fetching the targets, from asking the archive for a few of them."""
    spread = range(0, len(targets), max(1, len(targets) // PROBED_FILES))
    probed = [targets[i] for i in spread][:PROBED_FILES]
    answers = _answers(http, probed)
    if answers:
        mean = sum(size for _, size in answers) / len(answers)
        basis = f"{len(answers)} of {len(probed)} files asked for"
    else:
        suffix = next(s for s in release.suffixes.values() if targets[0].path.endswith(s))
        mean = release.bytes_per_resolution[suffix] * resolution
        basis = "usual size of a file; the archive did not tell"
    total = mean * len(targets)
    speed = _speed(http, answers[0][0]) if answers else None
    seconds = None if speed is None else total / speed / connections
    return Estimate(len(targets), total, basis, speed, seconds)


def _answers(http: urllib3.PoolManager, probed: list[Target]) -> list[tuple[Target, int]]:
    """Return the sizes of those files that the archive has; nobody waits for a dead archive."""
    found = []
    for target in probed:
        try:
            size = _size(http, target)
        except urllib3.exceptions.HTTPError:
            break
        if size is not None:
            found.append((target, size))
    return found


def _size(http: urllib3.PoolManager, target: Target) -> int | None:
    """Return the size of a file, None where the archive does not have it."""
    response = http.request("HEAD", target.url, retries=False, timeout=PROBE_SECONDS)
    if response.status in NO_HEAD:
        response = http.request(
            "GET",
            target.url,
            headers={"Range": "bytes=0-0", "Accept-Encoding": "identity"},
            preload_content=False,
            retries=False,
            timeout=PROBE_SECONDS,
        )
        response.close()
        response.release_conn()
    whole = response.headers.get("Content-Range", "").partition("/")[2]
    length = whole or response.headers.get("Content-Length", "")
    return int(length) if response.status in {200, 206} and length.isdigit() else None


def _speed(http: urllib3.PoolManager, target: Target) -> float | None:
    """Return bytes per second of the first megabyte, or of the first seconds, of a file."""
    headers = {"Range": f"bytes=0-{PROBED_BYTES - 1}", "Accept-Encoding": "identity"}
    started, received = time.monotonic(), 0
    try:
        response = http.request(
            "GET",
            target.url,
            headers=headers,
            preload_content=False,
            retries=False,
            timeout=PROBE_SECONDS,
        )
        is_file = response.status in {200, 206}
        while is_file and received < PROBED_BYTES and time.monotonic() - started < PROBE_SECONDS:
            piece = response.read1(PROBED_BYTES, decode_content=False)
            if not piece:
                break
            received += len(piece)
        response.close()
        response.release_conn()
    except urllib3.exceptions.HTTPError:
        return None
    return received / max(time.monotonic() - started, 1e-6) if received else None


def remaining(targets: list[Target], folder: Path) -> list[Target]:
    """Return the targets whose files are not there yet."""
    return [target for target in targets if not (folder / target.path).exists()]
