"""Ensembles of flows in campaigns: a grid of obstacles, many flows around each.

The obstacles of a condition are the union of what it names: a disc (``radius`` at ``x``, ``y``; the box has length 1
along x), the random bodies of a number (``geometry``), an image (``image``). A condition that names nothing gives every
flow random bodies of its own. A row has its ``velocity`` on faces ``(2, nx, ny)`` and ``obstacles`` ``(nx, ny)`` as
arrays, its certificate (``divergence``, ``wall_flux``), and is valid where both hold to round-off. Rows are compared by
their velocity averaged over blocks of cells, in units of the mean flow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scidiff.domain import CampaignAdapter, Candidates
from scidiff.errors import ConfigError, UnknownNameError
from scidiff.io.checkpoint import card_path, read_json
from scidiff.io.files import sha256_file
from scidiff.io.zarr_rows import write_zarr
from scidiff.sample.samples import Status

from .flow_model import FlowModel
from .grids import vorticity
from .images import read_obstacles
from .models import bundled, load
from .obstacles import disc, random_obstacles

__all__ = ["ADAPTER"]

_BLOCKS = 8
Columns = Mapping[str, Sequence[Any]]


def _path(model: str) -> Path:
    """Find the file of a model of flows."""
    known = bundled()
    path = known.get(model, Path(model))
    if path.suffix != ".safetensors" or not path.exists():
        raise UnknownNameError("model", model, known)
    kind = read_json(card_path(path)).get("task", {}).get("domain")
    if kind != "pde/flow":
        raise ConfigError(
            f"'{model}' is a model of '{kind}'; campaigns draw flows: take 'flow', or another of that kind"
        )
    return path


def _obstacles(condition: Mapping[str, Any], shape: tuple[int, int]) -> np.ndarray | None:
    """Mask of a condition; None where it names nothing."""
    masks = []
    if {"radius", "x", "y"} & set(condition):
        centre = float(condition.get("x", 0.5)), float(condition.get("y", 0.5 * shape[1] / shape[0]))
        masks.append(disc(shape, centre, float(condition.get("radius", 0.1))))
    if "geometry" in condition:
        masks.append(random_obstacles(shape, int(condition["geometry"])))
    if condition.get("image"):
        masks.append(read_obstacles(condition["image"], shape))
    return np.logical_or.reduce(masks) if masks else None


def _sample(model: FlowModel, condition: Mapping[str, Any], indices: range, steps: int, seed: int) -> Candidates:
    """Draw the flows of a range of indices."""
    mask = _obstacles(condition, model.shape)
    drawn = model.sample(len(indices), obstacles=mask, steps=steps, seed=seed, first=indices.start)
    status = [each.value for each in drawn.status]
    kept = [each is not Status.NON_FINITE for each in drawn.status]
    columns = {
        "velocity": [np.asarray(flow) if keep else None for flow, keep in zip(drawn.items, kept, strict=True)],
        "obstacles": list(drawn.obstacles),
        "divergence": np.asarray(drawn.records["divergence"], dtype=np.float64),
        "wall_flux": np.asarray(drawn.records["wall_flux"], dtype=np.float64),
        "solid": drawn.obstacles.mean((1, 2)),
        "calls": np.asarray(drawn.calls, dtype=np.int64),
    }
    said = {"ok": "", "non_finite": "a velocity is not finite", "invalid": "divergence or flux through a wall"}
    return Candidates(status, [said[each] for each in status], columns)


def _energy(columns: Columns) -> list[float]:
    """Mean kinetic energy, in units of the squared mean flow."""
    return [float(0.5 * (flow**2).sum(0).mean()) for flow in columns["velocity"]]


def _enstrophy(columns: Columns) -> list[float]:
    """Mean of half the squared vorticity, per squared passage of the box."""
    return [
        float(0.5 * np.square(vorticity(flow[0], flow[1], (1.0 / flow.shape[1],) * 2)).mean())
        for flow in columns["velocity"]
    ]


def _fastest(columns: Columns) -> list[float]:
    """Largest velocity on a face, in units of the mean flow."""
    return [float(np.abs(flow).max()) for flow in columns["velocity"]]


def _backflow(columns: Columns) -> list[float]:
    """Share of the faces along x, between fluid cells, on which the flow goes back."""
    found = []
    for flow, solid in zip(columns["velocity"], columns["obstacles"], strict=True):
        between = ~(solid | np.roll(solid, 1, 0))
        found.append(float((flow[0][between] < 0).mean()) if between.any() else 0.0)
    return found


def _features(columns: Columns) -> np.ndarray | None:
    """Velocity averaged over blocks of cells."""
    flows = np.stack(columns["velocity"])
    count, _, nx, ny = flows.shape
    blocks = math.gcd(nx, _BLOCKS), math.gcd(ny, _BLOCKS)
    cut = flows.reshape(count, 2, blocks[0], nx // blocks[0], blocks[1], ny // blocks[1])
    return cut.mean((3, 5)).reshape(count, -1).astype(np.float32)


def _write_zarr(path: Path, rows: Iterator[Mapping[str, Any]], provenance: Mapping[str, Any]) -> None:
    """Write the flows with their numbers as one Zarr group."""
    axes = {"velocity": ("component", "x", "y"), "obstacles": ("x", "y")}
    write_zarr(path, (row for row in rows if row["velocity"] is not None), provenance, axes)


def _check_length(model: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 100:
        raise ConfigError(f"{value!r} came; expected a length from 0 on, where the box has length 1 along x")


def _check_number(model: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(f"geometry is {value!r}; expected a whole number of at least 0")


def _check_image(model: str, value: Any) -> str | None:
    if not isinstance(value, str):
        raise ConfigError(f"image is {value!r}; expected the name of a file, or an empty text for none")
    if not value:
        return None
    read_obstacles(value, tuple(read_json(card_path(_path(model)))["task"]["data"]["shape"]))
    return sha256_file(value)


ADAPTER = CampaignAdapter(
    fingerprint=lambda model: sha256_file(card_path(_path(model))),
    load=lambda model, device: load(model, device=device),
    sample=_sample,
    conditions={
        "radius": _check_length,
        "x": _check_length,
        "y": _check_length,
        "geometry": _check_number,
        "image": _check_image,
    },
    scores={"energy": _energy, "enstrophy": _enstrophy, "fastest": _fastest, "backflow": _backflow},
    features=_features,
    writers={".zarr": _write_zarr},
)
