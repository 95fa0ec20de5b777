"""Claims of guidance: posteriors of mixtures, tilts, constraints, finite sets, and spread."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from scidiff.bench.core.check import Claim
from scidiff.denoise import GaussianMixture
from scidiff.guidance import (
    CBG,
    DOIT,
    TMPD,
    DiscreteTilt,
    Doob,
    Enumeration,
    Factorised,
    Glass,
    LinearConstraint,
    Particles,
    PlugIn,
    SiteMoves,
    Tilt,
    Tweedie,
    White,
)
from scidiff.guidance.covariances import Covariance
from scidiff.process import GaussianProcess, mask
from scidiff.random import Noise
from scidiff.sample import (
    Ancestral,
    Grid,
    Model,
    RunState,
    TableRule,
    analytic_dpm,
    ancestral,
    ddim,
    deis,
    dpmpp_2m,
    dpmpp_3m,
    log_snr_grid,
    run,
    uniform_grid,
    unipc,
)
from scidiff.spaces import Euclidean
from scidiff.spaces.linear import MatrixOperator
from scidiff.testing_targets.enumeration import Chain
from scidiff.testing_targets.gaussian import VE, posterior_variance, sample_variance
from scidiff.testing_targets.guided import POSTERIORS, GuidedPosterior
from scidiff.testing_targets.orders import log_grid
from scidiff.testing_targets.posteriors import linear_posterior

__all__ = ["claims"]

_COUNT, _STEPS, _CALLS, _DRAWS = 500, 50, 20, 128
_GLASS = CBG(Glass(12, scale=2.0), _DRAWS)
_MATRIX = torch.tensor([[1.0, 0.5, 0.0], [0.0, -1.0, 2.0]], dtype=torch.float64)
_B = torch.tensor([0.4, -1.1], dtype=torch.float64)
_ROOT = torch.tensor([[1.0, 0.2, 0.0], [0.0, 0.7, -0.3], [0.0, 0.0, 0.4]], dtype=torch.float64)


def claims() -> Iterator[Claim]:
    """Yield the claims of guidance."""
    yield from _posteriors()
    yield from _tilts()
    yield from _constraints()
    yield from _finite()
    yield from _spread()


def _posteriors() -> Iterator[Claim]:
    """Distance to the posterior in floors, 500 samples: 1 is exact, 3 the bar of what is called right."""
    why = "sliced W2 to 50000 exact draws over that of 500 exact draws; three floors at most"
    steps = {"noisy": ancestral(VE, log_snr_grid(VE, _STEPS, floor=0.01)), "ode": unipc(VE, log_grid(_CALLS), order=2)}
    for name, target in POSTERIORS.items():
        # an estimator, its table, particles in a group, calls
        rows = {
            "TDS, 16 particles": (TMPD(), steps["noisy"], 16, _STEPS),
            "CBG, 128 draws of 12 GLASS steps": (_GLASS, steps["ode"], 1, _CALLS * (1 + 12 * _DRAWS)),
        }
        for method, (estimator, table, size, calls) in rows.items():
            measure = partial(_ratio, target, table, estimator, size)
            label = "consistent(0.5)"
            yield Claim(f"guidance/{method}/{name}", label, measure, 1, 2, why=why, calls=calls, full=True)
        for method, estimator in {"DPS": PlugIn(), "TMPD": TMPD()}.items():
            measure = partial(_ratio, target, steps["noisy"], estimator, 1)
            note = "in floors, shown; the bias of the method"
            yield Claim(f"guidance/{method}/{name}", "biased", measure, why=note, calls=_STEPS, full=True)


def _ratio(target: GuidedPosterior, table: object, estimator: object, size: int, seed: int) -> float:
    return target.ratio(target.draw(table, estimator, _COUNT, seed, size), seed)


def _tilts() -> Iterator[Claim]:
    """N(0, 1) tilted by ``r = a x`` has the mean ``a``."""
    count, steps, draws = 1000, 40, 64
    for a in (0.5, 1.0, 2.0):
        yield Claim(
            f"tilt of N(0, 1)/mean, raw Doob/{a:g}",
            "biased",
            lambda seed, a=a: _mean(Doob(draws, ahead=0.2), a, count, steps, seed),
            truth=a,
            tolerance=4 / count**0.5 + 0.04 * a,
            why="four errors of 1000 samples, and 4 % of the tilt for the length 0.2 of the look-ahead and forty steps",
            calls=steps * (1 + draws),
            full=True,
        )
        yield Claim(
            f"tilt of N(0, 1)/mean, standardised (DOIT)/{a:g}",
            "biased",
            lambda seed, a=a: _mean(DOIT(draws, ahead=0.2), a, 200, steps, seed),
            why="shown: the strength does not depend on the reward",
            calls=steps * (1 + draws),
            full=True,
        )


def _mean(estimator: object, a: float, count: int, steps: int, seed: int) -> float:
    prior = GaussianMixture.gaussian(VE, torch.zeros(1), torch.ones(()))
    rule = TableRule(ancestral(VE, log_snr_grid(VE, steps, floor=0.01)))
    tilt = Tilt(lambda x: a * x[:, 0], estimator)
    process = GaussianProcess(Euclidean((1,)), VE)
    state = run(
        prior.denoiser, process, rule, rule.plan, noise=Noise.range(seed, count), shape=(1,), transforms=(tilt,)
    )
    return float(state.x.mean())


def _constraints() -> Iterator[Claim]:
    solved = "mean of the conditioned Gaussian in closed form at 20 states; solves of condition below 1e4"
    for sd in (0.0, 0.3):
        yield Claim(
            f"constraint/true covariance, Gaussian data/noise {sd:g}",
            "exact",
            lambda seed, sd=sd: _conditioned(Tweedie(), sd, seed),
            truth=0,
            tolerance=1e-8,
            why=solved,
        )
    yield Claim(
        "constraint/orthogonal projection (DDNM, ECI), Gaussian data",
        "biased",
        lambda seed: _conditioned(White(), 0.0, seed),
        why="shown: largest error of the mean",
    )
    yield Claim(
        "constraint/residual after the polish, mixture",
        "biased",
        _residual,
        truth=0,
        tolerance=1e-13,
        why="round-off of a product with three terms, twice",
        calls=12,
    )


def _gaussian() -> GaussianMixture:
    return GaussianMixture.gaussian(VE, torch.tensor([0.3, -0.2, 1.0]), _ROOT @ _ROOT.T)


def _conditioned(covariance: Covariance, sd: float, seed: int) -> float:
    """Largest error of the conditioned mean."""
    prior, noise = _gaussian(), Noise.range(seed, 20)
    exact, _ = linear_posterior(prior, _MATRIX, _B, sd)
    process = GaussianProcess(Euclidean((3,)), VE)
    state = RunState.at(process.noise(prior.draw(noise), 0.5, noise), 0.5, noise)
    constraint = LinearConstraint(MatrixOperator(_MATRIX), _B, covariance, sd)
    m, _ = Model(prior.denoiser, process, None, (constraint,)).estimate(state)
    return float((m - exact(state.x, 0.5)).abs().max())


def _residual(seed: int) -> float:
    rule = TableRule(unipc(VE, log_snr_grid(VE, 12, floor=0.01)))
    constraint = LinearConstraint(MatrixOperator(_MATRIX), _B)
    prior = POSTERIORS["d = 5"].prior
    prior = GaussianMixture(VE, prior.weights, prior.means[:, :3], prior.covariances)
    options = {"noise": Noise.range(seed, 50), "shape": (3,), "transforms": (constraint,)}
    state = run(prior.denoiser, GaussianProcess(Euclidean((3,)), VE), rule, rule.plan, **options)
    return float(state.records["constraint/after"].max())


def _pairs(x0: Tensor) -> Tensor:
    return 1.5 * (x0[:, 1:] != x0[:, :-1]).sum(-1).double()


def _finite() -> Iterator[Claim]:
    chain = Chain(mask(3), 4)
    yield Claim(
        "tilt of a chain/prediction by enumeration",
        "exact",
        lambda seed: _site_error(chain, Enumeration(chain.oracle), seed),
        truth=0,
        tolerance=1e-12,
        why="the posterior of the tilted law, sums of 81 terms",
    )
    yield Claim(
        "tilt of a chain/prediction from the factorised sum",
        "biased",
        lambda seed: _site_error(chain, Factorised(), seed),
        why="shown: largest error of a probability",
    )
    yield Claim(
        "tilt of a chain/evidence by 16 particles over true",
        "consistent(0.5)",
        lambda seed: _evidence(chain, 400, 16, seed),
        truth=1,
        tolerance=0.05,
        why="law of the sampler by enumeration; four errors of 400 groups, whose relative deviation is below 0.25",
        calls=6,
        full=True,
    )


def _site_error(chain: Chain, estimator: Enumeration | Factorised, seed: int) -> float:
    weight = chain.law.flatten() * _pairs(torch.cartesian_prod(*[torch.arange(3)] * 4)).exp()
    tilted = Chain(chain.kernel, 4)
    oracle = type(chain.oracle)((weight / weight.sum()).reshape(chain.law.shape), tilted.kernel)
    noise = Noise.range(seed, 30)
    x = chain.process.noise(chain.process.space.uniform(noise, (4,), step=0, stream="x") % 3, 0.6, noise)
    state = RunState.at(x, 0.6, noise)
    m, _ = Model(chain.oracle.denoiser(), chain.process, None, (DiscreteTilt(_pairs, estimator),)).estimate(state)
    return float((m.exp() - oracle.posterior(x, state.t).exp()).abs().max())


def _evidence(chain: Chain, groups: int, size: int, seed: int) -> float:
    plan = Grid(uniform_grid(6))
    tilt = DiscreteTilt(_pairs, Factorised())
    filter_ = Particles(tilt, SiteMoves(Ancestral(), plan), size)
    options = {"noise": Noise.range(seed, groups * size), "shape": (4,), "transforms": (tilt, filter_)}
    state = run(chain.oracle.denoiser(), chain.process, Ancestral(), plan, **options)
    law = chain.grid(Ancestral().probs, 6)
    truth = (law[law > 0] * _pairs(chain.states[law > 0]).exp()).sum().log()
    return float((filter_.log_normaliser(state) - truth).exp().mean())


def _spread() -> Iterator[Claim]:
    """Variance of N(0, 1) data at 20 calls: solvers within 2 %, and those that are not."""
    covariance = partial(analytic_dpm, posterior_variance=posterior_variance)
    for name, solver in {"UniPC": unipc, "3M": dpmpp_3m, "DEIS": deis, "Analytic-DPM": covariance}.items():
        yield Claim(
            f"variance at {_CALLS} calls/{name}",
            "exact" if solver is covariance else "consistent(3)",
            lambda _seed, solver=solver: sample_variance(solver, _CALLS),
            truth=1,
            tolerance=0.02,
            why="variance of the data, by exact recursion of the sampler; 2 %",
            calls=_CALLS,
        )
    for name, solver in {"2M": dpmpp_2m, "DDIM": ddim, "DDPM": ancestral}.items():
        yield Claim(
            f"variance at {_CALLS} calls/{name}, off by more than 2 %",
            "biased",
            lambda _seed, solver=solver: sample_variance(solver, _CALLS),
            why="shown: variance of N(0, 1) data, by exact recursion",
            calls=_CALLS,
        )
