"""Product of named spaces: ``phi`` is the direct sum, every operation acts factor by factor.

A state of a product is a mapping ``{name: tensor}``; a state of any other space is a tensor. `state_map` lets code
treat both alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.random import Source
from scidiff.spaces.base import Space

__all__ = ["Product", "State", "first", "state_map"]

State = Tensor | Mapping[str, Tensor]


def state_map(function: Callable[..., Any], *states: Any) -> Any:
    """Apply a function factor by factor, or directly where the states are tensors.

    Arguments that are not mappings are handed to every factor as they are.
    """
    mapping = next((state for state in states if isinstance(state, Mapping)), None)
    if mapping is None:
        return function(*states)
    return {key: function(*(s[key] if isinstance(s, Mapping) else s for s in states)) for key in mapping}


def first(state: State) -> Tensor:
    """Return one tensor of the state, to ask for batch size and device."""
    return next(iter(state.values())) if isinstance(state, Mapping) else state


@dataclass(frozen=True)
class Product(Space):
    """Direct product of named factors.

    Parameters
    ----------
    factors
        Space of each factor. Product spaces do not nest.
    """

    factors: Mapping[str, Space]

    def __post_init__(self) -> None:
        nested = [name for name, space in self.factors.items() if isinstance(space, Product)]
        if nested or not self.factors:
            raise ConfigError(f"a product needs at least one factor and no nested product; nested: {nested}")

    @property
    def shape(self) -> tuple[int | None, ...]:
        """A product has no single event shape."""
        raise ShapeError("a product space has one shape per factor; ask space.factors[name].shape")

    def __iter__(self) -> Iterator[str]:
        return iter(self.factors)

    def check(self, x: State, name: str = "x") -> None:
        """Raise `ShapeError` unless every factor is there and fits."""
        if not isinstance(x, Mapping) or set(x) != set(self.factors):
            came = sorted(x) if isinstance(x, Mapping) else type(x).__name__
            raise ShapeError(f"{name} has factors {came}; expected a mapping with {sorted(self.factors)}")
        for key, space in self.factors.items():
            space.check(x[key], f"{name}['{key}']")

    def phi(self, x: State, x0: State) -> State:
        """Embedding of every factor."""
        return {key: space.phi(x[key], x0[key]) for key, space in self.factors.items()}

    def dist(self, x: State, y: State) -> Tensor:
        """Root of the sum of squared distances of the factors."""
        return sum(space.dist(x[key], y[key]).double() ** 2 for key, space in self.factors.items()) ** 0.5

    def project(self, x: State) -> State:
        """Project every factor."""
        return {key: space.project(x[key]) for key, space in self.factors.items()}

    def uniform(self, noise: Source, shape: Mapping[str, Sequence[int]], *, step: int, stream: str) -> State:
        """Draw every factor uniformly, each from its own stream."""
        return {
            key: space.uniform(noise, shape[key], step=step, stream=f"{stream}/{key}")
            for key, space in self.factors.items()
        }
