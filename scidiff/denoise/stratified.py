r"""The denoiser of a large data set by parts: the nearest data one by one, the others by a weighted random sample.

With ``s = sigma / alpha``, ``u = x / alpha`` and ``w_j = exp(-|u - y_j|^2 / 2 s^2)`` the exact mean over ``n`` data is
``m = sum_j w_j y_j / sum_j w_j``. Four ways to it, each with what is known of its error:

    exact        scan of all data                                        0
    top-k        the k data of the largest possible weight               <= 2 R e,  e = dropped mass    (certified)
    stratified   the top k, and r random ones of the rest with weight    z |se| + W p (R + |m - mu|)/Z  (estimated)
                 W = (n - k) / r each
    Wiener       mu + C (C + s^2)^-1 (u - mu)                            z times the largest on draws   (measured)

``R`` is the radius of the data around their mean ``mu``, ``p`` the largest possible weight of a datum of the rest: what
one heavy datum may add that the sample has not seen, without which a small sample is sure of itself. Given the top k,
the sample of the rest is uniform without replacement, so ``W sum_sample f`` is unbiased for the sum of any ``f`` over
the rest: numerator and denominator of ``m`` are unbiased, their ratio is consistent. With ``e_j = w_j (y_j - m)`` and
``Z`` the estimated denominator,

    |se|^2 = (n - k)^2 (1 - r / (n - k)) / r  trace(cov_sample e) / Z^2.

Pure top-k is wrong at high noise, where every datum counts; a random sample at low noise, where few do; the strata
are right at both. `StratifiedDenoiser` takes, for each query, the cheapest way whose error is below a target.

The sample is the head of one permutation of the data, given by a seed: all calls see the same one, so the denoiser is
a function of state and time alone, as solvers of ordinary differential equations need.

References
----------
.. [1] Shang et al., "Fast and Scalable Analytical Diffusion", arXiv:2602.16498
.. [2] W. Cochran, "Sampling Techniques", 3rd edition, 1977 (stratified and ratio estimators)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scidiff.denoise.dataset import DatasetDenoiser, SubsetDenoiser
from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, ShapeError
from scidiff.process.base import Kind, sample_time
from scidiff.process.schedule import Schedule
from scidiff.random import Noise

__all__ = ["DenoisedMean", "Means", "StratifiedDenoiser"]

_TINY = 1e-145
_LEVELS = 16


class Means(Enum):
    """How a mean was made; the value is its place in `DenoisedMean.means`."""

    EXACT = 0
    TOP = 1
    STRATIFIED = 2
    WIENER = 3


@dataclass(frozen=True)
class DenoisedMean:
    """Denoised means of a batch, and what is known of them.

    Parameters
    ----------
    mean
        Shape ``(batch, *event)``.
    error
        Distance to the exact mean: bound, estimate or measurement, by the table at the head of the module.
    support
        Perplexity of the weights: how many data the posterior holds; NaN where no weight was computed (Wiener).
    read
        Data read in full.
    means
        Value of `Means` of each row.
    """

    mean: Tensor
    error: Tensor
    support: Tensor
    read: Tensor
    means: Tensor


class StratifiedDenoiser:
    """Denoiser of a data set by exact scan, top-k, strata or Wiener filter; one time per sample.

    Parameters
    ----------
    schedule
        Noise schedule.
    data
        Data, shape ``(count, *event)``.
    error
        Allowed distance to the exact denoised mean, in the unit of the data.
    seed
        Seed of the permutation, and of the queries on which the Wiener filter is measured.
    rank
        Number of principal axes in which all data are compared; that of all of them ranks the data exactly, fewer are
        cheaper and give looser bounds.
    first
        Size of both strata at first; four times as many whenever the target is not met.
    deviations
        Factor ``z`` of a standard error, and of the largest error of the Wiener filter among draws of the data, that
        must fit below the target.
    queries
        Draws per noise level on which the Wiener filter is measured; 0 leaves it out.
    memory
        Numbers that may be held at once beside the data.

    Raises
    ------
    ConfigError
        If a number lies outside its range.
    """

    def __init__(
        self,
        schedule: Schedule,
        data: Tensor,
        *,
        error: float,
        seed: int,
        rank: int = 64,
        first: int = 256,
        deviations: float = 3.0,
        queries: int = 32,
        memory: int = 1 << 24,
    ) -> None:
        if not deviations > 0 or queries < 0 or memory < 1 or first < 2:
            raise ConfigError(
                f"deviations = {deviations}, queries = {queries}, memory = {memory}, first = {first}; expected "
                "deviations > 0, queries >= 0, memory >= 1 and first >= 2"
            )
        self.index = SubsetDenoiser(schedule, data, error=error, rank=rank, first=first)
        self.schedule, self.error, self.first, self.deviations = schedule, error, first, deviations
        self.memory = memory
        self.data = self.index.flat
        chunk = max(memory // (self.data.shape[1] + 64), 1)
        self.exact = DatasetDenoiser(schedule, data, chunk)
        self.order = torch.from_numpy(np.random.default_rng(seed).permutation(len(data)))
        gap = self.data - self.index.centre
        spectrum = torch.linalg.eigh(gap.T @ gap / len(data))
        self.variances, self.basis = spectrum.eigenvalues.clamp_min(0.0), spectrum.eigenvectors
        self.levels, self.tail = self._measure_wiener(queries, seed)

    @property
    def denoiser(self) -> Denoiser:
        """The data set as a denoiser of kind MEAN."""
        return Denoiser(self, Kind.MEAN)

    def __call__(self, x: Tensor, t: Tensor | float, condition: Any = None) -> Tensor:
        """Denoised mean, float64, shape of ``x``; `condition` is not used."""
        return self.estimate(x, t).mean

    def estimate(self, x: Tensor, t: Tensor | float) -> DenoisedMean:
        """Denoised means by the cheapest way that meets the target, row by row.

        Parameters
        ----------
        x
            States, shape ``(batch, *event)``.
        t
            One time for all rows, or one per row.

        Raises
        ------
        ShapeError
            If a sample has several times.
        """
        flat, s = self._queries(x, t)
        out = _Rows(flat)
        fits = self._wiener_error(s) <= self.error
        out.put(fits, self.wiener(flat[fits], s[fits]), self._wiener_error(s[fits]), torch.nan, 0, Means.WIENER)
        size = self.first
        while bool(out.open.any()) and 8 * size <= len(self.data):
            rows = out.open.nonzero().squeeze(1)
            for part in rows.split(self._rows_at_once(size)):
                self._try(out, part, flat[part], s[part], size)
            size *= 4
        rows = out.open.nonzero().squeeze(1)
        for part in rows.split(max(self.memory // self.exact.chunk, 1)):
            mean, entropy = self.exact._scan(x[part], sample_time(t, x)[part])
            out.put(part, mean, 0.0, entropy.exp(), len(self.data), Means.EXACT)
        return out.result(x.shape)

    # ---- the four ways -----------------------------------------------------------------------------------------------

    def top(self, x: Tensor, t: Tensor | float, count: int) -> DenoisedMean:
        """Mean over the `count` data of the largest possible weight, with its certified bound."""
        return self._by_parts(x, t, count, 0)

    def stratified(self, x: Tensor, t: Tensor | float, count: int, sample: int) -> DenoisedMean:
        """Mean over the nearest `count` data and a random `sample` of the others, with its estimated error.

        Parameters
        ----------
        x, t
            States and times, as in `estimate`.
        count
            Data of the first stratum, 0 or more.
        sample
            Length of the head of the permutation; its members that are in the first stratum do not count twice.
        """
        return self._by_parts(x, t, count, sample)

    def wiener(self, u: Tensor, s: Tensor) -> Tensor:
        """Linear-Gaussian mean ``mu + C (C + s^2)^-1 (u - mu)``.

        Parameters
        ----------
        u
            Scaled states ``x / alpha``, shape ``(batch, dim)``.
        s
            Noise-to-signal ratios ``sigma / alpha``, shape ``(batch,)``.
        """
        gain = self.variances / (self.variances + s.square().clamp_min(_TINY).unsqueeze(1))
        return self.index.centre + (((u - self.index.centre) @ self.basis) * gain) @ self.basis.T

    # ---- parts -------------------------------------------------------------------------------------------------------

    def _by_parts(self, x: Tensor, t: Tensor | float, count: int, sample: int) -> DenoisedMean:
        total = len(self.data)
        if count < 0 or sample < 0 or count + sample < 1 or max(count, sample) > total:
            raise ConfigError(f"count = {count}, sample = {sample}; expected numbers in [0, {total}], not both 0")
        flat, s = self._queries(x, t)
        out = _Rows(flat)
        means = Means.STRATIFIED if sample else Means.TOP
        for part in torch.arange(len(flat)).split(self._rows_at_once(max(count, sample))):
            strata = _Strata(self, flat[part], s[part], count)
            if sample:
                strata.add_sample(self.order[:sample])
            error = strata.error(self.deviations) if sample else strata.bound()
            out.put(part, strata.mean(), error, strata.support(), count + sample, means)
        return out.result(x.shape)

    def _try(self, out: _Rows, part: Tensor, u: Tensor, s: Tensor, size: int) -> None:
        """Close the rows whose target `size` data meet, from the top alone or with a sample of the rest."""
        strata = _Strata(self, u, s, size)
        bound, mean, support = strata.bound(), strata.mean(), strata.support()
        good = bound <= self.error
        out.put(part[good], mean[good], bound[good], support[good], size, Means.TOP)
        if bool(good.all()):
            return
        strata.add_sample(self.order[: 2 * size])
        error, mean, support = strata.error(self.deviations), strata.mean(), strata.support()
        fair = ~good & (error <= self.error)
        out.put(part[fair], mean[fair], error[fair], support[fair], 3 * size, Means.STRATIFIED)

    def _queries(self, x: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor]:
        """Scaled states ``x / alpha`` and ratios ``s``; where no signal is left, the centre and infinity."""
        if x.shape[1:] != self.exact.data.shape[1:]:
            raise ShapeError(f"x has shape {tuple(x.shape)}; expected (batch, {tuple(self.exact.data.shape[1:])})")
        time = sample_time(t, x, "strata take one time per sample: use DatasetDenoiser")[:, None]
        alpha, sigma = self.schedule.alpha(time), self.schedule.sigma(time)
        alive = alpha > 0
        u = torch.where(alive, x.double().flatten(1) / torch.where(alive, alpha, 1.0), self.index.centre)
        return u, torch.where(alive, sigma / alpha, torch.inf).squeeze(1)

    def _rows_at_once(self, size: int) -> int:
        return max(self.memory // (4 * len(self.data) + 4 * size * self.data.shape[1]), 1)

    def _measure_wiener(self, queries: int, seed: int) -> tuple[Tensor, Tensor]:
        """Levels, and the largest error of the filter among draws of the data at each."""
        scale = float(self.variances.sum().sqrt())
        if not queries or scale == 0:
            return torch.zeros(0, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)
        levels = scale * torch.logspace(-0.5, 1.5, _LEVELS, dtype=torch.float64)
        rows = self.order[torch.arange(queries) % len(self.order)]
        noise = Noise.range(seed, queries)
        worst = []
        for k, s in enumerate(levels):
            u = self.data[rows] + s * noise.normal(self.data.shape[1:], step=k, stream="wiener")
            t = float(self.schedule.t(-s.log()))
            reached = float(self.schedule.lam(t)) < -math.log(float(s)) + 1e-6
            if not reached:
                break
            exact = self.exact((float(self.schedule.alpha(t)) * u).reshape(-1, *self.exact.data.shape[1:]), t)
            worst.append((exact.flatten(1) - self.wiener(u, s.expand(queries))).norm(dim=1).max())
        return levels[: len(worst)], torch.stack(worst) if worst else torch.zeros(0, dtype=torch.float64)

    def _wiener_error(self, s: Tensor) -> Tensor:
        """Largest error measured at the two levels around ``s``, times ``z``; infinite outside of them."""
        if not len(self.levels):
            return torch.full_like(s, torch.inf)
        after = torch.searchsorted(self.levels, s.contiguous())
        inside = (after > 0) & (after < len(self.levels))
        after = after.clamp(1, max(len(self.levels) - 1, 1)).clamp_max(len(self.levels) - 1)
        return torch.where(inside, self.deviations * torch.maximum(self.tail[after - 1], self.tail[after]), torch.inf)


class _Strata:
    """Sums over the nearest data, and over a sample of the others, for rows of queries."""

    def __init__(self, source: StratifiedDenoiser, u: Tensor, s: Tensor, count: int) -> None:
        index = source.index
        self.data, self.count, self.radius, self.u = source.data, count, index.radius, u
        self.half = 0.5 / s.clamp_min(_TINY).square().unsqueeze(1)
        gap = u - index.centre
        near = gap @ index.axes
        far = (gap.square().sum(1) - near.square().sum(1)).clamp_min(0.0).sqrt()
        most = -self.half * (torch.cdist(near, index.near).square() + (far.unsqueeze(1) - index.far).square())
        self.chosen = most.topk(count, dim=1).indices
        most = most.scatter(1, self.chosen, -torch.inf)
        self.centre, self.rest, self.heaviest = index.centre, torch.logsumexp(most, 1), most.amax(1)
        rows = self.data[self.chosen]
        logits = -self.half * (u.unsqueeze(1) - rows).square().sum(-1)
        self.top = logits.amax(1) if count else torch.full_like(s, -torch.inf)
        weights = (logits - self.top.unsqueeze(1)).exp()
        self.total = weights.sum(1)
        self.moment = (weights * (logits - self.top.unsqueeze(1))).sum(1)
        self.sum = torch.einsum("bk,bkd->bd", weights, rows)

    def bound(self) -> Tensor:
        """Bound ``2 R e`` of the error of the top alone, ``e`` the largest possible dropped mass."""
        kept = self.top + self.total.log()
        return 2 * self.radius * torch.sigmoid(self.rest - kept)

    def add_sample(self, members: Tensor) -> None:
        """Add a random sample of the rest; `members` that are in the top are left out."""
        inside = torch.zeros(len(self.u), len(self.data), dtype=torch.bool).scatter_(1, self.chosen, True)
        self.outside = (~inside[:, members]).double()
        self.y = self.data[members]
        self.size = self.outside.sum(1)
        square = self.u.square().sum(1, keepdim=True) - 2 * self.u @ self.y.T + self.y.square().sum(1)
        logits = torch.where(self.outside > 0, -self.half * square.clamp_min(0.0), -torch.inf)
        top = torch.maximum(self.top, logits.amax(1))
        scale = (self.top - top).exp()
        g = torch.where(self.outside > 0, logits - top.unsqueeze(1), 0.0)
        self.w = self.outside * g.exp()
        self.each = (len(self.data) - self.count) / self.size.clamp_min(1.0)
        lift = torch.where(scale > 0, scale * self.total * (self.top - top), 0.0)
        self.moment = scale * self.moment + lift + self.each * (self.w * g).sum(1)
        self.total = scale * self.total + self.each * self.w.sum(1)
        self.sum = scale.unsqueeze(1) * self.sum + self.each.unsqueeze(1) * (self.w @ self.y)
        self.top = top

    def mean(self) -> Tensor:
        """Weighted mean, shape ``(batch, dim)``."""
        return self.sum / self.total.unsqueeze(1)

    def support(self) -> Tensor:
        """Perplexity of the weights."""
        return (self.total.log() - self.moment / self.total).exp()

    def error(self, deviations: float) -> Tensor:
        """Standard errors, and what one heavy datum of the rest may add; 0 when all of the rest was read."""
        m = self.mean()
        one = (self.heaviest - self.top).exp() * (self.radius + (m - self.centre).norm(dim=1))
        left = len(self.data) - self.count
        error = deviations * self._standard_error(m, left) + self.each * one / self.total
        return torch.where(self.size >= left, 0.0, torch.where(self.size >= 2, error, torch.inf))

    def _standard_error(self, m: Tensor, left: int) -> Tensor:
        square = self.y.square().sum(1) - 2 * m @ self.y.T + m.square().sum(1, keepdim=True)
        spread = (self.w.square() * square.clamp_min(0.0)).sum(1)
        shift = self.w @ self.y - self.w.sum(1, keepdim=True) * m
        size = self.size.clamp_min(1.0)
        variance = (spread - shift.square().sum(1) / size).clamp_min(0.0) / (size - 1).clamp_min(1.0)
        unread = (1 - size / max(left, 1)).clamp_min(0.0)
        return left * (unread * variance / size).sqrt() / self.total


class _Rows:
    """Result under construction."""

    def __init__(self, flat: Tensor) -> None:
        self.mean = torch.zeros_like(flat)
        self.error, self.support, self.read = torch.zeros(3, len(flat), dtype=torch.float64)
        self.means = torch.full((len(flat),), -1, dtype=torch.int64)

    @property
    def open(self) -> Tensor:
        """Rows without a result."""
        return self.means < 0

    def put(self, rows: Tensor, mean: Tensor, error: Any, support: Any, read: int, means: Means) -> None:
        """Write the result of some rows."""
        self.mean[rows] = mean
        self.error[rows], self.support[rows], self.read[rows] = error, support, float(read)
        self.means[rows] = means.value

    def result(self, shape: torch.Size) -> DenoisedMean:
        """Bring the means to the shape of the states."""
        return DenoisedMean(self.mean.reshape(shape), self.error, self.support, self.read, self.means)
