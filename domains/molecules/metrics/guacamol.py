"""The Kullback-Leibler score of GuacaMol.

For each of ten quantities ``q`` the divergence ``D_q = KL(reference || generated)`` is estimated, and

    kl_score = mean_q exp(-D_q),

which is 1 for equal distributions and 0 for disjoint ones [1]_. The sets are the distinct molecules without stereo marks.

* BertzCT, MolLogP, MolWt, TPSA and the similarity of each molecule to its nearest neighbour in its own set (Morgan, radius
  2, 4096 bits) are continuous: a Gaussian kernel density with Scott's bandwidth ``h = s n^(-1/5)`` for each set, compared on
  1000 points that span both sets.
* Acceptors, donors, rotatable bonds, aliphatic and aromatic rings are counts: histograms of ten bins over the range of the
  reference, normalised over what falls into it. A generated value outside that range is not seen; this is the published
  definition.

Both tables get ``1e-10`` added and are normalised before ``KL(P || Q) = sum P log(P / Q)``. Where a continuous quantity is
constant in a set there is no density: ``D_q`` is 0 if both sets have that one value, and infinite otherwise. The interval
is the jackknife over groups of the generated molecules, at bandwidths held fixed.

References
----------
.. [1] N. Brown et al., "GuacaMol", J. Chem. Inf. Model. 59 (2019) 1096, arXiv 1811.09621
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .context import Context
from .descriptors import PHYSCHEM, PHYSCHEM_CONTINUOUS
from .fingerprints import group_similarity, morgan
from .intervals import group_jackknife, group_labels
from .molecule_set import MoleculeSet
from .report import Metric

__all__ = ["LARGEST", "count_divergence", "density_divergence", "kl_score", "measure_kl"]

LARGEST = 10_000
"""Molecules of each set that are compared, as in the published protocol."""
_GROUPS = 10
_POINTS = 1000
_BINS = 10
_FLOOR = 1e-10
_SIMILARITY_BITS = 4096
_LEAST = 3


@dataclass(frozen=True, eq=False)
class _Table:
    """The quantities of one set: descriptors ``(n, 9)``, nearest similarities by group ``(n, groups)``, groups ``(n,)``."""

    descriptors: np.ndarray
    nearest: np.ndarray
    labels: np.ndarray

    def without(self, group: int) -> _Table:
        """Leave a group of molecules out, as molecules and as neighbours."""
        rows, others = self.labels != group, np.arange(self.nearest.shape[1]) != group
        return _Table(self.descriptors[rows], self.nearest[rows][:, others], self.labels[rows])


def density_divergence(
    reference: np.ndarray, generated: np.ndarray, widths: tuple[float, float] | None = None
) -> float:
    """Divergence of two continuous samples by kernel densities.

    Parameters
    ----------
    reference, generated
        Samples, shapes ``(m,)`` and ``(n,)``, two values or more each.
    widths
        Standard deviations of the kernels of the two sets; None for Scott's.

    Returns
    -------
    divergence
        ``KL(reference || generated)`` in nats on the grid.
    """
    spreads = float(np.ptp(reference)), float(np.ptp(generated))
    if min(spreads) == 0.0:
        same = spreads == (0.0, 0.0) and reference[0] == generated[0]
        return 0.0 if same else float("inf")
    first, second = (_scott(reference), _scott(generated)) if widths is None else widths
    grid = np.linspace(min(reference.min(), generated.min()), max(reference.max(), generated.max()), _POINTS)
    return _divergence(_density(reference, first, grid), _density(generated, second, grid))


def count_divergence(reference: np.ndarray, generated: np.ndarray) -> float:
    """Divergence of two samples of counts by histograms over the range of the reference.

    Parameters
    ----------
    reference, generated
        Samples, shapes ``(m,)`` and ``(n,)``.

    Returns
    -------
    divergence
        ``KL(reference || generated)`` in nats.
    """
    first, edges = np.histogram(reference, bins=_BINS)
    second, _ = np.histogram(generated, bins=edges)
    width = np.diff(edges)
    tables = [counts / (max(counts.sum(), 1) * width) for counts in (first, second)]
    return _divergence(*tables)


def kl_score(divergences: np.ndarray) -> float:
    """Mean of ``exp(-D)`` over the divergences, between 0 and 1."""
    return float(np.mean(np.exp(-np.asarray(divergences))))


def measure_kl(context: Context) -> dict[str, Metric]:
    """KL score against the reference set."""
    ours = _table(context.generated, context.seed)
    theirs = _table(context.reference, context.seed + 1)
    count = len(ours.labels)
    note = f"mean exp(-KL) of ten quantities, {count} against {len(theirs.labels)} distinct molecules"
    if min(count, len(theirs.labels)) < _LEAST:
        return {"kl_score": Metric.undefined(count, f"needs {_LEAST} distinct molecules ({note})")}
    widths = _widths(theirs, ours)
    value = kl_score(_divergences(theirs, ours, widths))
    interval = None
    if count >= 2 * _GROUPS:
        left_out = [kl_score(_divergences(theirs, ours.without(group), widths)) for group in range(_GROUPS)]
        interval = group_jackknife(value, left_out, context.confidence).clip()
    return {"kl_score": Metric.of(value, interval, count, note)}


def _table(molecules: MoleculeSet, seed: int) -> _Table:
    """Quantities of up to `LARGEST` distinct molecules, drawn by the seed."""
    count = len(molecules.flat)
    rows = np.sort(np.random.default_rng(seed).permutation(count)[:LARGEST])
    labels = group_labels(len(rows), _GROUPS, seed)
    packed = morgan([molecules.flat[row] for row in rows], bits=_SIMILARITY_BITS, workers=molecules.workers)
    _, _, nearest = group_similarity(packed, labels, _GROUPS)
    return _Table(molecules.physchem[rows], nearest, labels)


def _continuous(table: _Table) -> list[np.ndarray]:
    """Columns that are compared by densities."""
    return [*table.descriptors[:, :PHYSCHEM_CONTINUOUS].T, table.nearest.max(axis=1)]


def _widths(reference: _Table, generated: _Table) -> list[tuple[float, float]]:
    """Bandwidths of each continuous quantity in both sets."""
    pairs = zip(_continuous(reference), _continuous(generated), strict=True)
    return [(_scott(first), _scott(second)) for first, second in pairs]


def _divergences(reference: _Table, generated: _Table, widths: list[tuple[float, float]]) -> np.ndarray:
    """Ten divergences."""
    pairs = zip(_continuous(reference), _continuous(generated), widths, strict=True)
    smooth = [density_divergence(first, second, width) for first, second, width in pairs]
    counted = range(PHYSCHEM_CONTINUOUS, len(PHYSCHEM))
    return np.array(
        smooth + [count_divergence(reference.descriptors[:, k], generated.descriptors[:, k]) for k in counted]
    )


def _scott(values: np.ndarray) -> float:
    """Scott's bandwidth in one dimension."""
    return float(np.std(values, ddof=1)) * len(values) ** -0.2


def _density(values: np.ndarray, width: float, grid: np.ndarray) -> np.ndarray:
    """Kernel density at the points of a grid, molecule block by molecule block."""
    total = np.zeros_like(grid)
    for start in range(0, len(values), _POINTS):
        total += np.exp(-0.5 * ((grid[:, None] - values[start : start + _POINTS]) / width) ** 2).sum(axis=1)
    return total / (len(values) * width * np.sqrt(2 * np.pi))


def _divergence(first: np.ndarray, second: np.ndarray) -> float:
    """KL divergence of two tables that are not yet normalised."""
    p, q = first + _FLOOR, second + _FLOOR
    p, q = p / p.sum(), q / q.sum()
    return max(float(np.sum(p * np.log(p / q))), 0.0)
