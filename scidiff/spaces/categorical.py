"""A finite set of classes at every site: ``phi(x, x0) = one-hot(x0)``.

A network of this space returns per-site log-probabilities ``log F(v)``, ``F(v) = p(x_0 = v | x_t)``. Draws are made by
inverse CDF in float64: float32 Gumbel noise truncates the tail and lowers the temperature [1]_.

References
----------
.. [1] Zheng et al., "Masked Diffusion Models are Secretly Time-Agnostic Masked Models", arXiv:2409.02908
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ShapeError
from scidiff.random import Source
from scidiff.spaces.base import Space

__all__ = ["Categorical", "draw", "draw_probs", "one_hot_log"]


def draw(log_probs: Tensor, u: Tensor) -> Tensor:
    """Draw classes by inverse CDF.

    Parameters
    ----------
    log_probs
        Log-probabilities, normalised or not, shape ``(..., classes)``.
    u
        Uniforms in (0, 1), shape ``(...)``.

    Returns
    -------
    Tensor
        Classes, int64, shape ``(...)``. A class of probability zero is never drawn. Where there is no law, only NaN or
        no mass at all, every class is as likely as any other; to mark such a sample is left to the caller.
    """
    return draw_probs(torch.softmax(log_probs.double(), dim=-1), u)


def draw_probs(probs: Tensor, u: Tensor) -> Tensor:
    """Draw classes by inverse CDF from probabilities, normalised or not; otherwise as `draw`."""
    cdf = probs.double().cumsum(-1)
    total = cdf[..., -1:]
    lawless = ~((total > 0) & total.isfinite())
    if bool(lawless.any()):
        cdf = torch.where(lawless, torch.arange(1, cdf.shape[-1] + 1).to(cdf), cdf)
        total = cdf[..., -1:]
    threshold = (u.to(cdf).unsqueeze(-1) * total).minimum(total * (1.0 - 2.0**-53))
    return torch.searchsorted(cdf, threshold, right=True).squeeze(-1)


def one_hot_log(x: Tensor, classes: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Log-probabilities of the point mass at ``x``: 0 at the class, -inf elsewhere; shape ``(*x.shape, classes)``."""
    out = torch.full((*x.shape, classes), -torch.inf, dtype=dtype, device=x.device)
    return out.scatter_(-1, x.unsqueeze(-1), 0.0)


@dataclass(frozen=True)
class Categorical(Space):
    """One of `classes` values at every site.

    Parameters
    ----------
    classes
        Number of values.
    shape
        Shape of the sites; ``None`` marks a free axis.

    Examples
    --------
    >>> import torch
    >>> from scidiff.spaces import Categorical
    >>> x0 = torch.tensor([[2, 0]])
    >>> Categorical(3, (2,)).phi(x0, x0).tolist()
    [[[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]]
    """

    classes: int
    shape: tuple[int | None, ...]

    def check(self, x: Tensor, name: str = "x") -> None:
        """Raise `ShapeError` unless ``x`` is a batch of integers in ``[0, classes)``."""
        super().check(x, name)
        if x.dtype != torch.int64:
            raise ShapeError(f"{name} has dtype {x.dtype}; expected torch.int64")
        if x.numel() and (int(x.min()) < 0 or int(x.max()) >= self.classes):
            raise ShapeError(f"{name} has values in [{int(x.min())}, {int(x.max())}]; expected [0, {self.classes})")

    def phi(self, x: Tensor, x0: Tensor) -> Tensor:
        """One-hot encoding of ``x0``, float64."""
        return torch.nn.functional.one_hot(x0, self.classes).double()

    def dist(self, x: Tensor, y: Tensor) -> Tensor:
        """Hamming distance: the number of sites that differ."""
        return (x != y).flatten(1).sum(1)

    def project(self, x: Tensor) -> Tensor:
        """Return ``x``: every class is a point."""
        return x

    def uniform(self, noise: Source, shape: Sequence[int], *, step: int, stream: str) -> Tensor:
        """Draw every class with equal probability."""
        u = noise.uniform(shape, step=step, stream=stream)
        return (u * self.classes).long().clamp_max(self.classes - 1)
