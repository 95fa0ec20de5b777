r"""A small fully convolutional U-Net for fields on a rectangular grid.

The state ``x`` and the condition ``c`` are stacked, folded by the stem (``stem x stem`` sites become channels), and go
down and up again through ``L`` levels of residual blocks,

    h <- h + W_2 * act( (1 + g) N(W_1 * act(N(h))) + b ),        (g, b) = A e,

with ``*`` a 3x3 convolution, ``N`` a group norm, and ``e`` the embedding of the noise level, cosines and sines of

    lam = log(alpha / sigma),   held within [-12, 12],

so that the network knows nothing of clocks or schedules. Every axis is periodic or padded with zeros. Sizes must be
divisible by ``factor = stem 2^(L-1)``; on a periodic axis a shift by a multiple of it commutes with the network, to
round-off. The last convolution starts at zero: an untrained network returns 0.

References
----------
.. [1] O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
   arXiv:1505.04597
.. [2] J. Ho, A. Jain, P. Abbeel, "Denoising Diffusion Probabilistic Models", arXiv:2006.11239, appendix B
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from scidiff.errors import ConfigError, ShapeError

__all__ = ["UNet", "UNetConfig", "level_features"]

_BOUND = 12.0


@dataclass(frozen=True)
class UNetConfig:
    """Size of a U-Net.

    Parameters
    ----------
    channels
        Channels of the state that comes in.
    outputs
        Channels that go out.
    conditions
        Channels of the condition; 0 for none.
    width
        Channels of the finest level, a multiple of `groups`.
    multipliers
        Channels of each level, in units of `width`, finest first.
    blocks
        Residual blocks at each level, on the way down and on the way up.
    stem
        Edge of the patches that become channels before the finest level; 1 keeps every site.
    levels
        Number of noise levels given: 1 for a denoiser, 2 for a flow map.
    embedding
        Features of the noise levels.
    groups
        Groups of the norms.
    periodic
        Whether each axis (rows, columns) is periodic; padded with zeros otherwise.
    """

    channels: int
    outputs: int
    conditions: int = 0
    width: int = 32
    multipliers: tuple[int, ...] = (1, 2, 2)
    blocks: int = 1
    stem: int = 1
    levels: int = 1
    embedding: int = 64
    groups: int = 8
    periodic: tuple[bool, bool] = (True, True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "multipliers", tuple(self.multipliers))
        object.__setattr__(self, "periodic", tuple(self.periodic))
        sizes = (self.channels, self.outputs, self.width, self.blocks, self.stem, self.levels, *self.multipliers)
        whole = all(isinstance(size, int) for size in sizes)
        if not whole or min(sizes) < 1 or self.conditions < 0 or not self.multipliers or len(self.periodic) != 2:
            raise ConfigError(f"{self} came; expected whole numbers of at least 1, one level or more, and two axes")
        if self.groups < 1 or self.width % self.groups or self.embedding < 4 or self.embedding % 2:
            raise ConfigError(
                f"width {self.width}, groups {self.groups}, embedding {self.embedding}; expected a width that the "
                "groups divide, and an even embedding of at least 4"
            )

    @property
    def factor(self) -> int:
        """What the sizes of a field must be divisible by."""
        return self.stem * 2 ** (len(self.multipliers) - 1)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> UNetConfig:
        """Read what `to_json` wrote."""
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})

    def to_json(self) -> dict[str, Any]:
        """Plain values for a model card."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


def level_features(lam: Tensor, width: int) -> Tensor:
    """Cosines and sines of noise levels, with frequencies from 1/16 to 4 in geometric steps.

    Parameters
    ----------
    lam
        Log signal-to-noise ratios, shape ``(batch, levels)``; infinite ones count as the nearest bound.
    width
        Features of each level, even.

    Returns
    -------
    Tensor
        Shape ``(batch, levels * width)``, float32.
    """
    frequency = torch.logspace(-4, 2, width // 2, base=2.0, dtype=torch.float32, device=lam.device)
    angle = lam.clamp(-_BOUND, _BOUND).float().unsqueeze(-1) * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=-1).flatten(1)


class UNet(nn.Module):
    """U-Net of fields; see the head of this module.

    Parameters
    ----------
    config
        Its size.
    seed
        Seed of the weights.
    """

    def __init__(self, config: UNetConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build(config)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def _build(self, config: UNetConfig) -> None:
        widths = [config.width * m for m in config.multipliers]
        hidden = 2 * config.embedding
        self.embed = nn.Sequential(
            nn.Linear(config.levels * config.embedding, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()
        )
        fold = config.stem**2
        self.stem = _Conv((config.channels + config.conditions) * fold, widths[0], config.periodic)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.coarsen, self.refine = nn.ModuleList(), nn.ModuleList()
        for k, width in enumerate(widths):
            self.down.append(_Level(config, [width] * (config.blocks + 1), hidden))
            wide = 2 * width if k < len(widths) - 1 else width
            self.up.append(_Level(config, [wide, *[width] * config.blocks], hidden))
            if k:
                self.coarsen.append(nn.Conv2d(widths[k - 1], width, 2, stride=2))
                self.refine.append(nn.Conv2d(width, widths[k - 1], 1))
        self.norm = nn.GroupNorm(config.groups, widths[0])
        self.head = nn.Conv2d(widths[0], config.outputs * fold, 3)

    def forward(self, x: Tensor, lam: Tensor, condition: Tensor | None = None) -> Tensor:
        """Field of the shape of ``x``.

        Parameters
        ----------
        x
            State, shape ``(batch, channels, rows, columns)``.
        lam
            Noise levels, shape ``(batch,)`` or ``(batch, levels)``; any float dtype, infinite values allowed.
        condition
            Shape ``(batch, conditions, rows, columns)``.

        Returns
        -------
        Tensor
            Shape ``(batch, outputs, rows, columns)``, in the dtype of the weights or of autocast.

        Raises
        ------
        ShapeError
            If channels or levels differ from the configuration, or a size is not divisible by ``config.factor``.
        """
        self._check(x, lam, condition)
        like = self.head.weight
        fields = x.to(like.dtype) if condition is None else torch.cat([x.to(like.dtype), condition.to(like.dtype)], 1)
        lam = lam.unsqueeze(1) if lam.ndim == 1 else lam
        e = self.embed(level_features(lam, self.config.embedding).to(like.dtype))
        h = functional.pixel_unshuffle(fields, self.config.stem)
        h = self.stem(h.contiguous(memory_format=torch.channels_last))
        h = self._trunk(h, e)
        h = _padded(functional.silu(self.norm(h)), self.config.periodic)
        return functional.pixel_shuffle(self.head(h), self.config.stem)

    def _trunk(self, h: Tensor, e: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for k, level in enumerate(self.down):
            h = level(self.coarsen[k - 1](h) if k else h, e)
            kept.append(h)
        h = kept.pop()
        for k in reversed(range(len(self.up))):
            h = self.up[k](h, e)
            if k:
                fine = functional.interpolate(self.refine[k - 1](h), scale_factor=2.0, mode="nearest")
                h = torch.cat([fine, kept.pop()], 1)
        return h

    def _check(self, x: Tensor, lam: Tensor, condition: Tensor | None) -> None:
        config = self.config
        got = 0 if condition is None else condition.shape[1] if condition.ndim == 4 else -1
        if x.ndim != 4 or x.shape[1] != config.channels or got != config.conditions:
            raise ShapeError(
                f"a state of shape {tuple(x.shape)} came with {got} condition channels; expected (batch, "
                f"{config.channels}, rows, columns) with {config.conditions}"
            )
        if condition is not None and (condition.shape[0], *condition.shape[2:]) != (x.shape[0], *x.shape[2:]):
            raise ShapeError(f"state {tuple(x.shape)} and condition {tuple(condition.shape)} differ in batch or size")
        if x.shape[2] % config.factor or x.shape[3] % config.factor:
            raise ShapeError(
                f"a field of {x.shape[2]} x {x.shape[3]} sites came; expected sizes divisible by {config.factor}; "
                "choose another grid, or a network with fewer levels"
            )
        if lam.shape not in ((len(x),) if config.levels == 1 else (), (len(x), config.levels)):
            raise ShapeError(f"lam has shape {tuple(lam.shape)}; expected ({len(x)}, {config.levels})")


class _Conv(nn.Module):
    """A 3x3 convolution with the padding of the grid."""

    def __init__(self, channels: int, outputs: int, periodic: tuple[bool, bool]) -> None:
        super().__init__()
        self.periodic = periodic
        self.conv = nn.Conv2d(channels, outputs, 3)

    def forward(self, h: Tensor) -> Tensor:
        return self.conv(_padded(h, self.periodic))


class _Level(nn.ModuleList):
    """Residual blocks of one level and one direction, one after the other."""

    def __init__(self, config: UNetConfig, widths: Sequence[int], hidden: int) -> None:
        super().__init__(_Block(config, a, b, hidden) for a, b in pairwise(widths))

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        for block in self:
            h = block(h, e)
        return h


class _Block(nn.Module):
    def __init__(self, config: UNetConfig, channels: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.first, self.second = nn.GroupNorm(config.groups, channels), nn.GroupNorm(config.groups, outputs)
        self.one, self.two = _Conv(channels, outputs, config.periodic), _Conv(outputs, outputs, config.periodic)
        self.level = nn.Linear(hidden, 2 * outputs)
        self.skip = nn.Identity() if channels == outputs else nn.Conv2d(channels, outputs, 1)
        nn.init.zeros_(self.two.conv.weight)

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        gain, shift = self.level(e)[:, :, None, None].chunk(2, 1)
        inner = self.second(self.one(functional.silu(self.first(h))))
        return self.skip(h) + self.two(functional.silu(inner * (1 + gain) + shift))


def _padded(h: Tensor, periodic: tuple[bool, bool]) -> Tensor:
    """One site more on every side: the other end of a periodic axis, zeros elsewhere."""
    if not any(periodic):
        return functional.pad(h, (1, 1, 1, 1))
    for axis, wraps in ((2, periodic[0]), (3, periodic[1])):
        last, first = h.narrow(axis, h.shape[axis] - 1, 1), h.narrow(axis, 0, 1)
        h = torch.cat([last, h, first] if wraps else [torch.zeros_like(last), h, torch.zeros_like(first)], axis)
    return h
