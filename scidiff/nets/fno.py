r"""A Fourier neural operator for fields on a periodic box: one network for every grid.

A layer mixes channels mode by mode and at each point,

    h <- h + W_2 act( (1 + g) (K h + W h + A d_x h + B d_y h) + b ),      (K h)^(k) = R(k) h^(k)  for |k_x|, |k_y| < m,

with ``(g, b)`` from the noise level ``lam = log(alpha / sigma)``. What makes it one operator on all grids:

* Fourier coefficients are those of the field, not of the array (``norm="forward"``), and the kept modes lie below the
  Nyquist mode of the coarsest grid that is allowed, which is checked;
* derivatives are central differences over the true cell, in units of ``1 / reference`` of the box: of second order;
* an activation makes modes above Nyquist, which a grid folds back; with `dealias` it is taken on a grid twice as fine
  and cut, so that what is folded is of higher order.

A shift of the field by whole cells commutes with the network to round-off. The head starts at zero.

References
----------
.. [1] Z. Li et al., "Fourier Neural Operator for Parametric Partial Differential Equations", arXiv:2010.08895
.. [2] B. Raonic et al., "Convolutional Neural Operators", arXiv:2302.01178 (activations without aliasing)
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from scidiff.errors import ConfigError, ShapeError
from scidiff.nets.unet import level_features

__all__ = ["FNO", "FNOConfig", "resampled"]


@dataclass(frozen=True)
class FNOConfig:
    """Size of a Fourier neural operator.

    Parameters
    ----------
    channels, outputs, conditions
        Channels of the state, of the result, and of the condition.
    width
        Channels inside.
    modes
        Kept modes ``|k| < modes`` along each axis; every grid needs at least ``2 modes`` points.
    layers
        Number of layers.
    levels
        Number of noise levels given: 1 for a denoiser, 2 for a flow map.
    embedding
        Features of the noise levels, even.
    reference
        Cells of the grid whose spacing is the unit of the derivatives.
    dealias
        Whether activations are taken on a grid twice as fine.
    """

    channels: int
    outputs: int
    conditions: int = 0
    width: int = 24
    modes: int = 12
    layers: int = 4
    levels: int = 1
    embedding: int = 64
    reference: int = 64
    dealias: bool = False

    def __post_init__(self) -> None:
        sizes = (self.channels, self.outputs, self.width, self.modes, self.layers, self.levels, self.reference)
        if min(sizes) < 1 or self.conditions < 0 or self.embedding < 4 or self.embedding % 2:
            raise ConfigError(f"{self} came; expected positive sizes and an even embedding of at least 4")

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> FNOConfig:
        """Read what `to_json` wrote."""
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a model card."""
        return asdict(self)


def resampled(field: Tensor, rows: int, columns: int) -> Tensor:
    """Trigonometric interpolation on another grid of the same box; modes at or above either Nyquist mode are dropped.

    Parameters
    ----------
    field
        Shape ``(..., rows, columns)``.
    rows, columns
        Points of the new grid.
    """
    old = field.shape[-2:]
    x, y = ((min(a, b) + 1) // 2 for a, b in zip(old, (rows, columns), strict=True))
    spectrum = torch.fft.rfft2(field, norm="forward")
    out = spectrum.new_zeros((*field.shape[:-2], rows, columns // 2 + 1))
    out[..., :x, :y] = spectrum[..., :x, :y]
    if x > 1:
        out[..., 1 - x :, :y] = spectrum[..., 1 - x :, :y]
    return torch.fft.irfft2(out, s=(rows, columns), norm="forward")


class FNO(nn.Module):
    """Fourier neural operator of fields; see the head of this module.

    Parameters
    ----------
    config
        Its size.
    seed
        Seed of the weights.
    """

    def __init__(self, config: FNOConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        hidden = 2 * config.embedding
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embed = nn.Sequential(
                nn.Linear(config.levels * config.embedding, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()
            )
            self.lift = nn.Conv2d(config.channels + config.conditions, config.width, 1)
            self.layers = nn.ModuleList(_Layer(config, hidden) for _ in range(config.layers))
            self.head = nn.Conv2d(config.width, config.outputs, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor, lam: Tensor, condition: Tensor | None = None) -> Tensor:
        """Field on the grid of ``x``.

        Parameters
        ----------
        x
            State, shape ``(batch, channels, rows, columns)``.
        lam
            Noise levels, shape ``(batch,)`` or ``(batch, levels)``.
        condition
            Shape ``(batch, conditions, rows, columns)``.

        Raises
        ------
        ShapeError
            If channels, levels or sizes do not fit, or the grid is too coarse for the modes.
        """
        self._check(x, lam, condition)
        dtype = self.lift.weight.dtype
        fields = x.to(dtype) if condition is None else torch.cat([x.to(dtype), condition.to(dtype)], 1)
        lam = lam.unsqueeze(1) if lam.ndim == 1 else lam
        e = self.embed(level_features(lam, self.config.embedding).to(dtype))
        h = self.lift(fields)
        for layer in self.layers:
            h = layer(h, e)
        return self.head(h)

    def _check(self, x: Tensor, lam: Tensor, condition: Tensor | None) -> None:
        config = self.config
        got = 0 if condition is None else condition.shape[1] if condition.ndim == 4 else -1
        if x.ndim != 4 or x.shape[1] != config.channels or got != config.conditions:
            raise ShapeError(
                f"a state of shape {tuple(x.shape)} came with {got} condition channels; expected (batch, "
                f"{config.channels}, rows, columns) with {config.conditions}"
            )
        if min(x.shape[2:]) < 2 * config.modes:
            raise ShapeError(
                f"a field of {x.shape[2]} x {x.shape[3]} sites came; expected at least {2 * config.modes} along each "
                f"axis, so that the modes |k| < {config.modes} lie below the Nyquist mode; use a finer grid"
            )
        if lam.shape not in ((len(x),) if config.levels == 1 else (), (len(x), config.levels)):
            raise ShapeError(f"lam has shape {tuple(lam.shape)}; expected ({len(x)}, {config.levels})")


class _Layer(nn.Module):
    def __init__(self, config: FNOConfig, hidden: int) -> None:
        super().__init__()
        width, modes = config.width, config.modes
        self.modes, self.reference, self.dealias = modes, config.reference, config.dealias
        self.modal = nn.Parameter(torch.randn(2, (2 * modes - 1) * modes, width, width) / width)
        self.local = nn.Conv2d(3 * width, width, 1)
        self.level = nn.Linear(hidden, 2 * width)
        self.mix = nn.Conv2d(width, width, 1)

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        inner = self._spectral(h) + self.local(torch.cat([h, *self._slopes(h)], 1))
        gain, shift = self.level(e)[:, :, None, None].chunk(2, 1)
        return h + self.mix(self._activated(inner * (1 + gain) + shift))

    def _spectral(self, h: Tensor) -> Tensor:
        """``K h``; in float32 at least, as there is no transform in bf16."""
        m, width = self.modes, h.shape[1]
        with torch.autocast(h.device.type, enabled=False):
            wide = h.to(self.modal.dtype)
            spectrum = torch.fft.rfft2(wide, norm="forward")
            kept = torch.cat([spectrum[:, :, :m, :m], spectrum[:, :, spectrum.shape[2] - m + 1 :, :m]], 2)
            modes = kept.flatten(2).permute(2, 0, 1)
            mixed = torch.bmm(modes, torch.complex(*self.modal)).permute(1, 2, 0).reshape(len(h), width, 2 * m - 1, m)
            out = torch.zeros_like(spectrum)
            out[:, :, :m, :m] = mixed[:, :, :m]
            if m > 1:
                out[:, :, 1 - m :, :m] = mixed[:, :, m:]
            return torch.fft.irfft2(out, s=h.shape[-2:], norm="forward").to(h.dtype)

    def _slopes(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Central differences along both axes, per cell of the reference grid."""
        return tuple(
            (torch.roll(h, -1, axis) - torch.roll(h, 1, axis)) * (h.shape[axis] / (2 * self.reference))
            for axis in (-2, -1)
        )

    def _activated(self, h: Tensor) -> Tensor:
        if not self.dealias:
            return functional.silu(h)
        rows, columns = h.shape[-2:]
        with torch.autocast(h.device.type, enabled=False):
            fine = functional.silu(resampled(h.to(self.modal.dtype), 2 * rows, 2 * columns))
            return resampled(fine, rows, columns).to(h.dtype)
