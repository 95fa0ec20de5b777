"""Non-dominated sorting: fronts of several objectives, all of them to be minimised.

``a`` dominates ``b`` if ``a_i <= b_i`` for all ``i`` and ``a_i < b_i`` for one. Front 0 holds the points that nothing
dominates, front ``k`` those that only points of the fronts before it dominate; equal points share a front.

One objective is a sort. With two, points in lexicographic order go, by bisection of the last values, to the first
front that does not dominate them: ``O(N log N)`` for all fronts [1]_. With more, fronts are peeled: in the order of the
sum of ranks nothing is dominated by what comes later, so each block is compared with the front found so far. Of these
at most `DEPTH` fronts are told apart; what is left behind them counts as one.

References
----------
.. [1] M. T. Jensen, IEEE Trans. Evol. Comput. 7 (2003) 503, doi:10.1109/TEVC.2003.817234
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from scidiff.errors import ShapeError

__all__ = ["DEPTH", "fronts"]

DEPTH = 32
"""Fronts of three and more objectives that are told apart."""
_BLOCK, _PART = 4096, 256


def fronts(values: np.ndarray, enough: int | None = None) -> list[np.ndarray]:
    """Divide points into fronts.

    Parameters
    ----------
    values
        Objectives to be minimised, finite, shape ``(points, objectives)``.
    enough
        Stop after the front with which so many points are reached; all of them by default.

    Returns
    -------
    list of ndarray
        Numbers of the points of each front, ascending; with three and more objectives the one after `DEPTH` fronts
        holds all the rest.

    Raises
    ------
    ShapeError
        If the values are not a finite matrix with at least one column.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or not values.shape[1] or not np.isfinite(values).all():
        raise ShapeError(f"objectives have shape {values.shape}; expected finite numbers (points, objectives)")
    enough = len(values) if enough is None else min(enough, len(values))
    if not len(values):
        return []
    if values.shape[1] > 2:
        return _peel(values, enough)
    rank = np.unique(values[:, 0], return_inverse=True)[1] if values.shape[1] == 1 else _plane(values)
    order = np.argsort(rank, kind="stable")
    ends = np.cumsum(np.bincount(rank))
    last = int(np.searchsorted(ends, enough)) + 1
    return np.split(order, ends[:-1])[:last]


def _plane(values: np.ndarray) -> np.ndarray:
    """Front of every point of two objectives."""
    order = np.lexsort((values[:, 1], values[:, 0]))
    rank, tails = np.empty(len(values), dtype=np.int64), []
    before, front = None, 0
    for point, a, b in zip(order.tolist(), *values[order].T.tolist(), strict=True):
        if (a, b) != before:
            before, front = (a, b), bisect_right(tails, b)
            if front == len(tails):
                tails.append(b)
            else:
                tails[front] = b
        rank[point] = front
    return rank


def _peel(values: np.ndarray, enough: int) -> list[np.ndarray]:
    """Take one front off after the other."""
    ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in values.T], 1).astype(np.int32)
    order = np.argsort(ranks.sum(1, dtype=np.int64), kind="stable")
    found, total = [], 0
    while total < enough and len(order):
        inside = _first(ranks[order]) if len(found) < DEPTH else np.ones(len(order), dtype=bool)
        found.append(np.sort(order[inside]))
        total += len(found[-1])
        order = order[~inside]
    return found


def _first(ranks: np.ndarray) -> np.ndarray:
    """Which points, given by ascending sum, nothing dominates."""
    inside = np.zeros(len(ranks), dtype=bool)
    front = ranks[:0]
    for start in range(0, len(ranks), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(ranks)))
        for part in range(0, len(front), _PART):
            rows = rows[~_dominated(ranks[rows], front[part : part + _PART])]
            if not len(rows):
                break
        kept = np.zeros(len(rows), dtype=bool)
        for part in range(0, len(rows), _PART):
            near = slice(part, part + _PART)
            kept[near] = ~_dominated(ranks[rows[near]], ranks[rows[: part + _PART]])
        rows = rows[kept]
        inside[rows] = True
        front = np.concatenate([front, ranks[rows]])
    return inside


def _dominated(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which points one of the others dominates."""
    below = np.ones((len(points), len(others)), dtype=bool)
    less = np.zeros_like(below)
    for mine, theirs in zip(points.T, others.T, strict=True):
        below &= theirs <= mine[:, None]
        less |= theirs < mine[:, None]
    return (below & less).any(1)
