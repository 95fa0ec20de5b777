"""The trained families as they are benchmarked: modes, steps of the training, and the methods with their settings."""

from __future__ import annotations

from dataclasses import dataclass

from .families import BurgersFamily, Family, HeatFamily
from .interface import Free, Method, MultiStep
from .methods import ECI, PCFM, GaussNewton
from .trial import Trial

__all__ = ["CASES", "FamilyCase", "family_methods"]


@dataclass(frozen=True)
class FamilyCase:
    """Settings of one family.

    Parameters
    ----------
    family
        The family.
    modes
        Modes of its reference law.
    steps
        Optimizer steps of the flow.
    newton
        Corrections of one prediction in the metric.
    noise
        Standard deviation that the metric grants to the equations within the steps.
    both
        Whether ECI has closed forms for all that is fixed; if not, it gets the initial slice.
    """

    family: Family
    modes: int
    steps: int
    newton: int
    noise: float
    both: bool


CASES = {
    "heat": FamilyCase(HeatFamily(), 12, 4000, 1, 1e-3, True),
    "burgers": FamilyCase(BurgersFamily(), 96, 4000, 2, 2e-2, False),
}


def family_methods(case: FamilyCase, trial: Trial, steps: int) -> dict[str, tuple[Method, int, bool]]:
    """Every method with its steps, and whether it is given the initial slice alone.

    Parameters
    ----------
    case
        The family.
    trial
        Holds the flow.
    steps
        Network calls of the flow alone and of the metric; the published methods make five times as many, but for PCFM
        where its Newton steps are dear (constraints that are not affine).
    """
    law, solver = trial.flow.law, MultiStep(0.005, 100.0)
    ours = GaussNewton(
        law,
        newton=case.newton,
        action=case.family.inner,
        reference=law.mean,
        noise=case.noise,
        solver=solver,
    )
    return {
        "free flow": (Free(solver), steps, False),
        "ECI": (ECI(1), 5 * steps, not case.both),
        "ECI, mix 5, resampling": (ECI(5, 1), steps, not case.both),
        "PCFM": (PCFM(), 5 * steps if case.both else steps, False),
        "metric of Cov[x_0 | x_t]": (ours, steps, False),
    }
