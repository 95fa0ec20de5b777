"""Files of generated fields: what every kind of samples of the domain has in common.

Flows and pairs of a Darcy problem become labelled datasets, with the certificate of every sample beside its field;
other endings are written by the samples themselves.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scidiff.errors import ConfigError
from scidiff.sample.samples import Samples

from .datasets import load_xarray, save_dataset, to_dataset
from .function_space import FieldSamples
from .layout import mesh_of

if TYPE_CHECKING:
    import xarray

__all__ = ["ENDINGS", "endings_of", "flow_dataset", "sample_dataset", "save_samples"]

ENDINGS = (".npz", ".png", ".nc", ".zarr", ".vtu")
"""Endings of files of samples; what a model can be written to is `endings_of` it."""


def endings_of(model: Any) -> tuple[str, ...]:
    """Endings of the files that samples of a model are written to.

    Parameters
    ----------
    model
        What `scidiff.domains.pde.models.load` returned.
    """
    from .constraints.family_model import FamilyModel
    from .field_model import FieldModel

    if isinstance(model, FamilyModel):
        return (".npz",)
    if isinstance(model, FieldModel):
        return (".png", ".nc", ".zarr") if mesh_of(model.problem) is None else (".png", ".nc", ".zarr", ".vtu")
    return (".npz", ".png", ".nc", ".zarr")


def sample_dataset(samples: Any) -> xarray.Dataset:
    """Label generated fields.

    Parameters
    ----------
    samples
        Flows around obstacles, or samples with a ``state`` and a ``certificate`` of a problem.

    Raises
    ------
    ConfigError
        If they are of another kind.
    """
    if hasattr(samples, "obstacles"):
        return flow_dataset(samples)
    if hasattr(samples, "state") and hasattr(samples, "certificate"):
        from .problems import problem

        found = samples.certificate(independent=False)
        one = problem(found.problem, size=samples.heads.shape[-1])
        return to_dataset(one, samples.state, found, seed=samples.seed, attributes=_facts(samples))
    raise ConfigError(f"samples of type {type(samples).__name__} have no labelled form; write .npz")


def flow_dataset(samples: Any) -> xarray.Dataset:
    """Label flows: velocities on the faces of a staggered grid, obstacles, and the certificate of each."""
    xarray = load_xarray()
    columns, rows = samples.obstacles.shape[1:]
    h = 1.0 / columns
    # u lies at the low x face of its cell, v at the low y face; cells are named by their middles
    places = {
        "sample": ("sample", samples.index.astype(np.int64), {"long_name": "number of the sample"}),
        "component": ("component", [0, 1], {"long_name": "velocity component", "flag_meanings": "u v"}),
        "x": ("x", (np.arange(columns) + 0.5) * h, {"units": "m", "axis": "X", "long_name": "middle of the cell"}),
        "y": ("y", (np.arange(rows) + 0.5) * h, {"units": "m", "axis": "Y", "long_name": "middle of the cell"}),
    }
    axes = ("sample", "component", "x", "y")
    speed = {"units": "m s-1", "long_name": "normal velocity on the face of lower index"}
    variables = {
        "velocity": (axes, samples.fields, speed),
        "obstacles": (("sample", "x", "y"), samples.obstacles.astype(np.int8), {"long_name": "solid cells"}),
        "ok": ("sample", samples.ok.astype(np.int8), {"long_name": "whether the certificate holds"}),
        "calls": ("sample", np.asarray(samples.calls), {"long_name": "network calls"}),
        **{f"certificate_{name}": ("sample", values, {"units": "1"}) for name, values in samples.records.items()},
    }
    facts = {
        "Conventions": "CF-1.11",
        "format": "scidiff pde flows 1",
        "title": "Incompressible flow around obstacles, generated",
        "equation": "div w = 0",
        "boundary_conditions": "periodic box; w . n = 0 on solid cells",
        **_facts(samples),
    }
    return xarray.Dataset(variables, coords=places, attrs=facts)


def _facts(samples: Samples) -> dict[str, Any]:
    return {"seed": samples.seed, "provenance": json.dumps(dict(samples.provenance), sort_keys=True)}


def save_samples(samples: Any, path: str | Path) -> Path:
    """Write generated fields by the ending of the file: .nc and .zarr labelled, others as the samples do.

    Raises
    ------
    ConfigError
        If the ending is not known, or the samples have no such form.
    MissingPackageError
        If a package is not installed.
    """
    path = Path(path)
    if path.suffix in (".nc", ".zarr") and not isinstance(samples, FieldSamples):
        return save_dataset(sample_dataset(samples), path)
    return samples.save(path)
