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
from simlib.stellar.releases import Release
from simlib.stellar.shape import AXES
from simlib.stellar.spectrum_files import ModelName

PROBED_FILES = 5
PROBED_BYTES = 1 << 20


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
    sizes = [size for target in probed if (size := _size(http, target)) is not None]
    if sizes:
        mean = sum(sizes) / len(sizes)
        basis = f"{len(sizes)} of {len(probed)} files asked for"
    else:
        suffix = next(s for s in release.suffixes.values() if targets[0].path.endswith(s))
        mean = release.bytes_per_resolution[suffix] * resolution
        basis = "usual size of a file; the archive did not answer"
    total = mean * len(targets)
    speed = next((s for target in probed if (s := _speed(http, target)) is not None), None)
    seconds = None if speed is None else total / speed / connections
    return Estimate(len(targets), total, basis, speed, seconds)


def _size(http: urllib3.PoolManager, target: Target) -> int | None:
    try:
        response = http.request("HEAD", target.url, retries=1, timeout=10.0)
    except urllib3.exceptions.HTTPError:
        return None
    length = response.headers.get("Content-Length", "")
    return int(length) if response.status == 200 and length.isdigit() else None


def _speed(http: urllib3.PoolManager, target: Target) -> float | None:
    """Return bytes per second of the first megabyte of a file."""
    started = time.monotonic()
    try:
        response = http.request(
            "GET",
            target.url,
            headers={"Range": f"bytes=0-{PROBED_BYTES - 1}", "Accept-Encoding": "identity"},
            preload_content=False,
            retries=1,
            timeout=10.0,
        )
        data = response.read(PROBED_BYTES, decode_content=False)
        response.close()
        response.release_conn()
    except urllib3.exceptions.HTTPError:
        return None
    if response.status not in {200, 206}:
        return None
    return len(data) / max(time.monotonic() - started, 1e-6)


def remaining(targets: list[Target], folder: Path) -> list[Target]:
    """Return the targets whose files are not there yet."""
    return [target for target in targets if not (folder / target.path).exists()]
