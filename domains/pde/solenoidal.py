r"""Flows without divergence through solid walls, as a linear space with a noise of its own.

A batch of flows ``u`` has one grid per row, each with its own solid cells, and

    V = { u : D u = 0 in every fluid cell, u = 0 on every face of a solid cell, mean u = 0 }.

`Solenoidal.project` is the orthogonal projection ``P`` onto ``V``, row by row; a mean
flow is a given, and is added at the end (`scidiff.domains.pde.flow_geometry`). The noise of `FlowProcess` is

    eps = P F z,    z white,    (F z)^(k) = f(|k|) z^(k)

with one radial profile ``f`` for all obstacles. Everything that a sampler adds up, ``x_t = alpha x_0 + sigma eps`` and
every combination of states and predictions, then stays in ``V``: the divergence is that of round-off, with any network
and at any number of steps. If ``f`` is the spectrum of the data and ``alpha^2 + sigma^2 = 1``, Gaussian data would have
a law that does not change with time, and a flow map that is the identity: what a network has to learn is how far the
data are from Gaussian.

Projecting the noise as well as the mean follows [1]_; a Gaussian reference measure in ``V`` follows [2]_, with a
spectrum taken from the data and walls added here.

References
----------
.. [1] Trupin, Ghosh, Jangid, "Learning Flow Distributions via Projection-Constrained Diffusion on Manifolds",
   arXiv:2602.17773
.. [2] Li et al., "Project and Generate", arXiv:2603.24500
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import ShapeError
from scidiff.process.gaussian import GaussianProcess
from scidiff.random import Source
from scidiff.spaces.euclidean import Euclidean

from .flow_geometry import FlowGeometry
from .symmetry import move_flow, move_flow_back

__all__ = ["FlowProcess", "Profile", "Solenoidal", "colour"]


class _Projection(torch.autograd.Function):
    """Row-wise orthogonal projection; it is its own adjoint."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, space: Solenoidal) -> Tensor:
        ctx.space = space
        return space.apply(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return (grads[0] if ctx.space.inside else ctx.space.apply(grads[0])), None


@dataclass(frozen=True, eq=False)
class Solenoidal(Euclidean):
    """Velocities on the faces of grids with obstacles.

    Parameters
    ----------
    geometries
        Obstacles of each row of the batch; rows that share obstacles share the object.
    moves
        Move of each row against its obstacles, shape ``(batch, 3)``, see `scidiff.domains.pde.symmetry`.
    inside
        Promise that gradients that come back to the projection lie in the space already, as those of a squared
        distance from a point of the space do; saves one solve for each.
    shape
        Event shape: components, rows, columns.
    """

    geometries: Sequence[FlowGeometry] = ()
    moves: np.ndarray | None = None
    inside: bool = False
    shape: tuple[int | None, ...] = (2, None, None)
    _groups: dict[int, list[int]] = field(init=False, repr=False)

    def __init__(
        self,
        geometries: Sequence[FlowGeometry],
        moves: np.ndarray | None = None,
        *,
        inside: bool = False,
        shape: tuple[int | None, ...] = (2, None, None),
    ) -> None:
        groups: dict[int, list[int]] = {}
        for row, geometry in enumerate(geometries):
            groups.setdefault(id(geometry), []).append(row)
        members = {
            "geometries": tuple(geometries),
            "moves": moves,
            "inside": inside,
            "shape": shape,
            "_groups": groups,
        }
        for name, value in members.items():
            object.__setattr__(self, name, value)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def project(self, x: Tensor) -> Tensor:
        """Nearest flow without divergence and without flux through walls, in the dtype of ``x``.

        Raises
        ------
        ShapeError
            If the batch has another number of rows.
        """
        return _Projection.apply(x, self)

    def apply(self, x: Tensor) -> Tensor:
        """Project without a graph."""
        if len(x) != len(self.geometries):
            count = len(self.geometries)
            raise ShapeError(
                f"{len(x)} flows came for {count} sets of obstacles; use the space of this batch, see take"
            )
        fields = x.detach().double().cpu().numpy()
        out = np.empty_like(fields)
        for rows in self._groups.values():
            flow = self.geometries[rows[0]].project(self._moved(fields[rows], rows, move_flow_back))
            out[rows] = self._moved(flow, rows, move_flow)
        return torch.from_numpy(out).to(x)

    def take(self, rows: Sequence[int] | np.ndarray | slice) -> Solenoidal:
        """Space of the chosen rows of the batch."""
        index = np.arange(len(self.geometries))[rows]
        moves = None if self.moves is None else self.moves[index]
        return Solenoidal([self.geometries[k] for k in index], moves, inside=self.inside, shape=self.shape)

    def _moved(self, fields: np.ndarray, rows: list[int], move: Callable[..., np.ndarray]) -> np.ndarray:
        if self.moves is None:
            return fields
        return np.stack([move(flow, by) for flow, by in zip(fields, self.moves[rows], strict=True)])


@dataclass(frozen=True)
class Profile:
    """Radial profile of a spectrum.

    Parameters
    ----------
    values
        Amplitude at the wave numbers 0, 1, 2, ... (periods per box); linear in between, 0 beyond the last.
    """

    values: tuple[float, ...]

    def on(self, rows: int, columns: int) -> np.ndarray:
        """Amplitudes on the half spectrum of a real field, shape ``(rows, columns // 2 + 1)``."""
        k = np.hypot(np.fft.fftfreq(rows, 1 / rows)[:, None], np.fft.rfftfreq(columns, 1 / columns)[None, :])
        return np.interp(k, np.arange(len(self.values)), self.values, right=0.0)


def colour(z: Tensor, profile: Profile) -> Tensor:
    """Give white noise on a periodic box the radial profile of a spectrum.

    Parameters
    ----------
    z
        White noise, shape ``(..., rows, columns)``.
    profile
        Amplitudes.
    """
    gain = torch.from_numpy(profile.on(*z.shape[-2:])).to(z)
    return torch.fft.irfft2(torch.fft.rfft2(z) * gain, s=z.shape[-2:])


@dataclass(frozen=True, kw_only=True)
class FlowProcess(GaussianProcess):
    """Gaussian noising of flows, with coloured noise that obeys the obstacles of each row.

    Parameters
    ----------
    space
        `Solenoidal` space of the batch.
    schedule, weight
        As for `GaussianProcess`.
    profile
        Spectrum of the noise.
    """

    profile: Profile

    def eps(self, noise: Source, shape: Sequence[int], *, step: int, stream: str) -> Tensor:
        """Draw the noise ``P F z``, float64, shape ``(batch, *shape)``."""
        return self.space.project(colour(noise.normal(tuple(shape), step=step, stream=stream), self.profile))

    def take(self, rows: Sequence[int] | np.ndarray | slice) -> FlowProcess:
        """Process of the chosen rows of the batch."""
        return replace(self, space=self.space.take(rows))
