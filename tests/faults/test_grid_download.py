"""Downloads against a misbehaving archive: nothing lost, the rest goes on, the end says it all."""

import bz2
import gzip
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3

from simlib.errors import InputError
from simlib.stellar.archive.download import RECORDS, connections, download, read_records
from simlib.stellar.archive.download_plan import Target, estimate, plan_targets
from simlib.stellar.archive.fetch import (
    LONGEST_WAIT_S,
    FetchRecord,
    Policy,
    WrongContentError,
    asked_wait,
    check_content,
    fetch,
    record_of_present,
)
from simlib.stellar.archive.releases import RELEASES
from tests.faults.archive_server import Archive, serve

BOX = {"teff": (3500.0, 4000.0), "logg": (1.0, 1.0), "feh": (0.0, 0.25), "alpha": (0.0, 0.0)}
QUICK = Policy(connections=3, attempts=4, back_off_s=0.01, timeout_s=0.5)
NOISE = np.random.default_rng(3).bytes(60_000)


def plan(archive_url: str, release: str = "bosz2017") -> list[Target]:
    return plan_targets(RELEASES[release], ranges=BOX, base_url=archive_url)


@cache
def packed(path: str) -> bytes:
    text = path.encode() + NOISE
    return bz2.compress(text) if path.endswith("bz2") else gzip.compress(text, mtime=0)


@pytest.fixture
def archive() -> Iterator[Archive]:
    with serve({target.path: packed(target.path) for target in plan("http://x")}) as archive:
        yield archive


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name != RECORDS
    }


def test_everything_comes_once_with_a_record_each(archive: Archive, tmp_path: Path) -> None:
    report = download(plan(archive.url), tmp_path, QUICK)
    assert (report.fetched, report.kept, report.absent, report.failed) == (6, 0, [], {})
    assert contents(tmp_path) == archive.files
    records = read_records(tmp_path)
    assert {r.status for r in records.values()} == {"done"}
    assert report.bytes == sum(map(len, archive.files.values()))
    again = download(plan(archive.url), tmp_path, QUICK)
    assert (again.fetched, again.kept) == (0, 6)
    assert len(archive.requests) == 6


@pytest.mark.parametrize(
    "faults",
    [
        ["503"],
        ["429", "500"],
        ["cut"],
        ["cut", "cut", "503", "cut"],
        ["cut", "no-range"],
        ["slow"],
        ["html", "html"],
        ["cut", "html"],
        ["cut", "416"],
    ],
    ids="-".join,
)
def test_passing_faults_lose_nothing(archive: Archive, tmp_path: Path, faults: list[str]) -> None:
    targets = plan(archive.url)
    archive.faults[targets[2].path] = list(faults)
    report = download(targets, tmp_path, QUICK)
    assert (report.fetched, report.failed) == (6, {})
    assert contents(tmp_path) == archive.files
    assert archive.count(targets[0].path) == 1


def test_a_cut_body_goes_on_where_it_stopped(archive: Archive, tmp_path: Path) -> None:
    target = plan(archive.url)[0]
    archive.faults[target.path] = ["cut"]
    download([target], tmp_path, QUICK)
    whole = len(archive.files[target.path])
    assert [asked for *_, asked in archive.requests] == ["", f"bytes={whole // 2}-"]


def test_a_crawling_body_is_asked_for_anew_from_where_it_is(
    archive: Archive, tmp_path: Path
) -> None:
    target = plan(archive.url)[0]
    archive.faults[target.path] = ["crawl"]
    impatient = Policy(attempts=2, back_off_s=0.01, slowest_bytes_per_s=1e6, slow_after_s=0.1)
    assert download([target], tmp_path, impatient).fetched == 1
    first, second = (asked for *_, asked in archive.requests)
    assert first == ""
    assert second.startswith("bytes=")
    assert (tmp_path / target.path).read_bytes() == archive.files[target.path]


def test_a_part_left_by_a_killed_run_is_gone_on_with(archive: Archive, tmp_path: Path) -> None:
    target = plan(archive.url)[0]
    part = tmp_path / f"{target.path}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(archive.files[target.path][:1000])
    download([target], tmp_path, QUICK)
    assert archive.requests == [("GET", target.path, "bytes=1000-")]
    assert contents(tmp_path) == {target.path: archive.files[target.path]}


def test_a_part_of_another_file_is_thrown_away(archive: Archive, tmp_path: Path) -> None:
    target = plan(archive.url)[0]
    part = tmp_path / f"{target.path}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    assert download([target], tmp_path, QUICK).fetched == 1
    assert contents(tmp_path) == {target.path: archive.files[target.path]}


def test_what_never_comes_is_stated_and_the_rest_is_there(archive: Archive, tmp_path: Path) -> None:
    targets = plan(archive.url)
    absent, down, wrong, refused = (target.path for target in targets[:4])
    archive.faults[down] = ["503"] * 50
    archive.faults[wrong] = ["html"] * 50
    archive.faults[refused] = ["403"] * 50
    hidden = archive.files.pop(absent)
    report = download(targets, tmp_path, QUICK)
    assert report.fetched == 2
    assert report.absent == [absent]
    assert report.failed.keys() == {down, wrong, refused}
    assert report.failed[down] == "status 503 (4 attempts)"
    assert report.failed[wrong].startswith("wrong content: ")
    assert report.failed[refused] == "status 403"
    assert archive.count(refused) == 1
    assert archive.count(down) == QUICK.attempts
    assert not list(tmp_path.rglob("*.part"))
    archive.faults.clear()
    archive.files[absent] = hidden
    again = download(targets, tmp_path, QUICK)
    assert (again.fetched, again.kept, again.absent, again.failed) == (4, 2, [], {})
    assert contents(tmp_path) == archive.files


def test_a_file_changed_after_its_record_is_fetched_again(archive: Archive, tmp_path: Path) -> None:
    targets = plan(archive.url)
    download(targets, tmp_path, QUICK)
    (tmp_path / targets[1].path).write_bytes(b"<html>")
    assert download(targets, tmp_path, QUICK).fetched == 1
    assert contents(tmp_path) == archive.files


def test_a_file_damaged_at_its_size_is_fetched_again(archive: Archive, tmp_path: Path) -> None:
    targets = plan(archive.url)
    download(targets, tmp_path, QUICK)
    path = tmp_path / targets[1].path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    report = download(targets, tmp_path, QUICK)
    assert (report.fetched, report.kept) == (1, 5)
    assert contents(tmp_path) == archive.files


@pytest.mark.parametrize(
    "line",
    [b"", b"null", b"[1]", b"\xff\xfe{", b'{"path": 5}', b'{"path": "x", "status": "perhaps"}',
     b"[" * 5000, b'"text"'],
    ids=range(8),
)  # fmt: skip
def test_lines_that_are_no_records_are_passed_over(
    archive: Archive, tmp_path: Path, line: bytes
) -> None:
    targets = plan(archive.url)
    download(targets, tmp_path, QUICK)
    log = tmp_path / RECORDS
    lines = log.read_bytes().splitlines()
    log.write_bytes(b"\n".join([*lines[:2], line, *lines[3:]]))
    assert len(read_records(tmp_path)) == 5
    report = download(targets, tmp_path, QUICK)
    assert (report.fetched, report.kept) == (0, 6)


@pytest.mark.parametrize("text", ["", "[]", "null", '{"validator": 5}', '{"other": "x"}'])
def test_a_part_whose_validator_is_none_is_gone_on_with(
    archive: Archive, tmp_path: Path, text: str
) -> None:
    target = plan(archive.url)[0]
    part = tmp_path / f"{target.path}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(archive.files[target.path][:1000])
    part.with_name(f"{part.name}.json").write_text(text)
    assert download([target], tmp_path, QUICK).fetched == 1
    assert contents(tmp_path) == {target.path: archive.files[target.path]}


def test_what_the_server_asks_to_wait_is_understood_as_seconds_and_as_a_date() -> None:
    def asked(value: str) -> float:
        return asked_wait(urllib3.HTTPResponse(status=503, headers={"Retry-After": value}))

    assert asked("7") == 7.0
    assert asked(formatdate(time.time() + 100, usegmt=True)) == pytest.approx(100, abs=5)
    assert asked("soon") == 0.0


class Waits(threading.Event):
    """Is never set, and keeps how long it was waited for instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.asked.append(timeout or 0.0)
        return False


def fetched(archive: Archive, folder: Path, faults: list[str]) -> tuple[FetchRecord, list[float]]:
    target, stop = plan(archive.url)[0], Waits()
    archive.faults[target.path] = list(faults)
    with connections(QUICK) as http:
        record = fetch(target, folder, http, QUICK, stop)
    return record, stop.asked


def test_every_request_has_the_time_of_the_policy_and_asks_for_the_bytes_as_they_are(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    good = urllib3.PoolManager.request

    def request(self: urllib3.PoolManager, *given: Any, **options: Any) -> Any:
        asked.append(options)
        return good(self, *given, **options)

    monkeypatch.setattr(urllib3.PoolManager, "request", request)
    record, _ = fetched(archive, tmp_path, ["500"])
    assert record.status == "done" and len(asked) == 2
    for options in asked:
        assert options["timeout"] == QUICK.timeout_s
        assert options["headers"]["Accept-Encoding"] == "identity"
        assert options["retries"].redirect == 5 and options["retries"].read == 0


@pytest.mark.parametrize("status", ["429", "503"])
def test_it_waits_as_long_as_the_server_asks_but_not_for_ever(
    archive: Archive, tmp_path: Path, status: str
) -> None:
    faults = [f"{status} after 7", f"{status} after 100000", "500"]
    record, waits = fetched(archive, tmp_path, faults)
    assert (record.status, record.attempts) == ("done", 4)
    assert waits[:2] == [7.0, LONGEST_WAIT_S]
    assert waits[2] < 1.0


def test_pauses_grow_with_the_attempts_and_begin_anew_with_new_bytes(
    archive: Archive, tmp_path: Path
) -> None:
    record, waits = fetched(archive, tmp_path, ["503"] * 9)
    assert (record.status, record.attempts) == ("failed", QUICK.attempts)
    assert len(waits) == QUICK.attempts - 1
    assert all(after >= before >= QUICK.back_off_s for before, after in pairwise(waits))
    assert waits[-1] > waits[0]
    faults = ["503", "503", "cut", "503", "503", "503"]  # more than it would bear in a row
    record, waits = fetched(archive, tmp_path / "anew", faults)
    assert (record.status, record.attempts) == ("done", 7)


FITS = b"SIMPLE  =" + bytes(2 * 2880 - 9)


@pytest.mark.parametrize(
    ("name", "data", "is_whole"),
    [
        ("a.fits", FITS, True),
        ("a.fits", FITS[:-1], False),
        ("a.fits", FITS[: 2880 + 100], False),
        ("a.fits", b"", False),
        ("a.fits", b"<html>" + bytes(2880 - 6), False),
        ("a.gz", gzip.compress(NOISE), True),
        ("a.gz", gzip.compress(NOISE)[:-1], False),
        ("a.gz", b"x", False),
        ("a.bz2", bz2.compress(NOISE), True),
        ("a.bz2", bz2.compress(NOISE)[:-1], False),
        ("a.bz2", bz2.compress(NOISE)[:20000] + b"\0" + bz2.compress(NOISE)[20001:], False),
    ],
)
def test_what_is_not_the_whole_file_of_its_name_is_not_taken(
    name: str, data: bytes, is_whole: bool, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    target = Target(path=name, url="http://x")
    if is_whole:
        record = record_of_present(target, tmp_path)
        assert record is not None
        assert (record.status, record.bytes) == ("done", len(data))
        assert record.sha256 == hashlib.sha256(data).hexdigest()
        return
    with pytest.raises(WrongContentError):
        check_content(path, name)
    assert record_of_present(target, tmp_path) is None
    assert not path.exists()


def test_a_cut_line_of_the_records_is_passed_over(archive: Archive, tmp_path: Path) -> None:
    targets = plan(archive.url)
    download(targets, tmp_path, QUICK)
    log = tmp_path / RECORDS
    log.write_text(log.read_text()[:-30])
    assert len(read_records(tmp_path)) == 5
    report = download(targets, tmp_path, QUICK)
    assert (report.fetched, report.kept) == (0, 6)
    late = [*targets, *plan_targets(RELEASES["bosz2017"], ranges={**BOX, "logg": (2.0, 2.0)},
                                    base_url=archive.url)]  # fmt: skip
    archive.files |= {target.path: packed(target.path) for target in late}
    assert download(late, tmp_path, QUICK).fetched == 6
    assert len(read_records(tmp_path)) == 11


def test_no_more_connections_than_told_are_open(archive: Archive, tmp_path: Path) -> None:
    archive.gate = threading.Event()
    done: list[int] = []
    worker = threading.Thread(
        target=lambda: done.append(
            download(plan(archive.url), tmp_path, Policy(connections=2, timeout_s=20)).fetched
        )
    )
    worker.start()
    for _ in range(2000):  # until both connections are taken
        if archive.active == 2:
            break
        worker.join(0.005)
    archive.gate.set()
    worker.join(30)
    assert done == [6]
    assert archive.most_active == 2


def test_an_archive_that_is_not_there_is_a_stated_failure(tmp_path: Path) -> None:
    targets = plan("http://127.0.0.1:9")[:1]
    report = download(targets, tmp_path, QUICK)
    assert "refused" in report.failed[targets[0].path].partition("no answer (")[2]


def test_plus_signs_are_sent_as_each_archive_wants_them(tmp_path: Path) -> None:
    for release, sign in (("bosz2017", "+"), ("bosz2024", "%2B")):
        targets = plan("http://x", release)
        with serve({target.path: packed(target.path) for target in targets}) as archive:
            report = download(plan(archive.url, release), tmp_path / release, QUICK)
            assert report.fetched == len(targets)
            assert all(sign in path for path in archive.raw_paths)


@pytest.mark.parametrize("knows_head", [True, False])
def test_estimate_states_size_speed_and_what_they_rest_on(
    archive: Archive, knows_head: bool
) -> None:
    targets = plan(archive.url)
    archive.knows_head = knows_head
    with connections(QUICK) as http:
        found = estimate(targets, RELEASES["bosz2017"], 20000, http, connections=2)
    assert found.files == 6
    assert found.bytes == pytest.approx(sum(map(len, archive.files.values())), rel=0.01)
    assert found.basis == "5 of 5 files asked for"
    assert found.bytes_per_s is not None
    assert found.seconds == pytest.approx(found.bytes / found.bytes_per_s / 2)


def test_estimate_without_an_archive_says_so() -> None:
    with connections(QUICK) as http:
        found = estimate(plan("http://127.0.0.1:9"), RELEASES["bosz2017"], 20000, http, 2)
    assert "the archive did not tell" in found.basis
    assert found.bytes > 0
    assert found.seconds is None


def test_boxes_without_nodes_and_unknown_kinds_are_refused() -> None:
    with pytest.raises(InputError, match=r"no teff in \[100, 200\]; it goes from 3500 to 5000"):
        plan_targets(RELEASES["bosz2017"], ranges={"teff": (100, 200)})
    with pytest.raises(InputError, match="no kind 'csv' in bosz2024; it has text"):
        plan_targets(RELEASES["bosz2024"], kind="csv")


def test_records_are_one_json_object_a_line(archive: Archive, tmp_path: Path) -> None:
    download(plan(archive.url), tmp_path, QUICK)
    lines = [json.loads(line) for line in (tmp_path / RECORDS).read_text().splitlines() if line]
    assert len(lines) == 6
    assert {"path", "url", "status", "bytes", "sha256", "attempts", "finished"} <= lines[0].keys()
