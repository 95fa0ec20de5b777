"""Claims of the analyses: saddles, principal curves, membership and collapse, on landscapes and laws that are known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from scidiff.analysis import (
    CoherentError,
    EntropicWell,
    MullerBrown,
    Walkers,
    coherent_divergence,
    geodesic,
    membership_auc,
    minimum_energy_path,
    principal_curve,
    recurse,
)
from scidiff.bench.core.check import Claim
from scidiff.denoise import DatasetDenoiser, Denoiser, GaussianMixture
from scidiff.process import GaussianProcess, Kind, VPSchedule
from scidiff.random import Noise
from scidiff.spaces import Euclidean
from scidiff.spaces.flat import Flat

__all__ = ["claims"]

_DIM, _MEMBERS = 10, 500
_SE = ((2 * _MEMBERS + 1) / (12 * _MEMBERS**2)) ** 0.5


def claims() -> Iterator[Claim]:
    """Yield the claims of the analyses."""
    yield Claim(
        "string/saddle of Müller and Brown, energy",
        "exact",
        lambda _seed: _saddle(),
        truth=-40.66484,
        tolerance=5e-6,
        why="root of the gradient at (-0.82200, 0.62431), to five decimals; the climbing image does not interpolate",
    )
    yield Claim(
        "string/principal curve of the entropic well, E[y]",
        "consistent(1)",
        _principal,
        truth=EntropicWell().mean_across(),
        tolerance=0.01,
        why="quadrature; four times the spread of such runs, 900 walkers an image; the minimum-energy path is at y = 0",
        full=True,
    )
    yield Claim(
        "membership/AUC of the data by heart",
        "exact",
        lambda seed: _auc(seed, by_heart=True),
        truth=1,
        tolerance=1e-3,
        why=f"the denoiser of {_MEMBERS} points of N(0, 1) in {_DIM} dimensions knows each of them, sigma = 0.17",
    )
    yield Claim(
        "membership/AUC of the population",
        "exact",
        lambda seed: _auc(seed, by_heart=False),
        truth=0.5,
        tolerance=5 * _SE,
        why=f"members and {_MEMBERS} others have one law; five standard errors of a rank statistic",
    )
    yield Claim(
        "collapse/coherent errors, 30 generations",
        "exact",
        _collapse,
        truth=0,
        tolerance=1e-11,
        why="chi-square over its closed form e^2 ((1 - (1-a)^i)/a)^2 less 1; round-off of 30 mixtures",
    )


def _saddle() -> float:
    """Energy of the highest saddle between the two deep minima, by a string of 20 images."""
    landscape, plane = MullerBrown(), Flat(2)
    ends = torch.tensor([[-0.558, 1.442], [0.623, 0.028]], dtype=torch.float64)
    images = geodesic(plane, ends[0], ends[1], 20)
    path = minimum_energy_path(plane, landscape.gradient, images, step=2e-4, energy=landscape.energy)
    return float(landscape.energy(path.images[:1])) + path.barrier


def _principal(seed: int) -> float:
    """Mean height of the inner images of the principal curve."""
    landscape, plane = EntropicWell(), Flat(2)
    ends = torch.tensor([[-1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    images = geodesic(plane, ends[0], ends[1], 8)
    curve = principal_curve(plane, landscape.gradient, images, walkers=Walkers(900, 0.02), iterations=400, seed=seed)
    return float(curve.images[1:-1, 1].mean())


def _auc(seed: int, by_heart: bool) -> float:
    """AUC of a denoiser that knows the data, or their law."""
    schedule = VPSchedule()
    draws = Noise.range(seed, 2 * _MEMBERS).normal((_DIM,), step=0, stream="data")
    train, others = draws[:_MEMBERS], draws[_MEMBERS:]
    law = GaussianMixture.gaussian(schedule, torch.zeros(_DIM), torch.tensor(1.0))
    denoiser = Denoiser(DatasetDenoiser(schedule, train), Kind.MEAN) if by_heart else law.denoiser
    process = GaussianProcess(Euclidean((_DIM,)), schedule)
    return membership_auc(denoiser, process, train, others, [0.05], seed=seed).value


def _collapse(seed: int) -> float:
    """Worst relative deviation of the divergence from its closed form."""
    law = np.arange(1.0, 21.0) / np.arange(1.0, 21.0).sum()
    error, fresh, generations = 0.02, 0.2, 30
    shape = Noise.range(seed, 1).normal((20,), step=0, stream="error")[0].numpy()
    made = recurse(law, CoherentError(law, error, shape), fresh=fresh, generations=generations)
    truth = coherent_divergence(error, fresh, np.arange(generations + 1))
    return float(np.abs(made.divergence[..., 1:] / truth[1:] - 1).max())
