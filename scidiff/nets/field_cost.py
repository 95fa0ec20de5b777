"""What a network on fields costs, measured against the size of the grid."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.nets.fno import FNO
from scidiff.nets.unet import UNet

__all__ = ["FieldCost", "field_cost"]


@dataclass(frozen=True)
class FieldCost:
    """Measured cost of a network on one grid.

    Parameters
    ----------
    size
        Sites along each axis.
    parameters
        Numbers to learn.
    forward, both
        Seconds for one sample of the forward pass, and of forward and backward pass together.
    """

    size: int
    parameters: int
    forward: float
    both: float


def field_cost(
    network: UNet | FNO, sizes: Sequence[int], *, batch: int = 8, repeats: int = 3, bf16: bool = False, seed: int = 0
) -> list[FieldCost]:
    """Measure the time of a network against the size of the grid, on its own device.

    Parameters
    ----------
    network
        Network on fields.
    sizes
        Sites along each axis.
    batch
        Samples in one call.
    repeats
        Number of timed calls after one that is not timed; the fastest counts.
    bf16
        Run under autocast to bf16.
    seed
        Seed of the fields.

    Returns
    -------
    list of FieldCost
        One row per size.
    """
    config, like = network.config, next(network.parameters())
    generator = torch.Generator().manual_seed(seed)
    parameters = sum(p.numel() for p in network.parameters())
    rows = []
    for size in sizes:
        x, c = (
            torch.randn(batch, channels, size, size, generator=generator).to(like)
            for channels in (config.channels, config.conditions)
        )
        lam = torch.zeros(batch, config.levels, device=like.device)
        with torch.autocast(like.device.type, torch.bfloat16, enabled=bf16):
            timed = [_timed(network, x, lam, c if config.conditions else None) for _ in range(repeats + 1)][1:]
        forward, both = (min(times) / batch for times in zip(*timed, strict=True))
        rows.append(FieldCost(size, parameters, forward, both))
    return rows


def _timed(network: UNet | FNO, x: Tensor, lam: Tensor, condition: Tensor | None) -> tuple[float, float]:
    """Seconds of the forward pass, and of both passes; the values are read, which waits for the device."""
    begun = time.perf_counter()
    total = network(x, lam, condition).float().square().sum()
    float(total.detach())
    done = time.perf_counter()
    gradients = torch.autograd.grad(total, list(network.parameters()), allow_unused=True)
    float(next(g for g in gradients if g is not None).sum())
    return done - begun, time.perf_counter() - begun
