"""Claims of the unmasking plans on a masked Markov chain, by enumeration with an exact denoiser."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from scidiff.bench.core.check import Claim
from scidiff.process import Cosine, Linear, mask
from scidiff.random import Noise
from scidiff.sample import (
    Ancestral,
    Confidence,
    EntropyBounded,
    FirstHitting,
    InfoGain,
    MinimumEntropy,
    Plan,
    RandomOrder,
    Unmask,
    run,
)
from scidiff.testing_targets.enumeration import Chain, pearson
from scidiff.testing_targets.unmasking import unmask, unmask_confident, unmask_scripted

__all__ = ["claims"]

_ROUND = 1e-13
_EXACT = "TV to the data, one site per step: the chain rule; round-off of a law over up to 1024 states"


def claims() -> Iterator[Claim]:
    """Yield the claims of the plans."""
    yield from _exact()
    yield from _biased()
    yield from _draws()


def _exact() -> Iterator[Claim]:
    scripted: dict[str, Callable[[Chain], float]] = {
        "first hitting, linear": lambda c: c.tv(unmask_scripted(c, FirstHitting(Linear()), Unmask())),
        "random order": lambda c: c.tv(unmask_scripted(c, RandomOrder(), Unmask())),
        "random order, ancestral": lambda c: c.tv(unmask_scripted(c, RandomOrder(), Ancestral())),
        "minimum entropy": lambda c: c.tv(unmask(c, MinimumEntropy())),
        "entropy bound 0": lambda c: c.tv(unmask(c, EntropyBounded(0.0))),
        "information gain": lambda c: c.tv(unmask(c, InfoGain())),
    }
    for name, measure in scripted.items():
        for length in (3, 4, 5):
            yield Claim(
                f"unmasking/{name}/{length} sites",
                "exact",
                lambda _seed, measure=measure, length=length: measure(Chain(mask(3), length)),
                truth=0,
                tolerance=_ROUND,
                why=_EXACT,
                calls=length + 3 * length * (length + 1) // 2 if name == "information gain" else length,
                full=length == 5,
            )
    yield Claim(
        "unmasking/first hitting, cosine/3 sites",
        "exact",
        lambda _seed: (lambda c: c.tv(unmask_scripted(c, FirstHitting(Cosine()), Unmask())))(
            Chain(mask(3, Cosine()), 3)
        ),
        truth=0,
        tolerance=_ROUND,
        why=_EXACT,
        calls=3,
    )


def _biased() -> Iterator[Claim]:
    cases: dict[str, tuple[Callable[[Chain], float], float, float]] = {
        "confidence": (lambda c: c.tv(unmask_confident(c, Confidence())), 0.1, 4),
        "random pairs": (lambda c: c.tv(unmask_scripted(c, RandomOrder(2), Unmask())), 0.02, 2),
        "pairs of least entropy": (lambda c: c.tv(unmask(c, MinimumEntropy(2))), 1e-3, 2),
        "entropy bound 0.8": (lambda c: c.tv(unmask(c, EntropyBounded(0.8))), 1e-3, 4),
    }
    for name, (measure, least, calls) in cases.items():
        yield Claim(
            f"bias/{name}/4 sites",
            "biased",
            lambda _seed, measure=measure: measure(Chain(mask(3), 4)),
            least=least,
            why="TV to the data with an exact denoiser; a bias that is stated has to be there",
            calls=calls,
        )


def _draws() -> Iterator[Claim]:
    plans: dict[str, Plan] = {
        "first hitting": FirstHitting(Linear()),
        "random order": RandomOrder(),
        "minimum entropy": MinimumEntropy(),
    }
    for name, plan in plans.items():
        yield Claim(
            f"draws follow the data/{name}",
            "exact",
            lambda seed, plan=plan: _statistic(plan, seed),
            truth=26,
            tolerance=6 * (2 * 26) ** 0.5,
            why="Pearson's statistic of 2000 samples of the loop, 27 states; six standard deviations",
            calls=3,
        )


def _statistic(plan: Plan, seed: int) -> float:
    """Pearson's statistic of a run of the plan."""
    chain = Chain(mask(3), 3)
    state = run(chain.oracle.denoiser(), chain.process, Unmask(), plan, noise=Noise.range(seed, 2000), shape=(3,))
    return pearson(state.x, chain.target)
