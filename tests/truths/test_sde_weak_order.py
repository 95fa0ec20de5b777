"""Weak order of the noisy multistep solvers on data that are not Gaussian, without Monte-Carlo noise.

See `scidiff.testing_targets.line` for the quadrature.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scidiff.sample import ancestral, dpmpp_2m_sde, exponential_adams
from scidiff.testing_targets.line import SCHEDULE, observable_errors


@pytest.mark.parametrize(
    ("solver", "order"),
    [
        (ancestral, 1),
        (dpmpp_2m_sde, 2),
        (lambda s, g: exponential_adams(s, g, order=2, eta=1.0), 2),
        (lambda s, g: exponential_adams(s, g, order=1, eta=1.0, corrector=True), 2),
        (lambda s, g: exponential_adams(s, g, order=2, eta=0.5), 2),
    ],
    ids=["ancestral", "2M SDE", "q2, eta 1", "q1 + c, eta 1", "q2, eta 0.5"],
)
def test_weak_order_on_bimodal_data(solver, order):
    """Every observable converges with the declared order between 6 and 12 steps; 0.4 allows for so few of them."""
    coarse, fine = observable_errors(solver, 6), observable_errors(solver, 12)
    slopes = np.log2(np.abs(coarse / fine))
    assert np.all(slopes > order - 0.4)
    assert np.all(np.abs(fine) > 1e-6)
    assert solver(SCHEDULE, SCHEDULE.t(torch.tensor([-1.0, 0.0], dtype=torch.float64))).order == order
