"""The distances and diversities of MOSES, with intervals.

With ``G`` the valid generated molecules (duplicates kept), ``R`` the reference set and ``T`` the Tanimoto similarity of
Morgan fingerprints (radius 2, 1024 bits) [1]_:

* ``intdiv  = 1 - mean_x mean_y T(x, y)`` over ``x, y`` in ``G``, the pair ``x = y`` included,
* ``intdiv2 = 1 - mean_x (mean_y T(x, y)^2)^(1/2)``: the root is taken molecule by molecule, as in the code of MOSES;
  the formula of the paper takes it once, of the mean over all pairs,
* ``snn = mean_x max_r T(x, r)`` over ``r`` in ``R``,
* ``frag``, ``scaf``: cosine of the count vectors of BRICS fragments, and of Bemis-Murcko scaffolds with two rings or
  more,
* ``logp_wasserstein`` and its like: the 1-Wasserstein distance of a property between ``G`` and ``R``. MOSES prints
  these under the bare names of the properties; here ``logp``, ``sa``, ``qed``, ``weight`` are the means over ``G``.

References
----------
.. [1] D. Polykovskiy et al., "Molecular Sets (MOSES)", Front. Pharmacol. 11 (2020) 565644, arXiv 1811.12823
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import wasserstein_distance

from .context import Context
from .descriptors import PROPERTIES
from .fingerprints import group_similarity, nearest_similarity
from .intervals import bootstrap_mean, group_jackknife, group_labels, half_sampling, wilson
from .molecule_set import MoleculeSet
from .report import Metric

__all__ = ["cosine", "diversities", "measure_diversity", "measure_filters", "measure_fragments", "measure_nearest"]
__all__ += ["measure_pains", "measure_properties", "measure_scaffold_similarity", "measure_wasserstein"]

JACKKNIFE_GROUPS = 20
LEAST_RINGS = 2


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine of two count vectors; NaN where one of them is zero.

    Parameters
    ----------
    first, second
        Counts of the same things, shape ``(k,)``.

    Returns
    -------
    similarity
        Between 0 and 1, or NaN.
    """
    length = np.linalg.norm(first) * np.linalg.norm(second)
    return float(first @ second / length) if length > 0 else float("nan")


def diversities(sums: np.ndarray, squares: np.ndarray, count: int) -> tuple[float, float]:
    """Internal diversities from sums over pairs.

    Parameters
    ----------
    sums, squares
        For each molecule the sum of ``T`` and of ``T^2`` over all, shape ``(n,)``.
    count
        Number of molecules summed over.

    Returns
    -------
    intdiv, intdiv2
        Between 0 and 1.
    """
    return 1 - float(np.mean(sums / count)), 1 - float(np.mean(np.sqrt(squares / count)))


def measure_diversity(context: Context) -> dict[str, Metric]:
    """Internal diversity, plain and with squares.

    Parameters
    ----------
    context
        The molecules, what they are compared with, and the settings.

    Returns
    -------
    rows
        ``intdiv``, ``intdiv2``.
    """
    molecules = context.generated
    count = len(molecules)
    groups = min(JACKKNIFE_GROUPS, count)
    labels = group_labels(count, groups, context.seed)
    sums, squares = group_similarity(molecules.fingerprints[molecules.index], labels, groups)
    values = diversities(sums.sum(axis=1), squares.sum(axis=1), count)
    left_out = [_diversities_without(sums, squares, labels, group) for group in range(groups)] if groups > 2 else []
    notes = ("1 - mean T over all pairs", "1 - mean of the molecule's root mean T^2, as the code of MOSES")
    return {
        name: Metric.of(
            value,
            group_jackknife(value, [pair[k] for pair in left_out], context.confidence).clip() if left_out else None,
            count,
            note,
        )
        for k, (name, value, note) in enumerate(zip(("intdiv", "intdiv2"), values, notes, strict=True))
    }


def _diversities_without(sums: np.ndarray, squares: np.ndarray, labels: np.ndarray, group: int) -> tuple[float, float]:
    """Diversities of all molecules outside one group."""
    rows = labels != group
    others = np.arange(sums.shape[1]) != group
    return diversities(sums[rows][:, others].sum(axis=1), squares[rows][:, others].sum(axis=1), int(rows.sum()))


def measure_nearest(context: Context) -> dict[str, Metric]:
    """Similarity to the nearest neighbour of the reference set.

    Parameters
    ----------
    context
        The molecules, what they are compared with, and the settings.

    Returns
    -------
    rows
        ``snn``.
    """
    molecules = context.generated
    nearest = nearest_similarity(molecules.fingerprints, context.reference.fingerprints)[molecules.index]
    note = "mean largest T to the reference; interval over the generated molecules at this reference"
    return {"snn": _mean(context, nearest, note)}


def measure_fragments(context: Context) -> dict[str, Metric]:
    """Cosine similarity of BRICS fragments.

    Parameters
    ----------
    context
        The molecules, what they are compared with, and the settings.

    Returns
    -------
    rows
        ``frag``.
    """
    note = "cosine of BRICS fragment counts; interval by half-sampling"
    sets = (context.generated, context.reference)
    return {"frag": _count_similarity(context, *(molecules.fragments for molecules in sets), note=note)}


def measure_scaffold_similarity(context: Context) -> dict[str, Metric]:
    """Cosine similarity of scaffolds with two rings or more.

    Parameters
    ----------
    context
        The molecules, what they are compared with, and the settings.

    Returns
    -------
    rows
        ``scaf``.
    """
    note = "cosine of counts of scaffolds with two rings or more, a fraction; interval by half-sampling"
    items = [_ringed(molecules) for molecules in (context.generated, context.reference)]
    return {"scaf": _count_similarity(context, *items, note=note)}


def measure_properties(context: Context) -> dict[str, Metric]:
    """Mean properties of the generated molecules.

    Parameters
    ----------
    context
        The molecules, what they are compared with, and the settings.

    Returns
    -------
    rows
        ``logp``, ``sa``, ``qed``, ``weight``.
    """
    units = ("mean Crippen logP", "mean synthetic accessibility, 1 to 10", "mean QED", "mean molecular weight, Da")
    values = context.generated.properties
    return {name: _mean(context, values[:, k], units[k]) for k, name in enumerate(PROPERTIES)}


def measure_wasserstein(context: Context) -> dict[str, Metric]:
    """Distance of each property to the reference set.

    Parameters
    ----------
    context
        The molecules, what they are compared with, and the settings.

    Returns
    -------
    rows
        The same names, each followed by ``_wasserstein``.
    """
    ours, theirs = context.generated.properties, context.reference.properties
    labels = group_labels(len(ours), min(JACKKNIFE_GROUPS, len(ours)), context.seed)
    rows = {}
    for k, name in enumerate(PROPERTIES):
        value = float(wasserstein_distance(theirs[:, k], ours[:, k]))
        interval = None
        if labels.max() > 1:
            left_out = [wasserstein_distance(theirs[:, k], ours[labels != j, k]) for j in range(labels.max() + 1)]
            interval = group_jackknife(value, left_out, context.confidence).clip(0.0, np.inf)
        rows[f"{name}_wasserstein"] = Metric.of(value, interval, len(ours), "1-Wasserstein distance to the reference")
    return rows


def measure_filters(context: Context) -> dict[str, Metric]:
    """Share that passes the filters of MOSES.

    Parameters
    ----------
    context
        The molecules, what they are compared with, and the settings.

    Returns
    -------
    rows
        ``filters``.
    """
    if context.rules is None:
        return {"filters": Metric.undefined(0, "the rule files of MOSES were not given")}
    passes = context.generated.passes_moses(context.rules)
    return {"filters": _share(context, passes, "MCF, PAINS, rings, charges and elements of MOSES, of the valid")}


def measure_pains(context: Context) -> dict[str, Metric]:
    """Share without a PAINS alert of RDKit.

    Parameters
    ----------
    context
        The molecules, what they are compared with, and the settings.

    Returns
    -------
    rows
        ``pains_free``.
    """
    return {"pains_free": _share(context, context.generated.passes_pains, "no PAINS alert of RDKit, of the valid")}


def _ringed(molecules: MoleculeSet) -> list[tuple[str, ...]]:
    """Scaffold of each distinct molecule, where it has enough rings."""
    return [(found[0],) if found is not None and found[1] >= LEAST_RINGS else () for found in molecules.scaffolds]


def _count_similarity(
    context: Context, ours: Sequence[tuple[str, ...]], theirs: Sequence[tuple[str, ...]], *, note: str
) -> Metric:
    """Cosine of the counts of items, with its spread over halves of the generated molecules."""
    index = context.generated.index
    keys = {key: k for k, key in enumerate(sorted({key for items in (*ours, *theirs) for key in items}))}
    matrix, other = _incidence(ours, keys), _incidence(theirs, keys)
    target = other.T @ np.bincount(context.reference.index, minlength=len(theirs)).astype(np.float64)

    def similarity(rows: np.ndarray) -> float:
        return cosine(matrix.T @ np.bincount(index[rows], minlength=len(ours)).astype(np.float64), target)

    value = similarity(np.arange(len(index)))
    if not np.isfinite(value):
        return Metric.undefined(len(index), f"one of the sets has none to count ({note})")
    interval = None
    if context.repeats and len(index) > 1:
        settings = {"seed": context.seed, "repeats": context.repeats, "confidence": context.confidence}
        interval = half_sampling(similarity, value, len(index), **settings)
        interval = interval.clip() if np.isfinite(interval.low) else None
        note += "" if interval else "; no interval, because a half of the molecules has none to count"
    return Metric.of(value, interval, len(index), note)


def _incidence(items: Sequence[tuple[str, ...]], keys: dict[str, int]) -> csr_array:
    """Counts of each key in each molecule, shape ``(molecules, keys)``."""
    starts = np.cumsum([0, *(len(row) for row in items)])
    columns = np.array([keys[key] for row in items for key in row], dtype=np.int64)
    return csr_array((np.ones(len(columns)), columns, starts), shape=(len(items), len(keys)))


def _mean(context: Context, values: np.ndarray, note: str) -> Metric:
    """Mean with a bootstrap interval."""
    interval = None
    if context.repeats:
        interval = bootstrap_mean(values, seed=context.seed, repeats=context.repeats, confidence=context.confidence)
    return Metric.of(float(np.mean(values)), interval, len(values), note)


def _share(context: Context, passes: np.ndarray, note: str) -> Metric:
    """Share of the valid molecules with Wilson's interval."""
    interval = wilson(int(passes.sum()), len(passes), context.confidence)
    return Metric.of(float(passes.mean()), interval, len(passes), note)
