"""The denoiser of a data set: what a network would learn if it learned the data by heart.

For data ``y_1 ... y_n`` the exact denoised mean is a softmax average,

    m = sum_k w_k y_k,    w_k prop. exp(-sum_l (x_l - alpha_l y_kl)^2 / (2 sigma_l^2)),

over all data, made in chunks with a running maximum. It serves as the baseline that a trained model must beat, as the
oracle of memorisation (as ``sigma -> 0`` it returns data) and as a known score on real data; not as a generator.

`SubsetDenoiser` reads only the data that matter, and knows how much it leaves out: with orthonormal axes ``P`` and the
length ``rho`` of what lies outside of them, ``|u - y|^2 >= |P(u - y)|^2 + (rho_u - rho_y)^2`` bounds every weight
from above without reading ``y``. If the weights left out sum to at most ``e`` times those kept, then ``m`` is wrong by
at most ``2 R e``, with ``R`` the radius of the data.

References
----------
.. [1] Shang et al., "Fast and Scalable Analytical Diffusion", arXiv:2602.16498 (the concentration of the posterior)
.. [2] C. Scarvelis et al., "Closed-Form Diffusion Models", arXiv:2310.12395
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.process.base import Kind, sample_time, site_time
from scidiff.process.schedule import Schedule

__all__ = ["DatasetDenoiser", "SubsetDenoiser"]

_TINY = 1e-290


@dataclass(frozen=True, eq=False)
class DatasetDenoiser:
    """Exact denoiser of an empirical distribution, by a scan of all data.

    Parameters
    ----------
    schedule
        Noise schedule.
    data
        Data, shape ``(count, *event)``.
    chunk
        Number of data that are read at once.
    """

    schedule: Schedule
    data: Tensor
    chunk: int = 8192

    def __post_init__(self) -> None:
        if self.data.ndim < 2 or not len(self.data) or self.chunk < 1:
            raise ConfigError(
                f"data of shape {tuple(self.data.shape)}, chunk {self.chunk}; expected (count, *event) with count > 0"
            )

    @property
    def denoiser(self) -> Denoiser:
        """The data set as a denoiser of kind MEAN."""
        return Denoiser(self, Kind.MEAN)

    def __call__(self, x: Tensor, t: Tensor | float, condition: Any = None) -> Tensor:
        """Denoised mean, float64, shape of ``x``; `condition` is not used."""
        return self._scan(x, t)[0].reshape(x.shape)

    def effective_support(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Perplexity ``exp(-sum w log w)`` of the weights, shape ``(batch,)``: how many data the posterior holds."""
        return self._scan(x, t)[1].exp()

    def _scan(self, x: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor]:
        """Mean ``(batch, dim)`` and entropy ``(batch,)`` of the weights."""
        if x.shape[1:] != self.data.shape[1:]:
            raise ShapeError(f"x has shape {tuple(x.shape)}; expected (batch, {tuple(self.data.shape[1:])})")
        flat = x.double().flatten(1)
        top = torch.full((len(x), 1), -torch.inf, dtype=torch.float64, device=x.device)
        total, moment = torch.zeros_like(top), torch.zeros_like(top)
        mean = torch.zeros_like(flat)
        for y, logits in self._logits(flat, site_time(t, x).expand(x.shape).flatten(1)):
            new = torch.maximum(top, logits.amax(1, keepdim=True))
            scale = (top - new).exp()
            shift = torch.where(total > 0, total * (top - new), 0.0)
            weights = (logits - new).exp()
            moment = scale * (moment + shift) + (weights * (logits - new)).sum(1, keepdim=True)
            total = scale * total + weights.sum(1, keepdim=True)
            mean = scale * mean + weights @ y
            top = new
        return mean / total, (total.log() - moment / total).squeeze(1)

    def _logits(self, x: Tensor, t: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Chunks of the data and their log-weights up to a constant, ``(rows, dim)`` and ``(batch, rows)``."""
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        one_time = bool((t == t[:, :1]).all())
        for y in self.data.split(self.chunk):
            y = y.to(x).flatten(1)
            if one_time:
                level, variance = alpha[:, :1], sigma[:, :1].square().clamp(min=_TINY)
                yield y, level * (x @ y.T - 0.5 * level * y.square().sum(1)) / variance
            else:
                gap = x.unsqueeze(1) - alpha.unsqueeze(1) * y
                yield y, -0.5 * (gap / sigma.unsqueeze(1).clamp(min=_TINY**0.5)).square().sum(-1)


class SubsetDenoiser:
    """Denoiser of a data set that reads as few data as an error target allows; one time per sample.

    Parameters
    ----------
    schedule
        Noise schedule.
    data
        Data, shape ``(count, *event)``.
    error
        Largest allowed distance to the exact denoised mean, in the unit of the data.
    rank
        Number of principal axes in which all data are compared.
    first
        Number of data that are read at first; four times as many whenever the bound is not met.
    """

    def __init__(self, schedule: Schedule, data: Tensor, *, error: float, rank: int = 16, first: int = 64) -> None:
        if not error > 0 or rank < 1 or first < 1:
            raise ConfigError(f"error = {error}, rank = {rank}, first = {first}; expected all positive")
        self.schedule, self.error, self.first = schedule, error, first
        self.exact = DatasetDenoiser(schedule, data)
        self.flat = data.double().flatten(1)
        self.centre = self.flat.mean(0)
        gap = self.flat - self.centre
        self.radius = float(gap.norm(dim=1).max())
        axes = torch.linalg.eigh(gap.T @ gap).eigenvectors
        self.axes = axes[:, -min(rank, axes.shape[1]) :]
        self.near, self.far = self._split(gap)

    @property
    def denoiser(self) -> Denoiser:
        """The data set as a denoiser of kind MEAN."""
        return Denoiser(self, Kind.MEAN)

    def __call__(self, x: Tensor, t: Tensor | float, condition: Any = None) -> Tensor:
        """Denoised mean, float64, shape of ``x``; `condition` is not used."""
        return self.certified(x, t)[0]

    def certified(self, x: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        """Denoised mean, a bound of its error, and the number of data read for it.

        Returns
        -------
        tuple of Tensor
            Shapes ``(batch, *event)``, ``(batch,)`` and ``(batch,)``.
        """
        time = sample_time(t, x, "a subset takes one time per sample: use DatasetDenoiser")[:, None]
        mean = torch.zeros(len(x), self.flat.shape[1], dtype=torch.float64, device=x.device)
        bound, read = torch.zeros(2, len(x), dtype=torch.float64, device=x.device)
        open_rows, count = torch.arange(len(x), device=x.device), self.first
        while len(open_rows) and 4 * count <= len(self.flat):
            m, error = self._average(x[open_rows].double().flatten(1), time[open_rows], count)
            good = error <= self.error
            done = open_rows[good]
            mean[done], bound[done], read[done] = m[good], error[good], float(count)
            open_rows, count = open_rows[~good], 4 * count
        if len(open_rows):
            mean[open_rows] = self.exact(x[open_rows], time[open_rows].squeeze(1)).flatten(1)
            read[open_rows] = float(len(self.flat))
        return mean.reshape(x.shape), bound, read

    def _split(self, gap: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates along the axes, and the length of the rest."""
        near = gap @ self.axes
        return near, (gap.square().sum(1) - near.square().sum(1)).clamp(min=0).sqrt()

    def _average(self, x: Tensor, t: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Average over the `count` data of the largest possible weight, and the bound of its error."""
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        half = 0.5 * (alpha / sigma.clamp(min=_TINY**0.5)) ** 2
        u = torch.where(alpha > 0, x / alpha, self.centre) - self.centre
        near, far = self._split(u)
        most = -half * (torch.cdist(near, self.near) ** 2 + (far.unsqueeze(1) - self.far) ** 2)
        chosen = most.topk(count, dim=1).indices
        y = self.flat[chosen]
        logits = -half * (u.unsqueeze(1) + self.centre - y).square().sum(-1)
        kept = torch.logsumexp(logits, 1)
        rest = torch.logsumexp(most.scatter(1, chosen, -torch.inf), 1)
        return torch.einsum("bk,bkd->bd", torch.softmax(logits, 1), y), 2 * self.radius * (rest - kept).exp()
