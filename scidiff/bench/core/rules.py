"""Claims of the rules for finite sets on a Markov chain of three classes, by enumeration with an exact denoiser."""

from __future__ import annotations

from collections.abc import Iterator

from scidiff.bench.core.check import Claim
from scidiff.process import Cosine, Kernel, MatrixKernel, Power, marginal, mask, tree, uniform
from scidiff.random import Noise
from scidiff.sample import Ancestral, Grid, ProjectAndNoise, Psi, SiteRule, TauLeaping, run, uniform_grid
from scidiff.testing_targets.enumeration import Chain, SiteLaw, gibbs, pearson, plugged, plugged_loo
from scidiff.testing_targets.kernels import banded
from scidiff.testing_targets.orders import slope

__all__ = ["claims"]

_KERNELS: dict[str, Kernel] = {
    "mask": mask(3),
    "uniform": uniform(3),
    "marginal": marginal([0.5, 0.3, 0.2]),
    "tree": tree([0, 1, 1]),
}
_FORGETFUL: dict[str, SiteRule] = {"project and noise": ProjectAndNoise(), "Psi, kappa 0.5": Psi(0.5)}


def claims() -> Iterator[Claim]:
    """Yield the claims of the rules."""
    yield from _first_order()
    yield from _forgetful()
    yield from _marginals()
    yield from _trap()
    yield from _gibbs()
    yield from _draws()


def _tv(kernel: Kernel, length: int, law: SiteLaw, steps: int) -> float:
    """Total variation between the data and a run on a uniform grid."""
    chain = Chain(kernel, length)
    return chain.tv(chain.grid(law, steps))


def _first_order() -> Iterator[Claim]:
    for rule in (Ancestral(), TauLeaping()):
        for name, kernel in _KERNELS.items():
            yield Claim(
                f"TV when steps double/{type(rule).__name__}/{name}",
                rule.label,
                lambda _seed, rule=rule, kernel=kernel: _tv(kernel, 2, rule.probs, 32) / _tv(kernel, 2, rule.probs, 64),
                truth=2,
                tolerance=0.2,
                why="ratio of the errors of 32 and 64 steps; the next order leaves less than 10 %",
            )


def _forgetful() -> Iterator[Claim]:
    for power in (1, 2, 3):
        for name, rule in _FORGETFUL.items():
            order = power / (power + 1)
            yield Claim(
                f"order/{name}, a = 1 - t^{power}",
                f"consistent({round(order, 3)})",
                lambda _seed, rule=rule, power=power: slope(
                    *(_tv(mask(3, Power(power)), 2, rule.probs, n) for n in (100, 400)), 4
                ),
                truth=order,
                tolerance=0.07,
                why="p/(p+1) for a survival 1 - t^p; slope from 100 to 400 steps, 0.07 is left of its limit",
            )
    yield Claim(
        "Psi with kappa 1 is the ancestral rule",
        "exact",
        lambda _seed: _tv(uniform(3), 2, Psi(1.0).probs, 32) - _tv(uniform(3), 2, Ancestral().probs, 32),
        truth=0,
        tolerance=1e-13,
        why="difference of the errors of 32 steps; round-off",
    )


def _site_error(kernel: Kernel, rule: SiteRule) -> float:
    """Worst error of the marginal of a site after one step from the exact law."""
    chain = Chain(kernel, 3)
    shape = (kernel.states,) * 3
    after = chain.step(chain.marginal(0.8), rule.probs, 0.8, 0.45).reshape(shape)
    gap = after - chain.marginal(0.45).reshape(shape)
    return max(float(gap.sum(axes).abs().max()) for axes in ((1, 2), (0, 2), (0, 1)))


def _marginals() -> Iterator[Claim]:
    for rule in (Ancestral(), ProjectAndNoise(), Psi(0.7)):
        yield Claim(
            f"marginal of a site after a step/{type(rule).__name__}",
            "exact",
            lambda _seed, rule=rule: max(_site_error(kernel, rule) for kernel in _KERNELS.values()),
            truth=0,
            tolerance=1e-14,
            why="linear in the posterior, hence exact; worst of four kernels, sums of up to 216 terms",
        )


def _trap() -> Iterator[Claim]:
    kernel = uniform(3)
    yield Claim(
        "plug-in trap/posterior in the bridge",
        "biased",
        lambda _seed: _tv(kernel, 3, plugged, 128),
        least=0.1,
        why="TV at 128 steps; the bridge belongs to the leave-one-out posterior, arXiv:2605.22765",
        calls=128,
    )
    yield Claim(
        "plug-in trap/does not converge",
        "biased",
        lambda _seed: _tv(kernel, 3, plugged, 128) / _tv(kernel, 3, plugged, 32),
        least=0.9,
        why="ratio of the errors of 128 and 32 steps; 0.25 for a method of first order",
    )
    yield Claim(
        "plug-in trap/leave-one-out posterior in the bridge",
        "exact",
        lambda _seed: _tv(kernel, 3, plugged_loo, 32) - _tv(kernel, 3, Ancestral().probs, 32),
        truth=0,
        tolerance=1e-13,
        why="difference to the linear rule at 32 steps; round-off",
    )
    yield Claim(
        "plug-in trap/linear rule",
        "consistent(1)",
        lambda _seed: slope(*(_tv(kernel, 3, Ancestral().probs, n) for n in (32, 128)), 4),
        truth=1,
        tolerance=0.1,
        why="slope from 32 to 128 steps; the next order leaves a few per cent",
    )


def _gibbs() -> Iterator[Claim]:
    kernels = {
        "uniform": uniform(3),
        "marginal": marginal([0.5, 0.3, 0.2], Cosine()),
        "banded": MatrixKernel(banded(3)),
    }
    for name, kernel in kernels.items():
        yield Claim(
            f"leave-one-out Gibbs keeps the law/{name}",
            "exact",
            lambda _seed, kernel=kernel: _gibbs_defect(Chain(kernel, 3)),
            truth=0,
            tolerance=2e-15,
            why="largest entry of |p G - p| at t = 0.05, 0.5, 0.9, 1; sums of 27 terms below 1",
        )


def _gibbs_defect(chain: Chain) -> float:
    laws = [(t, chain.marginal(t)) for t in (0.05, 0.5, 0.9, 1.0)]
    return max(float((law @ gibbs(chain, t) - law).abs().max()) for t, law in laws)


def _draws() -> Iterator[Claim]:
    for name in ("mask", "uniform"):
        chain = Chain(_KERNELS[name], 3)
        for rule in (Ancestral(), TauLeaping(), ProjectAndNoise(), Psi(0.6)):
            yield Claim(
                f"draws follow the enumerated law/{type(rule).__name__}/{name}",
                "exact",
                lambda seed, chain=chain, rule=rule: _statistic(chain, rule, seed),
                truth=26,
                tolerance=6 * (2 * 26) ** 0.5,
                why="Pearson's statistic of 2000 samples of the loop, 27 states; six standard deviations",
                calls=4,
            )


def _statistic(chain: Chain, rule: SiteRule, seed: int) -> float:
    """Pearson's statistic of a run of four steps."""
    noise, plan = Noise.range(seed, 2000), Grid(uniform_grid(4))
    state = run(chain.oracle.denoiser(), chain.process, rule, plan, noise=noise, shape=(3,))
    return pearson(state.x, chain.grid(rule.probs, 4))
