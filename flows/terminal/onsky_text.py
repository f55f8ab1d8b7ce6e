"""What became of observed spectra, as text."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from flows.terminal.streams import say
from simlib.units import SPEED_OF_LIGHT_M_S
from trainlib.onsky.answers import REFUSED
from trainlib.onsky.denoise import Bundle
from trainlib.onsky.summary import PAGE, SUMMARY, FileDone

_KM_S = SPEED_OF_LIGHT_M_S / 1e3


def tell_refusal(done: FileDone) -> None:
    """Say at once why a file was refused, or how many of its spectra were."""
    if done.message:
        say(f"error: {done.message}")
    elif refused := done.refusals:
        more = f"; the others are in {SUMMARY}" if len(refused) > 1 else ""
        say(
            f"error: {done.place}: {len(refused)} of {len(done.rows)} spectra refused: "
            f"{refused[0]}{more}"
        )


def tell_unpolished(bundle: Bundle) -> None:
    """Say why answers stay the network's own, where they do."""
    if bundle.unpolished:
        say(f"not polished: {bundle.unpolished}")


def print_done(done: Sequence[FileDone], out: str) -> None:
    """Print one line a spectrum, and where the table is."""
    for one in done:
        for row in one.rows if one.written else ():
            print(f"{one.place.name}  {row['spectrum']}  {_found(row)}")
    refused = sum(bool(one.message) for one in done)
    spectra = sum(len(one.refusals) for one in done if one.written)
    print(
        f"{len(done) - refused} files denoised, {refused} refused"
        f"{f', and {spectra} spectra of the others' if spectra else ''}; "
        f"{out.rstrip('/')}/{PAGE}"
    )


def _found(row: Mapping[str, Any]) -> str:
    if row["verdict"] == REFUSED:
        return f"{REFUSED}: {row['message']}"
    velocity, error = (_KM_S * row[name] for name in ("redshift", "redshift_error"))
    return f"S/N {row['snr']:.1f}  {velocity:.1f} ± {error:.1f} km/s  {row['verdict']}"


def as_plain(done: Sequence[FileDone]) -> list[dict[str, Any]]:
    """Return what JSON can say of it: no number is null."""
    return [
        {
            "file": str(one.place),
            "output": str(one.written) if one.written else None,
            "spectra": [{key: _plain(value) for key, value in row.items()} for row in one.rows],
        }
        for one in done
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return None if math.isnan(value[0]) else list(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
