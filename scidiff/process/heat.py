"""Exact heat kernels on tori and in hyperbolic 3-space; generator half the Laplacian, see `scidiff.process.radial`.

*Torus*, angle by angle with ``d = x - x0``, two series for one density:

    p(d) = (2 pi t)^(-1/2) sum_k e^(-(d + 2 pi k)^2 / 2t) = (1 + 2 sum_j e^(-j^2 t/2) cos jd) / 2 pi

*H^3* in closed form, with ``r`` the distance:

    p(r) = (2 pi t)^(-3/2) r / sinh(r) e^(-t/2 - r^2/2t)

References
----------
.. [1] B. Jing et al., "Torsional diffusion for molecular conformer generation", arXiv:2206.01729
.. [2] A. Grigor'yan and M. Noguchi, "The heat kernel on hyperbolic space", doi:10.1112/S0024609398004780
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.radial import HeatKernel, RadialHeatKernel, lead_time
from scidiff.random import Source
from scidiff.spaces.hyperbolic import Hyperbolic
from scidiff.spaces.smooth import inverse_sinhc, series
from scidiff.spaces.torus import Torus

__all__ = ["HyperbolicHeatKernel", "WrappedNormal"]

_SWITCH = 2.0
_IMAGES = 4
_WAVES = 10
_COTH = (-1 / 3, 1 / 45, -2 / 945, 1 / 4725, -2 / 93555, 1382 / 638512875, -4 / 18243225)


def _images(d: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    at = d.unsqueeze(-1) + 2 * math.pi * torch.arange(-_IMAGES, _IMAGES + 1, dtype=d.dtype, device=d.device)
    t = t.unsqueeze(-1)
    power = -(at**2) / (2 * t)
    score = -(torch.softmax(power, dim=-1) * at / t).sum(-1)
    return torch.logsumexp(power, dim=-1) - (2 * math.pi * t.squeeze(-1)).log() / 2, score


def _waves(d: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    j = torch.arange(1, _WAVES + 1, dtype=d.dtype, device=d.device)
    weight = 2 * (-(j**2) * t.unsqueeze(-1) / 2).exp()
    total = 1 + (weight * torch.cos(j * d.unsqueeze(-1))).sum(-1)
    return total.log() - math.log(2 * math.pi), -(weight * j * torch.sin(j * d.unsqueeze(-1))).sum(-1) / total


@dataclass(frozen=True)
class WrappedNormal(HeatKernel):
    """Heat kernel of a torus: independent wrapped normals of variance ``t``.

    Parameters
    ----------
    space
        The torus.
    """

    space: Torus = field(default_factory=Torus)

    def _both(self, x0: Tensor, x: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor]:
        d = self.space.log(x0.double(), x.double())
        t = lead_time(t, tuple(d.shape[:-1]), d.device).unsqueeze(-1).expand_as(d)
        small = t < _SWITCH
        near = _images(d, torch.where(small, t, _SWITCH))
        far = _waves(d, torch.where(small, _SWITCH, t))
        return tuple(torch.where(small, a, b) for a, b in zip(near, far, strict=True))

    def log_density(self, x0: Tensor, x: Tensor, t: Tensor | float) -> Tensor:
        """Logarithm of the density at ``x``, with respect to volume, float64."""
        return self._both(x0, x, t)[0].sum(-1)

    def score(self, x0: Tensor, x: Tensor, t: Tensor | float) -> Tensor:
        """Gradient of `log_density` in ``x``."""
        return self._both(x0, x, t)[1].to(x.dtype)

    def sample(self, x0: Tensor, t: Tensor | float, noise: Source, *, step: int, stream: str) -> Tensor:
        """Draw ``x_t``: a normal step, wrapped."""
        self.space.check(x0, "x0")
        base = x0.double()
        xi = self.space.random_tangent(base, noise, step=step, stream=stream)
        scale = lead_time(t, self.space.lead(x0), x0.device).sqrt().unsqueeze(-1)
        return self.space.exp(base, scale * xi).to(x0.dtype)


@dataclass(frozen=True)
class HyperbolicHeatKernel(RadialHeatKernel):
    """Heat kernel of `Hyperbolic(3)`.

    Parameters
    ----------
    space
        Hyperbolic space of dimension 3, the one with a closed form.
    """

    space: Hyperbolic = field(default_factory=lambda: Hyperbolic(3))

    def __post_init__(self) -> None:
        if self.space.size != 3:
            raise ConfigError(f"H^{self.space.size} came; the closed form is that of H^3: use Hyperbolic(3)")

    @property
    def reach(self) -> float:
        """Infinite: the space is open."""
        return math.inf

    def log_radial(self, r: Tensor, t: Tensor) -> Tensor:
        """Logarithm of the closed form."""
        return -1.5 * (2 * math.pi * t).log() + inverse_sinhc(r**2).log() - t / 2 - r**2 / (2 * t)

    def slope(self, r: Tensor, t: Tensor) -> Tensor:
        """Return ``(1/r - coth r)/r - 1/t``."""
        small = r < 0.3
        safe = torch.where(small, 1.0, r)
        bend = torch.where(small, series(_COTH, torch.where(small, r, 0.0) ** 2), (1 / safe - 1 / safe.tanh()) / safe)
        return bend - 1 / t

    def log_area(self, r: Tensor) -> Tensor:
        """Logarithm of ``4 pi sinh^2 r``."""
        return math.log(4 * math.pi) + 2 * r.sinh().log()

    def horizon(self, t: Tensor) -> Tensor:
        """Eleven standard deviations beyond the drift ``t`` of the radius."""
        return t + 11 * t.sqrt()
