"""How much of a guidance is plain classifier-free guidance: the effective scale of GA-Eval.

With the predictions ``m_c`` with and ``m_u`` without a condition, ``d = m_c - m_u``, and what a method makes of them,
``g = m - m_u``,

    w_eff = <g, d> / <d, d>            orthogonal share = |g - w_eff d|^2 / |g|^2

Classifier-free guidance of scale ``w`` has ``w_eff = w`` and no orthogonal share. A method should be compared with it
at equal effective scale and equal calls [1]_: what it gains there is its own.

References
----------
.. [1] Xie et al., "Guidance matters: rethinking the evaluation pitfall for text-to-image generation",
   arXiv:2602.22570
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState
from scidiff.sample.transform import Branch, Transform
from scidiff.spaces import State

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EffectiveScale", "ScaleSummary", "plot_effective_scale", "summarise_effective_scale"]

_BRANCH = "effective/unconditional"
_SCALE, _SHARE, _TIME = "effective/scale", "effective/orthogonal", "effective/t"


@dataclass(frozen=True, eq=False)
class EffectiveScale(Transform):
    """Record the effective scale of the transforms before it; changes nothing.

    Records, one column for every evaluation: ``effective/scale``, ``effective/orthogonal`` and ``effective/t``; NaN
    where the two predictions agree.

    Parameters
    ----------
    unconditional
        Condition of the branch without condition, where this transform is to ask for it: one more call a step.
    branch
        Name of the branch of another transform to be read instead, e.g. that of `ClassifierFree`.
    """

    unconditional: Any = None
    branch: str = "unconditional"
    label: ClassVar[str] = "exact"
    citation: ClassVar[str] = "arXiv:2602.22570"

    def branches(self, state: RunState) -> Mapping[str, Branch]:
        """Ask for a branch of its own where a condition was given."""
        return {} if self.unconditional is None else {_BRANCH: Branch(self.unconditional)}

    def __call__(self, m: State, state: RunState, evaluation: Evaluation) -> tuple[State, RunState]:
        """Record, and return the prediction as it came."""
        name = self.branch if self.unconditional is None else _BRANCH
        if name not in evaluation.branches:
            raise ConfigError(
                f"there is no branch '{name}' among {sorted(evaluation.branches)}; pass unconditional=..., or use it "
                "together with ClassifierFree"
            )
        without = evaluation.branches[name]
        d, g = _difference(evaluation.raw, without), _difference(m, without)
        dd, gg, gd = (d * d).sum(1), (g * g).sum(1), (g * d).sum(1)
        w = torch.where(dd > 0, gd / torch.where(dd > 0, dd, 1.0), torch.nan)
        rest = ((g - w.nan_to_num(0.0).unsqueeze(1) * d) ** 2).sum(1)
        share = torch.where((gg > 0) & (dd > 0), rest / torch.where(gg > 0, gg, 1.0), torch.nan)
        times = state.t if isinstance(state.t, Tensor) else torch.cat([t.flatten(1) for t in state.t.values()], 1)
        for record, value in ((_SCALE, w), (_SHARE, share), (_TIME, times.flatten(1).amax(1))):
            before = state.records.get(record, value.new_zeros(len(value), 0))
            state = state.record(record, torch.cat([before, value.unsqueeze(1)], 1))
        return m, state


@dataclass(frozen=True)
class ScaleSummary:
    """Effective scale of a run, evaluation by evaluation; quartiles over the samples.

    Parameters
    ----------
    t
        Time, shape ``(evaluations,)``.
    scale
        Quartiles of ``w_eff``, shape ``(evaluations, 3)``.
    orthogonal
        Quartiles of the orthogonal share, shape ``(evaluations, 3)``.
    """

    t: np.ndarray
    scale: np.ndarray
    orthogonal: np.ndarray

    def __str__(self) -> str:
        """One line: medians over the run."""
        w, share = np.nanmedian(self.scale[:, 1]), np.nanmedian(self.orthogonal[:, 1])
        return f"effective scale {w:.3g} (median over {len(self.t)} evaluations), orthogonal share {100 * share:.1f} %"


def summarise_effective_scale(state: RunState) -> ScaleSummary:
    """Collect what `EffectiveScale` recorded.

    Parameters
    ----------
    state
        Last state of the run.

    Raises
    ------
    ConfigError
        If it was not among the transforms of the run.
    """
    if _SCALE not in state.records:
        raise ConfigError("the state has no record of the effective scale; put EffectiveScale last in the transforms")
    t, w, share = (state.records[name].double().cpu() for name in (_TIME, _SCALE, _SHARE))
    level = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    quartiles = (torch.nanquantile(part, level, dim=0).T.numpy() for part in (w, share))
    return ScaleSummary(t.amax(0).numpy(), *quartiles)


def plot_effective_scale(summary: ScaleSummary) -> Figure:
    """Draw the effective scale and the orthogonal share over the run.

    Parameters
    ----------
    summary
        What `summarise_effective_scale` collected.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    panels = {"effective scale": summary.scale, "orthogonal share": summary.orthogonal}
    for axes, (name, rows) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        axes.plot(summary.t, rows[:, 1])
        axes.fill_between(summary.t, rows[:, 0], rows[:, 2], alpha=0.3, linewidth=0)
        axes.set(xlabel="time, data at 0", ylabel=f"{name}, quartiles of the samples")
    return figure


def _difference(one: State, two: State) -> Tensor:
    """Difference of two predictions, all factors in one row; log-probabilities of excluded classes do not count."""
    pairs = [(one, two)] if isinstance(one, Tensor) else [(one[key], two[key]) for key in one]
    flat = [(a.double() - b.double()).flatten(1) for a, b in pairs]
    return torch.cat([torch.where(part.isfinite(), part, 0.0) for part in flat], 1)
