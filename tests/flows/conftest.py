"""What several tests of the flows and of the program share."""

from collections.abc import Callable
from typing import Any

import pytest

Print = Callable[..., list[str]]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Print:
    """Return what a function prints, its lines, without a table's borders; cells with `|`."""
    monkeypatch.setenv("COLUMNS", "250")

    def lines(function: Callable[..., None], *given: Any) -> list[str]:
        function(*given)
        found = []
        for line in capsys.readouterr().out.splitlines():
            cells = [cell.strip() for cell in line.replace("┃", "│").split("│")]
            text = "|".join(cells[1:-1]) if len(cells) > 2 else line.strip()
            if text and text[0] not in "┏┡└":
                found.append(text)
        return found

    return lines
