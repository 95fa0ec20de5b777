"""Surfaces from files and to files, through meshio: STL, OBJ, PLY, OFF, VTK, VTU, Gmsh and others by their ending.

Only triangles are taken. Points and lines are left out, as they bound triangles; any other cell (a quadrilateral, a
tetrahedron) is refused, because dropping it would change the surface.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from scidiff.errors import DataError, ShapeError
from scidiff.io.files import atomic_write
from scidiff.mesh.complex import SimplicialComplex
from scidiff.mesh.repair import weld

__all__ = ["read_mesh", "write_mesh"]

_LARGEST_FILE = 1 << 30
_SKIPPED = {"vertex", "line"}


def read_mesh(
    path: str | Path, *, weld_tolerance: float | None = None, repair_orientation: bool = False
) -> SimplicialComplex:
    """Read a triangulated surface.

    Parameters
    ----------
    path
        A file whose ending names the format; at most 1 GiB.
    weld_tolerance
        Distance up to which vertices are joined, and unused ones dropped, in the unit of the file; by default nothing
        is joined. STL files, which repeat every corner, need 0.
    repair_orientation
        Whether triangles may be turned over until neighbours agree.

    Returns
    -------
    SimplicialComplex
        The surface, checked.

    Raises
    ------
    DataError
        If the file cannot be read, is too large, holds other cells than triangles, or no surface.
    """
    mesh = _read(Path(path))
    kinds = {block.type for block in mesh.cells}
    foreign = sorted(kinds - _SKIPPED - {"triangle"})
    if foreign or "triangle" not in kinds:
        raise DataError(
            f"{path} holds cells of type {sorted(kinds)}; expected triangles: extract the surface and cut other cells"
        )
    triangles = np.concatenate([block.data for block in mesh.cells if block.type == "triangle"])
    vertices = np.asarray(mesh.points, dtype=np.float64)
    if weld_tolerance is not None:
        vertices, triangles = weld(vertices, triangles, tolerance=weld_tolerance)
    return SimplicialComplex.from_arrays(vertices, triangles, repair_orientation=repair_orientation)


def _read(path: Path) -> object:
    import meshio

    if not path.is_file():
        raise DataError(f"no file {path}; expected a mesh, e.g. surface.stl or surface.vtu")
    if path.stat().st_size > _LARGEST_FILE:
        raise DataError(f"{path} has {path.stat().st_size} bytes; at most {_LARGEST_FILE} are read: coarsen the mesh")
    said = io.StringIO()
    try:
        # meshio prints what is wrong, and gives up with SystemExit; its parsers raise whatever they meet
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), np.errstate(all="ignore"):
            return meshio.read(path)
    except (Exception, SystemExit) as error:
        why = " ".join([str(error), *said.getvalue().split()])
        raise DataError(f"{path} cannot be read as a mesh ({why}); check its format and its ending") from error


def write_mesh(
    path: str | Path,
    complex: SimplicialComplex,
    *,
    vertex_data: Mapping[str, np.ndarray] | None = None,
    triangle_data: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write a surface with fields on it; the file appears whole or not at all.

    Parameters
    ----------
    path
        The ending names the format; VTU and VTK keep fields.
    complex
        The surface.
    vertex_data, triangle_data
        Fields by name, one row per vertex or triangle.

    Raises
    ------
    ShapeError
        If a field has another number of rows.
    DataError
        If the format is unknown or the file cannot be written.
    """
    import meshio

    points, cells = vertex_data or {}, triangle_data or {}
    for fields, size in ((points, complex.sizes[0]), (cells, complex.sizes[2])):
        wrong = {name: np.shape(field) for name, field in fields.items() if len(field) != size}
        if wrong:
            raise ShapeError(f"fields have shapes {wrong}; expected {size} rows")
    mesh = meshio.Mesh(
        complex.vertices.copy(),
        [("triangle", complex.triangles.astype(np.int32))],
        point_data={name: np.asarray(field) for name, field in points.items()},
        cell_data={name: [np.asarray(field)] for name, field in cells.items()},
    )
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / Path(path).name
        try:
            meshio.write(part, mesh)
        except (meshio.WriteError, meshio.ReadError, KeyError) as error:
            raise DataError(
                f"{path} cannot be written ({error}); use an ending such as .vtu, .vtk, .ply or .obj"
            ) from error
        with atomic_write(path, "wb") as file:
            file.write(part.read_bytes())
