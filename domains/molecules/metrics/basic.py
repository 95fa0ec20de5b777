"""Rates: validity, uniqueness, novelty, and the counts of quality and scaffolds.

With ``a`` attempts, ``r`` returned strings, ``v`` valid molecules, ``u`` distinct ones and ``w`` distinct ones that are
not in the training set:

==============  ========================================================================================
valid           ``v / a``, per attempt
valid_returned  ``v / r``, per returned string
valid_strict    valid, one fragment and closed shell, over ``a``
connected       one fragment, over ``v``
no_radicals     closed shell, over ``v``
unique          ``u / v``, the convention of MOSES (GuacaMol divides by the number asked for, as ``vu``)
unique@k        the same on the first ``k`` valid molecules
novel           ``w / u``
vu, vun         ``u / a`` and ``w / a``
quality         distinct molecules with SA <= 4 and QED >= 0.6, over ``a``
sc_nov          distinct scaffolds that no training molecule has, over ``a``
sc_ret          distinct scaffolds that a molecule of the target set has, over ``a``
==============  ========================================================================================

Quality and the two scaffold rates are those of MolHIT [1]_; a scaffold is a Bemis-Murcko scaffold with a ring at least.

References
----------
.. [1] H. Jung et al., "MolHIT", arXiv 2602.17602
"""

from __future__ import annotations

import numpy as np

from .context import Context
from .descriptors import PROPERTIES
from .intervals import Interval, half_sampling, wilson
from .report import Metric

__all__ = ["HARDEST_SA", "LEAST_QED", "distinct_rate", "measure_novelty", "measure_quality", "measure_scaffolds"]
__all__ += ["measure_uniqueness", "measure_validity"]

HARDEST_SA = 4.0
LEAST_QED = 0.6


def distinct_rate(codes: np.ndarray, keep: np.ndarray) -> float:
    """Number of distinct codes among the kept trials, over all trials.

    Parameters
    ----------
    codes
        What each trial gave, as an integer, shape ``(n,)``.
    keep
        Whether a trial counts, shape ``(n,)``.

    Returns
    -------
    rate
        Between 0 and 1.
    """
    return len(np.unique(codes[keep])) / len(codes)


def measure_validity(context: Context) -> dict[str, Metric]:
    """Validity per attempt and per returned string, connectedness and closed shells.

    Parameters
    ----------
    context
        The molecules, what they are compared with, and the settings.

    Returns
    -------
    rows
        ``valid``, ``valid_returned``, ``valid_strict``, ``connected``, ``no_radicals``.
    """
    checked = context.checked
    valid = len(context.generated)
    whole = checked.connected & checked.closed_shell
    return {
        "valid": _proportion(context, valid, checked.attempts, "per attempt"),
        "valid_returned": _proportion(context, valid, checked.returned, "per returned string"),
        "valid_strict": _proportion(
            context, int(whole.sum()), checked.attempts, "valid, one fragment, closed shell, per attempt"
        ),
        "connected": _proportion(context, int(checked.connected.sum()), valid, "one fragment, of the valid"),
        "no_radicals": _proportion(context, int(checked.closed_shell.sum()), valid, "closed shell, of the valid"),
    }


def measure_uniqueness(context: Context) -> dict[str, Metric]:
    """Uniqueness among the valid, among the first ``k`` valid, and per attempt.

    Parameters
    ----------
    context
        The molecules, what they are compared with, and the settings.

    Returns
    -------
    rows
        ``unique``, ``vu``, and ``unique@k`` for each ``k`` that there are valid molecules for.
    """
    note = "distinct of the valid; falls with the count; interval by half-sampling"
    rows = {"unique": _distinct(context, context.generated.index, None, note)}
    valid = context.checked.canonical
    for size in context.unique_at:
        if size <= len(valid):
            first = np.unique(np.array(valid[:size]), return_inverse=True)[1]
            rows[f"unique@{size}"] = _distinct(context, np.sort(first), None, f"distinct of the first {size} valid")
    rows["vu"] = _distinct(context, context.codes, context.codes >= 0, "valid and distinct, per attempt")
    return rows


def measure_novelty(context: Context) -> dict[str, Metric]:
    """Novelty of the distinct molecules, and valid, distinct and novel per attempt.

    Parameters
    ----------
    context
        The molecules, what they are compared with, and the settings.

    Returns
    -------
    rows
        ``novel``, ``vun``.
    """
    novel = context.novel
    keep = _of_attempts(context, novel)
    return {
        "novel": _proportion(context, int(novel.sum()), len(novel), "not in the training set, of the distinct"),
        "vun": _distinct(context, context.codes, keep, "valid, distinct and novel, per attempt"),
    }


def measure_quality(context: Context) -> dict[str, Metric]:
    """Valid, distinct, easy to make and drug-like, per attempt.

    Parameters
    ----------
    context
        The molecules, what they are compared with, and the settings.

    Returns
    -------
    rows
        ``quality``.
    """
    values = context.generated.properties
    sa, qed = values[:, PROPERTIES.index("sa")], values[:, PROPERTIES.index("qed")]
    keep = np.zeros(len(context.codes), dtype=bool)
    keep[: len(values)] = (sa <= HARDEST_SA) & (qed >= LEAST_QED)
    return {"quality": _distinct(context, context.codes, keep, "valid, distinct, SA <= 4, QED >= 0.6, per attempt")}


def measure_scaffolds(context: Context) -> dict[str, Metric]:
    """Scaffold novelty and scaffold retrieval, per attempt.

    Parameters
    ----------
    context
        The molecules, what they are compared with, and the settings.

    Returns
    -------
    rows
        ``sc_ret``, and ``sc_nov`` where there is a training set.
    """
    named = [None if found is None else found[0] for found in context.generated.scaffolds]
    numbers = {name: row for row, name in enumerate(sorted({name for name in named if name is not None}))}
    codes = np.array([-1 if name is None else numbers[name] for name in named], dtype=np.int64)
    by_attempt = np.full(len(context.codes), -1, dtype=np.int64)
    by_attempt[: len(context.generated)] = codes[context.generated.index]

    def rate(counts: list[bool], note: str) -> Metric:
        keep = _of_attempts(context, np.array(counts, dtype=bool))
        return _distinct(context, by_attempt, keep, note)

    rows = {}
    if context.train is not None:
        known = {found[0] for found in context.train.scaffolds if found is not None}
        rows["sc_nov"] = rate([name is not None and name not in known for name in named], "new scaffolds per attempt")
    wanted = {found[0] for found in context.targets.scaffolds if found is not None}
    rows["sc_ret"] = rate([name is not None and name in wanted for name in named], "target scaffolds hit, per attempt")
    return rows


def _of_attempts(context: Context, flags: np.ndarray) -> np.ndarray:
    """Spread a flag of distinct molecules over the attempts; False for a failed one."""
    spread = np.zeros(len(context.codes), dtype=bool)
    spread[: len(context.generated)] = flags[context.generated.index]
    return spread


def _proportion(context: Context, successes: int, count: int, note: str) -> Metric:
    """Share of independent trials with Wilson's interval."""
    if count == 0:
        return Metric.undefined(0, f"nothing to take a share of ({note})")
    return Metric.of(successes / count, wilson(successes, count, context.confidence), count, note)


def _distinct(context: Context, codes: np.ndarray, keep: np.ndarray | None, note: str) -> Metric:
    """Rate of distinct codes with an interval by half-sampling."""
    count = len(codes)
    if count == 0:
        return Metric.undefined(0, f"nothing to take a share of ({note})")
    flags = np.ones(count, dtype=bool) if keep is None else keep
    value = distinct_rate(codes, flags)
    interval: Interval | None = None
    if context.repeats and count > 1:
        interval = half_sampling(
            lambda rows: distinct_rate(codes[rows], flags[rows]),
            value,
            count,
            seed=context.seed,
            repeats=context.repeats,
            confidence=context.confidence,
        ).clip()
    return Metric.of(value, interval, count, note)
