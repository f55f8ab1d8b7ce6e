"""What is told of a training while it goes on: memory, speed, how long it takes, pictures."""

import math
import os
import struct
import threading
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from simlib.errors import InputError, Preempted
from simlib.location import Location
from tests.trainlib.test_stopping import Heard
from tests.trainlib.toy_dataset import write_toy
from tests.trainlib.training_runs import prepare, toy_config, train_here
from trainlib import runs
from trainlib.evaluation import picture
from trainlib.runs import State
from trainlib.training import launch, meter, train
from trainlib.training.distributed import Ranks
from trainlib.training.events import FOLDER
from trainlib.training.log import Interval, read_log
from trainlib.training.mirror import Mirror
from trainlib.training.stopping import Agreement

CPU = torch.device("cpu")
ALONE = Ranks(0, 1, CPU)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy(tmp_path_factory.mktemp("toy"), train=48, validation=24)


def test_memory_is_the_most_that_was_held_and_what_is_shared_counts_once(monkeypatch):
    before, on_devices = meter.memory_bytes(ALONE)
    assert on_devices is None and before > 50e6  # torch alone takes more
    most = SimpleNamespace(ru_maxrss=before)  # in kilobytes: more than there is
    monkeypatch.setattr(meter.resource, "getrusage", lambda _: most)
    assert meter.memory_bytes(ALONE)[0] == before * meter._RSS_UNIT
    second = Heard(1, 2, CPU)
    monkeypatch.setenv("LOCAL_RANK", "0")  # the first of another host
    meter.memory_bytes(second)
    monkeypatch.setenv("LOCAL_RANK", "1")
    meter.memory_bytes(second)
    (alone, _), (beside, _) = second.asked
    assert alone > beside > 0


def test_operations_are_counted_forward_and_back_and_leave_no_gradient():
    layers = nn.Sequential(nn.Linear(10, 20, bias=False), nn.Linear(20, 5, bias=False))
    first, second = 2 * 10 * 20, 2 * 20 * 5
    # back: the gradient of each layer's weights, and of what goes into the second
    assert meter.flops_a_spectrum(layers, (torch.rand(30, 10),)) == 2 * first + 3 * second
    assert all(weights.grad is None for weights in layers.parameters())
    assert meter.flops_a_spectrum(layers, None) == 0.0


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H100 80GB HBM3", 66.9e12), ("NVIDIA H100 PCIe", 51.2e12), ("Tesla K80", None)],
)
def test_the_peak_of_a_device_is_known_by_its_name(name, peak, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
    assert meter.peak_rate(Ranks(0, 1, torch.device("cuda", 0)), False) == peak


def test_the_peak_of_a_processor_is_measured_or_not_known():
    assert meter.peak_rate(ALONE, False) is None
    assert 1e8 < meter.peak_rate(ALONE, True) < 1e14


@pytest.mark.parametrize(
    ("seconds", "state", "left"),
    [
        (None, State(samples=400), 0.5 * (6 * 100 - 400)),
        (130.0, State(samples=400, seconds=90.0), 40.0),  # the budget ends first
        (1000.0, State(samples=400, seconds=90.0), 100.0),
        (80.0, State(samples=400, seconds=90.0), 0.0),
        (1000.0, State(samples=400, is_finished=True), 0.0),
    ],
)
def test_what_is_left_ends_with_the_epochs_or_the_budget(seconds, state, left, tmp_path):
    section = toy_config(tmp_path, epochs=6, seconds=seconds).train
    assert train.remaining(section, 100, state, pace=0.5) == pytest.approx(left)


def events_in(run) -> list:
    """Return the steps, figures and starts of all event files, by TensorBoard's own format."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted((run / FOLDER).iterdir()):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def test_event_files_hold_each_step_once_though_the_run_broke_off(toy, tmp_path, monkeypatch):
    config = toy_config(tmp_path, epochs=4, batch_size=24, tensorboard=True, measure_peak=True)

    def stop(self: Agreement, *_: object) -> None:
        stop.left -= 1
        self.is_stopping = stop.left == 0

    stop.left = 6  # in the midst of the third epoch
    run = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(Preempted):
        patch.setattr(Agreement, "before_step", stop)
        train_here(config, toy, run)
    # as if it had been killed after it told of an interval, before the checkpoint of it
    train.EventFile(run, 4).add(read_log(run)[-1] | {"step": 6, "loss": 9.0})
    train_here(config, toy, run)
    shown: dict[int, dict[str, float]] = {}
    for event in events_in(run):
        if event.HasField("session_log"):  # what TensorBoard leaves out then
            shown = {step: told for step, told in shown.items() if step < event.step}
        elif event.summary.value:
            shown[event.step] = {one.tag: one.simple_value for one in event.summary.value}
    log = read_log(run)
    assert list(shown) == [entry["step"] for entry in log] == [2, 4, 6, 8]
    for entry, told in zip(log, shown.values(), strict=True):
        assert {"loss", "lr", "mfu", "memory_bytes", "remaining_s"} <= told.keys()
        assert "step" not in told  # it is the place along the axis
        assert told == pytest.approx({name: entry[name] for name in told}, rel=1e-6)
        assert math.isfinite(entry["mfu"]) and entry["mfu"] > 0
    assert [entry["remaining_s"] == 0.0 for entry in log] == [False, False, False, True]


def test_a_run_writes_no_event_files_unless_it_is_told_to(toy, tmp_path):
    run = train_here(toy_config(tmp_path, epochs=1), toy, tmp_path / "run")
    assert not (run / FOLDER).exists() and "mfu" not in read_log(run)[0]


def test_a_package_that_is_missing_is_told_before_anything_is_done(toy, tmp_path, monkeypatch):
    monkeypatch.setattr("trainlib.training.events.find_spec", lambda _: None)
    told = "tensorboardX.* is not installed; pip install 'specdenoise.tensorboard.', or set"
    with pytest.raises(InputError, match=told):
        launch.train(toy_config(tmp_path, tensorboard=True), toy, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_event_files_are_sent_behind_a_url(toy, tmp_path):
    config = toy_config(tmp_path, tensorboard=True)
    folder = prepare(config, toy, tmp_path / "run")
    train.EventFile(folder, 0).close()
    run = Location.of("memory://seen/run")
    Mirror(run, folder, threading.Event()).send()
    (name,) = os.listdir(folder / FOLDER)
    assert (run / FOLDER / name).read_bytes() == (folder / FOLDER / name).read_bytes()
    assert (run / runs.MANIFEST).exists()


def interval(epoch: int) -> Interval:
    return Interval(
        epoch=epoch, step=4 * epoch, samples=epoch, loss=1.0 / epoch, validation_loss=0.9 / epoch,
        lr=1e-3, samples_per_s=9.0, seconds=1.5, cpu_seconds=2.0,
    )  # fmt: skip


def test_the_picture_is_drawn_where_it_is_cheap_and_once_more_in_the_end(tmp_path, monkeypatch):
    now, run = [1000.0], Location.of(tmp_path)
    monkeypatch.setattr(picture.time, "monotonic", lambda: now[0])
    live, path = picture.LivePicture(run), tmp_path / picture.PICTURE
    live.add(interval(1))
    live.finish()
    assert not path.exists()  # too short for that
    now[0] += 121.0
    live.add(interval(2))
    first = path.read_bytes()
    assert first.startswith(b"\x89PNG")
    live.add(interval(3))
    assert path.read_bytes() == first  # it is too soon
    live.finish()
    last = path.read_bytes()
    assert last.startswith(b"\x89PNG") and last != first
    live.finish()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [picture.PICTURE]


def test_a_picture_that_cannot_be_drawn_ends_no_training(tmp_path, monkeypatch, caplog):
    def fail(*_: object) -> bytes:
        raise OSError("no space left")

    monkeypatch.setattr(picture, "drawn", fail)
    monkeypatch.setattr(picture, "_FIRST_S", 0.0)
    picture.LivePicture(Location.of(tmp_path)).add(interval(1))
    assert "loss.png was not drawn: no space left" in caplog.text
