"""The geodesic random walk: Brownian motion in steps, on any manifold.

    x_(k+1) = exp_(x_k)(sqrt(h) xi_k),    xi_k standard normal in the tangent space,    h = t / steps

converges to Brownian motion with generator half the Laplacian, with weak order 1 in ``h``; in flat spaces it is exact.
Each step multiplies the observables below by one number, so that both the walk and its limit are known exactly from a
point, with ``r = sqrt(h) |xi|``:

    S^n    E cos d   = (E cos r)^steps               -> e^(-n t/2)
    SO(3)  E tr R/3  = (E (1 + 2 cos r)/3)^steps     -> e^(-t)
    H^n    E cosh d  = (E cosh r)^steps              -> e^(n t/2)
    T      E cos d   = e^(-t/2)

References
----------
.. [1] E. Jørgensen, "The central limit problem for geodesic random walks", doi:10.1007/BF00533088
.. [2] V. De Bortoli et al., "Riemannian score-based generative modelling", arXiv:2202.02763
"""

from __future__ import annotations

import torch
from torch import Tensor

from scidiff.errors import ConfigError
from scidiff.process.radial import lead_time
from scidiff.random import Source
from scidiff.spaces import Manifold, ProductManifold, State, first, state_map

__all__ = ["geodesic_random_walk"]


def geodesic_random_walk(
    space: Manifold | ProductManifold,
    x0: State,
    t: Tensor | float,
    noise: Source,
    *,
    steps: int,
    step: int = 0,
    stream: str = "walk",
) -> State:
    """Draw ``x_t`` given ``x_0`` by a geodesic random walk; `consistent(1)`, `exact` where the space is flat.

    Parameters
    ----------
    space
        The manifold.
    x0
        Where the walk starts; the first axis has one row per sample of ``noise``.
    t
        Variance per degree of freedom, positive; one number or one per sample.
    noise
        Source of the draws.
    steps
        Number of steps, at least 1.
    step, stream
        As in `scidiff.random.Noise.uniform`; step ``k`` of the walk draws from the stream ``f"{stream}/{k}"``.

    Returns
    -------
    State
        End of the walk, in the dtype of ``x0``.

    Raises
    ------
    ConfigError
        If ``steps`` or ``t`` is not positive.
    """
    if steps < 1:
        raise ConfigError(f"steps is {steps}; expected at least 1")
    space.check(x0, "x0")
    scale = (lead_time(t, (len(first(x0)),), first(x0).device) / steps).sqrt()
    x = state_map(Tensor.double, x0)
    for k in range(steps):
        xi = space.random_tangent(x, noise, step=step, stream=f"{stream}/{k}")
        x = space.exp(x, state_map(lambda v: v * scale.reshape(-1, *(1,) * (v.ndim - 1)), xi))
    return state_map(torch.Tensor.to, x, state_map(lambda s: s.dtype, x0))
