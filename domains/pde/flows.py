"""Snapshots of unsteady flow around random obstacles, simulated: the law that a generative model of flows learns.

One geometry is a random mask on the periodic unit box (`scidiff.domains.pde.obstacles`). A trajectory starts from the
mean flow ``(1, 0)`` with random eddies, ``w = P (U + C psi)``, psi a Gaussian field of spectrum
``(|k|^2 + tau^2)^-alpha`` scaled to a velocity of root mean square 0.5, and follows the Navier-Stokes equations with
no-slip bodies and held mean flow. Snapshots are taken at four times from half a passage of the box to 1.25 passages;
the law is that of a snapshot at one of these times, chosen uniformly. With viscosity 1/250 and bodies of diameter 0.12
to 0.28 the Reynolds number of a body is 30 to 70 on the mean flow: wakes, separation and vortices, resolved by second
order on 64 cells to a few per cent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scidiff.errors import ConfigError
from scidiff.random import Noise, Source

from .grids import MacGrid, curl
from .laws import GaussianField, Periodic
from .obstacles import random_obstacles
from .solvers.mac_flow import MacFlow

__all__ = ["FlowLaw", "Flows", "flow_batches", "flow_snapshots", "start_flow"]


@dataclass(frozen=True)
class FlowLaw:
    """Parameters of the law.

    Parameters
    ----------
    shape
        Number of cells.
    viscosity
        Kinematic viscosity; the box has length 1 along x, and the mean velocity is 1.
    times
        Times of the snapshots, ascending, in passages of the box.
    eddies
        Root mean square of the velocity of the first eddies.
    most
        Largest number of bodies.
    trajectories
        Trajectories of each geometry.
    """

    shape: tuple[int, int] = (64, 64)
    viscosity: float = 1 / 250
    times: tuple[float, ...] = (0.5, 0.75, 1.0, 1.25)
    eddies: float = 0.5
    most: int = 3
    trajectories: int = 4

    def __post_init__(self) -> None:
        if not self.times or min(np.diff([0.0, *self.times])) <= 0:
            raise ConfigError(f"times are {self.times}; expected ascending positive times")

    @property
    def each(self) -> int:
        """Snapshots of one geometry."""
        return self.trajectories * len(self.times)


@dataclass(frozen=True, eq=False)
class Flows:
    """Snapshots.

    Parameters
    ----------
    velocity
        Normal velocities ``(u, v)`` on faces, float64, shape ``(count, 2, nx, ny)``, 0 on fixed faces.
    obstacles
        Mask of each snapshot, shape ``(count, nx, ny)``.
    geometry
        Number of the geometry of each snapshot; snapshots of one geometry are not independent.
    time
        Time of each snapshot.
    """

    velocity: np.ndarray
    obstacles: np.ndarray
    geometry: np.ndarray
    time: np.ndarray

    def __len__(self) -> int:
        return len(self.velocity)


def flow_batches(seed: int, law: FlowLaw | None = None, first: int = 0) -> Iterator[Flows]:
    """All snapshots of one geometry after the other, without end.

    Parameters
    ----------
    seed
        Seed; a geometry and its flows are functions of the seed and of its number.
    law
        Parameters of the law.
    first
        Number of the first geometry: disjoint ranges give independent sets.
    """
    law, number = law or FlowLaw(), first
    while True:
        yield _geometry(law, seed, number)
        number += 1


def flow_snapshots(count: int, seed: int, law: FlowLaw | None = None, first: int = 0) -> Flows:
    """Draw snapshots, geometry by geometry.

    Parameters
    ----------
    count
        Number of snapshots, at least 1.
    seed, law, first
        As for `flow_batches`.

    Returns
    -------
    Flows
        The snapshots; the last geometry may be cut.
    """
    if count < 1:
        raise ConfigError(f"count is {count}; expected at least one snapshot")
    parts, batches = [], flow_batches(seed, law, first)
    while sum(map(len, parts)) < count:
        parts.append(next(batches))
    names = ("velocity", "obstacles", "geometry", "time")
    return Flows(*(np.concatenate([getattr(part, name) for part in parts])[:count] for name in names))


def start_flow(law: FlowLaw, noise: Source, flow: MacFlow) -> np.ndarray:
    """Mean flow with random eddies around the obstacles of a geometry, without divergence.

    Parameters
    ----------
    law
        Parameters of the law.
    noise
        Noise of the batch of trajectories.
    flow
        Geometry.

    Returns
    -------
    ndarray
        Shape ``(batch, 2, nx, ny)``.
    """
    lengths = tuple(n * h for n, h in zip(flow.grid.shape, flow.grid.spacing, strict=True))
    field = GaussianField(Periodic(lengths), alpha=4.0, tau=12.0)
    w = np.stack(curl(field.draw(noise, law.shape, stream="eddies"), flow.grid.spacing), 1)
    w *= law.eddies / np.sqrt((w**2).sum(1).mean((-2, -1)))[:, None, None, None]
    w[:, 0] += 1.0
    return flow.project(w, np.tile([1.0, 0.0], (len(w), 1)))


def _geometry(law: FlowLaw, seed: int, number: int) -> Flows:
    mask = random_obstacles(law.shape, seed, number, most=law.most)
    flow = MacFlow(MacGrid(mask), law.viscosity)
    noise = Noise.range(seed, law.trajectories, first=number * law.trajectories)
    w, now, taken = start_flow(law, noise, flow), 0.0, []
    for time in law.times:
        w, now = flow.run(w, time - now), time
        taken.append(w)
    return Flows(
        np.concatenate(taken),
        np.broadcast_to(mask, (law.each, *mask.shape)),
        np.full(law.each, number),
        np.repeat(law.times, law.trajectories),
    )
