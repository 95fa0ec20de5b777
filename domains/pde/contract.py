"""What a problem is: fields with units, equation, law of the inputs, solver, residual, and an independent check.

A *state* maps names of fields to float64 tensors ``(batch, ...)``; it holds inputs (coefficient, source, initial value)
and solution. A problem gives the residual ``R(state)`` once, in torch; everything else that calculus needs comes from
it: ``dR`` along a tangent (`jvp`), its adjoint (`vjp`), and the norms

    max |R|,      |R|_M = (sum_i M_i R_i^2)^(1/2)

with M the volume of a cell, so that the second norm has a limit under refinement. The residual of a solution is not 0
in floating point: it is the round-off of ``R`` itself, so a certificate divides by the largest term.

The *independent check* solves the same inputs by another method, and reports how far the solution is from that one; its
size for the truth is the error that the problem states.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from scidiff.errors import ShapeError
from scidiff.random import Noise, Source

from .errors import check_finite
from .units import Term, Unit, check_dimensions

__all__ = ["Field", "Problem", "State"]

State = dict[str, Tensor]


@dataclass(frozen=True)
class Field:
    """A field of a problem.

    Parameters
    ----------
    name
        Name in a state.
    title
        What it is.
    unit
        Its unit.
    given
        Whether it is an input; otherwise it is solved for.
    """

    name: str
    title: str
    unit: Unit
    given: bool = False


class Problem(ABC):
    """A partial differential equation with everything that belongs to it.

    Attributes
    ----------
    name, title
        Short name, and one line.
    fields
        Inputs and solution.
    parameters
        Units of the constants of the equation.
    terms
        Terms of the equation, for the dimension check.
    order
        Order of the discretisation in the mesh width; infinity for spectral ones.
    truth_error
        Relative error of the solver against the independent one on draws of the law, as stated.
    boundary
        Boundary conditions, in words.
    """

    name: str
    title: str
    fields: tuple[Field, ...]
    parameters: Mapping[str, Unit] = {}
    terms: tuple[Term, ...]
    order: float
    truth_error: float
    boundary: str = "periodic"

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Event shape of the solution."""

    @property
    @abstractmethod
    def cell(self) -> float:
        """Volume that one entry of the residual stands for."""

    @abstractmethod
    def draw(self, noise: Source) -> State:
        """Draw the inputs of a batch."""

    @abstractmethod
    def solve(self, inputs: State) -> State:
        """Add the solution to the inputs."""

    @abstractmethod
    def residual(self, state: State) -> Tensor:
        """Left side minus right side of the discrete equation, shape ``(batch, ...)``; differentiable."""

    @abstractmethod
    def scale(self, state: State) -> Tensor:
        """Largest term of the discrete equation, shape ``(batch,)``: the unit in which a residual is small."""

    @abstractmethod
    def reference(self, inputs: State) -> State:
        """Solution of the same inputs by an independent method, at the same points."""

    def conserved(self, state: State) -> dict[str, Tensor]:
        """Defects of conserved quantities and constraints, relative, shape ``(batch,)`` each; 0 for a solution."""
        return {}

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return tuple(field.name for field in self.fields if field.given)

    @property
    def solved(self) -> tuple[str, ...]:
        """Names of the fields of the solution."""
        return tuple(field.name for field in self.fields if not field.given)

    @cached_property
    def units(self) -> dict[str, Unit]:
        """Units of fields and parameters."""
        return {field.name: field.unit for field in self.fields} | dict(self.parameters)

    @property
    def residual_unit(self) -> Unit:
        """Unit of the residual; raises `DimensionError` where the terms disagree."""
        return check_dimensions(self.terms, self.units)

    def _repr_html_(self) -> str:
        """Card for notebooks."""
        from .display import problem_card

        return problem_card(self)

    def truth(self, seed: int, count: int) -> State:
        """Draw inputs and solve."""
        return self.solve(self.draw(Noise.range(seed, count)))

    def check(self, state: State) -> None:
        """Refuse a state with missing fields, unequal batches, NaN or infinities."""
        missing = [field.name for field in self.fields if field.name not in state]
        if missing:
            raise ShapeError(f"the state of '{self.name}' has fields {sorted(state)}; expected also {missing}")
        sizes = {name: len(value) for name, value in state.items()}
        if len(set(sizes.values())) != 1:
            raise ShapeError(f"the fields of a state have batches {sizes}; expected one size")
        for name, value in state.items():
            check_finite(value, name)

    def jvp(self, state: State, tangent: Mapping[str, Tensor]) -> Tensor:
        """Derivative of the residual along a tangent that names some of the fields."""
        names = tuple(tangent)

        def residual(*values: Tensor) -> Tensor:
            return self.residual({**state, **dict(zip(names, values, strict=True))})

        primal = tuple(state[name] for name in names)
        return torch.func.jvp(residual, primal, tuple(tangent[name] for name in names))[1]

    def vjp(self, state: State, cotangent: Tensor, names: tuple[str, ...] | None = None) -> dict[str, Tensor]:
        """Adjoint of the derivative of the residual, for the named fields, all by default."""
        names = names or tuple(field.name for field in self.fields)

        def residual(*values: Tensor) -> Tensor:
            return self.residual({**state, **dict(zip(names, values, strict=True))})

        pull: Any = torch.func.vjp(residual, *(state[name] for name in names))[1]
        return dict(zip(names, pull(cotangent), strict=True))

    def deviation(self, state: State) -> Tensor:
        """Relative distance of the solution from the independent one, shape ``(batch,)``."""
        other = self.reference({name: state[name] for name in self.given})
        square = lambda part: sum((part[name].flatten(1) ** 2).sum(1) for name in self.solved)  # noqa: E731
        gap = {name: state[name] - other[name] for name in self.solved}
        return (square(gap) / square(other)).sqrt()
