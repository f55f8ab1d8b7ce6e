"""A script that starts processes needs a main guard: said before any is started.

Every process of a local cluster imports the script of its parent again (multiprocessing's `spawn`).
What the script does without a guard each of them would do too, and start processes of its own
before it is one itself: all would wait for each other, without a word.
"""

import ast
import sys
import threading
from types import FrameType, ModuleType

from simlib.errors import InputError


def refuse_unguarded_script() -> None:
    """Raise InputError where the main script comes here from a line without a main guard."""
    main = sys.modules["__main__"]
    path, line = getattr(main, "__file__", None), _line_of(main)
    spec = getattr(main, "__spec__", None)
    is_package = spec is not None and spec.name.endswith("__main__")  # of that nothing is imported
    if path is None or line is None or is_package:
        return
    try:
        with open(path, "rb") as file:
            script = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):  # no Python that another process would import
        return
    if _is_guarded(script, line):
        return
    raise InputError(
        f"{path}, line {line}: this starts processes, and each would run the script again; put "
        'what it does below `if __name__ == "__main__":`, or set cluster.kind = "threads"'
    )


def _line_of(main: ModuleType) -> int | None:
    """Return the line of the script that the main thread is at; None where it is at none."""
    frame: FrameType | None = sys._current_frames().get(threading.main_thread().ident or 0)
    line = None
    while frame is not None:
        if frame.f_globals is vars(main) and frame.f_code.co_name == "<module>":
            line = frame.f_lineno
        frame = frame.f_back
    return line


def _is_guarded(script: ast.Module, line: int) -> bool:
    around = (
        node
        for node in ast.walk(script)
        if isinstance(node, ast.If) and node.lineno <= line <= (node.end_lineno or node.lineno)
    )
    return any("__name__" in ast.unparse(node.test) for node in around)
