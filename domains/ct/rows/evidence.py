"""Rows on the map of what was measured: small lesions in a disc of water, some below and some above the threshold.

Every lesion gets the contrast at which its own signal-to-noise ratio in the data, ``|A d|_W``, is a given number; the
image is the mean of posterior samples. The evidence of a lesion has a standard deviation of 1 around that number in an
image that is right elsewhere; a smooth image leaves a part of it out, whose size a row states. Lesions are two
deviations from the threshold of 3 or more: of those a share of 0.98 is marked rightly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from scipy.stats import norm

from scidiff.domain import Row

from ..evidence import THRESHOLD, evidence
from ..geometry import Parallel, even_angles
from ..grid import Grid
from ..methods import reconstruct
from ..phantoms import Ellipse, Phantom, water_disc
from ..simulation import simulate

__all__ = ["evidence_rows", "lesions"]

_SIZE, _PIXEL, _VIEWS, _PHOTONS, _DIAMETER = 64, 3.0, 30, 1e5, 14.0
RATIOS = (0.0, 0.3, 0.6, 1.0, 8.0, 10.0, 13.0, 16.0)


def lesions(ratios: tuple[float, ...], geometry: Parallel, photons: float) -> tuple[Phantom, list[tuple[float, float]]]:
    """Disc of water with a ring of lesions of given signal-to-noise ratios, and their places.

    Parameters
    ----------
    ratios
        One for each lesion.
    geometry, photons
        Of the scan that will be made.
    """
    body = water_disc(80.0)
    weights = photons * torch.exp(-body.project(geometry, 2))
    turns = [2 * math.pi * (k + 0.3) / len(ratios) for k in range(len(ratios))]
    places = [(_centre(50.0 * math.cos(turn)), _centre(50.0 * math.sin(turn))) for turn in turns]
    extra = []
    for ratio, place in zip(ratios, places, strict=True):
        one = Phantom("lesion", (Ellipse(1.0, place, (0.5 * _DIAMETER, 0.5 * _DIAMETER)),), body.extent)
        signal = float((weights * one.project(geometry, 2) ** 2).sum().sqrt())
        extra.append(Ellipse(ratio / signal, place, (0.5 * _DIAMETER, 0.5 * _DIAMETER)))
    return replace(body, bodies=(*body.bodies, *extra)), places


def _centre(at: float) -> float:
    """Coordinate of the centre of the pixel that holds a point, mm."""
    return (math.floor(at / _PIXEL) + 0.5) * _PIXEL


def evidence_rows(fast: bool, seed: int, prior: str = "ct") -> Iterator[Row]:
    """Measure how many lesions are marked rightly, and how far the evidence is from the ratio.

    Parameters
    ----------
    fast
        Whether one scan is enough.
    seed
        Seed of the noise.
    prior
        Name or path.
    """
    geometry = Parallel(even_angles(_VIEWS), 3 * _SIZE // 2, _PIXEL)
    grid = Grid.square(_SIZE, _SIZE * _PIXEL)
    phantom, places = lesions(RATIOS, geometry, _PHOTONS)
    pixels = [tuple(int(c // _PIXEL) + _SIZE // 2 for c in (y, x)) for x, y in places]
    scans, z, calls, seconds = 1 if fast else 4, [], 0.0, 0.0
    for k in range(scans):
        scan = simulate(phantom, geometry, _PHOTONS, seed, sample=k)
        found = reconstruct(scan, prior, grid=grid, count=4, steps=20, seed=seed + k)
        told = evidence(scan, found.mean, grid, _DIAMETER)
        z.append([float(told.z[at]) for at in pixels])
        calls, seconds = found.calls, seconds + found.seconds / scans
    values, ratios = torch.tensor(z, dtype=torch.float64), torch.tensor(RATIOS, dtype=torch.float64)
    right = float(((values.abs() >= THRESHOLD) == (ratios >= THRESHOLD)).double().mean())
    count = values.numel()
    chance = float(norm.cdf(2.0))
    bar = chance - 3 * math.sqrt(chance * (1 - chance) / count)
    each = ", ".join(f"{r:g}: {v:.1f}" for r, v in zip(RATIOS, values.mean(0).tolist(), strict=True))
    note = (
        f"{count} lesions of {_DIAMETER:g} mm in {scans} scans of {_VIEWS} views, {_PHOTONS:g} photons; mean evidence "
        f"for each ratio: {each}"
    )
    yield Row(
        f"lesions marked as measured exactly when their ratio exceeds {THRESHOLD:g}", "measured", right, bar=bar,
        calls=calls, seconds=seconds, note=note,
    )  # fmt: skip
    above = ratios >= THRESHOLD
    share = values[:, above] / ratios[above]
    half = 2 * float(share.std()) / math.sqrt(share.numel())
    yield Row(
        "evidence of lesions over their own ratio, above the threshold", "measured", float(share.mean()),
        (float(share.mean()) - half, float(share.mean()) + half), note="1 for an image that is right elsewhere",
    )  # fmt: skip
