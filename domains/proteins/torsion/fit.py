"""From a prediction in two parts to one chain: the backbone of exact local geometry that fits both.

A denoised sample says where CA are and how torsions stand; the two agree only nearly, and neither has exact bonds. The
fit moves the variables ``x = (phi, psi, v, u)`` of `relaxation.Variables`, in which bonds, angles and omega are valid
by construction, in two stages.

**Projection**, by Levenberg and Marquardt. With ``J`` the derivative of CA (`levers`) and ``r`` what is missing to the
predicted CA after superposition, each step solves

    (J^T W J + K + mu) dx = J^T W r + K (x_hat - x),     K = k(state) for phi, psi,  k_u for the bounded ones

with Huber weights ``W``; ``mu`` falls when a step helps and rises when not. Rigid motion costs nothing: it is projected
out of ``J``.

**Closing**, by `descent.descend` on the energy of `relaxation.Strain` about the projected chain, plus that of the bonds
that the plan asks for (`bonds`): first with soft atoms and long steps, which gathers strands that are apart, then with
hard atoms and short ones. A chain that still has a clash is parted with other weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scidiff.spaces.torus import wrap

from ..backbone import build
from ..bounded import SLOPES
from ..chains import Chains
from ..contacts import Pairs, sites
from ..descent import descend
from ..levers import ca_jacobian
from ..relaxation import Relaxation, Strain, Variables
from ..shape import clash_count
from ..superpose import apply, kabsch
from .bonds import bond_energy, bonds_of, pull_energy
from .plans import Plan

__all__ = ["Fit", "PlanStrain", "chains_of", "close", "kept", "project", "stiffness_of", "tidied"]

_HUBER = 2.0
_PULL = 0.5
_HELD = {"H": 2000.0, "E": 300.0, "-": 50.0, "?": 50.0}
_IDEAL = {"H": (-63.0, -42.5), "E": (-113.0, 133.0)}
_TRUST = {"H": 0.15, "E": 0.5}
_GATHERING = Relaxation(steps=100, shape=0.0, coil=0.1, stiffness=15.0, bond=0.0, clash=0.3, rama=1.0, rate=0.15)
_CLOSING = Relaxation(steps=150, shape=0.05, coil=0.3, stiffness=15.0, bond=1.0, rama=2.0)
_PARTING = Relaxation(steps=150, shape=0.0, coil=0.02, stiffness=0.5, bond=0.2, rama=2.0, clash=20.0)


@dataclass(frozen=True)
class Fit:
    """Settings of the fit.

    Parameters
    ----------
    rounds
        Steps of the projection.
    bond
        Weight of the bonds of the plan.
    angle
        Weight of bounded angles and omega in the projection.
    gathering, closing
        Weights and steps of the two parts of the closing: soft atoms and long steps, then hard ones and short steps.
    parting, attempts
        Weights of what is done to a chain that still has a clash, and how often.
    """

    rounds: int = 16
    bond: float = 4.0
    angle: float = 2.0
    gathering: Relaxation = _GATHERING
    closing: Relaxation = _CLOSING
    parting: Relaxation = _PARTING
    attempts: int = 4


def _joined(now: Variables) -> Tensor:
    return torch.cat((now.phi_psi, now.v.unsqueeze(-1), now.u), dim=-1)


def _parted(x: Tensor, like: Variables) -> Variables:
    return replace(like, phi_psi=x[..., :2], v=x[..., 2], u=x[..., 3:])


def _missing(now: Variables, target: Tensor) -> tuple[Tensor, Tensor]:
    """Chains, and what is missing to the target in the chains' own pose."""
    xyz = build(now.internal())
    ca = xyz[:, :, 1]
    weight = now.mask.to(ca)
    r = (apply(kabsch(target, ca, weight), target) - ca) * weight.unsqueeze(-1)
    return xyz, r


def _cost(r: Tensor, x: Tensor, start: Tensor, stiff: Tensor) -> Tensor:
    """Cost that the projection lowers, shape ``(batch,)``."""
    far = r.norm(dim=-1)
    huber = torch.where(far < _HUBER, far**2, 2 * _HUBER * far - _HUBER**2).sum(1)
    return huber + (stiff * _turn(x, start) ** 2).flatten(1).sum(1)


def _turn(x: Tensor, to: Tensor) -> Tensor:
    """Shortest way from ``x`` to ``to``; the first two variables are angles."""
    away = to - x
    return torch.cat((wrap(away[..., :2]), away[..., 2:]), dim=-1)


def _centring(mask: Tensor, ca: Tensor) -> Tensor:
    """Orthonormal basis of rigid motions of CA, shape ``(batch, 3 length, 6)``."""
    weight = mask.to(ca).unsqueeze(-1)
    centred = (ca - (ca * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)) * weight
    unit = torch.eye(3, dtype=ca.dtype)
    turned = torch.linalg.cross(unit.expand(*mask.shape, 3, 3), centred.unsqueeze(2).expand(*mask.shape, 3, 3))
    rigid = torch.cat((unit * weight.unsqueeze(-1), turned), dim=2).transpose(2, 3)
    return torch.linalg.qr(rigid.reshape(len(mask), -1, 6)).Q


def project(start: Variables, target: Tensor, stiff: Tensor, rounds: int, free: Tensor | None = None) -> Variables:
    """Bring chains near to given CA.

    Parameters
    ----------
    start
        Predicted variables.
    target
        Predicted CA, Å, shape ``(batch, length, 3)``.
    stiff
        Weight that holds each variable, shape ``(batch, length, 6)``.
    rounds
        Number of steps.
    free
        True where a variable moves, shape ``(batch, length, 6)``; all by default.

    Returns
    -------
    Variables
        The chains found.
    """
    origin = _joined(start)
    x, moves = origin.clone(), torch.ones_like(origin) if free is None else free.to(origin)
    damping = origin.new_full((len(origin),), 10.0)
    xyz, r = _missing(start, target)
    cost = _cost(r, x, origin, stiff)
    for _ in range(rounds):
        step = _step(xyz, r, x, origin, stiff, damping, moves, start)
        tried = x + step
        xyz_new, r_new = _missing(_parted(tried, start), target)
        cost_new = _cost(r_new, tried, origin, stiff)
        better = cost_new < cost
        damping = torch.where(better, damping / 3, damping * 4).clamp(1e-3, 1e6)
        keep = better.reshape(-1, 1, 1)
        x, r = torch.where(keep, tried, x), torch.where(keep, r_new, r)
        xyz, cost = torch.where(keep.unsqueeze(-1), xyz_new, xyz), torch.where(better, cost_new, cost)
    return _parted(x, start)


def _step(
    xyz: Tensor,
    r: Tensor,
    x: Tensor,
    origin: Tensor,
    stiff: Tensor,
    damping: Tensor,
    moves: Tensor,
    like: Variables,
) -> Tensor:
    """One step of Levenberg and Marquardt."""
    batch, length = like.mask.shape
    jacobian = ca_jacobian(xyz, like.mask)
    bent = 1 - x[..., 2:].tanh() ** 2
    slope = torch.cat((torch.ones_like(x[..., :2]), bent * x.new_tensor(SLOPES)), dim=-1) * moves
    jacobian = (jacobian * slope.reshape(batch, 1, 1, length, 6)).reshape(batch, 3 * length, 6 * length)
    basis = _centring(like.mask, xyz[:, :, 1])
    jacobian = jacobian - basis @ (basis.transpose(1, 2) @ jacobian)
    weight = (_HUBER / r.norm(dim=-1).clamp(min=1e-9)).clamp(max=1.0).repeat_interleave(3, dim=1)
    normal = jacobian.transpose(1, 2) @ (weight.unsqueeze(-1) * jacobian)
    hold = stiff.flatten(1) + damping.unsqueeze(1)
    normal = normal + torch.diag_embed(hold)
    pull = (jacobian.transpose(1, 2) @ (weight * r.flatten(1)).unsqueeze(-1)).squeeze(-1)
    pull = pull + (stiff * _turn(x, origin)).flatten(1) * moves.flatten(1)
    factor = torch.linalg.cholesky(normal)
    step = torch.cholesky_solve(pull.unsqueeze(-1), factor).squeeze(-1).reshape(x.shape)
    return step.clamp(-0.5, 0.5) * moves


class PlanStrain(Strain):
    """Energy of relaxation, plus the bonds of plans.

    Parameters
    ----------
    chains, start, settings
        As of `relaxation.Strain`.
    predicted
        Variables that phi and psi are held at: stiff where the plan has a helix or a strand.
    plans
        Plan of each chain.
    weight
        Weight of the bonds that the plans ask for.
    free
        True where a variable moves; the others are read from the start.
    held
        Residues whose pose is kept, as of `relaxation.Strain`.
    """

    def __init__(
        self,
        chains: Chains,
        start: Variables,
        settings: Relaxation,
        predicted: Variables,
        plans: Sequence[Plan],
        weight: float,
        free: Tensor | None = None,
        held: Tensor | None = None,
    ) -> None:
        super().__init__(chains, start, settings, held)
        self.bonds, self.weight, self.free, self.origin = bonds_of(plans), weight, free, start
        self.start = replace(start, phi_psi=predicted.phi_psi)
        ordered = stiffness_of(plans, self.mask.shape[1], 0.0)[..., 0] > _HELD["-"]
        self.stiff = torch.where(ordered, settings.stiffness, settings.coil).to(start.u) * self.mask

    def __call__(self, now: Variables, pairs: Pairs | None) -> tuple[Tensor, Pairs]:
        """Return the energy of each chain, shape ``(batch,)``, and the pairs that were used."""
        now = now if self.free is None else kept(now, self.origin, self.free)
        energy, pairs = super().__call__(now, pairs)
        atoms = sites(build(now.internal()), self.mask)
        asked = bond_energy(atoms, self.bonds) + _PULL * pull_energy(atoms[:, :, 1], self.bonds)
        return energy + self.weight * asked, pairs


def stiffness_of(plans: Sequence[Plan], length: int, angle: float) -> Tensor:
    """Weights that hold the variables in the projection, shape ``(plans, length, 6)``."""
    stiff = torch.full((len(plans), length, 6), angle, dtype=torch.float64)
    for row, plan in enumerate(plans):
        held = torch.tensor([_HELD[letter] for letter in plan.states], dtype=torch.float64)
        stiff[row, : len(plan), :2] = held.unsqueeze(-1)
    return stiff


def tidied(predicted: Variables, plans: Sequence[Plan]) -> Variables:
    """Bring phi and psi within planned helices, ends apart, and strands nearer to those of ideal ones.

    What is left of the distance to the ideal is `_TRUST`; the scatter that a network leaves from residue to residue is
    larger than that of real helices, and breaks their hydrogen bonds.
    """
    phi_psi = predicted.phi_psi.clone()
    for row, plan in enumerate(plans):
        for letter, degrees in _IDEAL.items():
            reach = 1 if letter == "H" else 0
            word = letter * (2 * reach + 1)
            inner = [k for k in range(len(plan)) if plan.states[max(k - reach, 0) : k + reach + 1] == word]
            ideal = torch.deg2rad(phi_psi.new_tensor(degrees))
            phi_psi[row, inner] = ideal + _TRUST[letter] * wrap(phi_psi[row, inner] - ideal)
    return replace(predicted, phi_psi=phi_psi)


def close(
    near: Variables, predicted: Variables, plans: Sequence[Plan], settings: Fit, free: Tensor | None = None
) -> Variables:
    """Close the bonds that plans ask for, and remove clashes.

    Parameters
    ----------
    near, predicted
        Projected chains, and the variables as they were predicted.
    plans
        Plan of each chain.
    settings
        Weights and steps.
    free
        True where a variable moves, shape ``(batch, length, 6)``; all by default.

    Returns
    -------
    Variables
        The chains found; variables that are not free are as they were.
    """
    found = _descended(near, predicted, plans, settings.gathering, settings.bond, free)
    found = _descended(found, predicted, plans, settings.closing, settings.bond, free)
    for _ in range(settings.attempts):
        chains = chains_of(found)
        bad = torch.nonzero(clash_count(chains.ca, chains.mask)).squeeze(1)
        if not len(bad):
            break
        few, part = [plans[int(k)] for k in bad], None if free is None else free[bad]
        apart = _descended(_rows(found, bad), _rows(predicted, bad), few, settings.parting, 1.0, part)
        found = _parted(_joined(found).index_copy(0, bad, _joined(apart)), found)
    return found


def _descended(
    near: Variables,
    predicted: Variables,
    plans: Sequence[Plan],
    settings: Relaxation,
    bond: float,
    free: Tensor | None,
) -> Variables:
    """Descend the energy of relaxation with the bonds of plans."""
    strain = PlanStrain(chains_of(near), near, settings, predicted, plans, bond, free)
    found = descend(strain, near, settings)
    return found if free is None else kept(found, near, free)


def _rows(now: Variables, rows: Tensor) -> Variables:
    names = ("phi_psi", "u", "v", "state", "bonds", "mask")
    return replace(now, **{name: getattr(now, name)[rows] for name in names})


def kept(found: Variables, start: Variables, free: Tensor) -> Variables:
    """Variables of the first where free, of the second elsewhere."""
    return _parted(torch.where(free, _joined(found), _joined(start)), start)


def chains_of(now: Variables) -> Chains:
    """Build chains; 0 at padding."""
    xyz = build(now.internal())
    return Chains(torch.where(now.mask[..., None, None], xyz, 0.0), now.mask)
