"""Guidance by the difference of two predictions.

    m_w = m + (w - 1) (m - m')            R^n and tangent vectors
    log F_w = log F + (w - 1) (log F - log F') + const       finite sets

With ``m'`` the prediction without condition this is classifier-free guidance [1]_ (``w = 1``: the conditional model,
``w = 0``: the unconditional one); with ``m'`` the prediction of a worse network it is autoguidance [2]_. Neither is
the tilt of the data by ``p(c | x_0)^(w - 1)``: for ``w != 1`` both are biased. Where guidance acts can be bounded to an
interval of noise levels [3]_; outside the second network is not evaluated.

References
----------
.. [1] J. Ho, T. Salimans, "Classifier-free diffusion guidance", arXiv:2207.12598
.. [2] T. Karras et al., "Guiding a diffusion model with a bad version of itself", arXiv:2406.02507
.. [3] T. Kynkäänniemi et al., "Applying guidance in a limited interval improves sample and distribution quality",
   arXiv:2404.07724
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from scidiff.denoise.condition import take_condition
from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError
from scidiff.process.base import Kind, Process, ProductProcess
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState
from scidiff.sample.transform import Branch, Transform
from scidiff.spaces import State, state_map

__all__ = ["AutoGuidance", "ClassifierFree", "extrapolate"]

Scale = float | Mapping[str, float]


@dataclass(frozen=True, eq=False)
class ClassifierFree(Transform):
    """Classifier-free guidance; both branches are evaluated in one batch.

    Parameters
    ----------
    unconditional
        Condition of the branch without condition, of the same form as the condition of the run.
    scale
        ``w``: one number, or one for each factor that is to be guided.
    interval
        Times ``(first, last)`` between which guidance acts; always by default.
    """

    unconditional: Any
    scale: Scale
    interval: tuple[float, float] = (0.0, 1.0)
    label: ClassVar[str] = "biased"
    citation: ClassVar[str] = "arXiv:2207.12598"

    def __post_init__(self) -> None:
        _check(self.scale, self.interval)

    def branches(self, state: RunState) -> Mapping[str, Branch]:
        """Ask for the unconditional branch where guidance acts."""
        return {"unconditional": Branch(self.unconditional, inside(state, self.interval))}

    def __call__(self, m: State, state: RunState, evaluation: Evaluation) -> tuple[State, RunState]:
        """Return the guided prediction."""
        return extrapolate(evaluation.model.process, m, evaluation.branches["unconditional"], self.scale), state


@dataclass(frozen=True, eq=False)
class AutoGuidance(Transform):
    """Guidance away from a worse network.

    Parameters
    ----------
    worse
        A smaller or less trained network of the same data; its calls are booked like those of the first.
    scale
        ``w``: one number, or one for each factor that is to be guided.
    interval
        Times ``(first, last)`` between which guidance acts; always by default.
    """

    worse: Denoiser
    scale: Scale
    interval: tuple[float, float] = (0.0, 1.0)
    label: ClassVar[str] = "biased"
    citation: ClassVar[str] = "arXiv:2406.02507"

    def __post_init__(self) -> None:
        _check(self.scale, self.interval)

    def __call__(self, m: State, state: RunState, evaluation: Evaluation) -> tuple[State, RunState]:
        """Return the guided prediction."""
        rows = torch.nonzero(inside(state, self.interval))[:, 0]
        if not len(rows):
            return m, state
        part = state.take(rows)
        model = evaluation.model
        condition = take_condition(model.condition, rows)
        other = model.process.convert(self.worse(part.x, part.t, condition), self.worse.kind, part.x, part.t)
        guided = extrapolate(model.process, state_map(lambda part: part[rows], m), other, self.scale)
        m = state_map(lambda old, new: old.index_copy(0, rows, new.to(old)), m, guided)
        return m, state.book(torch.bincount(rows.to(state.calls.device), minlength=len(state)))


def extrapolate(process: Process | ProductProcess, m: State, other: State, scale: Scale) -> State:
    """``m + (w - 1) (m - other)`` in the vector space of the predictions; normalised on finite sets.

    Parameters
    ----------
    process
        Says of what kind the predictions are.
    m, other
        Two predictions.
    scale
        ``w``: one number, or one for each factor that is to be guided.

    Raises
    ------
    ConfigError
        If the scale names factors that the state has not.
    """
    if isinstance(process, ProductProcess):
        chosen = scale if isinstance(scale, Mapping) else dict.fromkeys(process.factors, scale)
        unknown = sorted(set(chosen) - set(process.factors))
        if unknown:
            raise ConfigError(f"the guidance scale names factors {unknown}; the state has {sorted(process.factors)}")
        parts = process.factors.items()
        return {k: extrapolate(part, m[k], other[k], chosen[k]) if k in chosen else m[k] for k, part in parts}
    if isinstance(scale, Mapping):
        raise ConfigError(f"guidance scales for factors {sorted(scale)} came, but the state has none; pass one number")
    if process.kind in (Kind.LOGITS, Kind.LOO_LOGITS):
        return _mixed(m, other, scale)
    return m + (scale - 1) * (m - other)


def _mixed(m: Tensor, other: Tensor, scale: float) -> Tensor:
    """Geometric extrapolation; a class that `m` excludes stays excluded, one that `other` excludes is not divided."""
    tilt = torch.where(m.isfinite() & other.isfinite(), m - other, 0.0)
    return torch.log_softmax(m + (scale - 1) * tilt, dim=-1)


def inside(state: RunState, interval: tuple[float, float]) -> Tensor:
    """Mark the samples whose latest time lies in an interval, shape ``(batch,)``."""
    parts = state.t.values() if isinstance(state.t, Mapping) else [state.t]
    latest = torch.stack([part.flatten(1).amax(1) for part in parts]).amax(0)
    return (latest >= interval[0]) & (latest <= interval[1])


def _check(scale: Scale, interval: tuple[float, float]) -> None:
    values = list(scale.values()) if isinstance(scale, Mapping) else [scale]
    if not all(math.isfinite(value) for value in values):
        raise ConfigError(f"the guidance scale is {scale}; expected finite numbers, where 1 changes nothing")
    if not 0 <= interval[0] <= interval[1] <= 1:
        raise ConfigError(f"the guidance interval is {interval}; expected times (first, last), 0 <= first <= last <= 1")
