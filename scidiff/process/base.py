"""The contract of a process: the law of ``x_t`` given ``x_0``, and nothing about networks or loops.

The clock is ``t`` in [0, 1] with the data at 0 and the prior at 1. Time is a tensor that broadcasts per site: a scalar,
one value per sample, or one value per site. A site at ``t = 0`` is clean and never moves, which makes inpainting,
padding and every unmasking order one mechanism.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from torch import Tensor

from scidiff.random import Source
from scidiff.spaces import Product, Space, State
from scidiff.spaces.times import sample_time, site_time

__all__ = ["Kind", "Process", "ProductProcess", "sample_time", "site_time"]


class Kind(Enum):
    """What a network predicts; the closed set of prediction kinds."""

    MEAN = "mean"
    EPS = "eps"
    V = "v"
    SCORE = "score"
    LOGITS = "logits"
    LOO_LOGITS = "loo_logits"
    TANGENT = "tangent"


class Process(ABC):
    """Forward noising law on a space.

    Attributes
    ----------
    space
        Where states live.
    kind
        The prediction kind that samplers of this process consume.
    """

    space: Space
    kind: Kind

    @abstractmethod
    def prior(self, noise: Source, shape: Sequence[int], *, stream: str = "prior") -> Tensor:
        """Draw ``x_1``; `shape` is the event shape of one sample."""

    @abstractmethod
    def noise(self, x0: Tensor, t: Tensor | float, noise: Source, *, step: int = 0, stream: str = "noise") -> Tensor:
        """Draw ``x_t`` given ``x_0``."""

    @abstractmethod
    def renoise(
        self,
        x_s: Tensor,
        s: Tensor | float,
        t: Tensor | float,
        noise: Source,
        *,
        step: int = 0,
        stream: str = "renoise",
    ) -> Tensor:
        """Draw ``x_t`` given ``x_s`` with ``s <= t``."""

    @abstractmethod
    def convert(self, prediction: Tensor, kind: Kind, x_t: Tensor, t: Tensor | float) -> Tensor:
        """Bring a prediction of any kind to `self.kind`, exactly."""

    @abstractmethod
    def loss(self, m: Tensor, x0: Tensor, x_t: Tensor, t: Tensor | float) -> Tensor:
        """Per-site loss, whose minimiser is ``m = E[phi(x_0) | x_t]``."""


@dataclass(frozen=True)
class ProductProcess:
    """Independent noising of named factors, each with its own process and clock.

    Every method acts factor by factor; a time is one value for all factors or a mapping.

    Parameters
    ----------
    factors
        Process of each factor.
    """

    factors: Mapping[str, Process]

    @property
    def space(self) -> Product:
        """Product of the spaces of the factors."""
        return Product({key: process.space for key, process in self.factors.items()})

    def _each(self, method: str, *args: Any, stream: str | None = None, **common: Any) -> dict[str, Tensor]:
        out = {}
        for key, process in self.factors.items():
            named = {} if stream is None else {"stream": f"{stream}/{key}"}
            picked = (arg[key] if isinstance(arg, Mapping) else arg for arg in args)
            out[key] = getattr(process, method)(*picked, **named, **common)
        return out

    def prior(self, noise: Source, shape: Mapping[str, Sequence[int]], *, stream: str = "prior") -> State:
        """Draw ``x_1`` of every factor."""
        return self._each("prior", noise, shape, stream=stream)

    def noise(self, x0: State, t: Any, noise: Source, *, step: int = 0, stream: str = "noise") -> State:
        """Draw ``x_t`` given ``x_0``."""
        return self._each("noise", x0, t, noise, step=step, stream=stream)

    def renoise(self, x_s: State, s: Any, t: Any, noise: Source, *, step: int = 0, stream: str = "renoise") -> State:
        """Draw ``x_t`` given ``x_s``."""
        return self._each("renoise", x_s, s, t, noise, step=step, stream=stream)

    def convert(self, prediction: State, kind: Kind | Mapping[str, Kind], x_t: State, t: Any) -> State:
        """Bring the prediction of every factor to the kind of its process."""
        return self._each("convert", prediction, kind, x_t, t)

    def loss(self, m: State, x0: State, x_t: State, t: Any) -> State:
        """Per-site loss of every factor."""
        return self._each("loss", m, x0, x_t, t)

    def nelbo(self, m: State, x0: State, x_t: State, t: Any) -> State:
        """Per-site integrand of the likelihood bound of every factor; for factors that have one."""
        return self._each("nelbo", m, x0, x_t, t)
