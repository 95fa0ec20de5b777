"""What all kits share: one way to say that something does not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["below", "require"]


def require(holds: object, message: str) -> None:
    """Raise an `AssertionError` with the message unless something holds."""
    if not holds:
        raise AssertionError(message)


def below(value: Tensor, bound: Tensor, message: str) -> None:
    """Require ``value <= bound`` entry by entry; the message gets the worst entry."""
    worst = (value - bound).argmax()
    value, bound = value.flatten()[worst], bound.flatten()[worst]
    require(bool(value <= bound), f"{message}: off by {float(value):.3g}, allowed {float(bound):.3g}")
