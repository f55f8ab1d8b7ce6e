"""The discrete choices in which the calculators differ, as data: one engine reads them.

`centred` is the physically right choice and the default; `modified` is what the C calculator with
separate terms does (configuration of 2016), `upstream` the official Python calculator of 2026.
"""

from dataclasses import dataclass

from simlib.errors import InputError


@dataclass(frozen=True)
class Convention:
    """How light is placed on pixels and which physics is in."""

    name: str
    # transmission smoothed by the line spread function: taps one pixel apart, each the mean of
    # `samples_per_tap` transmissions
    taps: int
    taps_per_pixel: int
    samples_per_tap: int
    tap_displacement: float  # of the samples against the weights, pixels
    # emission lines
    line_displacement: float  # of the pixel scale against true centres, pixels
    line_window: int  # pixels that a line is spread over
    line_window_rounds: bool  # begins half a window before the nearest pixel, not the one below
    line_window_is_moved: bool  # at the detector's edge: moved inside, not cut
    # physics
    telluric_follows_airmass: bool  # and acts on airglow lines and moonlight too
    fraunhofer_lines: bool  # of the Sun, in the moonlight
    continuum_model: int  # 5, or 6: with a colour term below 800 nm
    throughput_factor: float
    variance_margin: float  # on the whole variance, read noise included
    conversion_place: float  # 0.5: at the pixel's centre, 0: at its left edge


CONVENTIONS = {
    "centred": Convention(
        name="centred",
        taps=64,
        taps_per_pixel=10,
        samples_per_tap=4,
        tap_displacement=0.0,
        line_displacement=0.0,
        line_window=192,
        line_window_rounds=False,
        line_window_is_moved=False,
        telluric_follows_airmass=True,
        fraunhofer_lines=True,
        continuum_model=5,
        throughput_factor=1.0,
        variance_margin=1.0,
        conversion_place=0.5,
    ),
    "modified": Convention(
        name="modified",
        taps=64,
        taps_per_pixel=1,
        samples_per_tap=1,
        tap_displacement=-0.5,
        line_displacement=0.0,
        line_window=64,
        line_window_rounds=False,
        line_window_is_moved=False,
        telluric_follows_airmass=False,
        fraunhofer_lines=False,
        continuum_model=5,
        throughput_factor=1.0,
        variance_margin=1.0,
        conversion_place=0.5,
    ),
    "upstream": Convention(
        name="upstream",
        taps=32,
        taps_per_pixel=1,
        samples_per_tap=5,
        tap_displacement=0.4,
        line_displacement=0.5,
        line_window=32,
        line_window_rounds=True,
        line_window_is_moved=True,
        telluric_follows_airmass=False,
        fraunhofer_lines=False,
        continuum_model=6,
        throughput_factor=1.2,
        variance_margin=1.015,
        conversion_place=0.0,
    ),
}


def convention_named(name: str) -> Convention:
    """Return a convention, or raise InputError listing the known ones."""
    if name not in CONVENTIONS:
        raise InputError(f"unknown convention {name!r}; known: {', '.join(CONVENTIONS)}")
    return CONVENTIONS[name]
