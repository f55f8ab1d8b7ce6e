"""Dask's report beside what was made: there when all went well, and never in the way."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from flows.cluster_report import kept_report
from simlib.dataset.places import dask_report_in
from simlib.location import Location


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as made,
    ):
        yield made


@pytest.mark.parametrize("root", ["{tmp}/made", "memory://made"])
def test_the_report_is_one_page_that_needs_no_network(
    root: str, client: Client, tmp_path: Path
) -> None:
    folder = Location.of(root.format(tmp=tmp_path))
    with kept_report(client) as keep:
        assert client.submit(sum, [1, 2], key=("add things", "1-2", "x")).result(30) == 3
        keep(folder)
    text = (dask_report_in(folder)).read_bytes().decode()  # type: ignore[union-attr]
    assert "def test_the_report_is_one_page" in text  # whose work it was
    assert "add things" in text and "<html" in text
    assert not re.search(r"<(script|link)[^>]*\b(src|href)=", text)
    assert folder.names() == ["dask-report.html"]
    folder.remove()


def test_where_work_failed_or_none_is_wanted_there_is_no_report(
    client: Client, tmp_path: Path
) -> None:
    folder = Location.of(tmp_path / "made")
    with pytest.raises(ZeroDivisionError), kept_report(client):
        raise ZeroDivisionError
    with kept_report(client, is_wanted=False) as keep:
        keep(folder)
    assert folder.names() == []


def test_a_report_that_cannot_be_made_or_kept_fails_nothing(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    (tmp_path / "file").touch()
    with kept_report(client) as keep:
        keep(Location.of(tmp_path / "file"))
    monkeypatch.setattr("flows.cluster_report.performance_report", no_bokeh)
    with kept_report(client) as keep:
        keep(Location.of(tmp_path / "made"))
    assert not (tmp_path / "made").exists()
    told = [
        record.getMessage() for record in caplog.records if record.name == "flows.cluster_report"
    ]
    assert len(told) == 2 and all(text.startswith("no Dask report: ") for text in told)
    assert "bokeh" in told[1]


def no_bokeh(**_: object) -> None:
    raise ModuleNotFoundError("No module named 'bokeh'", name="bokeh")
