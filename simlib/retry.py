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

Result = TypeVar("Result")


def may_pass(error: Exception) -> bool:
    """Return whether the same attempt may go well a little later."""
    lasting = isinstance(error, _LASTING) or getattr(error, "errno", None) in _LASTING_NUMBERS
    return isinstance(error, OSError) and not lasting


def persist(what: str, attempt: Callable[[], Result]) -> Result:
    """Return what the attempt returns, made again after each pause while its error may pass.

    what: is attempted, for the log.
    """
    for pause in PAUSES_S:
        try:
            return attempt()
        except OSError as error:
            if not may_pass(error):
                raise
            log.warning("%s: %s; once more in %g s", what, error, pause)
            sleep(pause)
    return attempt()
