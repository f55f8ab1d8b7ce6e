"""What is printed of datasets, planned, looked at, compared and pruned: its own figures, in place.

No two figures of a result are alike here, so that none can stand for another.
"""

import time
from datetime import datetime

import pytest

from flows.terminal.dataset_text import (
    print_dataset_difference,
    print_pruning,
    pruning_facts,
)
from flows.terminal.inspect_text import print_inspection
from flows.terminal.plan_text import print_plan
from simlib.dataset.compare import DatasetDifference, ParameterTest, SplitDifference
from simlib.dataset.prune import Found, Pruning
from simlib.location import Location
from tests.flows.conftest import Print

PLANNED = {
    "rows": 5000, "block": 1024, "blocks": 5, "tasks": 4, "objects": 61, "bytes": 121_000_000,
    "memory_bytes": 1_300_000_000, "workers": 3, "core_seconds": 301.0, "set_up_s": 7.0,
    "seconds": 133.0,
    "cost": {"currency": "EUR", "computing": 0.11, "writing": 0.22, "keeping_a_month": 0.33},
}  # fmt: skip
ACTUAL = {"rows": 5000, "block": 512, "blocks": 10, "objects": 71, "bytes": 131_000_000,
          "seconds": 143.0, "core_seconds": 311.0}  # fmt: skip
TOLD = {
    "dataset": "/d", "mode": "stored", "splits": {"train": 4900, "validation": 100},
    "measured": {"spectra": 256, "computing_s": 0.00017, "writing_s": 0.00018, "set_up_s": 4.6,
                 "block_s": 0.0123, "shard_bytes": 24_100.0},
    "plan": PLANNED, "actual": ACTUAL, "scale": None,
    "training": {"epochs": 9, "spectra_at_most": 44_100, "seconds_at_most": 260.0, "cost": None},
}  # fmt: skip


def test_a_plan_stands_beside_what_it_took(printed: Print) -> None:
    assert printed(print_plan, TOLD) == [
        "/d",
        "measured here on 256 spectra, one core: 0.170 ms to compute and 0.180 ms to write one, "
        "12.3 ms more a block; 24.10 kB kept; 4.6 s to set up",
        "|plan|actual",
        "train|4,900 rows|",
        "validation|100 rows|",
        "rows of a block|1,024|512",
        "blocks|5|10",
        "tasks|4|",
        "objects|61|71",
        "size|121 MB|131 MB",
        "memory of a worker|1.3 GB|",
        "workers, a core each|3|",
        "time, all cores together|5.02 min|5.18 min",
        "time by the clock|2.22 min|2.38 min",
        "cost of computing|0.11 EUR|",
        "cost of writing the objects|0.22 EUR|",
        "cost of keeping, a month|0.33 EUR|",
        "training: at most 4.33 min (train.seconds)",
    ]


def test_a_plan_of_many_more_spectra_tells_what_a_store_and_a_scheduler_bear(
    printed: Print,
) -> None:
    scale = PLANNED | {
        "spectra_per_s": 1234.4, "bytes_per_s": 5.6e6, "puts_per_s": 789.2,
        "scheduler": {"tasks": 20_000, "seconds": 64.0}, "scheduler_seconds": 12.5,
    }  # fmt: skip
    training = TOLD["training"] | {"seconds_at_most": None}
    told = TOLD | {"actual": None, "mode": "virtual", "scale": scale, "training": training}
    found = printed(print_plan, told)
    assert found[1] == (
        "dataset.mode = 'virtual' stores no spectra; this is what storing them takes"
    )
    at = found.index("training: at most 9 epochs, 44,100 spectra seen; its time is not measured "
                     "here")  # fmt: skip
    assert found[at + 1] == "5,000 spectra on 3 cores, from the figures above"
    assert found[-5:] == [
        "spectra|1,234 /s",
        "written by all workers together|5.6 MB/s",
        "objects written (PUT)|789 /s",
        "20,000 empty tasks, measured here|64 s, 3.20 ms each",
        "the scheduler's time for these tasks|12.5 s",
    ]
    assert "size|121 MB" in found[at:] and "rows of a block|1,024|" in found[:at]


def test_what_a_training_costs_is_told_as_arithmetic(printed: Print) -> None:
    cost = {
        "parameters": 45.27e6, "flops": 2.52e17, "flops_a_spectrum": 246.4e6, "seconds": 7200.0,
        "spectra_per_s": 72.3, "cores": 2, "device_seconds": (3770.0, 9425.0),
        "device_peak": 66.9e12, "device_share": 0.4,
    }  # fmt: skip
    training = TOLD["training"] | {"seconds_at_most": None, "cost": cost}
    assert printed(print_plan, TOLD | {"training": training})[-4:] == [
        "training: at most 9 epochs, 44,100 spectra seen",
        "all epochs of 45.3 million weights are 2.52e+17 operations, validations included, "
        "246 million to learn from a spectrum. By arithmetic:",
        "here 2 h, from the processor time of a few steps, augmentation included: 72.3 spectra/s "
        "on 2 free cores",
        "on one H100 62.8 min at its 66.9 TFLOP/s of float32 (data sheet), 2.62 h at 40 % of them; "
        "not measured",
    ]


def test_what_was_seen_of_a_dataset_is_told_in_place(printed: Print) -> None:
    snr = {"least": 1.1, "p5": 2.2, "p25": 3.3, "median": 4.4, "p75": 5.5, "p95": 6.6, "most": 7.7}
    told = {
        "folder": "/d", "complete": False, "block": 1024, "chunk": 128, "codec": "lz4",
        "mode": "stored", "checksum": None, "written": ["today"], "bytes": 8_000_000, "files": 91,
        "rows": {"train": 4900, "test": 50}, "looked_at": {"train": 480}, "snr": {"train": snr},
        "ranges": {"teff": [3500.5, 4999.25]}, "nodes": {"unknown": "no grid"},
        "fraction_impossible_geometries": 0.8123, "pixels_above_one": 17,
        "progress": {"blocks": 2, "of_blocks": 6, "rows": 1500, "of_rows": 4950,
                     "rows_per_s": 321.4, "seconds_left": 250.0, "end": "noon",
                     "newest_block_s_ago": 3.0},
    }  # fmt: skip
    assert printed(print_inspection, told) == [
        "/d  still being written",
        "2 of 6 blocks, 1,500 of 4,950 rows",
        "321 rows/s in the newest blocks; 4.17 min left, until noon; the newest block is 3 s old",
        "S/N",
        "split|rows|looked at|least|5 %|25 %|median|75 %|95 %|largest",
        "train|4,900|480|1.10|2.20|3.30|4.40|5.50|6.60|7.70",
        "test|50|0|||||||",
        "variable|least|largest",
        "teff|3500.5|4999.25",
        "use of the stellar grid not known: no grid",
        "fraction_impossible_geometries 0.8123: rows whose moon no sky has, for its angles are "
        "drawn as the paper prints them (conditions.geometry)",
        "pixels_above_one 17",
        "8 MB in 91 files; blocks of 1,024 rows, chunks of 128, lz4; stored",
        "checksum not known yet",
        "today",
    ]


def test_datasets_of_other_wavelengths_have_no_ratio(printed: Print) -> None:
    test = ParameterTest("teff", 0.1234, 0.0567, 0.089, True)
    none = ParameterTest("logg", None, None, None, False)
    part = SplitDifference("train", (7, 8), (5, 6), (test, none), "4096 and 64 pixels", None)
    found = DatasetDifference("/a", "/b", (), (), ("test",), (part,))
    assert printed(print_dataset_difference, found) == [
        "A /a",
        "B /b",
        "only B has the split test",
        "train: 5 of 7 rows of A, 6 of 8 of B, tested",
        "parameter|KS|p|p, Holm|",
        "teff|0.1234|0.0567|0.089|differs",
        "logg|—|—|—|",
        "wavelengths differ, so that mean spectra have no ratio: 4096 and 64 pixels",
        "distributions differ: train teff",
    ]


def test_what_may_go_is_counted(printed: Print) -> None:
    goes = tuple(
        Found(Location.of(f"/data/{n}"), "an old version", "b is published", 1_500_000 * n, None)
        for n in (1, 2, 3)
    )
    stays = (Found(Location.of("/data/9"), "a version", "published", 100_000, time.time() - 7200),)
    found = printed(print_pruning, Pruning(goes, stays), None)
    assert found[0] == "stays  /data/9  a version, 0.1 MB, written 2.0 h ago: published"
    assert found[1] == "goes  /data/1  an old version, 1.5 MB, age unknown: b is published"
    assert found[-1] == "3 to remove, 9.0 MB; nothing was removed, --yes does it"
    assert printed(print_pruning, Pruning(goes, stays), [goes[1]])[-1] == "1 of 3 removed, 3.0 MB"
    assert printed(print_pruning, Pruning((), ()), None) == ["nothing to prune"]
    told = pruning_facts(Pruning(goes[:1], stays), [goes[0]])
    written = datetime.fromisoformat(told["stays"][0].pop("written")).timestamp()
    assert written == pytest.approx(stays[0].written, abs=1.0)
    first = {"place": "/data/1", "kind": "an old version", "why": "b is published",
             "bytes": 1_500_000, "written": None}  # fmt: skip
    last = {"place": "/data/9", "kind": "a version", "why": "published", "bytes": 100_000}
    assert told == {"is_dry_run": False, "bytes": 1_500_000, "goes": [first], "stays": [last],
                    "removed": ["/data/1"]}  # fmt: skip
    kept = pruning_facts(Pruning(goes, ()), None)
    assert (kept["is_dry_run"], kept["removed"], kept["bytes"]) == (True, [], 9_000_000)
