"""Claims of the integrators that adapt to a target: learned tables of few calls, and steps chosen sample by sample."""

from __future__ import annotations

import math
from collections.abc import Iterator

from scidiff.bench.core.check import Claim
from scidiff.random import Noise
from scidiff.sample import RunState, run
from scidiff.sample.continuous.adaptive import Adaptive
from scidiff.testing_targets.few_calls import PROCESS, distance, floor, learned, log_table
from scidiff.testing_targets.gaussian import VE, target_a
from scidiff.testing_targets.orders import reference, starts

__all__ = ["claims"]

_BARS = {5: 0.10, 7: 0.06}
_SEED = 12


def claims() -> Iterator[Claim]:
    """Yield the claims of learned tables and of adaptive steps."""
    told = "sliced W2 of 3000 held-out starts to 30000 exact draws on Target A"
    yield Claim(
        "few calls/floor", "measured", lambda seed: floor(_SEED + seed), why=f"{told}: exact draws instead", full=True
    )
    for calls, bar in _BARS.items():
        yield Claim(
            f"few calls/exponential Adams 2, log grid/{calls} calls",
            "measured",
            lambda seed, calls=calls: distance(log_table(calls), _SEED + seed),
            why=f"{told}; what the learned table is compared with",
            calls=calls,
            full=True,
        )
        yield Claim(
            f"few calls/learned table/{calls} calls",
            "biased",
            lambda seed, calls=calls: distance(learned(calls).table, _SEED + seed),
            truth=0,
            tolerance=bar,
            why=f"{told}; learned from 400 pairs of starts and ends",
            calls=calls,
            full=True,
        )
        yield Claim(
            f"few calls/processor seconds to learn/{calls} calls",
            "measured",
            lambda _seed, calls=calls: learned(calls).seconds,
            truth=0,
            tolerance=120,
            why="without the teacher's pairs",
            calls=calls,
            full=True,
        )
    yield Claim(
        "adaptive/order of the error in the tolerance",
        "consistent(3)",
        lambda _seed: math.log10(_adaptive(0.1) / _adaptive(0.001)) / 2,
        truth=1,
        tolerance=0.3,
        why="median error on Target A, tolerances 0.1 and 0.001; a factor 4 in the constant moves it by 0.3",
        full=True,
    )


def _adaptive(tolerance: float) -> float:
    """Median error of adaptive steps against the flow."""
    plan = Adaptive(VE, tolerance, floor=0.01, to_zero=False)
    state = RunState.at(starts(), 1.0, Noise.range(0, len(starts())))
    end = run(target_a().denoiser, PROCESS, plan.rule, plan, state=state, policy=plan.policy)
    return float((end.x - reference()).norm(dim=1).median())
