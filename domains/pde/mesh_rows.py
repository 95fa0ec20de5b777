"""Rows of the benchmark: incompressible flows sampled in regions with holes, free and from sensors."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from scidiff.domain import Row
from scidiff.mesh import SimplicialComplex, annulus

from .function_space import FieldSamples, field_law, sample
from .mesh_domains import disc_with_holes
from .mesh_sensors import MeshSensors
from .problems.mesh_flow import MeshFlow

__all__ = ["law_score", "mesh_case", "mesh_rows"]

_EDGES = 10
_SCORE = 4.5


def mesh_case(mesh: SimplicialComplex, seed: int, count: int = 6) -> tuple[MeshFlow, MeshSensors, np.ndarray]:
    """A region, sensors in random triangles away from each other, and what they read of a drawn flow."""
    one = MeshFlow(mesh)
    chosen = np.random.default_rng(seed).choice(len(mesh.triangles), count, replace=False)
    sensors = MeshSensors(mesh, mesh.vertices[mesh.triangles[chosen]].mean(1)[:, :2])
    law = field_law(one)
    return one, sensors, law.read(one.truth(seed + 1, 1), sensors)[0]


def law_score(samples: FieldSamples, sensors: MeshSensors | None, data: np.ndarray | None, noise: float) -> float:
    """Largest deviation of the mean and covariance of the samples from the closed form, in standard errors.

    Compared are the fluxes of ten edges and all circulations. The closed form is that of dense matrices: columns of
    the maps from white numbers to fields and to data.
    """
    problem = samples.problem
    law = field_law(problem)
    columns = law.state(np.eye(law.size))
    places = np.linspace(0, len(problem.mesh.edges) - 1, 3 * _EDGES).astype(int)
    w = columns["w"].numpy()
    places = [k for k in places if abs(w[:, k]).max() > 0][:_EDGES]
    maps = np.concatenate([w[:, places], columns["gamma"].numpy()], 1)
    mean, covariance = np.zeros(maps.shape[1]), maps.T @ maps
    if sensors is not None and data is not None:
        b = law.read(columns, sensors)
        gain = maps.T @ b @ np.linalg.inv(b.T @ b + noise**2 * np.eye(b.shape[1]))
        mean, covariance = gain @ data, covariance - gain @ b.T @ maps
    drawn = np.concatenate([samples.state["w"].numpy()[:, places], samples.state["gamma"].numpy()], 1)
    variance = np.diag(covariance)
    scores = (drawn.mean(0) - mean) / np.sqrt(variance / len(drawn))
    off = drawn - mean
    error = np.sqrt((np.outer(variance, variance) + covariance**2) / len(drawn))
    return float(max(abs(scores).max(), abs((off.T @ off / len(drawn) - covariance) / error).max()))


def mesh_rows(fast: bool, seed: int) -> Iterator[Row]:
    """Constraints, number of circulations, and law of samples on an annulus and on a disc with two holes."""
    count, spacing = (400, 0.14) if fast else (4000, 0.09)
    regions = {"annulus": annulus(4, 32) if fast else annulus(8, 64), "two holes": disc_with_holes(spacing=spacing)}
    for name, mesh in regions.items():
        one, sensors, data = mesh_case(mesh, seed)
        note = f"{len(mesh.triangles)} triangles, n = {count}, exact flow map, 2 jumps"
        begun = time.perf_counter()
        free = sample(one, count, steps=2, seed=seed)
        seconds = time.perf_counter() - begun
        noise = 0.05
        held = sample(one, count, sensors=sensors, data=data, noise=noise, steps=2, seed=seed)
        worst = max(float(part.records[f"constraint_{each}"].max()) for part in (free, held) for each in _CONSTRAINTS)
        yield Row(
            f"mesh flow, {name}: divergence and flux through walls", "exact", worst, bar=1e-12, above=False,
            calls=2, seconds=seconds, note=f"{note}; largest over the largest flux",
        )  # fmt: skip
        yield Row(
            f"mesh flow, {name}: circulations less Betti number", "exact", float(one.holes - mesh.betti[1]), bar=0.0,
            above=False, note=f"b1 = {mesh.betti[1]} from the Euler characteristic",
        )  # fmt: skip
        for word, samples, given in (("law", free, None), ("posterior from 6 sensors", held, sensors)):
            score = law_score(samples, given, data if given is not None else None, noise)
            yield Row(
                f"mesh flow, {name}: {word} against the closed form, standard errors", "exact", score, bar=_SCORE,
                above=False, calls=2, note=f"{note}; largest of mean and covariance of {_EDGES} edges and circulations",
            )  # fmt: skip


_CONSTRAINTS = ("divergence", "wall")
