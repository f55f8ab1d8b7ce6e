"""The page of a bundle that is for people: what the network is for, what it saw, how good it is."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainlib.evaluation.trained import Trained

LICENCE = "Apache-2.0"


def model_card(trained: Trained, wavelength: np.ndarray, results: Mapping[str, Any] | None) -> str:
    """Return the card as Markdown. results: the summary of an evaluation, where there is one."""
    manifest, state = trained.manifest, trained.state
    return "\n".join(
        [
            "# A denoiser of stellar spectra",
            "",
            f"For spectra of cool stars between {wavelength[0]:.1f} and {wavelength[-1]:.1f} nm "
            f"(vacuum, {wavelength.size} pixels), as a fibre spectrograph of that arm sees them.",
            "It was trained on simulated spectra alone. It is not for hot stars, galaxies or blank",
            "sky: it makes a cool star of anything, and the verdict beside each answer says so.",
            "Denoising adds no information: parameters of stars are not better known afterwards.",
            "",
            "| | |",
            "|---|---|",
            f"| recipe | {manifest.recipe} |",
            f"| run | {manifest.fingerprint} |",
            f"| dataset | {manifest.dataset.fingerprint} |",
            f"| spectra seen in training | {state.samples} |",
            f"| parameters | {state.parameters} |",
            f"| licence | {LICENCE} |",
            "",
            *_results(results),
            "",
        ]
    )


def _results(results: Mapping[str, Any] | None) -> list[str]:
    if results is None:
        return ["It was not evaluated; `specdenoise evaluate RUN`, then export again."]
    lines = [
        f"Mean absolute relative error on held-out simulated spectra ({results['split']}):",
        "",
        "| S/N | spectra | error | information limit |",
        "|---|---|---|---|",
    ]
    for part in results["bins"]:
        if part["count"]:
            high = part["snr_high"]
            upper = f"{high:g}" if high is not None and np.isfinite(high) else ""
            error = part["methods"]["dae"]["mean_abs_relative_error"]
            lines.append(
                f"| {part['snr_low']:g}-{upper} | {part['count']} | {_percent(error)} | "
                f"{_percent(part['floor'])} |"
            )
    return [*lines, *_trust(results["trust"])] if "trust" in results else lines


def _trust(told: Mapping[str, Any]) -> list[str]:
    pooled = told["all"]
    pixels, redshift = (pooled[name]["calibrated"] for name in ("pixels", "redshift"))
    return [
        "",
        f"Of the pixels {_percent(pixels['within_68'])} are within the error that is told, and "
        f"{_percent(pixels['within_95'])} within that of 95 %; of the redshifts "
        f"{_percent(redshift['within_68'])} and {_percent(redshift['within_95'])}. The verdict "
        f"refuses {_percent(pooled['false_alarms']['share'])} of clean simulated stars.",
    ]


def _percent(value: float | None) -> str:
    return "" if value is None or not np.isfinite(value) else f"{100.0 * value:.2f} %"
