"""Fitting what makes up for the finite size of a flow network, around obstacles of the validation set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .flow_calibration import FlowCalibration
from .flow_evaluation import FlowTruth, evaluate_flows
from .flow_model import FlowModel
from .flow_relaxation import relax_flows
from .flow_statistics import compare_flows, group_moments

__all__ = ["fit_calibration"]

_LEAST_SHARE = 0.01


def fit_calibration(
    model: FlowModel,
    truth: FlowTruth,
    calls: Sequence[int] = (1, 4),
    *,
    scales: Sequence[float] = (1.0, 1.05, 1.1, 1.15, 1.2, 1.25),
    times: Sequence[float] = (0.0, 0.02, 0.04, 0.06),
) -> FlowCalibration:
    """Factor of the first noise and time of relaxation with which samples come nearest to the truth.

    The factor is that of the least mean of ``|log ratio|`` at the largest number of calls, over the bands with a
    hundredth of the energy or more, the size of the vorticity, and the spread; it serves all numbers of calls. The time
    is that of the least ``|log ratio|`` of the flatness of the vorticity, on average over the numbers of calls.

    Parameters
    ----------
    model
        The model.
    truth
        Snapshots around obstacles of the validation set, not of the test set.
    calls
        Numbers of network calls.
    scales, times
        Factors and times to try.
    """
    most = max(calls)
    off = [_distance(replace(model, calibration=FlowCalibration({most: scale})), truth, most) for scale in scales]
    noise = {most: scales[int(np.argmin(off))]}
    plain = replace(model, calibration=FlowCalibration(noise))
    flat = np.mean([_flatness(plain, truth, steps, times) for steps in calls], 0)
    return FlowCalibration(noise, times[int(np.argmin(np.abs(flat)))])


def _distance(model: FlowModel, truth: FlowTruth, steps: int) -> float:
    """Mean ``|log ratio|`` of the statistics but the flatness."""
    ratios = evaluate_flows(model, truth, steps).ratios
    used = [row.value for row in ratios if row.share >= _LEAST_SHARE and row.name != "vorticity flat"]
    return float(np.abs(np.log(used)).mean())


def _flatness(model: FlowModel, truth: FlowTruth, steps: int, times: Sequence[float]) -> np.ndarray:
    """``|log ratio|`` of the flatness after each time; runs are drawn once."""
    out = np.zeros(len(times))
    pairs = list(enumerate(zip(truth.geometries, truth.fields, strict=True)))
    true = np.stack([group_moments(fields, here.grid.obstacles) for _, (here, fields) in pairs])
    drawn = [
        (model.sample(len(fields), obstacles=here.grid, steps=steps, seed=k, relax=0).items, here)
        for k, (here, fields) in pairs
    ]
    for row, time in enumerate(times):
        moments = [
            group_moments(np.stack(relax_flows(flows, [here] * len(flows), model.viscosity, time)), here.grid.obstacles)
            for flows, here in drawn
        ]
        ratios = compare_flows(np.stack(moments), true)
        out[row] = abs(np.log(next(each.value for each in ratios if each.name == "vorticity flat")))
    return out
