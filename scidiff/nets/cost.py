"""What a network on point clouds costs, measured against the number of nodes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from scidiff.nets.equivariant import EquivariantNetwork
from scidiff.nets.neighbours import neighbours

__all__ = ["Cost", "cost_by_size"]


@dataclass(frozen=True)
class Cost:
    """Measured cost of a network on one cloud.

    Parameters
    ----------
    nodes, edges
        Number of nodes and of directed edges.
    forward, both
        Seconds of the forward pass, and of forward and backward pass together.
    """

    nodes: int
    edges: int
    forward: float
    both: float


def cost_by_size(
    network: EquivariantNetwork, sizes: Sequence[int], *, density: float = 0.1, repeats: int = 3, seed: int = 0
) -> list[Cost]:
    """Measure the time of a network against the number of nodes, on its own device.

    Parameters
    ----------
    network
        Network on point clouds.
    sizes
        Numbers of nodes.
    density
        Nodes per unit volume of the cube that they fill uniformly; it matters where the network has a cutoff.
    repeats
        Number of timed calls after one that is not timed; the fastest counts.
    seed
        Seed of the clouds.

    Returns
    -------
    list of Cost
        One row per size.
    """
    like, rows = next(network.parameters()), []
    generator = torch.Generator().manual_seed(seed)
    for size in sizes:
        x = ((size / density) ** (1 / 3) * torch.rand(size, 3, generator=generator)).to(like)
        h = torch.randn(size, network.features, generator=generator).to(like)
        edges = neighbours(x, torch.zeros(size, dtype=torch.int64, device=x.device), network.cutoff)
        network(x, h, 0.5)
        forward, both = zip(*(_timed(network, x, h) for _ in range(repeats)), strict=True)
        rows.append(Cost(size, len(edges), min(forward), min(both)))
    return rows


def _timed(network: EquivariantNetwork, x: torch.Tensor, h: torch.Tensor) -> tuple[float, float]:
    """Seconds of the forward pass, and of both passes; the values are read, which waits for the device."""
    begun = time.perf_counter()
    vectors, scalars = network(x, h, 0.5)
    total = vectors.sum() + scalars.sum()
    float(total.detach())
    done = time.perf_counter()
    gradients = torch.autograd.grad(total, list(network.parameters()), allow_unused=True)
    float(gradients[0].sum())
    return done - begun, time.perf_counter() - begun
