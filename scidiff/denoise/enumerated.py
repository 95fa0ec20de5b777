"""The exact denoiser of a law on a finite set of sequences, given as a table.

With a law ``p_0`` on ``K^d`` sequences and likelihoods ``c_j(v) = Q_{t_j}[v, x_t^j]`` of each site,

    L^l(v) ~ sum_{x_0 : x_0^l = v} p_0(x_0) prod_{j != l} c_j(x_0^j),      F^l(v) ~ L^l(v) c_l(v),

computed by contracting the table with one likelihood after the other: no Monte-Carlo noise, for any kernel and any time
per site. It is the oracle with which samplers are tested: what error remains is the sampler's own [1]_.

References
----------
.. [1] "Is your diffusion sampler actually correct?", arXiv:2602.19619 (evaluation with an exact denoiser)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, NumericalError, ShapeError
from scidiff.process.base import Kind, site_time
from scidiff.process.kernels import Kernel

__all__ = ["Enumerated", "markov_chain"]


def markov_chain(initial: Tensor, transition: Tensor, length: int) -> Tensor:
    """Table of the law of a Markov chain.

    Parameters
    ----------
    initial
        Law of the first site, shape ``(K,)``.
    transition
        ``transition[u, v]``: probability that ``v`` follows ``u``, shape ``(K, K)``.
    length
        Number of sites ``d``.

    Returns
    -------
    Tensor
        Law, float64, shape ``(K,) * d``.
    """
    law = initial.double()
    for _ in range(length - 1):
        law = law.unsqueeze(-1) * transition.double()
    return law


@dataclass(frozen=True, eq=False)
class Enumerated:
    """Exact posteriors of a law given as a table.

    Parameters
    ----------
    law
        Probabilities, shape ``(K,) * d``.
    kernel
        Noise of each site; ``kernel.clean`` is ``K``.

    Raises
    ------
    ConfigError
        If the table is not a law on the clean classes of the kernel.
    """

    law: Tensor
    kernel: Kernel

    def __post_init__(self) -> None:
        """Check that the table is a law."""
        law = self.law.double()
        if set(law.shape) != {self.kernel.clean} or bool((law < 0).any()) or abs(float(law.sum()) - 1.0) > 1e-9:
            raise ConfigError(
                f"law has shape {tuple(law.shape)} and a sum that misses 1 by {float(law.sum()) - 1:.2g}; expected "
                f"({self.kernel.clean},) * d with entries >= 0 and sum 1 within 1e-9: give it in float64"
            )
        object.__setattr__(self, "law", law)

    @property
    def length(self) -> int:
        """Number of sites ``d``."""
        return self.law.ndim

    def leave_one_out(self, x_t: Tensor, t: Tensor | float) -> Tensor:
        """Normalised ``log L``, shape ``(batch, d, K)``.

        Raises
        ------
        NumericalError
            If the other sites of a state have probability zero.
        """
        return self._normal(self._contract(self._likelihood(x_t, t)))

    def posterior(self, x_t: Tensor, t: Tensor | float) -> Tensor:
        """Normalised ``log F``, shape ``(batch, d, K)``.

        Raises
        ------
        NumericalError
            If a state has probability zero at its time.
        """
        likelihood = self._likelihood(x_t, t)
        return self._normal(self._contract(likelihood) * likelihood)

    def denoiser(self, kind: Kind = Kind.LOGITS) -> Denoiser:
        """Denoiser of kind `Kind.LOGITS` or `Kind.LOO_LOGITS`."""
        answers = {Kind.LOGITS: self.posterior, Kind.LOO_LOGITS: self.leave_one_out}
        if kind not in answers:
            raise ConfigError(f"kind is {kind}; expected Kind.LOGITS or Kind.LOO_LOGITS")
        answer = answers[kind]

        def function(x_t: Tensor, t: Tensor, condition: Any) -> Tensor:
            return answer(x_t, t)

        return Denoiser(function, kind)

    def _likelihood(self, x_t: Tensor, t: Tensor | float) -> Tensor:
        if x_t.ndim != 2 or x_t.shape[1] != self.length:
            raise ShapeError(f"x_t has shape {tuple(x_t.shape)}; expected (batch, {self.length})")
        return self.kernel.column(x_t, site_time(t, x_t))[..., : self.kernel.clean]

    def _contract(self, likelihood: Tensor) -> Tensor:
        """Sum the table over all sites but one, for each site in turn, ``(batch, d, K)``."""
        out = []
        for kept in range(self.length):
            table = self.law.to(likelihood).expand(len(likelihood), *self.law.shape)
            for site in range(self.length - 1, -1, -1):
                if site != kept:
                    axis = 1 + site
                    shape = [len(likelihood)] + [1] * (table.ndim - 1)
                    shape[axis] = self.kernel.clean
                    table = (table * likelihood[:, site].reshape(shape)).sum(axis)
            out.append(table)
        return torch.stack(out, dim=1)

    @staticmethod
    def _normal(weights: Tensor) -> Tensor:
        total = weights.sum(-1, keepdim=True)
        if not bool((total > 0).all()):
            raise NumericalError("a state has probability zero under the law at its time; check x_t and t")
        return (weights / total).log()
