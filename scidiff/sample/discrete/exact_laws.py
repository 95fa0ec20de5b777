"""The exact law that a sampler produces, by enumeration of all states: no draw, no Monte-Carlo error.

For a few sites of a few classes the law of a run is a vector over all ``D^d`` states, and a step is a matrix whose rows
are products of the laws of the sites, the same from which the sampler draws. With an exact denoiser what differs from
the data is the error of the sampler [1]_; with a corrupted one, what it makes of the error of the network.

References
----------
.. [1] "Is your diffusion sampler actually correct?", arXiv:2602.19619 (evaluation with an exact denoiser)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.denoise.enumerated import Enumerated
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.kernels import Kernel
from scidiff.sample.discrete.trapezoidal import Trapezoidal
from scidiff.sample.discrete.uniformisation import Uniformisation
from scidiff.sample.state import Stamp
from scidiff.spaces import Categorical

__all__ = ["ExactLaws"]

SiteLaw = Callable[[DiscreteProcess, Tensor, Tensor, Tensor, Tensor], Tensor]
_LAST = 1.0 - 2.0**-40
CorrectorLaw = Callable[[DiscreteProcess, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class ExactLaws:
    """Laws over all states of a short sequence.

    Parameters
    ----------
    table
        Law of the data, shape ``(K,) * d``.
    kernel
        Noise of each site.
    denoiser
        Denoiser of the sampler; the exact one by default.
    """

    table: Tensor
    kernel: Kernel
    denoiser: Denoiser | None = None

    @property
    def length(self) -> int:
        """Number of sites ``d``."""
        return self.table.ndim

    @property
    def process(self) -> DiscreteProcess:
        """Process of the sites."""
        return DiscreteProcess(Categorical(self.kernel.states, (self.length,)), self.kernel)

    @property
    def states(self) -> Tensor:
        """All states, shape ``(D^d, d)``, the last site running fastest."""
        return torch.cartesian_prod(*[torch.arange(self.kernel.states)] * self.length).reshape(-1, self.length)

    def marginal(self, t: float) -> Tensor:
        """Exact law of ``x_t``, shape ``(D^d,)``."""
        law = self.table.double()
        matrix = self.kernel.matrix(torch.tensor(t, dtype=torch.float64))[: self.kernel.clean]
        for _ in range(self.length):
            law = torch.tensordot(law, matrix, dims=([0], [0]))
        return law.flatten()

    def tv(self, law: Tensor, t: float = 0.0) -> float:
        """Total variation distance to the law of ``x_t``, by default to the data."""
        return 0.5 * float((law - self.marginal(t)).abs().sum())

    def predict(self, x: Tensor, t: Tensor) -> Tensor:
        """Prediction ``log F`` of the denoiser, converted as in the loop."""
        denoiser = Enumerated(self.table, self.kernel).denoiser() if self.denoiser is None else self.denoiser
        return self.process.convert(denoiser(x, t, None), denoiser.kind, x, t)

    def joint(self, sites: Tensor) -> Tensor:
        """Law of all states from independent sites, ``(rows, d, D) -> (rows, D^d)``."""
        out = sites[:, 0]
        for site in range(1, self.length):
            out = (out.unsqueeze(-1) * sites[:, site].unsqueeze(-2)).flatten(1)
        return out

    def one_site(self, sites: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        """Law of all states when one site moves, chosen with probabilities `weight`, shape ``(rows, d)``."""
        rest = torch.nn.functional.one_hot(x, self.kernel.states).double()
        moves = torch.eye(self.length, dtype=torch.bool).unsqueeze(-1)
        parts = [
            weight[:, site, None] * self.joint(torch.where(moves[site], sites, rest)) for site in range(len(moves))
        ]
        return sum(parts)

    def step(self, law: Tensor, rule: SiteLaw, t: float, s: float) -> Tensor:
        """Law after one step of a rule, all sites from ``t`` to ``s``."""
        weight, x = self._support(law)
        now = self._time(x, t)
        return weight @ self.joint(rule(self.process, self.predict(x, now), x, now, self._time(x, s)))

    def grid(self, rule: SiteLaw, times: Tensor, after: Callable[[Tensor, float], Tensor] | None = None) -> Tensor:
        """Law at the end of a run on a grid, with a change of the law after every step but one into ``t = 0``."""
        law = self.marginal(float(times[0]))
        for t, s in itertools.pairwise(times.tolist()):
            law = self.step(law, rule, t, s)
            law = law if after is None or s == 0 else after(law, s)
        return law

    def correct(self, law: Tensor, corrector: CorrectorLaw, t: float, *, alone: bool = False) -> Tensor:
        """Law after one update of a corrector at time ``t``; `alone`: of one site, chosen uniformly."""
        weight, x = self._support(law)
        now = self._time(x, t)
        sites = corrector(self.process, self.predict(x, now), x, now)
        even = torch.full(x.shape, 1.0 / self.length, dtype=torch.float64)
        return weight @ (self.one_site(sites, x, even) if alone else self.joint(sites))

    def trapezoidal(self, rule: Trapezoidal) -> Tensor:
        """Law at the end of a run of the theta-trapezoidal rule, over pairs of states of both stages."""
        law, nodes = self.marginal(float(rule.times[0])), rule.nodes.tolist()
        while len(nodes) > 1:
            if nodes[1] == 0:
                return self.step(law, rule.first, nodes[0], 0.0)
            law = self._two_stages(law, rule, *nodes[:3])
            nodes = nodes[2:]
        return law

    def _two_stages(self, law: Tensor, rule: Trapezoidal, t: float, r: float, s: float) -> Tensor:
        weight, x = self._support(law)
        m = self.predict(x, self._time(x, t))
        stage = self.joint(rule.first(self.process, m, x, self._time(x, t), self._time(x, r)))
        pair, middle = weight.unsqueeze(1) * stage, self._support(stage.sum(0))[1]
        ahead = self.predict(middle, self._time(middle, r))
        pair = pair[:, torch.nonzero(stage.sum(0) > 0).squeeze(1)]
        a, b = torch.nonzero(pair > 0, as_tuple=True)
        before = Stamp(self._time(x[a], t), x[a], m[a])
        now = middle[b]
        sites = rule.second(self.process, before, ahead[b], now, self._time(now, r), self._time(now, s))
        return pair[a, b] @ self.joint(sites)

    def unmask(self, rule: SiteLaw) -> Tensor:
        """Law of a run for masks that reveals one site per step, in random order."""
        law = self.marginal(1.0)
        for _ in range(self.length):
            weight, x = self._support(law)
            hidden = x == self.kernel.clean
            t = torch.where(hidden, 0.5, 0.0).double()
            sites = rule(self.process, self.predict(x, t), x, t, torch.zeros_like(t))
            law = weight @ self.one_site(sites, x, hidden.double() / hidden.sum(1, keepdim=True))
        return law

    def uniformised(self, rule: Uniformisation, points: int = 100) -> Tensor:
        """Law at the floor of uniformisation, with the Poisson times integrated out.

        The law obeys ``dp/dL = d (J_t - 1) p`` against the depth ``L`` of the dominating rate, where ``J_t`` is the
        matrix of a candidate; a Runge-Kutta method of order 4 follows it, its error at the default is below 1e-7
        for floors down to 1e-3.
        """
        start, floor = (torch.tensor(t, dtype=torch.float64) for t in (rule.start_time, rule.floor))
        ends = float(rule.bound.depth(start)), float(rule.bound.depth(floor))
        depths = torch.linspace(*ends, 2 * points + 1, dtype=torch.float64)
        times = rule.bound.time(depths).clamp_max(min(rule.start_time, _LAST))
        h, law, jump = (
            abs(float(depths[2] - depths[0])) * self.length,
            self.marginal(1.0),
            self._candidates(rule, times),
        )
        for k in range(0, 2 * points, 2):
            k1 = law @ jump[k] - law
            k2 = (law + h / 2 * k1) @ jump[k + 1] - law - h / 2 * k1
            k3 = (law + h / 2 * k2) @ jump[k + 1] - law - h / 2 * k2
            k4 = (law + h * k3) @ jump[k + 2] - law - h * k3
            law = law + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return law

    def _candidates(self, rule: Uniformisation, times: Tensor) -> Tensor:
        """Matrices over all states of one candidate at each of the times; states of probability zero stay."""
        reachable = self.marginal(0.5) > 0
        x = self.states[reachable].repeat(len(times), 1)
        now = times.repeat_interleave(int(reachable.sum())).unsqueeze(1).expand(x.shape)
        sites = rule.probs(self.process, self.predict(x, now), x, now)
        rows = self.one_site(sites, x, torch.full(x.shape, 1.0 / self.length, dtype=torch.float64))
        out = torch.eye(len(reachable), dtype=torch.float64).repeat(len(times), 1, 1)
        out[:, reachable] = rows.reshape(len(times), -1, len(reachable))
        return out

    def _support(self, law: Tensor) -> tuple[Tensor, Tensor]:
        rows = torch.nonzero(law > 0).squeeze(1)
        return law[rows], self.states[rows]

    @staticmethod
    def _time(x: Tensor, t: float) -> Tensor:
        return torch.full(x.shape, t, dtype=torch.float64)
