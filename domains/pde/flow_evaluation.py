"""How good a flow model is: certificates, seconds and statistics against the solver, around obstacles not trained on.

Truth and samples share their obstacles, so what differs between two geometries cancels. Beside the ratios of
`scidiff.domains.pde.flow_statistics` there is the error of the mean field of each geometry,

    sum |mean of samples - mean of truth|^2 / sum |mean of truth - potential flow|^2,

less what the finite number of snapshots contributes on both sides.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from scidiff.domain import Row

from .flow_geometry import FlowGeometry
from .flow_model import FlowModel
from .flow_statistics import Ratio, compare_flows, group_moments
from .flows import FlowLaw, flow_batches

__all__ = ["TEST_FIRST", "FlowReport", "FlowTruth", "evaluate_flows", "flow_rows", "flow_truth"]

TEST_FIRST = 2 * 10**6
"""Number of the first geometry of the test set; those trained on come before it."""

_BAR = 0.05
_LEAST_SHARE = 0.01


@dataclass(frozen=True)
class FlowTruth:
    """Snapshots of the solver around some obstacles.

    Parameters
    ----------
    geometries
        The obstacles.
    fields
        Snapshots of each, float64, shape ``(geometries, each, 2, nx, ny)``.
    """

    geometries: Sequence[FlowGeometry]
    fields: np.ndarray


@dataclass(frozen=True)
class FlowReport:
    """Result of one comparison.

    Parameters
    ----------
    steps
        Network calls for a sample.
    divergence, wall_flux
        Worst certificate of all samples.
    ok
        Share of samples whose certificate holds.
    ratios
        Statistics over those of the truth.
    mean_error
        Relative squared error of the mean fields.
    seconds
        For one sample, obstacles factored anew for each geometry.
    """

    steps: int
    divergence: float
    wall_flux: float
    ok: float
    ratios: Sequence[Ratio]
    mean_error: float
    seconds: float


def flow_truth(geometries: int, *, law: FlowLaw | None = None, seed: int = 0, first: int = TEST_FIRST) -> FlowTruth:
    """Simulate snapshots around obstacles that no bundled model was trained on."""
    drawn = list(islice(flow_batches(seed, law, first), geometries))
    around = [FlowGeometry.around(np.array(flows.obstacles[0])) for flows in drawn]
    return FlowTruth(around, np.stack([flows.velocity for flows in drawn]))


def evaluate_flows(model: FlowModel, truth: FlowTruth, steps: int, *, seed: int = 0, solver=None) -> FlowReport:
    """Draw as many samples as there are snapshots around each set of obstacles, and compare.

    Parameters
    ----------
    model
        The model.
    truth
        Snapshots of the solver.
    steps
        Network calls for a sample.
    seed
        Seed of the samples.
    solver
        As for `FlowModel.sample`.
    """
    each, begun = truth.fields.shape[1], time.perf_counter()
    drawn = [
        model.sample(each, obstacles=here.grid, steps=steps, seed=seed + k, solver=solver)
        for k, here in enumerate(truth.geometries)
    ]
    seconds = (time.perf_counter() - begun) / (each * len(drawn))
    pairs = list(zip(drawn, truth.fields, truth.geometries, strict=True))
    moments = [np.stack([group_moments(s.fields, g.grid.obstacles) for s, _, g in pairs])]
    moments += [np.stack([group_moments(fields, g.grid.obstacles) for _, fields, g in pairs])]
    return FlowReport(
        steps,
        max(float(s.records["divergence"].max()) for s in drawn),
        max(float(s.records["wall_flux"].max()) for s in drawn),
        float(np.mean([s.ok.mean() for s in drawn])),
        compare_flows(*moments),
        _mean_error(pairs),
        seconds,
    )


def _mean_error(pairs: Sequence[tuple]) -> float:
    """Squared error of mean fields, without the part that finite numbers of draws make."""
    error, size = 0.0, 0.0
    for samples, fields, here in pairs:
        error += float(((samples.fields.mean(0) - fields.mean(0)) ** 2).sum())
        error -= sum(float(part.var(0, ddof=1).sum()) / len(part) for part in (samples.fields, fields))
        size += float(((fields.mean(0) - here.base) ** 2).sum())
    return error / size


def flow_rows(model: FlowModel, geometries: int, calls: Sequence[int] = (1, 4, 20), seed: int = 0) -> Iterator[Row]:
    """Rows of the benchmark, one by one.

    Parameters
    ----------
    model
        The model.
    geometries
        Sets of obstacles, none of which was trained on.
    calls
        Numbers of network calls.
    seed
        Seed of truth and samples.
    """
    truth = flow_truth(geometries, seed=seed)
    yield from _self_rows(truth)
    for steps in calls:
        report = evaluate_flows(model, truth, steps, seed=seed)
        name, fitted = f"flow, {steps} calls", model.calibration
        note = f"{geometries} unseen sets of obstacles, {truth.fields.shape[1]} samples each; fitted around others: "
        note += f"noise {fitted.noise(steps):g}, {fitted.relax:g} passages of the solver"
        least = {"label": "measured", "calls": float(steps), "above": False, "note": note}
        yield Row(f"{name}: worst relative divergence", value=report.divergence, bar=1e-12, **least)
        yield Row(f"{name}: worst flux through walls", value=report.wall_flux, bar=1e-12, **least)
        yield Row(f"{name}: seconds for a sample", value=report.seconds, bar=0.3, unit="s", **least)
        for ratio in report.ratios:
            if ratio.share >= _LEAST_SHARE:
                low, high = sorted((abs(ratio.low - 1), abs(ratio.high - 1)))
                interval = (0.0 if ratio.low <= 1 <= ratio.high else low, high)
                yield Row(
                    f"{name}: {ratio.name}, deviation", value=abs(ratio.value - 1), bar=_BAR, interval=interval, **least
                )
        yield Row(f"{name}: error of the mean fields", value=report.mean_error, **least)


def _self_rows(truth: FlowTruth) -> Iterator[Row]:
    """The solver against itself, one half of its snapshots against the other: what numbers of this size can tell."""
    pairs = list(zip(truth.fields, truth.geometries, strict=True))
    # snapshots alternate between trajectories, so the halves are independent
    moments = [
        np.stack([group_moments(fields[half::2], here.grid.obstacles) for fields, here in pairs]) for half in (0, 1)
    ]
    note = f"{len(truth.geometries)} sets of obstacles, {truth.fields.shape[1] // 2} snapshots each on both sides"
    for ratio in compare_flows(*moments):
        if ratio.share >= _LEAST_SHARE:
            low, high = sorted((abs(ratio.low - 1), abs(ratio.high - 1)))
            interval = (0.0 if ratio.low <= 1 <= ratio.high else low, high)
            yield Row(
                f"flow, solver against itself: {ratio.name}, deviation", "measured", abs(ratio.value - 1),
                interval=interval, above=False, note=note,
            )  # fmt: skip
