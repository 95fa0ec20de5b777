"""The Kullback-Leibler score of GuacaMol.

For each of ten quantities ``q`` the divergence ``D_q = KL(reference || generated)`` is estimated, and

    kl_score = mean_q exp(-D_q),

which is 1 for equal distributions and 0 for disjoint ones [1]_. The sets are the distinct molecules without stereo
marks.

* BertzCT, MolLogP, MolWt, TPSA and the similarity of each molecule to its nearest neighbour in its own set (Morgan,
  radius 2, 4096 bits) are continuous: a Gaussian kernel density with Scott's bandwidth ``h = s n^(-1/5)`` for each set,
  compared on 1000 points that span both sets.
* Acceptors, donors, rotatable bonds, aliphatic and aromatic rings are counts: histograms of ten bins over the range of
  the reference, normalised over what falls into it. A generated value outside that range is not seen; this is the
  published definition.

Both tables get ``1e-10`` added and are normalised before ``KL(P || Q) = sum P log(P / Q)``. Where a continuous quantity
is constant in a set there is no density: ``D_q`` is 0 if both sets have that one value, and infinite otherwise. The
interval is the jackknife over groups of the generated molecules, with bandwidths and nearest neighbours held fixed.

References
----------
.. [1] N. Brown et al., "GuacaMol", J. Chem. Inf. Model. 59 (2019) 1096, arXiv 1811.09621
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .context import Context
from .descriptors import PHYSCHEM, PHYSCHEM_CONTINUOUS, physchem
from .fingerprints import nearest_other
from .intervals import group_jackknife, group_labels
from .molecule_set import MoleculeSet
from .morgan import morgan
from .parallel import parallel_map
from .report import Metric

__all__ = ["LARGEST", "Comparison", "compare_counts", "compare_densities", "kl_score", "measure_kl"]

LARGEST = 10_000
"""Molecules of each set that are compared, as in the published protocol."""
_GROUPS = 10
_POINTS = 1000
_BINS = 10
_FLOOR = 1e-10
_SIMILARITY_BITS = 4096
_LEAST = 3


@dataclass(frozen=True, eq=False)
class Comparison:
    """The tables of one quantity in two sets.

    Parameters
    ----------
    target
        Density of the reference, shape ``(cells,)``.
    parts
        Table of each group of the generated molecules, shape ``(groups, cells)``; the density of a union of groups is
        the sum of their tables over the sum of their weights.
    weights
        Weight of each group, shape ``(groups,)``.
    """

    target: np.ndarray
    parts: np.ndarray
    weights: np.ndarray

    def divergence(self, without: int | None = None) -> float:
        """KL divergence in nats, of all groups or of all but one."""
        rest = np.arange(len(self.parts)) != (-1 if without is None else without)
        density = self.parts[rest].sum(axis=0) / max(self.weights[rest].sum(), np.finfo(np.float64).tiny)
        p, q = self.target + _FLOOR, density + _FLOOR
        p, q = p / p.sum(), q / q.sum()
        return max(float(np.sum(p * np.log(p / q))), 0.0)


def compare_densities(reference: np.ndarray, generated: np.ndarray, labels: np.ndarray) -> Comparison | float:
    """Kernel densities of a continuous quantity on a grid that spans both sets.

    Parameters
    ----------
    reference, generated
        Samples, shapes ``(m,)`` and ``(n,)``, two values or more each.
    labels
        Group of each generated value, shape ``(n,)``.

    Returns
    -------
    comparison
        The tables; or the divergence itself, 0 or infinite, where a set has one value only and so no density.
    """
    spreads = float(np.ptp(reference)), float(np.ptp(generated))
    if min(spreads) == 0.0:
        return 0.0 if spreads == (0.0, 0.0) and reference[0] == generated[0] else float("inf")
    grid = np.linspace(min(reference.min(), generated.min()), max(reference.max(), generated.max()), _POINTS)
    width = _scott(generated)
    parts = np.stack([_kernels(generated[labels == group], width, grid) for group in range(labels.max() + 1)])
    target = _kernels(reference, _scott(reference), grid) / len(reference)
    return Comparison(target, parts, np.bincount(labels).astype(np.float64))


def compare_counts(reference: np.ndarray, generated: np.ndarray, labels: np.ndarray) -> Comparison:
    """Histograms of a counted quantity over the range of the reference.

    Parameters
    ----------
    reference, generated
        Samples, shapes ``(m,)`` and ``(n,)``.
    labels
        Group of each generated value, shape ``(n,)``.

    Returns
    -------
    comparison
        The tables.
    """
    target, edges = np.histogram(reference, bins=_BINS, density=True)
    parts = np.stack([np.histogram(generated[labels == group], bins=edges)[0] for group in range(labels.max() + 1)])
    return Comparison(target, parts.astype(np.float64), parts.sum(axis=1) * (edges[1] - edges[0]))


def kl_score(divergences: Sequence[float]) -> float:
    """Mean of ``exp(-D)`` over the divergences, between 0 and 1.

    Parameters
    ----------
    divergences
        KL divergences in nats; infinite ones count as zero.

    Returns
    -------
    score
        1 where all are zero.
    """
    return float(np.mean(np.exp(-np.asarray(divergences, dtype=np.float64))))


def measure_kl(context: Context) -> dict[str, Metric]:
    """KL score against the reference set.

    Parameters
    ----------
    context
        The molecules, what they are compared with, and the settings.

    Returns
    -------
    rows
        ``kl_score``.
    """
    ours, theirs = (_quantities(molecules, context.seed) for molecules in (context.generated, context.reference))
    count = len(ours)
    note = f"mean exp(-KL) of ten quantities, {count} against {len(theirs)} distinct molecules"
    if min(count, len(theirs)) < _LEAST:
        return {"kl_score": Metric.undefined(count, f"needs {_LEAST} distinct molecules ({note})")}
    groups = min(_GROUPS, count)
    pairs = _comparisons(theirs, ours, group_labels(count, groups, context.seed))
    value = _score(pairs)
    interval = group_jackknife(value, [_score(pairs, group) for group in range(groups)], context.confidence).clip()
    return {"kl_score": Metric.of(value, interval, count, note)}


def _score(pairs: Sequence[Comparison | float], without: int | None = None) -> float:
    """Score of all quantities, of all groups or of all but one."""
    return kl_score([pair if isinstance(pair, float) else pair.divergence(without) for pair in pairs])


def _comparisons(reference: np.ndarray, generated: np.ndarray, labels: np.ndarray) -> list[Comparison | float]:
    """Compare the ten columns of two sets."""
    counted = range(PHYSCHEM_CONTINUOUS, len(PHYSCHEM))
    return [
        (compare_counts if column in counted else compare_densities)(reference[:, column], generated[:, column], labels)
        for column in range(len(PHYSCHEM) + 1)
    ]


def _quantities(molecules: MoleculeSet, seed: int) -> np.ndarray:
    """Nine descriptors and the nearest similarity of up to `LARGEST` distinct molecules, drawn by the seed."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(molecules.flat))[:LARGEST])
    chosen = [molecules.flat[row] for row in rows]
    packed = morgan(chosen, bits=_SIMILARITY_BITS, workers=molecules.workers)
    descriptors = np.array(parallel_map(physchem, chosen, molecules.workers), dtype=np.float64).reshape(
        -1, len(PHYSCHEM)
    )
    return np.column_stack([descriptors, nearest_other(packed)])


def _scott(values: np.ndarray) -> float:
    """Scott's bandwidth in one dimension."""
    return float(np.std(values, ddof=1)) * len(values) ** -0.2


def _kernels(values: np.ndarray, width: float, grid: np.ndarray) -> np.ndarray:
    """Sum of normalised Gaussian kernels at the points of a grid, block by block."""
    total = np.zeros_like(grid)
    for start in range(0, len(values), _POINTS):
        total += np.exp(-0.5 * ((grid[:, None] - values[start : start + _POINTS]) / width) ** 2).sum(axis=1)
    return total / (width * np.sqrt(2 * np.pi))
