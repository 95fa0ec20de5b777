"""Fields as labelled arrays: xarray datasets with axes, units and certificates; NetCDF, Zarr and VTU.

A dataset holds the fields of a state, the coordinates of its grid or mesh, the certificate of each sample as variables
``certificate_*``, and as attributes the equation, the boundary conditions, the seed and the stated error, under the
names of the CF conventions where they have one. `read_state` makes problem and state again, bit by bit, so that anyone
can compute the certificate anew (`scidiff.domains.pde.validation`).

Files appear whole or not at all. A Zarr store is a folder: it is written beside its final name and renamed.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scidiff.errors import ConfigError, DataError, MissingPackageError
from scidiff.io.files import atomic_write
from scidiff.mesh import SimplicialComplex, write_mesh

from .certificate import Certificate
from .contract import Problem, State
from .layout import axes, coordinates, mesh_of, remake, settings_of

if TYPE_CHECKING:
    import xarray

__all__ = ["load_xarray", "open_dataset", "read_state", "save_dataset", "save_mesh", "to_dataset"]

FORMAT = "scidiff pde state 1"


def load_xarray(*engines: str) -> Any:
    """The package, with the ones that it writes with.

    Parameters
    ----------
    *engines
        Packages that the caller needs beside it.

    Raises
    ------
    MissingPackageError
        If one is not installed.
    """
    from importlib import import_module

    for name in ("xarray", *engines):
        try:
            import_module(name)
        except ImportError as error:
            raise MissingPackageError(
                f"labelled fields need the package {name}, which is not installed: pip install 'scidiff[fields]'"
            ) from error
    return import_module("xarray")


def to_dataset(
    problem: Problem,
    state: State,
    certificate: Certificate | None = None,
    *,
    seed: int | None = None,
    attributes: Mapping[str, str | int | float] | None = None,
) -> xarray.Dataset:
    """Label the fields of a state.

    Parameters
    ----------
    problem
        The problem.
    state
        Its fields.
    certificate
        Certificate of the batch, kept for each sample.
    seed
        Seed of the inputs.
    attributes
        Further attributes, by name.

    Returns
    -------
    xarray.Dataset
        Variables by the names of the fields, with ``units`` and ``long_name``.

    Raises
    ------
    MissingPackageError
        If xarray is not installed.
    """
    xarray, variables = load_xarray(), {}
    for field in problem.fields:
        values = state[field.name].detach().cpu().numpy()
        facts = {"units": str(field.unit), "long_name": field.title, "role": "input" if field.given else "solution"}
        variables[field.name] = (axes(problem, field.name, values.shape), values, facts)
    if certificate is not None:
        variables.update(_certified(certificate))
    mesh = mesh_of(problem)
    if mesh is not None:
        variables["triangles"] = (("triangle", "corner"), mesh.triangles, {"long_name": "corners of the triangles"})
    facts = {
        "Conventions": "CF-1.11",
        "format": FORMAT,
        "title": problem.title,
        "problem": problem.name,
        "settings": json.dumps(settings_of(problem), sort_keys=True),
        "equation": ", ".join(term.text for term in problem.terms),
        "boundary_conditions": problem.boundary,
        "order": float(problem.order),
        "truth_error": float(problem.truth_error),
        "parameter_units": json.dumps({name: str(unit) for name, unit in problem.parameters.items()}),
        **({} if seed is None else {"seed": seed}),
        **(attributes or {}),
    }
    numbers = np.arange(len(next(iter(state.values()))))
    places = {**coordinates(problem), "sample": (("sample",), numbers, {"long_name": "number of the sample"})}
    return xarray.Dataset(variables, coords=places, attrs=facts)


def _certified(certificate: Certificate) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]]:
    """The certificate of each sample as variables."""
    pure = {"units": "1"}
    unit = {"units": certificate.unit}
    parts = {
        "residual_max": (certificate.residual_max, {**unit, "long_name": "largest residual"}),
        "residual_mass": (certificate.residual_mass, {"long_name": "residual in the norm of the cells"}),
        "relative": (certificate.relative, {**pure, "long_name": "largest residual over the largest term"}),
    }
    for name, value in certificate.constraints.items():
        parts[f"constraint_{name}"] = (value, {**pure, "long_name": f"relative defect of {name}"})
    if certificate.independent is not None:
        text = "relative distance from the solution by an independent method"
        parts["independent"] = (certificate.independent, {**pure, "long_name": text})
    return {f"certificate_{name}": (("sample",), value.numpy(), facts) for name, (value, facts) in parts.items()}


def save_dataset(dataset: xarray.Dataset, path: str | Path) -> Path:
    """Write a dataset as NetCDF (``.nc``) or Zarr (``.zarr``); it appears whole or not at all.

    Parameters
    ----------
    dataset
        The dataset.
    path
        File, or folder of the store.

    Raises
    ------
    ConfigError
        If the ending is another one.
    MissingPackageError
        If h5netcdf or zarr are not installed.
    DataError
        If something else than a store lies where the store should go.
    """
    path = Path(path)
    if path.suffix not in (".nc", ".zarr"):
        raise ConfigError(f"the file is '{path}'; expected a name that ends in .nc or .zarr")
    load_xarray("h5netcdf" if path.suffix == ".nc" else "zarr")
    with tempfile.TemporaryDirectory(dir=None if path.suffix == ".nc" else _parent(path)) as folder:
        part = Path(folder) / path.name
        if path.suffix == ".nc":
            dataset.to_netcdf(part, engine="h5netcdf")
            with atomic_write(path, "wb") as file:
                file.write(part.read_bytes())
        else:
            dataset.to_zarr(part, mode="w", consolidated=False)
            _replace_folder(part, path, Path(folder))
    return path


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.parent


def _replace_folder(part: Path, path: Path, spare: Path) -> None:
    """Put a folder where another may lie: the old one is moved away, and comes back if the new one cannot go in."""
    if path.exists() and not any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata")):
        raise DataError(f"{path} exists and is no Zarr store; give another name, or remove it first")
    old = spare / "old"
    if path.exists():
        path.rename(old)
    try:
        part.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def open_dataset(path: str | Path) -> xarray.Dataset:
    """Read a NetCDF file or a Zarr store into memory.

    Raises
    ------
    DataError
        If there is none, or it cannot be read.
    """
    path = Path(path)
    engine = {".nc": "h5netcdf", ".zarr": "zarr"}.get(path.suffix)
    if engine is None or not path.exists():
        raise DataError(f"no dataset at '{path}'; expected an existing .nc file or .zarr store")
    xarray = load_xarray(engine)
    more = {"consolidated": False} if engine == "zarr" else {}
    try:
        with xarray.open_dataset(path, engine=engine, **more) as opened:
            return opened.load()
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"'{path}' cannot be read ({error}); expected a file that this package wrote") from error


def read_state(dataset: xarray.Dataset) -> tuple[Problem, State]:
    """Problem and state of a dataset.

    Raises
    ------
    DataError
        If it was not written by `to_dataset`, or lacks a field.
    """
    facts = dataset.attrs
    if facts.get("format") != FORMAT:
        raise DataError(f"the dataset has format '{facts.get('format')}'; expected '{FORMAT}'")
    mesh = None
    if "triangles" in dataset:
        points = np.stack([dataset["vertex_x"].values, dataset["vertex_y"].values], 1)
        mesh = SimplicialComplex.from_arrays(points, dataset["triangles"].values.astype(np.int64))
    one = remake(str(facts["problem"]), json.loads(facts["settings"]), mesh)
    missing = [field.name for field in one.fields if field.name not in dataset]
    if missing:
        raise DataError(f"the dataset lacks the fields {missing} of problem '{one.name}'")
    values = {field.name: np.ascontiguousarray(dataset[field.name].values, dtype=np.float64) for field in one.fields}
    return one, {name: torch.from_numpy(value) for name, value in values.items()}


def save_mesh(problem: Problem, state: State, path: str | Path) -> Path:
    """Write the fields of a state on a mesh as VTU: values at vertices, and their means over triangles.

    Fluxes through edges become velocities of triangles; numbers that have no place on the mesh are left out.

    Parameters
    ----------
    problem, state
        A problem on a mesh, and its fields; a field of sample k is called ``name_k``.
    path
        The file, ``.vtu``.

    Raises
    ------
    ConfigError
        If the problem has no mesh.
    """
    mesh = mesh_of(problem)
    if mesh is None:
        raise ConfigError(f"problem '{problem.name}' has no mesh; VTU is for meshes: write .nc or .zarr")
    points, cells = {}, {}
    velocity: Any = getattr(problem, "velocity", None)
    for field in problem.fields:
        for k, values in enumerate(state[field.name].detach().cpu().numpy()):
            if velocity is not None and values.shape == problem.shape:
                cells[f"velocity_{k}"] = np.pad(velocity(values[None])[0].T, ((0, 0), (0, 1)))
            elif values.size >= len(mesh.vertices):
                at = _at_vertices(problem, mesh, values)
                points[f"{field.name}_{k}"] = at
                cells[f"{field.name}_{k}_mean"] = at[mesh.triangles].mean(1)
    write_mesh(path, mesh, vertex_data=points, triangle_data=cells)
    return Path(path)


def _at_vertices(problem: Problem, mesh: SimplicialComplex, values: np.ndarray) -> np.ndarray:
    """Values at vertices, vectors with a third component 0 as viewers expect them."""
    corners = getattr(problem, "corners", None)
    if corners is not None and values.shape == problem.shape:
        values = values[corners]
    if values.ndim == 2:
        return np.concatenate([values.T, np.zeros((len(mesh.vertices), 1))], 1)
    return values if len(values) == len(mesh.vertices) else values[problem.elements.basis.nodal_dofs[0]]  # type: ignore[attr-defined]
