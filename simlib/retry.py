"""Try again, after a pause, what may pass: a network that fails, a server that is busy.

What will be the same the next time is raised at once: a mistake, a full disk, refused access.
"""

import errno
import logging
from collections.abc import Callable
from time import sleep
from typing import TypeVar

log = logging.getLogger(__name__)

PAUSES_S = (0.5, 2.0, 8.0)
_LASTING = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError,
            PermissionError)  # fmt: skip
_LASTING_NUMBERS = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP,
    errno.ENOTEMPTY,
}  # fmt: skip

# No OSErrors, by name: their packages are loaded only where there is an object store.
_OF_STORES = {
    "botocore.exceptions.ConnectionError", "botocore.exceptions.HTTPClientError",
    "botocore.exceptions.IncompleteReadError", "botocore.exceptions.FlexibleChecksumError",
    "botocore.parsers.ResponseParserError", "aiohttp.client_exceptions.ClientError",
    "urllib3.exceptions.HTTPError",
}  # fmt: skip

Result = TypeVar("Result")


def may_pass(error: Exception) -> bool:
    """Return whether the same attempt may go well a little later."""
    if isinstance(error, OSError):
        return not (isinstance(error, _LASTING) or error.errno in _LASTING_NUMBERS)
    return any(
        f"{kind.__module__}.{kind.__qualname__}" in _OF_STORES for kind in type(error).__mro__
    )


def persist(what: str, attempt: Callable[[], Result]) -> Result:
    """Return what the attempt returns, made again after each pause while its error may pass.

    what: is attempted, for the log.
    """
    for pause in PAUSES_S:
        try:
            return attempt()
        except Exception as error:
            if not may_pass(error):
                raise
            log.warning("%s: %s; once more in %g s", what, error, pause)
            sleep(pause)
    return attempt()
