"""A picture of the labels: total variation to the data against network calls, by enumeration with an exact denoiser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scidiff.process import mask
from scidiff.sample import Ancestral, Confidence, EntropyBounded, MinimumEntropy, ProjectAndNoise, Psi, TauLeaping
from scidiff.testing_targets.enumeration import Chain
from scidiff.testing_targets.unmasking import unmask, unmask_confident

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["tv_against_calls"]

_FLOOR = 1e-16


def tv_against_calls(length: int = 4, steps: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)) -> Figure:
    """Draw the error of every way to sample a masked Markov chain of three classes.

    Parameters
    ----------
    length
        Number of sites.
    steps
        Numbers of steps of the rules that follow a grid; each step is one call.

    Returns
    -------
    matplotlib.figure.Figure
        Lines for the rules on a grid, points for the plans; what is exact lies at round-off.
    """
    from matplotlib.figure import Figure

    chain = Chain(mask(3), length)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    rules = {
        "ancestral": Ancestral(),
        "tau-leaping": TauLeaping(),
        "project and noise": ProjectAndNoise(),
        "Psi, kappa 0.5": Psi(0.5),
    }
    for name, rule in rules.items():
        errors = [chain.tv(chain.grid(rule.probs, count)) for count in steps]
        axes.plot(steps, errors, marker=".", label=f"{name}, {rule.label}")
    plans = {
        "minimum entropy": (length, MinimumEntropy(), unmask),
        "pairs of least entropy": ((length + 1) // 2, MinimumEntropy(2), unmask),
        "entropy bound 0": (length, EntropyBounded(0.0), unmask),
        "confidence": (length, Confidence(), unmask_confident),
    }
    for name, (calls, plan, law) in plans.items():
        error = max(chain.tv(law(chain, plan)), _FLOOR)
        axes.plot([calls], [error], marker="o", linestyle="none", label=f"{name}, {plan.label}")
    axes.set(xscale="log", yscale="log", xlabel="network calls", ylabel="total variation to the data")
    axes.legend(frameon=False, fontsize="small")
    return figure
