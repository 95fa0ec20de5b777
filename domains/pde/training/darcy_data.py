"""Pairs of medium and head to learn from: drawn, solved, and brought to coordinates."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from scidiff.errors import DataError
from scidiff.io.files import atomic_write
from scidiff.random import Noise

from ..darcy.chart import Chart, medium
from ..problems.darcy import Darcy

__all__ = ["PairSet", "fit_chart", "pair_set", "turned"]

_CHUNK = 100


@dataclass(frozen=True)
class PairSet:
    """Gaussian fields whose signs are media, and heads.

    Parameters
    ----------
    g
        Fields in standard deviations, float32, shape ``(rows, n, n)``.
    u
        Heads, float32, same shape.
    """

    g: np.ndarray
    u: np.ndarray

    def __len__(self) -> int:
        return len(self.g)

    @property
    def sha256(self) -> str:
        """Hash of both."""
        return hashlib.sha256(self.g.tobytes() + self.u.tobytes()).hexdigest()


def pair_set(
    count: int, seed: int, size: int, *, first: int = 0, path: Path | None = None, progress: bool = False
) -> PairSet:
    """Draw and solve, or read what a file holds.

    Parameters
    ----------
    count
        Number of pairs.
    seed
        Seed of the draw.
    size
        Cells along an axis.
    first
        Number of the first sample: other numbers are other draws.
    path
        Where the pairs are kept, an ``.npz`` file; by default they are not.
    progress
        Show a bar on a terminal.

    Raises
    ------
    DataError
        If the file holds other pairs than these.
    """
    facts = repr((count, seed, first, size))
    if path is not None and path.exists():
        with np.load(path, allow_pickle=False) as kept:
            if str(kept["facts"]) != facts:
                raise DataError(
                    f"'{path}' holds pairs of (count, seed, first, size) = {kept['facts']}; expected {facts}; "
                    "remove the file, or choose another folder"
                )
            return PairSet(kept["g"], kept["u"])
    problem = Darcy(size)
    unit = float(np.sqrt((problem.law.field.deviations((size, size)) ** 2).sum()))
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    starts = range(first, first + count, _CHUNK)
    for start in track(starts, "pairs", transient=True, disable=not progress):
        noise = Noise.range(seed, min(_CHUNK, first + count - start), start)
        g = problem.law.field.draw(noise, (size, size))
        a = torch.from_numpy(medium(g))
        u = problem.solve({"a": a, "f": torch.full_like(a, problem.source)})["u"].numpy()
        parts.append(((g / unit).astype(np.float32), u.astype(np.float32)))
    made = PairSet(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    if path is not None:
        with atomic_write(path, "wb") as file:
            np.savez(file, g=made.g, u=made.u, facts=np.array(facts))
    return made


def fit_chart(data: PairSet, width: float) -> Chart:
    """Chart in which the two coordinates of the data have variance 1 on average; six digits, whatever the machine."""
    mean = data.u.astype(np.float64).mean(0)
    mean = np.mean([turned(mean, move) for move in range(8)], axis=0)
    digits = 10.0 ** (5 - np.floor(np.log10(mean.max())))
    mean = np.round(mean * digits) / digits
    scale = float(np.sqrt(np.mean((data.u - mean) ** 2)))
    deviation = float(np.sqrt(np.mean(np.tanh(data.g.astype(np.float64) / width) ** 2)))
    return Chart(mean, float(f"{scale:.6g}"), width, float(f"{deviation:.6g}"))


def turned(field: np.ndarray, move: int) -> np.ndarray:
    """One of the eight symmetries of the square, on the last two axes: transpose, then reflect either axis."""
    out = np.swapaxes(field, -1, -2) if move & 1 else field
    out = np.flip(out, -2) if move & 2 else out
    return np.flip(out, -1) if move & 4 else out
