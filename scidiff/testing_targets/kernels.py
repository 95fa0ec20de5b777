"""One kernel of every family of discrete noise, on which laws of kernels and likelihood bounds are checked."""

from __future__ import annotations

import torch
from torch import Tensor

from scidiff.process import Cosine, Kernel, Linear, MatrixKernel, Power, marginal, mask, tree, uniform

__all__ = ["KERNELS", "banded", "chapman_kolmogorov_defect"]


def banded(size: int) -> Tensor:
    """Nearest-neighbour rate matrix, shape ``(size, size)``."""
    off = torch.diag(torch.ones(size - 1), 1) + torch.diag(torch.ones(size - 1), -1)
    return (off - torch.diag(off.sum(1))).double()


KERNELS: dict[str, Kernel] = {
    "mask": mask(3),
    "mask-cosine": mask(3, Cosine()),
    "uniform": uniform(4, Power(1.5)),
    "marginal": marginal([0.2, 0.5, 0.3], Cosine()),
    "tree": tree([0, 1, 1, 0]),
    "tree-3": tree([0, 0, 1, 2], [0, 1, 1], survivals=(Linear(), Power(2), Power(4))),
    "banded": MatrixKernel(banded(5), Cosine()),
}


def chapman_kolmogorov_defect(kernel: Kernel, r: float, s: float, t: float) -> float:
    """Largest entry of ``|Q_{s|r} Q_{t|s} - Q_{t|r}|`` for ``r <= s <= t``."""
    first, middle, last = (torch.tensor(time, dtype=torch.float64) for time in (r, s, t))
    through = kernel.matrix(middle, first) @ kernel.matrix(last, middle)
    return float((through - kernel.matrix(last, first)).abs().max())
