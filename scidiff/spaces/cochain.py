"""Cochains on a mesh, with the mass inner product ``<u, v> = u^T M v``: ``phi(x, x0) = x0``.

The points are the span of the modes ``U`` of a Hodge Laplacian, ``U^T M U = 1``: all cochains where the spectrum is
complete, the smooth ones where it holds the lowest modes only. A point has two descriptions of equal norm,

    values        x          one number per simplex, what networks see
    coefficients  c = U^T M x    one number per mode, ``x = U c`` and ``<x, x> = c^T c``.

White noise of this space has independent standard normal coefficients. The same is not true of its values: independent
normals at the simplices depend on the mesh, and their spectrum has no limit under refinement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import ConfigError, DataError
from scidiff.mesh import Spectrum
from scidiff.random import Source
from scidiff.spaces.base import Space

__all__ = ["Cochain"]


@dataclass(frozen=True, eq=False)
class Cochain(Space):
    """Cochains of one degree, spanned by modes; a batch has shape ``(batch, simplices)``.

    Parameters
    ----------
    spectrum
        Modes of the Hodge Laplacian of the degree.
    """

    spectrum: Spectrum

    def __repr__(self) -> str:
        laplacian = self.spectrum.laplacian
        return f"Cochain(degree={laplacian.degree}, simplices={laplacian.size}, modes={self.modes})"

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of simplices, as an event shape."""
        return (self.spectrum.laplacian.size,)

    @property
    def modes(self) -> int:
        """Dimension of the space."""
        return self.spectrum.modes

    @cached_property
    def eigenvalues(self) -> Tensor:
        """Eigenvalues of the modes, float64, shape ``(modes,)``; the first ``b_k`` are 0."""
        return torch.from_numpy(self.spectrum.values.copy())

    @cached_property
    def _basis(self) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.spectrum.vectors))

    @cached_property
    def _dual(self) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.spectrum.laplacian.mass @ self.spectrum.vectors))

    @cached_property
    def _mass(self) -> Tensor:
        coo = self.spectrum.laplacian.mass.tocoo()
        index = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
        data = torch.from_numpy(coo.data.copy())
        return torch.sparse_coo_tensor(index, data, coo.shape, check_invariants=True).coalesce()

    def check(self, x: Tensor, name: str = "x") -> None:
        """Raise `ShapeError` unless ``x`` is a batch of cochains, `DataError` unless the modes span it.

        What lies outside the span may have the size of the square root of the round-off of the dtype.
        """
        super().check(x, name)
        if self.spectrum.complete:
            return
        rest, size = self.dist(x, self.project(x)), self.inner(x, x, x).sqrt()
        wrong = torch.nonzero(rest > torch.finfo(x.dtype).eps ** 0.5 * size)
        if len(wrong):
            row = int(wrong[0])
            raise DataError(
                f"{name}[{row}] has {float(rest[row] / size[row]):.2g} of its norm outside the {self.modes} modes; "
                "project it first with space.project, or take more modes"
            )

    def coefficients(self, x: Tensor) -> Tensor:
        """Coefficients ``U^T M x``, float64, shape ``(batch, modes)``."""
        return x.double() @ self._dual.to(x.device)

    def values(self, coefficients: Tensor) -> Tensor:
        """Values ``U c`` at the simplices, float64, shape ``(batch, simplices)``."""
        return coefficients.double() @ self._basis.to(coefficients.device).T

    def flat(self, x: Tensor) -> Tensor:
        """Apply the mass matrix, ``M x``, float64: the linear form ``<x, .>``."""
        return torch.sparse.mm(self._mass.to(x.device), x.double().T).T

    def phi(self, x: Tensor, x0: Tensor) -> Tensor:
        """Return ``x0`` itself: the network predicts the denoised mean."""
        return x0

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Move from ``x`` along ``v``."""
        return x + v

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """Cochain that leads from ``x`` to ``y``."""
        return y - x

    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Mass inner product ``u^T M v``, float64, shape ``(batch,)``; the same at every ``x``."""
        return (u.double() * self.flat(v)).sum(1)

    def dist(self, x: Tensor, y: Tensor) -> Tensor:
        """Norm of the difference in the mass, float64, shape ``(batch,)``."""
        return self.inner(x, y - x, y - x).clamp_min(0).sqrt()

    def project(self, x: Tensor) -> Tensor:
        """Nearest point in the span of the modes, ``U U^T M x``, in the dtype of ``x``."""
        return x if self.spectrum.complete else self.values(self.coefficients(x)).to(x.dtype)

    def uniform(self, noise: Source, shape: Sequence[int], *, step: int, stream: str) -> Tensor:
        """Raise `ConfigError`: a linear space has no uniform law."""
        raise ConfigError("cochains have no uniform law; draw from a process's prior instead")
