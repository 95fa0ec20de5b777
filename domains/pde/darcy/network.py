r"""The denoiser of pairs: a small U-Net ``F`` between exact linear parts.

    m = alpha x - sigma phi (F(x, lam, c) + A(lam) (x, c)),     phi = 1 for the medium, 0 on the boundary for the head

``F + A`` predicts the velocity ``alpha eps - sigma x_0`` (its regression target has variance 1 at every time); ``A``
mixes the channels of state and condition ``c`` cell by cell, so that linear estimates pass unchanged. ``phi`` of the
head is ``(1 - (1 - 2x)^4) (1 - (1 - 2y)^4)``: the predicted head vanishes on the boundary for any weights. At the prior
one call gives the posterior mean. An untrained network returns ``alpha x``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scidiff.nets.unet import UNet, UNetConfig, level_features
from scidiff.process.schedule import Schedule

from .chart import SCHEDULE
from .conditions import CHANNELS

__all__ = ["EARLIEST", "PairNetwork", "pair_unet"]

EARLIEST = 2e-3
"""Least time that the network was shown; an earlier one counts as this."""


def pair_unet(width: int = 32, multipliers: tuple[int, ...] = (1, 2, 3), blocks: int = 1) -> UNetConfig:
    """Configuration of a network of pairs."""
    return UNetConfig(
        2, 2, CHANNELS, width=width, multipliers=multipliers, blocks=blocks, stem=2, periodic=(False, False)
    )


class PairNetwork(nn.Module):
    """Velocity of pairs, and the mean head that its coordinates refer to.

    Parameters
    ----------
    config
        Size of the U-Net.
    size
        Cells along an axis.
    schedule
        Turns times into noise levels.
    seed
        Seed of the weights.
    """

    mean: Tensor

    def __init__(self, config: UNetConfig, size: int, schedule: Schedule = SCHEDULE, *, seed: int = 0) -> None:
        super().__init__()
        self.schedule = schedule
        self.unet = UNet(config, seed=seed)
        self.mix = nn.Linear(config.embedding, config.outputs * (config.channels + config.conditions))
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)
        self.register_buffer("mean", torch.zeros(size, size, dtype=torch.float64))

    def forward(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """Velocity, float32, shape of ``x``.

        Parameters
        ----------
        x
            Pairs, shape ``(batch, 2, n, n)``.
        t
            Times, shape ``(batch,)``.
        condition
            Channels of the sensors, shape ``(batch, CHANNELS, n, n)``.
        """
        lam = self.schedule.lam(t.clamp_min(EARLIEST))
        x, condition = x.float(), condition.float()
        gains = self.mix(level_features(lam, self.unet.config.embedding).float()).float()
        gains = gains.view(len(x), self.unet.config.outputs, -1)
        out = self.unet(x, lam, condition).float()
        out = out + torch.einsum("boc,bcij->boij", gains, torch.cat([x, condition], 1)).float()
        return torch.cat([out[:, :1], _lift(out.shape[-1]).to(out) * out[:, 1:]], 1)


def _lift(size: int) -> Tensor:
    """``phi`` of the head in cells, 1 in the middle and 0 on the boundary."""
    middle = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    along = 1 - (1 - 2 * middle) ** 4
    return along[:, None] * along
