r"""What a network is shown of the sensors: linear estimates, exact at the sensors, and what the equation makes of them.

From signs ``b = +-1`` of the medium at sensors comes the kriged field ``b^`` (`CellField.interpolate`; its sign is the
classical indicator kriging), from heads the kriged ``v^``, hence ``u^ = ubar + d v^``, and from this, where the medium
is constant, ``-lap u^ = f / a``:

    q = (-lap u^ - c) / e,      c, e: middle and half of the distance between f / high and f / low,   held in [-3, 3]

so that the network only has to learn what is not linear. The channels are

    0  where the medium is known    1  b^    2  where the head is known    3  v^    4  q    5  ubar / max ubar

and 0 where nothing is known of a field. All channels move with the square when it is turned or reflected.
"""

from __future__ import annotations

import numpy as np

from ..laws import Neumann
from .cells import CellField, DirichletCells
from .chart import HIGH, LOW, Chart, unit_field

__all__ = ["CHANNELS", "HEAD_NUGGET", "SIGN_NUGGET", "blank", "head_field", "show_heads", "show_signs", "sign_field"]

CHANNELS = 6
SIGN_NUGGET = 1e-3
HEAD_NUGGET = 1e-7
_MIDDLE, _HALF = (1 / LOW + 1 / HIGH) / 2, (1 / LOW - 1 / HIGH) / 2


def sign_field(shape: tuple[int, int]) -> CellField:
    """Law by which signs are kriged: the spectrum of a field with jumps along lines."""
    return unit_field(Neumann(), 1.5, 3.0, shape)


def head_field(shape: tuple[int, int]) -> CellField:
    """Law by which heads are kriged: the spectrum of a field with kinks along lines."""
    return unit_field(DirichletCells(), 2.5, 3.0, shape)


def blank(chart: Chart, count: int) -> np.ndarray:
    """Channels of samples of which nothing is known, float32, shape ``(count, CHANNELS, n, n)``."""
    out = np.zeros((count, CHANNELS, *chart.shape), dtype=np.float32)
    out[:, 5] = chart.mean / chart.mean.max()
    return out


def show_signs(channels: np.ndarray, index: np.ndarray, signs: np.ndarray) -> None:
    """Write signs of the medium into channels.

    Parameters
    ----------
    channels
        Shape ``(count, CHANNELS, n, n)``; changed.
    index
        Sensors, shape ``(sensors, 2)``.
    signs
        +1 where the medium is high, -1 where it is low, shape ``(count, sensors)``.
    """
    channels[:, 0, index[:, 0], index[:, 1]] = 1.0
    channels[:, 1] = sign_field(channels.shape[-2:]).interpolate(index, signs, SIGN_NUGGET)


def show_heads(channels: np.ndarray, chart: Chart, index: np.ndarray, heads: np.ndarray) -> None:
    """Write heads into channels; parameters as for `show_signs`, heads in the unit of the problem."""
    known = (heads - chart.mean[index[:, 0], index[:, 1]]) / chart.scale
    v = head_field(chart.shape).interpolate(index, known, HEAD_NUGGET)
    channels[:, 2, index[:, 0], index[:, 1]] = 1.0
    channels[:, 3] = v
    load = _minus_laplacian(chart.mean + chart.scale * v)
    channels[:, 4] = np.clip((load - _MIDDLE) / _HALF, -3.0, 3.0)


def _minus_laplacian(u: np.ndarray) -> np.ndarray:
    """``-lap u`` in cells, u = 0 on the boundary, by the five-point formula with odd reflection."""
    h = 1.0 / u.shape[-1]
    wide = np.pad(u, ((0, 0), (1, 1), (1, 1)))
    wide[:, 0], wide[:, -1], wide[:, :, 0], wide[:, :, -1] = -wide[:, 1], -wide[:, -2], -wide[:, :, 1], -wide[:, :, -2]
    around = wide[:, 2:, 1:-1] + wide[:, :-2, 1:-1] + wide[:, 1:-1, 2:] + wide[:, 1:-1, :-2]
    return (4 * u - around) / h**2
