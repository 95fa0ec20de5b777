"""The Gaussian oracle: fields whose conditioned law is known, so that every method can be judged.

``n = 64`` sites on [0, 1], ``x_0 ~ N(0, C)`` with the squared-exponential ``C`` of length 0.15 (and 1e-8 on its
diagonal), seven values and the mean fixed, data from a draw of the prior. With ``G = C A^T (A C A^T)^-1``,

    x_0 | A x_0 = b  ~  N(G b, C - G A C)

The denoiser is exact. A method that is deterministic and affine in its draw of the prior has a Gaussian law with the
moments of its image of *sigma points*, ``+- sqrt(n) e_k``, whose mean is 0 and whose covariance is 1: no Monte-Carlo
error is made. The others are judged by draws. Numbers of a row:

    constraint     largest |A x - b|
    mean           |mean - G b| / |G b|
    covariance     |Cov - C_b|_F / |C_b|_F
    spread         sqrt(tr Cov / tr C_b)
    coverage       mean probability, over the sites that are not fixed, of the truth in the central 90 % interval
    roughness      rms second difference of the samples over that of the truth
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from scidiff.denoise.mixture import GaussianMixture
from scidiff.guidance.covariances import matrix_covariance
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.schedule import LinearFlowSchedule
from scidiff.random import Noise
from scidiff.sample.state import RunState
from scidiff.spaces.euclidean import Euclidean
from scidiff.spaces.linear import MatrixOperator

from .base import Affine
from .interface import Method, euler
from .methods import (
    ECI,
    PCFM,
    PDM,
    CoCoGen,
    DFlow,
    DiffusionPDE,
    EndProjectionMethod,
    ExactConditioning,
    GaussNewton,
)

__all__ = ["GaussianOracle", "OracleRow", "oracle_methods"]

_SITES = (4, 13, 22, 31, 40, 49, 59)
_NORMAL_95 = 1.6448536269514722


@dataclass(frozen=True)
class OracleRow:
    """What one method did; see the head of this module.

    Parameters
    ----------
    constraint, mean, covariance, spread, coverage, roughness
        Its numbers.
    calls
        Network calls for one sample.
    milliseconds
        Wall time for one sample of a batch.
    count
        Draws behind the numbers; 0 where they have no Monte-Carlo error.
    """

    constraint: float
    mean: float
    covariance: float
    spread: float
    coverage: float
    roughness: float
    calls: float
    milliseconds: float
    count: int


@dataclass(frozen=True)
class GaussianOracle:
    """The problem.

    Parameters
    ----------
    seed
        Seed of the field that gives the data.
    size
        Number of sites.
    length
        Length of the covariance.
    """

    seed: int = 0
    size: int = 64
    length: float = 0.15

    @cached_property
    def covariance(self) -> Tensor:
        """``C``."""
        x = torch.linspace(0, 1, self.size, dtype=torch.float64)
        near = torch.exp(-0.5 * ((x.unsqueeze(1) - x) / self.length) ** 2)
        return near + 1e-8 * torch.eye(self.size, dtype=torch.float64)

    @cached_property
    def matrix(self) -> Tensor:
        """``A``: seven values and the mean."""
        rows = torch.zeros(len(_SITES) + 1, self.size, dtype=torch.float64)
        rows[torch.arange(len(_SITES)), torch.tensor(_SITES) * self.size // 64] = 1.0
        rows[-1] = 1.0 / self.size
        return rows

    @cached_property
    def data(self) -> Tensor:
        """``b``, of a draw of the prior."""
        root = torch.linalg.cholesky(self.covariance)
        return self.matrix @ root @ Noise.range(self.seed, 1).normal((self.size,), step=0, stream="oracle")[0]

    @cached_property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and covariance of the conditioned law."""
        gain = torch.linalg.solve(self.matrix @ self.covariance @ self.matrix.T, self.matrix @ self.covariance).T
        conditioned = self.covariance - gain @ self.matrix @ self.covariance
        return gain @ self.data, (conditioned + conditioned.T) / 2

    @property
    def constraint(self) -> Affine:
        """``A x = b``."""
        return Affine(MatrixOperator(self.matrix), self.data)

    @property
    def process(self) -> GaussianProcess:
        """The straight path."""
        return GaussianProcess(Euclidean((self.size,)), LinearFlowSchedule())

    @cached_property
    def law(self) -> GaussianMixture:
        """The prior, with its exact denoiser."""
        return GaussianMixture.gaussian(LinearFlowSchedule(), torch.zeros(self.size), self.covariance)

    def judge(self, method: Method, steps: int, *, affine: bool, count: int = 2000, seed: int = 0) -> OracleRow:
        """Run a method and compare its law with the truth.

        Parameters
        ----------
        method
            The method.
        steps
            Intervals of the clock.
        affine
            Whether it is deterministic and affine in its draw of the prior, so that sigma points tell its law.
        count
            Draws otherwise.
        seed
            Seed of the draws.
        """
        noise = Noise.range(seed, 2 * self.size if affine else count)
        points = None
        if affine:
            unit = math.sqrt(self.size) * torch.eye(self.size, dtype=torch.float64)
            points = RunState.at(torch.cat([unit, -unit]), 1.0, noise)
        begin = time.perf_counter()
        end = method.draw(self.law.denoiser, self.process, self.constraint, steps=steps, noise=noise, start=points)
        seconds = time.perf_counter() - begin
        row = self.compare(end.x, affine=affine)
        cost = {"calls": float(end.calls.double().mean()), "milliseconds": 1e3 * seconds / len(noise)}
        return OracleRow(**row, **cost, count=0 if affine else count)

    def compare(self, x: Tensor, *, affine: bool) -> Mapping[str, float]:
        """Numbers of samples, or of the image of sigma points; shape ``(count, size)``."""
        mu, truth = self.moments
        mean, covariance = x.mean(0), x.T.cov(correction=0 if affine else 1)
        free = truth.diagonal() > 1e-6
        sd, true_sd = covariance.diagonal().clamp_min(0).sqrt(), truth.diagonal().clamp_min(1e-300).sqrt()
        tails = torch.tensor([0.05, 0.95], dtype=torch.float64)
        low, high = (mean - _NORMAL_95 * sd, mean + _NORMAL_95 * sd) if affine else torch.quantile(x, tails, dim=0)
        inside = torch.special.ndtr((high - mu) / true_sd) - torch.special.ndtr((low - mu) / true_sd)
        return {
            "constraint": float((x @ self.matrix.T - self.data).abs().max()),
            "mean": float((mean - mu).norm() / mu.norm()),
            "covariance": float((covariance - truth).norm() / truth.norm()),
            "spread": float((covariance.trace().clamp_min(0) / truth.trace()).sqrt()),
            "coverage": float(inside[free].mean()),
            "roughness": math.sqrt(_roughness(mean, covariance) / _roughness(mu, truth)),
        }


def _roughness(mean: Tensor, covariance: Tensor) -> float:
    """Mean square of the second differences of a law."""
    square = torch.outer(mean, mean) + covariance
    d = torch.eye(len(mean), dtype=torch.float64).diff(n=2, dim=0)
    return float((d @ square @ d.T).diagonal().mean())


def oracle_methods(oracle: GaussianOracle) -> dict[str, tuple[Method, bool, int]]:
    """Every method with whether it is affine, and the largest number of steps that it is run with."""
    c = oracle.covariance
    metric = matrix_covariance(c)
    return {
        "project at end, Euclidean": (EndProjectionMethod(), True, 200),
        "project at end, C metric": (EndProjectionMethod(lambda v: v @ c, "Gaussian data"), True, 200),
        "ECI, mix 1": (ECI(), True, 200),
        "ECI, mix 5, no resampling": (ECI(5), True, 200),
        "ECI, mix 5, resampling": (ECI(5, 1), False, 200),
        "ECI, mix 10, resampling": (ECI(10, 1), False, 200),
        "PCFM, least squares": (PCFM(), True, 200),
        "PCFM, root": (PCFM(nearest=False), True, 200),
        "PCFM, relaxed": (PCFM(penalty=1.0), True, 200),
        "PDM": (PDM(5), False, 200),
        "DiffusionPDE": (DiffusionPDE(), False, 200),
        "D-Flow": (DFlow(), False, 20),
        "CoCoGen": (CoCoGen(), True, 200),
        "exact conditioning, Euler": (ExactConditioning(metric, solver=euler), True, 200),
        "exact conditioning": (ExactConditioning(metric), True, 200),
        "Gauss-Newton, C metric": (GaussNewton(metric), True, 200),
    }
