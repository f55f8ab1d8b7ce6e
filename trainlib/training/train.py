"""One rank of a training run, top to bottom: `python -m trainlib.training.train RUN_DIRECTORY`.

torchrun starts it, once per rank (`launch.train` does); without torchrun it is the only rank. The
run directory holds config.toml and manifest.json; the run goes on from its checkpoint if there is
one. Exit code 2 is the person's mistake, told in one message; 75, that it was told to stop
(SIGTERM) and, started again, goes on from the very step. Over several hosts torchrun itself waits
for those missing, as long as its own `--rdzv-conf join_timeout=SECONDS` says.
"""

import argparse
import errno
import logging
import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from simlib.errors import PREEMPTED, InputError, Preempted
from simlib.location import Location, Place
from simlib.rng import Purpose, Split
from trainlib import runs
from trainlib.config import RestFrameModel, Train, TrainingConfig
from trainlib.models import (
    RestStatistics,
    Statistics,
    basis_rank,
    build_model,
    empty_statistics,
)
from trainlib.models import training_statistics as compute_statistics
from trainlib.models.restframe import RestFrameNetwork
from trainlib.models.short import ShortInside, is_short_fast
from trainlib.rest.statistics import empty_rest_statistics
from trainlib.runs import State
from trainlib.training.astray import keep_astray
from trainlib.training.augment import Augmenter
from trainlib.training.batches import Source, open_source
from trainlib.training.data import Spectra, check_pixels, open_split, read_spectra
from trainlib.training.distributed import Ranks, joined_ranks
from trainlib.training.events import EventFile
from trainlib.training.examples import (
    Examples,
    Objective,
    ObservedExamples,
    RestExamples,
    statistics_of_rest,
)
from trainlib.training.failures import attempt, forget_failure, report_failure, told_before
from trainlib.training.log import Interval, append_log, cut_log, in_words
from trainlib.training.meter import flops_a_spectrum, memory_bytes, peak_rate
from trainlib.training.optimizer import build_optimizer, set_learning_rate
from trainlib.training.schedule import learning_rate, plateau_scheduler
from trainlib.training.state import (
    blank_network,
    load_newest,
    restore,
    save_state,
    take_up,
)
from trainlib.training.stopping import Agreement, told_to_stop
from trainlib.training.truth import LABELS, Truth, truth_of
from trainlib.training.watch import end_torchrun, follow_parent

log = logging.getLogger(__name__)

_STATISTICS_ROWS = 16384  # spectra that the basis is made from, at most
_REST_ROWS = 10240  # the same in the rest frame

__all__ = ["Objective", "main", "train_rank"]


def train_rank(  # noqa: PLR0912, PLR0915 the run reads top to bottom, every state change in sight
    directory: Path, config: TrainingConfig, ranks: Ranks, run: Place | None = None
) -> State:
    """Train until the epochs or the seconds of the config are spent; return the last state.

    run: where the run belongs, where that is not this directory. Raises Preempted where one of the
    ranks is told to stop, once the checkpoint of this very step is written.
    """
    begin, begin_cpu = time.monotonic(), time.process_time()
    manifest = runs.read_manifest(directory)
    saved = load_newest(directory, manifest.fingerprint, ranks.device)
    state = saved.state if saved else State()
    ranks.wait()  # what is not gone on from goes: all have read it
    if ranks.is_first:
        cut_log(directory, state.step)
        if saved:
            take_up(directory, saved)
    if state.is_finished:
        return finish(directory, state, ranks)

    dataset, section = runs.dataset_of(run or directory, config, manifest), config.train
    truth = truth_of(dataset) if isinstance(config.model, RestFrameModel) else None
    labels = LABELS if truth else ()
    # what is done at rest is done on the processor, until the network
    holding = replace(ranks, device=torch.device("cpu")) if truth else ranks
    source = open_source(config, dataset, holding, labels)
    held_out = read_validation(dataset, config, holding, labels)
    rows, pixels = source.rows, source.pixels
    check_pixels(pixels, config.model)
    if (found := held_out.flux.shape[1]) != pixels:
        raise InputError(
            f"the validation spectra of {dataset} have {found} pixels, those it trains on {pixels};"
            " write the store again with one wavelength axis"
        )
    log.info("%s training spectra, %d an epoch, of %d pixels, %d rank(s), %s",
             config.dataset.mode, rows, pixels, ranks.world, ranks.device)  # fmt: skip

    training = Augmenter(config.augment, pixels, section.seed, Split.train, Purpose.training_noise)
    validating = Augmenter(
        config.augment, pixels, section.seed, Split.validation, Purpose.evaluation_noise
    )
    if saved is None:
        statistics = make_statistics(config, source, training, ranks, truth)
        torch.manual_seed(section.seed)
        model = build_model(config.model, statistics).to(ranks.device)
    else:
        model = blank_network(saved, config.model).to(ranks.device)
    is_short = section.precision == "bfloat16" and is_short_fast(ranks.device.type)
    if section.precision == "bfloat16" and not is_short:
        log.info("train.precision = 'bfloat16' is left at float32: this processor is slow in it")
    if isinstance(model, ShortInside):
        model.is_short = is_short
    optimizer = build_optimizer(section, model)
    plateau = plateau_scheduler(section, optimizer)
    if saved is not None:
        restore(saved, model, optimizer, plateau)
        log.info("going on from epoch %d, step %d", state.epoch, state.step)
    examples = make_examples(config, source, held_out, training, validating, model, truth, ranks)
    objective = examples.objective(model)
    peak = peak_rate(ranks, section.measure_peak)
    flops = flops_a_spectrum(objective, next(examples.held_out(), None)) if peak else 0.0
    if ranks.world > 1:
        objective = DistributedDataParallel(objective, forward_sync_buffers=False)
    stepped = compiled(objective, section.compile, ranks.device)
    state.parameters = sum(p.numel() for p in model.parameters())
    state.world_size, state.device = ranks.world, str(ranks.device)
    log.info("%s network, %d parameters, set up in %.1f s",
             config.model.kind, state.parameters, time.monotonic() - begin)  # fmt: skip

    steps_an_epoch = -(-rows // section.batch_size)
    steps = section.epochs * steps_an_epoch
    before, before_cpu = state.seconds, state.cpu_seconds  # of earlier starts
    interval_begin = time.monotonic() - state.begun_seconds
    loss_sum = torch.zeros((), dtype=torch.float64, device=ranks.device)
    loss_sum += state.begun_loss if ranks.is_first else 0.0
    astray = torch.full((), math.inf, dtype=torch.float64, device=ranks.device)  # the first step
    reserve = 0.0  # seconds that the last validation and checkpoint will take
    known = Agreement(ranks)
    events = EventFile(directory, state.step) if section.tensorboard and ranks.is_first else None
    with (
        closing(source),
        closing(events) if events else nullcontext(),
        told_to_stop() as is_told,
    ):
        while not state.is_finished:
            for inputs, batch_rows in examples.epoch(state.epoch, state.step % steps_an_epoch):
                known.before_step(before + time.monotonic() - begin + reserve, is_told())
                if known.is_stopping:
                    break
                progress = state.step / steps
                if section.seconds is not None:
                    progress = max(progress, known.seconds / section.seconds)
                if plateau is None:
                    set_learning_rate(optimizer, learning_rate(section, progress))

                errors = stepped(*inputs)
                # ranks average their gradients: weighted so, the mean is over the global batch
                loss = errors.sum() * (ranks.world / batch_rows)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()

                state.step += 1
                # on the device: no step waits for it
                loss_sum += errors.detach().double().sum()
                astray.clamp_(max=torch.where(errors.isfinite().all(), math.inf, state.step))
                state.samples += batch_rows
                state.begun_samples += batch_rows
                if progress >= 1.0:
                    break
            state.epoch = state.step // steps_an_epoch
            state.is_finished = not known.is_stopping and (
                state.epoch >= section.epochs or progress >= 1.0
            )
            if not (known.is_stopping or state.is_finished) and state.epoch % section.interval:
                continue

            rate = optimizer.param_groups[0]["lr"]
            (state.begun_loss,) = ranks.sum(float(loss_sum))  # waits for the device
            state.begun_seconds = time.monotonic() - interval_begin
            pause_begin, judged = time.monotonic(), 0.0
            if not known.is_stopping:
                judged = validate(objective, examples, len(held_out), ranks)
            if not math.isfinite(state.begun_loss + judged):
                step = ranks.least(float(astray))
                where = f"validation after step {state.step}"
                if math.isfinite(step):
                    path, where = keep_astray(
                        directory, examples, inner_of(objective), ranks, int(step), steps_an_epoch
                    )
                    where += f" (kept in {path})"
                raise InputError(
                    f"the loss is not finite at {where}, learning rate {rate:g}; "
                    f"lower train.lr (here {section.lr:g}) and train again"
                )
            (cpu_seconds,) = ranks.sum(time.process_time() - begin_cpu)
            state.seconds = before + time.monotonic() - begin
            state.cpu_seconds = before_cpu + cpu_seconds
            state.ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            if known.is_stopping:
                if ranks.is_first and state.begun_samples:  # else the last checkpoint is of here
                    save_state(directory, state, model, optimizer, plateau, manifest.fingerprint,
                               section.keep)  # fmt: skip
                ranks.wait()  # else torchrun would end the first with those that are done
                raise Preempted(
                    f"told to stop: {state.step % steps_an_epoch} of {steps_an_epoch} batches of "
                    f"epoch {state.epoch + 1} are kept; train again to go on from there"
                )
            if plateau is not None:
                plateau.step(judged)
            speed = state.begun_samples / state.begun_seconds
            pace = (state.begun_seconds + time.monotonic() - pause_begin) / state.begun_samples
            held = memory_bytes(ranks)
            state.loss, state.validation_loss = state.begun_loss / state.begun_samples, judged
            state.begun_loss, state.begun_samples, state.begun_seconds = 0.0, 0, 0.0
            if ranks.is_first:
                used = flops * speed / peak if peak and flops else None
                left = remaining(section, rows, state, pace)
                record(directory, told_of(state, rate, speed, left, held, used), events)
                save_state(directory, state, model, optimizer, plateau, manifest.fingerprint,
                           section.keep)  # fmt: skip
            reserve = 1.2 * (time.monotonic() - pause_begin)
            interval_begin = time.monotonic()
            loss_sum.zero_()
            known.after_pause()
    return finish(directory, state, ranks)


def finish(directory: Path, state: State, ranks: Ranks) -> State:
    """Put what the last checkpoint says into the manifest, however often; return it."""
    if ranks.is_first:
        manifest = runs.read_manifest(directory)
        runs.write_manifest(directory, manifest.model_copy(update={"outcome": state}))
    return state


def read_validation(
    dataset: Location, config: TrainingConfig, ranks: Ranks, labels: Sequence[str] = ()
) -> Spectra:
    """Return this rank's share of the validation spectra used while training."""
    spectra = open_split(dataset, "validation")
    share = ranks.part(min(spectra.sizes["spectrum"], config.train.validation_spectra))
    return read_spectra(spectra, share.start, share.stop, ranks.device, labels)


def make_statistics(
    config: TrainingConfig, source: Source, training: Augmenter, ranks: Ranks, truth: Truth | None
) -> Statistics | RestStatistics:
    """Return the statistics of the augmented training set, made by rank 0 for all.

    truth: for those of the rest frame.
    """
    rank = basis_rank(config.model)
    used = min(source.rows, _REST_ROWS if truth else _STATISTICS_ROWS)
    points = truth.axis.points if truth else source.pixels
    if rank > min(used, points):
        raise InputError(
            f"the network's basis has {rank} components but {used} training spectra of "
            f"{source.pixels} pixels cannot fill it; lower it or "
            "raise dataset.n_train"
        )
    made: Statistics | RestStatistics = (
        empty_rest_statistics(truth.axis, rank) if truth else empty_statistics(points, rank)
    )
    if ranks.is_first:
        clean = source.first(used)
        if truth:
            made = statistics_of_rest(truth, clean, training, rank, config.train.seed)
        else:
            target, _ = training.target(clean.flux, 0, 0)
            made = compute_statistics(target, clean.sigma, rank, config.train.seed)
    parts = (
        ranks.from_first(torch.as_tensor(part).to(ranks.device).contiguous())
        for part in vars(made).values()
    )
    if truth:
        return RestStatistics(*(part.cpu().numpy() for part in parts))
    return Statistics(*parts)


def make_examples(
    config: TrainingConfig,
    source: Source,
    held_out: Spectra,
    training: Augmenter,
    validating: Augmenter,
    model: nn.Module,
    truth: Truth | None,
    ranks: Ranks,
) -> Examples:
    """Return what the network learns from."""
    loss = config.train.loss
    if truth is None or not isinstance(config.model, RestFrameModel):
        return ObservedExamples(source, held_out, training, validating, loss)
    if not isinstance(model, RestFrameNetwork):
        raise TypeError(f"{config.model.kind} is no {type(model).__name__}")
    passes = config.model.passes
    return RestExamples(
        source, held_out, training, validating, truth, model.frame, passes, loss, ranks.device
    )


def compiled(objective: nn.Module, how: str, device: torch.device) -> Callable[..., Any]:
    """Return the objective as a step of the training calls it; InputError where it cannot be so."""
    if how == "none":
        return objective
    if how == "graphs" and device.type == "cpu":
        raise InputError(
            "train.compile = 'graphs' needs a GPU, this is a processor; "
            "set train.compile = 'kernels' or 'none'"
        )
    # one of each size of a batch: with sizes left open it would be slower
    mode = "reduce-overhead" if how == "graphs" else "default"
    return torch.compile(objective, mode=mode, dynamic=False)


def validate(objective: nn.Module, examples: Examples, spectra: int, ranks: Ranks) -> float:
    """Return the mean loss over the validation spectra of all ranks; spectra: of this one."""
    total = 0.0
    objective.eval()
    inner = inner_of(objective)
    with torch.no_grad():
        for inputs in examples.held_out():
            total += float(inner(*inputs).double().sum())
    objective.train()
    loss, count = ranks.sum(total, float(spectra))
    return loss / count


def inner_of(objective: nn.Module) -> nn.Module:
    """Return the objective of this rank, without what averages gradients over ranks."""
    inner = objective.module if isinstance(objective, DistributedDataParallel) else objective
    return inner


def told_of(
    state: State,
    lr: float,
    samples_per_s: float,
    remaining_s: float,
    held: tuple[int, int | None],
    mfu: float | None,
) -> Interval:
    """Return what is said of an interval that has just ended. held: bytes here, and on devices."""
    told = Interval(
        epoch=state.epoch,
        step=state.step,
        samples=state.samples,
        loss=state.loss,
        validation_loss=state.validation_loss,
        lr=lr,
        samples_per_s=samples_per_s,
        seconds=state.seconds,
        cpu_seconds=state.cpu_seconds,
        remaining_s=remaining_s,
        memory_bytes=held[0],
    )
    if held[1] is not None:
        told["device_memory_bytes"] = held[1]
    if mfu is not None:
        told["mfu"] = mfu
    return told


def remaining(section: Train, rows: int, state: State, pace: float) -> float:
    """Return the seconds until the epochs end, or the budget. pace: seconds a spectrum."""
    if state.is_finished:
        return 0.0
    by_epochs = pace * (section.epochs * rows - state.samples)
    left = math.inf if section.seconds is None else section.seconds - state.seconds
    return max(min(by_epochs, left), 0.0)


def record(directory: Path, told: Interval, events: EventFile | None) -> None:
    """Log an interval, for the eye and for programs."""
    log.info("%s", in_words(told))
    append_log(directory, told)
    if events is not None:
        events.add(told)


def main(arguments: list[str] | None = None) -> int:
    """Train as one rank; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trainlib.training.train", description=__doc__)
    parser.add_argument("run_directory", type=Path)
    parser.add_argument("--place", help="where the run belongs, if it is only trained in there")
    parser.add_argument("--watch", type=int, help="end when this process is gone")
    given = parser.parse_args(arguments)
    directory: Path = given.run_directory
    try:
        config, _ = runs.read_run(directory)
        follow_parent(given.watch)
        if (code := told_before(directory)) is not None:
            return code
        if attempt() == 0:
            forget_failure(directory)
        section = config.train
        with joined_ranks(section.device, section.join_timeout_s, section.ranks) as ranks:
            logging.basicConfig(
                level=logging.INFO if ranks.is_first else logging.WARNING, format="%(message)s"
            )
            with runs.lock_run(directory) if ranks.is_first else nullcontext():
                train_rank(directory, config, ranks, given.place)
    except InputError as error:
        report_failure(directory, "InputError", str(error))
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Preempted as told:
        report_failure(directory, "Preempted", str(told))
        print(told, file=sys.stderr)
        end_torchrun()
        return PREEMPTED
    except torch._dynamo.exc.TorchDynamoException as error:
        message = f"torch cannot compile here ({str(error).splitlines()[0]})"
        report_failure(directory, "InputError", f"{message}; set train.compile = 'none'")
        raise
    except Exception as error:
        is_full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        report_failure(directory, "InputError" if is_full else type(error).__name__, str(error))
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
