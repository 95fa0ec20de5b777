"""Posteriors in closed form for guided samplers, in two, five and ten dimensions, and the distance of samples to them.

A mixture of five Gaussians is seen through a linear measurement with noise 0.5. The distance is the sliced
2-Wasserstein distance to 50000 exact draws, in units of a floor: the mean of that of exact draws as many as the
samples. Where modes lie apart the floor is mostly the scatter of their weights, and 1 cannot be told from exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from scidiff.denoise import GaussianMixture
from scidiff.guidance import Estimator, GaussianLikelihood, Particles, Tilt
from scidiff.process import GaussianProcess
from scidiff.random import Noise
from scidiff.sample import Table, TableRule, run
from scidiff.spaces import Euclidean
from scidiff.spaces.linear import MatrixOperator
from scidiff.testing_targets.gaussian import VE
from scidiff.testing_targets.posteriors import linear_posterior, sliced_wasserstein

__all__ = ["POSTERIORS", "GuidedPosterior"]

_SD = 0.5
_REFERENCE, _FLOORS = 50_000, 8


@dataclass(frozen=True, eq=False)
class GuidedPosterior:
    """A mixture with means ``2 N(0, 1)``, seen through a matrix.

    Parameters
    ----------
    dim, seed
        Dimension, and seed of means and deviations.
    narrow, wide
        Range of the standard deviations.
    y
        Data: one for ``x_1 + x_2 / 2`` in two dimensions, those of the first two coordinates otherwise.
    """

    dim: int
    seed: int
    narrow: float
    wide: float
    y: tuple[float, ...]

    @classmethod
    def drawn(cls, dim: int, seed: int) -> GuidedPosterior:
        """Return a posterior whose data were drawn: a point of the mixture, measured."""
        blank = cls(dim, seed, 0.4, 0.8, (0.0,) * (1 if dim == 2 else 2))
        x = blank.prior.draw(Noise.range(seed, 1))[0]
        noise = Noise.range(seed, 1).normal((len(blank.matrix),), step=0, stream="y")[0]
        return replace(blank, y=tuple((blank.matrix @ x + _SD * noise).tolist()))

    @cached_property
    def prior(self) -> GaussianMixture:
        """Law of the data."""
        rng = np.random.default_rng(self.seed)
        means, sd = 2 * rng.standard_normal((5, self.dim)), rng.uniform(self.narrow, self.wide, 5)
        return GaussianMixture(VE, torch.full((5,), 0.2), torch.from_numpy(means), torch.from_numpy(sd**2))

    @property
    def matrix(self) -> Tensor:
        """``A``."""
        if self.dim == 2:
            return torch.tensor([[1.0, 0.5]], dtype=torch.float64)
        return torch.eye(self.dim, dtype=torch.float64)[:2]

    @property
    def likelihood(self) -> GaussianLikelihood:
        """The measurement."""
        return GaussianLikelihood(MatrixOperator(self.matrix), torch.tensor(self.y), _SD)

    @cached_property
    def posterior(self) -> GaussianMixture:
        """The posterior."""
        return linear_posterior(self.prior, self.matrix, torch.tensor(self.y, dtype=torch.float64), _SD)[0]

    def draw(self, table: Table, estimator: Estimator, count: int, seed: int, size: int = 1) -> Tensor:
        """Draw `count` guided samples, each the pick of a group of `size` particles where that is above 1."""
        rule, tilt = TableRule(table), Tilt(self.likelihood, estimator)
        filter_ = Particles(tilt, rule, size) if size > 1 else None
        transforms = (tilt,) if filter_ is None else (tilt, filter_)
        process = GaussianProcess(Euclidean((self.dim,)), VE)
        options = {"noise": Noise.range(seed, count * size), "shape": (self.dim,), "transforms": transforms}
        state = run(self.prior.denoiser, process, rule, rule.plan, **options)
        return state.x if filter_ is None else filter_.pick(state).x

    def ratio(self, x: Tensor, seed: int) -> float:
        """Distance of samples to the posterior, in floors."""
        exact = self.posterior.draw(Noise.range(seed, _REFERENCE), stream="reference")
        floors = [
            sliced_wasserstein(self.posterior.draw(Noise.range(seed, len(x), first=k * len(x)), stream="floor"), exact)
            for k in range(_FLOORS)
        ]
        return sliced_wasserstein(x, exact) / float(np.mean(floors))


POSTERIORS = {f"d = {dim}": GuidedPosterior.drawn(dim, 21) for dim in (2, 5, 10)}
"""Posteriors whose means, deviations and data are all drawn from one seed: nothing is chosen."""
