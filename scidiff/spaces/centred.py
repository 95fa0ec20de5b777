"""Point clouds without translation: ``n`` points of R^d whose mean is 0, a linear subspace of R^(n d).

A density that no translation changes has no integral over R^(n d); on the subspace

    V = { x : sum_i x_i = 0, and x_i = 0 at padding },    dim V = (n - 1) d

it has. `project` is the orthogonal projection onto `V`: with ``P = 1 - 1 1^T / n`` over the real points it is the map
``x -> P x``. Projected normal noise ``P eps`` is the standard normal law of `V`; a single coordinate of it has the
variance ``1 - 1/n``, and ``E |P eps|^2 = (n - 1) d``. A rotation commutes with `P`, so the law is invariant [1]_.

A process on `V` needs no other change: ``x_t = alpha x_0 + sigma P eps`` stays in `V`, padding stays at 0, and so does
every linear combination that a solver makes of states and predictions in `V`.

References
----------
.. [1] E. Hoogeboom et al., "Equivariant Diffusion for Molecule Generation in 3D", arXiv:2203.17003
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import ShapeError
from scidiff.spaces.euclidean import Euclidean

__all__ = ["Centred", "centre"]


def centre(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Subtract the mean of the real points and put padding to 0.

    Parameters
    ----------
    x
        Points or vectors, shape ``(batch, n, d)``.
    mask
        True where a point is real, shape ``(batch, n)``; all are by default.

    Returns
    -------
    Tensor
        Shape of ``x``.
    """
    if mask is None:
        return x - x.mean(1, keepdim=True)
    real = mask.unsqueeze(-1).to(x.device)
    x = torch.where(real, x, 0.0)
    return torch.where(real, x - x.sum(1, keepdim=True) / real.sum(1, keepdim=True).clamp(min=1), 0.0)


@dataclass(frozen=True, eq=False)
class Centred(Euclidean):
    """Clouds of points with zero mean.

    Parameters
    ----------
    shape
        Number of points and of coordinates; ``None`` marks a free axis.
    mask
        True where a point is real, shape ``(batch, n)``, for batches with padding; the space then belongs to that
        batch, see `take`.
    """

    shape: tuple[int | None, ...] = (None, 3)
    mask: Tensor | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if len(self.shape) != 2:
            raise ShapeError(f"a point cloud has shape {self.shape}; expected (points, coordinates)")
        if self.mask is not None and (self.mask.ndim != 2 or self.mask.dtype != torch.bool):
            raise ShapeError(
                f"mask has shape {tuple(self.mask.shape)} and dtype {self.mask.dtype}; expected a boolean (batch, n)"
            )

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def check(self, x: Tensor, name: str = "x") -> None:
        """Raise `ShapeError` unless ``x`` is a batch of centred clouds.

        The centroid may be off by the root of the machine precision, in units of the largest coordinate.
        """
        super().check(x, name)
        if self.mask is not None and self.mask.shape != x.shape[:2]:
            raise ShapeError(
                f"{name} has shape {tuple(x.shape)} but the mask of the space {tuple(self.mask.shape)}; "
                "use the space of this batch, Centred.take gives that of some of its rows"
            )
        off = float((x - self.project(x)).abs().max()) if x.numel() else 0.0
        if not off <= torch.finfo(x.dtype).eps ** 0.5 * float(x.abs().max() if x.numel() else 0.0):
            raise ShapeError(
                f"{name} lies {off:.3g} off the clouds of zero mean and zero padding; call space.project({name}) first"
            )

    def project(self, x: Tensor) -> Tensor:
        """Nearest cloud of zero mean, with padding at 0."""
        return centre(x, self.mask)

    def dimension(self, x: Tensor) -> Tensor:
        """Degrees of freedom ``(n - 1) d`` of every cloud of a batch, int64, shape ``(batch,)``."""
        count = torch.full((len(x),), x.shape[1]) if self.mask is None else self.mask.sum(1)
        return (count - 1).clamp(min=0) * x.shape[2]

    def take(self, index: Tensor | np.ndarray | Sequence[int]) -> Centred:
        """Space of the chosen rows of the batch, in the given order."""
        if self.mask is None:
            return self
        return replace(self, mask=self.mask[torch.as_tensor(np.asarray(index))])
