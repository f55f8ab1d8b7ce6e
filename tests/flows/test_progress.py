"""Progress told in lines where no terminal shows a bar: counts, speeds and how often."""

import logging

import pytest

from flows.terminal import progress
from trainlib.training.log import Interval


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_an_interval_and_one_at_the_end_count_what_was_done(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), progress.item_progress("cutting", "logs", "chips") as show:
        for seconds, done, more in ((4.0, 1, 30), (10.0, 2, 10), (10.5, 3, 44), (16.0, 4, 28),
                                    (20.0, 5, 16)):  # fmt: skip
            clock[0] = 100.0 + seconds
            show(done, 5, more)
    assert caplog.messages == [
        "cutting: logs 3/5  84 chips  8 chips/s",  # more than ten seconds after the start
        "cutting: logs 5/5  128 chips  6.4 chips/s",
    ]


def test_an_epoch_is_a_line_with_every_figure(caplog: pytest.LogCaptureFixture) -> None:
    record = Interval(epoch=12, step=345, samples=9, loss=0.0067891, validation_loss=0.0123456,
                      lr=0.00234, samples_per_s=678.6, seconds=90.6, cpu_seconds=171.2)  # fmt: skip
    more = {"remaining_s": 5400.0, "memory_bytes": 1_230_000_000, "mfu": 0.421}
    with caplog.at_level(logging.INFO), progress.epoch_progress(100.0, 20) as show:
        show(record)
        show(record | more)
        show(record | {"remaining_s": 0.0, "device_memory_bytes": 2_000_000_000})
    line = (
        "epoch 12  step 345  loss 0.00679  validation 0.01235  lr 2.34e-03  679 samples/s  90.6 s"
    )
    assert caplog.messages == [
        f"{line}  171.2 CPU s",
        f"{line}  171.2 CPU s  90 min left  memory 1.23 GB  MFU 42 %",
        f"{line}  171.2 CPU s  done  on devices 2 GB",
    ]
