"""Rows on speed: one batch through the system matrix, against loops over other projectors, one thread, one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from scidiff.domain import Row
from scidiff.random import Noise

from ..geometry import Parallel, even_angles
from ..grid import Grid
from ..operators import system_matrix
from ..operators.astra_adapter import AstraProjector, has_astra

__all__ = ["rotate_and_sum", "speed_rows"]

_BATCH, _SIZE, _VIEWS = 8, 256, 60


def rotate_and_sum(images: Tensor, angles: Tensor) -> Tensor:
    """Radon transform by turning the image for each view and adding its columns: the usual torch implementation.

    Parameters
    ----------
    images
        ``(batch, n, n)``.
    angles
        Radians, ``(views,)``.

    Returns
    -------
    Tensor
        ``(batch, views, n)``, in pixels.
    """
    out = []
    for th in angles.float():
        c, s = th.cos(), th.sin()
        turn = torch.stack([torch.stack([c, -s, 0 * c]), torch.stack([s, c, 0 * c])])[None]
        shape = (len(images), 1, *images.shape[1:])
        at = affine_grid(turn.expand(len(images), -1, -1), list(shape), align_corners=False)
        out.append(grid_sample(images[:, None], at, align_corners=False)[:, 0].sum(1))
    return torch.stack(out, 1)


def _fastest(run: Callable[[], object], repeats: int) -> float:
    """Least wall-clock time: what others did on the machine only adds to it."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return min(times)


def speed_rows(seed: int) -> Iterator[Row]:
    """Measure the forward-and-back pair and the forward product.

    Parameters
    ----------
    seed
        Seed of every draw.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield from _measure(seed)
    finally:
        torch.set_num_threads(threads)


def _measure(seed: int) -> Iterator[Row]:
    grid = Grid((_SIZE, _SIZE), 1.0)
    geometry = Parallel(even_angles(_VIEWS), 3 * _SIZE // 2)
    operator = system_matrix(geometry, grid)
    x = Noise.range(seed, _BATCH).uniform(grid.shape, step=0, stream="ct/speed").float()
    y = operator.apply(x)
    forward = _fastest(lambda: operator.apply(x), 7)
    pair = _fastest(lambda: operator.adjoint(operator.apply(x)), 7)
    what = f"batch {_BATCH}, {_SIZE}^2, {_VIEWS} views, {geometry.columns} bins, float32, one thread, least of repeats"
    if has_astra():
        astra = AstraProjector(geometry, grid)
        other = _fastest(lambda: astra.adjoint(astra.apply(x)), 3)
        yield Row(
            "forward and back: times faster than a loop over ASTRA", "measured", other / pair, bar=10.0, baseline=other,
            baseline_name="seconds of the ASTRA loop (linear, CPU)", seconds=pair, note=what,
        )  # fmt: skip
        gap = float((astra.apply(x[:1]) - y[:1]).norm() / y[:1].norm())
        yield Row("forward: difference from ASTRA", "exact", gap, bar=1e-4, above=False, note=what)
    naive = _fastest(lambda: rotate_and_sum(x, geometry.angles), 2)
    yield Row(
        "forward: times faster than turning the image", "measured", naive / forward, bar=10.0, baseline=naive,
        baseline_name=f"seconds of affine_grid and grid_sample, {_SIZE} bins", seconds=forward, note=what,
    )  # fmt: skip
