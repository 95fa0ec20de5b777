"""The rows on slices, on slices that are drawn from the prior: there the right answers are known."""

from __future__ import annotations

import pytest
from scidiff.domains.ct.rows.siemens import Setting, Slices, conformal_rows, gain_rows

from .scan_cases import GRID, PRIOR

SETTING = Setting(12, 180.0, 0.02, 0.0, levels=8, count=8)


def slices(count: int, seed: int, stretch: float = 1.0) -> Slices:
    """Draws of the prior, with deviations from its mean that are `stretch` times those that it expects."""
    mean = PRIOR.mean(GRID)
    return Slices(PRIOR, mean + stretch * (PRIOR.draw(count, GRID, seed=seed).double() - mean), GRID)


@pytest.mark.parametrize("stretch", [1.0, 2.0], ids=["calibrated", "too-narrow"])
def test_the_factor_of_other_slices_restores_the_coverage(stretch):
    """A calibrated posterior needs no factor; one that expects half the spread does. 768 pixels, some dozen of them
    independent in each slice: one standard error of the coverage is about .03."""
    rows = list(conformal_rows(slices(12, 1, stretch), slices(20, 2, stretch), SETTING, (2, 5, 8), count=16, steps=8))
    before, after = (float(row.note.rsplit(": ", 1)[1]) for row in rows)
    assert [row.value for row in rows] == pytest.approx([abs(before - 0.9), abs(after - 0.9)], abs=6e-4)
    assert abs(after - 0.9) < 0.08
    assert abs(before - 0.9) < 0.08 if stretch == 1 else before < 0.82
    factor = float(rows[1].note.split("factor ")[1].split()[0])
    assert 0.9 < factor < 1.4 if stretch == 1 else factor > 1.3


def test_gains_are_over_the_baseline_and_fit_the_data():
    """Images that the prior expects: the mean of its posterior beats TV, which expects others, on every slice."""
    gain, similarity, fit, covered = gain_rows(slices(3, 3), SETTING, (0, 1, 2))
    assert gain.value > 0 and gain.interval[0] < gain.value < gain.interval[1]
    assert similarity.value > similarity.baseline
    assert fit.value < 0.2 and fit.bar == 0.2
    assert covered.value < 0.1 and covered.bar == 0.05
