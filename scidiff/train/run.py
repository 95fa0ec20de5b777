"""The training run: a task, its settings, a folder; out comes a model file.

A run is a function of its task and settings. Batches and draws are functions of the step, so a checkpoint holds
weights, their average and the optimizer's moments, and nothing about the data order; a run that is stopped and
resumed takes bit for bit the steps of one that was not (same machine, same threads).

The work on processes, devices and precision is Lightning Fabric's. Several processes come from ``torchrun`` or from
``devices``; each calls ``task.batch(index, rank, world)`` and gradients are averaged. All processes see one folder.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from scidiff.errors import ConfigError, NumericalError
from scidiff.io.checkpoint import load_into, save_model
from scidiff.train.config import TrainConfig
from scidiff.train.draws import draw_seed, global_draws, seed_global_draws
from scidiff.train.ema import Ema
from scidiff.train.interrupt import StopRequest, stop_on_signal
from scidiff.train.log import Display, LogFile, Window, finite_or_none
from scidiff.train.optimizer import adamw, load_optimizer, optimizer_tensors
from scidiff.train.processes import broadcast_weights, launch, threads
from scidiff.train.state import check_same_run, claimed, describe, read_state, remove_state, write_state
from scidiff.train.step import Stepper, StepReport
from scidiff.train.task import Task, TrainResult

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Task", "TrainResult", "train"]


def train(
    task: Task,
    config: TrainConfig,
    folder: Path | str,
    *,
    resume: bool = True,
    devices: int | str = 1,
    accelerator: str = "auto",
    progress: bool | None = None,
    max_seconds: float | None = None,
    on_log: Callable[[int, dict[str, Any]], Any] | None = None,
) -> TrainResult:
    """Train a task's network, or go on with a run that was stopped.

    Parameters
    ----------
    task
        Network, batches, loss, validation and card.
    config
        Settings; on resume those of the checkpoint, but for the fields in ``OPERATIONAL``.
    folder
        Folder of the run: ``last/``, ``log.jsonl``, ``model.safetensors``, ``model.json``.
    resume
        Whether to go on from ``last/``; if false, it is removed and the run starts again.
    devices, accelerator
        Processes on this machine, or ``"auto"``, ignored under ``torchrun``; and ``"cpu"``, ``"cuda"`` or ``"auto"``.
    progress
        Whether to show a bar; ``None`` shows one on a terminal. Without it each validation prints a line.
    max_seconds
        Wall time after which the run stops with a checkpoint.
    on_log
        Called in the first process with step and line of the log, on resume with earlier ones; a text ends the run.

    Returns
    -------
    TrainResult
        How the run ended. A first SIGINT or SIGTERM ends it after the present step, with a checkpoint. After a finished
        run the network holds the averaged weights, as the model file does.

    Raises
    ------
    ConfigError
        If settings differ from the checkpoint's, nothing is trainable, or another process trains in the folder.
    NumericalError
        If the loss or the gradient is not finite; the last checkpoint is untouched.
    """
    started = time.monotonic()
    if not (max_seconds is None or max_seconds > 0):
        raise ConfigError(f"max_seconds is {max_seconds}; expected a number > 0 or None; pass one")
    fabric = launch(config.precision, devices, accelerator)
    with ExitStack() as stack:
        if fabric.is_global_zero:
            stack.enter_context(claimed(Path(folder)))
        stack.enter_context(threads(config.threads))
        stack.enter_context(global_draws(fabric.device))
        request = stack.enter_context(stop_on_signal())
        run = _Run(fabric, task, config, Path(folder), resume, on_log)
        stack.callback(run.close)
        run.open_log(progress)
        reason = run.loop(request, None if max_seconds is None else started + max_seconds)
        return run.finish(reason)


class _Run:
    """A run in progress: weights, average, optimizer, and the record that a checkpoint needs."""

    def __init__(
        self, fabric: Fabric, task: Task, config: TrainConfig, folder: Path, resume: bool, on_log: Any
    ) -> None:
        self.fabric, self.task, self.config, self.folder, self.on_log = fabric, task, config, folder, on_log
        self.network = task.network.to(fabric.device)
        if fabric.world_size > 1:
            broadcast_weights(self.network)
        self.optimizer = adamw(self.network, config)
        self.ema = Ema(self.network, config.ema)
        self.stepper = Stepper(fabric, task, config, self.optimizer)
        self.identity = describe(config, task.card(), fabric.world_size)
        self.book = _Book()
        if resume:
            self._restore()
        self.saved = self.book.step
        self.window = Window(self.book.window)
        self.log: LogFile | None = None
        self.answer = self.asked = ""
        self.display = Display(config.steps, self.book.step, bar=False, quiet=True)

    def _restore(self) -> None:
        state = read_state(self.folder)
        if state is None:
            return
        record, parts = state
        check_same_run(record, self.identity)
        if record["book"]["step"] > self.config.steps:
            raise ConfigError(
                f"the checkpoint has {record['book']['step']} steps, more than the {self.config.steps} asked for; "
                "pass more steps or another folder"
            )
        load_into(self.network, parts["network"], record)
        self.ema.load(parts["ema"])
        load_optimizer(self.network, self.optimizer, parts["optimizer"])
        self.book = _Book(**record["book"])

    def open_log(self, progress: bool | None) -> None:
        """Open log and display in the first process."""
        self.fabric.barrier()
        if self.fabric.is_global_zero:
            if self.book.step == 0:
                remove_state(self.folder)
            self.log = LogFile(self.folder / "log.jsonl", self.book.step)
            self.display = Display(self.config.steps, self.book.step, bar=progress)
            for record in self.log.earlier:
                self._tell(record["step"], record)
        self.asked = self.fabric.broadcast(self.answer)

    def close(self) -> None:
        """Close log and display."""
        self.stepper.close()
        self.display.close()
        if self.log is not None:
            self.log.close()

    def loop(self, request: StopRequest, deadline: float | None) -> str:
        """Take steps until all are taken or somebody wishes to stop; return why."""
        config, book, alone = self.config, self.book, self.fabric.world_size == 1

        def wish() -> str:
            late = deadline is not None and time.monotonic() >= deadline
            return request.reason or ("out of time" if late else "")

        self.network.train()
        while book.step < config.steps and not self.asked:
            begun = time.monotonic()
            report = self.stepper.gradient(book.step, bool(wish()))
            self._check(report)
            self.stepper.update(book.step, report.values["gradient_norm"])
            book.step += 1
            self.ema.update(book.step)
            spent = time.monotonic() - begun
            book.seconds += spent
            self.window.add({**report.values, "samples": float(report.samples), "step_seconds": spent})
            self.display.advance(book.step, report.values["loss"])
            self._events()
            if (report.stop or (alone and wish())) and book.step < config.steps:
                return wish() or "another process stopped"
        return "finished" if book.step == config.steps else self.asked

    def _events(self) -> None:
        """Log, validate and checkpoint where the settings say so."""
        config, step = self.config, self.book.step
        last = step == config.steps
        if step % config.log_every == 0 or last:
            self._log_line()
        if last or (config.validate_every and step % config.validate_every == 0):
            self._validate()
        if step % config.checkpoint_every == 0 and not last:
            self.checkpoint()

    def _check(self, report: StepReport) -> None:
        if not report.finite:
            kept = f"the checkpoint of step {self.saved} is untouched" if self.saved else "there is no checkpoint yet"
            raise NumericalError(
                f"step {self.book.step + 1}: loss {report.values['loss']}, gradient norm "
                f"{report.values['gradient_norm']}; expected finite numbers; {kept}; lower the learning rate or "
                "look at the batch of this step"
            )

    def _log_line(self) -> None:
        book, means = self.book, self.window.mean()
        samples, spent = means.pop("samples"), means.pop("step_seconds")
        book.loss = means["loss"]
        record = {"step": book.step, **finite_or_none(means), "learning_rate": self.config.rate(book.step - 1)}
        record["seconds"] = round(book.seconds, 3)
        if samples:
            record["samples_per_second"] = round(samples / spent, 2)
        self._write(record)
        if book.step % self.config.log_every == 0:
            self.window.clear()

    def _validate(self) -> None:
        if self.fabric.is_global_zero:
            seed_global_draws(draw_seed(self.config.seed, 0, 0, 1), self.fabric.device)
            with self.ema.applied(), torch.no_grad():
                self.network.eval()
                try:
                    metrics = finite_or_none(self.task.validate(self.network))
                finally:
                    self.network.train()
            self.book.validation = {"step": self.book.step, "metrics": metrics}
            self._write({"step": self.book.step, "validation": metrics})
            loss = self.window.mean().get("loss", self.book.loss)
            numbers = {"loss": loss, **metrics}
            told = ", ".join(f"{n} {'not finite' if v is None else format(v, '.5g')}" for n, v in numbers.items())
            self.display.say(f"step {self.book.step}/{self.config.steps}: {told}")
        self.asked = self.fabric.broadcast(self.answer)

    def _write(self, record: dict[str, Any]) -> None:
        if self.log is not None:
            self.log.write(record)
            self._tell(self.book.step, record)

    def _tell(self, step: int, record: dict[str, Any]) -> None:
        answer = None if self.on_log is None else self.on_log(step, record)
        if isinstance(answer, str):
            self.answer = answer

    def checkpoint(self) -> None:
        """Replace ``last/``."""
        if self.fabric.is_global_zero:
            self.book.window = self.window.state()
            parts = {
                "network": self.network.state_dict(),
                "ema": self.ema.tensors(),
                "optimizer": optimizer_tensors(self.network, self.optimizer),
            }
            write_state(self.folder, parts, {**self.identity, "book": vars(self.book)})
        self.saved = self.book.step
        self.fabric.barrier()

    def finish(self, reason: str) -> TrainResult:
        """Write the last checkpoint and the model file, leave the averaged weights in the network, say how it ended."""
        book, finished = self.book, reason == "finished"
        path = self.folder / "model.safetensors"
        if self.saved != book.step:
            self.checkpoint()
        if self.fabric.is_global_zero:
            with self.ema.applied():
                save_model(path, self.network.state_dict(), self._card(finished))
        if not finished:
            go_on = "" if reason == self.asked else "; start the same command again to go on"
            self.display.say(
                f"stopped at step {book.step} of {self.config.steps} ({reason}); the checkpoint is in "
                f"'{self.folder / 'last'}'{go_on}"
            )
        if finished:
            self.ema.settle()
        self.fabric.barrier()
        return TrainResult(
            book.step, finished, reason, book.loss, book.validation.get("metrics", {}), path, book.seconds
        )

    def _card(self, finished: bool) -> dict[str, Any]:
        book = self.book
        return {
            "weights": "exponential moving average",
            "task": self.identity["card"],
            "training": {
                "config": self.identity["config"],
                "processes": self.identity["processes"],
                "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
                "step": book.step,
                "finished": finished,
                "seconds": round(book.seconds, 3),
                "loss": book.loss,
            },
            "validation": book.validation,
        }


@dataclass
class _Book:
    """The numbers of a run that its checkpoint keeps."""

    step: int = 0
    seconds: float = 0.0
    loss: float | None = None
    window: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, Any] = field(default_factory=dict)
