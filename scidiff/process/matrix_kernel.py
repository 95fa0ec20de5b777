"""A site kernel from any rate matrix (banded, discretised Gaussian, substitution models of sequences).

``Q_{t|s} = exp(log(a(s) / a(t)) G)``: the clock ``a`` says how much noise has come, ``-log a(t)``. It is infinite at
``t = 1``, where the site has the stationary law of ``G``. It is found by elimination without any subtraction [2]_, so
that every entry, however small, has its relative accuracy.

References
----------
.. [1] J. Austin et al., "Structured denoising diffusion models in discrete state-spaces", arXiv:2107.03006
.. [2] W. K. Grassmann, M. I. Taksar, D. P. Heyman, "Regenerative analysis and steady state distributions for Markov
   chains", doi:10.1287/opre.33.5.1107
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.kernels import Kernel
from scidiff.process.survival import Linear, Survival

__all__ = ["MatrixKernel"]

_ROUND = 1e-10


@dataclass(frozen=True, eq=False)
class MatrixKernel(Kernel):
    """Kernel of any rate matrix: ``Q_{t|s} = exp(log(a(s) / a(t)) G)``, all states clean.

    The exponential is a Taylor sum of non-negative terms with scaling and squaring (uniformisation): every entry,
    however small, keeps its relative accuracy. One matrix is made per distinct time.

    Parameters
    ----------
    generator
        ``G``, shape ``(D, D)``: non-negative off the diagonal, rows summing to 0, irreducible.
    clock
        ``a``; the accumulated noise is ``-log a(t)``.

    Raises
    ------
    ConfigError
        If ``generator`` is not an irreducible rate matrix.
    """

    generator: Tensor
    clock: Survival = field(default_factory=Linear)
    limit: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        g = torch.as_tensor(self.generator, dtype=torch.float64)
        object.__setattr__(self, "generator", g)
        if g.ndim != 2 or g.shape[0] != g.shape[1] or not len(g):
            raise ConfigError(f"generator has shape {tuple(g.shape)}; expected a square rate matrix, D x D")
        off = g - torch.diag(g.diagonal())
        if not (bool((off >= 0).all()) and float(g.sum(1).abs().max()) <= _ROUND):
            raise ConfigError("generator is not a rate matrix; expected off-diagonal >= 0 and rows summing to 0")
        reach = torch.linalg.matrix_power(torch.eye(len(g), dtype=torch.float64) + (off > 0), len(g))
        if not bool((reach > 0).all()):
            raise ConfigError("generator is reducible, so its prior depends on the data; use a LevelKernel for masks")
        object.__setattr__(self, "limit", _stationary(off))

    @property
    def states(self) -> int:
        """Number of states ``D``."""
        return len(self.generator)

    @property
    def clean(self) -> int:
        """Number of clean classes: all states."""
        return len(self.generator)

    def matrix(self, t: Tensor, s: Tensor | float = 0.0) -> Tensor:
        """Whole matrix ``Q_{t|s}``."""
        t = torch.as_tensor(t, dtype=torch.float64)
        before, after = self._depth(torch.as_tensor(s, dtype=torch.float64, device=t.device)), self._depth(t)
        amount = torch.where(after > before, after - before, 0.0)
        distinct, where = torch.unique(amount, return_inverse=True)
        return self._power(distinct.cpu()).to(t.device)[where]

    def _depth(self, t: Tensor) -> Tensor:
        early = self.clock.complement(t) < 0.5
        return -torch.where(early, torch.log1p(-self.clock.complement(t)), torch.log(self.clock.value(t)))

    def _power(self, amounts: Tensor) -> Tensor:
        """Exponentials ``exp(amount G)`` of a vector of amounts, all squarings in one batch."""
        size, speed = self.states, float(-self.generator.diagonal().min())
        eye = torch.eye(size, dtype=torch.float64)
        jump = (eye + self.generator / speed).clamp_min(0.0)
        finite = torch.where(amounts.isinf(), 0.0, amounts) * speed
        halvings = torch.ceil(torch.log2(finite.clamp_min(0.5) / 0.5))
        h = (finite / 2**halvings)[:, None, None]
        total = eye.expand(len(amounts), -1, -1)
        for order in range(max(20, size), 0, -1):
            total = eye + (h / order) * (jump @ total)
        total = total * torch.exp(-h)
        for squaring in range(int(halvings.max())):
            square = total @ total
            square = square / square.sum(-1, keepdim=True)
            total = torch.where((squaring < halvings)[:, None, None], square, total)
        return torch.where(amounts.isinf()[:, None, None], self.limit.expand(size, size), total)

    def row(self, x: Tensor, t: Tensor, s: Tensor | float = 0.0) -> Tensor:
        """Law ``Q_{t|s}[x, :]`` of the later state."""
        return _take(self.matrix(t, s), x)

    def column(self, x_t: Tensor, t: Tensor, s: Tensor | float = 0.0) -> Tensor:
        """Likelihood ``Q_{t|s}[:, x_t]`` of the earlier state."""
        return _take(self.matrix(t, s).mT, x_t)

    def mix(self, w: Tensor, s: Tensor) -> Tensor:
        """Sum ``sum_v w(v) Q_s[v, :]``."""
        return (w.double().unsqueeze(-2) @ self.matrix(s)).squeeze(-2)

    def rate(self, t: Tensor) -> Tensor:
        """Rate matrix ``R_t = -(a'/a) G``."""
        t = torch.as_tensor(t, dtype=torch.float64)
        return -(self.clock.slope(t) / self.clock.value(t))[..., None, None] * self.generator.to(t.device)

    def rate_column(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Rates ``R_t[:, x_t]`` into the present state."""
        return _take(self.rate(t).mT, x_t)

    def prior(self) -> Tensor:
        """Stationary law of ``G``."""
        return self.limit.clone()


def _stationary(off: Tensor) -> Tensor:
    """Stationary law of the rates off the diagonal: states are left out one by one, and come back in turn."""
    rates = off.clone()
    for k in range(len(rates) - 1, 0, -1):
        rates[:k, k] /= rates[k, :k].sum()
        rates[:k, :k] += torch.outer(rates[:k, k], rates[k, :k])
    law = torch.ones(len(rates), dtype=torch.float64)
    for k in range(1, len(rates)):
        law[k] = law[:k] @ rates[:k, k]
    return law / law.sum()


def _take(matrix: Tensor, x: Tensor) -> Tensor:
    sites = torch.broadcast_shapes(x.shape, matrix.shape[:-2])
    matrix = matrix.expand(*sites, *matrix.shape[-2:])
    index = x.expand(sites)[..., None, None].expand(*sites, 1, matrix.shape[-1])
    return matrix.gather(-2, index).squeeze(-2)
