"""Which curved space fits a finite metric space best: embeddings into several spaces of one dimension, side by side.

A space is only better than another of the same number of coordinates. `constant_curvature` gives the spaces of one
curvature, ``E^n, H^n, S^n`` and the flat torus ``T^n`` of equal circles; a product of curved factors is worth its name
where its distortion lies below all of theirs. ``H^n`` and ``S^n`` come as close to ``E^n`` as one likes for a large
radius, so that their best embedding is never worse; a larger number in the table says how far the descent came.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from scidiff.analysis.embedding import Embedding, embed
from scidiff.errors import ConfigError, UnknownNameError
from scidiff.spaces import Flat, Hyperbolic, Manifold, ProductManifold, Sphere, Torus

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Comparison", "compare_geometries", "constant_curvature", "plot_geometries"]


def constant_curvature(dim: int) -> dict[str, Manifold]:
    """Spaces of one curvature and dimension `dim`, by their usual names.

    Raises
    ------
    ConfigError
        If `dim` is not positive.
    """
    if dim < 1:
        raise ConfigError(f"dim is {dim}; expected at least 1")
    spaces: dict[str, Manifold] = {f"E^{dim}": Flat(dim), f"S^{dim}": Sphere(dim)}
    if dim > 1:
        spaces |= {f"H^{dim}": Hyperbolic(dim), f"T^{dim}": Torus(dim)}
    return spaces


@dataclass(frozen=True, eq=False)
class Comparison:
    """Embeddings of one target.

    Parameters
    ----------
    embeddings
        Embedding into each candidate, by its label, least average distortion first.
    """

    embeddings: Mapping[str, Embedding]

    @property
    def best(self) -> str:
        """Label of the candidate of least average distortion."""
        return next(iter(self.embeddings))

    @property
    def distortions(self) -> dict[str, float]:
        """Average distortion of each candidate."""
        return {label: each.average_distortion for label, each in self.embeddings.items()}

    def gain(self, label: str) -> float:
        """Part of the distortion of the best other candidate that this one removes; negative where it loses.

        Raises
        ------
        UnknownNameError
            If there is no such candidate.
        ConfigError
            If it is the only one.
        """
        distortions = self.distortions
        if label not in distortions:
            raise UnknownNameError("candidate", label, distortions)
        own = distortions.pop(label)
        if not distortions:
            raise ConfigError(f"'{label}' is the only candidate; compare with at least one other")
        return 1 - own / min(distortions.values()) if min(distortions.values()) > 0 else -math.inf

    def table(self) -> str:
        """One line for each candidate: distortions, stress and the radii learned."""
        width = max(9, *(len(label) for label in self.embeddings))
        lines = [f"{'space':{width}}  average   worst   stress  radii"]
        for label, each in self.embeddings.items():
            numbers = f"{each.average_distortion:8.4f} {each.worst_distortion:7.3f} {each.stress:8.4f}"
            lines.append(f"{label:{width}} {numbers}  {_radii(each)}".rstrip())
        return "\n".join(lines)


def compare_geometries(
    target: Tensor | np.ndarray,
    candidates: Mapping[str, Manifold | ProductManifold],
    *,
    seed: int = 0,
    starts: int = 16,
    iterations: int = 600,
) -> Comparison:
    """Embed a target into every candidate, with equal care.

    Parameters
    ----------
    target
        Distances, shape ``(count, count)``.
    candidates
        Spaces of equal dimension, by label; `constant_curvature` gives those of one curvature.
    seed, starts, iterations
        As in `embed`, the same for all.

    Returns
    -------
    Comparison
        Least average distortion first.

    Raises
    ------
    ConfigError
        If there is no candidate, or their dimensions differ.
    """
    dims = {label: space.dim for label, space in candidates.items()}
    if len(set(dims.values())) != 1:
        raise ConfigError(f"candidates have dimensions {dims}; expected at least one, and one dimension for all")
    made = {
        label: embed(target, space, seed=seed, starts=starts, iterations=iterations)
        for label, space in candidates.items()
    }
    return Comparison(dict(sorted(made.items(), key=lambda item: item[1].average_distortion)))


def plot_geometries(comparisons: Mapping[str, Comparison]) -> Figure:
    """Draw the average distortion of every candidate with the radii learned, one panel for each target.

    Products are coloured, single manifolds are grey.

    Parameters
    ----------
    comparisons
        Comparisons by the name of their target.

    Raises
    ------
    ConfigError
        If there are none.
    """
    from matplotlib.figure import Figure

    if not comparisons:
        raise ConfigError("there are no comparisons; expected at least one")
    columns = min(2, len(comparisons))
    rows = math.ceil(len(comparisons) / columns)
    figure = Figure(figsize=(5.5 * columns, 2.6 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, (name, comparison) in zip(panels, comparisons.items(), strict=False):
        made, values = list(comparison.embeddings.values()), list(comparison.distortions.values())
        colours = ["C0" if isinstance(each.space, ProductManifold) else "0.75" for each in made]
        bars = axes.barh(list(comparison.embeddings), values, color=colours)
        notes = [f"{value:.2g}  {_radii(each)}" for value, each in zip(values, made, strict=True)]
        axes.bar_label(bars, notes, padding=3, fontsize="small")
        axes.invert_yaxis()
        axes.set(title=name, xlabel="average distortion", xlim=(0, 1.7 * max(*values, 1e-12)))
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[len(comparisons) :]:
        axes.set_visible(False)
    return figure


def _radii(embedding: Embedding) -> str:
    """Radii that are finite, by factor."""
    named = {name: radius for name, radius in embedding.radii.items() if math.isfinite(radius)}
    return ", ".join(f"R={each:.3g}" if name == "space" else f"R_{name}={each:.3g}" for name, each in named.items())
