r"""Where on the noise axis training draws its levels: fixed, or where they inform (InfoNoise).

Let ``q`` be the density of a published sampler, whose expected loss is the objective, and ``r`` the density of the
information, measured while training: the entropy rate (`scidiff.train.entropy_rate`) in bins, each an average over the
last draws in it, refreshed now and then. Levels are drawn from a defensive mixture, and the loss is weighted back,

    p(u) = (1 - f) r(u) + f q(u),        w(u) = min(q(u) / p(u), clip),        E_p[w loss] = E_q[loss].

As ``w <= 1 / f``, a floor ``f >= 1 / clip`` (the default) never clips and keeps the objective exactly; below, the share
of the draws that were clipped and the share of the objective that is lost are in every draw's metrics. With
``reweight=False`` the levels themselves are the objective, which then moves with the profile: more of the loss lies
where the data are decided, and the minimiser ``m = E[x_0 | x_t]`` stays what it was.

Both samplers are torch modules without parameters. As a member of a task's network (``nn.ModuleDict``) their state is
saved, restored, sent to other processes and stored with the model, so that a resumed run is bit for bit the same and
the grid of a trained model travels with it.

References
----------
.. [1] Raya et al., "Information-Guided Noise Allocation for Efficient Diffusion Training", arXiv:2602.18647
.. [2] T. Hesterberg, "Weighted average importance sampling and defensive mixture distributions", Technometrics 37,
   1995, doi:10.1080/00401706.1995.10484303
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scidiff.errors import ConfigError, NumericalError, ShapeError
from scidiff.sample.entropic import entropic_grid, inverse_cdf
from scidiff.train.entropy_rate import Trim, WholeRate
from scidiff.train.noise_levels import Axis, Density, even_positions

__all__ = ["FixedNoise", "InfoNoise", "NoiseDraw"]


@dataclass(frozen=True)
class NoiseDraw:
    """Noise levels of a batch.

    Parameters
    ----------
    u, t
        Level and time of every row, float64, shape ``(batch,)``.
    weight
        Factor of every row's loss, float64, shape ``(batch,)``.
    clipped
        Share of the rows whose weight was cut.
    lost
        Share of the batch's weight that the cut took away.
    """

    u: Tensor
    t: Tensor
    weight: Tensor
    clipped: Tensor
    lost: Tensor

    def metrics(self) -> dict[str, Tensor]:
        """What the log of a run should say of the draw."""
        return {"noise_clipped": self.clipped, "noise_lost": self.lost}


class FixedNoise(nn.Module):
    """Levels from one density for the whole run, spread evenly over every batch, with weight 1.

    Parameters
    ----------
    axis
        Coordinate and its ends.
    density
        Law of the levels, e.g. `LogNormalNoise` (EDM) or `UniformLevels`.
    """

    def __init__(self, axis: Axis, density: Density) -> None:
        super().__init__()
        self.axis, self.density = axis, density

    def draw(self, count: int, generator: torch.Generator) -> NoiseDraw:
        """Draw the levels of a batch.

        Parameters
        ----------
        count
            Rows.
        generator
            Source of the draws.
        """
        u = self.density.quantile(self.axis, even_positions(count, generator))
        nothing = torch.zeros((), dtype=torch.float64, device=u.device)
        return NoiseDraw(u, self.axis.time(u), torch.ones_like(u), nothing, nothing)

    def record(self, u: Tensor, rate: Tensor) -> None:
        """Take no notice: the levels do not depend on what was measured."""

    def share(self, low: float, high: float) -> float:
        """Probability that a level lies in an interval of the axis."""
        ends = self.density.cdf(self.axis, torch.tensor([low, high], dtype=torch.float64))
        return float(ends[1] - ends[0])

    def describe(self) -> dict[str, Any]:
        """Settings, in JSON values."""
        return {"sampler": "fixed", "ends": [self.axis.low, self.axis.high], **self.density.describe()}


class InfoNoise(nn.Module):
    """Levels where the measured entropy rate is [1]_.

    Parameters
    ----------
    axis
        Coordinate and its ends.
    density
        Density ``q`` of the objective, and of the levels until the first refresh.
    dimension
        Largest rate that is believed: entries of one sample for Gaussian noise; ``None`` has no limit.
    trim
        What of a rate counts: `None` takes it whole (data on a finite set); `ClipAtResolution` or `SubtractPlateau` on
        continuous data.
    bins
        Number of bins of the axis.
    memory
        Draws in a bin after which an earlier one has lost a factor e of its weight.
    refresh
        Records between refreshes of the density.
    floor
        Share ``f`` of the levels that keeps to `density`.
    clip
        Largest weight.
    reweight
        Whether the loss is weighted back to `density`; if not, the levels are the objective.

    Raises
    ------
    ConfigError
        If a number lies outside its range.

    References
    ----------
    .. [1] Raya et al., arXiv:2602.18647
    """

    seen: Tensor
    total: Tensor
    mass: Tensor
    records: Tensor

    def __init__(
        self,
        axis: Axis,
        density: Density,
        *,
        dimension: float | None = None,
        trim: Trim | None = None,
        bins: int = 64,
        memory: float = 1024.0,
        refresh: int = 200,
        floor: float = 0.1,
        clip: float = 10.0,
        reweight: bool = True,
    ) -> None:
        super().__init__()
        if bins < 2 or refresh < 1 or not memory >= 1 or not 0 < floor <= 1 or not clip >= 1:
            raise ConfigError(
                f"bins = {bins}, refresh = {refresh}, memory = {memory}, floor = {floor}, clip = {clip}; expected "
                "bins >= 2, refresh >= 1, memory >= 1, floor in (0, 1] and clip >= 1"
            )
        if dimension is not None and not dimension > 0:
            raise ConfigError(f"dimension is {dimension}; expected a positive number or None")
        self.axis, self.density, self.dimension, self.trim = axis, density, dimension, trim or WholeRate()
        self.memory, self.refresh, self.floor, self.clip, self.reweight = memory, refresh, floor, clip, reweight
        edges = torch.linspace(axis.low, axis.high, bins + 1, dtype=torch.float64)
        for name in ("seen", "total"):
            self.register_buffer(name, torch.zeros(bins, dtype=torch.float64))
        self.register_buffer("mass", density.cdf(axis, edges).diff())
        self.register_buffer("records", torch.zeros((), dtype=torch.int64))

    # ---- draws -------------------------------------------------------------------------------------------------------

    @property
    def edges(self) -> Tensor:
        """Edges of the bins, shape ``(bins + 1,)``."""
        bins, device = len(self.mass), self.mass.device
        return torch.linspace(self.axis.low, self.axis.high, bins + 1, dtype=torch.float64, device=device)

    def draw(self, count: int, generator: torch.Generator) -> NoiseDraw:
        """Draw the levels of a batch from the mixture, spread evenly, and weight them back.

        Parameters
        ----------
        count
            Rows.
        generator
            Source of the draws, on the device of the module.
        """
        v, f = even_positions(count, generator), self.floor
        kept = self.density.quantile(self.axis, (v / f).clamp_max(1.0))
        informed = inverse_cdf(self.edges, self.mass, ((v - f) / max(1.0 - f, 1e-300)).clamp(0.0, 1.0))
        u = (
            torch.where(v < f, kept, informed)
            if int(self.records) >= self.refresh
            else self.density.quantile(self.axis, v)
        )
        weight = self.weight(u) if self.reweight else torch.ones_like(u)
        cut = weight.clamp_max(self.clip)
        clipped = (weight > self.clip * (1 + 1e-9)).double().mean()
        return NoiseDraw(u, self.axis.time(u), cut, clipped, 1 - cut.sum() / weight.sum())

    def pdf(self, u: Tensor) -> Tensor:
        """Density ``p`` of the levels, per unit of the axis."""
        q = self.density.pdf(self.axis, u)
        if int(self.records) < self.refresh:
            return q
        return (1 - self.floor) * self.mass[self._bin(u)] * self._per_unit + self.floor * q

    def weight(self, u: Tensor) -> Tensor:
        """Factor ``q / p`` of a level, before it is cut."""
        return self.density.pdf(self.axis, u) / self.pdf(u)

    def share(self, low: float, high: float) -> float:
        """Probability that a level lies in an interval of the axis."""
        ends = torch.tensor([low, high], dtype=torch.float64)
        q = float(self.density.cdf(self.axis, ends).diff())
        if int(self.records) < self.refresh:
            return q
        below = torch.cat([torch.zeros(1, dtype=torch.float64), self.mass.cpu().cumsum(0)])
        place = ((ends - self.axis.low) * self._per_unit).clamp(0, len(self.mass))
        whole = place.floor().long().clamp_max(len(self.mass) - 1)
        cdf = below[whole] + (place - whole) * self.mass.cpu()[whole]
        return (1 - self.floor) * float(cdf.diff()) + self.floor * q

    # ---- profile -----------------------------------------------------------------------------------------------------

    def record(self, u: Tensor, rate: Tensor) -> None:
        """Take the measured rates of a batch into the profile; every process of a run calls it equally often.

        Parameters
        ----------
        u
            Levels, shape ``(batch,)``, from `draw`.
        rate
            Entropy rate of every row, nats per unit of the axis, shape ``(batch,)``.

        Raises
        ------
        NumericalError
            If a rate is not finite.
        """
        if u.shape != rate.shape or u.ndim != 1:
            raise ShapeError(f"levels have shape {tuple(u.shape)} and rates {tuple(rate.shape)}; expected one (batch,)")
        rate = rate.detach().double()
        if not bool(rate.isfinite().all()):
            raise NumericalError("a measured entropy rate is not finite; lower the learning rate or look at the batch")
        index = self._bin(u)
        fresh = torch.zeros(2, len(self.mass), dtype=torch.float64, device=self.mass.device)
        fresh.index_put_((torch.zeros_like(index), index), torch.ones_like(rate), accumulate=True)
        fresh.index_put_((torch.ones_like(index), index), rate, accumulate=True)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(fresh)
        fade = torch.exp(-fresh[0] / self.memory)
        self.seen.mul_(fade).add_(fresh[0])
        self.total.mul_(fade).add_(fresh[1])
        self.records.add_(1)
        if int(self.records) % self.refresh == 0:
            self._renew()

    def profile(self) -> Tensor:
        """Measured entropy rate of every bin, nats per unit of the axis; bins without a draw take their neighbours'."""
        known = self.seen > 0
        if not bool(known.any()):
            return torch.zeros_like(self.mass)
        mean = self.total / torch.where(known, self.seen, 1.0)
        rate = _fill(mean, known)
        return rate if self.dimension is None else rate.clamp_max(self.dimension)

    def information(self) -> float:
        """Integral of the measured rate over the axis, in nats; an upper bound of ``H[x_0]`` on a finite set."""
        return float(self.profile().sum() / self._per_unit)

    def grid(self, steps: int, *, to_zero: bool = True) -> Tensor:
        """Inference grid of equal losses of information, see `scidiff.sample.entropic_grid`.

        Raises
        ------
        ConfigError
            If nothing was recorded, or the trim left nothing.
        """
        middle = 0.5 * (self.edges[:-1] + self.edges[1:])
        rate = self.trim(middle, self.profile()).cpu()
        return entropic_grid(self.axis.time(self.edges).cpu(), rate, steps, to_zero=to_zero)

    def describe(self) -> dict[str, Any]:
        """Settings, in JSON values."""
        names = ("dimension", "memory", "refresh", "floor", "clip", "reweight")
        settings = {name: getattr(self, name) for name in names}
        ends = [self.axis.low, self.axis.high]
        return {
            "sampler": "InfoNoise",
            "ends": ends,
            "bins": len(self.mass),
            "trim": getattr(self.trim, "__qualname__", repr(self.trim)),
            **settings,
            **self.density.describe(),
        }

    # ---- parts -------------------------------------------------------------------------------------------------------

    @property
    def _per_unit(self) -> float:
        """Bins per unit of the axis."""
        return len(self.mass) / (self.axis.high - self.axis.low)

    def _bin(self, u: Tensor) -> Tensor:
        return ((u - self.axis.low) * self._per_unit).long().clamp(0, len(self.mass) - 1)

    def _renew(self) -> None:
        """Make the measured profile the density; where the trim leaves nothing, the density stays as it is."""
        middle = 0.5 * (self.edges[:-1] + self.edges[1:])
        rate = self.trim(middle, self.profile())
        if float(rate.sum()) > 0:
            self.mass.copy_(rate / rate.sum())


def _fill(mean: Tensor, known: Tensor) -> Tensor:
    """Values of unknown bins, from the nearest known bin."""
    places = torch.arange(len(mean), device=mean.device)
    gap = (places.unsqueeze(1) - places.unsqueeze(0)).abs().to(mean)
    return mean[gap.masked_fill(~known.unsqueeze(0), torch.inf).argmin(1)]
