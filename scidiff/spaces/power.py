"""Products of manifolds: ``M^N`` as one tensor, ``M_1 x M_2 x ...`` as named factors, and SE(3).

Everything acts factor by factor; squared lengths and squared distances add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scidiff.errors import ConfigError, ShapeError
from scidiff.random import Source
from scidiff.spaces.flat import Flat
from scidiff.spaces.manifold import Manifold
from scidiff.spaces.product import Product, State
from scidiff.spaces.smooth import safe_sqrt
from scidiff.spaces.so3 import SO3

__all__ = ["Power", "ProductManifold", "se3"]


@dataclass(frozen=True)
class Power(Manifold):
    """Copies of one manifold at the sites of a sample: the frames of a chain, the torsions of a molecule.

    Parameters
    ----------
    factor
        The manifold of one site.
    sites
        Shape of the sites; ``None`` marks a free axis.
    """

    factor: Manifold
    sites: tuple[int | None, ...]

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Shape of one sample."""
        return (*self.sites, *self.factor.shape)

    @property
    def tangent_shape(self) -> tuple[int | None, ...]:
        """Shape of one tangent vector."""
        return (*self.sites, *self.factor.tangent_shape)

    @property
    def dim(self) -> int:
        """Number of degrees of freedom.

        Raises
        ------
        ConfigError
            If a number of sites is free.
        """
        count = 1
        for size in self.sites:
            if size is None:
                raise ConfigError(f"the sites {self.sites} have a free axis; give its size to ask for the dimension")
            count *= size
        return count * self.factor.dim

    def check(self, x: Tensor, name: str = "x") -> None:
        """Raise `ShapeError` unless ``x`` has the sites and points of the factor after its leading axes."""
        self.factor.check(x, name)
        got = x.shape[x.ndim - len(self.shape) : x.ndim - len(self.factor.shape)]
        fits = x.ndim > len(self.shape) and all(
            want is None or want == size for want, size in zip(self.sites, got, strict=True)
        )
        if not fits:
            raise ShapeError(f"{name} has shape {tuple(x.shape)}; expected (batch, ..., {self.shape}) for {self!r}")

    def _sum(self, per_site: Tensor) -> Tensor:
        return per_site.flatten(-len(self.sites)).sum(-1) if self.sites else per_site

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Exponential map at every site."""
        return self.factor.exp(x, v)

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """Logarithm map at every site."""
        return self.factor.log(x, y)

    def inner(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """Sum of the inner products over the sites."""
        return self._sum(self.factor.inner(x, u, v))

    def dist(self, x: Tensor, y: Tensor) -> Tensor:
        """Root of the sum of squared distances over the sites."""
        return safe_sqrt(self._sum(self.factor.dist(x, y) ** 2))

    def transport(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        """Parallel transport at every site."""
        return self.factor.transport(x, y, v)

    def project_tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """Nearest tangent vector at every site."""
        return self.factor.project_tangent(x, v)

    def project(self, x: Tensor) -> Tensor:
        """Nearest point at every site."""
        return self.factor.project(x)

    def uniform(self, noise: Source, shape: Sequence[int], *, step: int, stream: str) -> Tensor:
        """Draw every site uniformly."""
        return self.factor.uniform(noise, shape, step=step, stream=stream)

    def random_tangent(self, x: Tensor, noise: Source, *, step: int, stream: str) -> Tensor:
        """Draw a standard normal tangent vector at every site."""
        return self.factor.random_tangent(x, noise, step=step, stream=stream)

    def condition(self, x: Tensor, y: Tensor) -> Tensor:
        """Sum of the conditions over the sites."""
        return self._sum(self.factor.condition(x, y))


@dataclass(frozen=True)
class ProductManifold(Product):
    """Product of named manifolds, with exponential and logarithm maps; a state is a mapping.

    Parameters
    ----------
    factors
        Manifold of each factor.
    """

    factors: Mapping[str, Manifold]

    def __post_init__(self) -> None:
        super().__post_init__()
        other = [name for name, space in self.factors.items() if not isinstance(space, Manifold)]
        if other:
            raise ConfigError(f"factors {other} are not manifolds; use Product, or Flat for Euclidean factors")

    @property
    def dim(self) -> int:
        """Number of degrees of freedom."""
        return sum(space.dim for space in self.factors.values())

    def _each(self, method: str, *states: State) -> dict[str, Tensor]:
        return {key: getattr(space, method)(*(s[key] for s in states)) for key, space in self.factors.items()}

    def exp(self, x: State, v: State) -> State:
        """Exponential map of every factor."""
        return self._each("exp", x, v)

    def log(self, x: State, y: State) -> State:
        """Logarithm map of every factor."""
        return self._each("log", x, y)

    def transport(self, x: State, y: State, v: State) -> State:
        """Parallel transport of every factor."""
        return self._each("transport", x, y, v)

    def project_tangent(self, x: State, v: State) -> State:
        """Nearest tangent vector of every factor."""
        return self._each("project_tangent", x, v)

    def inner(self, x: State, u: State, v: State) -> Tensor:
        """Sum of the inner products of the factors."""
        return torch.stack(list(self._each("inner", x, u, v).values())).sum(0)

    def norm(self, x: State, v: State) -> Tensor:
        """Length of the tangent vector ``v``."""
        return safe_sqrt(self.inner(x, v, v))

    def dist(self, x: State, y: State) -> Tensor:
        """Root of the sum of squared distances of the factors."""
        return safe_sqrt(torch.stack([each**2 for each in self._each("dist", x, y).values()]).sum(0))

    def condition(self, x: State, y: State) -> Tensor:
        """Sum of the conditions of the factors."""
        return torch.stack(list(self._each("condition", x, y).values())).sum(0)

    def random_tangent(self, x: State, noise: Source, *, step: int, stream: str) -> State:
        """Draw a standard normal tangent vector of every factor, each from its own stream."""
        return {
            key: space.random_tangent(x[key], noise, step=step, stream=f"{stream}/{key}")
            for key, space in self.factors.items()
        }


def se3() -> ProductManifold:
    """Rigid motions as rotation times translation: ``{"rotation": quaternion (4,), "translation": vector (3,)}``.

    The metric is the product metric, radians and the unit of the translations side by side; weigh them with `Scaled`.
    """
    return ProductManifold({"rotation": SO3(), "translation": Flat(3)})
