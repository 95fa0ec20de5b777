"""How the distribution of a set of chains differs from that of a reference.

* ``phi_psi_jsd``: Jensen-Shannon divergence of the (phi, psi) histograms in bins of 10 degrees, bits; 0 for equal laws.
* ``structure_distance``: total variation of the shares of helix, strand and coil residues by hydrogen bonds.
* ``strand_gap``: share of strand residues less that of the reference.
* ``distance_w1``: Wasserstein distance of CA-CA distances, ``|i - j| >= 3``, Å.
* ``rg_w1``: Wasserstein distance of ``Rg / (2.2 L^0.38)``.

A divergence of two finite samples of one law is not zero: it is read beside that of held-out real chains.

**Classes** of chains: alpha, helix >= 20 % and strand < 10 %; beta, strand >= 20 % and helix < 10 %; mixed, both >= 10
%; else irregular.

References
----------
J. Lin, "Divergence measures based on the Shannon entropy", IEEE Trans. Inf. Theory 37 (1991) 145,
doi:10.1109/18.61115
"""

from __future__ import annotations

import torch
from torch import Tensor

from .chains import Chains
from .secondary import COIL, HELIX, STRAND, assign
from .shape import rg_ratio
from .torsions import measure

__all__ = ["CLASSES", "class_shares", "distribution_distances", "structure_shares"]

CLASSES = ("alpha", "beta", "mixed", "irregular")
_BINS = 36
_LEVELS = 200


def _histogram(chains: Chains) -> Tensor:
    """Histogram of (phi, psi), summing to one, ``(36 * 36,)``."""
    internal = measure(chains.xyz, chains.mask)
    both = internal.known[..., 0] & internal.known[..., 1]
    place = ((internal.torsions[..., :2] / (2 * torch.pi) + 0.5) * _BINS).floor().long().remainder(_BINS)
    counts = torch.bincount((place[..., 0] * _BINS + place[..., 1])[both], minlength=_BINS**2).double()
    return counts / counts.sum().clamp(min=1)


def _jsd(p: Tensor, q: Tensor) -> float:
    """Jensen-Shannon divergence, bits."""
    middle = (p + q) / 2
    halves = [torch.where(one > 0, one * (one / middle.clamp(min=1e-300)).log2(), 0.0).sum() for one in (p, q)]
    return float(sum(halves)) / 2


def _w1(a: Tensor, b: Tensor) -> float:
    """Wasserstein distance of two samples, by their quantile functions."""
    level = (torch.arange(_LEVELS, dtype=torch.float64) + 0.5) / _LEVELS
    quantiles = [torch.sort(x.double()).values[(level * len(x)).long().clamp(max=len(x) - 1)] for x in (a, b)]
    return float((quantiles[0] - quantiles[1]).abs().mean())


def _distances(chains: Chains) -> Tensor:
    """CA-CA distances, each chain with the same weight would need as many; all pairs are taken."""
    apart = torch.cdist(chains.ca, chains.ca)
    pair = (chains.mask.unsqueeze(1) & chains.mask.unsqueeze(2)).triu(3)
    return apart[pair]


def structure_shares(chains: Chains) -> tuple[Tensor, Tensor]:
    """Shares of helix and strand residues of each chain by hydrogen bonds, float64, shape ``(batch,)`` each."""
    states = assign(chains)
    of = chains.lengths.double()
    return tuple(((states == state) & chains.mask).sum(1) / of for state in (HELIX, STRAND))


def class_shares(chains: Chains) -> dict[str, float]:
    """Shares of alpha, beta, mixed and irregular chains."""
    helix, strand = structure_shares(chains)
    alpha, beta = (helix >= 0.2) & (strand < 0.1), (strand >= 0.2) & (helix < 0.1)
    mixed = (helix >= 0.1) & (strand >= 0.1)
    rest = ~(alpha | beta | mixed)
    return {n: float(x.double().mean()) for n, x in zip(CLASSES, (alpha, beta, mixed, rest), strict=True)}


def _residue_shares(chains: Chains) -> Tensor:
    """Shares of coil, helix and strand among all residues."""
    states = assign(chains)[chains.mask]
    return torch.stack([(states == k).double().mean() for k in (COIL, HELIX, STRAND)])


def distribution_distances(chains: Chains, reference: Chains) -> dict[str, float]:
    """Distances between the distributions of two sets; see the head of the module.

    Parameters
    ----------
    chains, reference
        The sets.

    Returns
    -------
    dict
        Numbers by name.
    """
    mine, theirs = _residue_shares(chains), _residue_shares(reference)
    return {
        "phi_psi_jsd": _jsd(_histogram(chains), _histogram(reference)),
        "structure_distance": float((mine - theirs).abs().sum()) / 2,
        "strand_gap": float(mine[STRAND] - theirs[STRAND]),
        "distance_w1": _w1(_distances(chains), _distances(reference)),
        "rg_w1": _w1(rg_ratio(chains.ca, chains.mask), rg_ratio(reference.ca, reference.mask)),
    }
