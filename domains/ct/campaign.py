"""Many scans in campaigns: one condition for each scan file, one row for each image.

The model of a campaign is a prior (``ct``, ``gaussian``, a file), under which samples are drawn by ``method``, by
default ``posterior``. Or it is a classical method (``fbp``, ``sirt``, ``cgls``, ``pwls``, ``tv``), which makes one
image with its weight or its stop chosen from the noise level: then steps are not used, and ``count = 1`` is enough.

A row has its ``image`` in 1/mm, ``chi2`` with the band of the true image, the largest standardised residuals of a view
and of a detector column, and the share of negative pixels. It is valid where the image is finite and the method has
converged. Rows are compared by their image averaged over blocks of pixels, in units of 0.02 / mm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from scidiff.domain import CampaignAdapter, Candidates
from scidiff.errors import ConfigError, UnknownNameError
from scidiff.io.checkpoint import card_path
from scidiff.io.files import sha256_file
from scidiff.io.provenance import package_version
from scidiff.io.zarr_rows import write_zarr

from .classical import METHODS
from .grid import Grid
from .readers import read_scan
from .scan import Scan
from .validation import Validation, validate

__all__ = ["ADAPTER"]

_PIXELS, _BLOCKS, _WATER = 128, 8, 0.02
_NUMBERS = ("chi2", "worst_view", "worst_column", "negative")
Columns = Mapping[str, Sequence[Any]]


class _Make(Protocol):
    """Reconstructs the images of a range of indices."""

    def __call__(
        self, scan: Scan, grid: Grid, condition: Mapping[str, Any], indices: range, steps: int, seed: int
    ) -> _Made:
        """Return the images."""
        ...


@dataclass(frozen=True)
class _Made:
    """Images of one scan; `settled` is False where the method has not converged."""

    images: Sequence[Tensor]
    method: str
    calls: float
    settled: bool = True


def _load(model: str, device: str) -> _Make:
    """Make the function that reconstructs: by a classical method, or by draws under a prior."""
    return _Classical(model) if model in METHODS else _Drawn(_prior(model, device))


@dataclass(frozen=True)
class _Classical:
    """A classical method: the same image for every index."""

    name: str

    def __call__(
        self, scan: Scan, grid: Grid, condition: Mapping[str, Any], indices: range, steps: int, seed: int
    ) -> _Made:
        if "method" in condition:
            raise ConfigError(f"'{self.name}' is a method itself; leave 'method' out, or name a prior as the model")
        made = METHODS[self.name](scan, grid)
        return _Made([made.image] * len(indices), made.method, made.iterations, made.converged)


@dataclass(frozen=True)
class _Drawn:
    """Samples under a prior."""

    law: Any

    def __call__(
        self, scan: Scan, grid: Grid, condition: Mapping[str, Any], indices: range, steps: int, seed: int
    ) -> _Made:
        from .methods import reconstruct

        method, first = condition.get("method", "posterior"), indices.start
        made = reconstruct(scan, self.law, method, grid=grid, count=len(indices), steps=steps, seed=seed, first=first)
        return _Made(list(made.samples), made.method, made.calls)


def _prior(model: str, device: str) -> Any:
    """Load a prior."""
    from .priors.gaussian import GaussianPrior
    from .priors.learned import load_prior

    return GaussianPrior() if model == "gaussian" else load_prior(model, device=device)


def _fingerprint(model: str) -> str:
    """SHA-256 of the card of a prior; name and version stand for what has no weights."""
    from .priors.learned import bundled

    if model == "gaussian" or model in METHODS:
        return hashlib.sha256(f"{model} scidiff {package_version('scidiff')}".encode()).hexdigest()
    known = bundled()
    path = known.get(model, Path(model))
    if path.suffix != ".safetensors" or not path.exists():
        raise UnknownNameError("prior or method", model, ["gaussian", *known, *METHODS])
    return sha256_file(card_path(path))


def _grid(scan: Scan, condition: Mapping[str, Any]) -> Grid:
    """Image grid of a condition; by default the square around what the detector sees."""
    pixels = int(condition.get("pixels", _PIXELS))
    return Grid.square(pixels, float(condition.get("extent_mm", 2 * scan.geometry.field_of_view)))


def _sample(make: _Make, condition: Mapping[str, Any], indices: range, steps: int, seed: int) -> Candidates:
    """Reconstruct the scan of a condition, and ask the data about every image."""
    scan = read_scan(condition["scan"])
    grid = _grid(scan, condition)
    if len(scan.geometry.detector) != 1:
        raise ConfigError(f"{condition['scan']} is a scan of a volume; campaigns reconstruct slices: rebin it")
    made = make(scan, grid, condition, indices, steps, seed)
    judged: dict[int, Validation | None] = {}
    for image in made.images:
        if id(image) not in judged:
            judged[id(image)] = validate(scan, image, grid) if bool(torch.isfinite(image).all()) else None
    verdicts = [judged[id(image)] for image in made.images]
    numbers = {
        name: np.array([np.nan if each is None else getattr(each, name) for each in verdicts]) for name in _NUMBERS
    }
    count = len(indices)
    columns = {
        "image": [None if v is None else x.float().numpy() for x, v in zip(made.images, verdicts, strict=True)],
        "voxel_mm": np.full(count, grid.lengths[0]),
        "scan": [str(condition["scan"])] * count,
        "method": [made.method] * count,
        "calls": np.full(count, float(made.calls)),
        **numbers,
        "chi2_low": np.array([np.nan if each is None else each.band[0] for each in verdicts]),
        "chi2_high": np.array([np.nan if each is None else each.band[1] for each in verdicts]),
        "findings": ["" if each is None else " ".join(each.findings) for each in verdicts],
    }
    status = ["non_finite" if each is None else "ok" if made.settled else "invalid" for each in verdicts]
    said = {"ok": "", "invalid": "the method has not converged", "non_finite": "a pixel is not finite"}
    return Candidates(status, [said[each] for each in status], columns)


def _column(name: str, columns: Columns) -> list[float]:
    """One of the numbers of a row as a score."""
    return [float(value) for value in columns[name]]


def _misfit(columns: Columns) -> list[float]:
    """Distance of ``chi^2 / n`` from the band of the true image, in half-widths of it; 0 inside."""
    found = []
    for value, low, high in zip(*(columns[name] for name in ("chi2", "chi2_low", "chi2_high")), strict=True):
        off = abs(value - 0.5 * (low + high)) / (0.5 * (high - low)) - 1.0
        found.append(0.0 if off < 0 else off)
    return found


def _features(columns: Columns) -> np.ndarray:
    """Image averaged over blocks of pixels; pixels beyond the last whole block stay out."""
    rows = []
    for image in columns["image"]:
        size = [max(1, side // _BLOCKS) for side in image.shape]
        cut = image[: size[0] * _BLOCKS, : size[1] * _BLOCKS] if min(image.shape) >= _BLOCKS else image
        blocks = [side // step for side, step in zip(cut.shape, size, strict=True)]
        whole = np.zeros((_BLOCKS, _BLOCKS), dtype=np.float32)
        means = cut.reshape(blocks[0], size[0], blocks[1], size[1]).mean((1, 3))
        whole[: blocks[0], : blocks[1]] = means / _WATER
        rows.append(whole.ravel())
    return np.stack(rows)


def _write_zarr(path: Path, rows: Iterator[Mapping[str, Any]], provenance: Mapping[str, Any]) -> None:
    """Write the images with their numbers as one Zarr group."""
    write_zarr(path, (row for row in rows if row["image"] is not None), provenance, {"image": ("y", "x")})


def _check_scan(model: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"scan is {value!r}; expected the name of a scan file, .npz")
    read_scan(value)
    return sha256_file(value)


def _check_method(model: str, value: Any) -> None:
    from .methods.registry import METHODS as WITH_PRIOR

    if model in METHODS:
        raise ConfigError(f"'{model}' is a method itself; leave 'method' out, or name a prior as the model")
    if value not in WITH_PRIOR:
        raise UnknownNameError("method with a prior", str(value), WITH_PRIOR)


def _check_pixels(model: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 4096:
        raise ConfigError(f"pixels is {value!r}; expected a whole number from 1 to 4096")


def _check_extent(model: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e5:
        raise ConfigError(f"extent_mm is {value!r}; expected a length above 0, in mm")


ADAPTER = CampaignAdapter(
    fingerprint=_fingerprint,
    load=_load,
    sample=_sample,
    conditions={"scan": _check_scan, "method": _check_method, "pixels": _check_pixels, "extent_mm": _check_extent},
    required=("scan",),
    scores={"misfit": _misfit, **{name: partial(_column, name) for name in _NUMBERS}},
    features=_features,
    group="scan",
    writers={".zarr": _write_zarr},
)
