"""Sharper predictions on finite sets: temperature and nucleus. Both trade spread for typical samples, and are biased.

    Temperature   F_tau(v) ~ F(v)^(1 / tau)
    Nucleus       F_p(v)   ~ F(v) on the smallest set of most probable classes with mass >= p

References
----------
.. [1] A. Holtzman et al., "The curious case of neural text degeneration", arXiv:1904.09751 (nucleus)
.. [2] MolHIT, arXiv:2602.17602 (both, on the atoms of molecules)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState
from scidiff.sample.transform import Transform
from scidiff.spaces import State

__all__ = ["Nucleus", "Temperature"]


@dataclass(frozen=True)
class Temperature(Transform):
    """Divide the log-probabilities by a temperature.

    Parameters
    ----------
    tau
        Temperature > 0: a number, or one for each factor that is to be changed. At 1 nothing changes.
    """

    tau: float | Mapping[str, float]
    label: ClassVar[str] = "biased"

    def __post_init__(self) -> None:
        if any(not 0 < value < math.inf for value in _values(self.tau)):
            raise ConfigError(f"temperature is {self.tau}; expected finite numbers > 0, where 1 changes nothing")

    def __call__(self, m: State, state: RunState, evaluation: Evaluation) -> tuple[State, RunState]:
        """Return the sharpened prediction."""
        return _each(m, self.tau, lambda part, tau: torch.log_softmax(part / tau, dim=-1)), state


@dataclass(frozen=True)
class Nucleus(Transform):
    """Keep the most probable classes.

    Parameters
    ----------
    p
        Mass to keep, in (0, 1]: a number, or one for each factor that is to be changed. At 1 nothing changes.
    """

    p: float | Mapping[str, float]
    label: ClassVar[str] = "biased"

    def __post_init__(self) -> None:
        if any(not 0 < value <= 1 for value in _values(self.p)):
            raise ConfigError(f"p is {self.p}; expected numbers in (0, 1]")

    def __call__(self, m: State, state: RunState, evaluation: Evaluation) -> tuple[State, RunState]:
        """Return the truncated prediction."""
        return _each(m, self.p, _nucleus), state


def _nucleus(m: Tensor, p: float) -> Tensor:
    """Drop every class that is not needed to reach the mass ``p``."""
    ordered, index = m.sort(dim=-1, descending=True)
    before = ordered.exp().cumsum(-1) - ordered.exp()
    dropped = torch.zeros_like(m, dtype=torch.bool).scatter(-1, index, (before >= p) & (before > 0))
    return torch.log_softmax(m.masked_fill(dropped, -torch.inf), dim=-1)


def _values(setting: float | Mapping[str, float]) -> list[float]:
    return list(setting.values()) if isinstance(setting, Mapping) else [setting]


def _each(m: State, setting: float | Mapping[str, float], function: Callable[[Tensor, float], Tensor]) -> State:
    """Apply a function to the factors that have a setting."""
    if isinstance(m, Tensor):
        if isinstance(setting, Mapping):
            raise ConfigError(f"settings for factors {sorted(setting)} came, but the state has none; pass one number")
        return function(m, setting)
    chosen = setting if isinstance(setting, Mapping) else dict.fromkeys(m, setting)
    unknown = sorted(set(chosen) - set(m))
    if unknown:
        raise ConfigError(f"settings name factors {unknown}; the state has {sorted(m)}")
    return {key: function(part, chosen[key]) if key in chosen else part for key, part in m.items()}
