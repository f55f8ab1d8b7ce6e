"""Event files for TensorBoard, in `tensorboard/` of a run: all figures of an interval, by step.

Each start adds a file of its own, which says first that what others hold of its steps is void.
They are written as the log is, in step with the training: no thread of theirs can fail unheard.
"""

import socket
import time
from importlib.util import find_spec
from pathlib import Path

from simlib.errors import InputError
from trainlib.training.log import Interval

FOLDER = "tensorboard"
_FORMAT = "brain.Event:2"


def require_writer(is_wanted: bool) -> None:
    """Raise InputError where event files are wanted and what writes them is not installed."""
    if is_wanted and find_spec("tensorboardX") is None:
        raise InputError(
            "train.tensorboard = true needs the package 'tensorboardX', which is not installed; "
            "pip install 'specdenoise[tensorboard]', or set train.tensorboard = false"
        )


class EventFile:
    """The event file of one start, which goes on from a step."""

    def __init__(self, directory: Path, step: int) -> None:
        require_writer(is_wanted=True)
        from tensorboardX.proto import event_pb2, summary_pb2  # noqa: PLC0415 few runs want it
        from tensorboardX.record_writer import RecordWriter  # noqa: PLC0415

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        folder = directory / FOLDER
        folder.mkdir(exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns():019d}.{socket.gethostname()}"
        self._file = RecordWriter(str(folder / name))
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write(file_version=_FORMAT)
        self._write(step=step + 1, session_log=start)

    def add(self, told: Interval) -> None:
        """Add an interval."""
        values = [
            self._summary.Value(tag=name, simple_value=value)
            for name, value in told.items()
            if isinstance(value, int | float) and name != "step"
        ]
        self._write(step=told["step"], summary=self._summary(value=values))

    def close(self) -> None:
        """End the file."""
        self._file.close()

    def _write(self, **parts: object) -> None:
        self._file.write(self._event(wall_time=time.time(), **parts).SerializeToString())
        self._file.flush()
