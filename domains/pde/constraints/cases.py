"""The trained families as they are benchmarked: modes, steps of the training, and the methods with their settings."""

from __future__ import annotations

from dataclasses import dataclass

from .families import BurgersFamily, Family, HeatFamily
from .interface import Free, Method, MultiStep
from .methods import ECI, PCFM, PDM, DFlow, DiffusionPDE, FunDPS, GaussNewton
from .reference_law import ReferenceLaw

__all__ = ["CASES", "WEIGHTS", "Entry", "FamilyCase", "conditioned", "family_methods"]

WEIGHTS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Weights of guidance that were tried."""

_SOLVER = MultiStep(0.005, 100.0)
_QUARTER, _FEW = 0.25, 0.0625


@dataclass(frozen=True)
class FamilyCase:
    """Settings of one family.

    Parameters
    ----------
    family
        The family.
    modes
        Modes of its reference law.
    width
        Width of the network.
    steps
        Optimizer steps of the flow.
    newton
        Corrections of one prediction in the metric.
    noise
        Standard deviation that the metric grants to the equations within the steps.
    both
        Whether ECI has closed forms for all that is fixed; if not, it gets the initial slice.
    weights
        Weights of DiffusionPDE and FunDPS, see `WEIGHTS`.
    """

    family: Family
    modes: int
    width: int
    steps: int
    newton: int
    noise: float
    both: bool
    weights: tuple[float, float]


CASES = {
    "heat": FamilyCase(HeatFamily(), 12, 96, 10000, 1, 1e-3, True, (0.1, 3.0)),
    "burgers": FamilyCase(BurgersFamily(), 48, 128, 24000, 2, 2e-2, False, (0.3, 1.0)),
}


def conditioned(case: FamilyCase, law: ReferenceLaw) -> GaussNewton:
    """Corrections in the metric of the posterior covariance of the reference law, and a polish."""
    return GaussNewton(
        law, newton=case.newton, action=case.family.inner, reference=law.mean, noise=case.noise, solver=_SOLVER
    )


@dataclass(frozen=True)
class Entry:
    """A method as it is run on a family.

    Parameters
    ----------
    method
        The method.
    steps
        Intervals of the clock.
    alone
        Whether it is given the initial slice alone, since it has no correction for the rest.
    told
        Whether the network is told the initial slice.
    share
        Share of the samples that must do, since it takes long.
    ours
        Whether the bars of the benchmark are its own.
    """

    method: Method
    steps: int
    alone: bool = False
    told: bool = False
    share: float = 1.0
    ours: bool = False


def family_methods(case: FamilyCase, law: ReferenceLaw, steps: int = 20) -> dict[str, Entry]:
    """Every method with its settings.

    Parameters
    ----------
    case
        The family.
    law
        Reference law of the flow.
    steps
        Network calls of the flow alone and of the metric; the published methods make five times as many, but for PCFM
        and D-Flow where their Newton steps and gradients are dear (constraints that are not affine). Weights of
        guidance are the best of `scidiff.domains.pde.constraints.cases.WEIGHTS` on these very numbers, in favour of it.
    """
    ours, free, alone = conditioned(case, law), Free(_SOLVER), not case.both
    return {
        "free flow": Entry(free, steps),
        "ECI": Entry(ECI(1), 5 * steps, alone, share=_QUARTER),
        "ECI, mix 5, resampling": Entry(ECI(5, 1), steps, alone, share=_QUARTER),
        "PCFM": Entry(PCFM(), 5 * steps if case.both else steps, share=_FEW if alone else _QUARTER),
        "PDM": Entry(PDM(5, ceiling=100.0, floor=0.005), steps, alone, share=_FEW),
        "DiffusionPDE": Entry(DiffusionPDE(case.weights[0]), 5 * steps, share=_QUARTER),
        "FunDPS": Entry(FunDPS(case.weights[1]), 5 * steps, share=_QUARTER),
        "D-Flow": Entry(DFlow(), steps, share=_FEW),
        "metric of Cov[x_0 | x_t]": Entry(ours, steps),
        "conditional flow": Entry(free, steps, told=True),
        "conditional flow, metric of Cov[x_0 | x_t]": Entry(ours, steps, told=True, ours=True),
    }
