"""How each method is made of the parts of the core: a rule, transforms, and where it begins.

``sigma`` is in units of the prior. All runs begin at the level ``top``: at draws of the analytic Gaussian posterior
(`begin`), which cost one linear solve and no call of the prior, or at an image that exists already, plus noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.guidance.draws import Glass
from scidiff.guidance.gaussian import MMPS, TMPD, PiGDM
from scidiff.guidance.monte_carlo import CBG
from scidiff.guidance.particles import Particles
from scidiff.guidance.tilt import Estimator, Tilt
from scidiff.random import Noise
from scidiff.sample.continuous.exponential import dpmpp_2m, dpmpp_2m_sde
from scidiff.sample.continuous.restart import chain
from scidiff.sample.continuous.solvers import ancestral, ddim
from scidiff.sample.continuous.table import Table, TableRule
from scidiff.sample.transform import Transform

from ..priors.gaussian import GaussianPrior
from .conditional import Conditional, Spectral, White
from .draws import PosteriorDraw
from .gibbs import DapsRise, GibbsRise, sweeps
from .guided import DPS, Proximal, Sirt, Sitcom, information_norm
from .jacobian import JacobianDraw
from .ladders import FLOOR, diffpir_table, ladder, renoise_table, still_table, times
from .problem import Problem
from .spread import Probes
from .variational import DMPlug, MixedNoise, RedDiff

__all__ = ["Recipe"]

_TOP = 1.0


@dataclass(frozen=True, eq=False)
class Recipe:
    """A run of the one loop.

    Parameters
    ----------
    rule
        How the state moves.
    transforms
        What changes the prediction.
    top
        Noise level of the start.
    warm
        Image that the start is a noisy version of; draws of the analytic Gaussian posterior without one.
    particles
        Particles behind each sample.
    drawn
        Gaussians given the scan, where noise is drawn given the scan as well: the start of split Gibbs.
    led
        Whether sample 0 of the seed tells the spread of all: it leads every batch.
    noisy
        Whether noise of the level ``top`` is added to the start.
    """

    rule: TableRule
    transforms: Sequence[Transform]
    top: float
    warm: Tensor | None = None
    particles: Particles | None = None
    drawn: Conditional | None = None
    led: bool = False
    noisy: bool = True

    def begin(self, problem: Problem, noise: Noise) -> Tensor:
        """State at the level ``top``.

        Parameters
        ----------
        problem
            The data.
        noise
            One stream for each particle.
        """
        shape = problem.grid.shape
        near = first_draws(problem, noise) if self.warm is None else self.warm.expand(len(noise), *shape)
        if self.drawn is not None:
            return self.drawn.draw(near, White(self.top), noise, 0, "ct/start").x
        return near + self.top * noise.normal(shape, step=0, stream="ct/start") if self.noisy else near.clone()


def first_draws(problem: Problem, noise: Noise) -> Tensor:
    """Draws of the posterior of a Gaussian prior: the prior itself where it is Gaussian, else the analytic one.

    Parameters
    ----------
    problem, noise
        As for `Recipe.begin`.
    """
    law, root = _gaussian(problem)
    mean = law.mean(problem.grid).expand(len(noise), *problem.grid.shape)
    return Conditional(problem, 0.1).draw(mean, root, noise, 0, "ct/first").x


def first_mean(problem: Problem) -> Tensor:
    """Mean of that posterior, shape of the grid."""
    law, root = _gaussian(problem)
    return Conditional(problem, 0.1).mean(law.mean(problem.grid)[None], root).x[0]


def _gaussian(problem: Problem) -> tuple[GaussianPrior, Spectral]:
    law = problem.prior if isinstance(problem.prior, GaussianPrior) else GaussianPrior(mean_image=problem.flat)
    return law, Spectral(law.covariance(problem.grid).eigenvalues)


def _falling(problem: Problem, steps: int, top: float) -> Tensor:
    return times(problem.prior, ladder(steps, top))


def posterior(
    problem: Problem, steps: int, *, top: float = 1.0, finish: float = 0.1, tolerance: float = 0.03, own: bool = True,
    warm: Tensor | None = None,
) -> Recipe:  # fmt: skip
    """Split Gibbs whose draws of ``x`` given ``z`` carry the posterior covariance, finished on the scan.

    The covariance is that of each image, at two calls for each level; or (``own=False``) a stationary one, from probes
    of sample 0, at one.
    """
    table, conditional = _gibbs(problem, steps, top, 1), Conditional(problem, tolerance)
    draw = JacobianDraw() if own else PosteriorDraw(None, Probes(1))
    rule = GibbsRise(table, conditional=conditional, finish=finish)
    return Recipe(rule, (draw,), top, warm, drawn=conditional, led=not own)


def split_gibbs(
    problem: Problem, steps: int, *, top: float = 0.7, each: int = 4, tolerance: float = 0.1, warm: Tensor | None = None
) -> Recipe:
    """Unconditional stochastic runs of `each` calls between exact Gaussian draws."""
    conditional = Conditional(problem, tolerance)
    rule = GibbsRise(_gibbs(problem, steps, top, each), conditional=conditional)
    return Recipe(rule, (), top, warm, drawn=conditional)


def _gibbs(problem: Problem, steps: int, top: float, each: int) -> Table:
    if each < 1 or steps < each:
        raise ConfigError(f"{steps} steps of parts of {each} calls; expected at least one part")
    levels = ladder(steps // each, top, min(top, 2 * FLOOR))
    return sweeps(problem.prior, levels, FLOOR, dpmpp_2m_sde if each > 1 else ancestral, each, 0.3, "split Gibbs")


def matheron(
    problem: Problem, steps: int, *, top: float = 0.5, each: int = 1, depth: float = 0.3, probes: int = 2,
    tolerance: float = 0.1, warm: Tensor | None = None,
) -> Recipe:  # fmt: skip
    """Draws of the clean image by `each` calls of the prior, corrected to the scan, re-noised."""
    each = min(each, steps)
    schedule, levels = problem.prior.process.schedule, ladder(steps // each, top, min(top, 2 * FLOOR))
    parts = [ancestral(schedule, times(problem.prior, ladder(each, rho, depth * rho))) for rho in levels.tolist()]
    one = renoise_table(schedule, times(problem.prior, levels))
    table = chain(schedule, parts, "Matheron draws") if each > 1 else one
    conditional = Conditional(problem, tolerance)
    return Recipe(TableRule(table), (PosteriorDraw(conditional, Probes(probes), each),), top, warm, led=True)


def daps(
    problem: Problem, steps: int, *, top: float = _TOP, each: int = 3, scale: float = 1.0, tolerance: float = 0.1,
    warm: Tensor | None = None,
) -> Recipe:  # fmt: skip
    """Probability-flow runs of `each` calls, Gaussian draws near their ends, fresh noise."""
    if each < 1 or steps < each:
        raise ConfigError(f"{steps} steps of parts of {each} calls; expected at least one part")
    levels = ladder(steps // each, top, 2 * FLOOR)
    table = sweeps(problem.prior, levels, FLOOR, dpmpp_2m, each, 0.1, "DAPS")
    rule = DapsRise(table, conditional=Conditional(problem, tolerance), scale=scale)
    return Recipe(rule, (), top, warm)


def _tilted(problem: Problem, table: Table, estimator: Estimator, top: float, *more: Transform) -> Recipe:
    return Recipe(TableRule(table), (Tilt(problem.likelihood, estimator), *more), top)


def mmps(problem: Problem, steps: int, *, top: float = _TOP, iterations: int = 5) -> Recipe:
    """Moment matching, with the Jacobian of the network in every conjugate gradient."""
    table = dpmpp_2m(problem.prior.process.schedule, _falling(problem, steps, top))
    return _tilted(problem, table, MMPS(iterations), top)


def tmpd(problem: Problem, steps: int, *, top: float = _TOP) -> Recipe:
    """Row sums of the Jacobian."""
    table = dpmpp_2m(problem.prior.process.schedule, _falling(problem, steps, top))
    return _tilted(problem, table, TMPD(), top)


def pigdm(problem: Problem, steps: int, *, top: float = _TOP, variance: float = 1.0, iterations: int = 50) -> Recipe:
    """Pseudo-inverse guidance with the factor ``(W^-1 + r^2 A A^T)^-1``."""
    table = ddim(problem.prior.process.schedule, _falling(problem, steps, top))
    return _tilted(problem, table, PiGDM(variance, iterations), top)


def dps(problem: Problem, steps: int, *, top: float = _TOP, scale: float = 1.0) -> Recipe:
    """Plug-in gradient."""
    table = ancestral(problem.prior.process.schedule, _falling(problem, steps, top))
    return _tilted(problem, table, DPS(information_norm(problem), scale), top)


def mcg(problem: Problem, steps: int, *, top: float = _TOP, scale: float = 1.0) -> Recipe:
    """Plug-in gradient and a SIRT step."""
    table = ancestral(problem.prior.process.schedule, _falling(problem, steps, top))
    return _tilted(problem, table, DPS(information_norm(problem), scale), top, Sirt(problem))


def dds(problem: Problem, steps: int, *, top: float = _TOP, iterations: int = 5, scale: float = 1.0) -> Recipe:
    """A few conjugate gradients from the denoised mean."""
    table = ddim(problem.prior.process.schedule, _falling(problem, steps, top))
    step = Proximal(Conditional(problem, 1e-6, iterations), scale)
    return Recipe(TableRule(table), (step,), top)


def diffpir(
    problem: Problem, steps: int, *, top: float = _TOP, zeta: float = 0.3, scale: float = 1.0, tolerance: float = 0.03
) -> Recipe:
    """The proximal step to a tolerance, and a share of fresh noise."""
    table = diffpir_table(problem.prior.process.schedule, _falling(problem, steps, top), zeta)
    step = Proximal(Conditional(problem, tolerance), scale)
    return Recipe(TableRule(table), (step,), top)


def dpir(
    problem: Problem, steps: int, *, top: float = 0.1, weight: float = 0.23, momentum: float = 0.0,
    tolerance: float = 0.03, warm: Tensor | None = None,
) -> Recipe:  # fmt: skip
    """Half-quadratic splitting: the proximal step with ``r = sigma / sqrt(weight)``, then the prior, without noise."""
    levels = ladder(steps, top, min(top, 2 * FLOOR))
    table = still_table(problem.prior.process.schedule, times(problem.prior, levels), momentum)
    step = Proximal(Conditional(problem, tolerance), weight**-0.5, until=steps - 1)
    return Recipe(TableRule(table), (step,), top, warm, noisy=False)


def dpir_momentum(problem: Problem, steps: int, *, momentum: float = 0.65, **options: Any) -> Recipe:
    """The same, each step carried beyond its result by a share of its length: half the calls for the same image."""
    return dpir(problem, steps, momentum=momentum, **options)


def red_diff(
    problem: Problem, steps: int, *, top: float = _TOP, rate: float = 0.05, scale: float = 1.0, beta: float = 1.0,
    warm: Tensor | None = None,
) -> Recipe:  # fmt: skip
    """Adam on the data and the divergence from the prior, from the mean of the analytic Gaussian posterior."""
    if not 0 <= beta <= 1:
        raise ConfigError(f"beta is {beta}; expected 0 to 1, the share of fresh noise")
    start = first_mean(problem) if warm is None else warm
    rule = MixedNoise(renoise_table(problem.prior.process.schedule, _falling(problem, steps, top)), beta=beta)
    return Recipe(rule, (RedDiff(problem, start, steps, rate, scale),), top, warm=start)


def hybridreg(
    problem: Problem, steps: int, *, top: float = _TOP, rate: float = 0.05, scale: float = 1.0, beta: float = 0.2,
    warm: Tensor | None = None,
) -> Recipe:  # fmt: skip
    """RED-diff whose noise remembers the network's."""
    return red_diff(problem, steps, top=top, rate=rate, scale=scale, beta=beta, warm=warm)


def dmplug(problem: Problem, steps: int, *, top: float = _TOP, rate: float = 0.05, short: int = 3) -> Recipe:
    """Adam on the start of a run of `short` calls; `steps` counts optimiser steps."""
    schedule = problem.prior.process.schedule
    run = ddim(schedule, times(problem.prior, ladder(short, top, 0.1)))
    still = torch.cat([problem.prior.time(torch.full((steps,), top)), torch.zeros(1, dtype=torch.float64)])
    table = renoise_table(schedule, still)
    return Recipe(TableRule(table), (DMPlug(problem, run, steps, rate),), top)


def sitcom(problem: Problem, steps: int, *, top: float = _TOP, iterations: int = 10, scale: float = 1.0) -> Recipe:
    """Inputs of the network that explain the data, re-noised; `steps` counts levels."""
    table = renoise_table(problem.prior.process.schedule, _falling(problem, steps, top))
    return Recipe(TableRule(table), (Sitcom(problem, iterations, scale=scale),), top)


def cbg(problem: Problem, steps: int, *, top: float = _TOP, draws: int = 16, inner: int = 8) -> Recipe:
    """Weights of draws from the prior's posterior; for few data, or coarse ones."""
    table = ancestral(problem.prior.process.schedule, _falling(problem, steps, top))
    return _tilted(problem, table, CBG(Glass(inner, scale=0.5), draws), top)


def tds(problem: Problem, steps: int, *, top: float = _TOP, size: int = 8) -> Recipe:
    """Particles with the twist of TMPD."""
    table = ancestral(problem.prior.process.schedule, _falling(problem, steps, top))
    rule, tilt = TableRule(table), Tilt(problem.likelihood, TMPD())
    particles = Particles(tilt, rule, size)
    return Recipe(rule, (tilt, particles), top, particles=particles)
