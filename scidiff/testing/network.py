"""Checks of networks that commute with the motions of space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scidiff.testing.require import require

if TYPE_CHECKING:
    from torch import Tensor

    from scidiff.nets.equivariant import EquivariantNetwork

__all__ = ["check_equivariant"]


def check_equivariant(
    network: EquivariantNetwork,
    x: Tensor,
    h: Tensor,
    t: Tensor,
    *,
    mask: Tensor | None = None,
    seed: int = 0,
    tolerance: float | None = None,
) -> dict[str, float]:
    """Check the contract of `scidiff.nets.equivariant` on one dense batch.

    Parameters
    ----------
    network, x, h, t, mask, seed
        As for `scidiff.nets.motions.equivariance_errors`.
    tolerance
        Largest relative error; by default 1e-10 in float64 and 1e-4 in float32.

    Returns
    -------
    dict
        The relative error of each motion, by name.

    Raises
    ------
    AssertionError
        If an error exceeds the tolerance, or if a network that promises rotations only commutes with reflections too.
    """
    import torch

    from scidiff.nets.motions import equivariance_errors

    bound = {torch.float64: 1e-10, torch.float32: 1e-4}[x.dtype] if tolerance is None else tolerance
    errors = equivariance_errors(network, x, h, t, mask, seed=seed)
    for name, error in errors.items():
        if name != "reflection" or network.reflections:
            require(error <= bound, f"{name}: relative error {error:.3g}, more than {bound:.3g}")
    require(
        network.reflections or errors["reflection"] > bound,
        "the network commutes with reflections and does not say so: set reflections",
    )
    return errors
