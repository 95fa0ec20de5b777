r"""Obstacles as a flow with a given mean sees them.

With ``P`` the projection of `scidiff.domains.pde.leray` and ``e_a`` the uniform flow along an axis, the flows ``P e_a``
span all that a mean flow needs: ``<e_a, w> = <P e_a, w>`` for every ``w`` without divergence. So

.. math::
    w = b + w', \qquad b = \sum_a c_a P e_a, \qquad P_0 w = P w - Q Q^T P w,

where ``b`` is the potential flow around the obstacles with the given mean, and ``P_0``, with ``Q`` an orthonormal basis
of the ``P e_a``, is the orthogonal projection onto flows without divergence, without flux through walls and without
mean. An axis that the obstacles close has ``P e_a = 0`` up to round-off and no mean flow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from .grids import MacGrid
from .leray import MacLeray

__all__ = ["CHANNELS", "MEAN", "FlowGeometry"]

MEAN = (1.0, 0.0)
"""Mean velocity of the flows, over the whole box."""

CHANNELS = 6
"""Channels of the obstacles."""

_DECAY = 4.0
_CLOSED = 1e-9


@dataclass(frozen=True, eq=False)
class FlowGeometry:
    """Projection, mean flow and network channels of one set of obstacles.

    Parameters
    ----------
    operator
        Projection onto flows without divergence.
    """

    operator: MacLeray

    @classmethod
    def around(cls, obstacles: np.ndarray, *, rounds: int = 2) -> FlowGeometry:
        """Geometry of a mask of solid cells on the unit box; see `MacLeray` for the rounds."""
        return cls(MacLeray(MacGrid(obstacles), rounds))

    @property
    def grid(self) -> MacGrid:
        """The grid."""
        return self.operator.grid

    @cached_property
    def _uniform(self) -> np.ndarray:
        """``P e_a`` of the axes that are open, shape ``(axes, 2, nx, ny)``."""
        exact = self.operator if self.operator.rounds > 1 else MacLeray(self.grid)
        axes = np.zeros((2, 2, *self.grid.shape))
        axes[0, 0], axes[1, 1] = 1.0, 1.0
        flows = np.stack(exact.project(axes[:, 0], axes[:, 1]), 1)
        return flows[[float(flows[a, a].mean()) > _CLOSED for a in (0, 1)]]

    @cached_property
    def _basis(self) -> np.ndarray:
        """``Q``, shape ``(2 nx ny, axes)``; a channel that winds around both axes carries one flow, not two."""
        size = 2 * self.grid.fluid.size
        _, singular, rows = np.linalg.svd(self._uniform.reshape(-1, size), full_matrices=False)
        return (rows[singular > _CLOSED * np.sqrt(size)] * self.grid.free.ravel()).T

    @cached_property
    def base(self) -> np.ndarray:
        """Potential flow ``b`` of the mean nearest to `MEAN` that is possible, float64, shape ``(2, nx, ny)``."""
        means = self._uniform.mean((-2, -1))
        c = np.linalg.lstsq(means.T, np.array(MEAN), rcond=_CLOSED)[0]
        return np.einsum("a,acij->cij", c, self._uniform)

    def project(self, w: np.ndarray) -> np.ndarray:
        """Return ``P_0 w``, float64, shape of ``w``: ``(batch, 2, nx, ny)``."""
        flat = np.stack(self.operator.project(w[:, 0], w[:, 1]), 1).reshape(len(w), -1)
        return (flat - (flat @ self._basis) @ self._basis.T).reshape(w.shape)

    @cached_property
    def channels(self) -> Tensor:
        """What a network sees, float32, shape ``(CHANNELS, nx, ny)``.

        Fluid cells, free faces of both directions, ``exp(-d / 4)`` with ``d`` the distance to the nearest solid cell in
        cells, and the two components of ``b``.
        """
        rows, columns = self.grid.shape
        far = np.asarray(distance_transform_edt(np.tile(self.grid.fluid, (3, 3))))
        near = (
            np.exp(-far[rows : 2 * rows, columns : 2 * columns] / _DECAY)
            if self.grid.obstacles.any()
            else np.zeros(self.grid.shape)
        )
        return torch.from_numpy(np.stack([self.grid.fluid, *self.grid.free, near, *self.base]).astype(np.float32))
