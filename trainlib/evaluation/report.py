"""One self-contained page about one or more evaluated runs: it opens anywhere, also offline."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import jinja2
import tomli_w

from simlib.artifact import write_bytes
from simlib.fingerprint import plain
from simlib.location import Location, Place
from trainlib.evaluation import figures
from trainlib.evaluation.claims import JUDGED_BELOW, JUDGED_COUNT
from trainlib.evaluation.drawings import draw
from trainlib.evaluation.explorer import make_explorer
from trainlib.evaluation.lineage import results_step
from trainlib.evaluation.page import PAGE, page_identity, script_text, template_text
from trainlib.evaluation.page_lineage import PageLineage
from trainlib.evaluation.page_numbers import claims_of, page_numbers
from trainlib.evaluation.shown import Shown, shown_runs


def write_report(run_directories: Sequence[Place] | Place, out: Place | None = None) -> Place:
    """Write the page about evaluated runs and return its path; a run given twice is shown once.

    out: None for `report.html` in the first run's directory; figures go to `figures/` beside it.
    Raises InputError before an evaluation.
    """
    shown = shown_runs(run_directories)
    page = shown[0].trained.directory / PAGE if out is None else Location.of(out)
    evaluations = {run.trained.directory: run.results.evaluation for run in shown}
    html = _template().render(
        identity=page_identity([run.results.evaluation.fingerprint for run in shown]),
        lineage=PageLineage.of(page, evaluations).model_dump_json(),
        steps=[results_step(run.trained.directory) for run in shown],
        runs=[_facts(run) for run in shown],
        numbers=page_numbers(shown),
        claims=claims_of(shown[0].results),
        names=figures.NAMES,
        starts=figures.STARTS,
        axes=figures.AXES_SHOWN,
        drawings=draw(shown, page.parent / "figures"),
        explorer=make_explorer(shown[0].results.on, shown[0].results.examples),
        script=script_text(),
        judged_below=JUDGED_BELOW,
        judged_count=JUDGED_COUNT,
    )
    write_bytes(page, html.encode())
    return page.path if page.is_local else page


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template_text())


def report_numbers(run_directories: Sequence[Place] | Place) -> dict[str, Any]:
    """Return every number of the page about evaluated runs, see `page_numbers`."""
    return page_numbers(shown_runs(run_directories))


def _facts(run: Shown) -> dict[str, Any]:
    trained = run.trained
    parts = trained.config.model_dump(exclude_none=True)
    shown = {name: parts[name] for name in ("model", "augment", "train", "evaluate")}
    return {
        "name": run.name,
        "place": trained.directory,
        "manifest": trained.manifest,
        "state": trained.state,
        "dataset": trained.dataset,
        "evaluation": run.results.evaluation,
        "config": tomli_w.dumps(plain(shown)),
        "dataset_config": tomli_w.dumps(
            plain({k: v for k, v in parts.items() if k not in shown and k != "storage"})
        ),
        "model": trained.config.model,
        "train": trained.config.train,
        "evaluate": trained.config.evaluate,
    }
