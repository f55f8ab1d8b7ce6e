"""The last handler: what is not our bug is told once with exit code 2, and it never raises."""

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import typer

from flows.cli import app, run_program
from flows.terminal.boundary import explain
from simlib.errors import InputError


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/some/place")


class EndpointConnectionError(Exception):
    __module__ = "botocore.exceptions"


def caused(error: Exception, by: Exception) -> Exception:
    error.__cause__ = by
    return error


# what a person can turn at, by what stands in the way
_PLACES = ("storage.root", "--out", "--to")
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "FSSPEC_", "storage.options.profile")
_ADDRESSES = ("endpoint_url", "cluster.address")
WAYS_OUT: dict[int | None, tuple[str, ...]] = {
    errno.ENOSPC: ("storage.root",), errno.EDQUOT: ("storage.root",), errno.EACCES: _KEYS,
    errno.EPERM: _KEYS, errno.EROFS: _PLACES, errno.ENOTDIR: _PLACES, errno.EISDIR: _PLACES,
    errno.EEXIST: _PLACES, errno.ENOTEMPTY: _PLACES, errno.ENAMETOOLONG: _PLACES,
    errno.ELOOP: _PLACES, errno.EIO: _PLACES, errno.ECONNREFUSED: _ADDRESSES,
    errno.EHOSTUNREACH: _ADDRESSES,
}  # fmt: skip


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InputError("as it says"), "error: as it says"),
        (os_error(errno.ENOSPC), "no space left while writing"),
        (os_error(errno.EDQUOT), "no space left while writing"),
        (os_error(errno.EACCES), "access refused"),
        (os_error(errno.EPERM), "access refused"),
        (PermissionError("Forbidden"), "or name a profile"),
        (os_error(errno.EROFS), "can only be read"),
        (os_error(errno.ENOTDIR), "a file is where a folder should be"),
        (os_error(errno.EISDIR), "a folder is where a file should be"),
        (os_error(errno.EEXIST), "something is there already"),
        (os_error(errno.ENOTEMPTY), "something is there already"),
        (FileNotFoundError("The specified bucket does not exist"), "not found (The specified"),
        (os_error(errno.ENAMETOOLONG), "a name is too long"),
        (os_error(errno.ELOOP), "links lead in a circle"),
        (os_error(errno.EMFILE), "raise the limit (ulimit -n)"),
        (os_error(errno.EIO), "the disk failed"),
        (os_error(errno.ECONNREFUSED), "check the address"),
        (os_error(errno.EHOSTUNREACH), "check the address"),
        (TimeoutError("slow"), "check the address"),
        (ConnectionError(), "no answer (ConnectionError)"),
        (
            EndpointConnectionError("no such host"),
            "object store refused or did not answer (no such",
        ),
        (MemoryError(), "not enough memory"),
        (caused(RuntimeError("wrapped"), os_error(errno.EROFS)), "can only be read"),
    ],
    ids=lambda value: getattr(value, "strerror", None) or type(value).__name__,
)
def test_what_is_not_our_bug_is_one_message_and_exit_code_2(
    error: Exception, message: str, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setenv("SPECDENOISE_CACHE", str(tmp_path))

    def fail(arguments: list[str]) -> None:
        raise error

    monkeypatch.setattr("flows.cli.app", fail)
    assert run_program(["build", "tiny"]) == 2
    told = capfd.readouterr().err
    assert message in told and told.startswith("error: ") and "Traceback" not in told
    told_of = [one for one in (error, error.__cause__) if getattr(one, "filename", None)]
    assert all("'/some/place'" in told for _ in told_of)
    assert all(name in told for name in WAYS_OUT.get(getattr(error, "errno", None), ()))
    assert list(tmp_path.iterdir()) == []


_NO_ROOM, _REFUSED, _FILE = "no space left while writing", "access refused", "a file is where a"
_FOLDER, _THERE, _ABSENT = "a folder is where a", "something is there already", "not found"
_MANY, _DISK, _NO_ANSWER = "too many files are open", "the disk failed", "no answer"
ERRORS: dict[str, list[Exception]] = {  # by the beginning of what is told
    _NO_ROOM: [os_error(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)],
    _REFUSED: [os_error(errno.EACCES), os_error(errno.EPERM), PermissionError("x")],
    _FILE: [os_error(errno.ENOTDIR), NotADirectoryError("x")],
    _FOLDER: [os_error(errno.EISDIR), IsADirectoryError("x")],
    _THERE: [os_error(errno.EEXIST), os_error(errno.ENOTEMPTY), FileExistsError("x")],
    _ABSENT: [os_error(errno.ENOENT), FileNotFoundError("x")],
    _MANY: [os_error(errno.EMFILE), os_error(errno.ENFILE)],
    _DISK: [os_error(errno.EIO), os_error(errno.ESTALE)],
    _NO_ANSWER: [
        *(os_error(number) for number in (
            errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EHOSTUNREACH,
            errno.ENETUNREACH, errno.ETIMEDOUT, errno.EPIPE, errno.EADDRNOTAVAIL,
        )), ConnectionError("x"), TimeoutError("x"), BrokenPipeError("x"),
    ],
}  # fmt: skip
ALL_ERRORS = [(one, told) for told, errors in ERRORS.items() for one in errors]


@pytest.mark.parametrize(("error", "told"), ALL_ERRORS, ids=lambda value: repr(value)[:40])
def test_every_error_of_a_disk_and_a_network_has_its_way_out(error: Exception, told: str) -> None:
    text, code = explain(error, ["build"])
    assert code == 2 and text.startswith(told)
    assert ("/some/place" if getattr(error, "filename", None) else "(x)") in text


EXTRAS = {
    "flows": {"demo", "build", "train", "sweep", "ablate", "deploy", "serve", "refresh"},
    "train": {"plan", "evaluate", "generalise", "report", "export"},
    "denoise": {"denoise"},
}


def test_a_missing_package_comes_with_the_extra_of_the_verb() -> None:
    verbs = set(getattr(typer.main.get_command(app), "commands"))  # noqa: B009 - not of its type
    assert set.union(*EXTRAS.values()) <= verbs
    for verb in verbs:
        (extra,) = [name for name, of in EXTRAS.items() if verb in of] or ["sim"]
        assert explain(ModuleNotFoundError("no", name="torch.nn"), [verb]) == (
            f"`{verb}` needs the package 'torch', which is not installed; "
            f"pip install 'specdenoise[{extra}]'", 2,
        )  # fmt: skip


BUG = "raise RuntimeError('a bug')"
RUN = f"""
import sys, flows.cli
def fail(arguments): {BUG}
flows.cli.app = fail
flows.cli.main()
"""


def run(code: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False,
        **more,  # type: ignore[call-overload]
    )  # fmt: skip


def test_a_bug_without_a_place_for_its_log_is_told_without_a_traceback(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    code = f"import tempfile; tempfile.tempdir = {str(blocked)!r}\n{RUN}"
    done = run(code, env=os.environ | {"SPECDENOISE_CACHE": str(blocked / "cache")})
    assert done.returncode == 1
    assert done.stderr.count("error:") == 1 and "Traceback" not in done.stderr
    assert "RuntimeError: a bug" in done.stderr
    assert "the log could not be written" in done.stderr and str(blocked) in done.stderr
    assert "set SPECDENOISE_CACHE to a folder" in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_exit_code(closed: str, tmp_path: Path) -> None:
    for arguments, code in (("cache info", 0), ("build --nonsense", 2)):
        command = f"exec {sys.executable} -m flows {arguments} {closed}"
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, timeout=100, check=False)
        assert done.returncode == code


def test_results_that_do_not_fit_are_told() -> None:
    command = f"{sys.executable} -m flows cache info > /dev/full"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 2 and done.stderr.startswith("error: no space left")
    assert "Exception ignored" not in done.stderr


def test_a_folder_that_is_gone_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert run_program(["build", "tiny"]) == 2
    assert "the folder that this was started in is gone" in capfd.readouterr().err


def test_a_root_below_a_file_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    root = ["--set", f"storage.root={tmp_path / 'file' / 'root'}"]
    assert run_program(["etc-grid", "build", "tiny", *root]) == 2
    assert "a file is where a folder should be" in capfd.readouterr().err


class ObjectStore(BaseHTTPRequestHandler):
    """An object store that refuses everything with its `code`."""

    protocol_version = "HTTP/1.1"
    status, code, text = 403, "", ""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = f"<Error><Code>{self.code}</Code><Message>{self.text}</Message></Error>".encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def object_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hunter2")
    server = ThreadingHTTPServer(("127.0.0.1", 0), ObjectStore)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "text", "message"),
    [
        (403, "InvalidAccessKeyId", "no such key", "access refused (Forbidden)"),
        (403, "SignatureDoesNotMatch", "another secret", "access refused (Forbidden)"),
        (404, "NoSuchBucket", "no such bucket", "no stellar grid 's3://bucket/grid.zarr'"),
        (0, "", "", "object store refused or did not answer (Could not connect"),
    ],
    ids=lambda value: str(value).partition(" ")[0],
)
def test_every_refusal_of_an_object_store_is_told(
    object_store: str, status: int, code: str, text: str, message: str,
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name, value in (("status", status), ("code", code), ("text", text)):
        monkeypatch.setattr(ObjectStore, name, value)
    endpoint = object_store if status else "http://127.0.0.1:9"  # where nothing listens
    options = ["--storage-option", f"endpoint_url={endpoint}",
               "--storage-option", 'config_kwargs={"retries": {"max_attempts": 0}}']  # fmt: skip
    assert run_program(["grid", "info", "s3://bucket/grid.zarr", *options]) == 2
    told = capfd.readouterr().err
    assert message in told and told.count("error:") == 1
    assert "Traceback" not in told and "hunter2" not in told
