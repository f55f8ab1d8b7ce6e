"""The new network and the released one, judged on the same frozen spectra.

Those of the new run, with its noise and augmentation; the released one is judged again on them.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from simlib.errors import InputError
from simlib.location import Place
from trainlib.config import Gate
from trainlib.evaluation.gate import NETWORK, Verdict, verdict
from trainlib.evaluation.judged import judge
from trainlib.evaluation.metrics import summarise_bins
from trainlib.evaluation.results import read_results
from trainlib.evaluation.trained import load_trained
from trainlib.training.data import open_split, read_spectra


def pass_gate(new_run: Place, released_run: Place, gate: Gate) -> Verdict:
    """Return whether a judged run may take the place of the released one.

    Raises InputError where one of the two is not there or damaged. A network for other pixels
    cannot be compared: that passes, and says so.
    """
    new = read_results(new_run).evaluation
    try:
        old = judged_alike(released_run, new_run)
    except _OtherPixelsError as error:
        return Verdict(True, f"not compared: {error}")
    return verdict(old, new.summary, gate)


def judged_alike(released_run: Place, new_run: Place) -> Mapping[str, Any]:
    """Return the bins of the released network on the spectra that the new run was judged on."""
    mine, released = load_trained(new_run), load_trained(released_run)
    if mine.pixels != released.pixels:
        raise _OtherPixelsError(
            f"the released network is of {released.pixels} pixels, this one of {mine.pixels}"
        )
    alike = {"augment": mine.config.augment, "evaluate": mine.config.evaluate}
    released = replace(released, config=released.config.model_copy(update=alike))
    section = mine.config.evaluate
    labels = open_split(mine.dataset, section.split)
    rows = min(labels.sizes["spectrum"], section.spectra or labels.sizes["spectrum"])
    spectra = read_spectra(labels, 0, rows, torch.device("cpu"))
    return summarise_bins(judge(released, {NETWORK: released.model}, spectra, labels, is_on=True))


class _OtherPixelsError(InputError):
    """Two networks do not take the same spectra."""
