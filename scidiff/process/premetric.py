"""Riemannian flow matching along a premetric, for surfaces whose shortest paths have no formula.

With ``kbar`` the share of the way that remains, the path from a datum ``x_0`` to a draw ``x_1`` of the prior solves

    dx_t/dt = (kbar'/kbar) d(x_t, x_0) grad d / |grad d|^2,      so that  d(x_t, x_0) = kbar(t) d(x_1, x_0)

for any premetric ``d`` without a minimum but the goal [1]_, section 3.3. With ``log_x(x_0) = -d grad d / |grad d|^2``
this is the velocity ``-(kbar'/kbar) log_(x_t)(x_0)`` of a geodesic path: the network predicts the posterior mean of the
same statistic, and the marginal flow is the same multiple of it.

The path has no closed form and is followed on the surface, from the prior to time ``t``. What is exact is the fall of
the premetric; the place is that of straight pieces inside the triangles.

References
----------
.. [1] R. T. Q. Chen and Y. Lipman, "Flow Matching on General Geometries", arXiv:2302.03660
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.geodesic import GeodesicFlow, point_time
from scidiff.spaces.surface import MeshSurface

__all__ = ["PremetricFlow"]


@dataclass(frozen=True)
class PremetricFlow(GeodesicFlow):
    """Flow matching on a mesh: the premetric to the datum falls as the clock says; rule `Retracted` of order 1.

    Parameters
    ----------
    space
        A `MeshSurface`, or a power of one.
    base, clock, weight
        As for `GeodesicFlow`.
    pieces
        A straight piece of a path lets the premetric fall by this part of itself at most.

    Raises
    ------
    ConfigError
        If the space is another one.
    """

    pieces: int = 32

    def __post_init__(self) -> None:
        if not isinstance(self.site, MeshSurface):
            raise ConfigError(
                f"the space is {self.space!r}; expected a MeshSurface: others have geodesics, GeodesicFlow"
            )
        if self.pieces < 2:
            raise ConfigError(f"pieces is {self.pieces}; expected at least 2")

    def path(self, x0: Tensor, x1: Tensor, t: Tensor | float) -> Tensor:
        """Point at time ``t`` of the path from ``x_0`` to ``x_1``, in the dtype of ``x_0``."""
        surface, end = self.site, x0.double()
        kbar = self.clock.remaining(point_time(t, x0, surface))
        return surface.descend(x1.to(end), end, kbar, pieces=self.pieces).to(x0.dtype)
