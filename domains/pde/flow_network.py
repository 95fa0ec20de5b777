"""The network of flows around obstacles: mean velocity of a flow map, ``v(x, t, s, obstacles)``.

A `scidiff.nets.unet.UNet` sees the flow ``x``, the channels of the obstacles (`FlowGeometry.channels`), and the noise
levels ``lam(t)`` and ``lam(s)`` of the two times. Where ``s = t`` it predicts the velocity ``dx_t/dt`` of the
deterministic flow. What leaves the space of flows is projected out by whoever uses it
(`scidiff.denoise.flow_map.FlowMap`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scidiff.nets.unet import UNet, UNetConfig
from scidiff.process.schedule import CosineSchedule, Schedule

from .flow_geometry import CHANNELS

__all__ = ["LOW", "SCHEDULE", "FlowNetwork", "flow_unet"]

SCHEDULE = CosineSchedule(offset=1e-4)
"""Schedule of the flows: ``alpha^2 + sigma^2 = 1``, nearly uniform in the angle."""

LOW = 2e-3
"""Least time that the network was shown; an earlier one counts as this."""


def flow_unet(width: int = 32, multipliers: Sequence[int] = (1, 2, 2), blocks: int = 1) -> UNetConfig:
    """Configuration of a network of flows."""
    return UNetConfig(2, 2, CHANNELS, width=width, multipliers=tuple(multipliers), blocks=blocks, stem=2, levels=2)


class FlowNetwork(nn.Module):
    """Mean velocity from one time to another.

    Parameters
    ----------
    config
        Size of the U-Net, with two noise levels.
    schedule
        Turns times into noise levels.
    seed
        Seed of the weights.
    """

    def __init__(self, config: UNetConfig, schedule: Schedule = SCHEDULE, *, seed: int = 0) -> None:
        super().__init__()
        self.schedule = schedule
        self.unet = UNet(config, seed=seed)

    def forward(self, x: Tensor, t: Tensor, s: Tensor, condition: Tensor) -> Tensor:
        """Velocity, float32, shape of ``x``.

        Parameters
        ----------
        x
            Flows, shape ``(batch, 2, nx, ny)``.
        t, s
            Times; one value for a sample, given per sample or per site.
        condition
            Channels of the obstacles, shape ``(batch, CHANNELS, nx, ny)``.
        """
        times = torch.stack([_row_time(t, x), _row_time(s, x)], 1)
        lam = self.schedule.lam(times.clamp_min(LOW))
        return self.unet(x.float(), lam, condition).float()


def _row_time(t: Tensor, x: Tensor) -> Tensor:
    """Largest time of each sample, shape ``(batch,)``: walls and clean faces do not count."""
    t = torch.as_tensor(t, dtype=torch.float64, device=x.device)
    return t.expand(len(x)) if t.ndim <= 1 else t.expand(len(x), *t.shape[1:]).flatten(1).amax(1)
