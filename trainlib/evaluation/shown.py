"""The runs that a page is about."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from simlib.errors import InputError
from simlib.location import Location, Place
from trainlib import runs
from trainlib.evaluation.ablation import Ablation, read_ablation
from trainlib.evaluation.results import Results, read_results
from trainlib.evaluation.trained import Trained, load_trained


@dataclass(frozen=True)
class Shown:
    """A run of the page. name: its directory's, in full where two would be the same.

    ablation: None where no variants of it were trained.
    """

    name: str
    trained: Trained
    results: Results
    ablation: Ablation | None


def shown_runs(run_directories: Sequence[Place] | Place) -> list[Shown]:
    """Return the runs of some directories, each once.

    Raises InputError for none, before an evaluation and where a run was trained on since.
    """
    if isinstance(run_directories, str | Path | Location):
        run_directories = [run_directories]
    if not run_directories:
        raise InputError("a report needs at least one run directory")
    places = {runs.real(Location.of(run)): Location.of(run) for run in run_directories}
    same = Counter(path.name for path in places)
    return [
        _show(place, path.name if same[path.name] == 1 else str(path))
        for path, place in places.items()
    ]


def _show(run: Location, name: str) -> Shown:
    trained, results = load_trained(run), read_results(run)
    if results.evaluation.checkpoint != trained.checkpoint:
        raise InputError(
            f"{run} was trained further since it was judged; run `specdenoise evaluate {run}` again"
        )
    return Shown(name, trained, results, read_ablation(run))
