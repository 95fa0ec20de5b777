"""What is known of the covariance ``C = Cov[x_0 | x_t]``, as an action on vectors.

    Tweedie     (sigma^2 / alpha) (dm/dx_t)^T v            of the network itself, by a pullback
    Spectral    U s U^T v,  s = sigma^2 c / (alpha^2 c + sigma^2)    for Gaussian data of covariance ``U diag(c) U^T``
    White       sigma^2 c / (alpha^2 c + sigma^2) v        for white Gaussian data of variance ``c``

Each is exact for the data named, and an approximation for all others: the true covariance of `Tweedie` does not make
the law of ``x_0`` given ``x_t`` a Gaussian. The ``U`` of `Spectral` may be a Fourier basis, the modes of a Laplacian,
or those of a Gaussian process.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.guidance.plug_in import tweedie_gain
from scidiff.process.base import site_time
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState

__all__ = ["Covariance", "Spectral", "Tweedie", "White", "fourier_covariance", "matrix_covariance"]

Action = Callable[[Tensor], Tensor]


class Covariance(ABC):
    """A posterior covariance of the clean state, as an action on vectors.

    Attributes
    ----------
    gradient
        Whether a vector is pulled back through the network.
    exact_for
        Data for which it is the true covariance, and conditioning with it is exact.
    citation
        Where it was published.
    """

    gradient: ClassVar[bool]
    exact_for: ClassVar[str]
    citation: ClassVar[str]

    @abstractmethod
    def __call__(self, state: RunState, evaluation: Evaluation) -> Action:
        """Return ``v -> C v`` for vectors of the shape of the state, at the present state."""


@dataclass(frozen=True)
class Tweedie(Covariance):
    """Covariance of the network: its Jacobian by Tweedie's second formula, one pullback for each vector."""

    gradient: ClassVar[bool] = True
    exact_for: ClassVar[str] = "Gaussian data"
    citation: ClassVar[str] = "arXiv:2405.13712"

    def __call__(self, state: RunState, evaluation: Evaluation) -> Action:
        """``v -> (sigma^2 / alpha) J^T v``."""
        gain = tweedie_gain(state, evaluation)
        return lambda v: gain * evaluation.pullback(v).double()


@dataclass(frozen=True)
class White(Covariance):
    """A multiple of the identity: conditioning becomes the orthogonal projection onto ``A x_0 = b``.

    Without noise of the data this is the null-space step of DDNM [1]_ and the correction step of ECI [2]_.

    Parameters
    ----------
    variance
        Variance ``c`` of the data; of no effect where the data have no noise.

    References
    ----------
    .. [1] Y. Wang et al., "Zero-shot image restoration using denoising diffusion null-space model", arXiv:2212.00490
    .. [2] C. Cheng et al., "Gradient-free generation for hard-constrained systems", arXiv:2412.01786
    """

    variance: float = 1.0
    gradient: ClassVar[bool] = False
    exact_for: ClassVar[str] = "white Gaussian data of this variance"
    citation: ClassVar[str] = "arXiv:2212.00490"

    def __post_init__(self) -> None:
        if not 0 < self.variance < math.inf:
            raise ConfigError(f"variance is {self.variance}; expected a number > 0")

    def __call__(self, state: RunState, evaluation: Evaluation) -> Action:
        """``v -> rho^2 v`` with the posterior variance ``rho^2`` of every site."""
        schedule, t = evaluation.model.process.schedule, site_time(state.t, state.x)
        rho = _posterior(schedule.alpha(t), schedule.sigma(t), torch.tensor(self.variance, dtype=torch.float64))
        return lambda v: rho * v


@dataclass(frozen=True, eq=False)
class Spectral(Covariance):
    """Gaussian data of a known covariance, diagonal in an orthonormal basis.

    Parameters
    ----------
    variances
        ``c``: variance of each coefficient, in the shape of one sample's coefficients.
    analyse, synthesise
        ``U^T`` and ``U``: from a batch of states to coefficients, and back.
    """

    variances: Tensor
    analyse: Action
    synthesise: Action
    gradient: ClassVar[bool] = False
    exact_for: ClassVar[str] = "Gaussian data of this covariance"
    citation: ClassVar[str] = "derived here from the Wiener filter"

    def __post_init__(self) -> None:
        c = torch.as_tensor(self.variances).double()
        if not bool((c >= 0).all() and c.isfinite().all()):
            raise ConfigError(f"variances lie in [{float(c.min())}, {float(c.max())}]; expected finite numbers >= 0")
        object.__setattr__(self, "variances", c)

    def __call__(self, state: RunState, evaluation: Evaluation) -> Action:
        """``v -> U s U^T v``; one time for each sample, since the basis mixes the sites."""
        t = state.t.flatten(1)
        if bool((t != t[:, :1]).any()):
            raise ShapeError(
                "a covariance in one basis takes one time per sample; sites of their own times came: use Tweedie"
            )
        schedule, time = evaluation.model.process.schedule, t[:, :1].reshape(-1, *(1,) * self.variances.ndim)
        s = _posterior(schedule.alpha(time), schedule.sigma(time), self.variances.to(t.device))
        return lambda v: self.synthesise(s * self.analyse(v.double()))


def matrix_covariance(matrix: Tensor, event: tuple[int, ...] | None = None) -> Spectral:
    """Covariance of the data as a matrix.

    Parameters
    ----------
    matrix
        Symmetric, positive semidefinite, shape ``(dim, dim)`` with ``dim`` the size of an event.
    event
        Shape of an event; flat by default.
    """
    c = torch.as_tensor(matrix).double()
    if c.ndim != 2 or c.shape[0] != c.shape[1] or not torch.allclose(c, c.T):
        raise ShapeError(f"matrix has shape {tuple(c.shape)}; expected a symmetric (dim, dim)")
    values, vectors = torch.linalg.eigh(c)
    if float(values[0]) < -1e-10 * float(values.abs().max()):
        raise ConfigError(f"the covariance has the eigenvalue {float(values[0]):.3g}; expected none below 0")
    shape = (len(c),) if event is None else tuple(event)
    if math.prod(shape) != len(c):
        raise ShapeError(f"an event of shape {shape} has {math.prod(shape)} entries; expected {len(c)}, as the matrix")

    def synthesise(y: Tensor) -> Tensor:
        return (y @ vectors.T.to(y.device)).reshape(-1, *shape)

    return Spectral(values.clamp_min(0.0), lambda v: v.flatten(1) @ vectors.to(v.device), synthesise)


def fourier_covariance(spectrum: Tensor) -> Spectral:
    """Covariance of a stationary periodic field.

    Parameters
    ----------
    spectrum
        Variance of every Fourier mode of the orthonormal transform, in the order of `torch.fft.fftn` and in the shape
        of an event; even under reversal of all wave numbers.
    """
    c = torch.as_tensor(spectrum).double()
    axes = tuple(range(1, c.ndim + 1))
    mirror = torch.roll(c.flip(tuple(range(c.ndim))), (1,) * c.ndim, tuple(range(c.ndim)))
    if not torch.allclose(c, mirror):
        raise ConfigError("the spectrum is not even in the wave numbers; that of a real field is")

    def analyse(v: Tensor) -> Tensor:
        if tuple(v.shape[1:]) != tuple(c.shape):
            raise ShapeError(
                f"a field of shape {tuple(v.shape[1:])} came; expected that of the spectrum, {tuple(c.shape)}"
            )
        return torch.fft.fftn(v, dim=axes, norm="ortho")

    return Spectral(c, analyse, lambda y: torch.fft.ifftn(y, dim=axes, norm="ortho").real)


def _posterior(alpha: Tensor, sigma: Tensor, c: Tensor) -> Tensor:
    """Posterior variance ``sigma^2 c / (alpha^2 c + sigma^2)``; 0 where there is nothing left to know."""
    total = alpha**2 * c + sigma**2
    return torch.where(total > 0, sigma**2 * c / torch.where(total > 0, total, 1.0), 0.0)
