"""What the paper claims, what was found, and whether the one bears out the other.

Every figure is of the stored results; beside the network's stand those of the information limit and
of the best method without a network.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from trainlib.evaluation.binned import bins_of, counting
from trainlib.evaluation.metrics import FITTED, NETWORK, SNR_NARROW, has_limit, whole_methods
from trainlib.evaluation.strangers import LINES

INPUT = "none"
_NO_RIVALS = (NETWORK, INPUT, *FITTED)
JUDGED_BELOW = 80.0  # S/N
JUDGED_COUNT = 100  # spectra in a bin
_FEW = 20  # below which a mean is not told
_WANTED = 0.01  # relative: "a fraction of a percent"
_DRAWS = 1000
_TOLD_COUNT = 1000  # spectra of a bin in which the error that is told is judged
_WITHIN = {"within_68": (0.66, 0.70), "within_95": (0.935, 0.965)}
_REDSHIFT_WITHIN = (0.64, 0.72)
_TEN = 10.0  # S/N from which the redshift's error is
_BRIGHT = 20.0  # S/N from which a line is to be found
_DETECTED, _FALSE_ALARMS = 0.9, 0.01
_TWO_SIDED_95 = 1.96
Outcome = Literal["holds", "fails", "better", "unknown"]


@dataclass(frozen=True)
class Told:
    """A number: `value` with its standard error in a unit (`%`: a fraction is stored)."""

    value: float | None
    unit: Literal["%", "×", "ms", "bins"] = "%"
    error: float | None = None
    of: str = ""  # whose it is, or what beside

    def __str__(self) -> str:
        """Return it as it stands on the page."""
        if self.value is None or not np.isfinite(self.value):
            return "–"
        factor, digits = (100.0, 2) if self.unit == "%" else (1.0, 0 if self.unit == "bins" else 2)
        error = "" if self.error is None else f" ± {factor * self.error:.{digits}f}"
        return f"{factor * self.value:.{digits}f}{error}" + {"bins": ""}.get(
            self.unit, f" {self.unit}"
        )


@dataclass(frozen=True)
class Claim:
    """One row of the verdict. place: in the paper, empty for what it does not say itself."""

    text: str
    place: str
    ours: Told
    floor: Told
    baseline: Told
    outcome: Outcome
    note: str = ""


NOTHING = Told(None)
Value = Callable[[np.ndarray], float | None]  # of one number a spectrum, and which of them


def claims(
    results: xr.Dataset, examples: xr.Dataset, trust: Mapping[str, Any] | None = None
) -> list[Claim]:
    """Return the rows of the verdict of an evaluation with augmentation on.

    trust: what the summary of the evaluation says of errors and verdicts, None where nothing.
    """
    return [
        _at_ten(results),
        _beaten(results),
        _limit(results),
        _bias(results),
        _within_a_decade(results),
        *_by_star(results),
        _speed(results),
        *_lines(examples),
        *(_trusted(trust) if trust else ()),
    ]


def _baselines(results: xr.Dataset) -> list[str]:
    return [name for name in whole_methods(results) if name not in _NO_RIVALS]


def _ratios(results: xr.Dataset, inside: np.ndarray) -> Iterator[float]:
    """Yield the mean |R| of every method without a network over the network's, on the same spectra.

    Of those that were judged on enough of the spectra.
    """
    network = _errors(results, NETWORK)
    for name in map(str, results["method"].values):
        errors = _errors(results, name)
        known = inside & np.isfinite(errors)
        if name not in _NO_RIVALS and known.sum() >= _FEW:
            yield float(errors[known].mean() / network[known].mean())


def _errors(results: xr.Dataset, method: str) -> np.ndarray:
    values: np.ndarray = results["mean_abs_relative_error"].sel({"method": method}).values
    return values


def _narrow(results: xr.Dataset) -> xr.Dataset:
    snr = results["snr"].values
    return results.isel(spectrum=(snr >= SNR_NARROW[0]) & (snr < SNR_NARROW[1]))


def best_baseline(results: xr.Dataset) -> str | None:
    """Return the method without a network with the least mean |R| at S/N 9-11, or of all there."""
    some = _narrow(results)
    some = some if some.sizes["spectrum"] else results
    means = {name: float(_errors(some, name).mean()) for name in _baselines(results)}
    return min(means, key=means.__getitem__, default=None)


def _beside(results: xr.Dataset, of: Value, unit: Literal["%", "×"] = "%") -> tuple[Told, Told]:
    """Return what a number is of the limit and of the best baseline.

    of: from one error a spectrum of `results`, NaN where it is not known.
    """
    floor = of(results["floor"].values) if has_limit(results).any() else None
    if (best := best_baseline(results)) is None:
        return Told(floor, unit), NOTHING
    return Told(floor, unit), Told(of(_errors(results, best)), unit, of=best)


def _judged(count: int, is_so: bool) -> Outcome:
    return "unknown" if count < JUDGED_COUNT else "holds" if is_so else "fails"


def _at_ten(results: xr.Dataset) -> Claim:
    some = _narrow(results)
    errors = _errors(some, NETWORK)
    mean = float(errors.mean()) if errors.size else None
    scatter = float(errors.std(ddof=1) / np.sqrt(errors.size)) if errors.size > 1 else None
    floor, baseline = _beside(some, _mean) if errors.size else (NOTHING, NOTHING)
    return Claim(
        "At S/N 10 the relative error is a fraction of a per cent", "abstract",
        Told(mean, error=scatter), floor, baseline,
        _judged(errors.size, mean is not None and mean < _WANTED),
        f"mean |R| of {errors.size} spectra at S/N {SNR_NARROW[0]:g}–{SNR_NARROW[1]:g}",
    )  # fmt: skip


def _mean(values: np.ndarray) -> float | None:
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else None


def judged_bins(results: xr.Dataset) -> list[tuple[float, float, np.ndarray]]:
    """Return edges of the bins of S/N that are judged, and which spectra are in them."""
    return [
        (one.low, one.high, one.inside)
        for one in bins_of(results, "snr")
        if one.low < JUDGED_BELOW and one.inside.sum() >= JUDGED_COUNT
    ]


def _beaten(results: xr.Dataset) -> Claim:
    bins = judged_bins(results)
    won, ratios = 0, []
    for *_, inside in bins:
        ratios.append(min(_ratios(results, inside), default=np.inf))
        won += bool(ratios[-1] > 1.0)
    least = float(min(ratios)) if ratios and np.isfinite(min(ratios)) else None
    return Claim(
        "A network does better than what needs none", "",
        Told(float(won) if bins else None, "bins", of=f"of {len(bins)} bins of S/N"), NOTHING,
        Told(least, "×", of="the network's error, where it is nearest"),
        _judged(JUDGED_COUNT if bins else 0, won == len(bins)),
        f"bins of ≥ {JUDGED_COUNT} spectra below S/N {JUDGED_BELOW:g}",
    )  # fmt: skip


def _limit(results: xr.Dataset) -> Claim:
    ratios, others, best = [], [], best_baseline(results)
    for *_, inside in judged_bins(results):
        known = inside & has_limit(results)
        if known.sum() >= _FEW:
            floor = results["floor"].values[known].mean()
            ratios.append(_errors(results, NETWORK)[known].mean() / floor)
            if best is not None:
                others.append(_errors(results, best)[known].mean() / floor)
    worst = float(max(ratios)) if ratios else None
    return Claim(
        "Close to what the noise lets be known at all", "",
        Told(worst, "×", of="the limit, in the worst bin of S/N"),
        Told(1.0 if ratios else None, "×"),
        Told(float(max(others)), "×", of=best or "") if others else NOTHING,
        _judged(JUDGED_COUNT if ratios else 0, worst is not None and worst < 1.5),
        "η: mean |R| over the information limit of the same spectra; asked is < 1.5",
    )  # fmt: skip


def _bias(results: xr.Dataset) -> Claim:
    bins, best = judged_bins(results), best_baseline(results)

    def worst(method: str) -> float | None:
        signed = results["mean_relative_error"].sel({"method": method}).values
        means = [abs(float(signed[inside].mean())) for *_, inside in bins]
        return max(means, default=None)

    ours = worst(NETWORK)
    return Claim(
        "Errors of either sign cancel: no bias", "section 4.1",
        Told(ours), NOTHING, Told(worst(best), of=best) if best else NOTHING,
        _judged(JUDGED_COUNT if bins else 0, ours is not None and ours < 0.1 * _WANTED),
        "largest |mean R| of a bin of S/N; asked is < 0.1 %",
    )  # fmt: skip


def _within_a_decade(results: xr.Dataset) -> Claim:
    snr = results["snr"].values
    some = results.isel(spectrum=(snr >= 10.0) & (snr < 120.0))
    inside = [one for one in _all_bins(some) if one.sum() >= _FEW]

    def ratio(values: np.ndarray) -> float | None:
        means = [_mean(values[one]) for one in inside]
        known = [one for one in means if one is not None]
        return max(known) / min(known) if len(known) > 1 else None

    ours = ratio(_errors(some, NETWORK))
    floor, baseline = _beside(some, ratio, "×") if ours else (NOTHING, NOTHING)
    return Claim(
        "The mean error stays within a decade for 10 < S/N < 120", "section 4.2, figure 6",
        Told(ours, "×"), floor, baseline,
        _judged(some.sizes["spectrum"] if ours else 0, ours is not None and ours < 10.0),
        "largest over smallest mean |R| of the bins of S/N",
    )  # fmt: skip


def _all_bins(results: xr.Dataset) -> list[np.ndarray]:
    return [one.inside for one in bins_of(results, "snr")]


def _by_star(results: xr.Dataset) -> Iterator[Claim]:
    for text, figure, axis, of, parts, note in (
        ("Below 3750 K the error scatters more than elsewhere", 7, "teff", _spread, _cool,
         "90th less 10th percentile of |R|, below over above"),
        ("Extreme log g is a few times worse", 8, "logg", _mean, _ends,
         "mean |R| in the outer tenths of the range over the rest"),
        ("Metal-rich stars are reconstructed worse", 9, "feh", _mean, _thirds,
         "mean |R| in the upper third of the range over the lower"),
    ):  # fmt: skip
        place = f"section 4.2, figure {figure}"
        yield _contrast(results, text, place, axis, of, parts, note)


def _cool(teff: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return teff < 3750.0, teff >= 3750.0


def _spread(values: np.ndarray) -> float | None:
    values = values[np.isfinite(values)]
    if values.size < _FEW:
        return None
    low, high = np.percentile(values, (10, 90))
    return float(high - low)


def _ends(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.min(values), np.max(values)
    is_end = np.abs(values - 0.5 * (low + high)) > 0.4 * (high - low)
    return is_end, ~is_end


def _thirds(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.min(values), np.max(values)
    third = (high - low) / 3.0
    return values > high - third, values < low + third


def _contrast(
    results: xr.Dataset,
    text: str,
    place: str,
    axis: str,
    of: Value,
    parts: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    note: str,
) -> Claim:
    """Return a claim that some stars come out worse than others; much less so is better."""
    some = results.isel(spectrum=counting(results, axis))
    worse, rest = parts(some[axis].values) if some.sizes["spectrum"] else (np.empty(0, bool),) * 2

    def ratio(values: np.ndarray) -> float | None:
        ours, others = of(values[worse]), of(values[rest])
        return ours / others if ours is not None and others else None

    ours = ratio(_errors(some, NETWORK))
    floor, baseline = _beside(some, ratio, "×") if ours is not None else (NOTHING, NOTHING)
    count = min(int(worse.sum()), int(rest.sum()))
    outcome: Outcome = "unknown"
    if ours is not None and count >= _FEW:
        outcome = "holds" if ours > 1.5 else "better"
    told = f"{note}; {int(worse.sum())} and {int(rest.sum())} spectra interpolated along it"
    return Claim(text, place, Told(ours, "×"), floor, baseline, outcome, told)


def _speed(results: xr.Dataset) -> Claim:
    times = dict(zip(results["method"].values, results["cpu_ms"].values, strict=True))
    best = best_baseline(results)
    ours = float(times[NETWORK])
    return Claim(
        "Evaluated in a few milliseconds", "section 1",
        Told(ours, "ms"), NOTHING, Told(float(times[best]), "ms", of=best) if best else NOTHING,
        "holds" if ours < 10.0 else "fails",
        "processor time a spectrum, many together",
    )  # fmt: skip


def _lines(examples: xr.Dataset) -> Iterator[Claim]:
    for name, text, limit, note in (
        ("new_line", "A line that no star has is not returned", 0.10,
         "share of an artificial line, 40 % deep at 8600 Å, in what is denoised; asked is ≤ 10 %"),
        ("deeper_line", "A line deepened beyond nature is not followed", 0.50,
         "share of an 8542 Å line made 30 % deeper, in part another star; asked is ≤ 50 %"),
    ):  # fmt: skip
        shares = examples[name].values
        shares = shares[np.isfinite(shares)]
        ours = float(np.median(shares)) if shares.size else None
        told = Told(ours, error=_error_of_median(shares))
        is_so = ours is not None and abs(ours) <= limit
        outcome: Outcome = "unknown" if shares.size < _FEW else "holds" if is_so else "fails"
        yield Claim(text, "section 4.3, figures 10 and 11", told, NOTHING,
                    Told(1.0, of=INPUT) if shares.size else NOTHING, outcome,
                    f"median of {shares.size} spectra; {note}")  # fmt: skip


def _trusted(trust: Mapping[str, Any]) -> Iterator[Claim]:
    """Yield whether errors and verdicts are right, where the network tells them."""
    pooled = trust["all"]
    bins = [one for one in trust["bins"] if one["count"] >= _TOLD_COUNT]
    told = [one["pixels"]["calibrated"] for one in (pooled, *bins)]
    worst = {level: [one[level] for one in told] for level in _WITHIN}
    before = pooled["pixels"]["told"]
    is_so = all(low <= one <= high for level, (low, high) in _WITHIN.items()
                for one in worst[level])  # fmt: skip
    yield Claim(
        "The error that is told of a pixel is right", "",
        Told(worst["within_68"][0], error=_half(pooled["pixels"]["calibrated"]["within_68_95"])),
        Told(0.68), NOTHING, _judged(pooled["count"], is_so),
        f"pixels within one error, {pooled['count']} spectra (before calibration "
        f"{before['within_68']:.1%}); {_range(worst['within_68'])} in the bins of ≥ {_TOLD_COUNT} "
        f"spectra and pooled, {_range(worst['within_95'])} within that of 95 %; asked is 66–70 % "
        "and 93.5–96.5 %",
    )  # fmt: skip
    bright = [one for one in trust["bins"] if one["snr_low"] >= _TEN
              and one["count"] >= JUDGED_COUNT]  # fmt: skip
    shares = [one["redshift"]["calibrated"]["within_68"] for one in bright]
    ours = _weighted(bright, shares)
    yield Claim(
        "The error that is told of a redshift is right", "",
        Told(ours), Told(0.68), NOTHING,
        _judged(sum(one["count"] for one in bright),
                ours is not None and _REDSHIFT_WITHIN[0] <= ours <= _REDSHIFT_WITHIN[1]),
        f"redshifts within one error at S/N ≥ 10; {_range(shares)} in its bins; asked is 64–72 %",
    )  # fmt: skip
    strangers = trust.get("strangers", {})
    if "found" in (lines := strangers.get("new line", [{}]))[-1]:
        yield _found(lines)
    others = {name: _bright(told) for name, told in strangers.items() if name not in LINES}
    if others:
        yield _refused(others)


def _found(lines: list[Mapping[str, Any]]) -> Claim:
    """Return whether a line that no star has is told; the false alarms stand beside."""
    told = _bright(lines)
    found, alarms = told["found"]["share"], lines[-1]["false_alarms"]["share"]
    is_so = found is not None and found >= _DETECTED and alarms <= _FALSE_ALARMS
    return Claim(
        "A line that no star has is told", "",
        Told(found, error=_half(told["found"]["share_95"])), NOTHING,
        Told(alarms, of="of clean spectra refused"), _judged(told["count"], is_so),
        f"of {told['count']} spectra at S/N ≥ {_BRIGHT:g} those whose suspected features hold it; "
        f"asked is ≥ {_DETECTED:.0%}, with ≤ {_FALSE_ALARMS:.0%} of clean spectra refused",
    )  # fmt: skip


def _bright(told: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    return next(one for one in told if one["snr_low"] == _BRIGHT)


def _refused(others: Mapping[str, Mapping[str, Any]]) -> Claim:
    """Return whether what is no such star is refused, of the kind of which it is least so."""
    known = {name: one for name, one in others.items() if one["count"]}
    text, asked = "What is no such star is refused", f"asked is ≥ {_DETECTED:.0%} of each"
    if not known:
        return Claim(text, "", NOTHING, NOTHING, NOTHING, "unknown", asked)
    worst = min(known, key=lambda name: float(known[name]["detected"]["share"]))
    share, alarms = (known[worst][name]["share"] for name in ("detected", "false_alarms"))
    is_so = share >= _DETECTED and (alarms or 0.0) <= _FALSE_ALARMS
    each = ", ".join(f"{name} {one['detected']['share']:.1%} (AUC {one['auc']:.3f})"
                     for name, one in known.items() if one["auc"] is not None)  # fmt: skip
    return Claim(
        text, "",
        Told(share, of=worst), NOTHING, Told(alarms, of="of clean spectra refused"),
        _judged(min(one["count"] for one in known.values()), is_so),
        f"at S/N ≥ {_BRIGHT:g}: {each}; {asked}",
    )  # fmt: skip


def _half(interval: list[float] | None) -> float | None:
    """Return the standard error that an interval of 95 % tells."""
    return None if interval is None else (interval[1] - interval[0]) / (2.0 * _TWO_SIDED_95)


def _range(shares: list[float]) -> str:
    return f"{min(shares):.1%} to {max(shares):.1%}" if shares else "–"


def _weighted(bins: list[Mapping[str, Any]], shares: list[float]) -> float | None:
    counts = [one["count"] for one in bins]
    return float(np.average(shares, weights=counts)) if bins else None


def _error_of_median(values: np.ndarray) -> float | None:
    if values.size < 2:
        return None
    dice = np.random.default_rng(0)
    drawn = dice.choice(values, (_DRAWS, values.size))
    return float(np.median(drawn, axis=1).std(ddof=1))


def in_a_sentence(results: xr.Dataset, rows: list[Claim]) -> str:
    """Return what may be trusted, in two sentences."""
    good = []
    for low, _, inside in reversed(judged_bins(results)):
        if _errors(results, NETWORK)[inside].mean() >= _WANTED:
            break
        good.append(low)
    told = (
        f"From S/N {good[-1]:g} up the mean error is below 1 %."
        if good
        else "In no range of S/N that can be judged is the mean error below 1 %."
    )
    fails = [f"“{row.text}”" for row in rows if row.outcome == "fails"]
    beside = f" Does not hold: {', '.join(fails)}." if fails else ""
    return (
        f"{told}{beside} What no training star shows is lost in any case: keep the noisy spectrum."
    )
