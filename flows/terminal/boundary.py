"""The last place that an error is caught: what a person is told of it, and the exit code.

2: what a person gave, or their machine, disk, network or credentials, stands in the way; one
message says what was found and the way out. 1: our own bug, with a log. Nothing here raises.
"""

import errno
import os
import traceback
from datetime import datetime

from simlib.errors import PREEMPTED, InputError, Preempted

MISTAKE, BUG = 2, 1
_EXTRAS = {"demo": "flows", "build": "flows", "train": "flows", "sweep": "flows",
           "ablate": "flows",
           "deploy": "flows", "serve": "flows", "refresh": "flows", "plan": "train",
           "evaluate": "train", "generalise": "train",
           "report": "train", "export": "train", "denoise": "denoise"}  # fmt: skip
_PACKAGES = ("flows", "simlib", "trainlib")
_STORES = ("botocore", "aiobotocore", "aiohttp", "s3fs")  # object stores and their connections
_ANOTHER = "choose another place (storage.root, --out, --to)"
_CREDENTIALS = (
    "for a URL give credentials in the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "or FSSPEC_<PROTOCOL>_<OPTION>) or name a profile (storage.options.profile), else choose a "
    "place that you may write"
)
_NETWORK = "check the address (endpoint_url, cluster.address) and the network, then run it again"
_REFUSALS = {
    errno.ENOSPC: "no space left while writing ({}); nothing was published. Free some space or set "
    "storage.root elsewhere, then run it again: it goes on with what is there",
    errno.EACCES: f"access refused ({{}}); {_CREDENTIALS}",
    errno.EROFS: f"this place can only be read ({{}}); {_ANOTHER}",
    errno.ENOTDIR: f"a file is where a folder should be ({{}}); {_ANOTHER}, or move the file away",
    errno.EISDIR: f"a folder is where a file should be ({{}}); {_ANOTHER}, or move it away",
    errno.EEXIST: f"something is there already ({{}}); {_ANOTHER}, or move it away",
    errno.ENOENT: "not found ({}); check the path or URL, and that nothing removed it meanwhile",
    errno.ENAMETOOLONG: f"a name is too long ({{}}); {_ANOTHER}",
    errno.ELOOP: f"links lead in a circle ({{}}); {_ANOTHER}",
    errno.EMFILE: "too many files are open ({}); raise the limit (ulimit -n)",
    errno.EIO: f"the disk failed ({{}}); {_ANOTHER}",
    errno.ECONNREFUSED: f"no answer ({{}}); {_NETWORK}",
}
_ALIKE = {
    errno.EDQUOT: errno.ENOSPC,
    errno.EFBIG: errno.ENOSPC,
    errno.EPERM: errno.EACCES,
    errno.ENFILE: errno.EMFILE,
    errno.ESTALE: errno.EIO,
    errno.ENOTEMPTY: errno.EEXIST,
}
_KINDS = {  # an OSError without a number, as those of object stores
    PermissionError: errno.EACCES,
    FileNotFoundError: errno.ENOENT,
    FileExistsError: errno.EEXIST,
    NotADirectoryError: errno.ENOTDIR,
    IsADirectoryError: errno.EISDIR,
    ConnectionError: errno.ECONNREFUSED,
    TimeoutError: errno.ECONNREFUSED,
}
_UNREACHED = {
    errno.ECONNRESET, errno.ECONNABORTED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT,
    errno.EPIPE, errno.EADDRNOTAVAIL,
}  # fmt: skip


def explain(error: Exception, arguments: list[str]) -> tuple[str, int]:
    """Return what a person should know of an error of this command, and the exit code."""
    for one in _chain(error):
        if isinstance(one, InputError):
            return str(one), MISTAKE
        if isinstance(one, Preempted):
            return str(one), PREEMPTED
        if (told := _not_installed(one, arguments) or _refusal(one)) is not None:
            return told, MISTAKE
    return f"{type(error).__name__}: {error}\n{_log(error)}", BUG


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error and those it was raised from, the last first."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    return chain


def _not_installed(error: BaseException, arguments: list[str]) -> str | None:
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    package = error.name.partition(".")[0]
    if package in _PACKAGES:
        return None
    verb = arguments[0] if arguments else ""
    extra = _EXTRAS.get(verb, "sim")
    return (
        f"`{verb}` needs the package {package!r}, which is not installed; "
        f"pip install 'specdenoise[{extra}]'"
    )


def _refusal(error: BaseException) -> str | None:
    """Return what to say where the machine, the network or an object store refused."""
    if type(error).__module__.partition(".")[0] in _STORES:
        return (
            f"the object store refused or did not answer ({_text(error)}); check the address "
            f"(endpoint_url), the bucket and the network; {_CREDENTIALS}"
        )
    if isinstance(error, MemoryError):
        return "not enough memory; simulate fewer rows at once (dataset.block, cluster.workers)"
    if not isinstance(error, OSError):
        return None
    if isinstance(error, FileNotFoundError) and not _has_folder():
        return "the folder that this was started in is gone; change to another"
    kinds = [number for kind, number in _KINDS.items() if isinstance(error, kind)]
    number = error.errno if error.errno is not None else next(iter(kinds), 0)
    number = errno.ECONNREFUSED if number in _UNREACHED else _ALIKE.get(number, number)
    told = _REFUSALS.get(number) or (_REFUSALS[kinds[0]] if kinds else None)
    return told and told.format(_text(error))


def _has_folder() -> bool:
    try:
        return bool(os.getcwd())
    except OSError:
        return False


def _text(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _log(error: Exception) -> str:
    """Write the traceback into the cache's logs; return where it is, or why it is not."""
    from simlib import cache

    try:
        path = cache.writable("logs") / f"{datetime.now():%Y%m%d-%H%M%S-%f}-{os.getpid()}.log"
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except Exception as failure:
        return (
            f"This is our fault; the log could not be written ({_text(failure)}): set "
            f"{cache.VARIABLE} to a folder that you may write, and run it again"
        )
    return f"This is our fault; the log is {path}"
