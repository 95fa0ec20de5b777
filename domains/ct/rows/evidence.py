"""Rows on the map of what was measured: small lesions in a disc of water, from invisible to plain.

Every lesion gets the contrast at which its own signal-to-noise ratio in the data, ``|A d|_W``, is a given number; the
image is the mean of posterior samples. In an image that is right elsewhere the evidence of a lesion has a standard
deviation of 1 around that number. A mean of samples leaves a part of a faint lesion out, or in its surroundings, so
that the evidence is smaller, by about a half: a lesion is marked from about twice the threshold on. One row states how
seldom lesions below the threshold are marked, one how often plain ones are, one where marking begins.
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
RATIOS = (0.0, 0.5, 1.0, 2.0, 4.0, 6.0, 9.0, 13.0)
"""Of the lesions of one scan."""

_PLAIN = 3.0


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
    scans, z, seconds = 1 if fast else 4, [], 0.0
    for k in range(scans):
        scan = simulate(phantom, geometry, _PHOTONS, seed, sample=k)
        found = reconstruct(scan, prior, grid=grid, count=4, steps=20, seed=seed + k)
        told = evidence(scan, found.mean, grid, _DIAMETER)
        z.append([float(told.z[at]) for at in pixels])
        seconds += found.seconds / scans
    values, ratios = torch.tensor(z, dtype=torch.float64), torch.tensor(RATIOS, dtype=torch.float64)
    marked = (values.abs() >= THRESHOLD).double()
    each = ", ".join(f"{r:g}: {v:.1f}" for r, v in zip(RATIOS, values.mean(0).tolist(), strict=True))
    note = (
        f"lesions of {_DIAMETER:g} mm in {scans} scans of {_VIEWS} views, {_PHOTONS:g} photons; mean evidence for each "
        f"ratio: {each}"
    )
    faint, plain = marked[:, ratios < THRESHOLD - 1], marked[:, ratios >= _PLAIN * THRESHOLD]
    chance = float(norm.cdf(ratios[ratios < THRESHOLD - 1].numpy() - THRESHOLD).mean())
    yield Row(
        f"lesions of a ratio of at most {float(ratios[ratios < THRESHOLD - 1].max()):g} marked as measured", "measured",
        float(faint.mean()), bar=chance + 3 * math.sqrt(chance / faint.numel()), above=False, calls=found.calls,
        seconds=seconds, note=f"{faint.numel()} {note}",
    )  # fmt: skip
    yield Row(
        f"lesions of at least {_PLAIN:g} times the threshold of {THRESHOLD:g} marked as measured", "measured",
        float(plain.mean()), bar=0.9, calls=found.calls, note=f"{plain.numel()} {note}",
    )  # fmt: skip
    often = [r for r, share in zip(RATIOS, marked.mean(0).tolist(), strict=True) if share >= 0.5]
    yield Row(
        "least ratio of which half are marked as measured", "measured", min(often, default=math.inf),
        baseline=THRESHOLD, baseline_name="an image that is right elsewhere", note=note,
    )  # fmt: skip
    above = ratios >= THRESHOLD
    share = values[:, above] / ratios[above]
    half = 2 * float(share.std()) / math.sqrt(share.numel())
    yield Row(
        "evidence of lesions over their own ratio, above the threshold", "measured", float(share.mean()),
        (float(share.mean()) - half, float(share.mean()) + half), note="1 for an image that is right elsewhere",
    )  # fmt: skip
