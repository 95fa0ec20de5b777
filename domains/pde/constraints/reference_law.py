"""A Gaussian reference law of fields from data: few modes and a rest, and its posterior covariance.

    x_0 ~ N(mu, U diag(c) U^T + rho (1 - U U^T))

with the ``r`` leading principal modes ``U`` of the data, their variances ``c``, and for each direction of the rest the
mean variance ``rho`` that is left. Given ``x_t = alpha x_0 + sigma eps``, and with ``s(c) = sigma^2 c /
(alpha^2 c + sigma^2)``,

    Cov[x_0 | x_t] = U s(c) U^T + s(rho) (1 - U U^T)

is the metric in which constraints are imposed: directions that the data do not have are hardly moved. For Gaussian data
it is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.process.schedule import Schedule
from scidiff.sample.model import Evaluation
from scidiff.sample.state import RunState

__all__ = ["ReferenceLaw"]

_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class ReferenceLaw:
    """The reference, and the covariance of its posterior as a metric of constraints.

    Parameters
    ----------
    mean
        ``mu``, shape of an event.
    modes
        ``U^T``, orthonormal rows, shape ``(modes, size)``.
    variances
        ``c``, shape ``(modes,)``.
    rest
        ``rho``.
    """

    mean: Tensor
    modes: Tensor
    variances: Tensor
    rest: float
    gradient: ClassVar[bool] = False
    exact_for: ClassVar[str] = "Gaussian data of this covariance"
    citation: ClassVar[str] = "derived here from the Wiener filter"

    def __post_init__(self) -> None:
        size = self.mean.numel()
        if tuple(self.modes.shape) != (len(self.variances), size) or len(self.modes) >= size:
            raise ShapeError(
                f"{tuple(self.modes.shape)} modes and {len(self.variances)} variances came for fields of {size} sites; "
                "expected (modes, sites) with fewer modes than sites"
            )
        if not bool((self.variances >= 0).all()) or not self.rest >= 0:
            raise ConfigError("a variance is negative; expected numbers >= 0")

    @classmethod
    def fit(cls, data: Tensor, modes: int, least: float = 1e-10) -> ReferenceLaw:
        """Fit to fields.

        Parameters
        ----------
        data
            Fields, shape ``(count, *event)``, more than `modes` of them.
        modes
            Number of modes.
        least
            Least variance of the rest, as a share of the mean variance of a site: it keeps the metric regular.
        """
        flat = data.double().flatten(1)
        mean = flat.mean(0)
        _, values, vectors = torch.linalg.svd(flat - mean, full_matrices=False)
        variances = values**2 / (len(flat) - 1)
        if modes > len(variances):
            raise ConfigError(f"{modes} modes of {len(flat)} fields were asked for; expected fewer than fields")
        left = float(variances[modes:].sum()) / (flat.shape[1] - modes)
        rest = max(left, least * float(variances.sum()) / flat.shape[1])
        return cls(mean.reshape(data.shape[1:]), vectors[:modes].contiguous(), variances[:modes], rest)

    def posterior(self, schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
        """``s(c)`` and ``s(rho)`` at times of shape ``(batch,)``: shapes ``(batch, modes)`` and ``(batch, 1)``."""
        a2, s2 = (level(t).unsqueeze(1) ** 2 for level in (schedule.alpha, schedule.sigma))
        c, rho = self.variances.to(t.device), torch.tensor([self.rest], dtype=torch.float64, device=t.device)
        return tuple(s2 * v / (a2 * v + s2).clamp_min(_TINY) for v in (c, rho))  # type: ignore[return-value]

    def coefficients(self, fields: Tensor) -> Tensor:
        """``U^T (x - mu)``, shape ``(count, modes)``."""
        return (fields.double() - self.mean).flatten(1) @ self.modes.T

    def __call__(self, state: RunState, evaluation: Evaluation) -> Callable[[Tensor], Tensor]:
        """``v -> Cov[x_0 | x_t] v``; one time for each sample."""
        t = state.t.flatten(1)
        if bool((t != t[:, :1]).any()):
            raise ShapeError("sites of their own times came; a metric of modes takes one time for each sample")
        inner, outer = self.posterior(evaluation.model.process.schedule, t[:, 0])
        return lambda v: _blend(self.modes, v.double(), inner, outer)

    def action(self, v: Tensor) -> Tensor:
        """``v -> Cov[x_0] v``."""
        return _blend(self.modes, v.double(), self.variances, torch.tensor(self.rest, dtype=torch.float64))


def _blend(modes: Tensor, v: Tensor, inner: Tensor | Sequence[float], outer: Tensor) -> Tensor:
    """``U inner U^T v + outer (1 - U U^T) v``."""
    flat, basis = v.flatten(1), modes.to(v)
    return ((((flat @ basis.T) * (inner - outer)) @ basis) + outer * flat).reshape(v.shape)
