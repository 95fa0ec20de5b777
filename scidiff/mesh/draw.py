"""Pictures of cochains: colours for values at vertices or in triangles, arrows for values along edges.

The arrow at the centre of a triangle is the Whitney interpolant there. With barycentric coordinates ``l_a`` the element
of the edge ``(a, b)`` is ``l_a grad l_b - l_b grad l_a``, which at the centre is ``(grad l_b - grad l_a) / 3``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scidiff.errors import ShapeError
from scidiff.mesh.complex import SimplicialComplex

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_edges", "draw_points", "draw_scalar", "whitney_vectors"]


def whitney_vectors(complex: SimplicialComplex, cochain: np.ndarray) -> np.ndarray:
    """Vector of an edge cochain at the centre of each triangle.

    Parameters
    ----------
    complex
        The surface.
    cochain
        Values along the edges, shape ``(E,)``.

    Returns
    -------
    ndarray
        Tangent vectors, shape ``(F, 3)``, in the unit of the cochain over that of the coordinates.
    """
    cochain = _checked(cochain, complex.sizes[1:2])
    corners = complex.vertices[complex.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    opposite = corners[:, [2, 0, 1]] - corners[:, [1, 2, 0]]
    gradients = np.cross(normals[:, None, :], opposite) / np.einsum("fi,fi->f", normals, normals)[:, None, None]
    along = complex.face_signs * cochain[complex.face_edges]
    bases = gradients[:, [1, 2, 2]] - gradients[:, [0, 1, 0]]
    return np.einsum("fk,fki->fi", along, bases) / 3


def draw_scalar(complex: SimplicialComplex, values: np.ndarray, *, title: str = "", label: str = "") -> Figure:
    """Draw values at the vertices (averaged over each triangle) or in the triangles.

    Parameters
    ----------
    complex
        The surface; a plane one is drawn from above.
    values
        Shape ``(V,)`` or ``(F,)``.
    title, label
        Text above the picture and beside the colours; the label should name the unit.

    Returns
    -------
    Figure
        Not yet saved or shown.
    """
    values = _checked(values, (complex.sizes[0], complex.sizes[2]))
    colours = values if len(values) == complex.sizes[2] else values[complex.triangles].mean(axis=1)
    return _canvas(complex, colours, title, label)[0]


def draw_edges(complex: SimplicialComplex, cochain: np.ndarray, *, title: str = "", label: str = "") -> Figure:
    """Draw an edge cochain as arrows at the centres of the triangles; colours give their length.

    Parameters
    ----------
    complex
        The surface.
    cochain
        Values along the edges, shape ``(E,)``.
    title, label
        As for `draw_scalar`.

    Returns
    -------
    Figure
        Not yet saved or shown.
    """
    vectors = whitney_vectors(complex, cochain)
    lengths = np.linalg.norm(vectors, axis=1)
    figure, axes = _canvas(complex, lengths, title, label)
    centres = complex.vertices[complex.triangles].mean(axis=1)
    scale = 0.8 * float(np.median(complex.lengths)) / max(float(lengths.max()), np.finfo(float).tiny)
    if _flat(complex):
        arrows = scale * vectors[:, :2]
        axes.quiver(*centres[:, :2].T, *arrows.T, angles="xy", scale_units="xy", scale=1, pivot="middle")
    else:
        # arrows lie above all triangles, so only those that face the viewer are drawn
        seen = _facing(complex, axes.azim, axes.elev)
        arrows = scale * vectors[seen]
        start = centres[seen] - 0.5 * arrows
        axes.computed_zorder = False
        axes.quiver(*start.T, *arrows.T, color="black", linewidth=0.7, arrow_length_ratio=0.4, zorder=2)
    return figure


def draw_points(
    complex: SimplicialComplex, face: np.ndarray, bary: np.ndarray, *, title: str = "", label: str = ""
) -> Figure:
    """Draw points on a surface as dots; colours give how many of them lie in a triangle, by area.

    Parameters
    ----------
    complex
        The surface.
    face, bary
        Triangle and barycentric coordinates of each point, shapes ``(points,)`` and ``(points, 3)``.
    title, label
        As for `draw_scalar`; colours are in points per squared unit of the coordinates.

    Returns
    -------
    Figure
        Not yet saved or shown.
    """
    if face.ndim != 1 or bary.shape != (len(face), 3):
        raise ShapeError(f"face and bary have shapes {face.shape} and {bary.shape}; expected (points,) and (points, 3)")
    figure, axes = _canvas(complex, np.bincount(face, minlength=complex.sizes[2]) / complex.areas, title, label)
    flat = _flat(complex)
    seen = np.full(len(face), True) if flat else _facing(complex, axes.azim, axes.elev)[face]
    places = np.einsum("pi,pix->px", bary[seen], complex.vertices[complex.triangles[face[seen]]])
    if not flat:
        axes.computed_zorder = False
    axes.scatter(*places.T[: 2 if flat else 3], s=5, color="black", linewidths=0, zorder=2)
    return figure


def _checked(values: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) not in sizes:
        raise ShapeError(f"values have shape {values.shape}; expected ({' or '.join(map(str, sizes))},)")
    return values


def _flat(complex: SimplicialComplex) -> bool:
    return not complex.vertices[:, 2].any()


def _facing(complex: SimplicialComplex, azimuth: float, elevation: float) -> np.ndarray:
    """Whether each triangle turns its front to a viewer in the given direction, in degrees."""
    a, e = np.radians([azimuth, elevation])
    view = np.array([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)])
    u, v, w = np.moveaxis(complex.vertices[complex.triangles], 1, 0)
    return np.cross(v - u, w - u) @ view > 0


def _canvas(complex: SimplicialComplex, colours: np.ndarray, title: str, label: str) -> tuple[Figure, object]:
    """Figure with one coloured polygon per triangle."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    bound = float(np.abs(colours).max())
    signed = bool((colours < 0).any())
    shades = ScalarMappable(Normalize(-bound if signed else 0.0, bound or 1.0), "RdBu_r" if signed else "viridis")
    figure = Figure(figsize=(6, 5), layout="constrained")
    flat = _flat(complex)
    axes = figure.add_subplot() if flat else figure.add_subplot(projection="3d")
    corners = complex.vertices[complex.triangles]
    if flat:
        from matplotlib.collections import PolyCollection

        axes.add_collection(PolyCollection(corners[:, :, :2], facecolors=shades.to_rgba(colours), edgecolors="face"))
        axes.autoscale_view()
        axes.set_aspect("equal")
    else:
        from mpl_toolkits.mplot3d.art3d import Poly3DCollection

        axes.add_collection3d(Poly3DCollection(corners, facecolors=shades.to_rgba(colours)))
        lowest, highest = complex.vertices.min(axis=0), complex.vertices.max(axis=0)
        axes.set(xlim=(lowest[0], highest[0]), ylim=(lowest[1], highest[1]), zlim=(lowest[2], highest[2]))
        axes.set_box_aspect(np.maximum(highest - lowest, 1e-3 * (highest - lowest).max()), zoom=1.3)
    axes.set_axis_off()
    axes.set_title(title)
    figure.colorbar(shades, ax=axes, label=label, shrink=0.7)
    return figure, axes
