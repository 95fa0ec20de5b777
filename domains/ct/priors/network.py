r"""The network of the learned prior: a denoiser of patches that works on images of any size.

With ``c = sigma_d^2 + sigma^2``, ``m`` and ``sigma_d`` the centre and spread of the data, ``h`` the pixel size [1]_,

    D(x, sigma, h) = m + (sigma_d^2 / c) (x - m) + (sigma sigma_d / sqrt(c)) F((x - m) / sqrt(c), log sigma, log h).

``F`` folds ``stem x stem`` pixels into channels and goes down and up through levels of residual blocks

    u <- u + W_2 * act((1 + g) (W_1 * u) + b),        (g, b) = A e(log sigma, log h).

There is no normalisation and no attention: what the network says of a pixel depends on the pixels within `reach` of it
and on nothing else, so that inside the border it commutes with shifts by a multiple of `factor`, and tiles that overlap
by twice the reach give the prediction of the whole image. It is told the size of a pixel in mm, because tissue looks
different on a coarse grid. Images are continued by mirroring to a multiple of `factor`, and by zeros inside of it.

References
----------
.. [1] T. Karras et al., arXiv:2206.00364, table 1
.. [2] K. Zhang et al., "Plug-and-Play Image Restoration with Deep Denoiser Prior", arXiv:2008.13751 (U-Net of residual
   blocks with sums instead of concatenations)
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from scidiff.errors import ConfigError
from scidiff.nets.unet import level_features

__all__ = ["NetworkConfig", "PriorNetwork"]


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the network, and the range that it is made for.

    Parameters
    ----------
    widths
        Channels of each level, finest first.
    blocks
        Residual blocks of each level, on the way down and on the way up.
    stem
        Edge of the squares of pixels that become channels.
    embedding
        Features of the noise level, and of the pixel size; even.
    centre, spread
        Mean and standard deviation of the data.
    pixels
        Smallest and largest pixel that training showed, mm; others count as the nearest.
    """

    widths: tuple[int, ...] = (32, 48, 64)
    blocks: int = 2
    stem: int = 2
    embedding: int = 32
    centre: float = 0.6
    spread: float = 0.5
    pixels: tuple[float, float] = (1.0, 4.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        object.__setattr__(self, "pixels", tuple(self.pixels))
        whole = (*self.widths, self.blocks, self.stem)
        if not self.widths or min(whole) < 1 or self.embedding < 4 or self.embedding % 2:
            raise ConfigError(f"{self}; expected at least one level, sizes of at least 1, and an even embedding >= 4")
        if not (self.spread > 0 and 0 < self.pixels[0] <= self.pixels[1]):
            raise ConfigError(f"spread {self.spread}, pixels {self.pixels} mm; expected positive, in ascending order")

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> NetworkConfig:
        """Read what `to_json` wrote."""
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})

    def to_json(self) -> dict[str, Any]:
        """Plain values for a model card."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @property
    def factor(self) -> int:
        """Period of the shifts that commute with the network, pixels."""
        return self.stem * 2 ** (len(self.widths) - 1)

    @property
    def reach(self) -> int:
        """Pixels beyond which a pixel has no influence, on every side."""
        cells = [self.stem * 2**level for level in range(len(self.widths))]
        convolutions = [2 * self.blocks * (2 if level < len(cells) - 1 else 1) for level in range(len(cells))]
        return sum(n * cell for n, cell in zip(convolutions, cells, strict=True)) + 2 * self.stem + 2 * cells[-1]


class _Level(nn.ModuleList):
    """Residual blocks of one level and one direction, one after the other."""

    def __init__(self, width: int, hidden: int, blocks: int) -> None:
        super().__init__(_Block(width, hidden) for _ in range(blocks))

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        for block in self:
            h = block(h, e)
        return h


class PriorNetwork(nn.Module):
    """Denoiser of images.

    Parameters
    ----------
    config
        Its size.
    seed
        Seed of the weights.
    """

    def __init__(self, config: NetworkConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build(config)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def _build(self, config: NetworkConfig) -> None:
        hidden, widths, fold = 2 * config.embedding, config.widths, config.stem**2
        self.embed = nn.Sequential(
            nn.Linear(2 * config.embedding, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()
        )
        self.stem = nn.Conv2d(fold, widths[0], 3, padding=1)
        self.down = nn.ModuleList(_Level(width, hidden, config.blocks) for width in widths)
        self.up = nn.ModuleList(_Level(width, hidden, config.blocks) for width in widths[:-1])
        self.coarsen = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.refine = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairwise(widths))
        self.head = nn.Conv2d(widths[0], fold, 3, padding=1)

    def forward(self, x: Tensor, sigma: Tensor, pixel: Tensor) -> Tensor:
        """Denoised images, float32.

        Parameters
        ----------
        x
            Noisy images, shape ``(count, 1, rows, columns)``.
        sigma
            Standard deviation of the noise, shape ``(count,)``; above 0.
        pixel
            Edge of a pixel, mm, shape ``(count,)``.
        """
        config, rows, columns = self.config, *x.shape[2:]
        level = sigma.float().reshape(-1, 1, 1, 1)
        total = (config.spread**2 + level**2).sqrt()
        y = x.float() - config.centre
        padded = _mirrored(y / total, config.factor)
        h = functional.pixel_unshuffle(padded, config.stem).contiguous(memory_format=torch.channels_last)
        with torch.autocast(
            x.device.type, enabled=False
        ):  # below sigma = .02 the rounding of bf16 would hide the noise
            entered = self.stem(h.to(self.stem.weight.dtype))
        out = functional.pixel_shuffle(self._trunk(entered, self._embedding(sigma, pixel)), config.stem)
        out = out.float()[..., :rows, :columns]
        return config.centre + (config.spread / total) ** 2 * y + level * config.spread / total * out

    def _embedding(self, sigma: Tensor, pixel: Tensor) -> Tensor:
        held = pixel.double().clamp(*self.config.pixels).log2()
        features = torch.stack([-sigma.double().log(), 4 * held], 1)
        return self.embed(level_features(features, self.config.embedding))

    def _trunk(self, h: Tensor, e: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for k, level in enumerate(self.down):
            h = level(self.coarsen[k - 1](h) if k else h, e)
            kept.append(h)
        h = kept.pop()
        for k in reversed(range(len(self.up))):
            h = self.up[k](self.refine[k](h) + kept.pop(), e)
        return self.head(functional.silu(h))


class _Block(nn.Module):
    """Residual block, modulated by the embedding; the identity at the start of training."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.one, self.two = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.level = nn.Linear(hidden, 2 * width)
        nn.init.zeros_(self.two.weight)

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        gain, shift = self.level(e)[:, :, None, None].chunk(2, 1)
        return h + self.two(functional.silu(self.one(h) * (1 + gain) + shift))


def _mirrored(x: Tensor, factor: int) -> Tensor:
    """Continue images to the right and below to a multiple of `factor`."""
    for axis in (2, 3):
        size = x.shape[axis]
        beyond = -size % factor
        if beyond:
            index = torch.arange(size + beyond, device=x.device) % (2 * size)
            x = x.index_select(axis, torch.where(index < size, index, 2 * size - 1 - index))
    return x
