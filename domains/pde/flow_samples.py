"""Flows that a model returned, each with its certificate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from scidiff.errors import ConfigError
from scidiff.io.files import atomic_write
from scidiff.random import Noise
from scidiff.sample.samples import Samples, Status

from .flow_geometry import FlowGeometry
from .grids import divergence, vorticity

__all__ = ["FlowSamples", "build_samples", "certificate"]

_BOUND = 1e-12


def certificate(flow: np.ndarray, geometry: FlowGeometry) -> dict[str, float]:
    """How well a flow obeys its constraints.

    Parameters
    ----------
    flow
        Velocities on the faces, shape ``(2, nx, ny)``.
    geometry
        Its obstacles.

    Returns
    -------
    dict
        ``divergence``: largest ``|D w|`` in fluid cells, relative to ``max |w| / h``; ``wall_flux``: largest velocity
        on a fixed face, relative to ``max |w|``.
    """
    grid, speed = geometry.grid, float(np.abs(flow).max())
    unit = speed if speed > 0 else 1.0
    worst = np.abs(divergence(flow[0], flow[1], grid.spacing)[grid.fluid]).max() * min(grid.spacing)
    return {"divergence": float(worst) / unit, "wall_flux": float(np.abs(flow[~grid.free]).max(initial=0.0)) / unit}


@dataclass(frozen=True)
class FlowSamples(Samples):
    """Samples whose items are velocities on faces, shape ``(2, nx, ny)``, in the unit of the data.

    The records ``divergence`` and ``wall_flux`` are the certificate of each sample, see `certificate`.
    """

    obstacles: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))

    @property
    def fields(self) -> np.ndarray:
        """All flows, shape ``(count, 2, nx, ny)``."""
        return np.stack(self.items)

    @property
    def vorticity(self) -> np.ndarray:
        """Vorticity at the corners of the cells, shape ``(count, nx, ny)``."""
        spacing = (1.0 / self.obstacles.shape[1],) * 2
        return vorticity(self.fields[:, 0], self.fields[:, 1], spacing)

    def take(self, rows: Sequence[int] | np.ndarray) -> FlowSamples:
        """Samples of the chosen rows, by numbers in the given order or by a boolean mask."""
        chosen = super().take(rows)
        index = np.arange(len(self))[np.asarray(rows, dtype=None if len(rows) else np.int64)]
        return replace(chosen, obstacles=self.obstacles[index])

    def _repr_html_(self) -> str:
        """Card for notebooks."""
        from .display import flows_card

        return flows_card(self)

    def save(self, path: str | Path) -> Path:
        """Write flows, obstacles and certificates to an ``.npz`` file, or a picture of the first flows to a ``.png``.

        Raises
        ------
        ConfigError
            If the ending is another one.
        """
        path = Path(path)
        if path.suffix == ".png":
            from .flow_pictures import flow_picture

            content = flow_picture(self)
            with atomic_write(path, "wb") as file:
                file.write(content)
            return path
        if path.suffix != ".npz":
            raise ConfigError(f"the file is '{path}'; expected a name that ends in .npz or .png")
        with atomic_write(path, "wb") as file:
            np.savez_compressed(
                file,
                velocity=self.fields,
                obstacles=self.obstacles,
                seed=self.seed,
                index=self.index,
                provenance=np.array(json.dumps(dict(self.provenance), sort_keys=True)),
                **{f"certificate_{name}": values for name, values in self.records.items()},
            )
        return path


def build_samples(
    flows: Sequence[np.ndarray],
    geometries: Sequence[FlowGeometry],
    noise: Noise,
    calls: np.ndarray,
    provenance: dict[str, Any],
) -> FlowSamples:
    """Certify each flow, in the unit of the data."""
    finite = [bool(np.isfinite(flow).all()) for flow in flows]
    seen = [
        certificate(flow, geometry) if good else {"divergence": np.nan, "wall_flux": np.nan}
        for flow, geometry, good in zip(flows, geometries, finite, strict=True)
    ]
    status = [
        Status.NON_FINITE if not good else Status.OK if max(each.values()) <= _BOUND else Status.INVALID
        for good, each in zip(finite, seen, strict=True)
    ]
    records = {name: np.array([each[name] for each in seen]) for name in ("divergence", "wall_flux")}
    obstacles = np.stack([geometry.grid.obstacles for geometry in geometries])
    return FlowSamples(list(flows), status, noise.samples, noise.seed, calls, records, provenance, obstacles)
