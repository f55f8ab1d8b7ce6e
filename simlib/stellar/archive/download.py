"""Fetch many files with a few connections; a record for each; a rerun fetches what is missing."""

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import urllib3
from pydantic import ValidationError

from simlib.stellar.archive.download_plan import Target
from simlib.stellar.archive.fetch import FetchRecord, Policy, fetch, record_of_present, sha256_of
from simlib.version import version

RECORDS = "download.jsonl"
Progress = Callable[[int, int, int], None]  # files settled, files in all, bytes of the last


@dataclass(frozen=True)
class DownloadReport:
    """How a download ended."""

    fetched: int
    kept: int  # there before
    bytes: int  # fetched now
    absent: list[str]  # what the archive does not have
    failed: dict[str, str]  # path → reason; a rerun tries again


def connections(policy: Policy) -> urllib3.PoolManager:
    """Return the pool of connections, which says who asks."""
    agent = f"specdenoise/{version()} (stellar grid download)"
    return urllib3.PoolManager(
        maxsize=policy.connections, block=True, headers={"User-Agent": agent}
    )


def download(
    targets: list[Target],
    folder: Path,
    policy: Policy | None = None,
    on_progress: Progress = lambda done, total, size: None,
) -> DownloadReport:
    """Fetch the targets into the folder, never more at once than the policy's connections.

    Raises OSError where the folder cannot take the files.
    """
    policy = policy or Policy()
    folder.mkdir(parents=True, exist_ok=True)
    settled = settled_records(targets, folder)
    on_progress(len(settled), len(targets), 0)
    fresh: list[FetchRecord] = []
    with (folder / RECORDS).open("a", encoding="utf-8") as log:
        log.write("\n" if log.tell() else "")  # a line cut by a kill must not spoil the next
        for record in _fetch_all([t for t in targets if t.path not in settled], folder, policy):
            log.write(record.model_dump_json() + "\n")
            log.flush()
            fresh.append(record)
            on_progress(len(settled) + len(fresh), len(targets), record.bytes)
    return DownloadReport(
        fetched=sum(record.status == "done" for record in fresh),
        kept=len(settled),
        bytes=sum(record.bytes for record in fresh),
        absent=sorted(record.path for record in fresh if record.status == "absent"),
        failed={record.path: record.reason for record in fresh if record.status == "failed"},
    )


def _fetch_all(targets: list[Target], folder: Path, policy: Policy) -> Iterator[FetchRecord]:
    stop = Event()
    waiting = iter(targets)
    with connections(policy) as http, ThreadPoolExecutor(policy.connections) as threads:
        running: set[Future[FetchRecord]] = set()
        try:
            while True:
                for target in waiting:
                    running.add(threads.submit(fetch, target, folder, http, policy, stop))
                    if len(running) >= policy.connections:
                        break
                if not running:
                    return
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        finally:
            stop.set()  # lets the threads end at their next piece


def settled_records(targets: list[Target], folder: Path) -> dict[str, FetchRecord]:
    """Return the records of the files that are there, whole; others are asked for (again)."""
    known = read_records(folder)

    def settle(target: Target) -> FetchRecord | None:
        record, path = known.get(target.path), folder / target.path
        if record is not None and record.status == "done" and record.sha256 == sha256_of(path):
            return record
        return record_of_present(target, folder)

    with ThreadPoolExecutor() as threads:  # reading and hashing leave the interpreter's lock
        records = threads.map(settle, (t for t in targets if (folder / t.path).is_file()))
        return {record.path: record for record in records if record is not None}


def read_records(folder: Path) -> dict[str, FetchRecord]:
    """Return the last record of every file; a line cut by a kill is passed over, like any other
    that is none: its file is looked at again.
    """
    path = folder / RECORDS
    if not path.exists():
        return {}
    records = {}
    for line in path.read_bytes().splitlines():
        with suppress(ValidationError):
            record = FetchRecord.model_validate_json(line)
            records[record.path] = record
    return records
