"""The verb `denoise`."""

import json
from typing import Annotated, Any

import typer

from flows.cli.options import (
    ExposureTimeOption,
    FieldAngleOption,
    JsonOption,
    MediumOption,
    MoonPhaseOption,
    MoonTargetAngleOption,
    MoonZenithAngleOption,
    SeeingOption,
    StorageOption,
    WavelengthUnitOption,
    ZenithAngleOption,
    storage_options,
)


def denoise(
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="The folder to write into.")],
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILES…", help="Observed spectra, in any known format."),
    ] = None,
    watch: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Denoise what is in a folder and what comes there."),
    ] = None,
    bundle: Annotated[
        str | None,
        typer.Option(
            "--bundle", metavar="BUNDLE", help="What `export` wrote.  [the package's own]"
        ),
    ] = None,
    plots: Annotated[bool, typer.Option("--plots", help="Draw a picture of each.")] = False,
    polish: Annotated[
        bool, typer.Option(help="Take the fit of a star where it is likelier than the network's.")
    ] = True,
    target_snr: Annotated[
        float | None, typer.Option(min=0.1, help="With --watch: S/N that is forecast, else 40.")
    ] = None,
    patience: Annotated[
        float | None,
        typer.Option(min=0.0, help="With --watch: seconds that a file may take to be whole, 30."),
    ] = None,
    seeing: SeeingOption = None,
    zenith_angle: ZenithAngleOption = None,
    field_angle: FieldAngleOption = None,
    moon_zenith_angle: MoonZenithAngleOption = None,
    moon_target_angle: MoonTargetAngleOption = None,
    moon_phase: MoonPhaseOption = None,
    exposure_time: ExposureTimeOption = None,
    conditions: Annotated[
        str | None, typer.Option(metavar="FILE", help="One row of these, as `etc` takes it.")
    ] = None,
    magnitude: Annotated[
        float | None, typer.Option(help="AB, of the stars; by default found from the S/N so far.")
    ] = None,
    instrument: Annotated[
        str | None, typer.Option(help="That observes; by default the newest.")
    ] = None,
    resolution: Annotated[
        float | None, typer.Option(help="Of files that do not say it: wavelength over FWHM")
    ] = None,
    frame: Annotated[
        str | None,
        typer.Option(
            help="Of files that do not say it: topocentric, barycentric, heliocentric or rest"
        ),
    ] = None,
    telluric: Annotated[
        str | None, typer.Option(help="Of files that do not say it: corrected or uncorrected")
    ] = None,
    flux_unit: Annotated[
        str | None, typer.Option(help="Of files that do not say it: nJy, … or relative")
    ] = None,
    wavelength_unit: WavelengthUnitOption = None,
    medium: MediumOption = None,
    reject: Annotated[
        str, typer.Option(help="Planes of the survey's masks that reject: usual, ga or coadd")
    ] = "usual",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that are there.")
    ] = False,
    storage_option: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Denoise observed spectra: denoised flux, its error, redshift and a verdict on each.

    With --watch, the options from --seeing to --instrument say at which conditions the S/N of more
    exposures is forecast; with none of them, it is from that of the exposures so far.
    """
    from flows.terminal.onsky_text import as_plain, print_done, tell_refusal, tell_unpolished
    from flows.terminal.streams import say
    from simlib.errors import InputError
    from simlib.location import Location
    from simlib.spectra.observed import Stated
    from trainlib.onsky.batch import denoise as denoise_files
    from trainlib.onsky.denoise import load_bundle

    if bool(files) == (watch is not None):
        raise InputError("give either files, or a folder to watch with --watch")
    of_watch = _given(target_snr=target_snr, patience_s=patience)
    sky = _given(
        seeing=seeing,
        zenith_angle=zenith_angle,
        field_angle=field_angle,
        moon_zenith_angle=moon_zenith_angle,
        moon_target_angle=moon_target_angle,
        moon_phase=moon_phase,
        exposure_time_s=exposure_time,
    )
    of_forecast = _given(listed=conditions, magnitude=magnitude, instrument=instrument)
    if watch is None and (of_watch or sky or of_forecast):
        raise InputError(
            "--target-snr, --patience and what a forecast is made at (--seeing, … --conditions, "
            "--magnitude, --instrument) act only with --watch; leave them out"
        )
    stated = Stated(flux_unit, wavelength_unit, medium, reject, resolution, frame, telluric)
    options = storage_options(storage_option)
    opened = load_bundle(None if bundle is None else Location.of(bundle, options), polish=polish)
    place = Location.of(out, options)
    if polish:
        tell_unpolished(opened)
    if watch is not None:
        from flows.terminal.watch_text import watch_folder
        from trainlib.onsky.watch import Wanted

        forecast = None
        if sky or of_forecast:
            from trainlib.onsky.forecast import forecast_at

            forecast = forecast_at(sky, **of_forecast)
            say(f"forecast at {forecast.told}")
        wanted = Wanted(stated, plots=plots, forecast=forecast, **of_watch)
        done = watch_folder(opened, watch, place, wanted, overwrite=overwrite)
    else:
        done = denoise_files(
            opened,
            [Location.of(file, options) for file in files or ()],
            place,
            stated,
            overwrite=overwrite,
            plots=plots,
            tell=tell_refusal,
        )
    if as_json:
        told = {"out": out, "not_polished": opened.unpolished, "files": as_plain(done)}
        print(json.dumps(told, indent=1))
    else:
        print_done(done, out)
    if watch is None and any(one.refusals for one in done):
        raise typer.Exit(1)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
