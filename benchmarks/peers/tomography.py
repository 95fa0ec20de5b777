"""Projectors of deepinv and ASTRA: 60 parallel views of 256 x 256 pixels, a batch of eight, one thread, float32.

The error is that of the projections of a disk, sampled 8 x 8 times in each pixel, against its chords
``2 sqrt(R^2 - d^2)``; for a peer the better of the two senses of rotation counts. The mismatch is
``<A x, y> - <x, A^T y>`` over ``|A x| |y|``, the root mean square of eight normal pairs, ``x`` inside of the circle
that all views see. Building the matrix of scidiff, once for a geometry, is not in the seconds of a projection; the note
says what it took.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from measure import absent, error_row, time_row
from scidiff.domains.ct.geometry import Parallel, even_angles
from scidiff.domains.ct.grid import Grid
from scidiff.domains.ct.operators import joseph_matrix
from scidiff.domains.ct.operators.matrix import SystemMatrix
from torch import Tensor

from scidiff.domain import Row
from scidiff.random import Noise

__all__ = ["astra_rows", "deepinv_rows"]

SIZE, VIEWS, BATCH = 256, 60, 8
GRID = Grid.square(SIZE, float(SIZE))
RADIUS, CENTRE = 70.0, (30.0, -20.0)


def _geometry(sense: float = 1.0) -> Parallel:
    return Parallel(sense * even_angles(VIEWS), SIZE, 1.0)


def _built() -> tuple[SystemMatrix, float]:
    """The projector of scidiff and the processor seconds that it took."""
    begun = time.process_time()
    geometry = _geometry()
    matrix = SystemMatrix(joseph_matrix(geometry, GRID, torch.float32), GRID.shape, geometry.shape)
    return matrix, time.process_time() - begun


def _disk() -> Tensor:
    """Image of the disk, by the share of each pixel that it covers."""
    fine = (torch.arange(8 * SIZE) + 0.5) / 8 - SIZE / 2
    inside = (fine[None, :] - CENTRE[0]) ** 2 + (fine[:, None] - CENTRE[1]) ** 2 <= RADIUS**2
    return inside.float().reshape(SIZE, 8, SIZE, 8).mean((1, 3))


def _chords(sense: float) -> Tensor:
    """Exact projections, shape ``(views, columns)``."""
    geometry = _geometry(sense)
    points, directions = geometry.rays()
    away = torch.tensor(CENTRE, dtype=torch.float64) - points
    along = (away * directions).sum(-1, keepdim=True)
    return 2 * (RADIUS**2 - (away - along * directions).square().sum(-1)).clamp(min=0).sqrt()


def _error(found: Tensor, senses: tuple[float, ...] = (1.0,)) -> float:
    """Relative error of projections of the disk, for the best of the senses of rotation."""
    truths = [_chords(sense) for sense in senses]
    return min(float((found.double() - truth).norm() / truth.norm()) for truth in truths)


def _mismatch(forward: Callable[[Tensor], Tensor], adjoint: Callable[[Tensor], Tensor], seed: int) -> float:
    axis = torch.arange(SIZE) + 0.5 - SIZE / 2
    circle = (axis[:, None] ** 2 + axis[None, :] ** 2) < (SIZE / 2 - 2) ** 2
    x = Noise.range(seed, BATCH).normal(GRID.shape, step=0, stream="x").float() * circle
    y = Noise.range(seed, BATCH).normal((VIEWS, SIZE), step=0, stream="y").float()
    ax, aty, sums = forward(x).double(), adjoint(y).double(), (1, 2)
    gap = (ax * y).sum(sums) - (x * aty).sum(sums)
    return float((gap / (ax.norm(dim=sums) * y.double().norm(dim=sums))).square().mean().sqrt())


def _compare(
    peer: str,
    name: str,
    forward: Callable[[Tensor], Tensor],
    adjoint: Callable[[Tensor], Tensor],
    fast: bool,
    seed: int,
) -> Iterator[Row]:
    """Rows of one projector of a peer, with axes ``(batch, rows, columns)`` and ``(batch, views, columns)``."""
    ours, seconds = _built()
    x = Noise.range(seed, BATCH).normal(GRID.shape, step=0, stream="x").float()
    disk, repeats = _disk().unsqueeze(0), 3 if fast else 8
    note = f"batch of {BATCH}, {SIZE} x {SIZE}, {VIEWS} views, float32; scidiff's matrix was built in {seconds:.1f} s"
    yield time_row(f"{name}forward", peer, lambda: ours.apply(x), lambda: forward(x), repeats=repeats, note=note)
    yield time_row(
        f"{name}forward and adjoint",
        peer,
        lambda: ours.adjoint(ours.apply(x)),
        lambda: adjoint(forward(x)),
        repeats=repeats,
        note=note,
    )
    mine, other = _error(ours.apply(disk)[0]), _error(forward(disk)[0], (1.0, -1.0))
    yield error_row(f"{name}disk", peer, [mine], [other], note="projections against chords, relative")
    seeds = range(seed, seed + (2 if fast else 4))
    gaps = [(_mismatch(ours.apply, ours.adjoint, one), _mismatch(forward, adjoint, one)) for one in seeds]
    yield error_row(f"{name}adjoint mismatch", peer, *zip(*gaps, strict=True), note="normal image and data, float32")


def deepinv_rows(fast: bool, seed: int) -> Iterator[Row]:
    """Rows of ``Tomography`` with its exact adjoint, which is the default, and with its back-projection."""
    try:
        from deepinv.physics import Tomography
    except ImportError:
        yield absent("deepinv")
        return
    degrees = torch.rad2deg(even_angles(VIEWS)).float()
    for exact in (True, False):
        physics = Tomography(degrees, SIZE, circle=True, normalize=False, adjoint_via_backprop=exact)

        def forward(x: Tensor, physics: Any = physics) -> Tensor:
            with torch.no_grad():
                return physics.A(x.unsqueeze(1)).squeeze(1).transpose(1, 2)

        def adjoint(y: Tensor, physics: Any = physics) -> Tensor:
            return physics.A_adjoint(y.transpose(1, 2).unsqueeze(1)).detach().squeeze(1)

        kind = "exact adjoint" if exact else "back-projection as adjoint"
        yield from _compare("deepinv", f"CT, {kind}, ", forward, adjoint, fast, seed)


def astra_rows(fast: bool, seed: int) -> Iterator[Row]:
    """Rows of ASTRA's linear projector on the CPU, image by image, its objects made once."""
    try:
        import astra
    except ImportError:
        yield absent("astra")
        return
    volume = astra.create_vol_geom(SIZE, SIZE)
    projection = astra.create_proj_geom("parallel", 1.0, SIZE, even_angles(VIEWS).numpy())
    projector = astra.create_projector("linear", projection, volume)
    image, data = astra.data2d.create("-vol", volume), astra.data2d.create("-sino", projection)
    algorithms = []
    for name in ("FP", "BP"):
        settings = astra.astra_dict(name)
        settings |= {"ProjectorId": projector, "ProjectionDataId": data}
        settings["VolumeDataId" if name == "FP" else "ReconstructionDataId"] = image
        algorithms.append(astra.algorithm.create(settings))

    def forward(x: Tensor) -> Tensor:
        return _each(x, image, data, algorithms[0], flip=True)

    def adjoint(y: Tensor) -> Tensor:
        return _each(y, data, image, algorithms[1], flip=False).flip(1)

    def _each(parts: Tensor, source: int, target: int, algorithm: int, *, flip: bool) -> Tensor:
        found = []
        for part in parts.numpy():
            # image rows of ASTRA go down in y
            astra.data2d.store(source, np.ascontiguousarray(part[::-1]) if flip else part)
            astra.algorithm.run(algorithm)
            found.append(torch.from_numpy(astra.data2d.get(target)))
        return torch.stack(found)

    yield from _compare("astra", "CT, ", forward, adjoint, fast, seed)
    astra.clear()
