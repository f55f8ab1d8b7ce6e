"""What a run shows on its page of Prefect's: what was done, what it took, what came out.

Nothing where no server is named. The work never fails for what is only shown.
"""

import base64
import getpass
import io
import logging
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from distributed import Client

from flows.claim import Refresh, recent_refreshes
from flows.config import Config
from flows.orchestration import current_run
from simlib.location import Location, Place
from trainlib import runs
from trainlib.evaluation.gate import MEASURE, NETWORK, Compared
from trainlib.evaluation.results import read_results
from trainlib.training.log import read_log

log = logging.getLogger(__name__)

_INTERVAL_S = 5.0  # between two updates of the progress
Rows = list[dict[str, Any]]


def show(record: Refresh, config: Config, run: str, bins: Sequence[Compared] = ()) -> None:
    """Show what a run did, the dataset, the training and its metrics."""
    if record.flow_run is None:
        return
    name, place = config.dataset.name, Location.of(run, config.storage.options)
    with _never_failing():
        _table(
            f"{name}-stages", f"{record.outcome}. What was due, and what it took", stages(record)
        )
    with _never_failing():
        _table(f"{name}-metrics", f"mean |R| by S/N. {record.outcome}", metrics(place, bins))
    with _never_failing():
        _markdown(f"{name}-loss", _picture("loss", loss_curve(place)))
    has_built = any(one.stage == "build-dataset" and one.was_due for one in record.stages)
    with _never_failing():
        folder = runs.dataset_of(place, *runs.read_run(place))
        _markdown(f"{name}-places", places(str(folder), run))
        if has_built:
            for title, picture in dataset_pictures(folder).items():
                _markdown(f"{name}-{title}", _picture(title, picture))
    with _never_failing():
        if has_built:
            _table(f"{name}-plan", "The dataset, plan against actual", plan_rows(config))


def settle_before(config: Config) -> None:
    """Tell the server how earlier runs ended, where it was not there to be told."""
    if current_run() is None:
        return
    from flows.served import settle

    settle(recent_refreshes(config.root, config.dataset.name))


def show_dashboard(client: Client, name: str) -> None:
    """Show where Dask's dashboard is, and how to reach it from elsewhere."""
    if current_run() is None:
        return
    with _never_failing():
        _markdown(f"{name}-dashboard", dashboard(client.dashboard_link))


@contextmanager
def shown_progress(
    inner: Callable[[int, int, int], None], what: str
) -> Iterator[Callable[[int, int, int], None]]:
    """Yield what shows items done, of all, on the run's page too, beside where `inner` does."""
    if current_run() is None:
        yield inner
        return
    from prefect.artifacts import create_progress_artifact, update_progress_artifact

    last = 0.0
    ident: Any = None
    with _never_failing():
        ident = create_progress_artifact(0.0, description=what)

    def show_both(done: int, total: int, more: int) -> None:
        nonlocal last
        inner(done, total, more)
        if ident is None or (done < total and time.monotonic() - last < _INTERVAL_S):
            return
        last = time.monotonic()
        with _never_failing():
            update_progress_artifact(ident, 100.0 * done / total, description=what)

    yield show_both


def stages(record: Refresh) -> Rows:
    """Return a line a stage: what was due and why, what changed, time planned and taken."""
    return [
        {
            "stage": one.stage,
            "was": "made" if one.was_due else "reused",
            "why": one.reason,
            "what changed": "; ".join(one.changes),
            "last time, in proportion": _seconds(one.planned_s),
            "took": _seconds(one.took_s),
        }
        for one in record.stages
    ]


def metrics(run: Place, bins: Sequence[Compared]) -> Rows:
    """Return the error of the network by S/N, beside that of the released one where compared."""
    before = {one.snr_low: one for one in bins}
    return [
        {
            "S/N": f"{one['snr_low']:g}-{_open(one['snr_high'])}",
            "spectra": one["count"],
            "noisy input": _percent(one["methods"]["none"][MEASURE]),
            "network": _percent(one["methods"][NETWORK][MEASURE]),
            "released before": _percent(old.old) if (old := before.get(one["snr_low"])) else "",
            "verdict": "worse" if old and old.is_worse else "",
        }
        for one in read_results(run).evaluation.summary["bins"]
    ]


def dashboard(link: str) -> str:
    """Return how to see a dashboard: its link, and from elsewhere the tunnel to this machine."""
    port = urlsplit(link).port
    tunnel = f"ssh -N -L {port}:127.0.0.1:{port} {getpass.getuser()}@{platform.node()}"
    return (
        f"[Dask's dashboard]({link}) while the dataset is made. From another machine first\n\n"
        f"    {tunnel}\n"
    )


def places(dataset: str, run: str) -> str:
    """Return where the results of a run are."""
    return (
        f"* report: `{run}/report.html`\n* run: `{run}`\n* dataset: `{dataset}`\n"
        f"* what Dask's workers did: `{dataset}/dask-report.html`\n"
    )


def plan_rows(config: Config) -> Rows:
    """Return the plan of the dataset, from what is measured here, beside what it took."""
    from flows.planning import plan_of
    from flows.terminal.plan_text import lines

    told = plan_of(config, train=False)
    return [
        {"": name, "plan": plan, "actual": actual}
        for name, plan, actual in lines(told["plan"], told["actual"])
    ]


def dataset_pictures(folder: Location) -> dict[str, bytes]:
    """Return nine spectra and the distributions of a dataset, as PNG."""
    from matplotlib.figure import Figure

    from simlib.dataset.inspect import inspect
    from simlib.dataset.inspect_figure import PARTS

    seen, drawn = inspect(folder), {}
    for name in ("spectra", "distributions"):
        figure = Figure(figsize=(15, 9.5), layout="constrained")
        PARTS[name](seen, figure)
        drawn[name] = _png(figure, 60)
    return drawn


def loss_curve(run: Location) -> bytes:
    """Return the loss by epoch, as PNG."""
    from trainlib.evaluation.figures import loss_figure

    return _png(loss_figure({run.name: read_log(run)}), 100)


def _png(figure: Any, dots_per_inch: int) -> bytes:
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=dots_per_inch)
    return held.getvalue()


def _picture(title: str, png: bytes) -> str:
    """Return a picture within text: the server has nowhere to fetch it from."""
    data = base64.b64encode(png).decode()
    return f"### {title.capitalize()}\n\n![{title}](data:image/png;base64,{data})\n"


def _table(key: str, description: str, rows: Rows) -> None:
    from prefect.artifacts import create_table_artifact

    from flows.served import is_silent

    if not is_silent():
        create_table_artifact(table=rows, key=_key(key), description=description)


def _markdown(key: str, text: str) -> None:
    from prefect.artifacts import create_markdown_artifact

    from flows.served import is_silent

    if not is_silent():
        create_markdown_artifact(markdown=text, key=_key(key))


def _key(name: str) -> str:
    """Return a key as Prefect takes them: small letters, digits and dashes."""
    return "".join(one if one.isalnum() and one.isascii() else "-" for one in name.lower())


@contextmanager
def _never_failing() -> Iterator[None]:
    from httpx import TransportError

    from flows.served import tell_silence

    try:
        yield
    except TransportError as error:
        tell_silence(error)
    except Exception as error:
        log.warning("not shown on the page of this run: %s", error)


def _open(high: float | None) -> str:
    return "…" if high is None else f"{high:g}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f} %"


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"
