"""The certificate of a batch of states: how well each solves its equation, by our operator and by another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .contract import Problem, State

__all__ = ["Certificate", "certify"]


@dataclass(frozen=True, eq=False)
class Certificate:
    """Numbers of a batch, each of shape ``(batch,)``.

    Parameters
    ----------
    problem
        Name of the problem, whose operators are used.
    unit
        Unit of the residual.
    residual_max
        Largest ``|R|``.
    residual_mass
        ``(sum_i M_i R_i^2)^(1/2)``.
    relative
        Largest ``|R|`` over the largest term of the equation.
    constraints
        Defect of each conserved quantity or constraint, relative.
    independent
        Relative distance from the solution of the same inputs by an independent method; for an exact solution it is the
        error of the two discretisations, which the problem states.
    iterations
        Newton or solver iterations that were spent, 0 where the solution is direct.
    """

    problem: str
    unit: str
    residual_max: Tensor
    residual_mass: Tensor
    relative: Tensor
    constraints: Mapping[str, Tensor]
    independent: Tensor | None
    iterations: Tensor

    def __len__(self) -> int:
        return len(self.relative)

    def as_json(self) -> dict[str, object]:
        """Worst value of each number, and the count."""
        worst = {
            "residual_max": float(self.residual_max.max()),
            "residual_mass": float(self.residual_mass.max()),
            "relative": float(self.relative.max()),
            **{f"constraint_{name}": float(value.max()) for name, value in self.constraints.items()},
            "iterations": int(self.iterations.max()),
        }
        if self.independent is not None:
            worst["independent"] = float(self.independent.max())
        return {"problem": self.problem, "unit": self.unit, "count": len(self), **worst}

    def _repr_html_(self) -> str:
        """Card for notebooks."""
        from scidiff.io.html import report_card

        return report_card("certificate, the worst of all samples", self.as_json())


def certify(
    problem: Problem, state: State, *, independent: bool = True, iterations: Tensor | None = None
) -> Certificate:
    """Certify a batch.

    Parameters
    ----------
    problem
        The problem.
    state
        All fields of a batch.
    independent
        Whether to solve again by the independent method, which takes longest.
    iterations
        Iterations that were spent on each sample.

    Returns
    -------
    Certificate
        The numbers.

    Raises
    ------
    FieldError
        If a field holds NaN or infinities.
    ShapeError
        If a field is missing.
    """
    problem.check(state)
    with torch.no_grad():
        rest = problem.residual(state).flatten(1).abs()
        largest = rest.max(1).values
        return Certificate(
            problem.name,
            str(problem.residual_unit),
            largest,
            (problem.cell * (rest**2).sum(1)).sqrt(),
            largest / problem.scale(state),
            problem.conserved(state),
            problem.deviation(state) if independent else None,
            torch.zeros(len(rest), dtype=torch.int64) if iterations is None else iterations,
        )
