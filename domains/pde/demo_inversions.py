"""Inversions of the demonstration: sources, media and flows from a few sensors, each with its uncertainty map."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from scidiff.domain import Picture, Row

from .function_space import sample
from .mesh_domains import disc_with_holes
from .mesh_pictures import mesh_flow_picture
from .mesh_rows import mesh_case
from .models import load
from .problems.darcy import Darcy
from .sensors import random_sensors
from .uncertainty import uncertainty_picture
from .uncertainty_rows import poisson_ensemble

__all__ = ["flow_between_holes", "medium_from_sensors", "source_from_sensors"]


def source_from_sensors(seed: int, size: int, count: int, truths: int) -> tuple[list[Row], Picture]:
    """Recover a source from sensors of the potential, with its uncertainty, and ask whether that can be trusted."""
    report, sensors, truth, samples = poisson_ensemble(size, count, truths, seed)
    mean, deviation = samples[0].mean(0), samples[0].std(0)
    error = 100 * float(np.linalg.norm(mean - truth[0]) / np.linalg.norm(truth[0]))
    note = f"{count} sensors of {size} x {size} nodes, mean of {samples.shape[1]} draws of the exact posterior"
    worst = max(report.bands, key=lambda band: abs(band.found - report.level))
    cover = f"{truths} sources; band of {worst.low:.1f} to {worst.high:.1f} spacings from the nearest sensor"
    ends = (worst.least, worst.most)
    rows = [
        Row("source from sensors: relative error of the mean", "exact", error, unit="%", calls=0, note=note),
        Row("source from sensors: coverage of 90 %, worst band", "exact", worst.found, ends, calls=0, note=cover),
        Row(
            "source from sensors: spread over skill", "exact", report.skill.ratio,
            (report.skill.low, report.skill.high), calls=0, note=f"{truths} sources; 1 where the spread is right",
        ),
    ]  # fmt: skip
    caption = (
        "A source, its posterior mean from sensors of the potential (dots), the uncertainty map, and how often 90 % "
    )
    caption += "intervals hold the truth, by the distance to the nearest sensor."
    return rows, Picture(caption, uncertainty_picture(truth[0], mean, deviation, sensors, report))


def flow_between_holes(seed: int, folder: Path) -> tuple[list[Row], Picture]:
    """Flows in a disc with two holes, from a few sensors of the velocity."""
    one, sensors, data = mesh_case(disc_with_holes(), seed)
    samples = sample(one, 64, sensors=sensors, data=data, noise=0.05, steps=1, seed=seed)
    samples.save(folder / "holes.vtu")
    worst = max(float(samples.records[f"constraint_{name}"].max()) for name in ("divergence", "wall"))
    rows = [
        Row("flow between two holes: divergence and wall flux", "exact", worst, bar=1e-12, above=False),
        Row("flow between two holes: circulations sampled", "exact", float(one.holes), note="the Betti number"),
    ]
    caption = f"Flows through {len(one.mesh.triangles)} triangles with two holes, drawn from the exact posterior given "
    caption += "six sensors of the velocity (red): two draws, their mean, and what remains uncertain."
    return rows, Picture(caption, mesh_flow_picture(samples, sensors))


def medium_from_sensors(seed: int, sensors: int, draws: int) -> tuple[list[Row], Picture]:
    """Recover a binary medium from sensors of the head by the bundled model, and map where it is unsure."""
    model = load("darcy")
    state = Darcy(model.shape[0]).truth(seed + 10**6, 1)
    a, u = state["a"][0].numpy(), state["u"][0].numpy()
    placed = random_sensors(model.shape, sensors, seed)
    drawn = model.sample(draws, sensors=model.observe(u=(placed.index, u[tuple(placed.index.T)])), seed=seed)
    high = (drawn.media > 0.5 * (a.min() + a.max())).mean(0)
    wrong = 100 * float(((high > 0.5) != (a > 0.5 * (a.min() + a.max()))).mean())
    note = f"{sensors} sensors of the head on {model.shape[0]} x {model.shape[1]} cells, {draws} draws in 10 calls each"
    rows = [
        Row(
            "medium from sensors: cells that the majority of draws gets wrong",
            "biased",
            wrong,
            unit="%",
            calls=10,
            note=note,
        ),
        Row(
            "medium from sensors: largest residual of a draw",
            "measured",
            float(drawn.records["residual"].max()),
            bar=1e-10,
            above=False,
        ),
    ]
    caption = (
        "A medium, its head with the sensors, the share of draws in which a cell is permeable (what lies between 0 "
    )
    caption += "and 1 is not known from these sensors), and the standard deviation of the heads of the draws."
    panels = (("medium", a), ("head", u), ("share of draws", high), ("deviation of the head", drawn.heads.std(0)))
    return rows, Picture(caption, _panels(panels, placed.index))


def _panels(panels: tuple[tuple[str, np.ndarray], ...], dots: np.ndarray) -> bytes:
    """Fields side by side, sensors on all but the first."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.3 * len(panels), 3.0), layout="constrained")
    for k, (axis, (title, field)) in enumerate(zip(figure.subplots(1, len(panels)), panels, strict=True)):
        shown = axis.imshow(field.T, origin="lower")
        axis.set_title(title, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
        if k:
            axis.plot(*dots.T, ".r", markersize=2)
        figure.colorbar(shown, ax=axis, shrink=0.8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
