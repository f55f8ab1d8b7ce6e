"""The page of a bundle that is for people: what the network is for, what it saw, how good it is."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainlib.evaluation.trained import Trained

LICENCE = "Apache-2.0"


def results_told(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a bundle tells of an evaluation's summary: errors by S/N, and their trust."""
    bins = [
        {
            "snr_low": part["snr_low"],
            "snr_high": _finite(part["snr_high"]),
            "count": part["count"],
            "error": _finite(part["methods"]["dae"]["mean_abs_relative_error"]),
            "floor": _finite(part["floor"]),
        }
        for part in summary["bins"]
        if part["count"]
    ]
    trust = {"trust": _trust(summary["trust"])} if "trust" in summary else {}
    return {"split": summary["split"], "bins": bins} | trust


def model_card(trained: Trained, wavelength: np.ndarray, results: Mapping[str, Any] | None) -> str:
    """Return the card as Markdown. results: what is told of an evaluation, where there is one."""
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
            *results_table(results),
            "",
        ]
    )


def results_table(results: Mapping[str, Any] | None) -> list[str]:
    """Return the lines of the card that tell how good the network is."""
    if results is None:
        return ["It was not evaluated; `specdenoise evaluate RUN`, then export again."]
    return [
        f"Mean absolute relative error on held-out simulated spectra ({results['split']}):",
        "",
        "| S/N | spectra | error | information limit |",
        "|---|---|---|---|",
        *(
            f"| {part['snr_low']:g}-{_upper(part)} | {part['count']} | "
            f"{_percent(part['error'])} | {_percent(part['floor'])} |"
            for part in results["bins"]
        ),
        *(_told_of_trust(results["trust"]) if "trust" in results else ()),
    ]


def _told_of_trust(told: Mapping[str, Any]) -> list[str]:
    return [
        "",
        f"Of the pixels {_percent(told['pixels_68'])} are within the error that is told, and "
        f"{_percent(told['pixels_95'])} within that of 95 %; of the redshifts "
        f"{_percent(told['redshift_68'])} and {_percent(told['redshift_95'])}. The verdict "
        f"refuses {_percent(told['false_alarms'])} of clean simulated stars.",
    ]


def _trust(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of how true errors and verdicts were."""
    pooled = told["all"]
    shares = {
        f"{name}_{level}": _finite(pooled[name]["calibrated"][f"within_{level}"])
        for name in ("pixels", "redshift")
        for level in (68, 95)
    }
    return shares | {"false_alarms": _finite(pooled["false_alarms"]["share"])}


def _upper(part: Mapping[str, Any]) -> str:
    return "" if part["snr_high"] is None else f"{part['snr_high']:g}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100.0 * value:.2f} %"
