"""Processes whose network predicts the tangent to the data, ``m(x, t) = E[log_x(x_0) | x_t = x]``.

Geodesic paths join a datum ``x_0`` and a draw ``x_1`` of the prior; with ``kbar`` the share of the way that remains,

    x_t = exp_(x_0)(kbar(t) log_(x_0)(x_1)),      dx_t/dt = -(kbar'/kbar) log_(x_t)(x_0),

the second line because a minimising geodesic, followed back, is one. The velocity of the marginal law is the posterior
mean of the conditional one, hence ``-(kbar'/kbar) m``: Riemannian flow matching [1]_ in terms of ``m``. In R^n it is
the straight path, with ``m`` the denoised mean less ``x``.

Sites are the points of the innermost manifold: times of `Power(SO3(), (n,))` are one per rotation. A time may come as
one number, one per sample, one per point, or in the full shape of the state.

References
----------
.. [1] R. T. Q. Chen and Y. Lipman, "Flow Matching on General Geometries", arXiv:2302.03660
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.process.base import Kind, Process
from scidiff.process.clocks import PathClock, PowerClock
from scidiff.random import Source
from scidiff.spaces import Manifold, Power, Scaled

__all__ = ["GeodesicFlow", "NormalAround", "TangentProcess", "along", "flow_weight", "one_point", "point_time"]

Base = Callable[..., Tensor]
TangentWeight = Callable[[PathClock, Tensor], Tensor]


def one_point(space: Manifold) -> Manifold:
    """Innermost manifold of a power, with its scale: the space of one site."""
    if isinstance(space, Power):
        return one_point(space.factor)
    if isinstance(space, Scaled):
        return Scaled(one_point(space.space), space.log_scale)
    return space


def point_time(t: Tensor | float, x: Tensor, site: Manifold) -> Tensor:
    """Bring a time to float64 and to one value per point, the shape of the axes before the points.

    Raises
    ------
    ShapeError
        If coordinates of one point have different times, or the shape fits neither points nor state.
    """
    t = torch.as_tensor(t, dtype=torch.float64, device=x.device)
    lead = site.lead(x)
    if t.ndim == x.ndim:
        t = t.flatten(len(lead))
        if bool((t != t[..., :1]).any()):
            raise ShapeError("coordinates of one point came with different times; a point moves as a whole")
        t = t[..., 0]
    elif t.ndim == 1:
        t = t.reshape(-1, *(1,) * (len(lead) - 1))
    elif t.ndim not in (0, len(lead)):
        raise ShapeError(f"t has shape {tuple(t.shape)}; expected one number, (batch,), {lead} or {tuple(x.shape)}")
    return t.expand(lead)


def along(value: Tensor, site: Manifold) -> Tensor:
    """Give a number per point the axes of a tangent vector."""
    return value.reshape(*value.shape, *(1,) * len(site.tangent_shape))


def flow_weight(clock: PathClock, t: Tensor) -> Tensor:
    """Weight ``pace^-2`` of the squared error of ``m``: the squared error of the velocity, as published.

    Parameters
    ----------
    clock
        Clock of the path.
    t
        Time.
    """
    return clock.pace(t) ** -2


@dataclass(frozen=True, eq=False)
class NormalAround:
    """Base law of spaces without a uniform one: ``exp_centre(std xi)``, a wrapped normal.

    Parameters
    ----------
    space
        The manifold.
    centre
        One point, broadcast over batch and sites.
    std
        Standard deviation of the tangent vector, in the unit of length of the space.
    """

    space: Manifold
    centre: Tensor
    std: float = 1.0

    def __call__(self, noise: Source, shape: Sequence[int], *, step: int, stream: str) -> Tensor:
        """Draw points, float64, shape ``(len(noise), *shape)``."""
        centre = self.centre.double().expand(len(noise), *shape)
        return self.space.exp(centre, self.std * self.space.random_tangent(centre, noise, step=step, stream=stream))


@dataclass(frozen=True)
class TangentProcess(Process):
    """What processes with ``m = E[log_x(x_0) | x_t]`` share: prior, conversion, target and loss.

    Parameters
    ----------
    space
        A manifold, or a power of one.
    base
        Draws the prior: called with ``(noise, shape, step=, stream=)``. The uniform law of the space by default.
    clock
        Share of the way that remains at each time.
    weight
        Weight of the loss, a function of clock and time.
    """

    space: Manifold
    base: Base | None = None
    clock: PathClock = field(default_factory=PowerClock)
    weight: TangentWeight = flow_weight
    kind = Kind.TANGENT

    @property
    def site(self) -> Manifold:
        """Space of one point."""
        return one_point(self.space)

    def prior(self, noise: Source, shape: Sequence[int], *, stream: str = "prior") -> Tensor:
        """Draw ``x_1``, float64."""
        draw = self.space.uniform if self.base is None else self.base
        return draw(noise, tuple(shape), step=0, stream=stream)

    def convert(self, prediction: Tensor, kind: Kind, x_t: Tensor, t: Tensor | float) -> Tensor:
        """Bring a tangent vector or a velocity ``dx_t/dt`` to the tangent ``m``; what is not tangent is projected out.

        Parameters
        ----------
        prediction
            Output of a network, shape ``(batch, *sites, *tangent_shape)``.
        kind
            TANGENT or V.
        x_t, t
            State and time that the network saw.

        Raises
        ------
        ConfigError
            If the kind is another one.
        ShapeError
            If the prediction has another shape.
        """
        if kind not in (Kind.TANGENT, Kind.V):
            raise ConfigError(f"kind {kind} has no meaning on a manifold; expected TANGENT or V")
        self._check_tangent(prediction, x_t)
        if kind is Kind.V:
            prediction = -along(self.clock.pace(point_time(t, x_t, self.site)), self.site) * prediction
        return self.site.project_tangent(x_t, prediction.to(x_t.dtype))

    def target(self, x0: Tensor, x_t: Tensor, t: Tensor | float, kind: Kind = Kind.TANGENT) -> Tensor:
        """Regression target of a network of kind TANGENT or V; for V every ``t`` must be positive.

        Raises
        ------
        ConfigError
            If the kind is another one, or the velocity is asked for at ``t = 0``.
        """
        m = self.site.log(x_t, x0.to(x_t.dtype))
        if kind is Kind.TANGENT:
            return m
        if kind is not Kind.V:
            raise ConfigError(f"kind {kind} has no meaning on a manifold; expected TANGENT or V")
        pace = self.clock.pace(point_time(t, x_t, self.site))
        if bool((pace == 0).any()):
            raise ConfigError("the velocity was asked for at t = 0, where the state does not determine it; use t > 0")
        return (-m / along(pace, self.site)).to(x_t.dtype)

    def loss(self, m: Tensor, x0: Tensor, x_t: Tensor, t: Tensor | float) -> Tensor:
        """Weighted squared length of ``m - log_(x_t)(x_0)`` in the metric at ``x_t``, one number per point.

        It is 0 where the site is clean.
        """
        self._check_tangent(m, x_t)
        t = point_time(t, x_t, self.site)
        noisy = t > 0
        gap = m - self.target(x0, x_t, t).to(m.dtype)
        square = self.site.inner(x_t.to(m.dtype), gap, gap)
        weight = self.weight(self.clock, torch.where(noisy, t, 1.0))
        return torch.where(noisy, weight * square, 0.0).to(m.dtype)

    def renoise(
        self,
        x_s: Tensor,
        s: Tensor | float,
        t: Tensor | float,
        noise: Source,
        *,
        step: int = 0,
        stream: str = "renoise",
    ) -> Tensor:
        """Draw ``x_t`` given clean sites, ``s = 0``, and keep sites that stay, ``s = t``.

        Raises
        ------
        ConfigError
            If some ``0 < s < t``: the path depends on both ends, and ``x_s`` alone does not determine a law of
            ``x_t``; or if some ``s > t``.
        """
        s, t = (point_time(value, x_s, self.site) for value in (s, t))
        if bool(((s != 0) & (s != t)).any()):
            raise ConfigError(
                "renoise got sites with s > 0 and t != s; a path between two ends has no law of x_t given x_s: "
                "renoise from clean sites, or use a heat kernel, whose noise has no memory"
            )
        drawn = self.noise(x_s, t, noise, step=step, stream=stream)
        stays = (s == t).reshape(*s.shape, *(1,) * len(self.site.shape))
        return torch.where(stays, x_s, drawn)

    def _check_tangent(self, m: Tensor, x: Tensor) -> None:
        want = (*self.site.lead(x), *self.site.tangent_shape)
        if tuple(m.shape) != want:
            raise ShapeError(f"a tangent vector of shape {tuple(m.shape)} came; expected {want} for {self.space!r}")


@dataclass(frozen=True)
class GeodesicFlow(TangentProcess):
    """Riemannian flow matching: points run along geodesics between data and prior; deterministic given both ends.

    Parameters
    ----------
    space, base, clock, weight
        As for `TangentProcess`.

    References
    ----------
    .. [1] R. T. Q. Chen and Y. Lipman, arXiv:2302.03660
    """

    def path(self, x0: Tensor, x1: Tensor, t: Tensor | float) -> Tensor:
        """Point at time ``t`` of the geodesic from ``x_0`` to ``x_1``, in the dtype of ``x_0``.

        With pairs from `scidiff.train.couplings` this is the noising of a training batch.
        """
        start = x0.double()
        kbar = along(self.clock.remaining(point_time(t, x0, self.site)), self.site)
        return self.space.exp(start, kbar * self.space.log(start, x1.to(start))).to(x0.dtype)

    def noise(self, x0: Tensor, t: Tensor | float, noise: Source, *, step: int = 0, stream: str = "noise") -> Tensor:
        """Draw ``x_t`` given ``x_0``: an end from the prior, and the point of the geodesic."""
        self.space.check(x0, "x0")
        draw = self.space.uniform if self.base is None else self.base
        return self.path(x0, draw(noise, tuple(x0.shape[1:]), step=step, stream=stream), t)
