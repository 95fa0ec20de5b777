"""Constraints ``h(x) = 0`` on fields: values, residuals, Jacobians, and what their rows say together.

    affine        h(x) = A x - b                  J = A
    nonlinear     h given as a function in torch    J v and J^T w by forward and reverse differentiation

``h`` acts on a batch, row by row, and is evaluated in float64. Several constraints are joined by `Joint` and solved
together: a closed-form correction of one of them, made after that of another, breaks the earlier one.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from scipy.linalg import qr
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.spaces.linear import LinearOperator

from ..errors import ConstraintError, check_finite
from .operators import Stack

__all__ = ["Affine", "Constraint", "Joint", "Nonlinear", "RankReport"]

_RANK = 1e-10


@dataclass(frozen=True)
class RankReport:
    """What the rows of a Jacobian say together.

    Parameters
    ----------
    size, rank
        Number of rows, and of independent ones.
    condition
        Ratio of the largest to the least singular value that is not 0; infinite where all are 0.
    dependent
        Rows that follow from the others, as a greedy choice.
    misfit
        Largest entry of ``h`` that no small change of ``x`` can remove: 0 where the constraints agree.
    """

    size: int
    rank: int
    condition: float
    dependent: tuple[int, ...]
    misfit: float

    @property
    def full(self) -> bool:
        """Whether all rows are independent."""
        return self.rank == self.size


class Constraint(ABC):
    """A constraint on a batch of fields.

    Attributes
    ----------
    domain
        Event shape of a field.
    size
        Number of equations.
    affine
        Whether the Jacobian is the same everywhere.
    """

    domain: tuple[int, ...]
    size: int
    affine: bool = False

    @abstractmethod
    def residual(self, x: Tensor) -> Tensor:
        """``h(x)``, float64, shape ``(batch, size)``."""

    @abstractmethod
    def jacobian(self, x: Tensor) -> LinearOperator:
        """Jacobian at every field of a batch, as an operator from the domain to ``(size,)``."""

    def violation(self, x: Tensor) -> Tensor:
        """Largest ``|h|`` of every field, shape ``(batch,)``."""
        return self.residual(x).abs().amax(1)

    def rank(self, x: Tensor) -> RankReport:
        """Rank of the Jacobian at one field.

        Parameters
        ----------
        x
            The field, shape ``(1, *domain)``.

        Raises
        ------
        ShapeError
            If not one field came.
        """
        if len(x) != 1:
            raise ShapeError(f"{len(x)} fields came; expected one, the rank may differ from field to field")
        operator = self.jacobian(x)
        rows = [operator.adjoint(unit.unsqueeze(0)).flatten() for unit in torch.eye(self.size, dtype=torch.float64)]
        matrix = torch.stack(rows)
        values = torch.linalg.svdvals(matrix)
        kept = values > _RANK * values[0] * math.sqrt(max(matrix.shape))
        rank = int(kept.sum())
        order = qr(matrix.T.numpy(), mode="r", pivoting=True)[-1]
        h = self.residual(x)[0]
        left = h - matrix @ torch.linalg.lstsq(matrix, h.unsqueeze(1), driver="gelsd").solution[:, 0]
        condition = float(values[0] / values[kept][-1]) if rank else math.inf
        return RankReport(self.size, rank, condition, tuple(sorted(order[rank:].tolist())), float(left.abs().max()))

    def _check(self, x: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != self.domain:
            raise ShapeError(
                f"fields of shape {tuple(x.shape)} came; expected (batch, {', '.join(map(str, self.domain))})"
            )
        return x.double()


class Affine(Constraint):
    """``A x = b``.

    Parameters
    ----------
    operator
        ``A``.
    b
        Data, shape ``range`` for all fields or ``(batch, *range)``, one set for each.

    Raises
    ------
    ShapeError
        If the data have another shape.
    FieldError
        If a datum is not finite.
    """

    affine = True

    def __init__(self, operator: LinearOperator, b: Tensor) -> None:
        b = torch.as_tensor(b).double()
        shape = tuple(operator.range)
        if tuple(b.shape) != shape and tuple(b.shape[1:]) != shape:
            raise ShapeError(f"b has shape {tuple(b.shape)}; expected {shape} or (batch, *{shape})")
        check_finite(b, "b")
        self.operator, self.domain, self.size = operator, tuple(operator.domain), operator.size
        self.b = b if b.ndim > len(shape) else b.unsqueeze(0)

    def residual(self, x: Tensor) -> Tensor:
        """``A x - b``."""
        x = self._check(x)
        b = self.b.to(x.device)
        if len(b) not in (1, len(x)):
            raise ShapeError(f"{len(x)} fields came for {len(b)} sets of data; expected as many, or one set for all")
        return (self.operator.apply(x) - b).flatten(1)

    def jacobian(self, x: Tensor) -> LinearOperator:
        """``A``, with its data flattened."""
        return self.operator if len(self.operator.range) == 1 else _Flat(self.operator)

    def refuse(self) -> None:
        """Refuse data that contradict each other.

        Raises
        ------
        ConstraintError
            If a set of data has no solution; `where` holds the equations that no field obeys.
        """
        zero = torch.zeros((1, *self.domain), dtype=torch.float64)
        for number, b in enumerate(self.b):
            one = Affine(self.operator, b)
            report = one.rank(zero)
            if report.misfit > 1e-8 * (1 + float(b.abs().max())):
                raise ConstraintError(
                    f"set {number} of data has no solution: the {report.size} equations have rank {report.rank}, and "
                    f"the best field misses one by {report.misfit:.3g}; look at the equations {report.dependent}, "
                    "which follow from the others, and mend or leave out their data",
                    report.dependent,
                )


class Nonlinear(Constraint):
    """``h(x) = 0`` for a function in torch.

    Parameters
    ----------
    function
        ``h``: from ``(batch, *domain)`` to ``(batch, size)``, row by row, differentiable.
    domain, size
        Event shape of a field, and number of equations.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], domain: Sequence[int], size: int) -> None:
        if size < 1:
            raise ConfigError(f"size is {size}; expected at least one equation")
        self.function, self.domain, self.size = function, tuple(domain), size

    def residual(self, x: Tensor) -> Tensor:
        """``h(x)``."""
        h = self.function(self._check(x))
        if tuple(h.shape) != (len(x), self.size):
            raise ShapeError(f"h has shape {tuple(h.shape)}; expected ({len(x)}, {self.size})")
        return h

    def jacobian(self, x: Tensor) -> LinearOperator:
        """``J v`` by forward, ``J^T w`` by reverse differentiation."""
        return _Differentiated(self.function, self._check(x), self.size)


class Joint(Constraint):
    """Several constraints on the same fields, to be solved together.

    Parameters
    ----------
    parts
        The constraints.

    Raises
    ------
    ShapeError
        If they are on fields of different shapes.
    """

    def __init__(self, parts: Sequence[Constraint]) -> None:
        domains = {part.domain for part in parts}
        if len(domains) != 1:
            raise ShapeError(f"constraints on fields of shapes {sorted(domains)} came; expected one shape")
        self.parts, self.domain = tuple(parts), domains.pop()
        self.size, self.affine = sum(part.size for part in parts), all(part.affine for part in parts)

    def residual(self, x: Tensor) -> Tensor:
        """Equations of all parts, in order."""
        return torch.cat([part.residual(x) for part in self.parts], 1)

    def jacobian(self, x: Tensor) -> LinearOperator:
        """Rows of all parts."""
        return Stack([part.jacobian(x) for part in self.parts])


class _Flat(LinearOperator):
    """An operator whose data are a vector."""

    def __init__(self, operator: LinearOperator) -> None:
        self.operator, self.domain, self.range = operator, tuple(operator.domain), (operator.size,)

    def apply(self, x: Tensor) -> Tensor:
        return self.operator.apply(x).flatten(1)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.operator.adjoint(y.reshape(len(y), *self.operator.range))


class _Differentiated(LinearOperator):
    """Jacobian of a function at the fields of a batch; one field serves any number of vectors."""

    def __init__(self, function: Callable[[Tensor], Tensor], x: Tensor, size: int) -> None:
        self.function, self.x, self.domain, self.range = function, x, tuple(x.shape[1:]), (size,)
        self._pull: tuple[int, Callable[[Tensor], tuple[Tensor]]] | None = None

    def apply(self, x: Tensor) -> Tensor:
        return torch.func.jvp(self.function, (self._at(len(x)),), (x.double(),))[1]

    def adjoint(self, y: Tensor) -> Tensor:
        if self._pull is None or self._pull[0] != len(y):
            self._pull = len(y), torch.func.vjp(self.function, self._at(len(y)))[1]
        return self._pull[1](y.double())[0]

    def _at(self, count: int) -> Tensor:
        return self.x if len(self.x) == count else self.x.expand(count, *self.domain).contiguous()
