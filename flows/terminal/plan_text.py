"""How what a build would take is put into words."""

from collections.abc import Mapping
from typing import Any

from flows.terminal.tables import print_table
from simlib.words import size_text, time_text


def print_plan(told: Mapping[str, Any]) -> None:
    """Print what `plan_of` returned."""
    measured, planned, actual = told["measured"], told["plan"], told["actual"]
    print(told["dataset"])
    if told["mode"] != "stored":
        print(f"dataset.mode = {told['mode']!r} stores no spectra; this is what storing them takes")
    print(
        f"measured here on {measured['spectra']} spectra, one core: "
        f"{1e3 * measured['computing_s']:.3f} ms to compute and "
        f"{1e3 * measured['writing_s']:.3f} ms to write one, "
        f"{1e3 * measured['block_s']:.1f} ms more a block; "
        f"{measured['shard_bytes'] / 1e3:.2f} kB kept; {measured['set_up_s']:.1f} s to set up"
    )
    rows = [
        *((split, f"{count:,} rows", "") for split, count in told["splits"].items()),
        *lines(planned, actual),
    ]
    print_table("", ("", "plan", "actual"), [row for row in rows if actual or row[1]])
    _print_training(told["training"])
    if told["scale"]:
        _print_scale(told["scale"])


def lines(planned: Mapping[str, Any], actual: Mapping[str, Any] | None) -> list[tuple[str, ...]]:
    """Return name, plan and actual of everything that is planned of a dataset."""

    def beside(name: str, form: Any) -> str:
        return str(form(actual[name])) if actual else ""

    count = "{:,}".format
    return [
        ("rows of a block", count(planned["block"]), beside("block", count)),
        ("blocks", count(planned["blocks"]), beside("blocks", count)),
        ("tasks", count(planned["tasks"]), ""),
        ("objects", count(planned["objects"]), beside("objects", count)),
        ("size", size_text(planned["bytes"]), beside("bytes", size_text)),
        ("memory of a worker", size_text(planned["memory_bytes"]), ""),
        ("workers, a core each", count(planned["workers"]), ""),
        ("time, all cores together", time_text(planned["core_seconds"]),
         beside("core_seconds", time_text)),
        ("time by the clock", time_text(planned["seconds"]), beside("seconds", time_text)),
        *_costs(planned["cost"]),
    ]  # fmt: skip


def _costs(cost: Mapping[str, Any]) -> list[tuple[str, ...]]:
    unit = cost["currency"]
    return [
        ("cost of computing", f"{cost['computing']:.4g} {unit}", ""),
        ("cost of writing the objects", f"{cost['writing']:.4g} {unit}", ""),
        ("cost of keeping, a month", f"{cost['keeping_a_month']:.4g} {unit}", ""),
    ]


def _print_training(training: Mapping[str, Any]) -> None:
    cost = training["cost"]
    if training["seconds_at_most"] is not None:
        print(f"training: at most {time_text(training['seconds_at_most'])} (train.seconds)")
    else:
        print(
            f"training: at most {training['epochs']:,} epochs, {training['spectra_at_most']:,} "
            f"spectra seen{'' if cost else '; its time is not measured here'}"
        )
    if cost:
        at_peak, in_practice = map(time_text, cost["device_seconds"])
        print(
            f"all epochs of {cost['parameters'] / 1e6:.1f} million weights are "
            f"{cost['flops']:.2e} operations, validations included, "
            f"{cost['flops_a_spectrum'] / 1e6:.0f} million to learn from a spectrum. "
            "By arithmetic:\n"
            f"  here {time_text(cost['seconds'])}, from the processor time of a few steps, "
            f"augmentation included: {cost['spectra_per_s']:.3g} spectra/s on {cost['cores']} free "
            "cores\n"
            f"  on one H100 {at_peak} at its {cost['device_peak'] / 1e12:.1f} TFLOP/s of float32 "
            f"(data sheet), {in_practice} at {100 * cost['device_share']:.0f} % of them; "
            "not measured"
        )


def _print_scale(scale: Mapping[str, Any]) -> None:
    load = scale["scheduler"]
    rows = [
        *(line[:2] for line in lines(scale, None)),
        ("spectra", f"{scale['spectra_per_s']:,.0f} /s"),
        ("written by all workers together", f"{size_text(scale['bytes_per_s'])}/s"),
        ("objects written (PUT)", f"{scale['puts_per_s']:,.0f} /s"),
        (f"{load['tasks']:,} empty tasks, measured here",
         f"{time_text(load['seconds'])}, {1e3 * load['seconds'] / load['tasks']:.2f} ms each"),
        ("the scheduler's time for these tasks", time_text(scale["scheduler_seconds"])),
    ]  # fmt: skip
    title = f"{scale['rows']:,} spectra on {scale['workers']:,} cores, from the figures above"
    print_table(title, ("", "plan"), rows)
