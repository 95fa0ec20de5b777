"""One flow of a family, and every method on it: mean, spread, constraint and time of their samples.

For numbers ``fixed`` with ``mu`` and ``sd`` of the conditioned law,

    MMSE = mean over fields' sites of (mean of the samples - mu)^2        SMSE = the same of the standard deviations

as in ECI and PCFM. Both have a floor from the number of samples, which an exact draw of the conditioned law would have.
Intervals are 95 % percentiles of the bootstrap over the samples of each fixed number, less the bias of the bootstrap.
Time is that of the process on one core, for one sample of a batch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from scidiff.random import Noise

from .base import Constraint
from .cases import Entry
from .families import Family
from .functional import FieldFlow

__all__ = ["FamilyRow", "Trial"]

_DRAWS = 200


@dataclass(frozen=True)
class FamilyRow:
    """What a method did on a family.

    Parameters
    ----------
    count
        Samples for each fixed number.
    mmse, smse
        Errors of mean and standard deviation, squared.
    mmse_interval, smse_interval
        Their intervals.
    floor_mmse, floor_smse
        The same of as many exact draws.
    constraint, initial
        Largest violation of all that is fixed, and of the initial slice.
    calls, milliseconds
        Network calls and core time for one sample.
    failed
        Samples whose polish did not converge.
    label
        Of the method.
    """

    count: int
    mmse: float
    smse: float
    mmse_interval: tuple[float, float]
    smse_interval: tuple[float, float]
    floor_mmse: float
    floor_smse: float
    constraint: float
    initial: float
    calls: float
    milliseconds: float
    failed: int
    label: str

    def as_dict(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


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

    @property
    def values(self) -> Tensor:
        """Fixed number of each sample, shape ``(fixed * count,)``."""
        return torch.tensor(self.fixed, dtype=torch.float64).repeat_interleave(self.count)

    def constraint(self, *, initial: bool = False) -> Constraint:
        """What is fixed, one set of data for each sample."""
        return self.family.initial(self.values) if initial else self.family.constraint(self.values)

    def errors(self, x: Tensor, draws: int = 0) -> tuple[Tensor, Tensor]:
        """MMSE and SMSE of samples, shape ``(fixed * count, *event)``, or of `draws` resamplings of them."""
        chooser = torch.Generator().manual_seed(self.seed)
        found = torch.zeros(2, max(draws, 1), dtype=torch.float64)
        for group, value in zip(x.flatten(1).split(self.count), self.fixed, strict=True):
            mu, sd = (part.flatten() for part in self.family.truth(value))
            centre = group.mean(0)
            shares = torch.full((1, self.count), 1 / self.count, dtype=torch.float64)
            if draws:
                rows = torch.randint(self.count, (draws, self.count), generator=chooser)
                shares = torch.zeros(draws, self.count, dtype=torch.float64)
                shares.scatter_add_(1, rows, torch.full_like(rows, 1, dtype=torch.float64) / self.count)
            mean = shares @ (group - centre)
            variance = (shares @ (group - centre) ** 2 - mean**2) * self.count / (self.count - 1)
            found[0] += ((centre + mean - mu) ** 2).mean(1) / len(self.fixed)
            found[1] += ((variance.clamp_min(0).sqrt() - sd) ** 2).mean(1) / len(self.fixed)
        return found[0], found[1]

    def score(self, x: Tensor) -> tuple[float, float]:
        """MMSE and SMSE of samples."""
        mmse, smse = self.errors(x)
        return float(mmse), float(smse)

    def intervals(self, x: Tensor) -> list[tuple[float, float]]:
        """Intervals of MMSE and SMSE."""
        out = []
        for value, drawn in zip(self.score(x), self.errors(x, _DRAWS), strict=True):
            low, high = torch.quantile(drawn - drawn.mean() + value, torch.tensor([0.025, 0.975]).double()).tolist()
            out.append((max(low, 0.0), high))
        return out

    def floor(self) -> tuple[float, float]:
        """MMSE and SMSE of as many exact draws of the conditioned laws, on average over eight sets."""
        sets = []
        for part in range(8):
            u = Noise.range(self.seed + 1 + part, len(self.values)).uniform((), step=0, stream="open")
            sets.append(self.score(self.family.solve(self.values, u)))
        return tuple(torch.tensor(sets, dtype=torch.float64).mean(0).tolist())  # type: ignore[return-value]

    def judge(self, entry: Entry) -> FamilyRow:
        """Draw by a method and score, with its share of the samples."""
        if entry.share != 1:
            count = max(2, round(self.count * entry.share))
            return replace(self, count=count).judge(replace(entry, share=1.0))
        noise, slices = Noise.range(self.seed, len(self.values)), None
        if entry.told:
            some = self.family.solve(self.values, torch.full_like(self.values, 0.5))
            slices = (some - self.flow.law.mean)[:, 0, :, 0]
        begin = time.process_time()
        end = entry.method.draw(
            self.flow.denoiser,
            self.flow.process,
            self.constraint(initial=entry.alone),
            steps=entry.steps,
            noise=noise,
            condition=slices,
        )
        spent = time.process_time() - begin
        (mmse, smse), (first, second) = self.score(end.x), self.intervals(end.x)
        failed = end.records.get("failed/constraint", torch.zeros(0))
        return FamilyRow(
            self.count, mmse, smse, first, second, *self.floor(),
            constraint=float(self.constraint().violation(end.x).max()),
            initial=float(self.constraint(initial=True).violation(end.x).max()),
            calls=float(end.calls.double().mean()),
            milliseconds=1e3 * spent / len(noise),
            failed=int(failed.sum()),
            label=entry.method.label,
        )  # fmt: skip

    def table(self, methods: Mapping[str, Entry]) -> dict[str, FamilyRow]:
        """Judge several methods."""
        return {name: self.judge(entry) for name, entry in methods.items()}
