"""The Frechet ChemNet distance (FCD), raw and extrapolated, with a cache of statistics.

``fcd`` is the squared Frechet distance between the Gaussians fitted to ChemNet's activations of two sets [1]_. Its bias
falls as ``c/n`` and is of the size of the published values themselves, so two sets of one distribution are not at
distance zero. ``fcd_extrapolated`` removes it (see `frechet`). ``fcd_score = exp(-fcd / 5)`` is GuacaMol's number [2]_:
higher is better, computed from the raw distance.

The statistics kept for a set are the moments of eight random groups. They are written to the cache as one ``.npz`` file
of plain arrays, whole or not at all, and named by a hash of the sorted canonical SMILES, the seed, the number of groups
and the version of the network.

References
----------
.. [1] K. Preuer et al., J. Chem. Inf. Model. 58 (2018) 1736, doi:10.1021/acs.jcim.8b00234
.. [2] N. Brown et al., J. Chem. Inf. Model. 59 (2019) 1096, arXiv 1811.09621
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from scidiff.errors import IntegrityError
from scidiff.io.files import atomic_write, cache_folder, sha256_lines
from scidiff.io.provenance import package_version

from .chemnet import DIMENSION, activations
from .context import Context
from .frechet import GROUPS, Moments, extrapolate, frechet_distance, group_moments, moments
from .molecule_set import MoleculeSet
from .report import Metric

__all__ = [
    "SMALL",
    "fcd_score",
    "load_statistics",
    "measure_fcd",
    "save_statistics",
    "set_statistics",
    "statistics_path",
]

SMALL = 2000
"""Below this many molecules the extrapolation is called rough."""


def fcd_score(distance: float) -> float:
    """Score of GuacaMol, ``exp(-distance / 5)``, between 0 and 1.

    Parameters
    ----------
    distance
        FCD, not negative.

    Returns
    -------
    score
        1 at distance zero.
    """
    return math.exp(-0.2 * distance)


def statistics_path(smiles: Iterable[str], seed: int, folder: Path | None = None) -> Path:
    """File of the cached statistics of a set.

    Parameters
    ----------
    smiles
        Canonical SMILES in sorted order, duplicates kept.
    seed
        Seed of the groups.
    folder
        Cache folder; None for the one of the package.

    Returns
    -------
    path
        The name that the statistics of exactly this set have.
    """
    header = ["chemnet moments 2", package_version("fcd_torch"), str(GROUPS), str(seed)]
    name = sha256_lines([*header, *smiles])[:40]
    return (cache_folder() if folder is None else Path(folder)) / "fcd" / f"{name}.npz"


def save_statistics(path: Path, parts: Sequence[Moments]) -> None:
    """Write the moments of the groups of a set.

    Parameters
    ----------
    path
        The file.
    parts
        Moments of each group.

    Raises
    ------
    DataError
        If the folder cannot be written.
    """
    with atomic_write(path, "wb") as file:
        np.savez(
            file,
            count=np.array([part.count for part in parts], dtype=np.int64),
            rows=np.array([len(part.factor) for part in parts], dtype=np.int64),
            mean=np.stack([part.mean for part in parts]),
            factor=np.concatenate([part.factor for part in parts]),
        )


def load_statistics(path: Path) -> tuple[Moments, ...]:
    """Read what `save_statistics` wrote.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    parts
        Moments of each group.

    Raises
    ------
    IntegrityError
        If the file is damaged or holds arrays of other shapes.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            count, rows, mean, factor = (arrays[name] for name in ("count", "rows", "mean", "factor"))
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise IntegrityError(
            f"cached statistics {path} cannot be read ({error}); delete the file to compute them again"
        ) from error
    shapes = (count.shape, rows.shape, mean.shape, factor.shape)
    expected = ((GROUPS,), (GROUPS,), (GROUPS, DIMENSION), (int(rows.sum()), DIMENSION))
    if shapes != expected or not (np.isfinite(mean).all() and np.isfinite(factor).all()):
        raise IntegrityError(
            f"cached statistics {path} have shapes {shapes}; expected finite {expected}: delete the file"
        )
    factors = np.split(factor, np.cumsum(rows)[:-1])
    return tuple(Moments(int(n), m, part) for n, m, part in zip(count, mean, factors, strict=True))


def set_statistics(
    molecules: MoleculeSet, *, seed: int, cache: Path | None = None, threads: int | None = None
) -> tuple[Moments, ...]:
    """Moments of eight random groups of a set, from the cache or computed and cached.

    Parameters
    ----------
    molecules
        The set, of 16 molecules or more.
    seed
        Seed of the groups.
    cache
        Cache folder; None for the one of the package.
    threads
        Threads of torch; None leaves them as they are.

    Returns
    -------
    parts
        Moments of each group.

    Raises
    ------
    IntegrityError
        If the cached file is damaged.
    ShapeError
        If there are too few molecules.
    """
    path = statistics_path(molecules.smiles, seed, cache)
    if path.is_file():
        return load_statistics(path)
    parts = group_moments(activations(molecules.unique, threads=threads)[molecules.index], seed)
    save_statistics(path, parts)
    return parts


def measure_fcd(context: Context) -> dict[str, Metric]:
    """FCD at the size of the sample, extrapolated to infinite size, and GuacaMol's score.

    Parameters
    ----------
    context
        The molecules, what they are compared with, and the settings.

    Returns
    -------
    rows
        ``fcd``, ``fcd_extrapolated``, ``fcd_score``.

    Raises
    ------
    IntegrityError
        If cached statistics are damaged.
    """
    ours, theirs = context.generated, context.reference
    sizes = f"{len(ours)} against {len(theirs)}"
    if min(len(ours), len(theirs)) < 2 * GROUPS:
        return _few(context, sizes)
    first = set_statistics(ours, seed=context.seed, cache=context.cache, threads=context.threads)
    second = set_statistics(theirs, seed=context.seed + 1, cache=context.cache, threads=context.threads)
    found = extrapolate(first, second, seed=context.seed, confidence=context.confidence)
    rough = "; rough at this size" if min(len(ours), len(theirs)) < SMALL else ""
    score = (fcd_score(found.raw_interval.high), fcd_score(max(found.raw_interval.low, 0.0)))
    return {
        "fcd": Metric.of(found.raw, found.raw_interval.clip(0.0, math.inf), len(ours), f"raw, {sizes}: biased upwards"),
        "fcd_extrapolated": Metric.of(
            found.infinite, found.infinite_interval, len(ours), f"extrapolated to infinite size from {sizes}{rough}"
        ),
        "fcd_score": Metric(fcd_score(found.raw), *score, len(ours), f"exp(-fcd/5), raw, {sizes}"),
    }


def _few(context: Context, sizes: str) -> dict[str, Metric]:
    """FCD of sets too small to be cut into groups: raw, without an interval."""
    sets = (context.generated, context.reference)
    needed = f"needs {2 * GROUPS} molecules in both sets; there are {sizes}"
    count = len(context.generated)
    if min(len(molecules) for molecules in sets) < 2:
        return {
            name: Metric.undefined(count, f"{sizes} molecules") for name in ("fcd", "fcd_extrapolated", "fcd_score")
        }
    both = [moments(activations(molecules.unique, threads=context.threads)[molecules.index]) for molecules in sets]
    distance = frechet_distance(*both)
    return {
        "fcd": Metric.of(distance, None, count, f"raw, {sizes}: biased upwards"),
        "fcd_extrapolated": Metric.undefined(count, needed),
        "fcd_score": Metric.of(fcd_score(distance), None, count, f"exp(-fcd/5), raw, {sizes}"),
    }
