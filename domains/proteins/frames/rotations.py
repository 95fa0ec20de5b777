"""How the rotations of frames are noised: geodesics to uniform rotations, or Brownian motion with the kernel IGSO(3).

The network says for every frame ``q_t`` the rotation vector ``v`` that leads to the clean one, in the frame's own axes.
What the process wants of it, and the error that is trained, are

    RotationFlow         m = v = E[log_(q_t)(q_0)]                     |v - log_(q_t)(q_0)|^2 / (3 (1.33 t)^2)
    RotationDiffusion    S = grad log p_V(q_t | exp_(q_t)(v))          V |S - grad log p_V(q_t | q_0)|^2 / 3

The first is flow matching [1]_, the second denoising score matching through the predicted frames [2]_. 1.33 is the root
mean square of a coordinate of a uniform rotation vector, ``((pi^2/3 + 2)/3)^(1/2)``.

Rotations of a flow may run ahead of positions: where these are at ``t``, rotations are at ``(e^(r t) - 1)/(e^r - 1)``,
the exponential clock that is published for sampling [1]_ with ``r = 10``. Training draws ``r`` uniformly in
[0, `FASTEST`] for each chain and tells the network both times, so that every such clock is one it has seen.

References
----------
.. [1] J. Yim et al., "Fast protein backbone generation with SE(3) flow matching", arXiv:2310.05297
.. [2] J. Yim et al., "SE(3) diffusion model with application to protein backbone generation", arXiv:2302.02277
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from scidiff.errors import CheckpointError, ConfigError
from scidiff.process.base import Kind, Process
from scidiff.process.clocks import ExponentialClock
from scidiff.process.geodesic import GeodesicFlow
from scidiff.process.heat_process import HeatProcess
from scidiff.process.igso3 import IGSO3
from scidiff.random import SharedNoise
from scidiff.sample.continuous.retracted import Retracted, RetractedHeat
from scidiff.sample.loop import Rule
from scidiff.spaces import Power
from scidiff.spaces.so3 import SO3

__all__ = ["FASTEST", "SPREAD", "RotationDiffusion", "RotationFlow", "RotationLaw", "read_law"]

FASTEST = 10.0
"""Largest rate of the clock of rotations that training draws."""
SPREAD = math.sqrt((math.pi**2 / 3 + 2) / 3)
"""Root mean square of a coordinate of the rotation vector of a uniform rotation, radians."""


class RotationLaw(ABC):
    """Law of the noise of rotations, with what it asks of network, loss and loop."""

    name: ClassVar[str]
    kind: ClassVar[Kind]
    words: ClassVar[str]

    @property
    @abstractmethod
    def process(self) -> Process:
        """The process of all rotations of a chain, quaternions of shape ``(length, 4)``."""

    @property
    @abstractmethod
    def rule(self) -> Rule:
        """How rotations move in the loop."""

    @abstractmethod
    def times(self, t: Tensor) -> Tensor:
        """Times of rotations where positions are at ``t``, while drawing."""

    @abstractmethod
    def training_times(self, t: Tensor, noise: SharedNoise) -> Tensor:
        """Times of rotations where positions are at ``t``, float64, shape ``(batch,)``."""

    @abstractmethod
    def predict(self, v: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Prediction of `kind`, from the rotation vectors that the network gives at the state ``x`` and time ``t``."""

    @abstractmethod
    def error(self, v: Tensor, x0: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Trained error of every frame, about 1 where nothing is learned; ``t`` is positive."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for a model card."""
        return {"name": self.name, **asdict(self)}  # pyright: ignore[reportArgumentType]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read the values of a card."""
        return cls(**values)


@dataclass(frozen=True)
class RotationFlow(RotationLaw):
    """Geodesic flow to uniform rotations.

    Parameters
    ----------
    rate
        Rate of the clock of rotations while drawing, in [0, `FASTEST`]; 0 keeps the clock of positions.

    Raises
    ------
    ConfigError
        If the rate is out of range.
    """

    rate: float = 10.0
    name: ClassVar[str] = "flow"
    kind: ClassVar[Kind] = Kind.TANGENT
    words: ClassVar[str] = "exponential Adams of order 2 on SO(3) and on R^3"

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= FASTEST:
            raise ConfigError(f"rate is {self.rate}; expected 0 to {FASTEST:g}, the clocks that training has seen")

    @property
    def process(self) -> GeodesicFlow:
        """Geodesics at constant speed; clocks are made by times."""
        return GeodesicFlow(Power(SO3(), (None,)))

    @property
    def rule(self) -> Rule:
        """Exponential Adams of order 2, taken by the exponential map."""
        return Retracted(2)

    def times(self, t: Tensor) -> Tensor:
        """Times of the exponential clock."""
        return ExponentialClock(self.rate).remaining(t) if self.rate > 0 else t

    def training_times(self, t: Tensor, noise: SharedNoise) -> Tensor:
        """Times of clocks with a rate drawn uniformly, one for each chain."""
        rate = FASTEST * noise.uniform()
        return torch.expm1(rate * t) / torch.expm1(rate)

    def predict(self, v: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Return ``v``."""
        return v

    def error(self, v: Tensor, x0: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Squared error of ``v`` in units of its size without knowledge."""
        gap = (v - self.process.target(x0, x, t)) / (SPREAD * t.reshape(-1, 1, 1).to(v))
        return gap.square().mean(-1)


@dataclass(frozen=True)
class RotationDiffusion(RotationLaw):
    """Brownian motion on rotations.

    Parameters
    ----------
    variance
        Variance at ``t = 1``, rad^2 per axis; what is left of the data there falls like ``e^-variance``.
    eta
        Strength of the noise while drawing: 0 is the probability flow, 1 the reverse Brownian motion.
    """

    variance: float = 6.0
    eta: float = 0.0
    name: ClassVar[str] = "diffusion"
    kind: ClassVar[Kind] = Kind.SCORE
    words: ClassVar[str] = "DDIM by the exponential map on SO(3), exponential Adams of order 2 on R^3"

    @property
    def process(self) -> HeatProcess:
        """Brownian motion whose standard deviation grows evenly."""
        return HeatProcess(IGSO3(), Power(SO3(), (None,)), self.variance)

    @property
    def rule(self) -> Rule:
        """DDIM by the exponential map."""
        return RetractedHeat(self.eta)

    def times(self, t: Tensor) -> Tensor:
        """Times of positions."""
        return t

    def training_times(self, t: Tensor, noise: SharedNoise) -> Tensor:
        """Times of positions."""
        return t

    def predict(self, v: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Score of ``x`` given the predicted clean frame."""
        site = self.process.site
        return self.process.target(site.exp(x, v.to(x)), x, t).to(v)

    def error(self, v: Tensor, x0: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Squared error of the score times the variance."""
        return self.process.loss(self.predict(v.double(), x.double(), t), x0.double(), x.double(), t) / 3


_LAWS = MappingProxyType({law.name: law for law in (RotationFlow, RotationDiffusion)})


def read_law(values: Mapping[str, Any]) -> RotationLaw:
    """Law of a model card.

    Raises
    ------
    CheckpointError
        If there is no such law.
    """
    rest = dict(values)
    name = rest.pop("name", None)
    if name not in _LAWS:
        raise CheckpointError(f"the card names rotations '{name}'; expected one of {', '.join(_LAWS)}")
    return _LAWS[name].from_json(rest)
