"""The energy of relaxation, in bounded internal coordinates.

The variables are phi and psi, free, and the unbounded ``u`` and ``v`` of angles and omega (`bounded`), so that local
geometry is valid whatever they are. With ``X`` the chain that they build and ``X0`` the given one,

    E = w_clash   sum over pairs of max(0, least + margin - d)^2      backbone heavy atoms, and CA at 3.9 Å
      + w_rama    sum_i U(phi_i, psi_i)                               zero where favoured
      - w_bond    sum over pairs of log2(1 + 2^-(E_ij / 0.5 + 1))     hydrogen bonds within a soft cut of -0.5 kcal/mol
      + w_rg  L   max(0, Rg / (2.2 L^0.38) - r)^2
      + w_shape   sum over pairs near in X0 of s^2 / (1 + s^2),       s = d - d0
      + sum_i k_i (2 - cos(phi - phi0) - cos(psi - psi0)) + w_local |u - u0, v - v0|^2
      + w_pose    sum over atoms of kept residues of (d - d0)^2

Residues in helices and strands are stiff, the others soft. The bond term has a slope only where a bond is nearly
formed: it closes hydrogen bonds that are there but for some tenths of an Å, and invents none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .backbone import build
from .bounded import bounded, from_bounded
from .chains import Chains
from .contacts import Pairs, clash_energy, hydrogen_energies, near_pairs, sites
from .geometry import BONDS
from .ramachandran import classes_of
from .ramachandran_energy import ramachandran_energy
from .secondary import COIL, assign
from .shape import CLASH, rg_ratio
from .torsions import Internal, measure

__all__ = ["Relaxation", "Strain", "Variables"]

_BOND_SLACK = 0.055
_CUT, _WIDTH = -0.5, 0.25


@dataclass(frozen=True)
class Relaxation:
    """Settings of `repair.relax`.

    Parameters
    ----------
    steps
        Steps of `descent.descend`.
    rate
        Its first rate, Å.
    margin
        Distance beyond the limits at which clashes cease to cost, Å.
    ratio
        Value of ``Rg / (2.2 L^0.38)`` above which the chain is drawn in.
    clash, rama, bond, pull, shape, local, pose
        Weights of clashes, Ramachandran energy, hydrogen bonds, radius of gyration, near distances, angles and omega,
        and kept residues.
    stiffness, coil
        Weights of the restraint on phi and psi in helices and strands, and elsewhere.
    """

    steps: int = 120
    rate: float = 0.05
    margin: float = 0.1
    ratio: float = 1.2
    clash: float = 6.0
    rama: float = 0.6
    bond: float = 0.5
    pull: float = 60.0
    shape: float = 0.5
    local: float = 1.0
    pose: float = 20.0
    stiffness: float = 10.0
    coil: float = 0.5


@dataclass(frozen=True, eq=False)
class Variables:
    """The variables of a chain: phi and psi, ``u``, ``v``, and what stays: peptide states, bonds, mask."""

    phi_psi: Tensor
    u: Tensor
    v: Tensor
    state: Tensor
    bonds: Tensor
    mask: Tensor

    @classmethod
    def of(cls, internal: Internal) -> Variables:
        """Variables of given coordinates; bonds are brought to within 0.055 Å of ideal."""
        u, v, state = bounded(internal)
        ideal = internal.bonds.new_tensor(BONDS)
        bonds = ideal + (internal.bonds - ideal).clamp(-_BOND_SLACK, _BOND_SLACK)
        return cls(internal.torsions[..., :2].detach(), u.detach(), v.detach(), state, bonds.detach(), internal.mask)

    def internal(self) -> Internal:
        """Internal coordinates of exact local geometry."""
        return replace(from_bounded(self.phi_psi, self.u, self.v, self.state, self.mask), bonds=self.bonds)

    def to(self, dtype: torch.dtype) -> Variables:
        """Variables of another precision."""
        names = ("phi_psi", "u", "v", "state", "bonds")
        return replace(self, **{name: getattr(self, name).to(dtype) for name in names})


class Strain:
    """The energy about one batch of chains.

    Parameters
    ----------
    chains
        The given chains ``X0``.
    start
        Their variables.
    settings
        Weights.
    held
        Rigid body of residues that keep their pose, from 1, and 0 elsewhere, or True where a residue is in the only
        one; shape ``(batch, length)``.
    """

    def __init__(self, chains: Chains, start: Variables, settings: Relaxation, held: Tensor | None = None) -> None:
        self.settings, self.start, self.mask, self.sequence = settings, start, chains.mask, chains.sequence
        internal = measure(chains.xyz, chains.mask)
        known = internal.known
        self.both = (known[..., 0] & known[..., 1]).to(start.u)
        self.classes = classes_of(chains, internal)
        soft = torch.where(assign(chains) == COIL, settings.coil, settings.stiffness)
        self.stiff = (soft * chains.mask).to(start.u)
        xyz = chains.xyz.to(start.u)
        self.reference = near_pairs(xyz[:, :, 1], chains.mask, 10.0)
        self.distances = _distances(xyz[:, :, 1], self.reference)
        self.pose = _held_pairs(held)
        self.pose_distances = _distances(xyz.flatten(1, 2), self.pose)

    def pairs(self, xyz: Tensor) -> Pairs:
        """Pairs that may meet within the next steps."""
        return near_pairs(xyz[:, :, 1].detach(), self.mask)

    def __call__(self, now: Variables, pairs: Pairs | None) -> tuple[Tensor, Pairs]:
        """Return the energy of each chain, shape ``(batch,)``, and the pairs that were used."""
        w, xyz = self.settings, build(now.internal())
        pairs = self.pairs(xyz) if pairs is None else pairs
        atoms, ca = sites(xyz, self.mask), xyz[:, :, 1]
        energy = w.clash * clash_energy(atoms, self.sequence, pairs, w.margin)
        near = (CLASH + 0.3 - _distances(ca, pairs)).clamp(min=0) ** 2
        bonds = hydrogen_energies(atoms, pairs)
        formed = torch.nn.functional.softplus((_CUT - bonds) / _WIDTH).clamp(max=4.0).sum(1)
        energy = energy.index_add(0, pairs.chain, w.clash * near - w.bond * formed)
        energy = energy + w.rama * (ramachandran_energy(now.phi_psi, self.classes) * self.both).sum(1)
        energy = energy + w.pull * (rg_ratio(ca, self.mask) - w.ratio).clamp(min=0) ** 2 * self.mask.sum(1)
        off = (_distances(ca, self.reference) - self.distances) ** 2
        energy = energy.index_add(0, self.reference.chain, w.shape * off / (1 + off))
        off = (_distances(xyz.flatten(1, 2), self.pose) - self.pose_distances) ** 2
        energy = energy.index_add(0, self.pose.chain, w.pose * off)
        return energy + self._held(now), pairs

    def _held(self, now: Variables) -> Tensor:
        """Restraint on the variables."""
        turned = (2 - (now.phi_psi - self.start.phi_psi).cos().sum(-1)) * self.stiff
        local = ((now.u - self.start.u) ** 2).sum(-1) + (now.v - self.start.v) ** 2
        return (turned + self.settings.local * local * self.mask).sum(1)


def _distances(points: Tensor, pairs: Pairs) -> Tensor:
    """Distances of points ``(batch, n, 3)``."""
    return ((points[pairs.chain, pairs.i] - points[pairs.chain, pairs.j]) ** 2).sum(-1).clamp(min=1e-6).sqrt()


def _held_pairs(held: Tensor | None) -> Pairs:
    """Pairs of atoms of kept residues of one rigid body, places in the flattened atoms."""
    if held is None:
        none = torch.zeros(0, dtype=torch.int64)
        return Pairs(none, none, none)
    body = held.to(torch.int64).unsqueeze(-1).expand(-1, -1, 3).flatten(1)
    pair = (body.unsqueeze(1) == body.unsqueeze(2)) & (body > 0).unsqueeze(1)
    return Pairs(*torch.nonzero(pair.triu(3), as_tuple=True))
