"""Losses of flow maps, on linear and on curved spaces alike.

Every loss is the square of a *defect* ``w`` of the map ``X_{t,s}(x) = exp_x((s - t) v(x, t, s))``, a tangent vector at
``X = X_{t,s}(x)`` that vanishes for the exact map. With ``D`` the derivative of ``log_X`` of a moving point,

    Lagrangian (LSD)   w = D_s X_{t,s}(x) - b_s(X)                                     b_s held fixed
    Eulerian (ESD)     w = D_t X_{t,s}(x_t) along dx_t/dt = b_t
    MeanFlow           the same w, held fixed, in the target  v + P w  of  v
    semigroup (PSD)    w = log_X(X_{u,s}(X_{t,u}(x))) / (s - t),  t > u > s, held fixed, in the target  v + P w
    consistency        the same with X_{t,u} replaced by a step of the teacher

``P`` carries ``w`` in parallel from ``X`` to ``x``. In R^n, where ``D_t X = b - v + (s - t) dv/dt``, the target of
MeanFlow is ``b + (s - t) dv/dt``, as published, and that of the semigroup the mean of the two velocities weighted with
their times. Derivatives are forward ones (`torch.func.jvp`).

The velocity ``b`` is that of a *teacher*, or, without one, the map's own, ``v(x, t, t)`` held fixed, which is trained
at the same time by flow matching; MeanFlow then takes the conditional velocity of the pair (datum, state), in which its
target is linear. Consistency models are the case ``s = 0``, see `scidiff.train.time_pairs.DataPairs`: with it, MeanFlow
is their continuous-time form [4]_.

References
----------
.. [1] N. M. Boffi et al., arXiv:2505.18825 (LSD, ESD, PSD)
.. [2] Z. Geng et al., "Mean Flows for One-step Generative Modeling", arXiv:2505.13447
.. [3] K. Frans et al., "One Step Diffusion via Shortcut Models", arXiv:2410.12557
.. [4] Y. Song et al., "Consistency Models", arXiv:2303.01469; C. Lu, Y. Song, arXiv:2410.11081
.. [5] O. Davis et al., arXiv:2510.21608 (curved spaces; the targets carried in parallel are ours)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.denoise.flow_map import FlowMap
from scidiff.errors import ConfigError
from scidiff.process.straight import between, carry, displacement, move, stretch, velocity
from scidiff.random import Source
from scidiff.spaces import Manifold, Space

__all__ = ["Consistency", "Eulerian", "FlowMapLoss", "Lagrangian", "MeanFlow", "PathBatch", "Semigroup"]


@dataclass(frozen=True, eq=False)
class PathBatch:
    """What a loss sees: states on their paths, and where the map is to bring them.

    Parameters
    ----------
    x0
        Data, shape ``(batch, *event)``.
    x
        States at ``t``, drawn given the data.
    t, s
        Times, float64, shape ``(batch,)``, ``s < t``.
    noise
        Source of what else is drawn.
    condition
        Handed to network and teacher as it is.
    """

    x0: Tensor
    x: Tensor
    t: Tensor
    s: Tensor
    noise: Source
    condition: Any = None


@dataclass(frozen=True, eq=False)
class FlowMapLoss(ABC):
    """A loss of a flow map, with or without a teacher.

    Parameters
    ----------
    teacher
        Denoiser of the same process, exact or trained before; without one the map teaches itself.
    """

    teacher: Denoiser | None = None

    @abstractmethod
    def __call__(self, flow: FlowMap, batch: PathBatch) -> Tensor:
        """Squared defect of every sample, shape ``(batch,)``."""

    def diagonal(self, flow: FlowMap, batch: PathBatch) -> Tensor:
        """Squared error of ``v(x, t, t)`` against the velocity of the teacher, or of the datum: flow matching."""
        target = self.conditional(flow, batch) if self.teacher is None else self.marginal(flow, batch.x, batch.t, batch)
        gap = flow.velocity(batch.x, batch.t, batch.t, batch.condition) - target
        return _square(flow.process.space, batch.x, gap)

    def marginal(self, flow: FlowMap, x: Tensor, t: Tensor, batch: PathBatch) -> Tensor:
        """Velocity ``b_t(x)`` of the teacher, or the map's own; held fixed."""
        with torch.no_grad():
            if self.teacher is None:
                return flow.velocity(x, t, t, batch.condition)
            return velocity(flow.process, _taught(self.teacher, flow, x, t, batch.condition), x, t)

    def conditional(self, flow: FlowMap, batch: PathBatch) -> Tensor:
        """Velocity of the path of the datum at the state, whose mean given the state is ``b_t(x)``; held fixed."""
        with torch.no_grad():
            m = flow.process.target(batch.x0, batch.x, batch.t)
            return velocity(flow.process, m, batch.x, batch.t)


class Lagrangian(FlowMapLoss):
    """Lagrangian (self-)distillation, LSD: the end point moves with the flow. One forward derivative in ``s``.

    References
    ----------
    .. [1] N. M. Boffi et al., arXiv:2505.18825
    """

    def __call__(self, flow: FlowMap, batch: PathBatch) -> Tensor:
        """Squared defect of every sample; the end point inside ``b_s`` is held fixed.

        Raises
        ------
        ConfigError
            If some ``s`` is 0, where the velocity is a ratio of vanishing terms.
        """
        if bool((batch.s == 0).any()):
            raise ConfigError("the Lagrangian loss came with s = 0, where b is not known; use TimePairs, whose s > 0")

        def moving(s: Tensor) -> Tensor:
            return flow(batch.x, batch.t, s, batch.condition)

        end, speed = _speed(flow.process.space, moving, batch.s)
        return _square(flow.process.space, end, speed - self.marginal(flow, end, batch.s, batch))


class Eulerian(FlowMapLoss):
    """Eulerian (self-)distillation, ESD: the end point stays while the start moves with the flow.

    The gradient goes through the derivative of the map with respect to the state, which makes it stiff; `MeanFlow` has
    the same zero without it.

    References
    ----------
    .. [1] N. M. Boffi et al., arXiv:2505.18825
    """

    def __call__(self, flow: FlowMap, batch: PathBatch) -> Tensor:
        """Squared defect of every sample."""
        b = self.marginal(flow, batch.x, batch.t, batch)
        end, defect = _drift_of_end(flow, batch, b)
        return _square(flow.process.space, end, defect)


class MeanFlow(FlowMapLoss):
    """MeanFlow: the Eulerian defect in a target that is held fixed; without a teacher, by conditional velocities.

    References
    ----------
    .. [1] Z. Geng et al., arXiv:2505.13447
    """

    def __call__(self, flow: FlowMap, batch: PathBatch) -> Tensor:
        """Squared error of ``v(x, t, s)`` against its target, of every sample."""
        if self.teacher is None:
            b = self.conditional(flow, batch)
        else:
            b = self.marginal(flow, batch.x, batch.t, batch)
        with torch.no_grad():
            end, defect = _drift_of_end(flow, batch, b)
        return _to_target(flow, batch, end, defect)


class Semigroup(FlowMapLoss):
    """Progressive (self-)distillation, PSD, and shortcut models: two jumps make one. No derivative is taken.

    References
    ----------
    .. [1] N. M. Boffi et al., arXiv:2505.18825
    .. [2] K. Frans et al., arXiv:2410.12557
    """

    def __call__(self, flow: FlowMap, batch: PathBatch) -> Tensor:
        """Squared error of ``v(x, t, s)`` against its target, of every sample."""
        t, s, c = batch.t, batch.s, batch.condition
        u = s + (t - s) * batch.noise.uniform((), step=0, stream="between")
        with torch.no_grad():
            end = flow(batch.x, t, s, c)
            there = flow(flow(batch.x, t, u, c), u, s, c)
            defect = between(flow.process.space, end, there) / stretch(flow.process, s - t, batch.x)
        return _to_target(flow, batch, end, defect)


@dataclass(frozen=True, eq=False)
class Consistency(FlowMapLoss):
    """Consistency distillation: the end point of a state is that of the teacher's next state, one short step on.

    Parameters
    ----------
    teacher
        Needed.
    step
        Step of the teacher, by DDIM, as a share of ``t - s``.

    References
    ----------
    .. [1] Y. Song et al., arXiv:2303.01469
    """

    step: float = 0.05

    def __post_init__(self) -> None:
        if self.teacher is None or not 0 < self.step < 1:
            raise ConfigError(
                f"teacher {self.teacher} and step {self.step} came; expected a denoiser and a share in (0, 1); "
                "MeanFlow with DataPairs needs no teacher"
            )

    def __call__(self, flow: FlowMap, batch: PathBatch) -> Tensor:
        """Squared error of ``v(x, t, s)`` against its target, divided by ``step^2``: of the size of a velocity."""
        process, t, s, c = flow.process, batch.t, batch.s, batch.condition
        u = t + self.step * (s - t)
        with torch.no_grad():
            m = _taught(self.teacher, flow, batch.x, t, c)
            near = move(process.space, batch.x, displacement(process, m, batch.x, t, u))
            end, there = flow(batch.x, t, s, c), flow(near, u, s, c)
            defect = between(process.space, end, there) / stretch(process, self.step * (s - t), batch.x)
        return _to_target(flow, batch, end, defect)


def _taught(teacher: Denoiser, flow: FlowMap, x: Tensor, t: Tensor, condition: Any) -> Tensor:
    """Prediction of the teacher, of the kind of the process."""
    return flow.process.convert(teacher(x, t, condition), teacher.kind, x, t)


def _drift_of_end(flow: FlowMap, batch: PathBatch, b: Tensor) -> tuple[Tensor, Tensor]:
    """End point, and its velocity while the start moves with velocity ``b``."""

    def moving(t: Tensor) -> Tensor:
        x = move(flow.process.space, batch.x, stretch(flow.process, t - batch.t, batch.x) * b)
        return flow(x, t, batch.s, batch.condition)

    return _speed(flow.process.space, moving, batch.t)


def _speed(space: Space, moving: Callable[[Tensor], Tensor], time: Tensor) -> tuple[Tensor, Tensor]:
    """Where a moving point is, held fixed, and its velocity in the frame of the space, by one forward derivative."""

    def seen(value: Tensor) -> tuple[Tensor, Tensor]:
        point = moving(value)
        return between(space, point.detach(), point), point

    out = torch.func.jvp(seen, (time,), (torch.ones_like(time),), has_aux=True)
    _, speed, point = cast(tuple[Tensor, Tensor, Tensor], out)
    return point.detach(), speed


def _to_target(flow: FlowMap, batch: PathBatch, end: Tensor, defect: Tensor) -> Tensor:
    """Squared distance of ``v`` from ``v + P defect``, where the target is held fixed."""
    v = flow.velocity(batch.x, batch.t, batch.s, batch.condition)
    target = v.detach() + carry(flow.process.space, end, batch.x, defect)
    return _square(flow.process.space, batch.x, v - target)


def _square(space: Space, x: Tensor, w: Tensor) -> Tensor:
    """Squared length of a tangent vector, summed over sites, shape ``(batch,)``."""
    squared = space.inner(x, w, w) if isinstance(space, Manifold) else w.square()
    return squared.reshape(len(w), -1).sum(1)
