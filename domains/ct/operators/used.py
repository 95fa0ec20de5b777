"""Some rays of a projector: ``S A`` with a selection ``S``, for scans in which detector pixels are dead."""

from __future__ import annotations

from torch import Tensor

from scidiff.spaces.linear import LinearOperator, Selection

__all__ = ["UsedRays"]


class UsedRays(LinearOperator):
    """The rays of a projector that carry data.

    Parameters
    ----------
    operator
        ``A``.
    mask
        True for the rays that are kept, shape ``A.range``.
    """

    def __init__(self, operator: LinearOperator, mask: Tensor) -> None:
        self.operator, self.selection = operator, Selection(mask)
        self.domain, self.range = operator.domain, self.selection.range

    def apply(self, x: Tensor) -> Tensor:
        """Line integrals of the kept rays."""
        return self.selection.apply(self.operator.apply(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """Back-projection of the kept rays."""
        return self.operator.adjoint(self.selection.adjoint(y))
