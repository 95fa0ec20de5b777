"""Tokens as points of R^K: a Gaussian flow on one-hot data, with a softmax for its mean.

    x_t = c(t) onehot(token) + (1 - c(t)) eps,        m = E[onehot | x_t] = softmax(logits)

The mean is a law on the tokens, so it is learnt by cross-entropy, and it is linear in all rules of Gaussian processes:
with the velocity ``(m - x) / (1 - c)`` there is one deterministic map from noise to sequences, which jump processes on
the tokens do not have.

Most of the way of ``c`` nothing is decided: ``eps`` is larger than what differs between tokens, the more so for many of
them. The accuracy clock spends time in proportion to what is decided. The largest entry of ``x_t`` is the token with
probability

    A(c) = integral phi(z - r) Phi(z)^(K - 1) dz,    r = c / (1 - c),    A(0) = 1/K,  A(1) = 1,

and the clock is ``1 - A(c(t)) = t (1 - 1/K)``: a table of ``1 - c`` against ``t``, joined by straight lines in both
directions, so that times and noise levels invert each other to round-off.

References
----------
.. [1] Lee et al., "Flow map language models", arXiv:2602.16813
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.process.base import Kind
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.schedule import Schedule
from scidiff.random import Source
from scidiff.spaces.categorical import draw_probs

__all__ = ["AccuracySchedule", "OneHotFlow", "decoding_error"]

_REACH = 9.0
_POINTS = 1201


def decoding_error(classes: int, ratio: Tensor) -> Tensor:
    """Probability that the largest entry of ``r onehot + eps`` is not the token, with small relative error.

    Parameters
    ----------
    classes
        Number of tokens ``K``.
    ratio
        ``r = c / (1 - c) >= 0``, shape ``(...)``.

    Returns
    -------
    Tensor
        ``1 - A``, float64, by the trapezoidal rule, which converges exponentially for this integrand.
    """
    y = torch.linspace(-_REACH, _REACH, _POINTS, dtype=torch.float64)
    step = 2.0 * _REACH / (_POINTS - 1)
    density = torch.exp(-0.5 * y**2) * (step / math.sqrt(2.0 * math.pi))
    missed = -torch.expm1((classes - 1) * torch.special.log_ndtr(ratio.double().unsqueeze(-1) + y))
    return (density * missed).sum(-1)


@final
@dataclass(frozen=True)
class AccuracySchedule(Schedule):
    """Straight path on the accuracy clock: ``alpha = c(t)``, ``sigma = 1 - c(t)``.

    Parameters
    ----------
    classes
        Number of tokens ``K``, at least 2.
    points
        Entries of the table, at equal steps of ``c``.

    References
    ----------
    .. [1] Lee et al., arXiv:2602.16813
    """

    classes: int
    points: int = 2048
    times: Tensor = field(init=False, repr=False, compare=False)
    levels: Tensor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the table."""
        if self.classes < 2 or self.points < 2:
            raise ConfigError(f"classes is {self.classes}, points {self.points}; expected at least 2 of each")
        sigma = torch.linspace(1.0, 0.0, self.points + 1, dtype=torch.float64)[:-1]
        t = decoding_error(self.classes, (1.0 - sigma) / sigma) / (1.0 - 1.0 / self.classes)
        t[0] = 1.0
        kept = t > 1e-15
        zero = torch.zeros(1, dtype=torch.float64)
        object.__setattr__(self, "times", torch.cat([zero, t[kept].flip(0)]))
        object.__setattr__(self, "levels", torch.cat([zero, sigma[kept].flip(0)]))

    def alpha(self, t: Tensor | float) -> Tensor:
        """Signal level ``c(t)``."""
        return 1.0 - self.sigma(t)

    def sigma(self, t: Tensor | float) -> Tensor:
        """Noise level ``1 - c(t)``."""
        return _lines(torch.as_tensor(t, dtype=torch.float64), self.times, self.levels)

    def lam(self, t: Tensor | float) -> Tensor:
        """Half log signal-to-noise ratio ``log(c / (1 - c))``."""
        sigma = self.sigma(t)
        return torch.log1p(-sigma) - sigma.log()

    def t(self, lam: Tensor | float) -> Tensor:
        """Time at which `lam` has the given value."""
        return _lines(torch.sigmoid(-torch.as_tensor(lam, dtype=torch.float64)), self.levels, self.times)

    def velocity(self, t: Tensor | float) -> tuple[Tensor, Tensor]:
        """Velocity along the straight line, ``v = eps - x_0``."""
        ones = torch.ones_like(torch.as_tensor(t, dtype=torch.float64))
        return -ones, ones


def _lines(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """Piecewise linear function through rising knots."""
    knots, values = knots.to(x.device), values.to(x.device)
    right = torch.searchsorted(knots, x.contiguous()).clamp(1, len(knots) - 1)
    low, high = knots[right - 1], knots[right]
    part = ((x - low) / (high - low)).clamp(0.0, 1.0)
    return torch.lerp(values[right - 1], values[right], part)


@dataclass(frozen=True)
class OneHotFlow(GaussianProcess):
    """Gaussian process whose data are one-hot vectors on the last axis; takes all rules of Gaussian processes.

    The space is `Euclidean` with ``K`` as its last axis. Networks of `Kind.LOGITS` are brought to their softmax; the
    other kinds pass as for any Gaussian process.

    References
    ----------
    .. [1] Lee et al., arXiv:2602.16813
    """

    @property
    def classes(self) -> int:
        """Number of tokens ``K``."""
        size = self.space.shape[-1]
        if size is None:
            raise ConfigError("the space leaves its last axis free; expected the number of tokens there")
        return size

    def encode(self, tokens: Tensor) -> Tensor:
        """One-hot vectors, float64, shape ``(batch, *sites, K)``."""
        return torch.nn.functional.one_hot(tokens, self.classes).double()

    def decode(self, m: Tensor, noise: Source, *, step: int = 0, stream: str = "decode") -> Tensor:
        """Draw the token of every site from a mean; the most probable ones would lose the spread of the data.

        Parameters
        ----------
        m
            Mean, or the end of a run at ``t = 0``, shape ``(batch, *sites, K)``; negative entries count as 0.
        noise, step, stream
            Source of one uniform per site.
        """
        u = noise.uniform(m.shape[1:-1], step=step, stream=stream).to(m.device)
        return draw_probs(m.double().clamp_min(0.0), u)

    def convert(self, prediction: Tensor, kind: Kind, x_t: Tensor, t: Tensor | float, to: Kind = Kind.MEAN) -> Tensor:
        """Bring a prediction to the mean; logits by their softmax, in float64."""
        if kind is Kind.LOGITS:
            prediction, kind = torch.softmax(prediction.double(), dim=-1), Kind.MEAN
        return super().convert(prediction, kind, x_t, t, to)

    def loss(self, m: Tensor, x0: Tensor, x_t: Tensor, t: Tensor | float) -> Tensor:
        """Cross-entropy ``-sum_v x0(v) log m(v)`` of every site in nats, shape ``(batch, *sites)``.

        Raises
        ------
        ShapeError
            If ``m`` and ``x0`` differ in shape.
        """
        if m.shape != x0.shape:
            raise ShapeError(f"m has shape {tuple(m.shape)}; expected that of x0, {tuple(x0.shape)}, one-hot vectors")
        return -torch.xlogy(x0, m.clamp_min(torch.finfo(m.dtype).tiny)).sum(-1)
