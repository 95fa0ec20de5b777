"""One trained flow for a family, and every method on it: mean, spread, constraint and time of their samples.

For numbers ``fixed`` that were not trained on, with ``mu`` and ``sd`` of the conditioned law,

    MMSE = mean over fields' sites of (mean of the samples - mu)^2        SMSE = the same of the standard deviations

as in ECI and PCFM. Both have a floor from the number of samples, ``floor`` in the report, which an exact draw of the
conditioned law would have. Time is that of the process on one core, for one sample of a batch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from scidiff.io.checkpoint import load_into, load_model
from scidiff.random import Noise
from scidiff.train.config import TrainConfig
from scidiff.train.run import train

from .base import Constraint
from .families import Family
from .functional import FieldFlow, ModeNet, flow_task
from .interface import Method
from .reference_law import ReferenceLaw

__all__ = ["FamilyRow", "Trial", "load_flow", "reference_law", "train_flow"]


@dataclass(frozen=True)
class FamilyRow:
    """What a method did on a family.

    Parameters
    ----------
    mmse, smse
        Errors of mean and standard deviation, squared.
    constraint, initial
        Largest violation of all that is fixed, and of the initial slice.
    calls, milliseconds
        Network calls and core time for one sample.
    failed
        Samples whose polish did not converge.
    """

    mmse: float
    smse: float
    constraint: float
    initial: float
    calls: float
    milliseconds: float
    failed: int

    def as_dict(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)


def reference_law(family: Family, modes: int, rows: int = 5000) -> ReferenceLaw:
    """Reference law of the training fields of a family."""
    return ReferenceLaw.fit(family.draw(rows, 1), modes, 1e-8)


def train_flow(
    family: Family, modes: int, folder: Path, *, steps: int, rows: int = 5000, max_seconds: float | None = None
) -> FieldFlow:
    """Train, or go on with, the flow of a family.

    Parameters
    ----------
    family
        Gives the fields.
    modes
        Modes of the reference law.
    folder
        Folder of the run.
    steps
        Optimizer steps.
    rows
        Training fields.
    max_seconds
        Wall time after which the run stops with what it has.
    """
    data, law = family.draw(rows, 1), reference_law(family, modes, rows)
    task = flow_task(
        ModeNet(law.variances),
        law.coefficients(data),
        law.coefficients(family.draw(500, 2)),
        f"{family.name} family on {family.size} x {family.size} points, {rows} rows, {modes} modes",
    )
    config = TrainConfig(steps, 2e-3, warmup=100, ema=0.998, threads=1, checkpoint_every=1000, log_every=200)
    result = train(task, config, folder, max_seconds=max_seconds)
    return load_flow(law, result.model)


def load_flow(law: ReferenceLaw, path: Path) -> FieldFlow:
    """Flow of a model file of `train_flow`, on the reference law that it was trained with."""
    tensors, card = load_model(path)
    network = ModeNet(law.variances)
    inner = {name.removeprefix("denoiser."): value for name, value in tensors.items() if name.startswith("denoiser.")}
    load_into(network, inner, card)
    return FieldFlow(law, network.eval().requires_grad_(False))


@dataclass(frozen=True, eq=False)
class Trial:
    """A family, its flow, and the numbers whose conditioned laws are asked for.

    Parameters
    ----------
    family, flow
        The family and the flow trained on it.
    fixed
        Fixed numbers, in (0, 1).
    count
        Samples for each of them.
    seed
        Seed of the samples.
    """

    family: Family
    flow: FieldFlow
    fixed: tuple[float, ...] = (0.2, 0.5, 0.8)
    count: int = 64
    seed: int = 0

    def truths(self) -> tuple[Tensor, Tensor]:
        """Means and standard deviations, shape ``(fixed, *event)``."""
        pairs = [self.family.truth(value) for value in self.fixed]
        return torch.stack([mean for mean, _ in pairs]), torch.stack([sd for _, sd in pairs])

    def constraint(self, *, initial: bool = False) -> Constraint:
        """What is fixed, one set of data for each sample."""
        values = torch.tensor(self.fixed, dtype=torch.float64).repeat_interleave(self.count)
        return self.family.initial(values) if initial else self.family.constraint(values)

    def score(self, x: Tensor) -> tuple[float, float]:
        """MMSE and SMSE of samples, shape ``(fixed * count, *event)``."""
        mu, sd = self.truths()
        groups = x.reshape(len(self.fixed), self.count, *self.family.event)
        return float(((groups.mean(1) - mu) ** 2).mean()), float(((groups.std(1, correction=1) - sd) ** 2).mean())

    def floor(self) -> tuple[float, float]:
        """MMSE and SMSE of as many exact draws of the conditioned laws."""
        u = Noise.range(self.seed + 1, len(self.fixed) * self.count).uniform((), step=0, stream="open")
        values = torch.tensor(self.fixed, dtype=torch.float64).repeat_interleave(self.count)
        return self.score(self.family.solve(values, u))

    def judge(self, method: Method, steps: int, *, initial: bool = False) -> FamilyRow:
        """Draw by a method and score.

        Parameters
        ----------
        method
            The method.
        steps
            Intervals of the clock.
        initial
            Whether the method is given the initial slice alone.
        """
        noise = Noise.range(self.seed, len(self.fixed) * self.count)
        begin = time.process_time()
        end = method.draw(
            self.flow.denoiser,
            self.flow.process,
            self.constraint(initial=initial),
            steps=steps,
            noise=noise,
        )
        spent = time.process_time() - begin
        mmse, smse = self.score(end.x)
        failed = end.records.get("failed/constraint", torch.zeros(0))
        return FamilyRow(
            mmse,
            smse,
            float(self.constraint().violation(end.x).max()),
            float(self.constraint(initial=True).violation(end.x).max()),
            float(end.calls.double().mean()),
            1e3 * spent / len(noise),
            int(failed.sum()),
        )

    def table(self, methods: Mapping[str, tuple[Method, int, bool]]) -> dict[str, FamilyRow]:
        """Judge several methods, each with its steps and whether it gets the initial slice alone."""
        return {name: self.judge(method, steps, initial=alone) for name, (method, steps, alone) in methods.items()}
