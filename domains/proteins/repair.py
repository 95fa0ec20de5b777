"""Repair of backbones in internal coordinates; the raw chains and the repaired ones are both reported.

``refit`` returns the backbone of exact local geometry nearest to the given one: bonds at their ideal lengths, bond
angles within 4 sd of their means, omega within 20 degrees of 180 (of 0 for a cis peptide), in the least squares sense
over N, CA and C after superposition. The bounds hold by construction (`bounded`).

``relax`` moves torsions only, by a few hundred steps of Adam on

    sum over |i - j| >= 3 of max(0, 3.9 - d_ij)^2
    + w_R L max(0, Rg/(2.2 L^0.38) - r)^2
    + sum_i k_i (1 - cos(torsion_i - start_i))

so that clashes go and the chain becomes compact; residues in helices and paired strands are stiff. Both keep a valid
geometry valid, and neither invents a fold.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scidiff.errors import ConfigError

from .backbone import build
from .bounded import bounded, from_bounded
from .chains import Chains
from .quaternion_fit import fit
from .secondary import COIL, assign
from .shape import rg_ratio
from .superpose import apply
from .torsions import Internal, measure
from .validation import Report, validate

__all__ = ["Relaxation", "Repaired", "refit", "relax"]


@dataclass(frozen=True, eq=False)
class Repaired:
    """Chains before and after a repair.

    Parameters
    ----------
    raw, chains
        Before and after; the repaired chains lie on the raw ones.
    raw_report, report
        Their reports.
    moved
        RMSD of CA between the two after superposition, Å, shape ``(batch,)``.
    """

    raw: Chains
    chains: Chains
    raw_report: Report
    report: Report
    moved: Tensor


@dataclass(frozen=True)
class Relaxation:
    """Settings of `relax`.

    Parameters
    ----------
    steps
        Steps of Adam.
    rate
        Learning rate, radians.
    clash
        Distance below which CA repel, Å; above the 3.6 of the rule.
    ratio
        Value of ``Rg / (2.2 L^0.38)`` above which the chain is drawn in.
    pull
        Weight of that.
    stiffness, coil
        Weights of the restraint on torsions in helices and strands, and elsewhere.
    """

    steps: int = 200
    rate: float = 0.02
    clash: float = 3.9
    ratio: float = 1.15
    pull: float = 20.0
    stiffness: float = 20.0
    coil: float = 0.1


def _onto(xyz: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Superpose chains, atom by atom."""
    weight = mask.to(xyz).repeat_interleave(3, dim=1)
    motion = fit(xyz.detach().flatten(1, 2), target.flatten(1, 2), weight)
    return apply(motion, xyz.flatten(1, 2)).reshape(xyz.shape)


def _finish(raw: Chains, internal: Internal) -> Repaired:
    """Build, lay on the raw chains, report both."""
    xyz = _onto(build(internal), raw.xyz, raw.mask)
    chains = replace(raw, xyz=torch.where(raw.mask[..., None, None], xyz, 0.0))
    square = ((chains.ca - raw.ca) ** 2).sum(-1) * raw.mask
    moved = (square.sum(1) / raw.lengths).sqrt()
    return Repaired(raw, chains, validate(raw), validate(chains), moved)


def refit(chains: Chains, rounds: int = 60) -> Repaired:
    """Project chains onto exact local geometry.

    Parameters
    ----------
    chains
        A batch.
    rounds
        Iterations of L-BFGS.

    Returns
    -------
    Repaired
        Raw and repaired chains with their reports.
    """
    raw = chains.to(torch.float64)
    start = measure(raw.xyz, raw.mask)
    u, v, state = bounded(start)
    variables = [value.detach().clone().requires_grad_() for value in (start.torsions[..., :2], u, v)]
    real = raw.mask[..., None, None]

    def energy() -> Tensor:
        xyz = _onto(build(from_bounded(*variables, state, raw.mask)), raw.xyz, raw.mask)
        return (((xyz - raw.xyz) ** 2) * real).sum()

    _minimise(variables, energy, rounds)
    return _finish(raw, from_bounded(*(value.detach() for value in variables), state, raw.mask))


def _minimise(variables: list[Tensor], energy: Callable[[], Tensor], rounds: int) -> None:
    """L-BFGS with a line search."""
    optimizer = torch.optim.LBFGS(variables, max_iter=rounds, history_size=20, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = energy()
        value.backward()
        return value

    optimizer.step(closure)


def relax(chains: Chains, settings: Relaxation | None = None) -> Repaired:
    """Remove clashes and draw chains in, by torsions alone.

    Parameters
    ----------
    chains
        A batch; its bonds and angles stay as they are.
    settings
        Weights and steps.

    Returns
    -------
    Repaired
        Raw and repaired chains with their reports.

    Raises
    ------
    ConfigError
        If a number of steps is not positive.
    """
    settings = Relaxation() if settings is None else settings
    if settings.steps < 1:
        raise ConfigError(f"steps is {settings.steps}; expected at least 1")
    raw = chains.to(torch.float64)
    start = measure(raw.xyz, raw.mask)
    stiff = torch.where(assign(raw) == COIL, settings.coil, settings.stiffness).to(raw.xyz)
    turned = start.torsions[..., :2].detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([turned], lr=settings.rate)
    for step in range(settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = settings.rate * (1 + math.cos(math.pi * step / settings.steps)) / 2
        optimizer.zero_grad()
        _strain(turned, start, stiff, settings).backward()
        optimizer.step()
    return _finish(raw, _turned(turned.detach(), start))


def _turned(phi_psi: Tensor, start: Internal) -> Internal:
    """Internal coordinates with other phi and psi."""
    return replace(start, torsions=torch.cat((phi_psi, start.torsions[..., 2:]), dim=-1))


def _strain(phi_psi: Tensor, start: Internal, stiff: Tensor, settings: Relaxation) -> Tensor:
    """Energy of `relax`, summed over the batch."""
    mask, ca = start.mask, build(_turned(phi_psi, start))[:, :, 1]
    place = torch.arange(ca.shape[1], device=ca.device)
    pair = (place.unsqueeze(0) - place.unsqueeze(1) >= 3) & mask.unsqueeze(1) & mask.unsqueeze(2)
    apart = ((ca.unsqueeze(1) - ca.unsqueeze(2)) ** 2).sum(-1).clamp(min=1e-6).sqrt()
    clash = ((settings.clash - apart).clamp(min=0) ** 2 * pair).sum()
    drawn = (rg_ratio(ca, mask) - settings.ratio).clamp(min=0) ** 2 * mask.sum(1)
    held = ((1 - (phi_psi - start.torsions[..., :2]).cos()).sum(-1) * stiff * mask).sum()
    return clash + settings.pull * drawn.sum() + held
