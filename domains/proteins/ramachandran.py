"""Ramachandran classes, density tables and verdicts.

**Classes**, first match wins: glycine; cis-proline; trans-proline; pre-proline; Ile/Val; general. A proline is cis
where the omega before it lies within 30 degrees of 0. Terminal residues have no verdict.

**Table.** A value is a percentile: the share of the reference residues that lie in bins of lower density. A
residue is favoured at 0.02 and above, an outlier below 0.0005 (general), 0.002 (cis-proline) or 0.001 (others), the
convention of Top8000.

**Own tables.** Counts of the intact chains of the training list in bins of 2 degrees, glycine made symmetric under
``(phi, psi) -> (-phi, -psi)``, smoothed by a periodic Gaussian of 3 degrees (sd), 10 degrees for cis-proline. Of 230
cis-prolines 0.2 % is less than one residue: there an outlier is not told from an allowed one. The chains carry no B
factors, so that the tails are less clean than those of Top8000: outlier rates under the two are not comparable.

**Top8000** grids are read from a folder where there is one; they are a check and do not come with the package.

References
----------
C. J. Williams et al., "MolProbity: More and better reference data for improved all-atom structure validation", Protein
Sci. 27 (2018) 293, doi:10.1002/pro.3330
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scidiff.errors import DataError
from scidiff.io.files import data_folder

from .chains import Chains
from .residues import LETTERS
from .torsions import Internal, measure

__all__ = ["CLASSES", "Ramachandran", "classes_of", "count_bins", "own", "percentiles", "smoothed_densities", "top8000"]

CLASSES = ("general", "gly", "ileval", "prepro", "transpro", "cispro")
GENERAL, GLY, ILEVAL, PREPRO, TRANSPRO, CISPRO = range(6)
FAVOURED = 0.02
OUTLIER = (0.0005, 0.001, 0.001, 0.001, 0.001, 0.002)
_BINS = 180
_SMOOTH = (3.0, 3.0, 3.0, 3.0, 3.0, 10.0)
_COUNTS = Path(__file__).parent / "data" / "ramachandran.safetensors"
_FILES = ("general-noGPIVpreP", "gly-sym", "ileval-nopreP", "prepro-noGP", "transpro", "cispro")


@dataclass(frozen=True)
class Ramachandran:
    """Six percentile tables.

    Parameters
    ----------
    tables
        ``tables[class, phi bin, psi bin]``, bins of 2 degrees from -180, shape ``(6, 180, 180)``.
    name
        Where they come from.
    """

    tables: Tensor
    name: str

    def values(self, internal: Internal, classes: Tensor) -> Tensor:
        """Percentile of every residue, ``(batch, length)``; meaningless where `judged` is False."""
        place = [((torch.rad2deg(internal.torsions[..., k]) + 180) / 2).floor().long().remainder(_BINS) for k in (0, 1)]
        return self.tables.to(internal.torsions.device)[classes, place[0], place[1]]

    def judge(self, internal: Internal, classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Judge residues.

        Parameters
        ----------
        internal
            Internal coordinates.
        classes
            Class of every residue, as of `classes_of`; zeros judge by the general table alone.

        Returns
        -------
        favoured, outlier, judged
            Masks, shape ``(batch, length)``; the third is True where a residue has phi and psi.
        """
        judged = internal.known[..., 0] & internal.known[..., 1]
        value = self.values(internal, classes)
        limit = value.new_tensor(OUTLIER)[classes]
        return (value >= FAVOURED) & judged, (value < limit) & judged, judged


def classes_of(chains: Chains, internal: Internal | None = None) -> Tensor:
    """Class of every residue, int64, shape ``(batch, length)``; an unknown residue is general."""
    internal = measure(chains.xyz, chains.mask) if internal is None else internal
    code = {letter: k for k, letter in enumerate(LETTERS)}
    sequence = chains.sequence
    proline = (sequence == code["P"]) & chains.mask
    before = torch.roll(internal.torsions[..., 2], 1, dims=1)
    cis = (before.abs() < math.radians(30)) & internal.known[..., 0]
    ahead = torch.roll(proline, -1, dims=1)
    ahead[:, -1] = False
    found = torch.where((sequence == code["I"]) | (sequence == code["V"]), ILEVAL, GENERAL)
    found = torch.where(ahead, PREPRO, found)
    found = torch.where(proline, torch.where(cis, CISPRO, TRANSPRO), found)
    return torch.where(sequence == code["G"], GLY, found)


def count_bins(chains: Chains) -> Tensor:
    """Count the residues of chains, int32, shape ``(6, 180, 180)``."""
    internal = measure(chains.xyz, chains.mask)
    classes = classes_of(chains, internal)
    judged = internal.known[..., 0] & internal.known[..., 1]
    bins = ((torch.rad2deg(internal.torsions[..., :2]) + 180) / 2).floor().long().remainder(_BINS)
    flat = (classes * _BINS + bins[..., 0]) * _BINS + bins[..., 1]
    return torch.bincount(flat[judged], minlength=6 * _BINS * _BINS).reshape(6, _BINS, _BINS).to(torch.int32)


def percentiles(counts: Tensor) -> Tensor:
    """Turn counts into percentile tables.

    Parameters
    ----------
    counts
        As of `count_bins`.

    Returns
    -------
    Tensor
        Percentiles, float64, shape ``(6, 180, 180)``.
    """
    tables = torch.zeros(6, _BINS, _BINS, dtype=torch.float64)
    symmetric = _symmetric(counts)
    for k, width in enumerate(_SMOOTH):
        smooth = _blurred(symmetric[k], width).flatten()
        order = smooth.argsort()
        share = smooth[order].cumsum(0) / smooth.sum()
        tables[k].view(-1)[order] = torch.cat((share.new_zeros(1), share[:-1]))
    return tables


def _symmetric(counts: Tensor) -> Tensor:
    """Counts as float64, glycine symmetric under ``(phi, psi) -> (-phi, -psi)``."""
    density = counts.to(torch.float64).clone()
    density[GLY] += density[GLY].flip(0, 1)
    return density


def _blurred(density: Tensor, width: float) -> Tensor:
    """Smooth one map by a periodic Gaussian of ``width`` degrees."""
    place = torch.arange(_BINS, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (torch.minimum(place, _BINS - place) * 2 / width) ** 2)
    wave = torch.fft.rfft(kernel / kernel.sum()).unsqueeze(0)
    smooth = torch.fft.irfft(torch.fft.rfft(density) * wave, n=_BINS)
    return torch.fft.irfft(torch.fft.rfft(smooth.T) * wave, n=_BINS).T.clamp(min=0)


def smoothed_densities(width: float) -> Tensor:
    """Densities of the package's counts, each summing to one, smoothed by ``width`` degrees, ``(6, 180, 180)``."""
    from safetensors.torch import load_file

    blurred = torch.stack([_blurred(table, width) for table in _symmetric(load_file(_COUNTS)["counts"])])
    return blurred / blurred.sum((1, 2), keepdim=True)


@cache
def own() -> Ramachandran:
    """Return the tables of the package, our own density."""
    from safetensors.torch import load_file

    return Ramachandran(percentiles(load_file(_COUNTS)["counts"]), "own density, training chains")


def top8000(folder: str | Path | None = None) -> Ramachandran | None:
    """Read the six Top8000 grids.

    Parameters
    ----------
    folder
        Folder with the files ``rama8000-*.data``; by default ``$SCIDIFF_DATA/proteins/ramachandran``.

    Returns
    -------
    Ramachandran or None
        The tables; None where no folder is given and none is found.

    Raises
    ------
    DataError
        If a given folder lacks a grid, or a row cannot be read.
    """
    data = data_folder()
    place = Path(folder) if folder is not None else None if data is None else data / "proteins" / "ramachandran"
    if place is None or (folder is None and not place.is_dir()):
        return None
    tables = torch.zeros(6, _BINS, _BINS, dtype=torch.float64)
    for k, name in enumerate(_FILES):
        path = place / f"rama8000-{name}.data"
        try:
            rows = np.loadtxt(path, comments="#", ndmin=2)
            bins = ((rows[:, :2] + 180) // 2).astype(int)
            tables[k, bins[:, 0], bins[:, 1]] = torch.from_numpy(rows[:, 2])
        except (OSError, ValueError, IndexError) as error:
            raise DataError(f"cannot read {path} ({error}); expected rows of phi, psi and value") from error
    return Ramachandran(tables, "Top8000")
