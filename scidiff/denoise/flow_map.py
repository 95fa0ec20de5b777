"""Flow maps: a network of two times that goes from ``t`` to ``s`` in one call.

The deterministic flow of a process carries ``x`` at time ``t`` to ``X_{t,s}(x)`` at time ``s``. The map is written with
the mean velocity ``v`` along the way [1]_,

    X_{t,s}(x) = exp_x((s - t) v(x, t, s)),      v(x, t, t) = b_t(x),      X_{t,t} = id

so that the identity holds by construction and the diagonal is the velocity ``b`` of flow matching. The exact map obeys

    d/ds X_{t,s}(x) = b_s(X_{t,s}(x))            Lagrangian
    d/dt X_{t,s}(x_t) = 0  along  dx_t/dt = b_t  Eulerian
    X_{u,s} o X_{t,u} = X_{t,s}                  semigroup

each of which is a loss in `scidiff.train.flow_maps`.

For the loop of this package the map is a denoiser: it predicts the ``m`` whose straight jump ends at ``X_{t,s}(x)``,
which for Gaussian noise and ``s = 0`` is the end point itself, and for ``s -> t`` the denoised mean.

References
----------
.. [1] N. M. Boffi, M. S. Albergo, E. Vanden-Eijnden, "How to build a consistency model: Learning flow maps via
   self-distillation", arXiv:2505.18825
.. [2] O. Davis et al., "Generalised Flow Maps for Few-Step Generative Modelling on Riemannian Manifolds",
   arXiv:2510.21608
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError
from scidiff.process.base import Process
from scidiff.process.straight import move, prediction, stretch, tangent

__all__ = ["FlowMap"]

TwoTime = Callable[[Tensor, Tensor, Tensor, Any], Tensor]


@dataclass(frozen=True, eq=False)
class FlowMap:
    """The flow map of a process.

    Parameters
    ----------
    network
        Maps ``(x, t, s, condition)`` to the mean velocity ``v``, with the axes of a displacement at ``x``; the times
        are float64, one per sample or per site. What leads out of the space is projected out.
    process
        A `GaussianProcess` (one-hot flows included), a `GeodesicFlow` or a `HeatProcess`.
    """

    network: TwoTime
    process: Process

    def velocity(self, x: Tensor, t: Tensor, s: Tensor, condition: Any = None) -> Tensor:
        """Mean velocity ``v(x, t, s)``, a displacement at ``x`` per unit of the clock, in the dtype of ``x``."""
        return tangent(self.process.space, x, self.network(x, t, s, condition).to(x.dtype))

    def __call__(self, x: Tensor, t: Tensor, s: Tensor, condition: Any = None) -> Tensor:
        """Go from ``t`` to ``s``: ``X_{t,s}(x)``.

        Parameters
        ----------
        x
            State at ``t``, shape ``(batch, *event)``.
        t, s
            Times, one per sample or per site, float64.
        condition
            Handed to the network as it is.
        """
        u = stretch(self.process, s - t, x) * self.velocity(x, t, s, condition)
        return move(self.process.space, x, u)

    def lookahead(self, x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        """End of the path, ``X_{t,0}(x)``, in one call and differentiable: what guidance by a reward needs."""
        return self(x, t, torch.zeros_like(t), condition)

    def denoiser(self, grid: Tensor) -> Denoiser:
        """Bind the map to a grid, as a denoiser for `scidiff.sample.run` with the rule `Jump`.

        Parameters
        ----------
        grid
            Times of the plan, float64, shape ``(steps + 1,)``, falling or rising; from any time the next node of the
            grid is where the map goes.

        Returns
        -------
        Denoiser
            Of the kind of the process. At the last node and beyond it is the denoiser of the flow itself.

        Raises
        ------
        ConfigError
            If the times are not float64, or do not go one way.
        """
        gaps = grid.diff()
        if grid.ndim != 1 or grid.dtype != torch.float64 or not (bool((gaps < 0).all()) or bool((gaps > 0).all())):
            raise ConfigError(f"grid is {grid}; expected a float64 vector of times that strictly fall, or rise")
        nodes = grid.sort().values
        falls = bool((gaps < 0).all())

        def function(x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
            s = _next(nodes.to(t.device), t, falls)
            v = self.velocity(x, t, s, condition)
            gap = stretch(self.process, s - t, x)
            return prediction(self.process, torch.where(gap == 0, v, gap * v), x, t, s)

        return Denoiser(function, self.process.kind)


def _next(nodes: Tensor, t: Tensor, falls: bool) -> Tensor:
    """Next node below each time, or above; the time itself where there is none. A clean site stays."""
    if falls:
        below = torch.searchsorted(nodes, t.contiguous()) - 1
        return torch.where(below >= 0, nodes[below.clamp_min(0)], t)
    above = torch.searchsorted(nodes, t.contiguous(), right=True)
    return torch.where((above < len(nodes)) & (t > 0), nodes[above.clamp_max(len(nodes) - 1)], t)
