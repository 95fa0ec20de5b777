"""Priors on images: analytic ones whose posterior is exact, and networks that learned from slices.

prior = load("ct")                           # bundled; or GaussianPrior(), which needs nothing
clean = prior.denoise(x, 0.1, grid)          # E[x_0 | x_0 + 0.1 eps = x], any image size
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scidiff.domain import lazy

if TYPE_CHECKING:
    from .gaussian import GaussianPrior as GaussianPrior
    from .learned import LearnedPrior as LearnedPrior
    from .learned import load as load
    from .learned import load_prior as load_prior
    from .mixture import MixturePrior as MixturePrior
    from .prior import Prior as Prior
    from .training import Recipe as Recipe
    from .training import fit_prior as fit_prior
    from .volumes import VolumePrior as VolumePrior

__all__ = [
    "GaussianPrior",
    "LearnedPrior",
    "MixturePrior",
    "Prior",
    "Recipe",
    "VolumePrior",
    "fit_prior",
    "load",
    "load_prior",
]

__getattr__ = lazy(
    __name__,
    {
        "GaussianPrior": "gaussian",
        "LearnedPrior": "learned",
        "MixturePrior": "mixture",
        "Prior": "prior",
        "Recipe": "training",
        "VolumePrior": "volumes",
        "fit_prior": "training",
        "load": "learned",
        "load_prior": "learned",
    },
)
