r"""How much a noise level tells: the conditional entropy rate, from the errors that training computes anyway.

The information that a state holds of the data falls with noise, and its rate is the error of the exact denoiser:

    Gaussian    d H[x_0 | x_s] / d log s = mmse(s) / s^2,        s = sigma / alpha            (I-MMSE [1]_)
    discrete    d H[x_0 | x_t] / dt      = E nelbo(x_0, x_t, t)  at the exact posterior       (any kernel [2]_)

where `nelbo` is the integrand of the continuous-time bound: for a mask the cross-entropy of the masked sites times
``-a' / (1 - a)``. With a network instead of the exact denoiser both overestimate the rate, and their integral over the
axis bounds ``H[x_0]`` from above.

Two facts keep a profile in bounds. A linear denoiser has ``mmse <= s^2 dim``, so ``rate <= dim`` (Gaussian): a network
that does worse at some level is untrained there, not informative. And on continuous data the rate does not vanish at
low noise but tends to the intrinsic dimension; there `SubtractPlateau` or `ClipAtResolution` says what is data.

References
----------
.. [1] D. Guo, S. Shamai, S. Verdu, "Mutual information and minimum mean-square error in Gaussian channels",
   IEEE Trans. Inf. Theory 51(4), 2005, doi:10.1109/TIT.2005.844072
.. [2] A. Campbell et al., "A continuous time framework for discrete denoising models", arXiv:2205.14987
.. [3] Raya et al., "Information-Guided Noise Allocation for Efficient Diffusion Training", arXiv:2602.18647
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.base import Process, ProductProcess
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.gaussian import GaussianProcess
from scidiff.spaces import State

__all__ = ["ClipAtResolution", "SubtractPlateau", "Trim", "WholeRate", "entropy_rate", "gaussian_rate"]

Trim = Callable[[Tensor, Tensor], Tensor]
"""What is left of a rate: takes levels ``u`` and rates, gives rates ``>= 0``."""


def gaussian_rate(m: Tensor, x0: Tensor, u: Tensor) -> Tensor:
    """Entropy rate ``|m - x_0|^2 / s^2`` of every sample, nats per unit of ``u = log s``.

    Parameters
    ----------
    m, x0
        Denoised mean and data, shape ``(batch, *event)``.
    u
        Levels, shape ``(batch,)``.

    Returns
    -------
    Tensor
        Float64, shape ``(batch,)``.
    """
    gap = (m.double() - x0.double()).flatten(1).square().sum(1)
    return gap * torch.exp(-2.0 * u)


def entropy_rate(
    process: Process | ProductProcess, m: State, x0: State, x_t: State, t: Tensor, u: Tensor | None = None
) -> Tensor:
    """Entropy rate of every sample of a training batch.

    Parameters
    ----------
    process
        Gaussian, discrete, or a product of discrete factors.
    m, x0, x_t
        Prediction as the process takes it, data, and noised data.
    t
        One time per sample, shape ``(batch,)``.
    u
        Level ``log s`` of every sample; ``None`` takes it from the schedule of a Gaussian process.

    Returns
    -------
    Tensor
        Nats per unit of the axis (``log s`` or ``t``), float64, shape ``(batch,)``.

    Raises
    ------
    ConfigError
        If no rate is known for the process.
    """
    with torch.no_grad():
        if isinstance(process, GaussianProcess) and isinstance(m, Tensor) and isinstance(x0, Tensor):
            return gaussian_rate(m, x0, -process.schedule.lam(t) if u is None else u)
        if isinstance(process, DiscreteProcess):
            return process.nelbo(m, x0, x_t, t).flatten(1).sum(1)  # pyright: ignore[reportArgumentType]
        if isinstance(process, ProductProcess) and all(
            isinstance(f, DiscreteProcess) for f in process.factors.values()
        ):
            parts = process.nelbo(m, x0, x_t, t)
            return torch.stack([part.flatten(1).sum(1) for part in parts.values()]).sum(0)  # pyright: ignore[reportAttributeAccessIssue]
    raise ConfigError(
        f"an entropy rate was asked of a {type(process).__name__}; expected a GaussianProcess, a DiscreteProcess or a "
        "product of the latter; compute the rate of this process and hand it to InfoNoise.record"
    )


@dataclass(frozen=True)
class WholeRate:
    """The rate as it is: the right choice where ``H[x_0]`` is finite."""

    def __call__(self, u: Tensor, rate: Tensor) -> Tensor:
        """Return the rate."""
        return rate


@dataclass(frozen=True)
class SubtractPlateau:
    """What exceeds the plateau of continuous data, ``max(rate - dimension, 0)``.

    It leaves what lies above the plateau: modes, discrete choices. Data without such structure have a rate below
    their dimension at every level, and nothing is left: use `ClipAtResolution` for them.

    Parameters
    ----------
    dimension
        Intrinsic dimension of the data: the limit of the rate at low noise.

    Raises
    ------
    ConfigError
        If it is not positive.
    """

    dimension: float

    def __post_init__(self) -> None:
        """Check the number once."""
        if not self.dimension > 0:
            raise ConfigError(f"dimension is {self.dimension}; expected a positive number: the rate at low noise")

    def __call__(self, u: Tensor, rate: Tensor) -> Tensor:
        """Return the excess."""
        return (rate - self.dimension).clamp_min(0.0)


@dataclass(frozen=True)
class ClipAtResolution:
    """No information below the resolution of the data: rate 0 where ``s < resolution``.

    Parameters
    ----------
    resolution
        Noise-to-signal ratio below which differences between data mean nothing, in the unit of the data.

    Raises
    ------
    ConfigError
        If it is not positive.
    """

    resolution: float

    def __post_init__(self) -> None:
        """Check the number once."""
        if not self.resolution > 0:
            raise ConfigError(f"resolution is {self.resolution}; expected a positive number in the unit of the data")

    def __call__(self, u: Tensor, rate: Tensor) -> Tensor:
        """Return the rate above the resolution."""
        return torch.where(u < math.log(self.resolution), 0.0, rate)
